//! Long-lived tasks: one that panics, or ends although it should not, is told of and begins again.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

/// Before a task begins again; twice as long each time that it fails at once.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A task that ran for so long is taken to be well.
const WELL: Duration = Duration::from_secs(300);

/// How often each task began again, in this process.
static RESTARTS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Has panics counted and logged. The standard hook would wait for stderr, however long that takes.
pub fn tell_panics() {
    panic::set_hook(Box::new(|panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        let words = panic.to_string().replace('\n', " ");
        tracing::error!(target: "panic", "{words}");
    }));
}

/// How many there were since [`tell_panics`].
#[must_use]
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Why a task returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// There is nothing left for it to do.
    Over,
    /// It cannot go on as it is, and should begin again.
    Failed(String),
}

/// Runs a task, and runs it again where it panics or fails, until it is over.
pub async fn supervise<F: Future<Output = Ended>>(
    task: &'static str,
    mut begin: impl FnMut() -> F,
) {
    restarts().entry(task).or_default();
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = Instant::now();
        let why = match caught(&mut begin).await {
            Ok(Ended::Over) => return,
            Ok(Ended::Failed(why)) => why,
            Err(panic) => format!("it panicked: {}", words(panic.as_ref())),
        };
        if begun.elapsed() > WELL {
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

/// Every task that was begun, and how often it began again.
#[must_use]
pub fn task_restarts() -> Vec<(&'static str, u64)> {
    restarts()
        .iter()
        .map(|(task, count)| (*task, *count))
        .collect()
}

async fn caught<F: Future<Output = Ended>>(
    begin: impl FnOnce() -> F,
) -> Result<Ended, Box<dyn Any + Send>> {
    // What a task shares with others is behind locks and atomics that are whole at every moment; the task itself
    // is not polled again.
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

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without words")
}

fn restarts() -> MutexGuard<'static, BTreeMap<&'static str, u64>> {
    // Numbers are never half done.
    RESTARTS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test]
    async fn what_ends_begins_again_until_it_is_over() {
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
