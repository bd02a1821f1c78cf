//! What a gateway learns about the caller.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http_strict::{field_name_form, same_field_name};
use serde_json::{Map, Value, json};

use super::caller::Caller;
use super::provider::{Provider, TokenPlace};
use super::ring::{KeyRing, Rotation};

/// How long a token of our own holds, in seconds.
const LIFETIME: u64 = 60;
/// How long gateways may keep our key set at most, in seconds.
const MOST_AGE: u64 = 3600;

/// What a gateway gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardIdentity {
    /// The token as it came.
    Original,
    /// Header fields with claims, and no token.
    Claims,
    /// A token that we sign, in the place of the client's.
    Signed,
    /// A token that the gateways' own issuer gives for the client's, in its place (RFC 8693).
    Exchanged,
    /// Nothing.
    Nothing,
}

impl ForwardIdentity {
    /// The word in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Claims => "claims",
            Self::Signed => "signed",
            Self::Exchanged => "exchanged",
            Self::Nothing => "none",
        }
    }

    /// Whether the gateway gets another token in the place of the client's.
    #[must_use]
    pub fn replaces_token(self) -> bool {
        matches!(self, Self::Signed | Self::Exchanged)
    }
}

/// How we sign tokens for gateways.
#[derive(Debug, Clone)]
pub struct Signing {
    /// `iss` of our tokens.
    pub issuer: String,
    /// The claims that are taken over, besides `sub`.
    pub claims: Vec<String>,
    /// The keys; None before the first start. Rotation replaces them while a configuration runs.
    pub ring: Arc<ArcSwapOption<KeyRing>>,
    /// The file in the `state_dir` and how its keys follow each other; None for keys that somebody else keeps.
    pub own: Option<(PathBuf, Rotation)>,
    /// Where the set is written for gateways that cannot fetch it.
    pub jwks_file: Option<PathBuf>,
}

impl Signing {
    /// The JWK set for gateways.
    #[must_use]
    pub fn jwks(&self) -> String {
        let ring = self.ring.load();
        let set = ring.as_ref().map(|ring| ring.jwks());
        set.unwrap_or_else(|| json!({ "keys": [] }).to_string())
    }

    /// How long a gateway may keep the set, in seconds. It asks at least twice while a new key waits to sign.
    #[must_use]
    pub fn jwks_max_age(&self) -> u64 {
        let overlap = self.own.as_ref().map(|(_, rotation)| rotation.overlap);
        overlap.map_or(MOST_AGE, |overlap| (overlap.as_secs() / 2).min(MOST_AGE))
    }

    /// The claims of a token for an upstream.
    #[must_use]
    pub fn claims_for(
        &self,
        caller: &Caller,
        upstream: &str,
        request_id: &str,
        client: Option<&str>,
        now: u64,
    ) -> Map<String, Value> {
        let mut claims = Map::new();
        // First what the issuer said, so that none of it stands in the place of ours.
        for name in &self.claims {
            if let Some(value) = caller.claims.find(name) {
                claims.insert(name.clone(), value.clone());
            }
        }
        let mut claims = self.complete(claims, upstream, request_id, now);
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        put("sub", json!(caller.claims.subject()));
        put("idp", json!(caller.issuer()));
        // Never longer than the token that it stands for.
        let ends = caller.claims.expires().unwrap_or(now + LIFETIME);
        put("exp", json!((now + LIFETIME).min(ends.max(now + 1))));
        match client {
            Some(thumbprint) => put("cnf", json!({ "x5t#S256": thumbprint })),
            None => claims.remove("cnf"),
        };
        claims.retain(|_, value| !value.is_null());
        claims
    }

    /// Adds what every token of ours says.
    #[must_use]
    pub fn complete(
        &self,
        mut claims: Map<String, Value>,
        upstream: &str,
        id: &str,
        now: u64,
    ) -> Map<String, Value> {
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        put("iss", json!(self.issuer));
        put("aud", json!(upstream));
        put("iat", json!(now));
        put("exp", json!(now + LIFETIME));
        put("jti", json!(id));
        claims
    }

    /// The token itself.
    ///
    /// # Errors
    /// There is no key, or OpenSSL cannot sign.
    pub fn sign(&self, claims: &Map<String, Value>, now: u64) -> Result<String, String> {
        let ring = self.ring.load();
        let key = ring.as_ref().and_then(|ring| ring.signing(now));
        let key = key.ok_or("there is no key to sign with")?;
        key.signer
            .sign("JWT", claims)
            .map_err(|error| error.to_string())
    }
}

/// A claim as the value of a header field; None if it has no simple value. Bytes that a field cannot hold, and `%`, are
/// percent-encoded; in a list also blanks, which stand between its elements.
#[must_use]
pub fn field_value(claim: &Value) -> Option<String> {
    match claim {
        Value::String(text) => Some(encoded(text, false)),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is) => Some(is.to_string()),
        Value::Array(list) => {
            let texts = list
                .iter()
                .map(|element| Some(encoded(element.as_str()?, true)));
            Some(texts.collect::<Option<Vec<_>>>()?.join(" "))
        }
        Value::Null | Value::Object(_) => None,
    }
}

/// A text as the value of a header field, encoded in the same way.
#[must_use]
pub fn field_text(text: &str) -> String {
    encoded(text, false)
}

fn encoded(text: &str, in_list: bool) -> String {
    let mut out = String::with_capacity(text.len());
    // A blank at an end would be cut off by whoever reads the field.
    let inner = text.trim_matches(' ').len() == text.len();
    for byte in text.bytes() {
        match byte {
            b' ' if inner && !in_list => out.push(' '),
            0x21..=0x7e if byte != b'%' => out.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// A header field that is used for identity, as a table shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnField<'p> {
    /// As the configuration writes it.
    pub name: &'p str,
    /// The `[identity]` table that names it.
    pub identity: &'p str,
    /// The claim that a gateway finds there, removed from requests in every spelling. None for the place of the client's
    /// token, of which only other spellings are removed.
    pub claim: Option<&'p str>,
}

/// The header fields of these providers.
pub fn own_fields<'p>(
    providers: impl Iterator<Item = &'p Arc<Provider>>,
) -> impl Iterator<Item = OwnField<'p>> {
    providers.flat_map(|provider| {
        let identity = provider.name.as_str();
        let fields = provider.fields.iter();
        let claims = fields.map(move |(name, claim)| OwnField {
            name,
            identity,
            claim: Some(claim),
        });
        let token = match &provider.place {
            TokenPlace::Field(name) => Some(OwnField {
                name,
                identity,
                claim: None,
            }),
            _ => None,
        };
        claims.chain(token)
    })
}

/// The header fields that no client may send.
#[derive(Debug, Default)]
pub struct OwnFields {
    /// Those that say to gateways who is calling, in their one form, in order.
    claims: Vec<Vec<u8>>,
    /// Those that hold clients' tokens, in lower case. Only their other spellings are dropped: a gateway must not find
    /// another token there than the one that was verified.
    tokens: Vec<String>,
}

impl OwnFields {
    /// The fields of these providers.
    pub fn of<'p>(providers: impl Iterator<Item = &'p Arc<Provider>>) -> Self {
        let mut own = Self::default();
        for field in own_fields(providers) {
            match field.claim {
                Some(_) => own.claims.push(field_name_form(field.name.as_bytes())),
                None => own.tokens.push(field.name.to_owned()),
            }
        }
        own.claims.sort();
        own.claims.dedup();
        own
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.tokens.is_empty()
    }

    /// Whether a field of this name is dropped from every request.
    #[must_use]
    pub fn drops(&self, name: &[u8]) -> bool {
        let is_other = |token: &String| {
            let token = token.as_bytes();
            same_field_name(name, token) && !name.eq_ignore_ascii_case(token)
        };
        let form = field_name_form(name);
        self.claims.binary_search(&form).is_ok() || self.tokens.iter().any(is_other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_as_fields() {
        for (claim, value) in [
            (json!("anna"), Some("anna")),
            (json!("Anna M"), Some("Anna M")),
            (json!(" a"), Some("%20a")),
            (json!("100%"), Some("100%25")),
            (json!("a\r\nX-Admin: 1"), Some("a%0D%0AX-Admin: 1")),
            (json!("\u{e4}"), Some("%C3%A4")),
            (json!(["a b", "c"]), Some("a%20b c")),
            (json!(7), Some("7")),
            (json!(true), Some("true")),
            (json!([]), Some("")),
            (json!([1]), None),
            (json!({ "a": 1 }), None),
            (json!(null), None),
        ] {
            assert_eq!(field_value(&claim).as_deref(), value, "{claim}");
        }
    }
}
