//! A login that goes on at the provider, and comes back to the browser in which it began.
//!
//! The browser keeps all of it in a cookie that only this process can make, so that strangers who begin logins fill no memory
//! and keep nobody out. Invariants: state, nonce and verifier follow from the cookie and a key that never leaves this process;
//! an attempt ends after [`LIFE`] and comes back once.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::memcmp;
use openssl::pkey::{PKey, Private};
use openssl::rand::rand_bytes;
use openssl::sign::Signer;

use crate::hex::hex;

/// How long somebody may take at the provider.
pub(in super::super) const LIFE: Duration = Duration::from_secs(10 * 60);
/// Attempts that came back, which are remembered. A provider takes a code once anyway.
const REMEMBERED: usize = 1024;

/// Makes attempts and knows them again.
#[derive(Debug)]
pub(super) struct Attempts {
    key: PKey<Private>,
    /// Whoever sets the system's clock cannot prolong an attempt.
    begun: Instant,
    used: Mutex<VecDeque<String>>,
}

/// One login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    /// What the provider gives back to the browser.
    pub(super) state: String,
    /// What the provider writes into the ID token.
    pub(super) nonce: String,
    /// What only we know until the code is redeemed (RFC 7636).
    pub(super) verifier: String,
}

impl Attempts {
    pub(super) fn new() -> Result<Self, ErrorStack> {
        let mut key = [0; 32];
        rand_bytes(&mut key)?;
        Ok(Self {
            key: PKey::hmac(&key)?,
            begun: Instant::now(),
            used: Mutex::default(),
        })
    }

    /// A new one, and the value of its cookie.
    pub(super) fn begin(&self) -> Result<(Attempt, String), ErrorStack> {
        let mut random = [0; 16];
        rand_bytes(&mut random)?;
        let content = format!("{}-{}", self.begun.elapsed().as_secs(), hex(&random));
        let cookie = format!("{content}-{}", self.derive("cookie", &content)?);
        Ok((self.of(&content)?, cookie))
    }

    /// The attempt of a cookie; None if it is not of this process or its time is over.
    pub(super) fn find(&self, cookie: &str) -> Result<Option<Attempt>, ErrorStack> {
        let Some((content, seal)) = cookie.rsplit_once('-') else {
            return Ok(None);
        };
        if !same(seal, &self.derive("cookie", content)?) {
            return Ok(None);
        }
        let at = content.split_once('-').and_then(|(at, _)| at.parse().ok());
        let age = self
            .begun
            .elapsed()
            .checked_sub(Duration::from_secs(at.unwrap_or(0)));
        match age {
            Some(age) if age < LIFE => self.of(content).map(Some),
            _ => Ok(None),
        }
    }

    fn of(&self, content: &str) -> Result<Attempt, ErrorStack> {
        Ok(Attempt {
            state: self.derive("state", content)?,
            nonce: self.derive("nonce", content)?,
            verifier: self.derive("verifier", content)?,
        })
    }

    /// Whether it comes back for the first time.
    pub(super) fn use_up(&self, attempt: &Attempt) -> bool {
        // States are added whole.
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.contains(&attempt.state) {
            return false;
        }
        if used.len() >= REMEMBERED {
            used.pop_front();
        }
        used.push_back(attempt.state.clone());
        true
    }

    fn derive(&self, purpose: &str, content: &str) -> Result<String, ErrorStack> {
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key)?;
        // No purpose holds a line feed, so no two inputs are the same.
        signer.update(purpose.as_bytes())?;
        signer.update(b"\n")?;
        signer.update(content.as_bytes())?;
        Ok(hex(&signer.sign_to_vec()?))
    }
}

impl Attempt {
    /// Whether the browser brought the state that it was given.
    pub(super) fn has_state(&self, state: &str) -> bool {
        same(&self.state, state)
    }
}

/// In constant time, which shows nothing of how much of a guess is right.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && memcmp::eq(a.as_bytes(), b.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cookie_of_this_process_is_an_attempt_and_it_comes_back_once() {
        let attempts = Attempts::new().unwrap();
        let (attempt, cookie) = attempts.begin().unwrap();
        assert_eq!(attempts.find(&cookie).unwrap().as_ref(), Some(&attempt));
        assert!(attempt.has_state(&attempt.state) && !attempt.has_state(&attempt.nonce));
        assert!((43..=128).contains(&attempt.verifier.len()));
        for wrong in [
            "",
            "-",
            "0-0-0",
            &cookie[1..],
            &cookie[..cookie.len() - 1],
            &format!("1{cookie}"),
        ] {
            assert_eq!(attempts.find(wrong).unwrap(), None, "{wrong}");
        }
        let other = Attempts::new().unwrap();
        assert_eq!(other.find(&cookie).unwrap(), None);
        assert!(attempts.use_up(&attempt) && !attempts.use_up(&attempt));
        let (next, _) = attempts.begin().unwrap();
        assert_ne!(next.state, attempt.state);
    }

    #[test]
    fn an_attempt_ends() {
        let mut attempts = Attempts::new().unwrap();
        let (_, cookie) = attempts.begin().unwrap();
        let Some(past) = attempts.begun.checked_sub(LIFE) else {
            return;
        };
        attempts.begun = past;
        assert_eq!(attempts.find(&cookie).unwrap(), None);
    }
}
