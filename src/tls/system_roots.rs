//! The public roots that the system trusts, for servers on the Internet.

use std::fmt;
use std::path::{Path, PathBuf};

use openssl::sha::Sha256;
use openssl::x509::X509;

use super::TrustBundle;
use super::pem::{self, Block};
use super::verify::is_plain;

/// Where systems keep all roots in one file: Debian, Red Hat, SUSE, Alpine and the BSDs. Our OpenSSL is compiled in and
/// has no path of its own.
const FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// There is no file with the system's roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoSystemRoots;

impl fmt::Display for NoSystemRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the system has no public roots in {}", FILES.join(", "))
    }
}

impl std::error::Error for NoSystemRoots {}

impl TrustBundle {
    /// The name of the system's roots. No table can have it: it has a blank.
    pub const SYSTEM: &str = "system roots";

    /// The system's public roots.
    ///
    /// # Errors
    /// No file has any.
    pub fn system() -> Result<Self, NoSystemRoots> {
        let mut found = FILES.iter().filter_map(|file| Self::roots(Path::new(file)));
        found.next().ok_or(NoSystemRoots)
    }

    /// Whether these are the system's roots.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.name == Self::SYSTEM
    }

    /// Its name in a message.
    #[must_use]
    pub fn words(&self) -> String {
        match self.is_system() {
            true => "the system's public roots".to_owned(),
            false => format!("trust bundle \"{}\"", self.name),
        }
    }

    /// The roots in this file. Nobody here writes it, so what cannot be read of it is left out.
    fn roots(file: &Path) -> Option<Self> {
        let bytes = seclang::files::read(file).ok()?;
        let blocks = pem::blocks(&bytes).ok()?;
        let roots = blocks.iter().filter(|block| block.is_certificate());
        let certificates: Vec<X509> = roots.flat_map(Block::certificate).collect();
        let mut sha = Sha256::new();
        for root in &certificates {
            sha.update(&root.to_der().ok()?);
        }
        (!certificates.is_empty()).then(|| Self {
            name: Self::SYSTEM.to_owned(),
            plain: is_plain(&certificates),
            files: vec![PathBuf::from(file); certificates.len()],
            certificates,
            digest: sha.finish(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dev_pki::Authority;

    #[test]
    fn what_is_no_certificate_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("roots.pem");
        let pem = |name| Authority::new(name, 1).unwrap().certificate_pem().unwrap();
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&file, [pem("One"), broken.to_vec(), pem("Two")].concat()).unwrap();
        let roots = TrustBundle::roots(&file).unwrap();
        assert_eq!((roots.certificates.len(), roots.files.len()), (2, 2));
        assert_eq!(roots.words(), "the system's public roots");
        std::fs::write(&file, broken).unwrap();
        assert!(TrustBundle::roots(&file).is_none());
        assert!(TrustBundle::roots(&folder.path().join("none")).is_none());
    }
}
