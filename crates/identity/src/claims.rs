//! The claims of a token. The registered ones that decide on it have their types; a claim of a wrong type is a refusal, not
//! an absent claim.

use serde_json::{Map, Value};

use crate::base64url;
use crate::reason::Reason;

/// Seconds since 1970 beyond which a number is no time: 2^53, up to which a float is exact.
const LATEST: f64 = 9_007_199_254_740_992.0;

/// Verified claims, or those of a certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    all: Map<String, Value>,
    pub(crate) times: Times,
}

/// In seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Times {
    pub(crate) expires: Option<f64>,
    pub(crate) not_before: Option<f64>,
    pub(crate) issued: Option<f64>,
}

impl Claims {
    /// # Errors
    /// A registered claim has a wrong type.
    pub(crate) fn new(all: Map<String, Value>) -> Result<Self, Reason> {
        let times = Times {
            expires: time(&all, "exp")?,
            not_before: time(&all, "nbf")?,
            issued: time(&all, "iat")?,
        };
        for name in ["iss", "sub", "jti"] {
            match all.get(name) {
                None => {}
                Some(Value::String(text)) if !text.chars().any(char::is_control) => {}
                Some(_) => return Err(Reason::ClaimForm),
            }
        }
        match all.get("aud") {
            None | Some(Value::String(_)) => {}
            Some(Value::Array(list)) if list.iter().all(Value::is_string) => {}
            Some(_) => return Err(Reason::ClaimForm),
        }
        if !matches!(all.get("cnf"), None | Some(Value::Object(_))) {
            return Err(Reason::ClaimForm);
        }
        Ok(Self { all, times })
    }

    /// Claims that somebody else has verified, such as the fields of a client certificate.
    ///
    /// # Errors
    /// A registered claim has a wrong type.
    pub fn of(all: Map<String, Value>) -> Result<Self, Reason> {
        Self::new(all)
    }

    /// Every claim, as it was sent.
    #[must_use]
    pub fn all(&self) -> &Map<String, Value> {
        &self.all
    }

    /// `iss`
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.all.get("iss")?.as_str()
    }

    /// `sub`
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.all.get("sub")?.as_str()
    }

    /// `jti`
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.all.get("jti")?.as_str()
    }

    /// When the token ends, in whole seconds since 1970.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 2^53"
    )]
    pub fn expires(&self) -> Option<u64> {
        self.times.expires.map(|time| time as u64)
    }

    /// A claim by its name, or by names with dots between them: `realm_access.roles`. A name that has dots itself, such as
    /// `https://example.com/roles`, is found first.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Value> {
        find(&self.all, path)
    }

    /// The words of a claim: a string's words between blanks (as `scope` has them), or the strings of a list.
    #[must_use]
    pub fn words(&self, path: &str) -> Vec<&str> {
        match self.find(path) {
            Some(Value::String(text)) => text.split(' ').filter(|word| !word.is_empty()).collect(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a claim is this text, or a list with it. The words of a text do not count: whoever may choose a text with a
    /// blank in it must not pass for two.
    #[must_use]
    pub fn has(&self, path: &str, word: &str) -> bool {
        match self.find(path) {
            Some(Value::String(text)) => text == word,
            Some(Value::Array(list)) => list.iter().any(|element| element.as_str() == Some(word)),
            Some(Value::Number(number)) => number.to_string() == word,
            Some(Value::Bool(truth)) => truth.to_string() == word,
            Some(Value::Null | Value::Object(_)) | None => false,
        }
    }

    /// Whether the token is for one of these audiences.
    pub(crate) fn is_for(&self, audiences: &[String]) -> bool {
        let expected = |name: &str| audiences.iter().any(|audience| audience == name);
        match self.all.get("aud") {
            Some(Value::String(name)) => expected(name),
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(expected),
            _ => false,
        }
    }

    /// Checks the times; the skew is what the clocks of issuer and verifier may differ by.
    ///
    /// # Errors
    /// The token has ended or has not begun.
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds since 1970 are exact in a float"
    )]
    pub fn check_times(&self, now: u64, skew: u64) -> Result<(), Reason> {
        let (now, skew) = (now as f64, skew as f64);
        let expires = self.times.expires.ok_or(Reason::ExpiryMissing)?;
        if now >= expires + skew {
            return Err(Reason::Expired);
        }
        if self
            .times
            .not_before
            .is_some_and(|begin| now + skew < begin)
        {
            return Err(Reason::NotYetValid);
        }
        if self.times.issued.is_some_and(|issued| now + skew < issued) {
            return Err(Reason::IssuedInFuture);
        }
        Ok(())
    }

    /// Checks the certificate that the token is bound to (RFC 8705, 3.1) against the SHA-256 of the client's.
    ///
    /// # Errors
    /// The token is bound to another certificate, or by a method that nobody here can check. With `required`, also a token
    /// that is bound to none.
    pub fn check_binding(&self, client: Option<&[u8; 32]>, required: bool) -> Result<(), Reason> {
        let Some(Value::Object(methods)) = self.all.get("cnf") else {
            return if required {
                Err(Reason::BindingMissing)
            } else {
                Ok(())
            };
        };
        // A token with a second binding, such as DPoP's `jkt`, is only as bound as somebody checks both.
        if methods.len() != 1 {
            return Err(Reason::BindingUnsupported);
        }
        let Some(Value::String(thumbprint)) = methods.get("x5t#S256") else {
            return Err(Reason::BindingUnsupported);
        };
        let bound = base64url::decode(thumbprint.as_bytes());
        match (bound, client) {
            (Some(bound), Some(client)) if bound == client => Ok(()),
            _ => Err(Reason::Binding),
        }
    }
}

/// The SHA-256 of a certificate as `x5t#S256` has it (RFC 8705, 3.1).
#[must_use]
pub fn thumbprint_text(sha256: &[u8; 32]) -> String {
    base64url::encode(sha256)
}

fn time(all: &Map<String, Value>, name: &str) -> Result<Option<f64>, Reason> {
    let Some(value) = all.get(name) else {
        return Ok(None);
    };
    match value.as_f64() {
        Some(seconds) if (0.0..=LATEST).contains(&seconds) => Ok(Some(seconds)),
        _ => Err(Reason::ClaimForm),
    }
}

fn find<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = object.get(path) {
        return Some(value);
    }
    let mut dots = path.match_indices('.');
    dots.find_map(|(at, _)| {
        let (name, rest) = path.split_at(at);
        find(object.get(name)?.as_object()?, rest.strip_prefix('.')?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: Value) -> Claims {
        let Value::Object(all) = value else { panic!() };
        Claims::new(all).unwrap()
    }

    #[test]
    fn claims_by_path() {
        let claims = claims(json!({
            "scope": "a  b", "groups": ["x", 1, "y"],
            "realm_access": { "roles": ["r"] },
            "https://e.com/roles": "s", "a.b": { "c.d": "deep" },
        }));
        assert_eq!(claims.words("scope"), ["a", "b"]);
        assert_eq!(claims.words("groups"), ["x", "y"]);
        assert_eq!(claims.words("realm_access.roles"), ["r"]);
        assert_eq!(claims.words("https://e.com/roles"), ["s"]);
        assert_eq!(claims.words("a.b.c.d"), ["deep"]);
        assert!(claims.words("realm_access").is_empty() && claims.find("realm_access.").is_none());
    }

    #[test]
    fn a_claim_has_whole_texts() {
        let claims = claims(json!({
            "role": "order reader", "groups": ["x y", "z"], "level": 3, "staff": true, "deep": { "x": "y" }, "none": null,
        }));
        for (claim, word, expected) in [
            ("role", "order reader", true),
            ("role", "reader", false),
            ("groups", "z", true),
            ("groups", "x", false),
            ("level", "3", true),
            ("staff", "true", true),
            ("deep", "y", false),
            ("deep.x", "y", true),
            ("none", "null", false),
            ("other", "", false),
        ] {
            assert_eq!(claims.has(claim, word), expected, "{claim} {word}");
        }
    }

    #[test]
    fn bindings() {
        let own = [7; 32];
        let thumbprint = base64url::encode(&own);
        let bound = claims(json!({ "cnf": { "x5t#S256": thumbprint } }));
        let bearer = claims(json!({}));
        let dpop = claims(json!({ "cnf": { "jkt": thumbprint } }));
        let both = claims(json!({ "cnf": { "x5t#S256": thumbprint, "jkt": "a" } }));
        for (claims, client, required, expected) in [
            (&bound, Some(&own), true, Ok(())),
            (&bound, Some(&[8; 32]), false, Err(Reason::Binding)),
            (&bound, None, false, Err(Reason::Binding)),
            (&bearer, None, false, Ok(())),
            (&bearer, Some(&own), true, Err(Reason::BindingMissing)),
            (&dpop, Some(&own), false, Err(Reason::BindingUnsupported)),
            (&both, Some(&own), false, Err(Reason::BindingUnsupported)),
        ] {
            assert_eq!(claims.check_binding(client, required), expected);
        }
    }
}
