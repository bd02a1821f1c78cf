//! Lines on their way to a file, a pipe or a terminal. Who has a line never waits for the target: one thread writes,
//! and what does not fit into the bounded queue is dropped, counted and told once the target takes lines again.

use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::FileTypeExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Counter;

/// Bytes of lines that may wait to be written.
const MOST_WAITING: usize = 4 * 1024 * 1024;
/// A pipe takes so many bytes whole or not at all (`PIPE_BUF`), so that no line is torn.
const PIPE_CHUNK: usize = 4096;
const CHUNK: usize = 256 * 1024;
/// Between two tries of what could not be written.
const RETRY: Duration = Duration::from_millis(250);
/// Between two tries where the target is not ready; only an inherited descriptor that does not block tells so.
const NOT_READY: Duration = Duration::from_millis(5);
/// A target that stalled is waited for again once it has kept up for so long.
const PROBATION: Duration = Duration::from_secs(1);
/// With no more than this waiting, a target that stalled is taken to be over it.
const CAUGHT_UP: usize = MOST_WAITING / 16;

/// What is counted of one target.
#[derive(Debug, Default)]
pub struct LogMetrics {
    /// Lines that found no place, or that were left when the process ended.
    pub dropped: Counter,
    /// Tries to write that failed; what they were to write is tried again.
    pub write_failures: Counter,
}

/// How a target is written to.
#[derive(Debug)]
pub(super) struct Target {
    /// As messages call it.
    pub name: &'static str,
    pub file: File,
    /// How long lines may gather before they are written.
    pub gather: Duration,
}

/// Opens a target's file anew.
pub(super) type Reopen = Box<dyn Fn() -> io::Result<File> + Send>;

/// The queue of one target; its thread ends once this is closed.
#[derive(Debug, Clone)]
pub(super) struct LineQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: &'static str,
    metrics: Arc<LogMetrics>,
    state: Mutex<State>,
    /// There is something to do for the writer.
    wake: Condvar,
    /// The writer got further, or ended.
    progress: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whole lines that the writer has not taken yet.
    lines: Vec<u8>,
    /// Bytes since the start: that came in, and that were written or given up.
    queued: u64,
    done: u64,
    /// Lines dropped and not told yet.
    lost: u64,
    pace: Pace,
    reopen: bool,
    /// Takes no more lines; tries to write until then.
    closed: Option<Instant>,
    ended: bool,
}

/// Whether it is worth to wait for the target.
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
    /// # Errors
    /// There is no thread for it.
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
            chunk: chunk(&target.file),
            gather: target.gather,
            file: target.file,
            reopen,
            batch: Vec::new(),
            at: 0,
            failing: false,
        };
        thread::Builder::new()
            .name(target.name.replace(' ', "-"))
            .spawn(move || {
                // Its end must be known, or whoever closes would wait for nothing.
                let _ended = Ended(Arc::clone(&writer.shared));
                while catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {
                    // What it has left is whole lines, and how much of them is written.
                    thread::sleep(RETRY);
                }
            })?;
        Ok(Self(shared))
    }

    /// Takes whole lines, each with its line feed; all of them or none.
    pub(super) fn push(&self, lines: &[u8]) {
        let mut state = self.0.lock();
        let waiting = state.queued.saturating_sub(state.done);
        let fits = usize::try_from(waiting).is_ok_and(|w| w + lines.len() <= MOST_WAITING);
        if state.closed.is_some() || !fits {
            let count = count_lines(lines);
            state.lost += count;
            drop(state);
            self.0.metrics.dropped.add(count);
            return;
        }
        let was_empty = state.lines.is_empty();
        state.lines.extend_from_slice(lines);
        state.queued += lines.len() as u64;
        drop(state);
        if was_empty {
            self.0.wake.notify_one();
        }
    }

    /// Waits until all that was pushed so far is written, `most` at longest. Does not wait for a target that was
    /// found stalled, until it has kept up for a while.
    pub(super) fn wait_written(&self, most: Duration) {
        let mut state = self.0.lock();
        match state.pace {
            Pace::Stalled => return,
            Pace::KeepsUpSince(since) if since.elapsed() < PROBATION => return,
            _ => state.pace = Pace::KeepsUp,
        }
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

    /// Writes what waits, then opens the file anew, as after it was moved away.
    pub(super) fn reopen(&self) {
        self.0.lock().reopen = true;
        self.0.wake.notify_one();
    }

    /// Waits until all is written, until `deadline` at longest.
    pub(super) fn flush(&self, deadline: Instant) {
        let state = self.0.lock();
        let wanted = state.queued;
        self.0.until(state, deadline, |state| state.done >= wanted);
    }

    /// Takes no more lines, and waits until all is written, until `deadline` at longest; what is left then is dropped.
    pub(super) fn close(&self, deadline: Instant) {
        let mut state = self.0.lock();
        state.closed = Some(deadline);
        self.0.wake.notify_one();
        self.0.until(state, deadline, |_| false);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between statements, so a poisoned lock holds nothing half done.
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
    file: File,
    reopen: Option<Reopen>,
    chunk: usize,
    gather: Duration,
    /// Taken from the queue, and how much of it is written.
    batch: Vec<u8>,
    at: usize,
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
            self.open_anew();
            let state = self.shared.lock();
            if closed && self.batch.is_empty() && state.lines.is_empty() {
                return;
            }
        }
    }

    /// Waits for lines and takes them, unless some are left from before. Whether the queue is closed.
    fn take(&mut self) -> bool {
        let mut state = self.shared.lock();
        let idle = |s: &State| s.lines.is_empty() && !s.reopen && s.closed.is_none() && s.lost == 0;
        while self.batch.is_empty() && idle(&state) {
            let waited = self.shared.wake.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if !self.gather.is_zero() && state.closed.is_none() {
            drop(state);
            thread::sleep(self.gather);
            state = self.shared.lock();
        }
        if self.batch.is_empty() {
            std::mem::swap(&mut self.batch, &mut state.lines);
            self.at = 0;
        }
        state.closed.is_some()
    }

    /// In pieces of whole lines.
    fn write_batch(&mut self) -> io::Result<()> {
        while self.at < self.batch.len() {
            let end = piece_end(&self.batch, self.at, self.chunk);
            while self.at < end {
                match self.file.write(&self.batch[self.at..end]) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(count) => {
                        self.at += count;
                        self.shared.lock().done += count as u64;
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        let closed = self.shared.lock().closed;
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

    /// Takes back the beginning of a line whose end could not be written, where nothing follows it.
    fn untear(&mut self) {
        let begin = line_begin(&self.batch, self.at);
        let torn = (self.at - begin) as u64;
        if torn == 0 {
            return;
        }
        let whole_before = || {
            let metadata = self.file.metadata().ok().filter(|m| m.is_file())?;
            let end = (&self.file).stream_position().ok()?;
            (metadata.len() == end).then(|| end.saturating_sub(torn))
        };
        // Where it cannot be taken back, the rest of the line comes with the next try.
        if let Some(length) = whole_before()
            && self.file.set_len(length).is_ok()
        {
            self.begin_line_again(begin);
            // A file that was not opened for appending is written to where it was left.
            if let Err(error) = self.file.seek(SeekFrom::Start(length)) {
                tracing::error!("{}: {error}", self.shared.name);
            }
        }
    }

    fn begin_line_again(&mut self, begin: usize) {
        let again = (self.at - begin) as u64;
        self.at = begin;
        let mut state = self.shared.lock();
        state.done = state.done.saturating_sub(again);
    }

    /// Until the next try, unless there is reason for an earlier one.
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

    /// What waited is written.
    fn recovered(&mut self) {
        let mut state = self.shared.lock();
        if state.lines.len() > CAUGHT_UP {
            return;
        }
        if matches!(state.pace, Pace::Stalled) {
            state.pace = Pace::KeepsUpSince(Instant::now());
        }
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
                self.chunk = chunk(&file);
                self.file = file;
                // The other file has what was there of it.
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

fn chunk(file: &File) -> usize {
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => CHUNK,
        Ok(metadata) if metadata.file_type().is_char_device() => CHUNK,
        _ => PIPE_CHUNK,
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
