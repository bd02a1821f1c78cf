//! Makes certificate authorities and leaves, for `demo` and the tests.
//!
//! ECDSA P-256 unless asked otherwise, with the extensions that verifiers look for (RFC 5280, 4.2).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1Integer, Asn1Object, Asn1OctetString, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{
    X509, X509Builder, X509CrlBuilder, X509Extension, X509Name, X509NameBuilder, X509RevokedBuilder,
};

const DAY: i64 = 24 * 60 * 60;
/// Certificates begin a little in the past, so that a clock that is behind believes them.
const BACKDATE: i64 = 60 * 60;

/// A certificate authority that can sign.
#[derive(Debug, Clone)]
pub struct Authority {
    certificate: X509,
    key: PKey<Private>,
    /// What a server sends after its leaf: this authority and those above it, without the root.
    intermediates: Vec<X509>,
    /// Whether what it signs says which key signed it (RFC 5280, 4.2.1.1).
    key_ids: bool,
}

/// What a leaf is to be, beside its names. The default is a server certificate valid for 90 days.
#[derive(Debug, Clone)]
pub struct LeafOptions {
    /// The subject's common name; the first name where there is none.
    pub common_name: Option<String>,
    /// Days from now until it begins; negative is in the past.
    pub starts_in_days: i64,
    /// Days from now until it ends; negative makes an expired certificate.
    pub ends_in_days: i64,
    /// IP addresses for the SAN.
    pub addresses: Vec<IpAddr>,
    /// What it may be used for.
    pub usage: Usage,
    /// The kind of its key.
    pub key: KeyKind,
}

/// The extended key usage of a leaf (RFC 5280, 4.2.1.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// serverAuth.
    Server,
    /// clientAuth.
    Client,
    /// serverAuth and clientAuth.
    Both,
}

/// The kinds of keys that certificates are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA over P-256.
    EcP256,
    /// RSA of 2048 bits.
    Rsa2048,
    /// Too weak to be taken; for tests of that.
    Rsa1024,
}

/// A leaf with what its server sends, and its key; both PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Leaf first, then intermediates; the root is not in it.
    pub chain_pem: Vec<u8>,
    /// PKCS#8.
    pub key_pem: Vec<u8>,
}

impl Authority {
    /// A self-signed root that is valid for `days` from now; negative makes an expired one.
    ///
    /// # Errors
    /// What OpenSSL says, e.g. that there is no randomness.
    pub fn new(common_name: &str, days: i64) -> Result<Self, ErrorStack> {
        Self::root(common_name, days, true)
    }

    /// Like [`Authority::new`]; neither it nor what it signs has key identifiers.
    ///
    /// # Errors
    /// What OpenSSL says.
    pub fn without_key_ids(common_name: &str, days: i64) -> Result<Self, ErrorStack> {
        Self::root(common_name, days, false)
    }

    fn root(common_name: &str, days: i64, key_ids: bool) -> Result<Self, ErrorStack> {
        let key = KeyKind::EcP256.generate()?;
        let name = name(common_name)?;
        let mut builder = begin(&name, &name, &key, validity_start(0, days), days)?;
        add_authority_extensions(&mut builder, None, None, key_ids)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Self {
            certificate: builder.build(),
            key,
            intermediates: Vec::new(),
            key_ids,
        })
    }

    /// An authority signed by this one, which may sign leaves only.
    ///
    /// # Errors
    /// What OpenSSL says.
    pub fn intermediate(&self, common_name: &str, days: i64) -> Result<Self, ErrorStack> {
        let key = KeyKind::EcP256.generate()?;
        let issuer = self.certificate.subject_name();
        let start = validity_start(0, days);
        let mut builder = begin(&*name(common_name)?, issuer, &key, start, days)?;
        add_authority_extensions(&mut builder, Some(&self.certificate), Some(0), self.key_ids)?;
        builder.sign(&self.key, MessageDigest::sha256())?;
        let certificate = builder.build();
        // The nearest first: each certificate certifies the one before it (RFC 8446, 4.4.2).
        let mut intermediates = vec![certificate.clone()];
        intermediates.extend(self.intermediates.iter().cloned());
        Ok(Self {
            certificate,
            key,
            intermediates,
            key_ids: self.key_ids,
        })
    }

    /// One that was made before, from its certificate and key.
    ///
    /// # Errors
    /// They are damaged or no pair.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, ErrorStack> {
        let certificate = X509::from_pem(certificate)?;
        let key = PKey::private_key_from_pem(key)?;
        // What another key signs would fail much later, and only at a client.
        if !certificate.public_key()?.public_eq(&key) {
            return Err(ErrorStack::get());
        }
        Ok(Self {
            certificate,
            key,
            intermediates: Vec::new(),
            key_ids: true,
        })
    }

    /// PKCS#8, PEM.
    ///
    /// # Errors
    /// What OpenSSL says.
    pub fn key_pem(&self) -> Result<Vec<u8>, ErrorStack> {
        self.key.private_key_to_pem_pkcs8()
    }

    /// A leaf for these DNS names (`*.example.com` is one).
    ///
    /// # Errors
    /// What OpenSSL says.
    pub fn leaf(&self, names: &[&str], options: &LeafOptions) -> Result<Issued, ErrorStack> {
        let key = options.key.generate()?;
        let common_name = options.common_name.as_deref();
        let subject = name(common_name.or(names.first().copied()).unwrap_or("leaf"))?;
        let mut builder = begin(
            &subject,
            self.certificate.subject_name(),
            &key,
            validity_start(options.starts_in_days, options.ends_in_days),
            options.ends_in_days,
        )?;
        builder.append_extension(BasicConstraints::new().critical().build()?)?;
        // Enough for ECDHE, where the key of the certificate signs and encrypts nothing.
        builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
        builder.append_extension(options.usage.extension()?)?;
        if self.key_ids {
            add_key_identifiers(&mut builder, Some(&self.certificate))?;
        }
        // A SAN without a name is invalid (RFC 5280, 4.2.1.6).
        if !names.is_empty() || !options.addresses.is_empty() {
            let mut san = SubjectAlternativeName::new();
            for name in names {
                san.dns(name);
            }
            for address in &options.addresses {
                san.ip(&address.to_string());
            }
            let extension = san.build(&builder.x509v3_context(Some(&self.certificate), None))?;
            builder.append_extension(extension)?;
        }
        builder.sign(&self.key, MessageDigest::sha256())?;

        let mut chain_pem = builder.build().to_pem()?;
        for certificate in &self.intermediates {
            chain_pem.extend(certificate.to_pem()?);
        }
        Ok(Issued {
            chain_pem,
            key_pem: key.private_key_to_pem_pkcs8()?,
        })
    }

    /// A list of revoked certificates, PEM, that is good for `days` from now; negative makes an
    /// outdated one.
    ///
    /// # Errors
    /// What OpenSSL says.
    pub fn revocation_list(&self, revoked: &[X509], days: i64) -> Result<Vec<u8>, ErrorStack> {
        // RFC 5280, 5.2.3, of the first list.
        const NUMBER: [u8; 3] = [2, 1, 1];
        let began = Asn1Time::from_unix(validity_start(0, days))?;
        let mut list = X509CrlBuilder::new()?;
        list.set_issuer_name(self.certificate.subject_name())?;
        list.set_last_update(&began)?;
        list.set_next_update(&*Asn1Time::from_unix(now() + days * DAY)?)?;
        for certificate in revoked {
            let mut entry = X509RevokedBuilder::new()?;
            entry.set_serial_number(certificate.serial_number())?;
            entry.set_revocation_date(&began)?;
            list.add_revoked(entry.build())?;
        }
        let key_id = AuthorityKeyIdentifier::new()
            .keyid(true)
            .build(&X509::builder()?.x509v3_context(Some(&self.certificate), None))?;
        list.append_extension(key_id)?;
        let number = Asn1OctetString::new_from_bytes(&NUMBER)?;
        let oid = Asn1Object::from_str("2.5.29.20")?;
        list.append_extension(X509Extension::new_from_der(&oid, false, &number)?)?;
        list.sort()?;
        list.sign(&self.key, MessageDigest::sha256())?;
        list.build()?.to_pem()
    }

    /// Its own certificate.
    #[must_use]
    pub fn certificate(&self) -> &X509 {
        &self.certificate
    }

    /// The authority's own certificate, for a trust bundle.
    ///
    /// # Errors
    /// What OpenSSL says.
    pub fn certificate_pem(&self) -> Result<Vec<u8>, ErrorStack> {
        self.certificate.to_pem()
    }
}

impl Default for LeafOptions {
    fn default() -> Self {
        Self {
            common_name: None,
            starts_in_days: 0,
            ends_in_days: 90,
            addresses: Vec::new(),
            usage: Usage::Server,
            key: KeyKind::EcP256,
        }
    }
}

impl Issued {
    /// Writes both files; the key can be read by its owner only.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, chain: &Path, key: &Path) -> io::Result<()> {
        // No secret: a server shows it to every client.
        fs::write(chain, &self.chain_pem)?;
        write_private(key, &self.key_pem)
    }
}

impl Usage {
    fn extension(self) -> Result<X509Extension, ErrorStack> {
        let mut usage = ExtendedKeyUsage::new();
        if self != Self::Client {
            usage.server_auth();
        }
        if self != Self::Server {
            usage.client_auth();
        }
        usage.build()
    }
}

impl KeyKind {
    fn generate(self) -> Result<PKey<Private>, ErrorStack> {
        match self {
            Self::EcP256 => {
                let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
                PKey::from_ec_key(EcKey::generate(&group)?)
            }
            Self::Rsa2048 => PKey::from_rsa(Rsa::generate(2048)?),
            Self::Rsa1024 => PKey::from_rsa(Rsa::generate(1024)?),
        }
    }
}

/// Writes a file that only its owner can read, replacing what was there.
///
/// # Errors
/// What the file system says.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    // Removed first: the mode below counts only for a file that is created.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    // Never through a link that somebody has put there since.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(content)
}

fn begin(
    subject: &openssl::x509::X509NameRef,
    issuer: &openssl::x509::X509NameRef,
    key: &PKey<Private>,
    starts: i64,
    ends_in_days: i64,
) -> Result<X509Builder, ErrorStack> {
    // Versions count from 0 (RFC 5280, 4.1.2.1).
    const VERSION_3: i32 = 2;
    let mut builder = X509::builder()?;
    builder.set_version(VERSION_3)?;
    builder.set_serial_number(&*serial_number()?)?;
    builder.set_subject_name(subject)?;
    builder.set_issuer_name(issuer)?;
    builder.set_pubkey(key)?;
    builder.set_not_before(&*Asn1Time::from_unix(starts)?)?;
    builder.set_not_after(&*Asn1Time::from_unix(now() + ends_in_days * DAY)?)?;
    Ok(builder)
}

fn add_authority_extensions(
    builder: &mut X509Builder,
    issuer: Option<&X509>,
    path_length: Option<u32>,
    key_ids: bool,
) -> Result<(), ErrorStack> {
    let mut constraints = BasicConstraints::new();
    constraints.critical().ca();
    if let Some(length) = path_length {
        constraints.pathlen(length);
    }
    builder.append_extension(constraints.build()?)?;
    builder.append_extension(
        KeyUsage::new()
            .critical()
            .key_cert_sign()
            .crl_sign()
            .build()?,
    )?;
    match key_ids {
        true => add_key_identifiers(builder, issuer),
        false => Ok(()),
    }
}

fn add_key_identifiers(builder: &mut X509Builder, issuer: Option<&X509>) -> Result<(), ErrorStack> {
    let own = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
    builder.append_extension(own)?;
    // A root would only name itself, and may leave it out (RFC 5280, 4.2.1.1).
    if let Some(issuer) = issuer {
        let above = AuthorityKeyIdentifier::new()
            .keyid(true)
            .build(&builder.x509v3_context(Some(issuer), None))?;
        builder.append_extension(above)?;
    }
    Ok(())
}

fn name(common_name: &str) -> Result<X509Name, ErrorStack> {
    let mut builder = X509NameBuilder::new()?;
    builder.append_entry_by_nid(Nid::COMMONNAME, common_name)?;
    Ok(builder.build())
}

/// 127 random bits: unique without a register (RFC 5280, 4.1.2.2).
fn serial_number() -> Result<Asn1Integer, ErrorStack> {
    let mut number = BigNum::new()?;
    number.rand(127, MsbOption::MAYBE_ZERO, false)?;
    number.to_asn1_integer()
}

/// The start in Unix seconds: as asked, but before the end also where that has passed.
fn validity_start(starts_in_days: i64, ends_in_days: i64) -> i64 {
    now() + starts_in_days.min(ends_in_days - 1) * DAY - BACKDATE
}

fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    // Half of the range, so that there is room to add days.
    elapsed.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX / 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::x509::X509VerifyResult;

    #[test]
    fn a_leaf_is_issued_by_its_authority_and_fits_its_key() {
        let root = Authority::new("Root", 10).unwrap();
        let middle = root.intermediate("Middle", 10).unwrap();
        let options = LeafOptions {
            addresses: vec!["127.0.0.1".parse().unwrap()],
            usage: Usage::Both,
            key: KeyKind::Rsa2048,
            ..LeafOptions::default()
        };
        let issued = middle.leaf(&["a.test", "*.b.test"], &options).unwrap();
        let chain = X509::stack_from_pem(&issued.chain_pem).unwrap();
        let key = PKey::private_key_from_pem(&issued.key_pem).unwrap();
        assert_eq!(chain.len(), 2);
        assert!(chain[0].public_key().unwrap().public_eq(&key));
        assert_eq!(chain[1].issued(&chain[0]), X509VerifyResult::OK);
        assert_eq!(root.certificate().issued(&chain[1]), X509VerifyResult::OK);
        let names = chain[0].subject_alt_names().unwrap();
        let dns: Vec<_> = names.iter().filter_map(|n| n.dnsname()).collect();
        assert_eq!(dns, ["a.test", "*.b.test"]);
    }

    #[test]
    fn days_below_zero_are_in_the_past() {
        let options = LeafOptions {
            ends_in_days: -2,
            ..LeafOptions::default()
        };
        let root = Authority::new("Root", 10).unwrap();
        let issued = root.leaf(&["a.test"], &options).unwrap();
        let leaf = X509::from_pem(&issued.chain_pem).unwrap();
        let now = Asn1Time::days_from_now(0).unwrap();
        assert!(leaf.not_after() < now);
        assert!(leaf.not_before() < leaf.not_after());
    }

    #[cfg(unix)]
    #[test]
    fn keys_are_for_their_owner_only_even_where_a_file_was() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"new").unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}
