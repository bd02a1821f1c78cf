//! Looks after TLS while the front door runs: warns of certificates that end, in the log and for metrics, and renews
//! the keys of session tickets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::live::Snapshot;
use crate::proxy::shared::front::Front;
use crate::supervision::Ended;
use crate::tls::inventory::{self, Entry, Kind};
use crate::upstream::diagnose::examine;

/// How often the certificates of the configuration are looked at; a reload may have replaced them.
const EVERY: Duration = Duration::from_secs(60);
/// So many looks are between two dials of the upstreams: one hour. The first dial is in the second look, so that it
/// does not compete with the first requests.
const DIALS: u32 = 60;
/// So many looks are between two rotations of the ticket keys: 12 hours.
const ROTATION: u32 = 12 * 60;
/// The most servers that are dialled at the same time.
const AT_ONCE: usize = 8;
/// The most servers that are dialled in one look.
const MOST_SERVERS: usize = 512;
/// The most warnings that are remembered: far more than certificates end.
const MOST_WARNED: usize = 16_384;

/// Looks again and again, until it is dropped.
pub(super) async fn watch(front: Arc<Front>) -> Ended {
    let mut warned = Warned::default();
    for look in 0_u32.. {
        let snapshot = front.live.pin();
        warned.warn_of_new(&snapshot.config.certificate_inventory());
        if look % DIALS == 1 {
            let presented = dial(&snapshot).await;
            warned.warn_of_new(&presented);
            front.metrics.presented.store(Arc::new(presented));
        }
        drop(snapshot);
        if look > 0 && look.is_multiple_of(ROTATION) {
            for error in front.live.pin().rotate_tickets() {
                tracing::error!(target: "tls", "session tickets keep their keys: {error}");
            }
        }
        tokio::time::sleep(EVERY).await;
    }
    Ended::Over
}

/// The certificates that the servers of the upstreams present.
async fn dial(snapshot: &Snapshot) -> Vec<Entry> {
    let names = snapshot.config.upstreams.keys();
    let pools = names.filter_map(|name| snapshot.pool(name));
    let servers = pools.flat_map(|pool| {
        let servers = pool.servers();
        let servers: Vec<_> = servers.iter().map(Arc::clone).collect();
        servers.into_iter().map(|server| (Arc::clone(pool), server))
    });
    let mut entries = Vec::new();
    // Dropping it with this future ends the dials that were begun.
    let mut dials = JoinSet::new();
    for (pool, server) in servers.take(MOST_SERVERS) {
        if dials.len() >= AT_ONCE {
            entries.extend(dials.join_next().await.into_iter().flatten().flatten());
        }
        dials.spawn(async move {
            let found = examine(&pool.upstream, server.address).await;
            let owner = format!("{}/{}", pool.upstream.name, server.name);
            let chain = found.presented.map(|presented| presented.chain);
            inventory::presented(&owner, &chain.unwrap_or_default())
        });
    }
    while let Some(found) = dials.join_next().await {
        entries.extend(found.into_iter().flatten());
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
        file = entry.file.as_deref().map(tracing::field::debug),
        "certificate {} at {}",
        if entry.warning == Some(0) { "expired" } else { "ends" },
        facts.not_after,
    );
}

/// The warnings that were given, by kind, name and end of a certificate. A replaced certificate has another end, so it
/// is warned of again.
#[derive(Debug, Default)]
struct Warned(HashMap<(Kind, String, i64), i64>);

impl Warned {
    fn warn_of_new(&mut self, entries: &[Entry]) {
        for entry in self.news(entries) {
            warn(entry);
        }
    }

    /// The entries without a warning yet, or with a less urgent one. A server that was unreachable for a while is not
    /// warned of again when it is back.
    fn news<'e>(&mut self, entries: &'e [Entry]) -> Vec<&'e Entry> {
        let mut news = Vec::new();
        for entry in entries {
            let ends = entry.certificate.not_after_timestamp;
            let key = (entry.kind, entry.name.clone(), ends);
            let Some(warning) = entry.warning else {
                continue;
            };
            if self.0.get(&key).is_some_and(|before| warning >= *before) {
                continue;
            }
            if self.0.len() >= MOST_WARNED {
                // Forgetting all costs some repeated warnings, and bounds the memory.
                self.0.clear();
            }
            self.0.insert(key, warning);
            news.push(entry);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::CertificateFacts;
    use dev_pki::Authority;

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
        let known = entry(None);
        for (warning, expected) in [
            (None, 0),
            (Some(30), 1),
            (Some(30), 0),
            (Some(14), 1),
            (Some(0), 1),
            (Some(0), 0),
            (None, 0),
            (Some(0), 0),
        ] {
            let entries = [Entry {
                warning,
                ..known.clone()
            }];
            assert_eq!(warned.news(&entries).len(), expected, "{warning:?}");
            assert!(warned.news(&[]).is_empty(), "it is not seen for a while");
        }
        let mut other = entry(Some(30));
        other.certificate.not_after_timestamp += 1;
        assert_eq!(warned.news(&[other]).len(), 1, "another certificate");
    }
}
