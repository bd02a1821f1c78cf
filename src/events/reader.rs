//! Finds events in the segments of all replicas, while front doors append to them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memchr::memmem::Finder;
use uuid::Uuid;

use super::event::{Event, Summary};
use super::folder::{self, SegmentFile};
use super::segment;
use crate::parallel;

/// The id of a request holds its time, but its record's time is measured a moment earlier or later.
const SLACK: u64 = 1000;
/// Segments that are read at once for events that the newest segment has not: one for each of a few processors.
const AT_ONCE: usize = 4;

/// Events that were looked for.
#[derive(Debug, Default)]
pub struct Found {
    /// In the order of their times.
    pub events: Vec<Place>,
    /// What could not be read, in words.
    pub problems: Vec<String>,
}

/// An event, and where it is.
#[derive(Debug, Clone)]
pub struct Place {
    /// What lists show of it.
    pub summary: Summary,
    /// Opened for each reading: a long list must not hold hundreds of files.
    segment: Arc<SegmentFile>,
    at: (usize, usize),
}

impl Place {
    /// The whole event; None if it is damaged.
    ///
    /// # Errors
    /// The file cannot be read. It may have been dropped since it was found.
    pub fn read(&self) -> io::Result<Option<Event>> {
        let (start, end) = self.at;
        let mut bytes = vec![0; end - start];
        let file = open(&self.segment)?;
        // The record alone, and not the whole segment as a list reads it.
        file.read_exact_at(&mut bytes, start as u64)?;
        Ok(segment::frame(&bytes, 0).and_then(|frame| Event::decode(&frame)))
    }
}

/// The events below this `state_dir` from `since` on, in milliseconds since 1970, that `wanted` is true of.
///
/// # Errors
/// A folder cannot be listed.
pub fn find(
    state_dir: &Path,
    since: u64,
    wanted: impl Fn(&Summary) -> bool + Sync,
) -> io::Result<Found> {
    let mut segments = folder::list(&state_dir.join(folder::FOLDER))?;
    // By their names, so that a list of the last hour does not open a month of segments.
    segments.retain(|segment| segment.reaches(since));
    // The first segment that reaches this far holds earlier requests too.
    let wanted = |summary: &Summary| summary.time >= since && wanted(summary);
    let mut found = search(&segments, &|bytes| {
        let summary: Option<Summary> = serde_json::from_slice(bytes).ok();
        summary.filter(&wanted)
    });
    sort(&mut found.events);
    Ok(found)
}

/// What is asked of [`find_newest`].
#[derive(Debug, Clone)]
pub struct NewestQuery {
    /// In milliseconds since 1970.
    pub since: u64,
    /// How many.
    pub most: usize,
    /// The JSON of each summary must hold one text of each of these groups, so that most summaries need not be parsed. What
    /// holds them may still be another.
    pub needles: Vec<Vec<String>>,
}

/// The newest events that `wanted` is true of, the oldest of them first, and whether there are more. Segments are read from
/// the newest on, and only until the answer is certain: a page must not wait for a month of events.
///
/// # Errors
/// A folder cannot be listed.
pub fn find_newest(
    state_dir: &Path,
    query: &NewestQuery,
    wanted: impl Fn(&Summary) -> bool + Sync,
) -> io::Result<(Found, bool)> {
    let group = |group: &'_ Vec<String>| -> Vec<Finder<'static>> {
        let finders = group.iter().map(|needle| Finder::new(needle.as_bytes()));
        finders.map(Finder::into_owned).collect()
    };
    let groups: Vec<Vec<Finder<'_>>> = query.needles.iter().map(group).collect();
    let holds = |group: &Vec<Finder<'_>>, bytes: &[u8]| {
        let mut needles = group.iter();
        needles.any(|needle| needle.find(bytes).is_some())
    };
    let take = |bytes: &[u8]| {
        if !groups.iter().all(|group| holds(group, bytes)) {
            return None;
        }
        let summary: Option<Summary> = serde_json::from_slice(bytes).ok();
        summary.filter(|summary| summary.time >= query.since && wanted(summary))
    };
    let mut segments = folder::list(&state_dir.join(folder::FOLDER))?;
    segments.retain(|segment| segment.reaches(query.since));
    let mut all = Found::default();
    let mut has_more = false;
    let mut at_once = 1;
    while !segments.is_empty() {
        // Mostly the first is enough; if it is not, more are read at once.
        let newest = segments.split_off(segments.len().saturating_sub(at_once));
        at_once = AT_ONCE;
        let found = search(&newest, &take);
        all.problems.extend(found.problems);
        all.events.extend(found.events);
        sort(&mut all.events);
        let excess = all.events.len().saturating_sub(query.most);
        has_more |= excess > 0;
        all.events.drain(..excess);
        // They are sorted by their last request, so no other segment reaches farther.
        let rest = segments.last().and_then(|segment| segment.span);
        let oldest = all.events.first().map(|place| place.summary.time);
        if has_more && rest.is_some_and(|(_, last)| oldest.is_some_and(|oldest| last < oldest)) {
            break;
        }
    }
    Ok((all, has_more))
}

fn sort(events: &mut [Place]) {
    // By id too: requests of one millisecond would change places from one run to the next.
    events.sort_by_cached_key(|place| (place.summary.time, place.summary.request_id.clone()));
}

/// The event of a request, if it was kept. Only the segments are read that can hold a request of the time in its id; the
/// others if it is not there, since a clock may have been set.
///
/// # Errors
/// A folder cannot be listed.
pub fn find_by_id(state_dir: &Path, id: &str) -> io::Result<Found> {
    let segments = folder::list(&state_dir.join(folder::FOLDER))?;
    let time = time_of(id);
    let can_hold = |segment: &SegmentFile| {
        let around =
            |time: u64| segment.covers(time.saturating_sub(SLACK)) || segment.covers(time + SLACK);
        // An id without a time in it can be anywhere.
        time.is_none_or(|time| segment.covers(time) || around(time))
    };
    let (first, others): (Vec<_>, Vec<_>) = segments.into_iter().partition(can_hold);
    let is_it = |bytes: &[u8]| {
        // Parsing every summary would take far longer than this search.
        memchr::memmem::find(bytes, id.as_bytes())?;
        let summary: Option<Summary> = serde_json::from_slice(bytes).ok();
        // The id may also stand in the path of another request.
        summary.filter(|summary| summary.request_id == id)
    };
    let found = search(&first, &is_it);
    match found.events.is_empty() {
        true => Ok(search(&others, &is_it)),
        false => Ok(found),
    }
}

/// The time in a request's id, in milliseconds since 1970.
fn time_of(id: &str) -> Option<u64> {
    let (seconds, nanos) = Uuid::parse_str(id).ok()?.get_timestamp()?.to_unix();
    Some(seconds * 1000 + u64::from(nanos) / 1_000_000)
}

fn search(segments: &[SegmentFile], take: &(impl Fn(&[u8]) -> Option<Summary> + Sync)) -> Found {
    let mut all = Found::default();
    for found in parallel::map(segments, |segment| search_one(segment, take)) {
        match found {
            Ok((events, problem)) => {
                all.events.extend(events);
                all.problems.extend(problem);
            }
            Err(problem) => all.problems.extend(problem),
        }
    }
    all
}

/// The events of one segment, and what is wrong with it. An error without words is a segment that is gone by now.
fn search_one(
    segment: &SegmentFile,
    take: &impl Fn(&[u8]) -> Option<Summary>,
) -> Result<(Vec<Place>, Option<String>), Option<String>> {
    let unread = |error: &io::Error| format!("{}: cannot read it: {error}", segment.path.display());
    let file = match open(segment) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(None),
        Err(error) => return Err(Some(unread(&error))),
    };
    let bytes = folder::read(&file).map_err(|error| Some(unread(&error)))?;
    let own = Arc::new(segment.clone());
    let mut end = 0;
    let mut events = Vec::new();
    for frame in segment::frames(&bytes) {
        end = frame.end;
        events.extend(take(frame.summary).map(|summary| Place {
            summary,
            segment: Arc::clone(&own),
            at: (frame.start, frame.end),
        }));
    }
    // The end of one that is appended to may be half written at this moment.
    let rest = bytes.len().saturating_sub(end.max(segment::MAGIC.len()));
    let is_damaged = rest > 0 && segment.span.is_some();
    let problem = is_damaged.then(|| {
        format!(
            "{}: {rest} bytes at its end are damaged; the events in them are not shown",
            segment.path.display()
        )
    });
    Ok((events, problem))
}

/// A segment that was just given its name is opened under that.
fn open(segment: &SegmentFile) -> io::Result<File> {
    match File::open(&segment.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && segment.span.is_none() => {
            renamed(&segment.path).map_or(Err(error), File::open)
        }
        opened => opened,
    }
}

fn renamed(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let ending = name.strip_prefix(folder::OPEN)?;
    let now = folder::list(path.parent()?.parent()?).ok()?;
    let is_it = |file: &SegmentFile| {
        let name = file.path.file_name().and_then(|name| name.to_str());
        // The unique part is the same before and after.
        name.is_some_and(|name| name.ends_with(ending))
    };
    now.into_iter().find(is_it).map(|file| file.path)
}
