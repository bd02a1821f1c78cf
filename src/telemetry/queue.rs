//! The queue of lines for one log target: a file, a pipe, a terminal or a syslog receiver.
//!
//! A thread that adds a line never waits for the target, since a stalled reader of stderr would otherwise stop every
//! request. One writer thread for each target does all writes. The queue is bounded: a line that does not fit is
//! dropped and counted, and the writer reports the number once the target accepts lines again.
//!
//! Invariant: queue and batch hold whole lines, each with its line feed.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were found in the same list"
)]

use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Counter;
use super::output::Output;

/// The most bytes that may wait, including the writer's current batch.
const MOST_WAITING: usize = 4 * 1024 * 1024;
/// The pause between two attempts after a failed write, such as on a full disk.
const RETRY: Duration = Duration::from_millis(250);
/// The pause while the target is not ready. Only an inherited descriptor can be non-blocking: our own files are not.
const NOT_READY: Duration = Duration::from_millis(5);
/// How long a target must keep up after a stall before callers wait for it again.
const PROBATION: Duration = Duration::from_secs(1);
/// A stalled target counts as recovered if no more bytes than this wait.
const CAUGHT_UP: usize = MOST_WAITING / 16;

/// The counters of one target.
#[derive(Debug, Default)]
pub struct LogMetrics {
    /// Lines that did not fit into the queue, or that were still in it when the process ended.
    pub dropped: Counter,
    /// Failed writes. Their lines are written again later.
    pub write_failures: Counter,
}

/// How a target is written to.
#[derive(Debug)]
pub(super) struct Target {
    /// The name in messages.
    pub name: &'static str,
    pub output: Output,
    /// How long lines may gather before they are written.
    pub gather: Duration,
}

/// Opens a target's file again by its path.
pub(super) type Reopen = Box<dyn Fn() -> io::Result<File> + Send>;

/// The queue of one target. The writer thread ends only after [`LineQueue::close`].
#[derive(Debug, Clone)]
pub(super) struct LineQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: &'static str,
    metrics: Arc<LogMetrics>,
    state: Mutex<State>,
    /// Wakes the writer: there are lines, or it should reopen the file or end.
    wake: Condvar,
    /// Wakes callers that wait: the writer wrote something, or it ended.
    progress: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whole lines that the writer has not taken yet.
    lines: Vec<u8>,
    /// Bytes since the start that were queued; bytes since the start that were written. Their difference waits.
    queued: u64,
    done: u64,
    /// Lines that were dropped and not reported yet.
    lost: u64,
    pace: Pace,
    /// Set by [`LineQueue::reopen`]; the writer clears it.
    reopen: bool,
    /// If set, the queue accepts no more lines, and the writer gives up at this time.
    closed: Option<Instant>,
    /// The writer thread has ended, so nothing will be written any more.
    ended: bool,
}

/// Whether callers of [`LineQueue::wait_written`] wait for the target. After one of them waited in vain, the others do
/// not: otherwise each of them would lose the full time while the target is stalled.
#[derive(Debug, Clone, Copy, Default)]
enum Pace {
    #[default]
    KeepsUp,
    Stalled,
    KeepsUpSince(Instant),
}

impl LineQueue {
    /// Starts the target's writer.
    ///
    /// The thread cannot be started.
    pub(super) fn start(
        target: Target,
        reopen: Option<Reopen>,
        metrics: Arc<LogMetrics>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            name: target.name,
            metrics,
            state: Mutex::default(),
            wake: Condvar::new(),
            progress: Condvar::new(),
        });
        let mut writer = Writer {
            shared: Arc::clone(&shared),
            chunk: target.output.chunk(),
            gather: target.gather,
            output: target.output,
            reopen,
            batch: Vec::new(),
            at: 0,
            failing: false,
        };
        thread::Builder::new()
            .name(target.name.replace(' ', "-"))
            .spawn(move || {
                // Dropped at the end of the thread, also after a panic: otherwise `close` would wait for a thread that
                // is gone.
                let _ended = Ended(Arc::clone(&writer.shared));
                while catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {
                    // A panic leaves `batch` and `at` consistent, so the writer can go on from there. The pause limits
                    // a loop of panics.
                    thread::sleep(RETRY);
                }
            })?;
        Ok(Self(shared))
    }

    /// Adds whole lines, each with its line feed: all of them or none. Never waits for the target.
    pub(super) fn push(&self, lines: &[u8]) {
        let mut state = self.0.lock();
        // Counts the batch of the writer too. `lines` alone would allow twice the memory.
        let waiting = state.queued.saturating_sub(state.done);
        let fits = usize::try_from(waiting).is_ok_and(|w| w + lines.len() <= MOST_WAITING);
        if state.closed.is_some() || !fits {
            let count = count_lines(lines);
            state.lost += count;
            drop(state);
            self.0.metrics.dropped.add(count);
            return;
        }
        // A writer that waits has taken all lines. If some are left it is awake already, and needs no system call.
        let was_empty = state.lines.is_empty();
        state.lines.extend_from_slice(lines);
        state.queued += lines.len() as u64;
        drop(state);
        if was_empty {
            self.0.wake.notify_one();
        }
    }

    /// Waits until all lines pushed so far are written, for `most` at longest. Does not wait for a stalled target until
    /// it has kept up for [`PROBATION`].
    pub(super) fn wait_written(&self, most: Duration) {
        let mut state = self.0.lock();
        match state.pace {
            Pace::Stalled => return,
            Pace::KeepsUpSince(since) if since.elapsed() < PROBATION => return,
            // The target takes lines as they come.
            _ => state.pace = Pace::KeepsUp,
        }
        // Only the lines so far: other threads add lines all the time, so waiting for an empty queue might never end.
        let (until, wanted) = (Instant::now() + most, state.queued);
        while state.done < wanted && !state.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.pace = Pace::Stalled;
                return;
            }
            state = self.0.wait(&self.0.progress, state, left);
        }
    }

    /// Writes the waiting lines, then opens the file again by its path: log rotation has renamed the old one.
    pub(super) fn reopen(&self) {
        self.0.lock().reopen = true;
        self.0.wake.notify_one();
    }

    /// Waits until all lines are written, until `deadline` at longest.
    pub(super) fn flush(&self, deadline: Instant) {
        let state = self.0.lock();
        let wanted = state.queued;
        self.0.until(state, deadline, |state| state.done >= wanted);
    }

    /// Accepts no more lines and waits until all are written, until `deadline` at longest. The rest is dropped then.
    pub(super) fn close(&self, deadline: Instant) {
        let mut state = self.0.lock();
        state.closed = Some(deadline);
        self.0.wake.notify_one();
        self.0.until(state, deadline, |_| false);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each statement leaves the state consistent, so a poisoned lock protects nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(
        &self,
        what: &Condvar,
        state: MutexGuard<'s, State>,
        most: Duration,
    ) -> MutexGuard<'s, State> {
        let waited = what.wait_timeout(state, most);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn until(
        &self,
        mut state: MutexGuard<'_, State>,
        deadline: Instant,
        met: impl Fn(&State) -> bool,
    ) {
        while !state.ended && !met(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.wait(&self.progress, state, left);
        }
    }
}

struct Writer {
    shared: Arc<Shared>,
    output: Output,
    reopen: Option<Reopen>,
    chunk: usize,
    gather: Duration,
    /// The lines taken from the queue, and the number of their bytes that are written.
    batch: Vec<u8>,
    at: usize,
    /// The last write failed, and that was reported. One message for each outage: on stderr each would add a line.
    failing: bool,
}

impl Writer {
    fn run(&mut self) {
        loop {
            let closed = self.take();
            let written = self.write_batch();
            if let Err(error) = written {
                self.failed(&error);
                if closed {
                    self.give_up();
                    return;
                }
                self.pause();
            } else {
                self.recovered();
            }
            // After a failure too: a full disk ends for us if the log moves to another one.
            self.open_anew();
            let state = self.shared.lock();
            // `closed` is from before the write. If `close` came during it, one more round takes the last lines.
            if closed && self.batch.is_empty() && state.lines.is_empty() {
                return;
            }
        }
    }

    /// Waits for lines and takes them, unless a batch is left from before. Returns whether the queue is closed.
    fn take(&mut self) -> bool {
        let mut state = self.shared.lock();
        let idle = |s: &State| s.lines.is_empty() && !s.reopen && s.closed.is_none() && s.lost == 0;
        while self.batch.is_empty() && idle(&state) {
            let waited = self.shared.wake.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        // Many lines then cost one write. The lock is free meanwhile, since callers must be able to add lines.
        if !self.gather.is_zero() && state.closed.is_none() {
            drop(state);
            thread::sleep(self.gather);
            state = self.shared.lock();
        }
        if self.batch.is_empty() {
            // The two buffers swap roles, so a busy log allocates nothing.
            std::mem::swap(&mut self.batch, &mut state.lines);
            self.at = 0;
        }
        state.closed.is_some()
    }

    /// Writes the batch in pieces of whole lines. After an error, `at` says how far it got.
    fn write_batch(&mut self) -> io::Result<()> {
        while self.at < self.batch.len() {
            let end = piece_end(&self.batch, self.at, self.chunk);
            while self.at < end {
                match self.output.write(&self.batch[self.at..end]) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(count) => {
                        self.at += count;
                        // Counted after each write, not after the batch: it frees place in the queue at once.
                        self.shared.lock().done += count as u64;
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        let closed = self.shared.lock().closed;
                        // Only here: a blocking target holds this thread in write(2), and `close` stops waiting by
                        // itself.
                        if closed.is_some_and(|deadline| deadline <= Instant::now()) {
                            return Err(error);
                        }
                        thread::sleep(NOT_READY);
                    }
                    Err(error) => return Err(error),
                }
            }
            self.shared.progress.notify_all();
        }
        self.batch.clear();
        self.at = 0;
        Ok(())
    }

    fn failed(&mut self, error: &io::Error) {
        self.untear();
        self.shared.metrics.write_failures.count();
        self.shared.lock().pace = Pace::Stalled;
        if !std::mem::replace(&mut self.failing, true) {
            let name = self.shared.name;
            tracing::error!("{name}: {error}; lines wait until it can be written again");
        }
    }

    /// Removes the beginning of a line whose end could not be written, as on a full disk, so that the file has whole
    /// lines.
    fn untear(&mut self) {
        let begin = line_begin(&self.batch, self.at);
        let torn = (self.at - begin) as u64;
        if torn == 0 {
            return;
        }
        let whole_before = || {
            let (mut file, length) = self.output.regular_file()?;
            let end = file.stream_position().ok()?;
            // If the file is longer, another process appended to it, and truncating would destroy its line.
            let before = (length == end).then(|| end.saturating_sub(torn))?;
            file.set_len(before).ok()?;
            // Without O_APPEND, as with a stdout that a shell redirected, the next write would leave a gap.
            if let Err(error) = file.seek(SeekFrom::Start(before)) {
                tracing::error!("{}: {error}", self.shared.name);
            }
            Some(())
        };
        // If it cannot be removed, the next write continues the line where it was cut.
        if whole_before().is_some() {
            self.begin_line_again(begin);
        }
    }

    /// Sets the writer back to the beginning of a line. `done` follows, since these bytes wait again.
    fn begin_line_again(&mut self, begin: usize) {
        let again = (self.at - begin) as u64;
        self.at = begin;
        let mut state = self.shared.lock();
        state.done = state.done.saturating_sub(again);
    }

    /// Waits for the next attempt. Closing or reopening ends the wait, because both may need an attempt now.
    fn pause(&self) {
        let deadline = Instant::now() + RETRY;
        let mut state = self.shared.lock();
        while state.closed.is_none() && !state.reopen {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.shared.wait(&self.shared.wake, state, left);
        }
    }

    /// Called after each written batch: reports the end of an outage, and the number of dropped lines.
    fn recovered(&mut self) {
        let mut state = self.shared.lock();
        // A batch was written but the queue is still full, so the target does not keep up yet. Reporting now would
        // repeat the message for every batch.
        if state.lines.len() > CAUGHT_UP {
            return;
        }
        if matches!(state.pace, Pace::Stalled) {
            state.pace = Pace::KeepsUpSince(Instant::now());
        }
        // The lock ends before the messages: if this target is stderr, they come back to this queue and would deadlock.
        let lost = std::mem::take(&mut state.lost);
        drop(state);
        let name = self.shared.name;
        if std::mem::take(&mut self.failing) {
            tracing::info!("{name}: it can be written again");
        }
        if lost > 0 {
            tracing::warn!("{name}: {lost} lines were dropped, it did not keep up");
        }
    }

    fn open_anew(&mut self) {
        if !std::mem::take(&mut self.shared.lock().reopen) {
            return;
        }
        let Some(reopen) = &self.reopen else { return };
        match reopen() {
            Ok(file) => {
                self.output = Output::File(file);
                self.chunk = self.output.chunk();
                // The old file ends with a part of this line. The new file gets the whole line.
                self.begin_line_again(line_begin(&self.batch, self.at));
            }
            Err(error) => {
                let name = self.shared.name;
                tracing::error!("{name}: it cannot be opened anew, the old file goes on: {error}");
            }
        }
    }

    fn give_up(&mut self) {
        let mut state = self.shared.lock();
        let left = count_lines(&self.batch[self.at..]) + count_lines(&state.lines);
        state.lines.clear();
        drop(state);
        self.shared.metrics.dropped.add(left);
    }
}

struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed.get_or_insert_with(Instant::now);
        state.ended = true;
        drop(state);
        self.0.progress.notify_all();
    }
}

/// As many whole lines as fit into a chunk, one at least.
fn piece_end(batch: &[u8], at: usize, chunk: usize) -> usize {
    let most = batch.len().min(at + chunk);
    if let Some(feed) = memchr::memrchr(b'\n', &batch[at..most]) {
        return at + feed + 1;
    }
    memchr::memchr(b'\n', &batch[most..]).map_or(batch.len(), |feed| most + feed + 1)
}

fn line_begin(batch: &[u8], at: usize) -> usize {
    memchr::memrchr(b'\n', &batch[..at]).map_or(0, |feed| feed + 1)
}

fn count_lines(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}
