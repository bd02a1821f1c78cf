//! How often an address may fail to log in.
//!
//! Nobody guesses 256 bits; the bound keeps strangers from filling the audit, and shows it if somebody tries. Invariant:
//! the memory is bounded, and so are the lines of the audit.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For how long failures are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// Failures of one address in that time.
const MOST: u32 = 10;
/// Addresses that are counted. Those beyond it are not, and their failures are not recorded.
const ADDRESSES: usize = 256;

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
    /// Whether this address may try.
    pub(super) fn may_try(&self, address: IpAddr) -> bool {
        self.with(|failures| {
            failures
                // An address without a count may try: else 256 strangers could lock everybody out.
                .get(&network(address))
                .is_none_or(|count| *count < MOST)
        })
    }

    /// Counts a failure. Whether it should be recorded.
    pub(super) fn failed(&self, address: IpAddr) -> bool {
        self.with(|failures| {
            let address = network(address);
            if failures.len() >= ADDRESSES && !failures.contains_key(&address) {
                return false;
            }
            let count = failures.entry(address).or_default();
            *count += 1;
            *count <= MOST
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

/// What one customer of a provider has: an IPv4 address, or a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let upper = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(upper))
        }
        address => address,
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
            assert!(attempts.may_try(same));
            assert!(attempts.failed(one));
        }
        assert!(!attempts.may_try(same) && !attempts.failed(one));
        assert!(attempts.may_try(other) && attempts.failed(other));
        assert!(attempts.failed("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let attempts = Attempts::default();
        for address in 0..2 * ADDRESSES as u32 {
            let recorded = attempts.failed(IpAddr::V4(address.into()));
            assert_eq!(recorded, (address as usize) < ADDRESSES);
        }
        assert!(attempts.may_try(IpAddr::V4(u32::MAX.into())));
    }
}
