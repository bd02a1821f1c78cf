//! Where access lines go. A worker never waits for it: it appends to a bounded buffer that one
//! thread writes out; what does not fit is dropped, counted and said.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{AccessRecord, Metrics};
use crate::config::LogSink;

/// Bytes of lines that may wait to be written.
const BUFFER: usize = 4 * 1024 * 1024;
/// How long the writer lets lines gather before it writes them.
const GATHER: Duration = Duration::from_millis(5);

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Human,
}

/// The access log of one front door.
#[derive(Debug)]
pub struct AccessLog {
    shared: Option<Arc<Shared>>,
    format: Format,
    metrics: Arc<Metrics>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    dropped: u64,
    closed: bool,
    reopen: bool,
}

impl AccessLog {
    /// Opens the sink and starts its writer.
    ///
    /// # Errors
    /// The file cannot be opened for appending, or the writer cannot be started.
    pub fn open(sink: &LogSink, metrics: Arc<Metrics>) -> io::Result<Self> {
        Self::open_with_mode(sink, metrics, 0o644)
    }

    /// Like [`AccessLog::open`]; a new file gets this mode.
    pub(super) fn open_with_mode(
        sink: &LogSink,
        metrics: Arc<Metrics>,
        mode: u32,
    ) -> io::Result<Self> {
        let (output, format): (Box<dyn Write + Send>, Format) = match sink {
            LogSink::Off => return Ok(Self::off(metrics)),
            LogSink::Stdout if io::stdout().is_terminal() => {
                (Box::new(io::stdout()), Format::Human)
            }
            LogSink::Stdout => (Box::new(io::stdout()), Format::Json),
            LogSink::File(path) => (Box::new(open_file(path, mode)?), Format::Json),
        };
        let file = match sink {
            LogSink::File(path) => Some(path.clone()),
            _ => None,
        };
        let shared = Arc::new(Shared::default());
        let writer = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || write_out(&shared, output, file.as_deref(), mode)
            })?;
        Ok(Self {
            shared: Some(shared),
            format,
            metrics,
            writer: Mutex::new(Some(writer)),
        })
    }

    fn off(metrics: Arc<Metrics>) -> Self {
        Self {
            shared: None,
            format: Format::Json,
            metrics,
            writer: Mutex::new(None),
        }
    }

    /// Whether anybody reads the lines.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.shared.is_some()
    }

    pub fn write(&self, record: &AccessRecord<'_>) {
        if self.is_on() {
            self.append(&record.line(self.format));
        }
    }

    /// Appends a line that ends with its line feed.
    pub(super) fn append(&self, line: &[u8]) {
        let Some(shared) = &self.shared else { return };
        let mut state = shared.lock();
        if state.lines.len() + line.len() > BUFFER {
            state.dropped += 1;
            drop(state);
            self.metrics.access_lines_dropped.count();
            return;
        }
        let was_empty = state.lines.is_empty();
        state.lines.extend_from_slice(line);
        drop(state);
        if was_empty {
            shared.wake.notify_one();
        }
    }

    /// Writes what waits, then opens the file anew, as after it was moved away.
    pub fn reopen(&self) {
        let Some(shared) = &self.shared else { return };
        shared.lock().reopen = true;
        shared.wake.notify_one();
    }

    /// Writes what waits and stops the writer.
    pub fn close(&self) {
        let Some(shared) = &self.shared else { return };
        shared.lock().closed = true;
        shared.wake.notify_one();
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer {
            // A writer that panicked has nothing left to write.
            let _ = writer.join();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between statements, so a poisoned lock holds nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open_file(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(mode);
    options.open(path)
}

fn write_out(shared: &Shared, mut output: Box<dyn Write + Send>, file: Option<&Path>, mode: u32) {
    let mut failed = false;
    loop {
        let mut state = shared.lock();
        while state.lines.is_empty() && state.dropped == 0 && !state.closed && !state.reopen {
            state = shared
                .wake
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let closed = state.closed;
        if !closed {
            drop(state);
            std::thread::sleep(GATHER);
            state = shared.lock();
        }
        let lines = std::mem::take(&mut state.lines);
        let dropped = std::mem::take(&mut state.dropped);
        let reopen = std::mem::take(&mut state.reopen);
        drop(state);
        let written = output.write_all(&lines).and_then(|()| output.flush());
        if let Err(error) = &written
            && !failed
        {
            tracing::error!("access log: {error}; lines are lost until it can be written again");
        }
        failed = written.is_err();
        if let Some(path) = file.filter(|_| reopen) {
            match open_file(path, mode) {
                Ok(opened) => output = Box::new(opened),
                Err(error) => tracing::error!("cannot open {} anew: {error}", path.display()),
            }
        }
        if dropped > 0 {
            tracing::warn!("access log: {dropped} lines dropped, its sink does not keep up");
        }
        if closed && shared.lock().lines.is_empty() {
            return;
        }
    }
}
