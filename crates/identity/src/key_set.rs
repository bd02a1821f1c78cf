//! The keys of an issuer (RFC 7517, 5), and which of them a token names.

use std::fmt;

use serde_json::Value;

use crate::algorithm::Algorithm;
use crate::json::{self, JsonFault};
use crate::key::{Key, KeyFault};
use crate::reason::Reason;

/// In bytes.
const LONGEST: usize = 256 * 1024;
const MOST_KEYS: usize = 128;

/// The keys that may verify an issuer's tokens.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// A set, and what of it cannot be used.
#[derive(Debug, Clone)]
pub struct ParsedKeySet {
    /// At least one key.
    pub keys: KeySet,
    /// The others.
    pub skipped: Vec<Skipped>,
}

/// A member of a set that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its place in the set, from 0.
    pub place: usize,
    /// Its `kid`, if it has one.
    pub id: Option<String>,
    /// Why.
    pub fault: KeyFault,
}

/// Why bytes are no usable key set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySetError {
    /// More than 256 KiB.
    TooLong,
    /// It is not a JSON object, or too large a one.
    NotJson,
    /// An object names a member twice.
    DuplicateMember,
    /// There is no list `keys`, or it has more than 128.
    NoKeys,
    /// Nothing in it verifies signatures.
    NoUsableKey(Vec<Skipped>),
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "it is longer than {LONGEST} bytes"),
            Self::NotJson => f.write_str("it is not a JSON object"),
            Self::DuplicateMember => f.write_str("a JSON object in it names a member twice"),
            Self::NoKeys => write!(f, "it has no list \"keys\" of 1 to {MOST_KEYS} keys"),
            Self::NoUsableKey(skipped) => {
                f.write_str("none of its keys can be used")?;
                match skipped.first() {
                    Some(first) => write!(f, "; {first}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for KeySetError {}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "key {id:?}: {}", self.fault),
            None => write!(f, "key {}: {}", self.place + 1, self.fault),
        }
    }
}

impl KeySet {
    /// Parses a JWK set. Keys of unknown types are skipped: a set may have keys for other purposes.
    ///
    /// # Errors
    /// Nothing in it can be used.
    pub fn parse(bytes: &[u8]) -> Result<ParsedKeySet, KeySetError> {
        if bytes.len() > LONGEST {
            return Err(KeySetError::TooLong);
        }
        let set = json::parse_object(bytes).map_err(|fault| match fault {
            JsonFault::Duplicate => KeySetError::DuplicateMember,
            JsonFault::Syntax | JsonFault::Bounds => KeySetError::NotJson,
        })?;
        let members = set.get("keys").and_then(Value::as_array);
        let members = members.filter(|list| (1..=MOST_KEYS).contains(&list.len()));
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (place, member) in members.ok_or(KeySetError::NoKeys)?.iter().enumerate() {
            let jwk = member.as_object().ok_or(KeyFault::Malformed);
            match jwk.and_then(Key::from_jwk) {
                Ok(key) => keys.push(key),
                Err(fault) => {
                    let id = member.get("kid").and_then(Value::as_str);
                    let id = id.filter(|id| id.len() <= crate::key::LONGEST_KEY_ID);
                    let id = id.map(str::to_owned);
                    skipped.push(Skipped { place, id, fault });
                }
            }
        }
        match keys.is_empty() {
            true => Err(KeySetError::NoUsableKey(skipped)),
            false => Ok(ParsedKeySet {
                keys: Self { keys },
                skipped,
            }),
        }
    }

    /// A set of these keys.
    #[must_use]
    pub fn of(keys: Vec<Key>) -> Self {
        Self { keys }
    }

    /// Its keys.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The key that a token names.
    ///
    /// # Errors
    /// There is none, more than one, or it is not for this algorithm.
    pub(crate) fn pick(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&Key, Reason> {
        let named = |key: &&Key| id.is_none() || key.id() == id;
        let mut fitting = self
            .keys
            .iter()
            .filter(named)
            .filter(|key| key.fits(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(Reason::KeyAmbiguous),
            (None, _) if id.is_some() && self.keys.iter().any(|key| named(&key)) => {
                Err(Reason::KeyMismatch)
            }
            (None, _) => Err(Reason::KeyUnknown),
        }
    }
}
