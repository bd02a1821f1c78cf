//! Client certificates on a listener: who signs them, which are revoked, and whose was shown.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use openssl::asn1::Asn1Time;
use openssl::base64::encode_block;
use openssl::error::ErrorStack;
use openssl::sha::Sha256;
use openssl::ssl::{SslFiletype, SslRef, SslVerifyMode};
use openssl::x509::store::{X509Lookup, X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Crl, X509Ref, X509VerifyResult};
use rustix::fs::{MemfdFlags, memfd_create};

use super::materials::{Finding, Part, name_text, time_text};
use super::{TrustBundle, reason};

/// More of a chain than this is not passed on, in bytes of the field's value.
const CHAIN_FIELD: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificateMode {
    /// Who shows none is let in; who shows one that does not hold is not.
    Optional,
    /// No handshake without one.
    Required,
}

/// Whose client certificates a listener takes.
#[derive(Debug)]
pub struct ClientCa {
    pub trust: Arc<TrustBundle>,
    pub mode: ClientCertificateMode,
    /// PEM. With any, every certificate of a client's chain is looked up, and a client of which any
    /// issuer, the root included, has no current list here is refused (as nginx's `ssl_crl` has it).
    pub crl: Vec<PathBuf>,
    /// What was in them when they were checked, as files that nobody else has: OpenSSL reads nothing else.
    lists: Vec<File>,
    /// SHA-256 over all of it.
    pub digest: [u8; 32],
}

/// A verified client certificate, as the upstream is told of it (RFC 9440).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    pub subject: String,
    /// The value of `Client-Cert`.
    pub certificate: Bytes,
    /// The value of `Client-Cert-Chain`: the issuers, without the root.
    pub chain: Option<Bytes>,
}

impl ClientCa {
    /// The findings of each list stand beside its index.
    #[must_use]
    pub fn load(
        trust: Arc<TrustBundle>,
        mode: ClientCertificateMode,
        crl: Vec<PathBuf>,
        findings: &mut Vec<(usize, Finding)>,
    ) -> Option<Self> {
        let mut sha = Sha256::new();
        sha.update(&trust.digest);
        sha.update(&[u8::from(mode == ClientCertificateMode::Required)]);
        let mut listed = Vec::new();
        let mut checked = Vec::new();
        let mut whole = true;
        for (index, path) in crl.iter().enumerate() {
            let read = read_lists(path, &trust).and_then(|(pem, lists)| {
                let kept = in_memory(&pem).map_err(|error| {
                    let message = format!("cannot keep {}: {error}", path.display());
                    Finding::error(Part::Chain, message, None)
                })?;
                Ok((pem, lists, kept))
            });
            match read {
                Ok((pem, lists, kept)) => {
                    sha.update(&(pem.len() as u64).to_be_bytes());
                    sha.update(&pem);
                    let late = lists.iter().filter_map(outdated);
                    findings.extend(late.map(|finding| (index, finding)));
                    listed.extend(lists);
                    checked.push(kept);
                }
                Err(finding) => {
                    whole = false;
                    findings.push((index, finding));
                }
            }
        }
        if whole && !listed.is_empty() {
            let bare = trust.certificates.iter().filter(|ca| {
                let lists = listed.iter();
                !lists.into_iter().any(|list| is_by(list, ca))
            });
            findings.extend(bare.map(|ca| {
                let message = format!(
                    "there is no list of the CA \"{}\", so its clients are refused, and those of the CAs that it signed",
                    name_text(ca.subject_name())
                );
                (0, Finding::warning(Part::Chain, message, None))
            }));
        }
        whole.then(|| Self {
            trust,
            mode,
            crl,
            lists: checked,
            digest: sha.finish(),
        })
    }

    /// # Errors
    /// OpenSSL does not take what was checked.
    pub fn store(&self) -> Result<X509Store, ErrorStack> {
        let mut store = X509StoreBuilder::new()?;
        for ca in &self.trust.certificates {
            store.add_cert(ca.clone())?;
        }
        if !self.lists.is_empty() {
            let lookup = store.add_lookup(X509Lookup::file())?;
            for file in &self.lists {
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                lookup.load_crl_file(path, SslFiletype::PEM)?;
            }
            // Who issued the client's issuer may have revoked it; without a list nobody knows.
            store.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL)?;
        }
        Ok(store.build())
    }

    /// Of the same CAs, in the same way and under lists of the same names.
    #[must_use]
    pub fn asks_like(&self, other: &Self) -> bool {
        (self.mode, &self.crl, self.trust.digest) == (other.mode, &other.crl, other.trust.digest)
    }

    #[must_use]
    pub fn verify_mode(&self) -> SslVerifyMode {
        match self.mode {
            ClientCertificateMode::Optional => SslVerifyMode::PEER,
            ClientCertificateMode::Required => {
                SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT
            }
        }
    }
}

fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let descriptor = memfd_create("crl", MemfdFlags::CLOEXEC)?;
    let mut file = File::from(descriptor);
    file.write_all(bytes)?;
    Ok(file)
}

impl ClientIdentity {
    /// None where this handshake verified no certificate; a resumed one verifies nothing.
    #[must_use]
    pub fn of(ssl: &SslRef) -> Option<Self> {
        if ssl.session_reused() || ssl.verify_result() != X509VerifyResult::OK {
            return None;
        }
        let certificate = ssl.peer_certificate()?;
        let issuers: Option<Vec<String>> = ssl.verified_chain().map(|chain| {
            let issuers = chain.iter().skip(1);
            let issuers = issuers.filter(|above| above.issued(above) != X509VerifyResult::OK);
            issuers.filter_map(byte_sequence).collect()
        });
        let chain = issuers.map(|issuers| issuers.join(", "));
        let chain = chain.filter(|text| !text.is_empty() && text.len() <= CHAIN_FIELD);
        Some(Self {
            subject: subject(&certificate),
            certificate: byte_sequence(&certificate)?.into(),
            chain: chain.map(Into::into),
        })
    }
}

/// The subject, or its first name where it is empty.
fn subject(certificate: &X509) -> String {
    match name_text(certificate.subject_name()) {
        text if text.is_empty() => reason::names(certificate)
            .into_iter()
            .next()
            .unwrap_or_default(),
        text => text,
    }
}

/// A structured field's byte sequence (RFC 8941, 3.3.5) of the DER.
fn byte_sequence(certificate: &X509Ref) -> Option<String> {
    let der = certificate.to_der().ok()?;
    Some(format!(":{}:", encode_block(&der)))
}

fn read_lists(path: &Path, trust: &TrustBundle) -> Result<(Vec<u8>, Vec<X509Crl>), Finding> {
    const END: &[u8] = b"-----END X509 CRL-----";
    let fail = |message, help| Err(Finding::error(Part::Chain, message, help));
    let shown = path.display();
    let pem = match crate::files::read(path) {
        Ok(pem) => pem,
        Err(error) => return fail(format!("cannot read {shown}: {error}"), None),
    };
    let mut lists = Vec::new();
    let mut start = 0;
    for end in memchr::memmem::find_iter(&pem, END) {
        let end = end + END.len();
        // Both were found in order.
        match X509Crl::from_pem(&pem[start..end]) {
            Ok(list) => lists.push(list),
            Err(error) => {
                return fail(format!("{shown}: a list in it is damaged: {error}"), None);
            }
        }
        start = end;
    }
    if lists.is_empty() {
        return fail(
            format!("{shown} holds no revocation list"),
            Some(
                "a PEM file has a line -----BEGIN X509 CRL-----; from DER: openssl crl -inform der -in FILE -out FILE.pem",
            ),
        );
    }
    for list in &lists {
        if !trust.certificates.iter().any(|ca| is_by(list, ca)) {
            return fail(
                format!(
                    "{shown}: the list of \"{}\" is signed by no CA of trust bundle \"{}\"",
                    name_text(list.issuer_name()),
                    trust.name
                ),
                Some("name the lists of the CAs that sign the clients' certificates"),
            );
        }
    }
    Ok((pem, lists))
}

fn is_by(list: &X509Crl, ca: &X509) -> bool {
    let same = ca.subject_name().try_cmp(list.issuer_name());
    same.is_ok_and(std::cmp::Ordering::is_eq)
        && ca
            .public_key()
            .is_ok_and(|key| list.verify(&key).unwrap_or(false))
}

fn outdated(list: &X509Crl) -> Option<Finding> {
    let until = list.next_update()?;
    let now = Asn1Time::days_from_now(0).ok()?;
    (*until < *now).then(|| {
        let message = format!(
            "the list of \"{}\" was good until {}; until there is a new one, its clients are refused",
            name_text(list.issuer_name()),
            time_text(until)
        );
        Finding::warning(Part::Chain, message, None)
    })
}
