//! One key that verifies: which algorithms it is for, and how it verifies.
//!
//! A key never takes an algorithm of another type of key: that the secret of an HMAC could be somebody's public key is what
//! made tokens forgeable in many libraries.

use std::fmt;

use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::hash::hash;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private, Public};
use openssl::rsa::{Padding, Rsa};
use openssl::sign::{RsaPssSaltlen, Signer, Verifier};
use serde_json::{Map, Value};

use crate::algorithm::Algorithm;
use crate::base64url;
use crate::reason::Reason;

/// RFC 7518, 3.3, and what nobody can factor.
const LEAST_RSA_BITS: u32 = 2048;
/// A larger modulus makes each verification slow.
const MOST_RSA_BITS: u32 = 8192;
/// Larger exponents make each verification slow.
const MOST_EXPONENT_BITS: i32 = 33;
/// RFC 7518, 3.2: at least as long as the hash of HS256.
const LEAST_SECRET: usize = 32;
/// In bytes. The id of a key is a name to look it up by.
pub(crate) const LONGEST_KEY_ID: usize = 256;

/// A key that verifies.
#[derive(Clone)]
pub struct Key {
    id: Option<String>,
    /// What it may verify: those of its type, less what its `alg` excludes.
    algorithms: Vec<Algorithm>,
    thumbprint: String,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Rsa(PKey<Public>),
    Ec {
        key: EcKey<Public>,
        /// As many bytes as a coordinate of the curve, as half a signature.
        order: Vec<u8>,
    },
    Ed25519(PKey<Public>),
    Secret(PKey<Private>),
}

/// Why a JWK cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyFault {
    /// `kty` or `crv` is none that we know. Sets may hold such keys for others.
    UnknownType,
    /// `use` or `key_ops` says that it does not verify signatures.
    NotForSignatures,
    /// `alg` is unknown, or not of the key's type.
    WrongAlgorithm,
    /// A secret or private key in a set that anybody can read.
    Secret,
    /// A member is missing, of a wrong type or too long.
    Malformed,
    /// Fewer bits than anybody may trust, or so many that it is slow.
    Size,
    /// The numbers are no key.
    Invalid,
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownType => "its type or curve is not known",
            Self::NotForSignatures => "it is not for verifying signatures",
            Self::WrongAlgorithm => "its \"alg\" is unknown or not of its type",
            Self::Secret => "it is a secret or a private key, which no key set may have",
            Self::Malformed => "a member is missing or has a wrong form",
            Self::Size => "RSA keys have 2048 to 8192 bits and a small exponent",
            Self::Invalid => "its numbers are not a key",
        })
    }
}

impl Key {
    /// Reads a member of a JWK set (RFC 7517).
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Result<Self, KeyFault> {
        let text = |name: &str| match jwk.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(KeyFault::Malformed),
        };
        if jwk.contains_key("d") || jwk.contains_key("k") {
            return Err(KeyFault::Secret);
        }
        let id = text("kid")?;
        if id.is_some_and(|id| id.len() > LONGEST_KEY_ID) {
            return Err(KeyFault::Malformed);
        }
        let material = match (text("kty")?, text("crv")?) {
            (Some("RSA"), _) => rsa(&number(jwk, "n")?, &number(jwk, "e")?)?,
            (Some("EC"), Some(curve)) => ec(curve, &number(jwk, "x")?, &number(jwk, "y")?)?,
            (Some("OKP"), Some("Ed25519")) => ed25519(&number(jwk, "x")?)?,
            (Some("oct"), _) => return Err(KeyFault::Secret),
            (Some(_), _) => return Err(KeyFault::UnknownType),
            (None, _) => return Err(KeyFault::Malformed),
        };
        check_use(jwk)?;
        let mut algorithms = material.algorithms();
        if let Some(name) = text("alg")? {
            let named = Algorithm::named(name).ok_or(KeyFault::WrongAlgorithm)?;
            algorithms.retain(|algorithm| *algorithm == named);
            if algorithms.is_empty() {
                return Err(KeyFault::WrongAlgorithm);
            }
        }
        let thumbprint = thumbprint(jwk).ok_or(KeyFault::Malformed)?;
        let id = id.map(str::to_owned);
        Ok(Self {
            id,
            algorithms,
            thumbprint,
            material,
        })
    }

    /// The secret of HMACs, which both sides have.
    ///
    /// # Errors
    /// It is shorter than 32 bytes.
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyFault> {
        if secret.len() < LEAST_SECRET {
            return Err(KeyFault::Size);
        }
        let key = PKey::hmac(secret).map_err(|_| KeyFault::Invalid)?;
        let material = Material::Secret(key);
        Ok(Self {
            id: None,
            algorithms: material.algorithms(),
            // A hash of a secret would help to guess it.
            thumbprint: String::new(),
            material,
        })
    }

    /// `kid`
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// RFC 7638 with SHA-256. Empty for a secret.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// What it may verify.
    #[must_use]
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Checks a signature by an algorithm that [fits](Self::fits).
    pub(crate) fn verify(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Reason> {
        if !self.fits(algorithm) {
            return Err(Reason::KeyMismatch);
        }
        let verified = match &self.material {
            Material::Rsa(key) => {
                in_form(signature.len() == key.size())?;
                verify_rsa(key, algorithm, message, signature)
            }
            Material::Ec { key, order } => {
                in_form(signature.len() == 2 * order.len())?;
                let (r, s) = signature.split_at(order.len());
                let in_range = |n: &[u8]| n.iter().any(|b| *b != 0) && n < order.as_slice();
                in_form(in_range(r) && in_range(s))?;
                verify_ec(key, algorithm, message, r, s)
            }
            Material::Ed25519(key) => {
                in_form(signature.len() == 64)?;
                Verifier::new_without_digest(key)
                    .and_then(|mut v| v.verify_oneshot(signature, message))
            }
            Material::Secret(key) => {
                let digest = algorithm.digest().ok_or(Reason::KeyMismatch)?;
                in_form(signature.len() == digest.size())?;
                let own = Signer::new(digest, key).and_then(|mut s| s.sign_oneshot_to_vec(message));
                own.map(|own| own.len() == signature.len() && openssl::memcmp::eq(&own, signature))
            }
        };
        match verified {
            Ok(true) => Ok(()),
            // An error is a signature that the library could not even read.
            Ok(false) | Err(_) => Err(Reason::Signature),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not derived: a secret must not be shown.
        let mut shown = f.debug_struct("Key");
        shown
            .field("id", &self.id)
            .field("algorithms", &self.algorithms);
        shown
            .field("thumbprint", &self.thumbprint)
            .finish_non_exhaustive()
    }
}

impl Material {
    fn algorithms(&self) -> Vec<Algorithm> {
        use Algorithm as A;
        match self {
            Self::Rsa(_) => vec![A::Rs256, A::Rs384, A::Rs512, A::Ps256, A::Ps384, A::Ps512],
            Self::Ec { order, .. } => match order.len() {
                32 => vec![A::Es256],
                48 => vec![A::Es384],
                _ => vec![A::Es512],
            },
            Self::Ed25519(_) => vec![A::EdDsa],
            Self::Secret(_) => vec![A::Hs256, A::Hs384, A::Hs512],
        }
    }
}

fn in_form(is: bool) -> Result<(), Reason> {
    if is {
        Ok(())
    } else {
        Err(Reason::SignatureForm)
    }
}

fn verify_rsa(
    key: &PKey<Public>,
    algorithm: Algorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, ErrorStack> {
    let Some(digest) = algorithm.digest() else {
        return Ok(false);
    };
    let mut verifier = Verifier::new(digest, key)?;
    if algorithm.is_pss() {
        verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
        verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
        verifier.set_rsa_mgf1_md(digest)?;
    }
    verifier.verify_oneshot(signature, message)
}

fn verify_ec(
    key: &EcKey<Public>,
    algorithm: Algorithm,
    message: &[u8],
    r: &[u8],
    s: &[u8],
) -> Result<bool, ErrorStack> {
    let Some(digest) = algorithm.digest() else {
        return Ok(false);
    };
    let (r, s) = (BigNum::from_slice(r)?, BigNum::from_slice(s)?);
    EcdsaSig::from_private_components(r, s)?.verify(&hash(digest, message)?, key)
}

fn number(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyFault> {
    let text = jwk.get(name).and_then(Value::as_str);
    let bytes = text.and_then(|text| base64url::decode(text.as_bytes()));
    bytes
        .filter(|bytes| !bytes.is_empty())
        .ok_or(KeyFault::Malformed)
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Material, KeyFault> {
    // Bounds before arithmetic on numbers of a stranger.
    if modulus.len() > MOST_RSA_BITS as usize / 8 + 1 || exponent.len() > 8 {
        return Err(KeyFault::Size);
    }
    let number = |bytes| BigNum::from_slice(bytes).map_err(|_| KeyFault::Invalid);
    let (modulus, exponent) = (number(modulus)?, number(exponent)?);
    let bits = u32::try_from(modulus.num_bits()).unwrap_or(0);
    if !(LEAST_RSA_BITS..=MOST_RSA_BITS).contains(&bits) || exponent.num_bits() > MOST_EXPONENT_BITS
    {
        return Err(KeyFault::Size);
    }
    // With an even number no key works; with an exponent of 1 every signature does.
    if !modulus.is_odd() || !exponent.is_odd() || exponent.num_bits() < 2 {
        return Err(KeyFault::Invalid);
    }
    let key = Rsa::from_public_components(modulus, exponent).and_then(PKey::from_rsa);
    key.map(Material::Rsa).map_err(|_| KeyFault::Invalid)
}

fn ec(curve: &str, x: &[u8], y: &[u8]) -> Result<Material, KeyFault> {
    let (nid, length) = match curve {
        "P-256" => (Nid::X9_62_PRIME256V1, 32),
        "P-384" => (Nid::SECP384R1, 48),
        "P-521" => (Nid::SECP521R1, 66),
        _ => return Err(KeyFault::UnknownType),
    };
    if x.len() != length || y.len() != length {
        return Err(KeyFault::Malformed);
    }
    ec_material(nid, x, y).map_err(|_| KeyFault::Invalid)
}

/// OpenSSL refuses a point that is not on the curve.
fn ec_material(nid: Nid, x: &[u8], y: &[u8]) -> Result<Material, ErrorStack> {
    let group = EcGroup::from_curve_name(nid)?;
    let (x_number, y_number) = (BigNum::from_slice(x)?, BigNum::from_slice(y)?);
    let key = EcKey::from_public_key_affine_coordinates(&group, &x_number, &y_number)?;
    key.check_key()?;
    let mut context = openssl::bn::BigNumContext::new()?;
    let mut order = BigNum::new()?;
    group.order(&mut order, &mut context)?;
    let length = i32::try_from(x.len()).unwrap_or(0);
    let order = order.to_vec_padded(length)?;
    Ok(Material::Ec { key, order })
}

fn ed25519(x: &[u8]) -> Result<Material, KeyFault> {
    if x.len() != 32 {
        return Err(KeyFault::Malformed);
    }
    let key = PKey::public_key_from_raw_bytes(x, Id::ED25519);
    key.map(Material::Ed25519).map_err(|_| KeyFault::Invalid)
}

fn check_use(jwk: &Map<String, Value>) -> Result<(), KeyFault> {
    match jwk.get("use") {
        None => {}
        Some(Value::String(purpose)) if purpose == "sig" => {}
        Some(Value::String(_)) => return Err(KeyFault::NotForSignatures),
        Some(_) => return Err(KeyFault::Malformed),
    }
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(list)) if list.iter().any(|value| value == "verify") => Ok(()),
        Some(Value::Array(_)) => Err(KeyFault::NotForSignatures),
        Some(_) => Err(KeyFault::Malformed),
    }
}

/// RFC 7638: the hash of the required members, in the order of their names.
pub(crate) fn thumbprint(jwk: &Map<String, Value>) -> Option<String> {
    let names: &[&str] = match jwk.get("kty")?.as_str()? {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let mut members = Map::new();
    for name in names {
        members.insert((*name).to_owned(), jwk.get(*name)?.clone());
    }
    let text = Value::Object(members).to_string();
    Some(base64url::encode(&openssl::sha::sha256(text.as_bytes())))
}
