//! What is fetched from an issuer, and how often.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use identity::{KeySet, ParsedKeySet};

use super::answered::Answered;
use super::discovery::{DiscoveryAt, discover};
use super::error::IssuerError;
use crate::outbound::{Client, Destination, Request};

/// Lines of a list of denied tokens and subjects.
const MOST_DENIED: usize = 100_000;

/// Something that is fetched again and again.
pub trait Source: fmt::Debug + PartialEq + Send + Sync + 'static {
    /// What it becomes.
    type Value: fmt::Debug + Send + Sync + 'static;
    /// What it is, in messages.
    const WHAT: &'static str;

    /// The name of the table that it is for.
    fn name(&self) -> &str;
    /// How often.
    fn schedule(&self) -> &Schedule;
    /// What is asked first.
    fn destination(&self) -> &Arc<Destination>;
    /// Itself as text for comparison, without secrets.
    fn describe(&self) -> String {
        let to = self.destination();
        format!("{} {:?} {:?}", to.url(), to.settings(), self.schedule())
    }
    /// Whether what was fetched from `other` is the same thing, although it is reached in another way.
    fn is_same_thing(&self, other: &Self) -> bool;
    /// Fetches it once.
    fn fetch(
        &self,
        client: &Client,
    ) -> impl Future<Output = Result<Fetched<Self::Value>, IssuerError>> + Send;
}

/// What was fetched.
#[derive(Debug)]
pub struct Fetched<T> {
    /// Itself.
    pub value: T,
    /// SHA-256 of its bytes.
    pub content: [u8; 32],
    /// Where from.
    pub url: String,
    /// About the answer that brought it.
    pub answered: Answered,
}

/// How often something is fetched, and how long it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The shortest pause after a fetch that went well, whatever the issuer says.
    pub least: Duration,
    /// The longest one, and the one where the issuer says nothing.
    pub most: Duration,
    /// How long the last good version counts.
    pub max_stale: Duration,
    /// Requests of clients cause at most one fetch in this time.
    pub asked_interval: Duration,
    /// How long a request waits for a fetch.
    pub wait: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            least: Duration::from_secs(60),
            most: Duration::from_secs(3600),
            max_stale: Duration::from_secs(24 * 3600),
            asked_interval: Duration::from_secs(30),
            wait: Duration::from_secs(3),
        }
    }
}

impl Schedule {
    /// The pause after a fetch that went well.
    pub(super) fn pause(&self, fresh: Option<Duration>) -> Duration {
        // Ahead of the end, so that nothing is ever used past it.
        let pause = fresh.map_or(self.most, |fresh| fresh.mul_f64(0.8));
        pause.max(self.least).min(self.most)
    }

    /// The pause after so many failures in a row.
    pub(super) fn back_off(&self, failures: u32) -> Duration {
        let doubled = Duration::from_secs(1) * 2_u32.pow(failures.saturating_sub(1).min(6));
        doubled.min(self.most)
    }
}

/// The keys of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySource {
    /// The name of its table.
    pub name: String,
    /// The issuer, exactly as its tokens and its document have it.
    pub issuer: String,
    /// Where the keys are.
    pub from: KeysAt,
    /// How often they are fetched.
    pub schedule: Schedule,
}

/// Where keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysAt {
    /// Where the issuer's document says.
    Discovery(DiscoveryAt),
    /// Here.
    Set(Arc<Destination>),
}

impl Source for KeySource {
    type Value = ParsedKeySet;
    const WHAT: &'static str = "keys";

    fn name(&self) -> &str {
        &self.name
    }

    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn destination(&self) -> &Arc<Destination> {
        match &self.from {
            KeysAt::Discovery(at) => at.destination(),
            KeysAt::Set(at) => at,
        }
    }

    fn is_same_thing(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.destination().url() == other.destination().url()
    }

    async fn fetch(&self, client: &Client) -> Result<Fetched<ParsedKeySet>, IssuerError> {
        let (at, discovered) = match &self.from {
            KeysAt::Set(at) => (Arc::clone(at), None),
            KeysAt::Discovery(at) => {
                let found = discover(client, at, &self.issuer).await?;
                let base = at.destination();
                let set = found.endpoint("jwks_uri", found.jwks_uri.as_ref(), base)?;
                (set, Some(found.answered))
            }
        };
        let request = Request::get().accepting("application/json");
        let answer = client.send(&at, request).await?;
        let url = at.url().to_string();
        match KeySet::parse(&answer.body) {
            Ok(value) => {
                let own = Answered::of(&answer);
                let date = own.date.or(discovered.and_then(|answered| answered.date));
                Ok(Fetched {
                    value,
                    content: openssl::sha::sha256(&answer.body),
                    url,
                    answered: Answered { date, ..own },
                })
            }
            Err(why) => Err(IssuerError::Keys { url, why }),
        }
    }
}

/// A list of `jti` and `sub` that are denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeniedSource {
    /// The name of its table.
    pub name: String,
    /// Where it is.
    pub at: Arc<Destination>,
    /// How often it is fetched.
    pub schedule: Schedule,
}

impl Source for DeniedSource {
    type Value = BTreeSet<String>;
    const WHAT: &'static str = "denied tokens";

    fn name(&self) -> &str {
        &self.name
    }

    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn destination(&self) -> &Arc<Destination> {
        &self.at
    }

    fn is_same_thing(&self, other: &Self) -> bool {
        self.name == other.name && self.at.url() == other.at.url()
    }

    async fn fetch(&self, client: &Client) -> Result<Fetched<BTreeSet<String>>, IssuerError> {
        let request = Request::get().accepting("text/plain");
        let answer = client.send(&self.at, request).await?;
        let url = self.at.url().to_string();
        match parse_denied(&answer.body) {
            Ok(value) => Ok(Fetched {
                value,
                content: openssl::sha::sha256(&answer.body),
                url,
                answered: Answered::of(&answer),
            }),
            Err(why) => Err(IssuerError::Denied { url, why }),
        }
    }
}

/// A `jti` or a `sub` on each line; empty lines and those that begin with `#` do not count.
///
/// # Errors
/// What is wrong with it.
pub fn parse_denied(bytes: &[u8]) -> Result<BTreeSet<String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let denied: BTreeSet<_> = lines.map(str::to_owned).collect();
    match denied.len() > MOST_DENIED {
        true => Err(format!("it has more than {MOST_DENIED} lines")),
        false => Ok(denied),
    }
}

#[cfg(test)]
mod tests {
    use super::super::answered::freshness;
    use super::*;

    #[test]
    fn freshness_is_bounded_and_ahead_of_the_end() {
        let schedule = Schedule::default();
        for (control, pause) in [
            (None, 3600),
            (Some("public, max-age=1000"), 800),
            (Some("Max-Age=\"1000\""), 800),
            (Some("max-age=1"), 60),
            (Some("max-age=999999999"), 3600),
            (Some("max-age=99999999999999999999999"), 3600),
            (Some("no-store, max-age=1000"), 60),
            (Some("s-maxage=1"), 3600),
        ] {
            let fresh = control.and_then(freshness);
            assert_eq!(schedule.pause(fresh).as_secs(), pause, "{control:?}");
        }
    }

    #[test]
    fn failures_back_off_to_a_minute_or_so() {
        let schedule = Schedule::default();
        let pauses = [1, 2, 3, 7, 100].map(|n| schedule.back_off(n).as_secs());
        assert_eq!(pauses, [1, 2, 4, 64, 64]);
    }

    #[test]
    fn a_list_of_the_denied_has_a_line_each() {
        let list = parse_denied(b"# them\n a \n\nb\r\n").unwrap();
        assert_eq!(Vec::from_iter(list), ["a", "b"]);
        assert!(parse_denied(b"\xff").is_err());
        let long: String = (0..=MOST_DENIED).map(|n| format!("{n}\n")).collect();
        assert!(parse_denied(long.as_bytes()).is_err());
    }
}
