//! Whether a token still holds, as its issuer says (RFC 7662): asked off the threads that serve requests, and kept for a
//! while.
//!
//! Invariants: the issuer is asked about the same token once at a time. A bounded number of questions is under way and a
//! bounded number of requests waits; tokens that nobody verified have their own share of both, and those of them that turn
//! out not to hold cause only so many questions in a while. What an answer says counts for
//! [`IntrospectionSource::max_age`], and never past the token's end. Without an answer no token is taken.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::StatusCode;
use identity::{CacheKey, Claims, Introspection};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

use super::discovery::{DiscoveryAt, discover};
use super::error::IssuerError;
use super::live::{LiveState, Trouble};
use crate::outbound::{Client, Destination, Fault, Request};
use crate::time::seconds;
use questions::{Answer, Next, Questions};

mod questions;

/// How long the place that a discovery document named is used.
const ENDPOINT_AGE: Duration = Duration::from_secs(3600);
/// How long a request waits for an answer.
const WAIT: Duration = Duration::from_secs(3);

/// Where an issuer is asked, as whom, and how long its answers count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntrospectionSource {
    /// The name of its table.
    pub name: String,
    /// The issuer, exactly as its document has it.
    pub issuer: String,
    /// Where it is asked.
    pub at: IntrospectionAt,
    /// Who we are there.
    pub client: String,
    /// What proves it.
    pub secret: IntrospectionSecret,
    /// How long an answer counts that says that a token holds.
    pub max_age: Duration,
    /// Beyond the token's `exp`, in seconds.
    pub clock_skew: u64,
    /// Whether tokens are taken that say nothing themselves.
    pub takes_opaque: bool,
    /// How much of everything.
    pub bounds: IntrospectionBounds,
}

/// Where an issuer is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntrospectionAt {
    /// Where the issuer's document says.
    Discovery(DiscoveryAt),
    /// Here.
    Endpoint(Arc<Destination>),
}

/// A secret of ours at an issuer. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct IntrospectionSecret(pub String);

impl std::fmt::Debug for IntrospectionSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IntrospectionSecret(..)")
    }
}

/// How much of everything. Those for tokens hold for verified and for opaque ones each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntrospectionBounds {
    /// Questions under way.
    pub under_way: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Questions in a row about opaque tokens that do not hold.
    pub unknown_burst: u32,
    /// How many of these questions are allowed again in each second.
    pub unknown_each_second: u32,
    /// Answers that are kept.
    pub kept: usize,
}

impl Default for IntrospectionBounds {
    fn default() -> Self {
        Self {
            under_way: 32,
            waiting: 256,
            unknown_burst: 100,
            unknown_each_second: 10,
            kept: 16 * 1024,
        }
    }
}

/// Whether somebody verified the token before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Its signature was verified.
    Verified,
    /// It says nothing itself, and anybody may have made it up.
    Opaque,
}

/// What a token is to its issuer, as far as it was asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// It holds, and the issuer says this of it.
    Active(Arc<Claims>),
    /// It does not hold.
    Inactive,
    /// There is no answer that counts.
    Nothing,
}

/// Asks an issuer about tokens, and keeps its answers.
#[derive(Debug)]
pub struct Introspector {
    shared: Arc<Shared>,
    runtime: OnceLock<Handle>,
}

#[derive(Debug)]
struct Shared {
    source: IntrospectionSource,
    questions: Mutex<Questions>,
    /// The place that the issuer's document named, and when.
    found: tokio::sync::Mutex<Option<(Arc<Destination>, Instant)>>,
    health: Mutex<Health>,
}

#[derive(Debug, Clone, Default)]
struct Health {
    asked: u64,
    failures: std::collections::BTreeMap<&'static str, u64>,
    trouble: Option<Trouble>,
}

impl Introspector {
    /// Asks nothing before it is started.
    #[must_use]
    pub fn new(source: IntrospectionSource) -> Self {
        let shared = Shared {
            questions: Mutex::new(Questions::new(source.bounds)),
            source,
            found: tokio::sync::Mutex::default(),
            health: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            runtime: OnceLock::new(),
        }
    }

    /// The one for this source after a reload: `running` itself, with its answers, if nothing changed.
    #[must_use]
    pub fn after(source: IntrospectionSource, running: Option<&Arc<Self>>) -> Arc<Self> {
        match running.filter(|running| running.shared.source == source) {
            Some(running) => Arc::clone(running),
            None => Arc::new(Self::new(source)),
        }
    }

    /// From now on it asks, on this runtime, which serves no requests.
    pub fn start(&self, runtime: &Handle) {
        self.runtime.get_or_init(|| runtime.clone());
    }

    /// Where and how it asks.
    #[must_use]
    pub fn source(&self) -> &IntrospectionSource {
        &self.shared.source
    }

    /// What is known of a token now.
    #[must_use]
    pub fn known(&self, key: &CacheKey) -> Known {
        match lock(&self.shared.questions).find(key, Instant::now()) {
            Some(Answer::Active(claims)) => Known::Active(claims),
            Some(Answer::Inactive) => Known::Inactive,
            Some(Answer::Failed) | None => Known::Nothing,
        }
    }

    /// Asks about a token, or waits for whoever asks. False if nothing came of it.
    pub async fn learn(&self, key: CacheKey, token: &[u8], asked: Asked) -> bool {
        let next = lock(&self.shared.questions).next(key, asked, Instant::now());
        let mut ended = match next {
            Next::Known => return true,
            Next::Refused => return false,
            Next::Join(ended) => ended,
            Next::Ask(ended, end) => {
                self.ask(key, token, asked, end);
                ended
            }
        };
        let _waiting = Waiting(&self.shared, asked);
        // Nothing is sent: the end drops the sender.
        timeout(WAIT, ended.changed()).await.is_ok()
    }

    /// A task of its own: it goes on when the first request that waits for it has left.
    fn ask(&self, key: CacheKey, token: &[u8], asked: Asked, end: watch::Sender<()>) {
        let under_way = UnderWay {
            shared: Arc::clone(&self.shared),
            key,
            asked,
            _end: end,
        };
        let (Some(runtime), Ok(token)) = (self.runtime.get(), std::str::from_utf8(token)) else {
            return;
        };
        let (client, token) = (Client::new(runtime.clone()), token.to_owned());
        runtime.spawn(async move {
            let shared = &under_way.shared;
            let said = shared.fetch(&client, &token).await;
            shared.note(&said);
            let (answer, until) = shared.judge(said);
            lock(&shared.questions).keep(key, asked, answer, until);
        });
    }

    /// Asks about a token now, for a verb.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn ask_once(
        &self,
        client: &Client,
        token: &str,
    ) -> Result<Introspection, IssuerError> {
        self.shared.fetch(client, token).await
    }

    /// How asking goes.
    #[must_use]
    pub fn state(&self) -> LiveState {
        let health = lock(&self.shared.health).clone();
        LiveState {
            fetches: health.asked,
            asked: health.asked,
            failures: health.failures,
            counts: health.trouble.is_none(),
            trouble: health.trouble,
            fetched_at: None,
            age: None,
            next_at: None,
        }
    }
}

impl IntrospectionSource {
    /// What is asked first.
    #[must_use]
    pub fn destination(&self) -> &Arc<Destination> {
        match &self.at {
            IntrospectionAt::Discovery(at) => at.destination(),
            IntrospectionAt::Endpoint(at) => at,
        }
    }

    /// Itself as text for comparison, without secrets.
    #[must_use]
    pub fn describe(&self) -> String {
        let to = self.destination();
        format!(
            "{} {:?} {} {:?} {}",
            to.url(),
            to.settings(),
            self.client,
            self.max_age,
            self.takes_opaque
        )
    }
}

/// A question whose end everybody sees, whatever ends it.
struct UnderWay {
    shared: Arc<Shared>,
    key: CacheKey,
    asked: Asked,
    _end: watch::Sender<()>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.shared.questions).end(&self.key, self.asked);
    }
}

/// Counts a request among those that wait.
struct Waiting<'s>(&'s Shared, Asked);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.0.questions).leave(self.1);
    }
}

impl Shared {
    async fn fetch(&self, client: &Client, token: &str) -> Result<Introspection, IssuerError> {
        let at = self.endpoint(client).await?;
        let url = || at.url().to_string();
        let form = Request::form([("token", token), ("token_type_hint", "access_token")]);
        let form = form.accepting("application/json").that_only_asks();
        let request = form.from_client(&self.source.client, &self.source.secret.0);
        let request = request.map_err(|_| IssuerError::Introspection {
            url: url(),
            why: "our secret cannot be sent",
        })?;
        match client.send(&at, request).await {
            Ok(answer) => {
                let read = Introspection::parse(&answer.body);
                read.map_err(|why| IssuerError::Introspection { url: url(), why })
            }
            Err(error) => match &error.fault {
                Fault::Status(answer)
                    if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN]
                        .contains(&answer.status) =>
                {
                    let status = answer.status.as_u16();
                    Err(IssuerError::Client { url: url(), status })
                }
                _ => {
                    // It may have moved.
                    *self.found.lock().await = None;
                    Err(error.into())
                }
            },
        }
    }

    async fn endpoint(&self, client: &Client) -> Result<Arc<Destination>, IssuerError> {
        let at = match &self.source.at {
            IntrospectionAt::Endpoint(at) => return Ok(Arc::clone(at)),
            IntrospectionAt::Discovery(at) => at,
        };
        let base = at.destination();
        let find = async {
            // While it is held, others wait for this document and fetch none.
            let mut found = self.found.lock().await;
            let fresh = found.as_ref().filter(|(_, at)| at.elapsed() < ENDPOINT_AGE);
            if let Some((at, _)) = fresh {
                return Ok(Arc::clone(at));
            }
            let document = discover(client, at, &self.source.issuer).await?;
            let named = document.introspection_endpoint.as_ref();
            let at = document.endpoint("introspection_endpoint", named, base)?;
            *found = Some((Arc::clone(&at), Instant::now()));
            Ok(at)
        };
        let late = |_| IssuerError::Introspection {
            url: base.url().to_string(),
            why: "its discovery document takes too long",
        };
        let whole = base.settings().limits.whole;
        timeout(whole, find)
            .await
            .unwrap_or_else(|elapsed| Err(late(elapsed)))
    }

    /// What is kept, and until when.
    fn judge(&self, said: Result<Introspection, IssuerError>) -> (Answer, Instant) {
        let now = Instant::now();
        match said {
            Ok(Introspection::Active(claims)) => {
                let since = seconds(SystemTime::now());
                let left = claims.expires().map(|end| {
                    let end = end.saturating_add(self.source.clock_skew);
                    Duration::from_secs(end.saturating_sub(since))
                });
                let age = left.map_or(self.source.max_age, |left| left.min(self.source.max_age));
                match age.is_zero() {
                    // The issuer contradicts itself; its clock may be slow.
                    true => (Answer::Inactive, now + questions::INACTIVE_AGE),
                    false => (Answer::Active(Arc::new(claims)), now + age),
                }
            }
            Ok(Introspection::Inactive) => (Answer::Inactive, now + questions::INACTIVE_AGE),
            Err(_) => (Answer::Failed, now + questions::FAILED_AGE),
        }
    }

    fn note(&self, said: &Result<Introspection, IssuerError>) {
        let name = self.source.name.as_str();
        let mut health = lock(&self.health);
        health.asked += 1;
        let before = health.trouble.take();
        let Err(error) = said else {
            if before.is_some() {
                tracing::info!(target: "identity", name, "the issuer answers about tokens again");
            }
            return;
        };
        *health.failures.entry(error.code()).or_default() += 1;
        if before.is_none() {
            tracing::warn!(
                target: "identity", name, code = error.code(),
                "the issuer cannot be asked about tokens, so those that need it are not taken: {error}; {}",
                error.fix()
            );
        }
        health.trouble = Some(Trouble {
            since: before.map_or_else(SystemTime::now, |before| before.since),
            code: error.code(),
            words: error.to_string(),
            fix: error.fix(),
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each statement leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
