//! Tokens of our own.

use std::fmt;

use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::sign;
use serde_json::{Map, Value, json};

use crate::algorithm::{Algorithm, SigningAlgorithm};
use crate::base64url;
use crate::key::thumbprint;

/// A private key that signs tokens. Its `kid` is its thumbprint (RFC 7638).
pub struct Signer {
    algorithm: SigningAlgorithm,
    key: PKey<Private>,
    id: String,
    public: Map<String, Value>,
}

impl Signer {
    /// A new key.
    ///
    /// # Errors
    /// OpenSSL has no random numbers.
    pub fn generate(algorithm: SigningAlgorithm) -> Result<Self, ErrorStack> {
        let key = match algorithm {
            SigningAlgorithm::Es256 => {
                let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
                PKey::from_ec_key(EcKey::generate(&group)?)?
            }
            SigningAlgorithm::EdDsa => PKey::generate_ed25519()?,
        };
        Self::of(key)?.ok_or_else(ErrorStack::get)
    }

    /// A key from PEM: P-256 or Ed25519. None for another type of key.
    ///
    /// # Errors
    /// It is no PEM of a private key without a passphrase.
    pub fn from_pem(pem: &[u8]) -> Result<Option<Self>, ErrorStack> {
        // The empty passphrase: otherwise OpenSSL would ask for one on the terminal.
        Self::of(PKey::private_key_from_pem_passphrase(pem, b"")?)
    }

    fn of(key: PKey<Private>) -> Result<Option<Self>, ErrorStack> {
        let (algorithm, jwk) = match key.id() {
            Id::EC => match p256_jwk(&key)? {
                Some(jwk) => (SigningAlgorithm::Es256, jwk),
                None => return Ok(None),
            },
            Id::ED25519 => {
                let x = base64url::encode(&key.raw_public_key()?);
                (
                    SigningAlgorithm::EdDsa,
                    json!({ "kty": "OKP", "crv": "Ed25519", "x": x }),
                )
            }
            _ => return Ok(None),
        };
        let Value::Object(mut public) = jwk else {
            return Ok(None);
        };
        let id = thumbprint(&public).unwrap_or_default();
        public.insert("kid".to_owned(), json!(id));
        public.insert("alg".to_owned(), json!(Algorithm::from(algorithm).name()));
        public.insert("use".to_owned(), json!("sig"));
        Ok(Some(Self {
            algorithm,
            key,
            id,
            public,
        }))
    }

    /// PKCS #8 in PEM.
    ///
    /// # Errors
    /// OpenSSL cannot write it.
    pub fn to_pem(&self) -> Result<Vec<u8>, ErrorStack> {
        self.key.private_key_to_pem_pkcs8()
    }

    /// Its `kid`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm.into()
    }

    /// The public half as a JWK.
    #[must_use]
    pub fn public(&self) -> &Map<String, Value> {
        &self.public
    }

    /// A JWK set of this key alone.
    #[must_use]
    pub fn public_set(&self) -> String {
        json!({ "keys": [self.public] }).to_string()
    }

    /// A token with these claims, in the compact form. `kind` is its `typ`.
    ///
    /// # Errors
    /// OpenSSL cannot sign.
    pub fn sign(&self, kind: &str, claims: &Map<String, Value>) -> Result<String, ErrorStack> {
        let header = json!({ "alg": self.algorithm().name(), "typ": kind, "kid": self.id });
        let payload = serde_json::to_vec(claims).unwrap_or_default();
        let mut token = base64url::encode(header.to_string().as_bytes());
        token.push('.');
        token.push_str(&base64url::encode(&payload));
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        token.push_str(&base64url::encode(&signature));
        Ok(token)
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        match self.algorithm {
            SigningAlgorithm::Es256 => {
                let digest = openssl::sha::sha256(message);
                let signature = EcdsaSig::sign(&digest, &*self.key.ec_key()?)?;
                let mut both = signature.r().to_vec_padded(32)?;
                both.extend(signature.s().to_vec_padded(32)?);
                Ok(both)
            }
            SigningAlgorithm::EdDsa => {
                sign::Signer::new_without_digest(&self.key)?.sign_oneshot_to_vec(message)
            }
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not derived: the private key must not be shown.
        let mut shown = f.debug_struct("Signer");
        shown.field("id", &self.id).finish_non_exhaustive()
    }
}

/// None for another curve.
fn p256_jwk(key: &PKey<Private>) -> Result<Option<Value>, ErrorStack> {
    let key = key.ec_key()?;
    if key.group().curve_name() != Some(Nid::X9_62_PRIME256V1) {
        return Ok(None);
    }
    let (mut x, mut y) = (BigNum::new()?, BigNum::new()?);
    let mut context = BigNumContext::new()?;
    key.public_key()
        .affine_coordinates(key.group(), &mut x, &mut y, &mut context)?;
    let text = |number: &BigNum| {
        number
            .to_vec_padded(32)
            .map(|bytes| base64url::encode(&bytes))
    };
    Ok(Some(
        json!({ "kty": "EC", "crv": "P-256", "x": text(&x)?, "y": text(&y)? }),
    ))
}
