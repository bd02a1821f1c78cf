//! SNI -> certificate.

use std::collections::HashMap;
use std::sync::Arc;

use super::CertifiedKey;

/// Which certificate a server name gets: an exact name before a wildcard, the first written before the next.
#[derive(Debug, Default)]
pub struct Resolver {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By the part after `*.`; such a name covers exactly one label (RFC 6125, 6.4.3).
    wildcard: HashMap<String, Arc<CertifiedKey>>,
}

impl Resolver {
    #[must_use]
    pub fn new(certificates: &[Arc<CertifiedKey>]) -> Self {
        let mut resolver = Self::default();
        for certificate in certificates {
            for name in &certificate.names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut resolver.wildcard, rest),
                    None => (&mut resolver.exact, name.as_str()),
                };
                map.entry(name.to_owned())
                    .or_insert_with(|| Arc::clone(certificate));
            }
        }
        resolver
    }

    /// The certificate for this server name as the client sent it; None where no certificate has it.
    #[must_use]
    pub fn resolve(&self, server_name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let name = server_name?.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        if let Some(found) = self.exact.get(name) {
            return Some(found);
        }
        let (label, rest) = name.split_once('.')?;
        self.wildcard.get(rest).filter(|_| !label.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::super::issue::{Authority, LeafOptions};
    use super::*;

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
            let found = resolver.resolve(name);
            assert_eq!(
                found.map(Arc::as_ptr),
                expected.map(Arc::as_ptr),
                "{name:?}"
            );
        }
    }
}
