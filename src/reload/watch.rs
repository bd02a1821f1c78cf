//! Notices that a file changed.
//!
//! Notifications of the folders say when to look at the files. Regular looks find the changes that notifications miss
//! or report late: on network and overlay file systems, in folders that are mounted over, and behind links in the
//! middle of a path. They cost a stat for each file. Very many files are looked at less often, so that a front door with
//! nothing to do stays idle.
//!
//! A look compares stamps (stat), and only then contents (SHA-256): a touch or an identical copy causes no reload.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::notified::{FolderNotifications, Wake};
use super::requests::{Reloads, Trigger};
use crate::config::{Contents, Inputs, Stamps};
use crate::supervision::Ended;
use seclang::files::in_time;

/// The pause between two looks while files keep changing, or without notifications.
const PAUSE: Duration = Duration::from_millis(150);
/// The pause between two looks with notifications. A change that none reports is live within a second too, unless there
/// are very many files.
const PAUSE_NOTIFIED: Duration = Duration::from_millis(500);
/// After a look the pause is so many times as long as the look took, if that is longer: looks take 1/200 of a core.
const REST: u32 = 200;
/// A change that no notification reports is noticed within this time, however many files there are.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How many pauses to wait for files that keep changing. Then they are read as they are, since a file may never rest.
const PATIENCE: usize = 10;
/// The pause between two attempts to read a file that exists and cannot be read.
const AGAIN: Duration = Duration::from_secs(10);
/// How long one look at all files may take: a network file system may hang for good.
const LOOKING: Duration = Duration::from_secs(60);

/// The files that are watched, and their contents when they were read.
#[derive(Debug, Clone, Default)]
pub struct Watched {
    /// The files and patterns.
    pub inputs: Inputs,
    /// The contents of the files when the configuration was made from them.
    pub contents: Contents,
}

/// Asks for a reload when the content of a watched file changed and no file changes any more. Ends when the reloader
/// does.
pub async fn run(reloads: Arc<Reloads>, watched: watch::Receiver<Arc<Watched>>) -> Ended {
    let wake = Arc::new(Wake::default());
    let notified = FolderNotifications::new(&wake)
        .inspect_err(|error| {
            tracing::warn!(
                target: "reload",
                "there are no notifications of changed files, so files are checked every {} ms: {error}",
                PAUSE.as_millis()
            );
        })
        .ok();
    match follow(reloads, watched, Watcher::new(notified, wake)).await {
        Ok(()) => Ended::Over,
        Err(error) => Ended::Failed(format!("the watched files cannot be checked: {error}")),
    }
}

/// Looks at files, woken by notifications if there are any.
struct Watcher {
    notified: Option<FolderNotifications>,
    wake: Arc<Wake>,
    /// How long the last look took.
    took: Duration,
}

/// Whether a look also finds out which folders to follow. That takes many times as long as a look at the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Folders {
    Follow,
    AsBefore,
}

/// Watches until the reloader is gone.
async fn follow(
    reloads: Arc<Reloads>,
    mut watched: watch::Receiver<Arc<Watched>>,
    mut watcher: Watcher,
) -> io::Result<()> {
    let mut seen: Option<Stamps> = None;
    let mut read_at = Instant::now();
    let mut folders = Folders::Follow;
    let mut before: Option<Arc<Watched>> = None;
    loop {
        // A reload replaces this, and may name other files. Marked as seen, so that `changed` waits for the next one.
        let now = watched.borrow_and_update().clone();
        if before
            .as_ref()
            .is_none_or(|before| before.inputs != now.inputs)
        {
            // Stamps are compared by their order.
            seen = None;
            folders = Folders::Follow;
        }
        before = Some(Arc::clone(&now));
        // Folders are followed before their files are looked at, so that no change in between is lost.
        let mut stamps = watcher.look(&now, folders).await?;
        let again = is_unread(&now, &stamps) && read_at.elapsed() > AGAIN;
        if seen.as_ref() == Some(&stamps) && !again {
            folders = match watcher.wait(&mut watched).await {
                Some(folders) => folders,
                None => return Ok(()),
            };
            continue;
        }
        // A certificate and its key are two files, and a copy is written in parts: read before it rests, a set would be
        // half old and half new.
        for _ in 0..PATIENCE {
            sleep(PAUSE).await;
            // A link that leads elsewhere now leads to another folder.
            let later = watcher.look(&now, Folders::Follow).await?;
            let settled = later == stamps;
            stamps = later;
            if settled {
                break;
            }
        }
        seen = Some(stamps);
        read_at = Instant::now();
        // `seen` is from before this read, so a change during it is found by the next look.
        let read = Arc::clone(&now);
        let contents = run_aside(move || read.inputs.contents()).await?;
        if contents == now.contents {
            reloads.record_unchanged();
        } else if reloads.ask(Trigger::Watch).await.is_none() {
            return Ok(());
        }
    }
}

impl Watcher {
    fn new(notified: Option<FolderNotifications>, wake: Arc<Wake>) -> Self {
        Self {
            notified,
            wake,
            took: Duration::ZERO,
        }
    }

    async fn look(&mut self, watched: &Arc<Watched>, folders: Folders) -> io::Result<Stamps> {
        let watched = Arc::clone(watched);
        // Moved to the other thread, since following a folder blocks too. If that hangs, the error ends this task, and
        // supervision starts it again with new notifications.
        let mut notified = self.notified.take();
        let looked = run_aside(move || {
            if let Some(notified) = &mut notified
                && (folders == Folders::Follow || !notified.is_complete())
            {
                notified.follow(watched.inputs.folders());
            }
            let begun = Instant::now();
            let stamps = watched.inputs.stamps();
            (notified, stamps, begun.elapsed())
        });
        let (notified, stamps, took) = looked.await?;
        self.notified = notified;
        self.took = took;
        Ok(stamps)
    }

    /// Waits until it is time for another look. None if the reloader is gone.
    async fn wait(&self, watched: &mut watch::Receiver<Arc<Watched>>) -> Option<Folders> {
        let rest = (self.took * REST).min(LONGEST_PAUSE);
        let is_complete = self
            .notified
            .as_ref()
            .is_some_and(FolderNotifications::is_complete);
        if !is_complete {
            sleep(rest.max(PAUSE)).await;
            return watched.has_changed().ok().map(|_| Folders::Follow);
        }
        // A burst of notifications must cause one look, not many.
        sleep(PAUSE).await;
        tokio::select! {
            () = self.wake.names.notified() => Some(Folders::Follow),
            // A log in a watched folder is written to without end: looks because of it keep their pauses too.
            () = self.content_after(rest) => Some(Folders::AsBefore),
            changed = watched.changed() => changed.ok().map(|()| Folders::Follow),
            () = sleep(rest.max(PAUSE_NOTIFIED) - PAUSE) => Some(Folders::AsBefore),
        }
    }

    /// Waits until something was written to a file and this pause has passed, of which [`PAUSE`] is over.
    async fn content_after(&self, rest: Duration) {
        sleep(rest.saturating_sub(PAUSE)).await;
        self.wake.content.notified().await;
    }
}

/// Whether a file exists that could not be read. It may become readable without a change of its stamp.
fn is_unread(watched: &Watched, stamps: &Stamps) -> bool {
    let mut unread = watched
        .contents
        .iter()
        .filter(|(_, content)| content.is_none());
    unread.any(|(path, _)| watched.inputs.was_there(path, stamps))
}

/// Runs `work` on another thread for a limited time, since a file system may hang.
async fn run_aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let looked = spawn_blocking(move || in_time(Path::new("a look at files"), LOOKING, work));
    looked.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::super::requests::{ReloadOutcome, ReloadRequest};
    use super::*;

    fn outcome() -> ReloadOutcome {
        ReloadOutcome {
            at: SystemTime::UNIX_EPOCH,
            generation: 1,
            refused: Vec::new(),
            warnings: Vec::new(),
            changed: Vec::new(),
        }
    }

    fn swap_link(link: &Path, target: &str) {
        let aside = link.with_file_name("aside");
        symlink(target, &aside).unwrap();
        fs::rename(&aside, link).unwrap();
    }

    /// Answers the next request as the reloader does.
    async fn reloaded(
        asked: &mut mpsc::Receiver<ReloadRequest>,
        inputs: &Inputs,
        watched: &watch::Sender<Arc<Watched>>,
        what: &str,
    ) {
        let ask = timeout(Duration::from_secs(30), asked.recv()).await;
        let ask = ask
            .unwrap_or_else(|_| panic!("never asked: {what}"))
            .unwrap();
        watched.send_replace(Arc::new(Watched {
            inputs: inputs.clone(),
            contents: inputs.contents(),
        }));
        ask.done.send(outcome()).unwrap();
    }

    /// Names of a file: directly, through a folder's link that is swapped (as in a mounted secret), and
    /// through a link half way, in a folder that is not followed.
    #[tokio::test(flavor = "multi_thread")]
    async fn changes_are_seen_with_notifications_and_without() {
        for with in [true, false] {
            let made = tempfile::tempdir().unwrap();
            let root = made.path();
            for folder in ["names", "secret/..1", "secret/..2", "links", "one", "two"] {
                fs::create_dir_all(root.join(folder)).unwrap();
                fs::write(root.join(folder).join("file"), folder).unwrap();
            }
            swap_link(&root.join("secret/..data"), "..1");
            fs::remove_file(root.join("secret/file")).ok();
            swap_link(&root.join("secret/file"), "..data/file");
            swap_link(&root.join("links/half"), "../one/file");
            swap_link(&root.join("names/far"), "../links/half");
            let mut inputs = Inputs::default();
            for file in ["names/file", "secret/file", "names/far"] {
                inputs.file(&root.join(file));
            }
            inputs.pattern(root, "more/*.toml");

            let (reloads, mut asked) = Reloads::new(outcome());
            let reloads = Arc::new(reloads);
            let (watched, watching) = watch::channel(Arc::new(Watched {
                inputs: inputs.clone(),
                contents: inputs.contents(),
            }));
            let wake = Arc::new(Wake::default());
            let notified = with.then(|| FolderNotifications::new(&wake).unwrap());
            let watcher = Watcher::new(notified, wake);
            let following = tokio::spawn(follow(Arc::clone(&reloads), watching, watcher));

            fs::write(root.join("aside"), "other").unwrap();
            fs::rename(root.join("aside"), root.join("names/file")).unwrap();
            reloaded(&mut asked, &inputs, &watched, "renamed into place").await;
            swap_link(&root.join("secret/..data"), "..2");
            reloaded(&mut asked, &inputs, &watched, "a swapped folder").await;
            swap_link(&root.join("links/half"), "../two/file");
            reloaded(&mut asked, &inputs, &watched, "a link half way").await;
            fs::create_dir(root.join("more")).unwrap();
            fs::write(root.join("more/a.toml"), "a").unwrap();
            reloaded(&mut asked, &inputs, &watched, "a folder that was not there").await;

            drop((watched, asked));
            let ended = timeout(Duration::from_secs(30), following).await;
            let ended = ended.expect("it ends with the reloader").unwrap();
            assert!(ended.is_ok());
        }
    }
}
