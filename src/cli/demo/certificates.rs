//! The demo's two certificate authorities and what they sign.
//!
//! The key of an authority is never written. So if one file is missing, has expired or does not fit, the authority and
//! all its leaves are made again.

use std::error::Error;
use std::fs;
use std::path::Path;

use openssl::asn1::Asn1Time;
use openssl::pkey::PKey;
use openssl::x509::{X509, X509VerifyResult};

use super::files::Folder;
use super::network::{BILLING, ORDERS, PUBLIC_HOST};
use dev_pki::{Authority, LeafOptions};

const DAYS: i64 = 90;
/// Certificates with fewer days left than this are made again, so that none expires during the demo.
const DAYS_LEFT: u32 = 1;

/// Where the demo's certificates come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certificates {
    /// This demo made at least one authority and its leaves.
    New,
    /// An earlier demo made all of them.
    Reused,
}

/// An authority and its leaves.
struct Family {
    authority: &'static str,
    /// A path relative to the demo's folder, like all paths here.
    bundle: &'static str,
    leaves: &'static [Leaf],
}

struct Leaf {
    name: &'static str,
    chain: &'static str,
    key: &'static str,
}

const PUBLIC: Family = Family {
    authority: "Drawbridge demo public CA",
    bundle: "certs/public-ca.pem",
    leaves: &[Leaf {
        name: PUBLIC_HOST,
        chain: "certs/public/api.pem",
        key: "certs/public/api.key",
    }],
};

const ON_PREMISES: Family = Family {
    authority: "Drawbridge demo on-premises CA",
    bundle: "certs/onprem-ca.pem",
    leaves: &[
        Leaf {
            name: ORDERS.1,
            chain: "gateways/orders.pem",
            key: "gateways/orders.key",
        },
        Leaf {
            name: BILLING.1,
            chain: "gateways/billing.pem",
            key: "gateways/billing.key",
        },
    ],
};

/// Makes the authorities and leaves that are missing or invalid.
pub(super) fn ensure(folder: &Folder) -> Result<Certificates, Box<dyn Error>> {
    let mut certificates = Certificates::Reused;
    for family in [PUBLIC, ON_PREMISES] {
        if !family.is_valid(folder) {
            family.issue(folder)?;
            certificates = Certificates::New;
        }
    }
    Ok(certificates)
}

impl Family {
    fn is_valid(&self, folder: &Folder) -> bool {
        let Ok(soon) = Asn1Time::days_from_now(DAYS_LEFT) else {
            return false;
        };
        let Some(authority) = read_certificate(&folder.path(self.bundle)) else {
            return false;
        };
        let leaf_is_valid = |leaf: &Leaf| {
            let certificate = read_certificate(&folder.path(leaf.chain))?;
            let pem = fs::read(folder.path(leaf.key)).ok()?;
            let key = PKey::private_key_from_pem(&pem).ok()?;
            let fits = certificate.public_key().ok()?.public_eq(&key)
                && authority.issued(&certificate) == X509VerifyResult::OK
                // `issued` does not check the signature, and the authorities of two demos have the same name.
                && certificate.verify(&*authority.public_key().ok()?).ok()?;
            Some(fits && *certificate.not_after() > *soon)
        };
        *authority.not_after() > *soon
            && self
                .leaves
                .iter()
                // A file that is missing or damaged is as bad as one that does not fit.
                .all(|leaf| leaf_is_valid(leaf).unwrap_or(false))
    }

    fn issue(&self, folder: &Folder) -> Result<(), Box<dyn Error>> {
        let authority = Authority::new(self.authority, DAYS)?;
        let options = LeafOptions {
            ends_in_days: DAYS,
            ..LeafOptions::default()
        };
        fs::write(folder.path(self.bundle), authority.certificate_pem()?)?;
        for leaf in self.leaves {
            authority
                .leaf(&[leaf.name], &options)?
                .write(&folder.path(leaf.chain), &folder.path(leaf.key))?;
        }
        Ok(())
    }
}

fn read_certificate(path: &Path) -> Option<X509> {
    X509::from_pem(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_certificates_are_reused_and_others_made_anew() {
        let folder = Folder::open(None).unwrap();
        let read = |path: &str| fs::read(folder.path(path)).unwrap();
        assert_eq!(ensure(&folder).unwrap(), Certificates::New);
        let public = read("certs/public-ca.pem");
        assert_eq!(ensure(&folder).unwrap(), Certificates::Reused);

        let breaks: [(&str, &dyn Fn()); 3] = [
            ("missing", &|| {
                fs::remove_file(folder.path("gateways/orders.key")).unwrap();
            }),
            ("another key", &|| {
                fs::copy(
                    folder.path("gateways/orders.key"),
                    folder.path("gateways/billing.key"),
                )
                .unwrap();
            }),
            ("expired", &|| {
                let options = LeafOptions {
                    ends_in_days: -1,
                    ..LeafOptions::default()
                };
                let authority = Authority::new("Drawbridge demo on-premises CA", 1).unwrap();
                let (chain, key) = ("gateways/orders.pem", "gateways/orders.key");
                let leaf = authority.leaf(&[ORDERS.1], &options).unwrap();
                leaf.write(&folder.path(chain), &folder.path(key)).unwrap();
            }),
        ];
        for (what, damage) in breaks {
            damage();
            assert_eq!(ensure(&folder).unwrap(), Certificates::New, "{what}");
            assert_eq!(ensure(&folder).unwrap(), Certificates::Reused, "{what}");
        }
        assert_eq!(
            read("certs/public-ca.pem"),
            public,
            "the other family stays"
        );
    }
}
