//! Limits that recorded requests would have kept: what honest clients send, by route.
//!
//! Honest are the requests that were let through. Of each client the busiest minute counts, and the 99.9th percentile of
//! these: one client in a thousand would meet the limit.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use serde::Serialize;

use crate::client_site::client_site;
use crate::counted::counted;
use crate::events::{Summary, Verdict};

const MINUTE: u64 = 60_000;

/// A limit for the clients of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SuggestedLimit {
    pub(crate) route: String,
    /// Requests in a minute, of the 99.9th percentile of clients.
    pub(crate) per_minute: u64,
    /// The same of the busiest client.
    pub(crate) busiest: u64,
    pub(crate) clients: usize,
    /// Recorded requests that this is made from.
    pub(crate) requests: usize,
}

/// A limit for each route, from these events of a sample: `sample` is the part of all requests that was recorded.
pub(crate) fn suggest<'e>(
    events: impl Iterator<Item = &'e Summary>,
    sample: f64,
) -> Vec<SuggestedLimit> {
    let mut routes: BTreeMap<&str, BTreeMap<IpAddr, Vec<u64>>> = BTreeMap::new();
    for event in events.filter(|event| event.verdict == Verdict::Passed) {
        if let Some(route) = &event.route {
            let clients = routes.entry(route).or_default();
            let times = clients.entry(client_site(event.client)).or_default();
            times.push(event.time);
        }
    }
    let suggested = routes.into_iter().map(|(route, clients)| {
        let requests = clients.values().map(Vec::len).sum();
        let busiest = clients.into_values().map(busiest_minute);
        let mut busiest: Vec<u64> = busiest.map(|count| scaled(count, sample)).collect();
        busiest.sort_unstable();
        SuggestedLimit {
            route: route.to_owned(),
            per_minute: quantile(&busiest),
            busiest: busiest.last().copied().unwrap_or(1),
            clients: busiest.len(),
            requests,
        }
    });
    suggested.collect()
}

/// The most requests in any minute.
fn busiest_minute(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    let mut first = times.iter().peekable();
    let (mut begun, mut most) = (0, 0);
    for (index, time) in times.iter().enumerate() {
        while first.next_if(|begin| *begin + MINUTE <= *time).is_some() {
            begun += 1;
        }
        most = most.max(index + 1 - begun);
    }
    most as u64
}

/// Rounded up: a limit that is a little too wide harms nobody.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float that is too large becomes the largest number"
)]
fn scaled(count: u64, sample: f64) -> u64 {
    match sample > 0.0 && sample < 1.0 {
        true => (count as f64 / sample).ceil() as u64,
        false => count,
    }
}

/// The smallest value that 99.9 % of the sorted values do not exceed.
fn quantile(sorted: &[u64]) -> u64 {
    let place = (sorted.len() * 999).div_ceil(1000).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(1)
}

/// As tables of a configuration. They only count: what they would refuse must be seen first.
pub(crate) fn toml(suggested: &[SuggestedLimit]) -> String {
    let mut text = String::new();
    for limit in suggested {
        let SuggestedLimit {
            route,
            per_minute,
            busiest,
            clients,
            requests,
        } = limit;
        let requests = counted(*requests, "recorded request");
        let clients = counted(*clients, "client");
        // Quoted, since the name of a route may have dots. Writing to a string cannot fail.
        let _ = write!(
            text,
            "# {requests} of {clients}; the busiest minute of the busiest client had {busiest}.\n\
             # Name it in the route \"{route}\": rate_limits = [\"{route}\"]\n\
             [limits.\"{route}\"]\nrate = \"{per_minute}/m\"\nkey = [\"client\"]\naction = \"log\"\n\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_minute_may_begin_at_any_time() {
        for (times, most) in [
            (vec![], 0),
            (vec![5], 1),
            (vec![59_000, 61_000, 118_999, 119_000], 3),
            (vec![0, 60_000, 120_000], 1),
            (vec![119_999, 60_000, 59_999], 2),
        ] {
            assert_eq!(busiest_minute(times.clone()), most, "{times:?}");
        }
    }

    #[test]
    fn one_client_in_a_thousand_is_beyond_the_percentile() {
        let values: Vec<u64> = (1..=2000).collect();
        assert_eq!(quantile(&values), 1998);
        assert_eq!(quantile(&[7]), 7);
        assert_eq!(quantile(&[]), 1);
        assert_eq!((scaled(3, 0.1), scaled(3, 1.0), scaled(3, 0.0)), (30, 3, 3));
    }

    #[test]
    fn one_request_of_one_client_is_told_in_the_singular() {
        let suggested = SuggestedLimit {
            route: "orders".to_owned(),
            per_minute: 1,
            busiest: 1,
            clients: 1,
            requests: 1,
        };
        let text = toml(&[suggested]);
        assert!(
            text.starts_with("# 1 recorded request of 1 client; "),
            "{text}"
        );
    }

    #[test]
    fn suggestions_are_toml_that_only_counts() {
        let suggested = SuggestedLimit {
            route: "a.b".to_owned(),
            per_minute: 60,
            busiest: 80,
            clients: 10,
            requests: 100,
        };
        let table: toml::Table = toml(&[suggested]).parse().unwrap();
        let limit = &table["limits"]["a.b"];
        assert_eq!(limit["rate"].as_str(), Some("60/m"));
        assert_eq!(limit["action"].as_str(), Some("log"));
    }
}
