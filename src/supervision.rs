//! Supervises long-lived tasks: one that panics or fails is logged, counted and started again.
//!
//! A front door must not lose its watcher or its admin API to one failure. A task that fails again at once waits longer
//! each time, so that it cannot use up a processor.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

/// The pause before the first restart; each further one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// After a run of this length the pauses start again with the first.
const HEALTHY_RUN: Duration = Duration::from_secs(300);

/// How often each task of this process was restarted.
static RESTARTS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts and logs panics from now on. The standard hook writes to stderr, which blocks if nobody reads it.
pub fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        // One line for each event, as log collectors expect.
        let words = panic.to_string().replace('\n', " ");
        tracing::error!(target: "panic", "{words}");
    }));
}

/// How many panics there were since [`log_panics`].
#[must_use]
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Why a task returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It has nothing left to do.
    Over,
    /// It cannot go on and must be started again; this is why.
    Failed(String),
}

/// Runs a task, and starts it again if it panics or fails, until it is over.
pub async fn supervise<F: Future<Output = Ended>>(
    task: &'static str,
    mut begin: impl FnMut() -> F,
) {
    // So that the metric shows every task, also with 0 restarts.
    restarts().entry(task).or_default();
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = Instant::now();
        let why = match run_once(&mut begin).await {
            Ok(Ended::Over) => return,
            Ok(Ended::Failed(why)) => why,
            Err(panic) => format!("it panicked: {}", panic_message(panic.as_ref())),
        };
        if begun.elapsed() > HEALTHY_RUN {
            pause = FIRST_PAUSE;
        }
        tracing::error!(
            task,
            "the task \"{task}\" ended and begins again in {} ms: {why}",
            pause.as_millis()
        );
        *restarts().entry(task).or_default() += 1;
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Every task that was started, and how often it was restarted.
#[must_use]
pub fn task_restarts() -> Vec<(&'static str, u64)> {
    restarts()
        .iter()
        .map(|(task, count)| (*task, *count))
        .collect()
}

/// Runs the task until it returns or panics.
async fn run_once<F: Future<Output = Ended>>(
    begin: impl FnOnce() -> F,
) -> Result<Ended, Box<dyn Any + Send>> {
    // Unwind safe: what a task shares with others is behind locks and atomics that are valid at every moment, and the
    // task itself is not polled again.
    // Making the future may panic too.
    let future = catch_unwind(AssertUnwindSafe(begin))?;
    let mut future = pin!(future);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(panic) => std::task::Poll::Ready(Err(panic)),
        }
    })
    .await
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

fn restarts() -> MutexGuard<'static, BTreeMap<&'static str, u64>> {
    // Counters are whole at every moment, so a panic elsewhere does no harm.
    RESTARTS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test]
    async fn a_task_is_restarted_until_it_is_over() {
        let rounds = AtomicUsize::new(0);
        supervise("a test", || async {
            tokio::task::yield_now().await;
            match rounds.fetch_add(1, Ordering::SeqCst) {
                0 => panic!("as it should"),
                1 => Ended::Failed("it tripped".to_owned()),
                _ => Ended::Over,
            }
        })
        .await;
        assert_eq!(rounds.load(Ordering::SeqCst), 3);
        assert!(task_restarts().contains(&("a test", 2)));
    }
}
