//! The keys that sign tokens for gateways: made at the first start, followed and rotated while the front door runs, and
//! published for gateways that cannot fetch them.
//!
//! Invariant: a key is on the disk before this process publishes it or signs with it, so that no restart forgets a key of
//! which there are tokens. Another process with the same `state_dir` may write the file too, as during a hand-over: whoever
//! writes holds its lock and reads the file first, and all others follow the file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::config::{Config, read_own_keys};
use crate::identity::{KeyRing, Rotation, Signing};
use crate::proxy::shared::front::Front;
use crate::replace_file::{Access, replace_file};
use crate::supervision::Ended;
use crate::time::seconds;

const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);

/// Makes the first key if there is none yet.
///
/// # Errors
/// It cannot be made or written.
pub(super) fn make_key(config: &Config) -> io::Result<()> {
    let Some(signing) = &config.signing else {
        return Ok(());
    };
    let Some((path, rotation)) = &signing.own else {
        return Ok(());
    };
    if signing.ring.load().is_some() {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let _lock = lock(path)?;
    // Another process may have been first.
    let ring = match path.exists() {
        true => read_own_keys(path).map_err(io::Error::other)?,
        false => {
            let ring = KeyRing::first(rotation.algorithm, now()).map_err(io::Error::other)?;
            write(path, &ring)?;
            tracing::info!(
                "made the key that signs tokens for gateways: {}",
                path.display()
            );
            ring
        }
    };
    signing.ring.store(Some(Arc::new(ring)));
    Ok(())
}

/// Follows the keys in the `state_dir` and replaces them by age, as the live configuration says.
pub(super) async fn rotate(front: Arc<Front>) -> Ended {
    loop {
        let signing = front.live.pin().config.signing.clone();
        let own = signing.as_ref().and_then(|signing| signing.own.as_ref());
        let overlap = own.map_or(LONGEST_PAUSE, |(_, rotation)| rotation.overlap);
        sleep((overlap / 4).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
        let Some(signing) = front.live.pin().config.signing.clone() else {
            continue;
        };
        let step = spawn_blocking(move || (step(&signing, KeyRing::by_age), signing));
        let Ok((outcome, signing)) = step.await else {
            continue;
        };
        match outcome {
            Ok(None) => {}
            Ok(Some(words)) => tracing::info!(target: "signing", "{words}"),
            Err(error) => {
                front.metrics.signing_failures.count();
                tracing::error!(
                    target: "signing",
                    "the keys of [signing] cannot be followed, the last ones stay in use: {error}"
                );
            }
        }
        let _ = spawn_blocking(move || publish(&signing)).await;
    }
}

/// Brings a new key at once. It signs after the overlap. Returns from when on, in seconds since 1970.
///
/// # Errors
/// Why there is none; the keys are as they were.
pub(crate) fn rotate_now(signing: &Signing) -> Result<String, String> {
    let next = |ring: &KeyRing, rotation: &Rotation, now| ring.on_request(rotation, now).map(Some);
    let words = step(signing, next)?;
    publish(signing);
    Ok(words.unwrap_or_default())
}

/// One look at the file: what it has is taken, and what `next` makes of it is written first. Returns what changed, in words.
fn step<E: std::fmt::Display>(
    signing: &Signing,
    next: impl Fn(&KeyRing, &Rotation, u64) -> Result<Option<KeyRing>, E>,
) -> Result<Option<String>, String> {
    let Some((path, rotation)) = &signing.own else {
        return Ok(None);
    };
    let words = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut ring = read_own_keys(path)?;
    let mut changed = None;
    if next(&ring, rotation, now())
        .map_err(|error| words(&error))?
        .is_some()
    {
        let _lock = lock(path).map_err(|error| words(&error))?;
        // Again, under the lock: another process may have done it by now.
        ring = read_own_keys(path)?;
        if let Some(new) = next(&ring, rotation, now()).map_err(|error| words(&error))? {
            write(path, &new).map_err(|error| words(&error))?;
            ring = new;
            changed = Some(format!(
                "the keys of [signing] changed: {} are published",
                ring.keys().len()
            ));
        }
    }
    signing.ring.store(Some(Arc::new(ring)));
    Ok(changed)
}

/// Writes the public keys where the configuration wants them, if they are not there already. A failure is logged: gateways
/// still have the last set, and requests go on.
pub(super) fn publish(signing: &Signing) {
    let Some(path) = &signing.jwks_file else {
        return;
    };
    let set = signing.jwks();
    if fs::read(path).is_ok_and(|before| before == set.as_bytes()) {
        return;
    }
    if let Err(error) = replace_file(path, &beside(path, "new"), Access::AsBefore, set.as_bytes()) {
        tracing::error!(
            "cannot write the keys for gateways to {}: {error}",
            path.display()
        );
    }
}

fn write(path: &Path, ring: &KeyRing) -> io::Result<()> {
    let pem = ring.to_pem().map_err(io::Error::other)?;
    replace_file(path, &beside(path, "new"), Access::Private, &pem)
}

/// Held until the file is dropped.
fn lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(beside(path, "lock"))?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

fn now() -> u64 {
    seconds(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arc_swap::ArcSwapOption;
    use identity::SigningAlgorithm;

    fn signing(path: &Path) -> Signing {
        let rotation = Rotation {
            every: None,
            overlap: Duration::from_secs(3600),
            algorithm: SigningAlgorithm::Es256,
        };
        Signing {
            issuer: "https://door.test".to_owned(),
            claims: Vec::new(),
            ring: Arc::new(ArcSwapOption::new(read_own_keys(path).ok().map(Arc::new))),
            own: Some((path.to_owned(), rotation)),
            jwks_file: None,
        }
    }

    /// Each thread stands for a process: they share the file alone.
    #[test]
    fn of_processes_that_rotate_at_once_one_does_and_all_have_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity-key.pem");
        write(
            &path,
            &KeyRing::first(SigningAlgorithm::Es256, now()).unwrap(),
        )
        .unwrap();
        let made: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| rotate_now(&signing(&path)).is_ok()))
                .collect();
            let made = threads.into_iter().map(|thread| thread.join().unwrap());
            made.filter(|made| *made).count()
        });
        assert_eq!(made, 1);
        let follower = signing(&path);
        assert!(step(&follower, KeyRing::by_age).unwrap().is_none());
        assert_eq!(follower.ring.load_full().unwrap().keys().len(), 2);
    }
}
