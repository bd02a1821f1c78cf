//! What must be done to TLS while the front door runs: certificates that come to their end are warned
//! of in the log and noted for metrics, and session tickets get new keys.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::server::Front;
use crate::live::Snapshot;
use crate::supervision::Ended;
use crate::tls::inventory::{self, Entry, Kind};
use crate::upstream::diagnose::examine;

/// The first look at what upstreams present leaves the start to the requests.
const FIRST: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(60 * 60);
/// Looks between two rotations of the tickets' keys.
const ROTATION: u32 = 12;

/// Looks again and again, until it is dropped.
pub async fn watch(front: Arc<Front>) -> Ended {
    let mut warned = Warned::default();
    let mut wait = FIRST;
    for look in 1_u32.. {
        tokio::time::sleep(wait).await;
        wait = EVERY;
        let snapshot = front.live.pin();
        let presented = dial(&snapshot).await;
        let mut entries = inventory::inventory(&snapshot.config);
        entries.extend(presented.iter().cloned());
        for entry in warned.news(&entries) {
            warn(entry);
        }
        front.metrics.presented.store(Arc::new(presented));
        if look.is_multiple_of(ROTATION)
            && let Err(error) = front.live.pin().rotate_tickets()
        {
            tracing::error!(target: "tls", "session tickets keep their keys: {error}");
        }
    }
    Ended::Over
}

/// What every server of every upstream presents, one after the other.
async fn dial(snapshot: &Snapshot) -> Vec<Entry> {
    let mut entries = Vec::new();
    for name in snapshot.config.upstreams.keys() {
        let Some(pool) = snapshot.pool(name) else {
            continue;
        };
        for server in pool.servers().iter() {
            if let Some(presented) = examine(&pool.upstream, server.address).await.presented {
                let owner = format!("{name}/{}", server.name);
                entries.extend(inventory::presented(&owner, &presented.chain));
            }
        }
    }
    entries
}

fn warn(entry: &Entry) {
    let facts = &entry.certificate;
    tracing::warn!(
        target: "tls",
        kind = entry.kind.label(),
        name = entry.name,
        days_left = facts.days_left,
        "certificate {} at {}",
        if entry.warning == Some(0) { "expired" } else { "ends" },
        facts.not_after,
    );
}

/// The warnings that were given.
#[derive(Debug, Default)]
struct Warned(HashMap<(Kind, String), i64>);

impl Warned {
    /// What there was no warning of yet, or none as urgent; forgets what is mended.
    fn news<'e>(&mut self, entries: &'e [Entry]) -> Vec<&'e Entry> {
        let mut given = HashMap::new();
        let mut news = Vec::new();
        for entry in entries {
            let Some(warning) = entry.warning else {
                continue;
            };
            let key = (entry.kind, entry.name.clone());
            if self.0.get(&key).is_none_or(|before| warning < *before) {
                news.push(entry);
            }
            given.insert(key, warning);
        }
        self.0 = given;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::CertificateFacts;
    use crate::tls::issue::Authority;

    fn entry(warning: Option<i64>) -> Entry {
        let root = Authority::new("Root", 90).unwrap();
        let facts = CertificateFacts::of(root.certificate());
        Entry {
            warning,
            ..Entry::new(Kind::Ca, "onprem", facts)
        }
    }

    #[test]
    fn each_warning_is_given_once_and_again_when_it_is_more_urgent() {
        let mut warned = Warned::default();
        for (warning, told) in [
            (None, 0),
            (Some(30), 1),
            (Some(30), 0),
            (Some(14), 1),
            (Some(0), 1),
            (Some(0), 0),
            (None, 0),
            (Some(30), 1),
        ] {
            let entries = [entry(warning)];
            assert_eq!(warned.news(&entries).len(), told, "{warning:?}");
        }
    }
}
