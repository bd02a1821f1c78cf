//! `@ipMatch` and `@ipMatchFromFile`: addresses and networks.
//!
//! Ranges are sorted and merged, so that one binary search answers even for lists with many thousand networks.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{CompileContext, CompileError, EmptyFiles, pm};

/// A set of addresses: sorted ranges that do not touch.
#[derive(Debug, Default)]
pub struct AddressSet {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    /// The warning about its files without an entry.
    empty_files: Option<EmptyFiles>,
}

/// This text of a rule or a data file is neither an address nor a network: who wrote it erred.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NotANetwork(String);

impl AddressSet {
    /// `@ipMatch`: addresses and networks separated by commas.
    pub(super) fn of_argument(argument: &str) -> Result<Self, CompileError> {
        let mut set = Self::default();
        let mut start = 0;
        for part in argument.split(',') {
            let at = start..start + part.len();
            start = at.end + 1;
            set.add(part.trim()).map_err(|error| CompileError {
                at: Some(at),
                ..CompileError::new(error.to_string())
            })?;
        }
        set.settle();
        Ok(set)
    }

    /// `@ipMatchFromFile`: an address or network a line; `#` begins a comment.
    pub(super) fn of_files(
        argument: &str,
        context: &CompileContext<'_>,
    ) -> Result<Self, CompileError> {
        let mut set = Self::default();
        let mut empty = Vec::new();
        for (file, contents) in context.files(argument)? {
            let before = set.v4.len() + set.v6.len();
            for line in pm::lines(&contents) {
                let line = line.split(|&b| b == b'#').next().unwrap_or_default();
                // What is not UTF-8 is no address either, and the error shows it.
                let text = String::from_utf8_lossy(line);
                set.add(text.trim())
                    .map_err(|error| CompileError::new(format!("{file}: {error}")))?;
            }
            if set.v4.len() + set.v6.len() == before {
                empty.push(file);
            }
        }
        set.empty_files = EmptyFiles::new(&empty);
        set.settle();
        Ok(set)
    }

    /// The warning about its files without an entry.
    pub(super) fn empty_files(&self) -> Option<&EmptyFiles> {
        self.empty_files.as_ref()
    }

    fn add(&mut self, text: &str) -> Result<(), NotANetwork> {
        let wrong = || NotANetwork(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        match address.parse::<IpAddr>().map_err(|_| wrong())? {
            IpAddr::V4(address) => {
                let host = 32u32.checked_sub(bits.unwrap_or(32)).ok_or_else(wrong)?;
                // A shift by the whole width (`/0`) gives None: no bit is fixed.
                let mask = u32::MAX.checked_shl(host).unwrap_or(0);
                // `192.0.2.7/24` means the whole network, although it names a host in it.
                let first = address.to_bits() & mask;
                self.v4.push((first, first | !mask));
            }
            IpAddr::V6(address) => {
                let host = 128u32.checked_sub(bits.unwrap_or(128)).ok_or_else(wrong)?;
                let mask = u128::MAX.checked_shl(host).unwrap_or(0);
                let first = address.to_bits() & mask;
                self.v6.push((first, first | !mask));
                // A network of IPv4-mapped addresses means IPv4 clients, which are looked up as IPv4.
                let (last, first) = (Ipv6Addr::from(first | !mask), Ipv6Addr::from(first));
                if let Some((first, last)) = first.to_ipv4_mapped().zip(last.to_ipv4_mapped()) {
                    self.v4.push((first.to_bits(), last.to_bits()));
                }
            }
        }
        Ok(())
    }

    fn settle(&mut self) {
        // Neighbours become one range. One that goes up to the last address holds all that follow it in the order.
        merge(&mut self.v4, |a, b| a.checked_add(1).is_none_or(|a| a >= b));
        merge(&mut self.v6, |a, b| a.checked_add(1).is_none_or(|a| a >= b));
    }

    /// Whether the value is an address in the set. An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) is looked up as
    /// both: it must not get around a list of IPv4 networks.
    #[must_use]
    pub fn contains(&self, value: &[u8]) -> bool {
        let address = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
        match address {
            None => false,
            Some(IpAddr::V4(address)) => self.contains_v4(address),
            Some(IpAddr::V6(address)) => {
                self.contains_v6(address)
                    || address
                        .to_ipv4_mapped()
                        .is_some_and(|a| self.contains_v4(a))
            }
        }
    }

    fn contains_v4(&self, address: Ipv4Addr) -> bool {
        holds(&self.v4, address.to_bits())
    }

    fn contains_v6(&self, address: Ipv6Addr) -> bool {
        holds(&self.v6, address.to_bits())
    }
}

impl fmt::Display for NotANetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no IP address and no network", self.0)
    }
}

impl std::error::Error for NotANetwork {}

fn holds<T: Ord + Copy>(ranges: &[(T, T)], item: T) -> bool {
    // Ranges do not overlap, so only the last one that begins at or before the address can hold it.
    let after = ranges.partition_point(|(first, _)| *first <= item);
    after > 0 && ranges[after - 1].1 >= item
}

fn merge<T: Ord + Copy>(ranges: &mut Vec<(T, T)>, touch: impl Fn(T, T) -> bool) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let joined = touch(kept.1, next.0);
        if joined {
            kept.1 = kept.1.max(next.1);
        }
        joined
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        let set = AddressSet::of_argument(
            "10.1.2.3/8, 192.0.2.1,2001:db8::/32 ,::1,0.0.0.0/32,255.0.0.0/8",
        )
        .unwrap();
        for (value, inside) in [
            ("10.255.0.0", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::", false),
            ("::1", true),
            ("::ffff:10.0.0.1", true),
            ("::ffff:11.0.0.1", false),
            ("255.255.255.255", true),
            ("0.0.0.0", true),
            ("", false),
            ("10.0.0.1 ", false),
            ("10.0.0.01", false),
        ] {
            assert_eq!(set.contains(value.as_bytes()), inside, "{value}");
        }
        let mapped = AddressSet::of_argument("::ffff:10.0.0.0/104,::ffff:192.0.2.1").unwrap();
        for (value, inside) in [
            ("10.255.0.0", true),
            ("::ffff:10.255.0.0", true),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("::10.0.0.1", false),
        ] {
            assert_eq!(mapped.contains(value.as_bytes()), inside, "{value}");
        }
        let all = AddressSet::of_argument("0.0.0.0/0,::/0").unwrap();
        assert!(all.contains(b"1.2.3.4") && all.contains(b"fe80::1"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for (argument, at) in [
            ("", 0..0),
            ("1.2.3.4,x", 8..9),
            ("1.2.3.4/33", 0..10),
            ("::/129", 0..6),
            ("1.2.3.4/", 0..8),
            ("1.2.3", 0..5),
        ] {
            assert_eq!(
                AddressSet::of_argument(argument).unwrap_err().at,
                Some(at),
                "{argument}"
            );
        }
    }
}
