//! From host names to addresses. An answer is asked for again when its TTL is over, and after a written
//! time at the latest; the last good one holds where the next cannot be had.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::health::jittered;
use super::{Balancing, Cause, Failure, Server, dns, lock};

/// Addresses of one name; more are left out.
const MOST_ADDRESSES: usize = 64;
/// A TTL of 0 is no reason to ask all the time.
const LEAST_REFRESH: Duration = Duration::from_secs(1);
/// What has no answer is asked for again after this.
const FAILED_REFRESH: Duration = Duration::from_secs(5);
/// How long a name that has no answer is not asked for again by requests.
const FAILURE_AGE: Duration = Duration::from_secs(1);

/// A configured server and where it is.
#[derive(Debug)]
pub(super) struct Name {
    pub server: Server,
    pub literal: bool,
    answer: Mutex<Answer>,
}

#[derive(Debug)]
struct Answer {
    addresses: Vec<SocketAddr>,
    failed: Option<(Instant, Failure)>,
    /// When it is to be asked for.
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

    /// Empty before the first answer.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        lock(&self.answer).addresses.clone()
    }

    /// What logs call the server at one of its addresses.
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

    pub(super) fn failed_just_now(&self) -> bool {
        let answer = lock(&self.answer);
        let failed = answer.failed.as_ref();
        failed.is_some_and(|(at, _)| at.elapsed() < FAILURE_AGE)
    }

    /// When it is to be asked for; never for an address.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.literal).then(|| lock(&self.answer).due)
    }

    /// Asks the resolver; true where the addresses are others than before.
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
        let mut answer = lock(&self.answer);
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

    /// And for how long they hold, where that is known.
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
        // Resolvers shuffle; what is the same should look the same.
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(MOST_ADDRESSES);
        if addresses.is_empty() {
            return Err(fail("has no address".to_owned()));
        }
        Ok((addresses, found.ttl))
    }
}

/// From one answer to the next question.
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
