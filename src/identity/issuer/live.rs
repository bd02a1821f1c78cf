//! Something of an issuer's that is fetched again and again, off the path of requests, and the last good version of it.
//!
//! Invariants: requests read it without waiting. One fetch at a time is under way. Requests may ask for a fetch, and wait for
//! it, but cause at most one in [`Schedule::asked_interval`], and a bounded number of them waits. What is older than
//! [`Schedule::max_stale`] does not count.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};

use super::answered::Answered;
use super::error::IssuerError;
use super::source::{Fetched, Schedule, Source};
use crate::outbound::Client;
use crate::supervision::{Ended, supervise};

/// The most requests that wait for a fetch. Others are answered with what is known.
const MOST_WAITING: usize = 256;

/// The last good version of a source, kept live once [`Live::start`] was called.
#[derive(Debug)]
pub struct Live<S: Source> {
    shared: Arc<Shared<S>>,
    task: OnceLock<AbortOnDrop>,
}

#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
struct Shared<S: Source> {
    source: S,
    kept: ArcSwapOption<Kept<S::Value>>,
    gate: Mutex<Gate>,
    wake: Notify,
    /// How many fetches ended.
    ended: watch::Sender<u64>,
    health: Mutex<Health>,
}

/// A version.
#[derive(Debug)]
pub struct Kept<T> {
    /// Itself.
    pub value: Arc<T>,
    /// Another one for each other content.
    pub generation: u64,
    /// When it was fetched last.
    pub fetched_at: SystemTime,
    fetched: Instant,
    content: [u8; 32],
}

/// Who may cause a fetch.
#[derive(Debug, Default)]
struct Gate {
    /// One is under way or about to begin.
    busy: bool,
    /// A request asked for the one that is about to begin.
    asked: bool,
    asked_at: Option<Instant>,
    waiting: usize,
}

#[derive(Debug, Clone, Default)]
struct Health {
    fetches: u64,
    asked: u64,
    failures: BTreeMap<&'static str, u64>,
    failures_in_a_row: u32,
    trouble: Option<Trouble>,
    next_at: Option<SystemTime>,
    /// Whether somebody read that the last good version no longer counts.
    said_stale: bool,
}

/// How fetching goes.
#[derive(Debug, Clone)]
pub struct LiveState {
    /// Fetches that ended.
    pub fetches: u64,
    /// Those of them that requests of clients caused.
    pub asked: u64,
    /// Those of them that failed, by code.
    pub failures: BTreeMap<&'static str, u64>,
    /// What is wrong now.
    pub trouble: Option<Trouble>,
    /// When the last good version was fetched.
    pub fetched_at: Option<SystemTime>,
    /// Its age.
    pub age: Option<Duration>,
    /// Whether there is a version that counts.
    pub counts: bool,
    /// When the next fetch begins.
    pub next_at: Option<SystemTime>,
}

/// What is wrong.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// When the first fetch of a series failed.
    pub since: SystemTime,
    /// The code of the last failure.
    pub code: &'static str,
    /// The last failure in words.
    pub words: String,
    /// What to do.
    pub fix: &'static str,
}

impl<S: Source> Live<S> {
    /// Knows nothing yet, and fetches nothing before it is started.
    #[must_use]
    pub fn new(source: S) -> Self {
        let shared = Shared {
            source,
            kept: ArcSwapOption::empty(),
            gate: Mutex::default(),
            wake: Notify::new(),
            ended: watch::Sender::new(0),
            health: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            task: OnceLock::new(),
        }
    }

    /// The one for this source after a reload: `running` itself if nothing changed, and with what `running` has if only the
    /// way to the same thing changed.
    #[must_use]
    pub fn after(source: S, running: Option<&Arc<Self>>) -> Arc<Self> {
        let Some(running) = running else {
            return Arc::new(Self::new(source));
        };
        if running.shared.source == source {
            return Arc::clone(running);
        }
        let is_same = source.is_same_thing(&running.shared.source);
        let next = Self::new(source);
        if is_same {
            next.shared.kept.store(running.shared.kept.load_full());
        }
        Arc::new(next)
    }

    /// Begins to fetch, on this runtime, which serves no requests. Nothing if it began already.
    pub fn start(&self, runtime: &Handle) {
        self.task.get_or_init(|| {
            // Before the task runs, so that a request waits for the first fetch.
            lock(&self.shared.gate).busy = true;
            let shared = Arc::clone(&self.shared);
            let client = Client::new(runtime.clone());
            let begin = move || Arc::clone(&shared).run(client.clone());
            AbortOnDrop(runtime.spawn(supervise("fetching from issuers", begin)))
        });
    }

    /// Fetches once, for a verb; returns what the answer said about itself.
    ///
    /// # Errors
    /// Why what came cannot be used.
    pub async fn fetch_once(&self, client: &Client) -> Result<Answered, IssuerError> {
        let fetched = self.shared.source.fetch(client).await?;
        let answered = fetched.answered;
        self.shared.succeeded(fetched);
        Ok(answered)
    }

    /// What is fetched.
    #[must_use]
    pub fn source(&self) -> &S {
        &self.shared.source
    }

    /// The version that counts now.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Kept<S::Value>>> {
        let kept = self.shared.kept.load_full()?;
        (kept.fetched.elapsed() <= self.shared.schedule().max_stale).then_some(kept)
    }

    /// How many fetches ended so far.
    #[must_use]
    pub fn fetches(&self) -> u64 {
        *self.shared.ended.borrow()
    }

    /// Asks for a fetch, and waits for its end. False if there may be none now, or not in time.
    pub async fn renewed(&self) -> bool {
        let Some((mut ended, _waiting)) = Shared::ask(&self.shared) else {
            return false;
        };
        let ended = timeout(self.shared.schedule().wait, ended.changed()).await;
        matches!(ended, Ok(Ok(())))
    }

    /// Waits until the first fetch ended, well or not.
    pub async fn tried(&self) {
        let mut ended = self.shared.ended.subscribe();
        // The sender is here, so there is an end.
        let _ = ended.wait_for(|ended| *ended > 0).await;
    }

    /// How fetching goes.
    #[must_use]
    pub fn state(&self) -> LiveState {
        let health = lock(&self.shared.health).clone();
        let kept = self.shared.kept.load_full();
        LiveState {
            fetches: health.fetches,
            asked: health.asked,
            failures: health.failures,
            trouble: health.trouble,
            fetched_at: kept.as_ref().map(|kept| kept.fetched_at),
            age: kept.as_ref().map(|kept| kept.fetched.elapsed()),
            counts: self.current().is_some(),
            next_at: health.next_at,
        }
    }
}

/// Counts a request among those that wait.
struct Waiting<S: Source>(Arc<Shared<S>>);

impl<S: Source> Drop for Waiting<S> {
    fn drop(&mut self) {
        lock(&self.0.gate).waiting -= 1;
    }
}

impl<S: Source> Shared<S> {
    fn schedule(&self) -> &Schedule {
        self.source.schedule()
    }

    /// What a request waits for; None if it may not.
    fn ask(shared: &Arc<Self>) -> Option<(watch::Receiver<u64>, Waiting<S>)> {
        let mut gate = lock(&shared.gate);
        if gate.waiting >= MOST_WAITING {
            return None;
        }
        if !gate.busy {
            let now = Instant::now();
            let since = gate.asked_at.map(|at| now.duration_since(at));
            if since.is_some_and(|since| since < shared.schedule().asked_interval) {
                return None;
            }
            gate.asked_at = Some(now);
            gate.busy = true;
            gate.asked = true;
            shared.wake.notify_one();
        }
        gate.waiting += 1;
        // Under the lock, so that the end of the fetch is not missed.
        Some((shared.ended.subscribe(), Waiting(Arc::clone(shared))))
    }

    async fn run(self: Arc<Self>, client: Client) -> Ended {
        loop {
            let pause = self.refresh(&client).await;
            self.rest(pause).await;
        }
    }

    /// Fetches once; returns the pause until the next time.
    async fn refresh(&self, client: &Client) -> Duration {
        let asked = {
            let mut gate = lock(&self.gate);
            gate.busy = true;
            std::mem::take(&mut gate.asked)
        };
        let fetched = self.source.fetch(client).await;
        let pause = match fetched {
            Ok(fetched) => self.succeeded(fetched),
            Err(error) => self.failed(&error),
        };
        let pause = pause.mul_f64(jitter());
        {
            let mut health = lock(&self.health);
            health.fetches += 1;
            health.asked += u64::from(asked);
            health.next_at = SystemTime::now().checked_add(pause);
        }
        // Under the lock: whoever is refused a fetch afterwards sees that this one ended.
        let mut gate = lock(&self.gate);
        gate.busy = false;
        self.ended.send_modify(|ended| *ended += 1);
        pause
    }

    /// Until the pause is over or a request asks.
    async fn rest(&self, pause: Duration) {
        let until = tokio::time::Instant::now() + pause;
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                () = self.wake.notified() => {
                    // A fetch that began by the clock may have answered whoever asked.
                    if lock(&self.gate).asked {
                        return;
                    }
                }
            }
        }
    }

    fn succeeded(&self, fetched: Fetched<S::Value>) -> Duration {
        let before = self.kept.load_full();
        let same = before
            .as_ref()
            .filter(|before| before.content == fetched.content);
        let is_new = same.is_none();
        let (value, generation) = match same {
            Some(before) => (Arc::clone(&before.value), before.generation),
            None => (
                Arc::new(fetched.value),
                before.map_or(1, |before| before.generation + 1),
            ),
        };
        self.kept.store(Some(Arc::new(Kept {
            value,
            generation,
            fetched_at: SystemTime::now(),
            fetched: Instant::now(),
            content: fetched.content,
        })));
        let was_bad = {
            let mut health = lock(&self.health);
            health.failures_in_a_row = 0;
            health.said_stale = false;
            health.trouble.take().is_some()
        };
        let (name, url) = (self.source.name(), &fetched.url);
        match (is_new, was_bad) {
            (true, _) => {
                tracing::info!(target: "identity", name, "new {} from {url}", S::WHAT);
            }
            (false, true) => {
                tracing::info!(target: "identity", name, "{} are fetched again from {url}", S::WHAT);
            }
            (false, false) => {}
        }
        self.schedule().pause(fetched.answered.fresh)
    }

    fn failed(&self, error: &IssuerError) -> Duration {
        let (name, code) = (self.source.name(), error.code());
        let age = self.kept.load().as_ref().map(|kept| kept.fetched.elapsed());
        let is_stale = age.is_none_or(|age| age > self.schedule().max_stale);
        let mut health = lock(&self.health);
        *health.failures.entry(code).or_default() += 1;
        health.failures_in_a_row = health.failures_in_a_row.saturating_add(1);
        let pause = self.schedule().back_off(health.failures_in_a_row);
        let before = health.trouble.take();
        // One line for an outage and one for its consequence, not one for each try.
        let is_first = before.is_none();
        let is_end = is_stale && !std::mem::replace(&mut health.said_stale, is_stale);
        health.trouble = Some(Trouble {
            since: before.map_or_else(SystemTime::now, |before| before.since),
            code,
            words: error.to_string(),
            fix: error.fix(),
        });
        drop(health);
        if is_end {
            tracing::error!(
                target: "identity", name, code,
                "there are no {} that count, so no token is taken: {error}; {}",
                S::WHAT, error.fix()
            );
        } else if is_first {
            tracing::warn!(
                target: "identity", name, code,
                "{} cannot be fetched, the last good ones stay in use: {error}; {}",
                S::WHAT, error.fix()
            );
        }
        pause
    }
}

/// 0.9 to 1: not all front doors at the same moment, and none late.
fn jitter() -> f64 {
    let [byte] = crate::randomness::random::<1>().unwrap_or_default();
    0.9 + 0.1 * f64::from(byte) / 255.0
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each statement leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
