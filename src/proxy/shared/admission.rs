//! Decides which connections a listener accepts: a limit in total, and one for each client address, so that one client
//! cannot use up the total.
//!
//! A connection counts from before its handshake until it is dropped, across all reloads.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::client_site::client_site;
use crate::config::ListenerLimits;

/// The open connections of one listener.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    open: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection that was admitted; it no longer counts once this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Admission {
    /// None if a limit is reached.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        limits: &ListenerLimits,
    ) -> Option<Admitted> {
        let address = client_site(address);
        let mut counts = self.lock();
        // The total first, so that a refused connection adds no entry to the map.
        if counts.open >= limits.connections {
            return None;
        }
        let from_there = counts.by_address.entry(address).or_insert(0);
        if *from_there >= limits.connections_per_address {
            return None;
        }
        *from_there += 1;
        counts.open += 1;
        Some(Admitted {
            admission: Arc::clone(self),
            address,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Only numbers are changed under the lock, and no step between them can panic.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.admission.lock();
        counts.open = counts.open.saturating_sub(1);
        if let Entry::Occupied(mut from_there) = counts.by_address.entry(self.address) {
            *from_there.get_mut() -= 1;
            if *from_there.get() == 0 {
                // The map holds only addresses with open connections, so it is as bounded as these.
                from_there.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits(connections: usize, per_address: usize) -> ListenerLimits {
        ListenerLimits {
            head_timeout: Duration::from_secs(1),
            head_bytes: 1,
            body_timeout: Duration::from_secs(1),
            body_min_rate: 1,
            body_rate_grace: Duration::from_secs(1),
            handshake_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(1),
            stream_idle_timeout: Duration::from_secs(1),
            connections,
            connections_per_address: per_address,
            h2_streams: 1,
        }
    }

    #[test]
    fn limits_count_what_is_open() {
        let admission = Arc::new(Admission::default());
        let limits = limits(3, 2);
        let a: IpAddr = [192, 0, 2, 1].into();
        let b: IpAddr = [192, 0, 2, 2].into();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let first = admission.admit(a, &limits).unwrap();
        let second = admission.admit(mapped, &limits).unwrap();
        assert!(
            admission.admit(a, &limits).is_none(),
            "two from one address"
        );
        let third = admission.admit(b, &limits).unwrap();
        assert!(admission.admit(b, &limits).is_none(), "three in all");
        drop(first);
        assert!(admission.admit(b, &limits).is_some());
        drop((second, third));
        assert!(admission.lock().by_address.is_empty());
    }

    #[test]
    fn a_64_counts_as_one_address() {
        let admission = Arc::new(Admission::default());
        let limits = limits(10, 2);
        let from = |text: &str| admission.admit(text.parse().unwrap(), &limits);
        let held = [from("2001:db8::1"), from("2001:db8::ffff:0:0:2")];
        assert!(held.iter().all(Option::is_some));
        assert!(from("2001:db8:0:0:3::").is_none(), "the same /64");
        assert!(from("2001:db8:0:1::1").is_some(), "another /64");
        let mapped = [from("::ffff:192.0.2.1"), from("::ffff:192.0.2.2")];
        assert!(mapped.iter().all(Option::is_some), "IPv4 counts whole");
        assert!(from("::ffff:192.0.2.3").is_some());
        drop((held, mapped));
        assert!(admission.lock().by_address.is_empty());
    }
}
