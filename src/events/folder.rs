//! The segments of all front doors that write to one folder: their names, recovery after a kill, and which are dropped.
//!
//! Each process appends to a file of its own, `REPLICA/open-UNIQUE.events`, which it holds locked. A full one gets the
//! name `REPLICA/MIN-MAX-UNIQUE.events` with the times of its first and last request in milliseconds, so that whoever
//! looks for a time or a request id opens only the segments that can hold it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::FlockOperation;

use super::event::Summary;
use super::segment;
use crate::time::milliseconds;

/// The folder in `state_dir`.
pub const FOLDER: &str = "events";
/// How the names of segments end.
const ENDING: &str = ".events";
/// How the name of a segment begins that is still appended to.
pub(super) const OPEN: &str = "open-";
/// A process takes far less time to begin a segment.
const BEGINNING: Duration = Duration::from_secs(60 * 60);
/// Bytes of a file that are read: more than a writer puts into one.
const MOST_BYTES: u64 = 128 * 1024 * 1024;

/// A file with records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentFile {
    /// Where it is.
    pub(super) path: PathBuf,
    /// The times of its first and last request, in milliseconds; None while it is appended to.
    pub(super) span: Option<(u64, u64)>,
    /// Its size.
    pub(super) bytes: u64,
    /// When it was written to last.
    modified: SystemTime,
}

impl SegmentFile {
    /// Whether it can hold a request of this time or a later one.
    pub(super) fn reaches(&self, time: u64) -> bool {
        self.span.is_none_or(|(_, last)| last >= time)
    }

    /// Whether it can hold a request of this time.
    pub(super) fn covers(&self, time: u64) -> bool {
        self.span
            .is_none_or(|(first, last)| (first..=last).contains(&time))
    }
}

/// All segments in `events`, of all replicas, the oldest first and those that are appended to last. A folder that does
/// not exist has none.
///
/// # Errors
/// A folder cannot be listed.
pub(super) fn list(events: &Path) -> io::Result<Vec<SegmentFile>> {
    let mut found = Vec::new();
    for replica in entries(events)? {
        if replica.file_type()?.is_dir() {
            list_own(&replica.path(), &mut found)?;
        }
    }
    found.sort_by_key(|file| {
        (
            // A segment that is appended to has the newest requests.
            file.span.map_or(u64::MAX, |(_, last)| last),
            file.path.clone(),
        )
    });
    Ok(found)
}

fn list_own(folder: &Path, found: &mut Vec<SegmentFile>) -> io::Result<()> {
    for entry in entries(folder)? {
        let name = entry.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_suffix(ENDING)) else {
            continue;
        };
        let span = span(name);
        // Files of other programs stay untouched, whatever they are.
        if span.is_none() && !name.starts_with(OPEN) {
            continue;
        }
        // Its writer may just have given it another name, or a front door has dropped it.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        found.push(SegmentFile {
            path: entry.path(),
            span,
            bytes: metadata.len(),
            modified: metadata.modified().unwrap_or(UNIX_EPOCH),
        });
    }
    Ok(())
}

fn entries(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The times in the name of a segment that is not appended to any more.
fn span(name: &str) -> Option<(u64, u64)> {
    let mut parts = name.splitn(3, '-');
    let mut time = || {
        let digits = parts.next()?;
        let all = digits.bytes().all(|byte| byte.is_ascii_digit());
        all.then(|| digits.parse().ok())?
    };
    let span = (time()?, time()?);
    parts.next().is_some().then_some(span)
}

pub(super) fn open_path(folder: &Path, unique: &str) -> PathBuf {
    folder.join(format!("{OPEN}{unique}{ENDING}"))
}

pub(super) fn sealed_path(folder: &Path, (first, last): (u64, u64), unique: &str) -> PathBuf {
    // Thirteen digits reach to the year 2286, so names sort by time.
    folder.join(format!("{first:013}-{last:013}-{unique}{ENDING}"))
}

/// Makes a folder that only its owner may enter, and those above it.
pub(super) fn create(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// The bytes of a segment.
pub(super) fn read(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Gives the segments that a killed process left in its folder their names, without what is behind their last whole
/// record. Those that another process holds are its own. Says in the log what it cut and what it could not do.
pub(super) fn recover(folder: &Path) {
    let mut left = Vec::new();
    if let Err(error) = list_own(folder, &mut left) {
        tracing::error!(target: "events", "{}: cannot list the folder: {error}", folder.display());
    }
    if let Err(error) = remove_unnamed(folder) {
        tracing::error!(target: "events", "{}: cannot tidy the folder: {error}", folder.display());
    }
    for file in left.into_iter().filter(|file| file.span.is_none()) {
        if let Err(error) = recover_one(folder, &file.path) {
            let path = file.path.display();
            tracing::error!(target: "events", "{path}: cannot recover the events in it: {error}");
        }
    }
}

/// Removes files of a process that was killed before it gave them a name. They hold no record.
fn remove_unnamed(folder: &Path) -> io::Result<()> {
    for entry in entries(folder)? {
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(b".");
        let age = entry.metadata()?.modified()?.elapsed();
        if is_ours && age.is_ok_and(|age| age > BEGINNING) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn recover_one(folder: &Path, path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    // Another front door of this replica's name may have started at the same time and be ahead of us.
    if !lock(&file)? || !is_still(path, &file) {
        return Ok(());
    }
    let bytes = read(&file)?;
    let end = segment::good_end(&bytes);
    let cut = file.metadata()?.len().saturating_sub(end as u64);
    if cut > 0 {
        tracing::warn!(
            target: "events",
            "{}: cut {cut} bytes behind the last whole event; a process ended while it wrote them",
            path.display()
        );
        file.set_len(end as u64)?;
    }
    match span_of(bytes.get(..end).unwrap_or_default()) {
        // Killed before its first event: there is nothing to keep.
        None => fs::remove_file(path),
        Some(span) => {
            let name = path.file_name().and_then(|name| name.to_str());
            let unique = name
                .and_then(|name| name.strip_prefix(OPEN)?.strip_suffix(ENDING))
                .unwrap_or_default();
            fs::rename(path, sealed_path(folder, span, unique))
        }
    }
}

/// The times of the first and last request among the records.
fn span_of(bytes: &[u8]) -> Option<(u64, u64)> {
    let summaries = segment::frames(bytes)
        .filter_map(|frame| serde_json::from_slice::<Summary>(frame.summary).ok());
    summaries
        .map(|summary| (summary.time, summary.time))
        // Requests are written when they end, which is another order than that of their times.
        .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

/// False if another process holds it.
pub(super) fn lock(file: &File) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether the file still has this name: its writer may have given it another one before we had the lock.
fn is_still(path: &Path, file: &File) -> bool {
    let same = |at: fs::Metadata, own: fs::Metadata| (at.dev(), at.ino()) == (own.dev(), own.ino());
    match (fs::metadata(path), file.metadata()) {
        (Ok(at), Ok(own)) => same(at, own),
        _ => false,
    }
}

/// How much is kept, and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes of all segments.
    pub(super) max_bytes: u64,
    /// Bytes that a segment may still grow to.
    pub(super) segment_bytes: u64,
    pub(super) max_age: Duration,
}

/// Drops what is too old, and the oldest segments until the folder is small enough, with room for those that are
/// appended to.
pub(super) fn drop_oldest(events: &Path, bounds: &Bounds, now: SystemTime) -> io::Result<()> {
    // A clock near 1970 is wrong, and must not drop everything.
    let oldest = now.checked_sub(bounds.max_age).unwrap_or(UNIX_EPOCH);
    let (open, sealed): (Vec<_>, Vec<_>) = list(events)?
        .into_iter()
        .partition(|file| file.span.is_none());
    let open_bytes: u64 = open
        .iter()
        // As large as it will be, or the folder would be too large until the next look.
        .map(|file| file.bytes.max(bounds.segment_bytes))
        .sum();
    let room = bounds
        .max_bytes
        .saturating_sub(open_bytes.max(bounds.segment_bytes));
    let mut kept: u64 = sealed.iter().map(|file| file.bytes).sum();
    let is_old = |file: &SegmentFile| !file.reaches(milliseconds(oldest));
    for file in &sealed {
        if kept > room || is_old(file) {
            kept = kept.saturating_sub(file.bytes);
            remove(&file.path)?;
        }
    }
    // A process that lives gives its segment a name long before. Nobody recovers that of a replica that is gone.
    for file in open.iter().filter(|file| file.modified < oldest) {
        let held = File::open(&file.path).and_then(|file| lock(&file));
        if held.is_ok_and(|locked| locked) {
            remove(&file.path)?;
        }
    }
    Ok(())
}

/// Another front door may have dropped it first.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
