//! Client certificates on a listener: who signs them, which are revoked, and which one a client showed.
//!
//! Whatever cannot be decided refuses the client: a file that is not read completely is an error at load, and a missing
//! or outdated revocation list refuses every client of its CA.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use openssl::base64::encode_block;
use openssl::error::ErrorStack;
use openssl::sha::Sha256;
use openssl::ssl::{SslFiletype, SslRef, SslVerifyMode};
use openssl::x509::store::{X509Lookup, X509StoreBuilder};
use openssl::x509::{X509, X509Crl, X509Ref, X509StoreContextRef, X509VerifyResult};

use super::client_fields::ClientFields;
use super::finding::{Finding, Part};
use super::materials::{add_file, name_text, time_text};
use super::pem::{self, Block};
use super::verify::{Role, Verdict, Verifier};
use super::{TrustBundle, reason};

/// The longest value of `Client-Cert-Chain` in bytes. A longer one is left out, because the client decides how long its
/// chain is.
const CHAIN_FIELD: usize = 16 * 1024;

/// Whether a client must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificateMode {
    /// A client without a certificate is let in; a client with an invalid one is not.
    Optional,
    /// A handshake without a certificate fails.
    Required,
}

/// The CAs whose client certificates a listener accepts, and their revocation lists.
#[derive(Debug)]
pub struct ClientCa {
    /// The CAs, one of which must have signed the certificate.
    pub trust: Arc<TrustBundle>,
    /// Whether there must be one.
    pub mode: ClientCertificateMode,
    /// PEM files of revocation lists. If there are any, every certificate of a client's chain is looked up, and a
    /// client is refused if one of its issuers, the root included, has no current list here (like `ssl_crl` of nginx).
    /// The topmost CA of the bundle is looked up only if it is a root.
    pub crl: Vec<PathBuf>,
    verifier: Verifier,
    /// When the first of the lists becomes outdated, in seconds since 1970; None without lists.
    pub lists_until: Option<i64>,
    /// SHA-256 over the trust bundle, the mode and the lists.
    pub digest: [u8; 32],
}

/// What distinguishes a [`ClientCa`] for a client, and the name of its bundle in messages.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientCaIdentity {
    digest: [u8; 32],
    bundle: String,
}

/// A verified client certificate, in the form in which the upstream gets it (RFC 9440).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The subject, in the form of RFC 4514.
    pub subject: String,
    /// The value of `Client-Cert`.
    pub certificate: Bytes,
    /// The value of `Client-Cert-Chain`: the issuers, without the root.
    pub chain: Option<Bytes>,
    /// SHA-256 of the certificate, to which tokens are bound (RFC 8705).
    pub sha256: [u8; 32],
    /// What it says of its owner.
    pub fields: ClientFields,
}

impl ClientCa {
    /// Reads the lists and makes the verifier. Each finding has the index of its list. None if anything cannot be used.
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
        let mut whole = true;
        for (index, path) in crl.iter().enumerate() {
            match read_lists(path, &trust) {
                Ok((pem, lists)) => {
                    add_file(&mut sha, &pem);
                    let late = lists.iter().filter_map(outdated);
                    findings.extend(late.map(|finding| (index, finding)));
                    listed.extend(lists);
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
        if !whole {
            return None;
        }
        let verifier = match Verifier::new(&trust, Role::Client, &crl) {
            Ok(verifier) => verifier,
            Err(error) => {
                let message = format!("clients cannot be verified under it: {error}");
                findings.push((0, Finding::error(Part::Chain, message, None)));
                return None;
            }
        };
        let ends = listed.iter().filter_map(|list| list.next_update());
        Some(Self {
            trust,
            mode,
            crl,
            verifier,
            lists_until: ends.filter_map(reason::unix_time).min(),
            digest: sha.finish(),
        })
    }

    /// The answer of a handshake's verify callback to OpenSSL. `shown` keeps the verdict for the log and the request.
    pub fn judge(&self, context: &mut X509StoreContextRef, shown: &OnceLock<Verdict>) -> bool {
        // OpenSSL may call back several times in a handshake; the first call judges the whole chain for all of them.
        let verdict = shown.get_or_init(|| self.verifier.verify_presented(context));
        context.set_error(verdict.result);
        verdict.is_good()
    }

    /// For comparison: two with the same identity can stand in for each other.
    pub(crate) fn identity(&self) -> ClientCaIdentity {
        ClientCaIdentity {
            digest: self.digest,
            bundle: self.trust.name.clone(),
        }
    }

    /// Whether both ask for certificates of the same CAs, in the same mode and with lists of the same file names. The
    /// content of the lists may differ.
    #[must_use]
    pub fn asks_like(&self, other: &Self) -> bool {
        (self.mode, &self.crl, self.trust.digest) == (other.mode, &other.crl, other.trust.digest)
    }

    /// The mode for OpenSSL.
    #[must_use]
    pub fn verify_mode(&self) -> SslVerifyMode {
        match self.mode {
            // On a server this asks for a certificate and goes on without one.
            ClientCertificateMode::Optional => SslVerifyMode::PEER,
            ClientCertificateMode::Required => {
                SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT
            }
        }
    }
}

impl ClientIdentity {
    /// None if this handshake verified no certificate. A resumed session verifies nothing.
    #[must_use]
    pub fn of(ssl: &SslRef, verdict: &Verdict) -> Option<Self> {
        let verified = ssl.verify_result() == X509VerifyResult::OK && verdict.is_good();
        if ssl.session_reused() || !verified {
            return None;
        }
        let certificate = ssl.peer_certificate()?;
        // The upstream gets the certificate of this connection, so the verdict must be about the same one.
        if verdict.chain.first() != Some(&certificate) {
            return None;
        }
        let issuers = verdict.chain.iter().skip(1);
        // Without the root: whoever verifies the chain must have it already (RFC 9440, 2.3).
        let issuers = issuers.filter(|above| above.issued(above) != X509VerifyResult::OK);
        let issuers: Vec<String> = issuers.filter_map(|above| byte_sequence(above)).collect();
        let chain = Some(issuers.join(", "));
        let chain = chain.filter(|text| !text.is_empty() && text.len() <= CHAIN_FIELD);
        Some(Self {
            subject: subject(&certificate),
            certificate: byte_sequence(&certificate)?.into(),
            chain: chain.map(Into::into),
            sha256: openssl::sha::sha256(&certificate.to_der().ok()?),
            fields: ClientFields::of(&certificate),
        })
    }
}

/// The subject, or the first of the names if the subject is empty.
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
    let fail = |message, help| Err(Finding::error(Part::Chain, message, help));
    let shown = path.display();
    let pem = match seclang::files::read(path) {
        Ok(pem) => pem,
        Err(error) => return fail(format!("cannot read {shown}: {error}"), None),
    };
    let lists = pem::blocks(&pem).and_then(|blocks| {
        let lists = blocks.iter().filter(|block| block.label == "X509 CRL");
        lists.map(Block::list).collect::<Result<Vec<_>, _>>()
    });
    let lists = match lists {
        Ok(lists) => lists,
        Err(damage) => {
            return fail(format!("{shown}: a list in it is damaged: {damage}"), None);
        }
    };
    if lists.is_empty() {
        return match pem::recognise(&pem) {
            Some(foreign) => fail(format!("{shown} {}", foreign.what), foreign.help),
            None => fail(
                format!("{shown} holds no revocation list"),
                Some(
                    "a PEM file has a line -----BEGIN X509 CRL-----; from DER: openssl crl -inform der -in FILE -out FILE.pem",
                ),
            ),
        };
    }
    let taken = taken_by_openssl(path);
    if taken.as_ref().ok() != Some(&lists.len()) {
        return fail(
            format!(
                "{shown} holds {} lists, and OpenSSL does not read them all",
                lists.len()
            ),
            Some("write them anew: openssl crl -in FILE -out FILE.pem, for each list"),
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

/// How many lists OpenSSL reads from the file. A list that our parser reads and OpenSSL skips would revoke nobody.
fn taken_by_openssl(path: &Path) -> Result<usize, ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    let count = store
        .add_lookup(X509Lookup::file())?
        .load_crl_file(path, SslFiletype::PEM)?;
    Ok(usize::try_from(count).unwrap_or_default())
}

fn is_by(list: &X509Crl, ca: &X509) -> bool {
    // By name and signature: another CA may have the same name.
    let same = ca.subject_name().try_cmp(list.issuer_name());
    same.is_ok_and(std::cmp::Ordering::is_eq)
        && ca
            .public_key()
            .is_ok_and(|key| list.verify(&key).unwrap_or(false))
}

fn outdated(list: &X509Crl) -> Option<Finding> {
    let by = name_text(list.issuer_name());
    let Some(until) = list.next_update() else {
        let message = format!(
            "the list of \"{by}\" does not say how long it is good (RFC 5280, 5.1.2.5), so it never counts as outdated"
        );
        return Some(Finding::warning(Part::Chain, message, None));
    };
    // A time that cannot be read counts as past.
    let is_past = reason::unix_time(until).is_none_or(|until| until <= super::now());
    is_past.then(|| {
        let message = format!(
            "the list of \"{by}\" was good until {}; until there is a new one, its clients are refused",
            time_text(until)
        );
        Finding::warning(Part::Chain, message, None)
    })
}
