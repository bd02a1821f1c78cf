//! What strangers send, and what comes of it.

mod attacks;
mod properties;
mod vectors;

use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::sign::{RsaPssSaltlen, Signer as OpensslSigner};
use serde_json::{Value, json};

use crate::base64url::encode;
use crate::{Algorithm, Expectations, KeySet, Reason, Token, verify};

pub(crate) const ISSUER: &str = "https://idp.example/realms/prod";
pub(crate) const NOW: u64 = 1_800_000_000;

/// xorshift64
pub(crate) struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

/// An issuer that signs whatever it is given.
pub(crate) struct Issuer {
    pub(crate) rsa: PKey<Private>,
    pub(crate) ec: [(Algorithm, &'static str, EcKey<Private>); 3],
    pub(crate) ed25519: PKey<Private>,
}

impl Issuer {
    pub(crate) fn new() -> Self {
        let ec = |nid| EcKey::generate(&EcGroup::from_curve_name(nid).unwrap()).unwrap();
        Self {
            rsa: PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(),
            ec: [
                (Algorithm::Es256, "P-256", ec(Nid::X9_62_PRIME256V1)),
                (Algorithm::Es384, "P-384", ec(Nid::SECP384R1)),
                (Algorithm::Es512, "P-521", ec(Nid::SECP521R1)),
            ],
            ed25519: PKey::generate_ed25519().unwrap(),
        }
    }

    pub(crate) fn jwks(&self) -> Vec<Value> {
        let rsa = self.rsa.rsa().unwrap();
        let (n, e) = (encode(&rsa.n().to_vec()), encode(&rsa.e().to_vec()));
        let mut keys = vec![json!({ "kty": "RSA", "kid": "rsa", "use": "sig", "n": n, "e": e })];
        for (algorithm, curve, key) in &self.ec {
            let (x, y) = coordinates(key);
            let name = algorithm.name();
            keys.push(
                json!({ "kty": "EC", "kid": name, "alg": name, "crv": curve, "x": x, "y": y }),
            );
        }
        let x = encode(&self.ed25519.raw_public_key().unwrap());
        keys.push(
            json!({ "kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": x, "key_ops": ["verify"] }),
        );
        keys
    }

    pub(crate) fn keys(&self) -> KeySet {
        let parsed = KeySet::parse(json!({ "keys": self.jwks() }).to_string().as_bytes()).unwrap();
        assert_eq!(parsed.skipped, []);
        parsed.keys
    }

    pub(crate) fn kid(algorithm: Algorithm) -> &'static str {
        match algorithm {
            Algorithm::EdDsa => "ed",
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => algorithm.name(),
            _ => "rsa",
        }
    }

    /// A token with this text as its header and payload, signed by this algorithm.
    pub(crate) fn token(&self, algorithm: Algorithm, header: &str, payload: &str) -> String {
        let signed = format!(
            "{}.{}",
            encode(header.as_bytes()),
            encode(payload.as_bytes())
        );
        let signature = self.sign(algorithm, signed.as_bytes());
        format!("{signed}.{}", encode(&signature))
    }

    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let Some(digest) = algorithm.digest() else {
            let mut signer = OpensslSigner::new_without_digest(&self.ed25519).unwrap();
            return signer.sign_oneshot_to_vec(message).unwrap();
        };
        if let Some((_, _, key)) = self.ec.iter().find(|(a, _, _)| *a == algorithm) {
            return sign_ec(key, digest, message);
        }
        let mut signer = OpensslSigner::new(digest, &self.rsa).unwrap();
        if algorithm.is_pss() {
            signer.set_rsa_padding(Padding::PKCS1_PSS).unwrap();
            signer
                .set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)
                .unwrap();
            signer.set_rsa_mgf1_md(digest).unwrap();
        }
        signer.sign_oneshot_to_vec(message).unwrap()
    }

    /// A token as it should be.
    pub(crate) fn good(&self, algorithm: Algorithm) -> String {
        let header = json!({ "alg": algorithm.name(), "kid": Self::kid(algorithm), "typ": "JWT" });
        self.token(algorithm, &header.to_string(), &claims().to_string())
    }
}

fn coordinates(key: &EcKey<Private>) -> (String, String) {
    use openssl::bn::{BigNum, BigNumContext};
    let (mut x, mut y) = (BigNum::new().unwrap(), BigNum::new().unwrap());
    let mut context = BigNumContext::new().unwrap();
    let point = key.public_key();
    point
        .affine_coordinates(key.group(), &mut x, &mut y, &mut context)
        .unwrap();
    let length = i32::try_from(key.group().degree().div_ceil(8)).unwrap();
    let text = |n: &BigNum| encode(&n.to_vec_padded(length).unwrap());
    (text(&x), text(&y))
}

fn sign_ec(key: &EcKey<Private>, digest: MessageDigest, message: &[u8]) -> Vec<u8> {
    let hash = openssl::hash::hash(digest, message).unwrap();
    let signature = EcdsaSig::sign(&hash, key).unwrap();
    let length = i32::try_from(key.group().degree().div_ceil(8)).unwrap();
    let mut both = signature.r().to_vec_padded(length).unwrap();
    both.extend(signature.s().to_vec_padded(length).unwrap());
    both
}

pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "orders", "sub": "anna", "jti": "t-1",
        "iat": NOW - 60, "nbf": NOW - 60, "exp": NOW + 240,
        "scope": "orders.read orders.write",
    })
}

pub(crate) fn expected() -> Expectations {
    Expectations::new(ISSUER, ["orders", "stock"])
}

pub(crate) fn outcome(text: &[u8], keys: &KeySet, expected: &Expectations) -> Result<(), Reason> {
    let token = Token::parse(text)?;
    verify(&token, keys, expected, NOW).map(|_| ())
}
