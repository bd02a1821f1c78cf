//! Diagnostics, on stderr. Nobody waits long for it: a thread writes. Only what one thread says in one breath leaves
//! together, and is waited for while stderr keeps up, so that whoever has an answer finds in the log why.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use super::queue::{LineQueue, LogMetrics, Target};

/// Lines that are held are written when there are so many bytes of them.
const MOST: usize = 64 * 1024;
/// How long a breath waits for stderr; one that takes longer is not waited for again until it keeps up.
const KEEPS_UP: Duration = Duration::from_millis(100);

static QUEUE: OnceLock<LineQueue> = OnceLock::new();
static METRICS: LazyLock<Arc<LogMetrics>> = LazyLock::new(Arc::default);

thread_local! {
    static HELD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Writes what is said, or holds it where [`batch_lines`] is at work. Never fails and never waits.
#[derive(Debug, Clone, Copy)]
pub struct Stderr;

/// Holds this thread's lines until it is dropped.
#[derive(Debug)]
pub struct LineBatch {
    outermost: bool,
    /// The lines are of the thread that holds them.
    _stays: PhantomData<*const ()>,
}

impl Stderr {
    /// Starts the thread that writes. Until then, and where there is none, who says something writes it.
    pub fn start() {
        if QUEUE.get().is_some() {
            return;
        }
        let started = io::stderr().as_fd().try_clone_to_owned().and_then(|fd| {
            let target = Target {
                name: "stderr",
                file: File::from(fd),
                gather: Duration::ZERO,
            };
            LineQueue::start(target, None, Arc::clone(&METRICS))
        });
        match started {
            // Who came first has it; the other ends with its queue.
            Ok(queue) => drop(QUEUE.set(queue)),
            Err(error) => tracing::warn!("stderr has no thread that writes it: {error}"),
        }
    }

    /// Waits until all is written, `most` at longest.
    pub fn flush(most: Duration) {
        if let Some(queue) = QUEUE.get() {
            queue.flush(Instant::now() + most);
        }
    }

    /// What is counted of stderr, for the whole process.
    #[must_use]
    pub fn metrics() -> &'static LogMetrics {
        &METRICS
    }
}

/// For a few lines that follow each other without a wait.
#[must_use]
pub fn batch_lines() -> LineBatch {
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
        // Where stderr is gone nobody is left to be told.
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
            // Borrowed: something panicked while it said something.
            _ => say(bytes),
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Nothing is kept past a breath.
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
    fn what_is_held_is_bounded() {
        let _batch = batch_lines();
        Stderr.write_all(&[b'\n'; MOST]).unwrap();
        assert_eq!(held().map(|h| h.len()), Some(MOST));
        Stderr.write_all(b"\n").unwrap();
        assert_eq!(held().map(|h| h.len()), Some(0));
    }
}
