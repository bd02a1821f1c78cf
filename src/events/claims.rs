//! Who called, and what the rules saw of it, for an event: bounded, since an issuer chooses how many claims there are and how long.

use serde::{Deserialize, Serialize};

/// Bytes of a claim's name that are kept.
const MOST_NAME: usize = 128;
/// Bytes of one value.
const MOST_VALUE: usize = 1024;
/// Bytes of all names and values.
const MOST_BYTES: usize = 8 * 1024;
/// Values, and names of those that are left out.
const MOST_CLAIMS: usize = 64;

/// Who called, as the access line has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerFacts {
    /// The name of the `[identity]` table.
    pub name: String,
    /// `iss`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// `sub`, or a hash of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `jti`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
}

/// What the rules saw as `IDENTITY`, as far as it is kept; empty without a caller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenClaims {
    /// In order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<SeenClaim>,
    /// The names of those that are not kept, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// A value of the collection `IDENTITY`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenClaim {
    /// Like `sub`.
    pub name: String,
    /// As the rules saw it.
    pub value: String,
}

impl CallerFacts {
    /// The table and the subject, on one line.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}:{}", self.name, self.subject.as_deref().unwrap_or("-"))
    }
}

impl SeenClaims {
    /// Adds a value that the rules saw; only its name if it is too long or there are too many.
    pub fn add(&mut self, name: &str, value: &str) {
        let fits = name.len() <= MOST_NAME
            && value.len() <= MOST_VALUE
            && self.kept.len() < MOST_CLAIMS
            && self.bytes() + name.len() + value.len() <= MOST_BYTES;
        match fits {
            true => self.kept.push(SeenClaim {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            false => self.leave_out(name),
        }
    }

    /// Notes that a value is not kept.
    pub fn leave_out(&mut self, name: &str) {
        // One name stands for all that are not listed, and any rule may look at one of them.
        let is_listed = name.len() <= MOST_NAME && self.left_out.len() < MOST_CLAIMS;
        let name = if is_listed { name } else { Self::OTHERS };
        if !self.left_out.iter().any(|known| known == name) {
            self.left_out.push(name.to_owned());
        }
    }

    /// Keeps only values that this is true of, and the names of the others.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        for claim in std::mem::take(&mut self.kept) {
            match is_kept(&claim.value) {
                true => self.kept.push(claim),
                false => self.leave_out(&claim.name),
            }
        }
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let kept = self.kept.iter();
        let kept: usize = kept.map(|claim| claim.name.len() + claim.value.len()).sum();
        kept + self.left_out.iter().map(String::len).sum::<usize>()
    }

    /// The name of all claims that are left out and not listed.
    const OTHERS: &'static str = "...";

    /// The claims that are left out and that rules look at, as `reads` says; also what may be one.
    #[must_use]
    pub fn missed(&self, reads: impl Fn(&str) -> bool) -> Vec<&str> {
        let names = self.left_out.iter().map(String::as_str);
        names
            .filter(|name| *name == Self::OTHERS || reads(name))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_not_retained_is_named() {
        let mut claims = SeenClaims::default();
        for (name, value) in [("role", "a"), ("role", "b"), ("sub", "c")] {
            claims.add(name, value);
        }
        claims.retain(|value| value == "a");
        assert_eq!(
            (claims.kept.len(), claims.left_out),
            (1, vec!["role".to_owned(), "sub".to_owned()])
        );
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mut claims = SeenClaims::default();
        claims.add("sub", "anna");
        claims.add("long", &"x".repeat(MOST_VALUE + 1));
        claims.add("long", &"y".repeat(MOST_VALUE + 1));
        assert_eq!(claims.kept.len(), 1);
        assert_eq!(claims.left_out, ["long"]);
        assert_eq!(claims.missed(|name| name == "sub"), [] as [&str; 0]);
        assert_eq!(claims.missed(|name| name == "long"), ["long"]);
        for at in 0..1000 {
            claims.add(&format!("role{at}"), &"x".repeat(100));
        }
        assert!(claims.bytes() < 2 * MOST_BYTES, "{}", claims.bytes());
        assert_eq!(claims.left_out.len(), MOST_CLAIMS + 1);
        assert_eq!(claims.missed(|_| false), [SeenClaims::OTHERS]);
    }
}
