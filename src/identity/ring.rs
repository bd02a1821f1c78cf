//! The keys of our own that sign tokens for gateways, as one file of PEM keeps them.
//!
//! Each key has a time from which it signs, so that a process decides by its clock alone, and two processes with the same
//! file agree. Invariants: there is at least one key, the keys are in the order of their times, and a new key is in the set
//! for gateways for the whole overlap before it signs. A key leaves the set when the tokens that it signed have ended and
//! the overlap has passed as well.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use identity::{Signer, SigningAlgorithm};
use openssl::error::ErrorStack;
use serde_json::json;

/// The line before a key that says from when it signs, in seconds since 1970.
const SINCE: &str = "Signs-From:";
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
/// Nothing that rotates as it should has more.
const MOST_KEYS: usize = 16;
const MOST_BYTES: usize = 64 * 1024;
/// How long after its last token a key may still be needed: the life of a token, and as much for clocks that differ.
const AFTERLIFE: u64 = 120;

/// A key, and when it begins to sign.
#[derive(Debug, Clone)]
pub struct OwnKey {
    /// The key.
    pub signer: Arc<Signer>,
    /// In seconds since 1970; `u64::MAX` for one that is only published.
    pub since: u64,
}

/// When keys follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// The age at which the next key takes over; None: only when somebody asks for it.
    pub every: Option<Duration>,
    /// How long a key is published before it signs, and after its last token has ended.
    pub overlap: Duration,
    /// What new keys sign with.
    pub algorithm: SigningAlgorithm,
}

/// The keys; the last one that has begun signs.
#[derive(Debug, Clone)]
pub struct KeyRing(Vec<OwnKey>);

/// Why a file holds no keys of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingError(&'static str);

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for RingError {}

/// Why there is no new key.
#[derive(Debug)]
pub enum RotateError {
    /// Another one waits to sign, from this time on.
    Waiting(u64),
    /// There are too many that gateways may still need.
    TooMany,
    /// OpenSSL cannot make one.
    Key(ErrorStack),
}

impl fmt::Display for RotateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(_) => f.write_str("the next key is published already and waits to sign"),
            Self::TooMany => f.write_str("too many earlier keys are still published"),
            Self::Key(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RotateError {}

impl KeyRing {
    /// One new key, which signs from now on.
    ///
    /// # Errors
    /// OpenSSL cannot make it.
    pub fn first(algorithm: SigningAlgorithm, now: u64) -> Result<Self, ErrorStack> {
        Ok(Self(vec![made(algorithm, now)?]))
    }

    /// Keys that somebody else keeps: the first signs, the others are published. None if there are none.
    #[must_use]
    pub fn given(signers: Vec<Arc<Signer>>) -> Option<Self> {
        let keys = signers.into_iter().enumerate();
        let mut keys: Vec<_> = keys
            .map(|(at, signer)| OwnKey {
                signer,
                since: if at == 0 { 0 } else { u64::MAX },
            })
            .collect();
        keys.sort_by_key(|key| key.since);
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// Reads a file of ours. A key without a time, as earlier versions wrote it, has signed since `written`.
    ///
    /// # Errors
    /// Something in it is not as we write it. Nothing of such a file is used: a key that is missing in the set for
    /// gateways makes good tokens bad.
    pub fn parse(text: &[u8], written: u64) -> Result<Self, RingError> {
        if text.len() > MOST_BYTES {
            return Err(RingError("it is larger than any that we write"));
        }
        let text = std::str::from_utf8(text).map_err(|_| RingError("it is not text"))?;
        let mut keys: Vec<OwnKey> = Vec::new();
        let (mut since, mut block) = (None, None::<String>);
        for line in text.lines() {
            if let Some(pem) = &mut block {
                pem.push_str(line);
                pem.push('\n');
                if line.starts_with(END) {
                    let since = since.take().unwrap_or(written);
                    keys.push(parsed(pem, since)?);
                    block = None;
                }
            } else if let Some(value) = line.strip_prefix(SINCE) {
                let value = value.trim().parse();
                let value = value.map_err(|_| RingError("a \"Signs-From\" is no number"))?;
                if since.replace(value).is_some() {
                    return Err(RingError("a \"Signs-From\" has no key"));
                }
            } else if line.starts_with(BEGIN) {
                block = Some(format!("{line}\n"));
            } else if !line.is_empty() && !line.starts_with('#') {
                return Err(RingError("there is a line that is neither a key nor ours"));
            }
        }
        if block.is_some() || since.is_some() {
            return Err(RingError("it ends within a key"));
        }
        if keys.is_empty() || keys.len() > MOST_KEYS {
            return Err(RingError("it has no key, or more than we ever write"));
        }
        if !keys.is_sorted_by_key(|key| key.since) {
            return Err(RingError("its keys are not in the order of their times"));
        }
        Ok(Self(keys))
    }

    /// The content of the file.
    ///
    /// # Errors
    /// OpenSSL cannot write a key.
    pub fn to_pem(&self) -> Result<Vec<u8>, ErrorStack> {
        let mut text =
            String::from("# Private keys that sign tokens for gateways. Written by drawbridge.\n");
        for key in &self.0 {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{SINCE} {}", key.since);
            text.push_str(&String::from_utf8_lossy(&key.signer.to_pem()?));
        }
        Ok(text.into_bytes())
    }

    /// All keys, in the order in which they sign.
    #[must_use]
    pub fn keys(&self) -> &[OwnKey] {
        &self.0
    }

    /// The key that signs now. With a clock that went back, the earliest.
    #[must_use]
    pub fn signing(&self, now: u64) -> Option<&OwnKey> {
        let begun = self.0.iter().rev().find(|key| key.since <= now);
        begun.or_else(|| self.0.first())
    }

    /// The set for gateways.
    #[must_use]
    pub fn jwks(&self) -> String {
        let keys: Vec<_> = self.0.iter().map(|key| key.signer.public()).collect();
        json!({ "keys": keys }).to_string()
    }

    /// The keys that follow these by age alone; None if nothing changes yet.
    ///
    /// # Errors
    /// OpenSSL cannot make a key.
    pub fn by_age(&self, rotation: &Rotation, now: u64) -> Result<Option<Self>, RotateError> {
        let mut next = self.without_ended(rotation, now);
        if let Some(due) = self.next_at(rotation)
            && due <= now.saturating_add(rotation.overlap.as_secs())
            && !self.is_waiting(now)
        {
            let since = due.max(now.saturating_add(rotation.overlap.as_secs()));
            next.add(rotation.algorithm, since)?;
        }
        Ok((next.0.len() != self.0.len() || next.newest() != self.newest()).then_some(next))
    }

    /// The keys with a new one that signs after the overlap, whatever the age of the present one.
    ///
    /// # Errors
    /// Another one waits, or OpenSSL cannot make one.
    pub fn on_request(&self, rotation: &Rotation, now: u64) -> Result<Self, RotateError> {
        if self.is_waiting(now) {
            return Err(RotateError::Waiting(self.newest()));
        }
        let mut next = self.without_ended(rotation, now);
        let since = now.saturating_add(rotation.overlap.as_secs());
        next.add(rotation.algorithm, since)?;
        Ok(next)
    }

    /// When the next key signs: the one that waits, or the one that age will bring. None if only a request brings one.
    #[must_use]
    pub fn next_at(&self, rotation: &Rotation) -> Option<u64> {
        Some(self.newest().saturating_add(rotation.every?.as_secs()))
    }

    /// Whether a key is published that does not sign yet.
    #[must_use]
    pub fn is_waiting(&self, now: u64) -> bool {
        self.0.len() > 1 && self.newest() > now
    }

    fn newest(&self) -> u64 {
        self.0.last().map_or(0, |key| key.since)
    }

    fn add(&mut self, algorithm: SigningAlgorithm, since: u64) -> Result<(), RotateError> {
        if self.0.len() >= MOST_KEYS {
            return Err(RotateError::TooMany);
        }
        self.0
            .push(made(algorithm, since).map_err(RotateError::Key)?);
        Ok(())
    }

    fn without_ended(&self, rotation: &Rotation, now: u64) -> Self {
        let after = rotation.overlap.as_secs().saturating_add(AFTERLIFE);
        let followers = self.0.iter().skip(1).map(|key| key.since);
        let ends = followers.map(|since| since.saturating_add(after));
        let ends = ends.chain([u64::MAX]);
        let kept = self.0.iter().zip(ends).filter(|(_, end)| *end > now);
        Self(kept.map(|(key, _)| key.clone()).collect())
    }
}

fn made(algorithm: SigningAlgorithm, since: u64) -> Result<OwnKey, ErrorStack> {
    let signer = Arc::new(Signer::generate(algorithm)?);
    Ok(OwnKey { signer, since })
}

fn parsed(pem: &str, since: u64) -> Result<OwnKey, RingError> {
    match Signer::from_pem(pem.as_bytes()) {
        Ok(Some(signer)) => Ok(OwnKey {
            signer: Arc::new(signer),
            since,
        }),
        Ok(None) => Err(RingError("a key is neither of P-256 nor of Ed25519")),
        Err(_) => Err(RingError("a key is damaged")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;
    const ROTATION: Rotation = Rotation {
        every: Some(Duration::from_secs(30 * DAY)),
        overlap: Duration::from_secs(DAY),
        algorithm: SigningAlgorithm::Es256,
    };

    fn ids(ring: &KeyRing) -> Vec<String> {
        let keys = ring.keys().iter();
        keys.map(|key| key.signer.id().to_owned()).collect()
    }

    #[test]
    fn a_key_is_published_before_it_signs_and_after_its_last_token() {
        let first = KeyRing::first(SigningAlgorithm::Es256, 0).unwrap();
        let by_age = |ring: &KeyRing, now| ring.by_age(&ROTATION, now).unwrap();
        assert!(by_age(&first, 29 * DAY - 1).is_none());
        let both = by_age(&first, 29 * DAY).unwrap();
        let [old, new] = <[String; 2]>::try_from(ids(&both)).unwrap();
        let signs = |now| both.signing(now).unwrap().signer.id().to_owned();
        assert_eq!(signs(30 * DAY - 1), old);
        assert_eq!(signs(30 * DAY), new);
        assert!(both.jwks().contains(&old) && both.jwks().contains(&new));
        let ended = 31 * DAY + AFTERLIFE;
        assert!(by_age(&both, ended - 1).is_none());
        assert_eq!(ids(&by_age(&both, ended).unwrap()), [new]);
    }

    #[test]
    fn a_key_that_is_long_overdue_still_waits_for_the_overlap() {
        let first = KeyRing::first(SigningAlgorithm::Es256, 0).unwrap();
        let both = first.by_age(&ROTATION, 90 * DAY).unwrap().unwrap();
        assert_eq!(both.keys()[1].since, 91 * DAY);
        // A clock that went back before every time.
        let first = ids(&both).remove(0);
        assert_eq!(both.signing(0).unwrap().signer.id(), first);
    }

    #[test]
    fn one_key_at_most_waits() {
        let first = KeyRing::first(SigningAlgorithm::EdDsa, 0).unwrap();
        let both = first.on_request(&ROTATION, 10).unwrap();
        assert_eq!(both.keys()[1].since, 10 + DAY);
        let again = both.on_request(&ROTATION, 11);
        assert!(matches!(again, Err(RotateError::Waiting(_))));
        assert!(both.on_request(&ROTATION, 10 + DAY).is_ok());
        let never = Rotation {
            every: None,
            ..ROTATION
        };
        assert!(first.by_age(&never, 900 * DAY).unwrap().is_none());
    }

    #[test]
    fn the_file_keeps_keys_and_times_and_nothing_else_is_taken() {
        let ring = KeyRing::first(SigningAlgorithm::Es256, 7).unwrap();
        let ring = ring.on_request(&ROTATION, 20).unwrap();
        let text = String::from_utf8(ring.to_pem().unwrap()).unwrap();
        let read = KeyRing::parse(text.as_bytes(), 1).unwrap();
        let times = |ring: &KeyRing| ring.keys().iter().map(|k| k.since).collect::<Vec<_>>();
        assert_eq!((ids(&read), times(&read)), (ids(&ring), times(&ring)));

        let bare = ring.keys()[0].signer.to_pem().unwrap();
        assert_eq!(times(&KeyRing::parse(&bare, 5).unwrap()), [5]);
        let half = &text[..text.len() / 2];
        for damaged in [
            "",
            half,
            &text.replace("Signs-From: 7", "Signs-From: x"),
            &text.replace("Signs-From: 7", "Signs-From: 99999999"),
            &text.replace("Signs-From: 7", "Signs-From: 7\nSigns-From: 8"),
            &format!("{text}Signs-From: 9\n"),
            &format!("{text}more\n"),
            &text.replace("MIG", "MIH"),
            &text.repeat(9),
        ] {
            assert!(KeyRing::parse(damaged.as_bytes(), 1).is_err(), "{damaged}");
        }
        assert!(KeyRing::parse(&[b'#'; MOST_BYTES + 1], 1).is_err());
        assert!(!format!("{read:?}").contains("PRIVATE"));
    }
}
