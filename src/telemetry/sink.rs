//! The access log and its target. It formats lines and hands them to the target's queue; it never waits for the target.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::OFlags;
use tokio::sync::broadcast;

use super::otlp::{LogRecord, Otlp, TraceLink};
use super::output::Output;
use super::queue::{LineQueue, LogMetrics, Reopen, Target};
use super::syslog::SyslogWriter;
use super::{AccessFormat, AccessRecord, LogSink};
use crate::time::nanoseconds;

/// How long the writer lets lines gather, so that a busy front door does one write for many lines.
const GATHER: Duration = Duration::from_millis(5);
/// How long a log that is dropped without `close` waits for its target.
const LAST: Duration = Duration::from_secs(1);

/// Lines that a slow onlooker may be behind.
const FEED: usize = 1024;

fn feed() -> broadcast::Sender<Arc<[u8]>> {
    broadcast::channel(FEED).0
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// As the configuration says.
    Written(AccessFormat),
    /// A readable line, for a terminal.
    Human,
}

/// The access log of one front door.
#[derive(Debug)]
pub struct AccessLog {
    queue: Option<LineQueue>,
    /// Where lines go if not into the queue.
    collector: Option<Collector>,
    format: Format,
    feed: broadcast::Sender<Arc<[u8]>>,
}

/// A collector, and which log its lines are of.
#[derive(Debug)]
struct Collector {
    otlp: Arc<Otlp>,
    log: &'static str,
}

/// The name of a log in messages, and the mode of a new file.
pub(super) type Kind = (&'static str, u32);

impl AccessLog {
    /// Opens the sink and starts its writer.
    ///
    /// # Errors
    /// The file cannot be opened for appending, or the writer cannot be started.
    pub fn open(
        sink: &LogSink,
        format: AccessFormat,
        metrics: Arc<LogMetrics>,
    ) -> io::Result<Self> {
        Self::open_as(sink, format, metrics, ("access log", 0o644))
    }

    pub(super) fn open_as(
        sink: &LogSink,
        written: AccessFormat,
        metrics: Arc<LogMetrics>,
        (name, mode): Kind,
    ) -> io::Result<Self> {
        let mut format = Format::Written(written);
        let (output, reopen): (_, Option<Reopen>) = match sink {
            // A collector is given later.
            LogSink::Off | LogSink::Otlp => {
                return Ok(Self {
                    queue: None,
                    collector: None,
                    format,
                    feed: feed(),
                });
            }
            LogSink::Stdout => {
                // Whoever wrote another format into the configuration wants to see it.
                if io::stdout().is_terminal() && written == AccessFormat::Json {
                    format = Format::Human;
                }
                // A duplicate, because the queue closes its file at the end. If descriptor 1 itself were closed, the
                // next socket or file would get its number and receive everything that is printed.
                let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
                (Output::File(file), None)
            }
            LogSink::File(path) => {
                let file = open_file(path, mode)?;
                let path = path.clone();
                let reopen = Box::new(move || open_file(&path, mode));
                (Output::File(file), Some(reopen))
            }
            LogSink::Syslog(target) => {
                // A MSGID has no spaces (RFC 5424, 6.2.7).
                let kind = name.strip_suffix(" log").unwrap_or(name);
                let writer = SyslogWriter::new(target, kind)?;
                (Output::Syslog(Box::new(writer)), None)
            }
        };
        let target = Target {
            name,
            output,
            gather: GATHER,
        };
        Ok(Self {
            queue: Some(LineQueue::start(target, reopen, metrics)?),
            collector: None,
            format,
            feed: feed(),
        })
    }

    /// Sends the lines to this collector, for the sink [`LogSink::Otlp`].
    #[must_use]
    pub fn to_collector(self, otlp: &Arc<Otlp>) -> Self {
        self.collecting(otlp, "access")
    }

    pub(super) fn collecting(mut self, otlp: &Arc<Otlp>, log: &'static str) -> Self {
        let otlp = Arc::clone(otlp);
        self.collector = Some(Collector { otlp, log });
        self
    }

    /// Whether lines are written. If not, callers need not build them.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.queue.is_some() || self.collector.is_some() || self.feed.receiver_count() > 0
    }

    /// The same lines as JSON, for those who look at them as they come. Whoever reads too slowly misses some.
    #[must_use]
    pub fn feed(&self) -> &broadcast::Sender<Arc<[u8]>> {
        &self.feed
    }

    /// Queues a line; drops and counts it if the queue is full.
    pub fn write(&self, record: &AccessRecord<'_>) {
        if self.queue.is_some() {
            self.append(&record.line(self.format));
        }
        if self.collector.is_some() {
            let is_warning = record.is_warning();
            self.collect(record.line(self.format), record.trace, is_warning);
        }
        if self.feed.receiver_count() > 0 {
            // An error means that the last of them has just left.
            let _ = self
                .feed
                .send(record.line(Format::Written(AccessFormat::Json)).into());
        }
    }

    /// Appends a line that ends with its line feed.
    pub(super) fn append(&self, line: &[u8]) {
        if let Some(queue) = &self.queue {
            queue.push(line);
        }
    }

    /// Sends a line that ends with its line feed to the collector, if there is one.
    pub(super) fn collect(&self, mut line: Vec<u8>, trace: Option<TraceLink>, is_warning: bool) {
        let Some(Collector { otlp, log }) = &self.collector else {
            return;
        };
        // Each record has a length, so it needs no line feed.
        line.truncate(line.trim_ascii_end().len());
        otlp.send_line(LogRecord {
            log,
            time: nanoseconds(SystemTime::now()),
            line,
            trace,
            is_warning,
        });
    }

    /// Writes the waiting lines, then opens the file again by its path, after log rotation renamed the old one.
    pub fn reopen(&self) {
        if let Some(queue) = &self.queue {
            queue.reopen();
        }
    }

    /// Accepts no more lines and writes those that wait, until `deadline` at longest.
    pub fn close(&self, deadline: Instant) {
        if let Some(queue) = &self.queue {
            queue.close(deadline);
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.close(Instant::now() + LAST);
    }
}

/// Opens a log file. A FIFO without a reader is an error: open(2) would otherwise wait for one, at the start and at
/// each reopening.
fn open_file(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(mode);
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path).map_err(|error| {
        let reader = error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error());
        match reader {
            true => io::Error::new(error.kind(), "it is a FIFO that nobody reads"),
            false => error,
        }
    })?;
    // Only the opening must not block. The writer thread may wait for a slow reader of the FIFO as long as it takes.
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file)
}
