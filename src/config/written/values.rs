//! Durations, sizes, networks and servers, as people write them.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::malformed::Malformed;
use super::reader::{Item, Number};
use crate::config::model::{IpNetwork, Server};

/// The longest duration: one day. A longer one is most likely a typing error.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// The ages of what is kept.
const AGES: RangeInclusive<Duration> =
    Duration::from_secs(60 * 60)..=Duration::from_secs(3650 * 24 * 60 * 60);

impl Item<'_, '_> {
    /// `"10s"`, `"500ms"`, `"2m"`, `"1h"`.
    pub(crate) fn duration(&self) -> Option<Duration> {
        // Without a unit nobody knows whether 10 means seconds or milliseconds, so a plain number is an error.
        if self.number() != Number::NotOne {
            return self.fail(format!(
                "{} must be a string with a unit, like \"10s\" or \"500ms\"",
                self.what()
            ));
        }
        self.parse(|text| parse_duration(text).map_err(|why| format!("{} {why}", self.what())))
    }

    /// How long something is kept: `"30d"`, `"12h"`.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.within(&["d", "h", "m"], AGES, "1h to 3650d")
    }

    /// How long something lasts that ends by itself: `"30d"`, `"90s"`.
    pub(crate) fn long_duration(&self) -> Option<Duration> {
        let range = Duration::from_secs(1)..=*AGES.end();
        self.within(&["d", "h", "m", "s"], range, "1s to 3650d")
    }

    fn within(
        &self,
        units: &[&str],
        range: RangeInclusive<Duration>,
        words: &str,
    ) -> Option<Duration> {
        self.parse(|text| {
            let duration = parse_units(text, units);
            match duration.map_err(|why| format!("{} {why}", self.what()))? {
                duration if range.contains(&duration) => Ok(duration),
                _ => Err(format!("{} must be {words}", self.what())),
            }
        })
    }

    /// Bytes as a whole number, or `"64KiB"`, `"16MiB"`, `"1GiB"`.
    pub(crate) fn size(&self, least: usize) -> Option<usize> {
        let not_bytes = || Malformed::from("must be a number of bytes");
        let bytes = match (self.number(), self.raw_string()) {
            (Number::Is(number), _) => usize::try_from(number).map_err(|_| not_bytes()),
            (Number::TooLarge, _) => Err(not_bytes()),
            (Number::NotOne, Some(text)) => parse_size(text),
            (Number::NotOne, None) => {
                return self.wrong("a number of bytes or a string like \"64KiB\"");
            }
        };
        match bytes {
            Ok(bytes) if bytes >= least => Some(bytes),
            Ok(_) => self.fail(format!("{} must be at least {least} bytes", self.what())),
            Err(why) => self.fail(format!("{} {why}", self.what())),
        }
    }
}

fn parse_duration(text: &str) -> Result<Duration, Malformed> {
    match parse_units(text, &["ms", "s", "m", "h"])? {
        Duration::ZERO => Err("must be longer than 0".into()),
        duration if duration > LONGEST => Err("must be at most 24h".into()),
        duration => Ok(duration),
    }
}

/// A number and one of these units.
fn parse_units(text: &str, units: &[&str]) -> Result<Duration, Malformed> {
    let wrong = || {
        Malformed::from(format!(
            "must be a number and a unit ({}), like \"10{}\": \"{text}\"",
            units.join(", "),
            units.get(1).unwrap_or(&"s"),
        ))
    };
    let (digits, unit) = split_unit(text);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let milliseconds = match unit {
        _ if !units.contains(&unit) => return Err(wrong()),
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        // Days: the first arm let only known units through.
        _ => 24 * 60 * 60 * 1000,
    };
    // An overflow saturates and is then too long.
    Ok(Duration::from_millis(number.saturating_mul(milliseconds)))
}

/// An age as it is typed on the command line, like `2h` or `7d`.
///
/// # Errors
/// What is wrong with it, in words for the user.
pub(crate) fn parse_age(text: &str) -> Result<Duration, Malformed> {
    parse_units(text, &["d", "h", "m", "s"])
}

fn parse_size(text: &str) -> Result<usize, Malformed> {
    let wrong = || {
        Malformed::from(format!(
            "must be a number of bytes or a number and a unit (KiB, MiB, GiB): \"{text}\""
        ))
    };
    let (digits, unit) = split_unit(text);
    let number: usize = digits.parse().map_err(|_| wrong())?;
    let factor: usize = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(factor)
        .ok_or_else(|| "is too large".into())
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    (digits, unit.trim_start())
}

/// `10.0.0.0/8`, `fd00::/8`, or an address alone.
pub(crate) fn parse_network(text: &str) -> Result<IpNetwork, Malformed> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let wrong =
        || format!("\"{text}\" is no network: write an address, or one like \"10.0.0.0/8\"");
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(digits) => digits.parse().map_err(|_| wrong())?,
        None => width,
    };
    if prefix > width {
        return Err(format!("\"{text}\" is no network: it has {width} bits at most").into());
    }
    let network = IpNetwork { address, prefix };
    let first = first_address(network);
    // `10.1.0.0/8` is more likely a mistake than a way to write `10.0.0.0/8`, and proxies in it would be trusted.
    if first != address {
        return Err(format!(
            "\"{text}\" is no network: it begins at {first}, so write \"{first}/{prefix}\""
        )
        .into());
    }
    Ok(unmapped(network))
}

/// A network of IPv4-mapped addresses as the IPv4 network that it stands for, because clients are compared as IPv4.
fn unmapped(network: IpNetwork) -> IpNetwork {
    // The mapped addresses are `::ffff:0:0/96` (RFC 4291, 2.5.5.2).
    let mapped = match network.address {
        IpAddr::V6(address) => address.to_ipv4_mapped().zip(network.prefix.checked_sub(96)),
        IpAddr::V4(_) => None,
    };
    mapped.map_or(network, |(address, prefix)| IpNetwork {
        address: address.into(),
        prefix,
    })
}

fn first_address(network: IpNetwork) -> IpAddr {
    let prefix = u32::from(network.prefix);
    match network.address {
        IpAddr::V4(v4) => {
            // For a prefix of 0 the shift would be the full width, which `checked_shl` refuses.
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

/// `host:port`; the host is a name, an IPv4 address or an IPv6 address in brackets.
pub(crate) fn parse_server(text: &str) -> Result<Server, Malformed> {
    // A frequent mistake. `http://` in particular must not look accepted: upstreams are always dialled with TLS.
    if text.contains("://") {
        return Err(format!(
            "\"{text}\" is no server: leave the scheme out; upstreams are always dialled with TLS"
        )
        .into());
    }
    let Some((host, port)) = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()) else {
        return Err(format!("\"{text}\" is no server: write \"host:port\"").into());
    };
    // An IPv6 address without brackets ends in what looks like a port.
    if text.parse::<IpAddr>().is_ok() {
        return Err(format!(
            "\"{text}\" is no server: write an IPv6 address with brackets and a port, \"[{text}]:443\""
        ).into());
    }
    let port = match port.parse::<u16>() {
        Ok(port) if port != 0 => port,
        _ => {
            return Err(
                format!("\"{text}\" is no server: \"{port}\" is no port (1 to 65535)").into(),
            );
        }
    };
    let Some(normal) = crate::route::normalize_host(host.as_bytes()) else {
        return Err(
            format!("\"{text}\" is no server: \"{host}\" is no host name and no address").into(),
        );
    };
    // The brackets belong to this notation; the resolver and the dial take the bare address.
    let host = normal.trim_matches(['[', ']']).to_owned();
    Ok(Server {
        host,
        port,
        weight: 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, expected) in [
            ("10s", Ok(10_000)),
            ("500ms", Ok(500)),
            ("2m", Ok(120_000)),
            ("1 h", Ok(3_600_000)),
            ("24h", Ok(86_400_000)),
            ("10", Err("a unit")),
            ("s", Err("a unit")),
            ("", Err("a unit")),
            ("-1s", Err("a unit")),
            ("1.5s", Err("a unit")),
            ("0s", Err("longer than 0")),
            ("25h", Err("at most 24h")),
            ("18446744073709551615h", Err("at most 24h")),
        ] {
            match (parse_duration(text), expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got.as_millis(), expected, "{text}"),
                (Err(why), Err(part)) => assert!(why.to_string().contains(part), "{text}: {why}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }

    #[test]
    fn ages_have_days() {
        for (text, hours) in [
            ("30d", Some(720)),
            ("2 h", Some(2)),
            ("10ms", None),
            ("1w", None),
        ] {
            let age = parse_age(text).ok().map(|age| age.as_secs() / 3600);
            assert_eq!(age, hours, "{text}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_have_binary_units() {
        for (text, expected) in [
            ("64KiB", Some(65_536)),
            ("1 MiB", Some(1 << 20)),
            ("1GiB", Some(1 << 30)),
            ("12", Some(12)),
            ("12B", Some(12)),
            ("1KB", None),
            ("1k", None),
            ("", None),
            ("99999999999999GiB", None),
        ] {
            assert_eq!(parse_size(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn networks_begin_where_they_begin() {
        for (text, expected) in [
            ("10.0.0.0/8", Ok(8)),
            ("10.1.2.3", Ok(32)),
            ("0.0.0.0/0", Ok(0)),
            ("fd00::/8", Ok(8)),
            ("::/0", Ok(0)),
            ("::ffff:10.0.0.0/104", Ok(8)),
            ("::ffff:10.1.2.3", Ok(32)),
            ("::ffff:0:0/96", Ok(0)),
            ("::ffff:10.0.0.1/104", Err("write \"::ffff:10.0.0.0/104\"")),
            ("10.0.0.1/8", Err("write \"10.0.0.0/8\"")),
            ("10.0.0.0/33", Err("32 bits at most")),
            ("10.0.0.0/x", Err("is no network")),
            ("example.com", Err("is no network")),
        ] {
            match (parse_network(text), expected) {
                (Ok(got), Ok(prefix)) => assert_eq!(got.prefix, prefix, "{text}"),
                (Err(why), Err(part)) => assert!(why.to_string().contains(part), "{text}: {why}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }

    #[test]
    fn mapped_networks_hold_ipv4_clients() {
        let network = parse_network("::ffff:10.0.0.0/104").unwrap();
        for (client, inside) in [
            ("10.255.0.1", true),
            ("::ffff:10.255.0.1", true),
            ("11.0.0.1", false),
            ("::ffff:11.0.0.1", false),
            ("::10.0.0.1", false),
        ] {
            assert_eq!(
                network.contains(client.parse().unwrap()),
                inside,
                "{client}"
            );
        }
    }

    #[test]
    fn servers_are_host_and_port() {
        for (text, expected) in [
            ("127.0.0.1:9443", Ok(("127.0.0.1", 9443))),
            ("gw.corp.test:443", Ok(("gw.corp.test", 443))),
            ("[::1]:443", Ok(("::1", 443))),
            ("gw.corp.test", Err("write \"host:port\"")),
            (":443", Err("write \"host:port\"")),
            ("::1", Err("[::1]:443")),
            ("gw:0", Err("no port")),
            ("gw:65536", Err("no port")),
            ("gw:https", Err("no port")),
            ("https://gw:443", Err("leave the scheme out")),
            ("a b:443", Err("no host name")),
        ] {
            match (parse_server(text), expected) {
                (Ok(got), Ok((host, port))) => {
                    assert_eq!((got.host.as_str(), got.port), (host, port), "{text}");
                }
                (Err(why), Err(part)) => assert!(why.to_string().contains(part), "{text}: {why}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
