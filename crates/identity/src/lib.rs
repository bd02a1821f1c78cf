//! Signed tokens (RFC 7515, RFC 7519) from their bytes to verified claims, the keys that verify them, and tokens of our own.
//! No socket, no file, no configuration.
//!
//! Everything here reads bytes of strangers. Each step is bounded and strict: what a lenient reader could take in two ways
//! is refused, and each refusal has a [`Reason`] with a stable name. Nothing in a token chooses how it is verified: the
//! algorithm must be allowed by us and fit the key, and `kid` only selects among the keys that we have.
//!
//! ```
//! use drawbridge_identity::{Expectations, KeySet, Reason, Signer, SigningAlgorithm, Token, verify};
//! use serde_json::json;
//!
//! let signer = Signer::generate(SigningAlgorithm::Es256)?;
//! let claims = json!({ "iss": "https://idp.example", "aud": "orders", "exp": 2_000_000_000, "sub": "anna" });
//! let text = signer.sign("JWT", claims.as_object().unwrap())?;
//!
//! let keys = KeySet::parse(signer.public_set().as_bytes()).unwrap().keys;
//! let expected = Expectations::new("https://idp.example", ["orders"]);
//! let token = Token::parse(text.as_bytes()).unwrap();
//! let claims = verify(&token, &keys, &expected, 1_900_000_000).unwrap();
//! assert_eq!(claims.subject(), Some("anna"));
//! assert_eq!(verify(&token, &keys, &expected, 2_000_000_031), Err(Reason::Expired));
//! # Ok::<(), openssl::error::ErrorStack>(())
//! ```

mod algorithm;
mod base64url;
mod cache;
mod claims;
mod introspection;
mod json;
mod key;
mod key_set;
mod reason;
mod sign;
mod token;
mod verify;

#[cfg(test)]
mod tests;

pub use algorithm::{Algorithm, SigningAlgorithm};
pub use cache::{CacheKey, Recent, TokenCache};
pub use claims::{Claims, thumbprint_text};
pub use introspection::Introspection;
pub use key::{Key, KeyFault};
pub use key_set::{KeySet, KeySetError, ParsedKeySet, Skipped};
pub use reason::Reason;
pub use sign::Signer;
pub use token::{LONGEST_TOKEN, Token};
pub use verify::{Expectations, verify, verify_signature};
