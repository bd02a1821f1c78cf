//! An endpoint of an issuer that is asked about one token at a time: off the threads that serve requests, and what it says
//! is kept for a while.
//!
//! Invariants: the issuer is asked the same thing once at a time. A bounded number of questions is under way and a bounded
//! number of requests waits; tokens that nobody verified have their own share of both, and those of them that turn out not
//! to hold cause only so many questions in a while. What an answer says counts for [`Endpoint::age`]. Without an answer
//! nothing is taken.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::StatusCode;
use identity::CacheKey;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

use super::discovery::{Discovery, DiscoveryAt, discover};
use super::error::IssuerError;
use super::live::{LiveState, Trouble};
use crate::outbound::{Client, Destination, Fault, Request, Response};
use questions::{Answer, Next, Questions};

mod questions;

/// How long the place that a discovery document named is used.
const PLACE_AGE: Duration = Duration::from_secs(3600);
/// How long a request waits for an answer.
const WAIT: Duration = Duration::from_secs(3);

/// What is asked about tokens, and what its answers mean.
pub trait Endpoint: fmt::Debug + PartialEq + Send + Sync + 'static {
    /// What is asked.
    type Question: Send + Sync + 'static;
    /// What the issuer says of a token that it takes.
    type Good: Clone + fmt::Debug + Send + 'static;
    /// Its word in metrics and for `doctor`.
    const WHAT: &'static str;
    /// Its name in discovery documents.
    const MEMBER: &'static str;
    /// What does not happen while it cannot be asked.
    const OTHERWISE: &'static str;

    /// The name of its table.
    fn name(&self) -> &str;
    /// Where it is.
    fn at(&self) -> &EndpointAt;
    /// Who we are there.
    fn client(&self) -> &OwnClient;
    /// How much of everything.
    fn bounds(&self) -> AskingBounds;
    /// Where an issuer's document says that it is.
    fn named_in(document: &Discovery) -> Option<&String>;
    /// The question as a form.
    fn form<'q>(&'q self, question: &'q Self::Question) -> Vec<(&'q str, &'q str)>;
    /// What an answer of status 200 means.
    ///
    /// # Errors
    /// It is none.
    fn read(&self, url: &str, answer: &Response) -> Result<Said<Self::Good>, IssuerError>;
    /// What an answer with another status means; None if that is for want of an answer.
    fn read_failure(
        &self,
        url: &str,
        answer: &Response,
    ) -> Option<Result<Said<Self::Good>, IssuerError>>;
    /// The error that it has no answer.
    fn no_answer(url: String, why: &'static str) -> IssuerError;
    /// How long it counts from now on. Zero where the issuer contradicts itself.
    fn age(&self, good: &Self::Good) -> Duration;
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointAt {
    /// Where the issuer's document says.
    Discovery {
        /// The document.
        at: DiscoveryAt,
        /// The issuer, exactly as the document has it.
        issuer: String,
    },
    /// Here.
    Given(Arc<Destination>),
}

impl EndpointAt {
    /// What is asked first.
    #[must_use]
    pub fn destination(&self) -> &Arc<Destination> {
        match self {
            Self::Discovery { at, .. } => at.destination(),
            Self::Given(at) => at,
        }
    }
}

/// Who we are at an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnClient {
    /// Our name there.
    pub name: String,
    /// What proves it.
    pub secret: ClientSecret,
}

/// A secret of ours at an issuer. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecret(pub String);

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(..)")
    }
}

/// How much of everything. Those for tokens hold for verified and for opaque ones each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskingBounds {
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

impl Default for AskingBounds {
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

/// What an issuer says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said<T> {
    /// It takes the token, and says this.
    Good(T),
    /// It does not, for this reason.
    Refused(&'static str),
}

/// What is known of a token, as far as the issuer was asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Known<T> {
    /// The issuer takes it, and says this.
    Good(T),
    /// It does not, for this reason.
    Refused(&'static str),
    /// There is no answer that counts.
    Nothing,
}

/// Asks an endpoint, and keeps its answers.
#[derive(Debug)]
pub struct Asker<E: Endpoint> {
    shared: Arc<Shared<E>>,
    runtime: OnceLock<Handle>,
}

#[derive(Debug)]
struct Shared<E: Endpoint> {
    endpoint: E,
    questions: Mutex<Questions<E::Good>>,
    /// The place that the issuer's document named, and when.
    found: tokio::sync::Mutex<Option<(Arc<Destination>, Instant)>>,
    health: Mutex<Health>,
}

#[derive(Debug, Clone, Default)]
struct Health {
    asked: u64,
    failures: BTreeMap<&'static str, u64>,
    trouble: Option<Trouble>,
}

impl<E: Endpoint> Asker<E> {
    /// Asks nothing before it is started.
    #[must_use]
    pub fn new(endpoint: E) -> Self {
        let shared = Shared {
            questions: Mutex::new(Questions::new(endpoint.bounds())),
            endpoint,
            found: tokio::sync::Mutex::default(),
            health: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            runtime: OnceLock::new(),
        }
    }

    /// The one for this endpoint after a reload: `running` itself, with its answers, if nothing changed.
    #[must_use]
    pub fn after(endpoint: E, running: Option<&Arc<Self>>) -> Arc<Self> {
        match running.filter(|running| running.shared.endpoint == endpoint) {
            Some(running) => Arc::clone(running),
            None => Arc::new(Self::new(endpoint)),
        }
    }

    /// From now on it asks, on this runtime, which serves no requests.
    pub fn start(&self, runtime: &Handle) {
        self.runtime.get_or_init(|| runtime.clone());
    }

    /// What it asks.
    #[must_use]
    pub fn endpoint(&self) -> &E {
        &self.shared.endpoint
    }

    /// What is known now.
    #[must_use]
    pub fn known(&self, key: &CacheKey) -> Known<E::Good> {
        match lock(&self.shared.questions).find(key, Instant::now()) {
            Some(Answer::Good(good)) => Known::Good(good),
            Some(Answer::Refused(why)) => Known::Refused(why),
            Some(Answer::Failed) | None => Known::Nothing,
        }
    }

    /// Asks, or waits for whoever asks the same. False if nothing came of it.
    pub async fn learn(&self, key: CacheKey, question: E::Question, asked: Asked) -> bool {
        let next = lock(&self.shared.questions).next(key, asked, Instant::now());
        let mut ended = match next {
            Next::Known => return true,
            Next::Refused => return false,
            Next::Join(ended) => ended,
            Next::Ask(ended, end) => {
                self.ask(key, question, asked, end);
                ended
            }
        };
        let _waiting = Waiting(&self.shared, asked);
        // Nothing is sent: the end drops the sender.
        timeout(WAIT, ended.changed()).await.is_ok()
    }

    /// A task of its own: it goes on when the first request that waits for it has left.
    fn ask(&self, key: CacheKey, question: E::Question, asked: Asked, end: watch::Sender<()>) {
        let under_way = UnderWay {
            shared: Arc::clone(&self.shared),
            key,
            asked,
            _end: end,
        };
        let Some(runtime) = self.runtime.get() else {
            return;
        };
        let client = Client::new(runtime.clone());
        runtime.spawn(async move {
            let shared = &under_way.shared;
            let said = shared.fetch(&client, &question).await;
            shared.note(&said);
            let (answer, until) = shared.judge(said);
            lock(&shared.questions).keep(key, asked, answer, until);
        });
    }

    /// Asks now, for a verb.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn ask_once(
        &self,
        client: &Client,
        question: &E::Question,
    ) -> Result<Said<E::Good>, IssuerError> {
        self.shared.fetch(client, question).await
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

/// A question whose end everybody sees, whatever ends it.
struct UnderWay<E: Endpoint> {
    shared: Arc<Shared<E>>,
    key: CacheKey,
    asked: Asked,
    _end: watch::Sender<()>,
}

impl<E: Endpoint> Drop for UnderWay<E> {
    fn drop(&mut self) {
        lock(&self.shared.questions).end(&self.key, self.asked);
    }
}

/// Counts a request among those that wait.
struct Waiting<'s, E: Endpoint>(&'s Shared<E>, Asked);

impl<E: Endpoint> Drop for Waiting<'_, E> {
    fn drop(&mut self) {
        lock(&self.0.questions).leave(self.1);
    }
}

impl<E: Endpoint> Shared<E> {
    async fn fetch(
        &self,
        client: &Client,
        question: &E::Question,
    ) -> Result<Said<E::Good>, IssuerError> {
        let at = self.place(client).await?;
        let url = at.url().to_string();
        let form = Request::form(self.endpoint.form(question));
        let form = form.accepting("application/json").that_only_asks();
        let OwnClient { name, secret } = self.endpoint.client();
        let Ok(request) = form.from_client(name, &secret.0) else {
            let why = "our secret cannot be sent";
            return Err(E::no_answer(url, why));
        };
        let error = match client.send(&at, request).await {
            Ok(answer) => return self.endpoint.read(&url, &answer),
            Err(error) => error,
        };
        if let Fault::Status(answer) = &error.fault {
            if let Some(said) = self.endpoint.read_failure(&url, answer) {
                return said;
            }
            if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status) {
                let status = answer.status.as_u16();
                return Err(IssuerError::Client { url, status });
            }
        }
        // It may have moved.
        *self.found.lock().await = None;
        Err(error.into())
    }

    async fn place(&self, client: &Client) -> Result<Arc<Destination>, IssuerError> {
        let (at, issuer) = match self.endpoint.at() {
            EndpointAt::Given(at) => return Ok(Arc::clone(at)),
            EndpointAt::Discovery { at, issuer } => (at, issuer),
        };
        let base = at.destination();
        let find = async {
            // While it is held, others wait for this document and fetch none.
            let mut found = self.found.lock().await;
            let fresh = found.as_ref().filter(|(_, at)| at.elapsed() < PLACE_AGE);
            if let Some((at, _)) = fresh {
                return Ok(Arc::clone(at));
            }
            let document = discover(client, at, issuer).await?;
            let at = document.endpoint(E::MEMBER, E::named_in(&document), base)?;
            *found = Some((Arc::clone(&at), Instant::now()));
            Ok(at)
        };
        let late = "its discovery document takes too long";
        let whole = base.settings().limits.whole;
        timeout(whole, find)
            .await
            .unwrap_or_else(|_| Err(E::no_answer(base.url().to_string(), late)))
    }

    /// What is kept, and until when.
    fn judge(&self, said: Result<Said<E::Good>, IssuerError>) -> (Answer<E::Good>, Instant) {
        let now = Instant::now();
        let refused = |why| (Answer::Refused(why), now + questions::REFUSED_AGE);
        match said {
            Ok(Said::Good(good)) => match self.endpoint.age(&good) {
                // Its clock may be slow.
                Duration::ZERO => refused("ended"),
                age => (Answer::Good(good), now + age),
            },
            Ok(Said::Refused(why)) => refused(why),
            Err(_) => (Answer::Failed, now + questions::FAILED_AGE),
        }
    }

    fn note(&self, said: &Result<Said<E::Good>, IssuerError>) {
        let (name, what) = (self.endpoint.name(), E::WHAT);
        let mut health = lock(&self.health);
        health.asked += 1;
        let before = health.trouble.take();
        let Err(error) = said else {
            if before.is_some() {
                tracing::info!(target: "identity", name, what, "the issuer answers about tokens again");
            }
            return;
        };
        *health.failures.entry(error.code()).or_default() += 1;
        if before.is_none() {
            tracing::warn!(
                target: "identity", name, what, code = error.code(),
                "the issuer cannot be asked about tokens, so {}: {error}; {}",
                E::OTHERWISE, error.fix()
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
