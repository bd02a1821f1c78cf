//! The thread on which shadows see a sample of the requests that were answered, and what they would change.
//!
//! Invariants: no request waits for a shadow, and no shadow changes an answer. The queue is bounded; what does not fit is
//! dropped and counted.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::received::Received;
use crate::bounded_queue::{BoundedQueue, Next, QueueReader, bounded_queue};
use crate::config::{Policy, Shadow};
use crate::events::{
    Blocked, Draft, Match, Recorder, ShadowDifference, hits, inbound_score, matches, secrets,
};
use crate::identity::Caller;
use crate::judgement::{DifferenceKind, Judgement, judge_request};
use crate::telemetry::{Metrics, RuleDifference, ShadowJudgement, ShadowOutcome, ShadowPair};
use waf::{Transaction, mask_known};

/// Requests that may wait, and their bytes.
const MOST_WAITING: usize = 1024;
/// See [`MOST_WAITING`].
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// Bytes that a body may decode to.
const MOST_DECODED: usize = 32 * 1024 * 1024;
/// How long the thread sleeps after the first request of a batch. To be woken for each costs the sender a system call, and
/// finds the processor's caches filled with other work.
const GATHERING: Duration = Duration::from_millis(20);
/// The lowest priority, on a scale where the threads that serve have 0: while they need every processor, the sample
/// becomes smaller, and not the answers slower.
const NICENESS: i32 = 19;

/// What a shadow sees of a request that was answered.
#[derive(Debug)]
pub(crate) struct ShadowTask {
    pub policy: Arc<Policy>,
    /// Who called, for rules that ask.
    pub caller: Option<Caller>,
    pub client: SocketAddr,
    pub server: SocketAddr,
    /// The body that the policy's rules saw; None if they stopped the request before it was there.
    pub body: Option<Bytes>,
    /// What the policy's rules made of it.
    pub live: Judgement,
    /// What an event of it has beside the shadow's findings; None if no events are kept.
    pub event: Option<Draft>,
}

/// Takes requests for the shadows of all policies.
#[derive(Debug)]
pub(crate) struct ShadowThread {
    queue: BoundedQueue<Box<Work>>,
    closing: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

/// A request that waits.
#[derive(Debug)]
struct Work {
    task: ShadowTask,
    received: Received,
    id: String,
}

impl ShadowThread {
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(
        metrics: &Arc<Metrics>,
        events: Option<&Arc<Recorder>>,
    ) -> io::Result<Self> {
        let judge = Judge {
            metrics: Arc::clone(metrics),
            events: events.cloned(),
        };
        Self::start_with(metrics, move |work| judge.judge(work))
    }

    fn start_with(
        metrics: &Arc<Metrics>,
        judge: impl Fn(Work) + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, tasks) = bounded_queue::<Box<Work>>(MOST_WAITING, MOST_BYTES);
        let closing = Arc::new(AtomicBool::new(false));
        let thread = Self {
            queue,
            closing: Arc::clone(&closing),
            metrics: Arc::clone(metrics),
        };
        let metrics = Arc::clone(metrics);
        let run = move || {
            // On Linux this is the priority of the thread that calls.
            if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
                tracing::warn!(target: "shadow", "shadows run at the priority of everything else: {error}");
            }
            while let Some(work) = next_of_batch(&tasks) {
                // A drain must not wait for a thousand requests that change nothing.
                if closing.load(Ordering::Relaxed) {
                    return;
                }
                // A panic must not end the judging of all other requests.
                if catch_unwind(AssertUnwindSafe(|| judge(*work))).is_err() {
                    metrics.shadow.dropped_internal.count();
                }
            }
        };
        thread::Builder::new()
            .name("shadow".to_owned())
            .spawn(run)?;
        Ok(thread)
    }

    /// Queues a request; drops and counts it if too many wait. Never waits.
    pub(crate) fn offer(&self, task: ShadowTask, received: Received, id: String) {
        let work = Box::new(Work { task, received, id });
        let bytes = work.bytes();
        if !self.queue.offer(work, bytes) {
            self.metrics.shadow.dropped_queue.count();
        }
    }

    /// Ends after the request that is being judged, until `deadline` at longest. Those that wait are dropped: their
    /// counters end with the process.
    pub(crate) fn close(&self, deadline: Instant) {
        self.closing.store(true, Ordering::Relaxed);
        self.queue.close(deadline);
    }
}

/// The next item; None if the thread must end. After an empty queue it waits until more have come.
fn next_of_batch<T>(tasks: &QueueReader<T>) -> Option<T> {
    match tasks.try_next() {
        Next::Item(item) => Some(item),
        Next::End => None,
        Next::Nothing => {
            let first = tasks.next()?;
            thread::sleep(GATHERING);
            Some(first)
        }
    }
}

impl Work {
    /// About how much memory it takes.
    fn bytes(&self) -> usize {
        const OTHER: usize = 2048;
        let body = self.task.body.as_ref();
        self.received.head_length() + body.map_or(0, Bytes::len) + OTHER
    }
}

/// Compares shadows with policies.
struct Judge {
    metrics: Arc<Metrics>,
    events: Option<Arc<Recorder>>,
}

impl Judge {
    fn judge(&self, work: Work) {
        let Work { task, received, id } = work;
        let policy = Arc::clone(&task.policy);
        let Some(shadow) = &policy.shadow else { return };
        let rules = Arc::clone(&shadow.rules);
        let mut transaction = Transaction::new(rules, task.client, task.server, &id);
        transaction.limit_memory(MOST_DECODED);
        received.feed(&mut transaction);
        if let Some(caller) = &task.caller {
            caller.tell(&mut transaction);
        }
        match &task.body {
            Some(body) => judge_request(&mut transaction, body),
            None => {
                transaction.request_headers_done();
                transaction.finish();
            }
        }
        let found = Judgement::of_request(&transaction);
        // Without the body, "it passes" would be a guess; that its head alone stops it is certain.
        let is_judged = (task.body.is_some() || found.interruption.is_some())
            && !transaction.is_out_of_memory();
        let (outcome, rules) = match is_judged {
            true => compare(&found, &task.live),
            false => (ShadowOutcome::NotCompared, Vec::new()),
        };
        let pair = ShadowPair {
            policy: policy.name.clone(),
            live: policy.rules_digest.clone(),
            shadow: shadow.rules_digest.clone(),
        };
        let judgement = ShadowJudgement {
            request_id: &id,
            outcome,
            rules,
        };
        self.metrics.shadow.count(&pair, &judgement);
        if let Some(difference) = difference_of(&judgement, pair.live) {
            self.keep(task, &received, &transaction, shadow, difference);
        }
    }

    /// Keeps an event of a request whose verdict the shadow would change.
    fn keep(
        &self,
        task: ShadowTask,
        received: &Received,
        transaction: &Transaction,
        shadow: &Shadow,
        difference: ShadowDifference,
    ) {
        let (Some(recorder), Some(mut event)) = (&self.events, task.event) else {
            return;
        };
        let stopped = Judgement::of_request(transaction).interruption;
        let summary = &mut event.summary;
        summary.rules_digest = Some(shadow.rules_digest.clone());
        summary.score = inbound_score(transaction);
        summary.matches = hits(transaction);
        summary.blocked_by = stopped.as_ref().map(|stopped| stopped.rule_id);
        let details = &mut event.details;
        (details.matches, details.unrecorded_matches) = matches(transaction);
        for found in &mut details.matches {
            mask(found, &event.secrets);
        }
        details.blocked = stopped.as_ref().map(Blocked::from);
        details.shadow = Some(difference);
        event.head = received.raw_head().to_vec();
        let body = task.body.unwrap_or_default();
        event.body = body.get(..recorder.body_bytes()).unwrap_or(&body).to_vec();
        // What either set calls secret is masked: whoever reads events may know only one of them.
        event.sanitised.extend(transaction.sanitised());
        event.secrets.extend(secrets(transaction));
        recorder.keep(event);
    }
}

/// Masks what the policy's rules call secret. The shadow's have masked what they know.
fn mask(found: &mut Match, secrets: &[Vec<u8>]) {
    if secrets.is_empty() {
        return;
    }
    let mask = |text: &str| {
        let masked = mask_known(text.as_bytes(), secrets);
        String::from_utf8_lossy(&masked).into_owned()
    };
    let tested = mask(found.tested());
    // Its offsets are those of a text that is not kept.
    if tested != found.tested() {
        found.span = None;
    }
    if let Some(transformed) = &mut found.transformed {
        *transformed = tested;
    }
    for text in [&mut found.value, &mut found.data, &mut found.message] {
        *text = mask(text);
    }
}

/// What the shadow makes of a request beside the policy, and the rules that make the difference.
fn compare(shadow: &Judgement, live: &Judgement) -> (ShadowOutcome, Vec<(u64, RuleDifference)>) {
    let Some(kind) = DifferenceKind::between(shadow, live) else {
        return compare_rules(&shadow.rules(), &live.rules());
    };
    let (outcome, difference) = match kind {
        DifferenceKind::NewlyBlocked => (ShadowOutcome::NewlyBlocked, RuleDifference::NewlyBlocked),
        DifferenceKind::NewlyAllowed => (ShadowOutcome::NewlyAllowed, RuleDifference::NewlyAllowed),
        DifferenceKind::AnsweredDifferently => (
            ShadowOutcome::AnsweredDifferently,
            RuleDifference::AnsweredDifferently,
        ),
    };
    let causes = kind.causes(shadow, live).into_iter();
    (outcome, causes.map(|rule| (rule, difference)).collect())
}

fn compare_rules(shadow: &[u64], live: &[u64]) -> (ShadowOutcome, Vec<(u64, RuleDifference)>) {
    let not_in = |one: &[u64], other: &[u64], difference| {
        let only = one.iter().filter(|rule| !other.contains(rule));
        only.map(|rule| (*rule, difference)).collect::<Vec<_>>()
    };
    let mut rules = not_in(shadow, live, RuleDifference::OnlyShadow);
    rules.extend(not_in(live, shadow, RuleDifference::OnlyLive));
    match rules.is_empty() {
        true => (ShadowOutcome::Same, rules),
        false => (ShadowOutcome::OtherRules, rules),
    }
}

/// What an event says of it; None if the verdict is the same.
fn difference_of(
    judgement: &ShadowJudgement<'_>,
    live_rules_digest: String,
) -> Option<ShadowDifference> {
    match judgement.outcome {
        ShadowOutcome::NewlyBlocked
        | ShadowOutcome::NewlyAllowed
        | ShadowOutcome::AnsweredDifferently => Some(ShadowDifference {
            difference: judgement.outcome.name().to_owned(),
            rule_ids: judgement.rules.iter().map(|(rule, _)| *rule).collect(),
            live_rules_digest,
        }),
        ShadowOutcome::Same | ShadowOutcome::OtherRules | ShadowOutcome::NotCompared => None,
    }
}

#[cfg(test)]
mod tests;
