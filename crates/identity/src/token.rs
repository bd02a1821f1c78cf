//! The compact form of a token (RFC 7515, 3.1), taken apart but not verified.

use serde_json::{Map, Value};

use crate::algorithm::Algorithm;
use crate::base64url;
use crate::claims::Claims;
use crate::json::{self, JsonFault};
use crate::key::LONGEST_KEY_ID;
use crate::reason::Reason;

/// In bytes. The largest tokens that providers issue, with hundreds of groups, have about half of it.
pub const LONGEST_TOKEN: usize = 16 * 1024;

/// A token whose form is right. Nothing of it is to be believed before [`verify`](crate::verify).
#[derive(Debug)]
pub struct Token<'a> {
    pub(crate) signed: &'a [u8],
    pub(crate) signature: Vec<u8>,
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) claims: Claims,
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// What is wrong with its form.
    pub fn parse(text: &'a [u8]) -> Result<Self, Reason> {
        if text.len() > LONGEST_TOKEN {
            return Err(Reason::TooLong);
        }
        let mut parts = text.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Reason::Malformed);
        };
        let header = object(header, Reason::HeaderJson)?;
        let (algorithm, key_id, kind) = check_header(&header)?;
        let claims = Claims::new(object(payload, Reason::PayloadJson)?)?;
        let signature_text = signature;
        let signature = base64url::decode(signature).ok_or(Reason::Encoding)?;
        let signed_length = text.len() - signature_text.len() - 1;
        Ok(Self {
            signed: text.get(..signed_length).ok_or(Reason::Malformed)?,
            signature,
            algorithm,
            key_id,
            kind,
            claims,
        })
    }

    /// What the token says about its issuer. It may only choose who verifies the token.
    #[must_use]
    pub fn claimed_issuer(&self) -> Option<&str> {
        self.claims.issuer()
    }

    /// `kid`: a name to look a key up by, and nothing else.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Its claims, once it was verified.
    #[must_use]
    pub fn into_claims(self) -> Claims {
        self.claims
    }

    /// `alg`
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

fn object(part: &[u8], otherwise: Reason) -> Result<Map<String, Value>, Reason> {
    let bytes = base64url::decode(part).ok_or(Reason::Encoding)?;
    json::parse_object(&bytes).map_err(|fault| match fault {
        JsonFault::Syntax => otherwise,
        JsonFault::Duplicate => Reason::DuplicateMember,
        JsonFault::Bounds => Reason::TooComplex,
    })
}

type CheckedHeader = (Algorithm, Option<String>, Option<String>);

/// Refuses a header that would choose how it is verified. `x5t` and unknown members are ignored, as RFC 7515, 4 wants.
fn check_header(header: &Map<String, Value>) -> Result<CheckedHeader, Reason> {
    let has_any = |names: &[&str]| names.iter().any(|name| header.contains_key(*name));
    if has_any(&["jku", "x5u", "jwk", "x5c"]) {
        return Err(Reason::HeaderKey);
    }
    // `b64` is only valid together with `crit`; a reader that overlooks it verifies other bytes.
    if has_any(&["crit", "b64"]) {
        return Err(Reason::HeaderCritical);
    }
    if has_any(&["enc", "zip"]) {
        return Err(Reason::HeaderForm);
    }
    let text = |name: &str| match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Reason::HeaderForm),
    };
    let algorithm = match header.get("alg") {
        Some(Value::String(name)) => Algorithm::named(name),
        _ => None,
    };
    let key_id = text("kid")?;
    if key_id.is_some_and(|id| id.len() > LONGEST_KEY_ID) {
        return Err(Reason::HeaderForm);
    }
    // A token in a token would need its own checks.
    if text("cty")?.is_some_and(|kind| same_type(kind, "JWT")) {
        return Err(Reason::HeaderForm);
    }
    let kind = text("typ")?.cloned();
    Ok((algorithm.ok_or(Reason::Algorithm)?, key_id.cloned(), kind))
}

/// Media types compare without regard to case, and may leave out `application/` (RFC 7515, 4.1.9).
pub(crate) fn same_type(a: &str, b: &str) -> bool {
    fn short(name: &str) -> &str {
        match name.split_at_checked("application/".len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
            _ => name,
        }
    }
    short(a).eq_ignore_ascii_case(short(b))
}
