//! How often an address may fail to log in.
//!
//! Nobody guesses 256 bits, so a good secret is never refused: a bound on it would only let one client behind an address keep
//! out all others. The bound keeps strangers from filling the audit. Invariant: the memory and the lines of the audit are
//! bounded.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::client_site::client_site;

/// For how long failures are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// Failures of one address in that time.
const MOST: u32 = 10;
/// Addresses that are counted. Those beyond it are not, and their failures are not recorded.
const ADDRESSES: usize = 256;

/// What a failure is in the last minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// One of a few, which the audit has.
    Counted,
    /// One of too many from there.
    TooMany,
    /// Failures come from too many addresses to know.
    Uncounted,
}

/// The failures of the last minute.
#[derive(Debug)]
pub(super) struct Attempts(Mutex<Failures>);

#[derive(Debug)]
struct Failures {
    since: Instant,
    by_address: HashMap<IpAddr, u32>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self(Mutex::new(Failures {
            since: Instant::now(),
            by_address: HashMap::new(),
        }))
    }
}

impl Attempts {
    /// Counts a failure.
    pub(super) fn failed(&self, address: IpAddr) -> Failure {
        self.with(|failures| {
            let address = client_site(address);
            if failures.len() >= ADDRESSES && !failures.contains_key(&address) {
                return Failure::Uncounted;
            }
            let count = failures.entry(address).or_default();
            *count = count.saturating_add(1);
            match *count <= MOST {
                true => Failure::Counted,
                false => Failure::TooMany,
            }
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<IpAddr, u32>) -> T) -> T {
        // Counts are stored whole.
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // All counts at once, so that no address needs a time of its own.
        if failures.since.elapsed() >= WINDOW {
            failures.since = Instant::now();
            failures.by_address.clear();
        }
        act(&mut failures.by_address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_fails_a_few_times_and_others_are_not_concerned() {
        let attempts = Attempts::default();
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let same: IpAddr = "2001:db8::2".parse().unwrap();
        let other: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        for _ in 0..MOST {
            assert_eq!(attempts.failed(one), Failure::Counted);
        }
        assert_eq!(attempts.failed(same), Failure::TooMany);
        assert_eq!(attempts.failed(other), Failure::Counted);
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let attempts = Attempts::default();
        for at in 0..2 * ADDRESSES {
            let address = u32::try_from(at).unwrap();
            let expected = match at < ADDRESSES {
                true => Failure::Counted,
                false => Failure::Uncounted,
            };
            let failed = attempts.failed(IpAddr::V4(address.into()));
            assert_eq!(failed, expected);
        }
        assert_eq!(attempts.0.lock().unwrap().by_address.len(), ADDRESSES);
    }
}
