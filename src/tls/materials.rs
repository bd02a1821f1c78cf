//! Reads certificates and keys from their files, and reports problems in operators' words.
//!
//! A file is used completely or not at all.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::sha::Sha256;
use openssl::x509::{X509, X509NameRef, X509Ref, X509VerifyResult};

use super::CertifiedKey;
use super::finding::{Finding, Part};
use super::pem::{self, Block};
use super::stapling::Stapling;
use crate::time::Utc;

impl CertifiedKey {
    /// Reads a PEM chain, leaf first, and its PEM key (PKCS#8, SEC1 or PKCS#1; not encrypted).
    ///
    /// `running` is what these files held before: it is returned if they still hold the same. Warnings go to `findings`.
    ///
    /// None if it cannot be used; the reason is in `findings`.
    #[must_use]
    pub fn load(
        chain: &Path,
        key: &Path,
        running: Option<&Arc<Self>>,
        findings: &mut Vec<Finding>,
    ) -> Option<Arc<Self>> {
        let file = Some(chain.to_owned());
        // Both files are read before anything fails, so that one attempt reports the problems of both.
        let chain_pem = read(chain, Part::Chain, findings);
        let key_pem = read(key, Part::Key, findings);
        let read = chain_pem.as_deref().zip(key_pem.as_deref());
        let read = read.map(|(chain, key)| digest_of_files([chain, key]));
        let same = running.filter(|running| read.is_some() && running.read == read);
        if let Some(same) = same {
            // The same content may have another mode now, and the certificate may have expired.
            findings.extend(readable_by_others(key));
            let chain = same.chain.iter();
            findings.extend(chain.filter_map(|c| check_validity(c, Part::Chain)));
            return Some(Arc::clone(same));
        }
        let chain = chain_pem.and_then(|pem| parse_chain(&pem, chain, findings));
        let parsed = key_pem.and_then(|pem| keep(parse_key(&pem, key), findings));
        if parsed.is_some() {
            findings.extend(readable_by_others(key));
        }
        let whole = Self::assemble(chain?, parsed?, findings)?;
        Some(Arc::new(Self {
            file,
            read,
            ..whole
        }))
    }

    /// The same with the leaf's OCSP response (DER), to be stapled. None if the file is not a response; the reason is
    /// in `findings`.
    #[must_use]
    pub fn with_ocsp(&self, file: &Path, findings: &mut Vec<Finding>) -> Option<Self> {
        let ocsp = match super::stapling::load(file, &self.chain, findings) {
            Stapling::Staple(response) => Some(response),
            Stapling::LeaveOut => None,
            Stapling::Broken => return None,
        };
        let mut sha = Sha256::new();
        sha.update(&self.digest);
        // A new response must count as a change, so that a reload makes new acceptors.
        sha.update(ocsp.as_deref().unwrap_or_default());
        Some(Self {
            chain: self.chain.clone(),
            key: self.key.clone(),
            names: self.names.clone(),
            digest: sha.finish(),
            ocsp,
            file: self.file.clone(),
            read: self.read,
        })
    }

    /// Like [`CertifiedKey::load`], from memory, without warnings.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, Vec<Finding>> {
        let mut findings = Vec::new();
        let chain = parse_chain(chain, Path::new("the chain"), &mut findings);
        let key = keep(parse_key(key, Path::new("the key")), &mut findings);
        let assembled = match (chain, key) {
            (Some(chain), Some(key)) => Self::assemble(chain, key, &mut findings),
            _ => None,
        };
        assembled.ok_or(findings)
    }

    fn assemble(chain: Vec<X509>, key: PKey<Private>, findings: &mut Vec<Finding>) -> Option<Self> {
        let leaf = chain.first()?;
        let fits = leaf.public_key().is_ok_and(|public| public.public_eq(&key));
        if !fits {
            findings.push(Finding::error(
                Part::Key,
                format!("the key does not fit the certificate of {}", subject(leaf)),
                Some("the key and the first certificate of the chain must be made as a pair"),
            ));
        }
        let ordered = keep(check_order(&chain), findings).is_some();
        for certificate in &chain {
            findings.extend(check_validity(certificate, Part::Chain));
        }
        let names = dns_names(leaf);
        // Only now, so that one attempt reports every problem.
        if !(fits && ordered) {
            return None;
        }
        let digest = keep(digest(&chain, Some(&key)), findings)?;
        Some(Self {
            chain,
            key,
            names,
            digest,
            ocsp: None,
            file: None,
            read: None,
        })
    }
}

/// `CN=api.example.com, O=Example`, as people name a certificate.
#[must_use]
pub fn name_text(name: &X509NameRef) -> String {
    let mut parts: Vec<String> = Vec::new();
    for entry in name.entries() {
        let key = entry.object().nid().short_name().unwrap_or("?");
        let value = match entry.data().to_string() {
            Ok(value) => value,
            Err(_) => String::from_utf8_lossy(entry.data().as_slice()).into_owned(),
        };
        parts.push(format!("{key}={value}"));
    }
    // The common name first, because people look for it.
    parts.sort_by_key(|part| !part.starts_with("CN="));
    parts.join(", ")
}

/// A day and time in UTC, e.g. `2026-11-21 20:58:58 UTC`.
#[must_use]
pub fn time_text(time: &Asn1TimeRef) -> String {
    match unix_time(time) {
        Some(seconds) => Utc::at(seconds).to_string(),
        None => time.to_string(),
    }
}

/// Seconds since 1970; None if the time is malformed.
#[must_use]
pub fn unix_time(time: &Asn1TimeRef) -> Option<i64> {
    let since = Asn1Time::from_unix(0).ok()?.diff(time).ok()?;
    Some(i64::from(since.days) * 86_400 + i64::from(since.secs))
}

pub(super) fn read(path: &Path, part: Part, findings: &mut Vec<Finding>) -> Option<Vec<u8>> {
    let error = match seclang::files::read(path) {
        Ok(content) => return Some(content),
        Err(error) => error,
    };
    let reason = match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "no permission to read it".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    };
    let message = format!("cannot read {}: {reason}", path.display());
    findings.push(Finding::error(part, message, None));
    None
}

pub(super) fn parse_chain(
    bytes: &[u8],
    path: &Path,
    findings: &mut Vec<Finding>,
) -> Option<Vec<X509>> {
    let shown = path.display();
    let read = pem::blocks(bytes).and_then(|blocks| {
        let certificates = blocks.iter().filter(|block| block.is_certificate());
        let certificates = certificates.map(Block::certificate);
        Ok((certificates.collect::<Result<Vec<X509>, _>>()?, blocks))
    });
    let (certificates, blocks) = match read {
        Ok(read) => read,
        Err(damage) => {
            let message = format!("{shown}: a certificate in it is damaged: {damage}");
            findings.push(Finding::error(Part::Chain, message, None));
            return None;
        }
    };
    if certificates.is_empty() {
        findings.push(no_certificate(bytes, path));
        return None;
    }
    // We would ignore any other block, such as a revocation list, although somebody put it there to be used. A key and
    // its parameters may stand in the same file.
    let beside = |block: &&Block| {
        let label = block.label.as_str();
        let may_be = label.ends_with("PRIVATE KEY") || label.ends_with("PARAMETERS");
        !block.is_certificate() && !may_be
    };
    if let Some(block) = blocks.iter().find(beside) {
        let message = format!(
            "{shown}: line {}: a \"{}\" has no place among certificates",
            block.lines.0, block.label
        );
        findings.push(Finding::error(Part::Chain, message, None));
        return None;
    }
    Some(certificates)
}

fn no_certificate(bytes: &[u8], path: &Path) -> Finding {
    let shown = path.display();
    let (message, help) = match pem::recognise(bytes) {
        _ if contains(bytes, b"PRIVATE KEY-----") => (
            format!("{shown} holds a key and no certificate"),
            Some("chain and key may have changed places"),
        ),
        Some(foreign) => (format!("{shown} {}", foreign.what), foreign.help),
        None => (
            format!("{shown} holds no certificate"),
            Some("a PEM file has a line -----BEGIN CERTIFICATE-----"),
        ),
    };
    Finding::error(Part::Chain, message, help)
}

fn parse_key(bytes: &[u8], path: &Path) -> Result<PKey<Private>, Finding> {
    let shown = path.display();
    let fail = |message, help| Err(Finding::error(Part::Key, message, help));
    // Checked first, because OpenSSL without a password calls such a key damaged.
    if contains(bytes, b"ENCRYPTED") {
        return fail(
            format!("{shown} is encrypted; nobody is there to type its password"),
            Some("decrypt it: openssl pkey -in FILE -out FILE.plain, mode 0600"),
        );
    }
    // The callback never gives a password, so that nothing asks for one on a terminal.
    if let Ok(key) = PKey::private_key_from_pem_callback(pem::unmarked(bytes), |_| Ok(0)) {
        return Ok(key);
    }
    let blocks = match pem::blocks(bytes) {
        Ok(blocks) => blocks,
        Err(damage) => {
            return fail(format!("{shown}: the key in it is damaged: {damage}"), None);
        }
    };
    let key = blocks
        .iter()
        .find(|block| block.label.ends_with("PRIVATE KEY"));
    // OpenSSL does not read PEM with blanks before its lines. Our reader does, so its DER is tried.
    if let Some(Ok(key)) = key.map(|key| PKey::private_key_from_der(&key.der)) {
        return Ok(key);
    }
    match (key, pem::recognise(bytes)) {
        (_, Some(foreign)) => fail(format!("{shown} {}", foreign.what), foreign.help),
        (Some(key), None) => fail(
            format!(
                "{shown}: the key in it is damaged: lines {} to {} are whole base64, but no key that can be read",
                key.lines.0, key.lines.1
            ),
            None,
        ),
        (None, None) if blocks.iter().any(Block::is_certificate) => fail(
            format!("{shown} holds a certificate and no key"),
            Some("chain and key may have changed places"),
        ),
        (None, None) => fail(
            format!("{shown} holds no private key"),
            Some("a PEM file has a line -----BEGIN PRIVATE KEY-----"),
        ),
    }
}

/// Checks that each certificate is signed by the next. Some clients do not reorder a chain.
pub(super) fn check_order(chain: &[X509]) -> Result<(), Finding> {
    for pair in chain.windows(2) {
        let [below, above] = pair else { continue };
        // `issued` compares only names and key identifiers; a reissued CA can have the same, with another key.
        let signed = above.issued(below) == X509VerifyResult::OK
            && above
                .public_key()
                .is_ok_and(|key| below.verify(&key).unwrap_or(false));
        if !signed {
            return Err(Finding::error(
                Part::Chain,
                format!(
                    "the chain is broken: {} is signed by \"{}\", but the next certificate is {}",
                    subject(below),
                    name_text(below.issuer_name()),
                    subject(above)
                ),
                Some("the leaf comes first, then each certificate's issuer"),
            ));
        }
    }
    Ok(())
}

pub(super) fn check_validity(certificate: &X509Ref, part: Part) -> Option<Finding> {
    let now = Asn1Time::days_from_now(0).ok()?;
    let (from, until) = (certificate.not_before(), certificate.not_after());
    let state = if *until < *now {
        format!("expired on {}", time_text(until))
    } else if *from > *now {
        format!("is not valid before {}", time_text(from))
    } else {
        return None;
    };
    let message = format!("the certificate of {} {state}", subject(certificate));
    Some(Finding::warning(part, message, None))
}

/// The subject in quotes, or the first DNS name if the subject is empty.
pub(super) fn subject(certificate: &X509Ref) -> String {
    let text = name_text(certificate.subject_name());
    match (text.is_empty(), dns_names(certificate).first()) {
        (false, _) => format!("\"{text}\""),
        (true, Some(name)) => format!("\"{name}\""),
        (true, None) => "\"\"".to_owned(),
    }
}

pub(super) fn dns_names(certificate: &X509Ref) -> Vec<String> {
    let Some(names) = certificate.subject_alt_names() else {
        let common = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
        return common
            .filter_map(|entry| entry.data().to_string().ok())
            .map(|name| name.to_ascii_lowercase())
            .collect();
    };
    let dns = names.iter().filter_map(|name| name.dnsname());
    dns.map(str::to_ascii_lowercase).collect()
}

pub(super) fn digest(
    certificates: &[X509],
    key: Option<&PKey<Private>>,
) -> Result<[u8; 32], Finding> {
    let failed = |error: openssl::error::ErrorStack| {
        Finding::error(Part::Chain, format!("cannot be encoded: {error}"), None)
    };
    let mut sha = Sha256::new();
    for certificate in certificates {
        let der = certificate.to_der().map_err(failed)?;
        // The length first, so that two lists of certificates never hash the same bytes.
        sha.update(&(der.len() as u64).to_be_bytes());
        sha.update(&der);
    }
    if let Some(key) = key {
        sha.update(&key.private_key_to_der().map_err(failed)?);
    }
    Ok(sha.finish())
}

fn digest_of_files(files: [&[u8]; 2]) -> [u8; 32] {
    let mut sha = Sha256::new();
    files.iter().for_each(|file| add_file(&mut sha, file));
    sha.finish()
}

/// Adds a file to a digest of several. The length comes first, so that bytes that move from one file to the next are a
/// change.
pub(super) fn add_file(sha: &mut Sha256, file: &[u8]) {
    sha.update(&(file.len() as u64).to_be_bytes());
    sha.update(file);
}

/// Warns about a secret's file that people outside of its owner and group can read, or others than its owner can
/// change.
#[must_use]
pub fn readable_by_others(path: &Path) -> Option<Finding> {
    use std::os::unix::fs::PermissionsExt;
    let shown = path.display();
    let help = Some("chmod 0600, or 0640 for a group of its own");
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode() & 0o7777,
        Err(error) => {
            let message = format!("nobody knows who may read {shown}: {error}");
            return Some(Finding::warning(Part::Key, message, help));
        }
    };
    let what = match mode {
        _ if mode & 0o004 != 0 => "can be read by everybody on this machine",
        _ if mode & 0o022 != 0 => "can be changed by others than its owner",
        _ => return None,
    };
    let message = format!("{shown} {what} (mode {mode:04o})");
    Some(Finding::warning(Part::Key, message, help))
}

pub(super) fn keep<T>(result: Result<T, Finding>, findings: &mut Vec<Finding>) -> Option<T> {
    result.map_err(|finding| findings.push(finding)).ok()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

#[cfg(test)]
mod tests;
