//! Every certificate that a configuration uses, and how long it is valid. `expiry` warns by it, and the admin API and
//! metrics show it.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were found in the same list"
)]

use std::path::{Path, PathBuf};

use openssl::x509::X509;
use serde::Serialize;

use super::{CertificateFacts, CertifiedKey, TrustBundle};

const DAY: i64 = 24 * 60 * 60;

/// The days before the end at which a warning is due, each more urgent than the one before.
pub const WARNING_DAYS: [i64; 4] = [30, 14, 7, 1];

/// What a certificate is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A listener's own leaf.
    Listener,
    /// Sent after a listener's leaf.
    ListenerIntermediate,
    /// An authority of a trust bundle.
    Ca,
    /// What an upstream is shown.
    Client,
    /// Sent with our client certificate.
    ClientIntermediate,
    /// What a server of an upstream presents.
    Upstream,
    /// Presented by a gateway, above its leaf.
    UpstreamIntermediate,
}

impl Kind {
    /// The label, for metrics and JSON.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::ListenerIntermediate => "listener_intermediate",
            Self::Ca => "ca",
            Self::Client => "client",
            Self::ClientIntermediate => "client_intermediate",
            Self::Upstream => "upstream",
            Self::UpstreamIntermediate => "upstream_intermediate",
        }
    }
}

/// One certificate that matters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// What it is for.
    pub kind: Kind,
    /// Whose it is: of a listener, trust bundle or upstream, with the server where there are several.
    pub owner: String,
    /// Its name; unique within an inventory together with `kind`.
    pub name: String,
    /// Where it was read; None for what a server presents.
    pub file: Option<PathBuf>,
    /// What is known of it.
    #[serde(flatten)]
    pub certificate: CertificateFacts,
    /// The smallest of [`WARNING_DAYS`] that is not over yet; 0 once it has expired.
    pub warning: Option<i64>,
}

impl Entry {
    /// An entry that was not read from a file.
    #[must_use]
    pub fn new(kind: Kind, owner: &str, certificate: CertificateFacts) -> Self {
        let title = match (certificate.names.first(), certificate.subject.is_empty()) {
            // A leaf is known by its DNS name, a CA by its subject.
            (Some(name), _) if matches!(kind, Kind::Listener | Kind::Upstream) => name,
            (Some(name), true) => name,
            _ => &certificate.subject,
        };
        let left = certificate.seconds_left();
        let warning = match left {
            ..0 => Some(0),
            left => WARNING_DAYS
                .into_iter()
                .rev()
                .find(|days| left <= days * DAY),
        };
        Self {
            kind,
            owner: owner.to_owned(),
            name: format!("{owner}/{title}"),
            file: None,
            warning,
            certificate,
        }
    }
}

/// Collects the certificates of a configuration's files, each with its owner.
#[derive(Debug, Default)]
pub struct Inventory(Vec<Entry>);

impl Inventory {
    /// A chain that the named listener presents.
    pub fn add_listener(&mut self, listener: &str, certified: &CertifiedKey) {
        let kinds = (Kind::Listener, Kind::ListenerIntermediate);
        add_chain(&mut self.0, kinds, listener, certified);
    }

    /// The authorities of a trust bundle.
    pub fn add_trust(&mut self, bundle: &TrustBundle) {
        for (index, ca) in bundle.certificates.iter().enumerate() {
            self.0.push(Entry {
                file: bundle.files.get(index).cloned(),
                ..Entry::new(Kind::Ca, &bundle.name, CertificateFacts::of(ca))
            });
        }
    }

    /// A chain that the servers of the named upstream are shown.
    pub fn add_client(&mut self, upstream: &str, certified: &CertifiedKey) {
        let kinds = (Kind::Client, Kind::ClientIntermediate);
        add_chain(&mut self.0, kinds, upstream, certified);
    }

    /// One entry for each kind and name.
    #[must_use]
    pub fn into_entries(self) -> Vec<Entry> {
        unique(self.0)
    }
}

/// What a server presented, as entries of an inventory.
#[must_use]
pub fn presented(owner: &str, chain: &[X509]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let kinds = (Kind::Upstream, Kind::UpstreamIntermediate);
    add(&mut entries, kinds, owner, chain, None);
    unique(entries)
}

fn add_chain(entries: &mut Vec<Entry>, kinds: (Kind, Kind), owner: &str, certified: &CertifiedKey) {
    let file = certified.file.as_deref();
    add(entries, kinds, owner, &certified.chain, file);
}

fn add(
    entries: &mut Vec<Entry>,
    kinds: (Kind, Kind),
    owner: &str,
    chain: &[X509],
    file: Option<&Path>,
) {
    for (depth, certificate) in chain.iter().enumerate() {
        let kind = if depth == 0 { kinds.0 } else { kinds.1 };
        entries.push(Entry {
            file: file.map(Path::to_owned),
            ..Entry::new(kind, owner, CertificateFacts::of(certificate))
        });
    }
}

/// One entry for each kind and name: the one that ends first, because it needs attention first. Entries that differ in
/// their keys (RSA and ECDSA side by side) all stay.
fn unique(entries: Vec<Entry>) -> Vec<Entry> {
    use std::collections::BTreeMap;
    use std::collections::btree_map::Entry as Slot;
    let mut order: BTreeMap<(Kind, String, String), usize> = BTreeMap::new();
    let mut names: BTreeMap<(Kind, String), usize> = BTreeMap::new();
    let mut kept: Vec<Entry> = Vec::new();
    for mut entry in entries {
        let key = (
            entry.kind,
            entry.name.clone(),
            entry.certificate.key.clone(),
        );
        match order.entry(key) {
            Slot::Occupied(known) => {
                // The index was made when the entry was pushed.
                let known = &mut kept[*known.get()];
                if entry.certificate.not_after_timestamp < known.certificate.not_after_timestamp {
                    // The entry in this place may have got the kind of its key added to its name.
                    entry.name.clone_from(&known.name);
                    *known = entry;
                }
            }
            Slot::Vacant(slot) => {
                slot.insert(kept.len());
                let count = names.entry((entry.kind, entry.name.clone())).or_default();
                *count += 1;
                if *count > 1 {
                    entry.name = format!("{} ({})", entry.name, entry.certificate.key);
                }
                kept.push(entry);
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use dev_pki::{Authority, KeyKind, LeafOptions};

    fn leaf(days: i64, key: KeyKind) -> X509 {
        let options = LeafOptions {
            starts_in_days: -40,
            ends_in_days: days,
            key,
            ..LeafOptions::default()
        };
        let root = Authority::new("Root", 90).unwrap();
        let issued = root.leaf(&["a.test"], &options).unwrap();
        X509::from_pem(&issued.chain_pem).unwrap()
    }

    #[test]
    fn warnings_grow_more_urgent() {
        for (days, warning) in [
            (31, None),
            (30, Some(30)),
            (15, Some(30)),
            (14, Some(14)),
            (7, Some(7)),
            (2, Some(7)),
            (1, Some(1)),
            (-1, Some(0)),
        ] {
            let entries = presented("orders", &[leaf(days, KeyKind::EcP256)]);
            assert_eq!(entries[0].warning, warning, "{days}");
        }
    }

    #[test]
    fn names_are_unique_and_the_first_to_end_counts() {
        let chain = |cert: X509| presented("orders", &[cert]).remove(0);
        let (late, soon) = (leaf(60, KeyKind::EcP256), leaf(20, KeyKind::EcP256));
        let rsa = leaf(50, KeyKind::Rsa2048);
        let entries = unique(vec![chain(late), chain(rsa), chain(soon)]);
        let shown: Vec<_> = entries
            .iter()
            .map(|e| (e.name.as_str(), e.certificate.days_left <= 20))
            .collect();
        assert_eq!(
            shown,
            [("orders/a.test", true), ("orders/a.test (RSA 2048)", false)]
        );
    }
}
