//! Appends records to this process's segment: opens it, seals it when it is full or old, and drops the oldest.
//!
//! After a failed write the segment ends where its last whole record does, or is not appended to any more: behind a torn
//! record nobody would find the next one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::folder::{self, Bounds};
use super::segment::{self, MAGIC};

/// A segment is sealed when it is so old, so that records can be dropped by age.
const LONGEST_OPEN: Duration = Duration::from_secs(60 * 60);
/// A folder has about so many segments when it is full: dropping one then loses a small part.
const SEGMENTS: u64 = 16;
/// Bytes of a segment at most. Readers hold a whole one.
const MOST_SEGMENT: u64 = 16 * 1024 * 1024;

/// Makes the file of a new segment.
pub(super) type Opener = Box<dyn Fn(&Path) -> io::Result<File> + Send>;

/// Where records are appended.
pub(super) struct Store {
    /// The folder of all replicas.
    events: PathBuf,
    /// Our own.
    folder: PathBuf,
    bounds: Bounds,
    opener: Opener,
    open: Option<OpenSegment>,
}

/// The segment that is appended to. The lock of its file says that it is ours.
struct OpenSegment {
    unique: String,
    path: PathBuf,
    file: File,
    /// The end of its last whole record.
    length: u64,
    /// The times of its first and last request.
    span: Option<(u64, u64)>,
    since: Instant,
}

/// Records that are written together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    pub(super) count: u64,
    span: Option<(u64, u64)>,
}

impl Batch {
    /// False if the record is too long.
    #[must_use]
    pub(super) fn add(&mut self, time: u64, summary: &[u8], rest: &[u8]) -> bool {
        let fits = segment::append(&mut self.bytes, summary, rest);
        if fits {
            self.count += 1;
            self.span = join(self.span, Some((time, time)));
        }
        fits
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl Store {
    /// Records go to the folder of this replica; at most so many bytes of all replicas are kept, for so long.
    pub(super) fn new(events: &Path, replica: &str, max_bytes: u64, max_age: Duration) -> Self {
        Self {
            folder: events.join(replica),
            events: events.to_owned(),
            bounds: Bounds {
                max_bytes,
                segment_bytes: (max_bytes / SEGMENTS).min(MOST_SEGMENT),
                max_age,
            },
            opener: Box::new(create),
            open: None,
        }
    }

    #[cfg(test)]
    pub(super) fn with_opener(mut self, opener: Opener) -> Self {
        self.opener = opener;
        self
    }

    /// Recovers what a killed process left, and drops what is too old or too much.
    pub(super) fn recover(&self) {
        folder::recover(&self.folder);
        self.drop_oldest();
    }

    /// Writes the records of a batch.
    ///
    /// # Errors
    /// They are lost; what was written before is not.
    pub(super) fn write(&mut self, batch: &Batch) -> io::Result<()> {
        let open = match &mut self.open {
            Some(open) => open,
            None => self
                .open
                .insert(OpenSegment::begin(&self.folder, &self.opener)?),
        };
        if let Err(error) = open.append(batch) {
            // The next batch begins a new segment; the start after that finds the good end of this one.
            if open.cut_torn().is_err() {
                self.open = None;
            }
            return Err(error);
        }
        if open.length >= self.bounds.segment_bytes {
            self.seal();
        }
        Ok(())
    }

    /// Seals a segment that is open for long, and drops what is too old or too much.
    pub(super) fn tick(&mut self) {
        // A segment is dropped as a whole, so one that is open for long keeps events that are too old.
        let longest = LONGEST_OPEN.min(self.bounds.max_age / 4);
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.since.elapsed() >= longest)
        {
            self.seal();
        } else {
            self.drop_oldest();
        }
    }

    /// Gives the segment its name; the next record begins another one.
    pub(super) fn seal(&mut self) {
        if let Some(open) = self.open.take() {
            let path = open.path.clone();
            if let Err(error) = open.seal(&self.folder) {
                // Its records are read all the same, and the next start tries again.
                let path = path.display();
                tracing::error!(target: "events", "{path}: cannot end the segment: {error}");
            }
        }
        self.drop_oldest();
    }

    fn drop_oldest(&self) {
        if let Err(error) = folder::drop_oldest(&self.events, &self.bounds, SystemTime::now()) {
            let path = self.events.display();
            tracing::error!(target: "events", "{path}: cannot drop old events: {error}");
        }
    }
}

impl OpenSegment {
    fn begin(folder: &Path, opener: &Opener) -> io::Result<Self> {
        folder::create(folder)?;
        let unique = uuid::Uuid::now_v7().simple().to_string();
        // Under another name first: a process that starts now must not take it for one that was left.
        let hidden = folder.join(format!(".{unique}"));
        let path = folder::open_path(folder, &unique);
        let begun = (opener)(&hidden).and_then(|mut file| {
            // While the file has no name yet: once it has one, another process may want to recover it.
            folder::lock(&file)?;
            file.write_all(MAGIC)?;
            fs::rename(&hidden, &path)?;
            Ok(file)
        });
        match begun {
            Ok(file) => Ok(Self {
                unique,
                path,
                file,
                length: MAGIC.len() as u64,
                span: None,
                since: Instant::now(),
            }),
            Err(error) => {
                // The error that matters is the first one.
                let _ = fs::remove_file(&hidden);
                Err(error)
            }
        }
    }

    fn append(&mut self, batch: &Batch) -> io::Result<()> {
        self.file.write_all(&batch.bytes)?;
        self.length += batch.bytes.len() as u64;
        self.span = join(self.span, batch.span);
        Ok(())
    }

    /// Removes what a failed write left.
    fn cut_torn(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length)).map(drop)
    }

    fn seal(self, folder: &Path) -> io::Result<()> {
        // Without a record there is nothing to keep, and no time for the name.
        let Some(span) = self.span else {
            return fs::remove_file(&self.path);
        };
        // A segment without records behind its end is worth the wait: only this thread has it.
        self.file.sync_data()?;
        fs::rename(&self.path, folder::sealed_path(folder, span, &self.unique))
    }
}

fn join(a: Option<(u64, u64)>, b: Option<(u64, u64)>) -> Option<(u64, u64)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // A file that is there already is another's, whatever it is.
    options.read(true).write(true).create_new(true).mode(0o600);
    options.open(path)
}
