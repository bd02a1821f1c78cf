//! Certificates and keys, trust bundles, the choice of a certificate by SNI, and reasons of OpenSSL in words.
//!
//! Nothing here knows the configuration: settings come in as the types of `settings`.

pub mod acceptor;
mod bundle;
mod candidate;
mod client_ca;
mod client_cas;
mod client_fields;
mod client_name;
pub(crate) mod dial;
mod dial_fault;
mod facts;
mod finding;
mod group;
pub mod handshake;
mod hello;
pub mod inventory;
mod materials;
mod openssl_codes;
mod pem;
pub mod reason;
pub(crate) mod refusal;
pub mod rehearsal;
mod resolver;
mod settings;
mod stapling;
mod system_roots;
pub mod verify;

use std::path::PathBuf;

use openssl::pkey::{PKey, Private};
use openssl::x509::X509;

pub use candidate::CandidateChain;
pub use client_ca::{ClientCa, ClientCertificateMode, ClientIdentity};
pub use client_cas::ClientCas;
pub use client_fields::ClientFields;
pub use client_name::{ClientName, NoClientName, fingerprint};
pub use dial_fault::DialFault;
pub use facts::{CertificateFacts, now};
pub use finding::{Finding, Part};
pub use group::group_text;
pub use hello::ClientHello;
pub use inventory::Entry;
pub use materials::readable_by_others;
pub use refusal::Refusal;
pub use resolver::Resolver;
pub use settings::{SniPolicy, TlsPolicy, TlsSettings};
pub use system_roots::NoSystemRoots;

/// Key exchange groups on both sides, ours first in this order: the post-quantum hybrid, then those
/// of Mozilla's intermediate profile.
///
/// `/` separates tuples: if a peer supports a group of an earlier tuple, that group is used, even if the peer sent a
/// key share of a later one. `*` marks the groups for which a client sends a key share at once.
pub const GROUPS: &str = "*X25519MLKEM768/*X25519:P-256:P-384";

/// A chain and the key that fits it.
#[derive(Debug)]
pub struct CertifiedKey {
    /// Leaf first.
    pub chain: Vec<X509>,
    /// The leaf's key.
    pub key: PKey<Private>,
    /// DNS names of the leaf (SAN, or CN where there is no SAN), lower case; may hold `*.example.com`.
    pub names: Vec<String>,
    /// SHA-256 over chain, key and OCSP response, for pool keys and to notice changes.
    pub digest: [u8; 32],
    /// An OCSP response for the leaf, DER.
    pub ocsp: Option<Vec<u8>>,
    /// The file of the chain; None if it was not read from a file.
    pub file: Option<PathBuf>,
    /// SHA-256 over the files of chain and key as they were read. As long as they hold the same, nothing needs to be
    /// parsed or checked again but the dates.
    pub read: Option<[u8; 32]>,
}

impl CertifiedKey {
    /// What it shows after its leaf.
    #[must_use]
    pub fn intermediates(&self) -> Vec<X509> {
        self.chain.iter().skip(1).cloned().collect()
    }

    /// Whether it is valid for this name, which may itself be a wildcard.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        let wildcard = |own: &str| match (own.strip_prefix("*."), name.split_once('.')) {
            (Some(own), Some((label, rest))) => !label.is_empty() && own == rest,
            _ => false,
        };
        self.names.iter().any(|own| own == name || wildcard(own))
    }
}

impl PartialEq for CertifiedKey {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for CertifiedKey {}

impl PartialEq for TrustBundle {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.digest == other.digest
    }
}

impl Eq for TrustBundle {}

/// The CAs that a server may be signed by, and no others.
#[derive(Debug)]
pub struct TrustBundle {
    /// Its name in the configuration, or [`TrustBundle::SYSTEM`].
    pub name: String,
    /// Each is a trust anchor.
    pub certificates: Vec<X509>,
    /// The file of each certificate, in the same order.
    pub files: Vec<PathBuf>,
    /// Only roots, and none shares its name with another key. Then OpenSSL alone judges as [`verify::Verifier`] does.
    pub plain: bool,
    /// SHA-256 over the certificates' DER.
    pub digest: [u8; 32],
}
