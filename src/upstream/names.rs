//! From host names to addresses. The system's resolver tells no TTL, so answers are asked for again
//! after a written time; the last good one holds where the next cannot be had.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::{Cause, Failure, lock};
use crate::config::Server;

/// Addresses of one name; more are left out.
const MOST_ADDRESSES: usize = 64;
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a name that has no answer is not asked for again by requests.
const FAILURE_AGE: Duration = Duration::from_secs(1);

/// A configured server and where it is.
#[derive(Debug)]
pub(super) struct Name {
    pub server: Server,
    pub literal: bool,
    answer: Mutex<Answer>,
}

#[derive(Debug, Default)]
struct Answer {
    addresses: Vec<SocketAddr>,
    failed: Option<(Instant, Failure)>,
}

impl Name {
    pub fn new(server: &Server) -> Self {
        let literal = server.host.parse::<IpAddr>().ok();
        let addresses = literal.map(|ip| SocketAddr::new(ip, server.port));
        Self {
            server: server.clone(),
            literal: literal.is_some(),
            answer: Mutex::new(Answer {
                addresses: addresses.into_iter().collect(),
                failed: None,
            }),
        }
    }

    /// Empty before the first answer.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        lock(&self.answer).addresses.clone()
    }

    /// What logs call the server at one of its addresses.
    pub fn label(&self, address: SocketAddr) -> String {
        let Server { host, port, .. } = &self.server;
        match self.literal {
            true => format!("{host}:{port}"),
            false => format!("{host}:{port} ({})", address.ip()),
        }
    }

    /// Why the last lookup failed, if it did.
    pub fn failure(&self) -> Option<Failure> {
        let answer = lock(&self.answer);
        answer.failed.as_ref().map(|(_, failure)| failure.clone())
    }

    pub fn failed_just_now(&self) -> bool {
        let answer = lock(&self.answer);
        let failed = answer.failed.as_ref();
        failed.is_some_and(|(at, _)| at.elapsed() < FAILURE_AGE)
    }

    /// Asks the resolver; true where the addresses are others than before.
    pub async fn resolve(&self, upstream: &str) -> bool {
        if self.literal {
            return false;
        }
        let found = self.look_up().await;
        let mut answer = lock(&self.answer);
        match found {
            Ok(addresses) => {
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

    async fn look_up(&self) -> Result<Vec<SocketAddr>, Failure> {
        let host = &self.server.host;
        let fail = |why: String| Failure::new(Cause::Dns, format!("the name {host} {why}"));
        let lookup = tokio::net::lookup_host((host.as_str(), self.server.port));
        let found = timeout(LOOKUP_TIMEOUT, lookup)
            .await
            .map_err(|_| fail("does not resolve: no answer in time".to_owned()))?
            .map_err(|error| fail(format!("does not resolve: {error}")))?;
        let mut addresses: Vec<SocketAddr> = found.take(MOST_ADDRESSES).collect();
        // Resolvers shuffle; what is the same should look the same.
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() {
            return Err(fail("has no address".to_owned()));
        }
        Ok(addresses)
    }
}
