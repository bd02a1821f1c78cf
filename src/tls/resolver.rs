//! Finds the certificates for a server name (SNI).

use std::collections::HashMap;
use std::sync::Arc;

use super::CertifiedKey;

/// The certificates by server name: an exact name before a wildcard. Of each kind of key (RSA and ECDSA may stand side
/// by side) the first one that is written.
#[derive(Debug, Default)]
pub struct Resolver {
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By the part after `*.`; such a name covers exactly one label (RFC 6125, 6.4.3).
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

impl Resolver {
    /// Indexes the certificates by their names.
    #[must_use]
    pub fn new(certificates: &[Arc<CertifiedKey>]) -> Self {
        let mut resolver = Self::default();
        for certificate in certificates {
            for name in &certificate.names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut resolver.wildcard, rest),
                    None => (&mut resolver.exact, name.as_str()),
                };
                let found = map.entry(name.to_owned()).or_default();
                if found
                    .iter()
                    .all(|known| known.key.id() != certificate.key.id())
                {
                    found.push(Arc::clone(certificate));
                }
            }
        }
        resolver
    }

    /// The certificates for this server name as the client sent it, with keys of different kinds; None if no
    /// certificate has the name.
    #[must_use]
    pub fn resolve(&self, server_name: Option<&str>) -> Option<&[Arc<CertifiedKey>]> {
        let name = server_name?.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        if let Some(found) = self.exact.get(name) {
            return Some(found);
        }
        let (label, rest) = name.split_once('.')?;
        let found = self.wildcard.get(rest).filter(|_| !label.is_empty());
        found.map(Vec::as_slice)
    }

    /// The certificates of each name.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &[Arc<CertifiedKey>])> {
        let all = self.exact.iter().chain(&self.wildcard);
        all.map(|(name, group)| (name.as_str(), group.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dev_pki::{Authority, KeyKind, LeafOptions};

    #[test]
    fn exact_before_wildcard_and_one_label_only() {
        let root = Authority::new("Root", 1).unwrap();
        let certified = |names: &[&str]| {
            let issued = root.leaf(names, &LeafOptions::default()).unwrap();
            Arc::new(CertifiedKey::from_pem(&issued.chain_pem, &issued.key_pem).unwrap())
        };
        let wild = certified(&["*.a.test", "a.test"]);
        let exact = certified(&["API.a.test", "b.test"]);
        let resolver = Resolver::new(&[Arc::clone(&wild), Arc::clone(&exact)]);
        for (name, expected) in [
            (Some("api.a.test"), Some(&exact)),
            (Some("API.A.TEST"), Some(&exact)),
            (Some("api.a.test."), Some(&exact)),
            (Some("x.a.test"), Some(&wild)),
            (Some("a.test"), Some(&wild)),
            (Some("b.test"), Some(&exact)),
            (Some("x.y.a.test"), None),
            (Some(".a.test"), None),
            (Some("x.b.test"), None),
            (Some("*.a.test"), Some(&wild)),
            (Some(""), None),
            (None, None),
        ] {
            let found = resolver.resolve(name).map(|group| &group[0]);
            assert_eq!(
                found.map(Arc::as_ptr),
                expected.map(Arc::as_ptr),
                "{name:?}"
            );
        }
    }

    #[test]
    fn rsa_and_ecdsa_side_by_side_but_one_of_each() {
        let root = Authority::new("Root", 1).unwrap();
        let certified = |key| {
            let options = LeafOptions {
                key,
                ..LeafOptions::default()
            };
            let issued = root.leaf(&["a.test"], &options).unwrap();
            Arc::new(CertifiedKey::from_pem(&issued.chain_pem, &issued.key_pem).unwrap())
        };
        let all = [KeyKind::Rsa2048, KeyKind::EcP256, KeyKind::Rsa2048].map(certified);
        let resolver = Resolver::new(&all);
        let found = resolver.resolve(Some("a.test")).unwrap();
        let found: Vec<_> = found.iter().map(Arc::as_ptr).collect();
        assert_eq!(found, [Arc::as_ptr(&all[0]), Arc::as_ptr(&all[1])]);
    }
}
