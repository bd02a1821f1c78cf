//! Turns host names into addresses. A name is looked up again when its TTL ends, and after `dns_refresh` at the latest.
//! If a lookup fails, the last good answer stays in use.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::health::jittered;
use super::{Balancing, Cause, Failure, Server, lock};
use crate::dns;

/// The most addresses of one name; more are left out, since each becomes a server.
const MOST_ADDRESSES: usize = 64;
/// The shortest time between two lookups, however short the TTL is.
const LEAST_REFRESH: Duration = Duration::from_secs(1);
/// The time to the next lookup after a failed one.
const FAILED_REFRESH: Duration = Duration::from_secs(5);
/// For how long after a failed lookup requests do not start another one.
const FAILURE_AGE: Duration = Duration::from_secs(1);

/// A configured server and its addresses.
#[derive(Debug)]
pub(super) struct Name {
    pub server: Server,
    /// The host is an address, so it is never looked up.
    pub literal: bool,
    answer: Mutex<Answer>,
}

#[derive(Debug)]
/// The last good answer, and how the last lookup went.
struct Answer {
    addresses: Vec<SocketAddr>,
    /// When and why the last lookup failed, if it did.
    failed: Option<(Instant, Failure)>,
    /// When the name is looked up next.
    due: Instant,
}

impl Name {
    pub(super) fn new(server: &Server) -> Self {
        let literal = server.host.parse::<IpAddr>().ok();
        let addresses = literal.map(|ip| SocketAddr::new(ip, server.port));
        Self {
            server: server.clone(),
            literal: literal.is_some(),
            answer: Mutex::new(Answer {
                addresses: addresses.into_iter().collect(),
                failed: None,
                due: Instant::now(),
            }),
        }
    }

    /// The addresses of the last good answer; empty before the first one.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        lock(&self.answer).addresses.clone()
    }

    /// The name of the server in logs, at one of its addresses.
    pub(super) fn label(&self, address: SocketAddr) -> String {
        let Server { host, port, .. } = &self.server;
        match self.literal {
            true => format!("{host}:{port}"),
            false => format!("{host}:{port} ({})", address.ip()),
        }
    }

    /// Why the last lookup failed, if it did.
    pub(super) fn failure(&self) -> Option<Failure> {
        let answer = lock(&self.answer);
        answer.failed.as_ref().map(|(_, failure)| failure.clone())
    }

    /// Whether the last lookup failed less than [`FAILURE_AGE`] ago.
    pub(super) fn failed_just_now(&self) -> bool {
        let answer = lock(&self.answer);
        let failed = answer.failed.as_ref();
        failed.is_some_and(|(at, _)| at.elapsed() < FAILURE_AGE)
    }

    /// When the name is looked up next; None for an address.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.literal).then(|| lock(&self.answer).due)
    }

    /// Looks the name up. True if the addresses have changed.
    pub(super) async fn resolve(&self, upstream: &str, balancing: &Balancing) -> bool {
        if self.literal {
            return false;
        }
        let found = self.look_up(&balancing.dns_servers).await;
        let most = balancing.dns_refresh;
        let pause = match &found {
            Ok((_, ttl)) => pause(*ttl, most),
            Err(_) => most.min(FAILED_REFRESH),
        };
        // Locked only after the lookup: requests read the old addresses meanwhile.
        let mut answer = lock(&self.answer);
        // Jitter, so that all front doors do not ask at the same moment.
        answer.due = Instant::now() + jittered(pause);
        match found {
            Ok((addresses, _)) => {
                answer.failed = None;
                let changed = addresses != answer.addresses;
                if changed && !answer.addresses.is_empty() {
                    tracing::info!(
                        target: "upstream",
                        "upstream {upstream}: {} is now at {addresses:?}",
                        self.server.host
                    );
                }
                answer.addresses = addresses;
                changed
            }
            Err(failure) => {
                // Logged once for each series of failures.
                if answer.failed.is_none() && !answer.addresses.is_empty() {
                    tracing::warn!(
                        target: "upstream",
                        code = failure.cause.code(),
                        "upstream {upstream}: {failure}; the last answer is kept: {:?}",
                        answer.addresses
                    );
                }
                answer.failed = Some((Instant::now(), failure));
                false
            }
        }
    }

    /// The addresses, and how long they are valid if that is known.
    async fn look_up(
        &self,
        servers: &[SocketAddr],
    ) -> Result<(Vec<SocketAddr>, Option<Duration>), Failure> {
        let host = &self.server.host;
        let fail = |why: String| Failure::new(Cause::Dns, format!("the name {host} {why}"));
        let found = dns::look_up(host, servers).await;
        let found = found.map_err(|error| fail(format!("does not resolve: {error}")))?;
        let addresses = found.addresses.into_iter();
        let addresses = addresses.map(|ip| SocketAddr::new(ip, self.server.port));
        let mut addresses: Vec<SocketAddr> = addresses.collect();
        // Name servers rotate their answers. Sorted, the same addresses count as no change.
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(MOST_ADDRESSES);
        if addresses.is_empty() {
            return Err(fail("has no address".to_owned()));
        }
        Ok((addresses, found.ttl))
    }
}

/// The time from an answer to the next lookup.
fn pause(ttl: Option<Duration>, most: Duration) -> Duration {
    ttl.map_or(most, |ttl| ttl.max(LEAST_REFRESH).min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_counts_between_a_second_and_what_is_written() {
        let seconds = Duration::from_secs;
        for (ttl, most, expected) in [
            (Some(0), 30, 1),
            (Some(5), 30, 5),
            (Some(3600), 30, 30),
            (None, 30, 30),
        ] {
            let ttl = ttl.map(seconds);
            assert_eq!(pause(ttl, seconds(most)), seconds(expected), "{ttl:?}");
        }
        let short = Duration::from_millis(100);
        assert_eq!(pause(Some(seconds(0)), short), short);
    }
}
