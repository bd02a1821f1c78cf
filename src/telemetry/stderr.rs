//! Diagnostics on stderr. A thread of its own writes them, so that a stalled reader of stderr stops no request.
//!
//! The lines that a thread logs while it holds a [`LineBatch`] leave together. The end of a batch waits for them
//! briefly while stderr keeps up, so that a client that has its answer finds the matching lines in the log.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use super::output::Output;
use super::queue::{LineQueue, LogMetrics, Target};

/// The most bytes that a batch holds; beyond it they go to the queue early.
const MOST: usize = 64 * 1024;
/// How long the end of a batch waits for stderr. If it takes longer, no batch waits until stderr keeps up again.
const KEEPS_UP: Duration = Duration::from_millis(100);

/// Set once by [`Stderr::start`]. It is global because the `tracing` subscriber and the panic hook are.
static QUEUE: OnceLock<LineQueue> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());
static METRICS: LazyLock<Arc<LogMetrics>> = LazyLock::new(Arc::default);

thread_local! {
    /// The lines of this thread's batch; None if it has no batch.
    static HELD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Queues the bytes, or adds them to this thread's [`batch_lines`]. Never fails and never waits.
#[derive(Debug, Clone, Copy)]
pub struct Stderr;

/// Holds this thread's lines until it is dropped.
#[derive(Debug)]
pub struct LineBatch {
    outermost: bool,
    /// Makes the batch `!Send`: its lines are in a variable of this thread.
    _stays: PhantomData<*const ()>,
}

impl Stderr {
    /// Starts the writer thread. Before that, or if the thread cannot be started, each caller writes by itself.
    pub fn start() {
        // Held until the queue is set: two threads would start two writers, and the one without a queue would wait for
        // ever.
        let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        if QUEUE.get().is_some() {
            return;
        }
        let started = io::stderr().as_fd().try_clone_to_owned().and_then(|fd| {
            let target = Target {
                name: "stderr",
                output: Output::File(File::from(fd)),
                gather: Duration::ZERO,
            };
            LineQueue::start(target, None, Arc::clone(&METRICS))
        });
        match started {
            // Nobody else can have set it meanwhile.
            Ok(queue) => drop(QUEUE.set(queue)),
            Err(error) => tracing::warn!("stderr has no thread that writes it: {error}"),
        }
    }

    /// Waits until all lines are written, for `most` at longest.
    pub fn flush(most: Duration) {
        if let Some(queue) = QUEUE.get() {
            queue.flush(Instant::now() + most);
        }
    }

    /// The counters of stderr, for the whole process.
    #[must_use]
    pub fn metrics() -> &'static LogMetrics {
        &METRICS
    }
}

/// Holds the lines of this thread until the result is dropped. For a few lines that are logged at once: no `await` may
/// come in between, since other tasks on this thread would join the batch.
#[must_use]
pub fn batch_lines() -> LineBatch {
    // Batches nest: only the outermost one writes, so that an inner one does not split it.
    let outermost = HELD.with_borrow_mut(|held| {
        let outermost = held.is_none();
        held.get_or_insert_default();
        outermost
    });
    LineBatch {
        outermost,
        _stays: PhantomData,
    }
}

impl Drop for LineBatch {
    fn drop(&mut self) {
        if !self.outermost {
            return;
        }
        let held = HELD.take().unwrap_or_default();
        if held.is_empty() {
            return;
        }
        say(&held);
        if let Some(queue) = QUEUE.get() {
            queue.wait_written(KEEPS_UP);
        }
    }
}

fn say(lines: &[u8]) {
    match QUEUE.get() {
        Some(queue) => queue.push(lines),
        // If stderr itself fails, there is no place to report it.
        None => drop(io::stderr().write_all(lines)),
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        HELD.with(|held| match held.try_borrow_mut().as_deref_mut() {
            Ok(Some(held)) => {
                held.extend_from_slice(bytes);
                if held.len() > MOST {
                    say(held);
                    held.clear();
                }
            }
            // Already borrowed: a panic in this closure logs itself through this function.
            _ => say(bytes),
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // The `tracing` layer flushes after each event, which must not split a batch or wait for the target.
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Stderr {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Option<Vec<u8>> {
        HELD.with_borrow(Clone::clone)
    }

    #[test]
    fn lines_leave_with_the_outermost() {
        assert_eq!(held(), None);
        let outer = batch_lines();
        Stderr.write_all(b"one\n").unwrap();
        let inner = batch_lines();
        Stderr.write_all(b"two\n").unwrap();
        drop(inner);
        assert_eq!(held().as_deref(), Some(&b"one\ntwo\n"[..]));
        drop(outer);
        assert_eq!(held(), None);
    }

    #[test]
    fn threads_that_start_it_at_once_start_one_writer() {
        let gate = std::sync::Barrier::new(16);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    gate.wait();
                    Stderr::start();
                });
            }
        });
        // Each writer has a reference, also one whose queue is gone.
        assert_eq!(Arc::strong_count(&METRICS), 2);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let _batch = batch_lines();
        Stderr.write_all(&[b'\n'; MOST]).unwrap();
        assert_eq!(held().map(|h| h.len()), Some(MOST));
        Stderr.write_all(b"\n").unwrap();
        assert_eq!(held().map(|h| h.len()), Some(0));
    }
}
