//! Where the requests of a replay come from: folders of raw requests, HTTP archives, and the events
//! that front doors kept.
//!
//! A source knows how many requests it has and reads one when it is its turn, so that a replay holds only a few at once.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::har::Har;
use crate::events::{self, Place, Summary};
use crate::recorded::{Framing, MOST_BYTES, Request};
use crate::review::error::ReviewError;
use seclang::diagnostic::{Diagnostic, Location};

/// Requests in a fixed order. They are read from several threads.
pub(crate) trait Requests: Sync {
    fn len(&self) -> usize;

    /// The request at this place, from 0.
    ///
    /// # Errors
    /// It cannot be replayed as it was.
    fn read(&self, at: usize) -> Result<Recorded, NotReplayed>;
}

/// A request as it was received.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// What reports and `--allow` call it.
    pub(crate) id: String,
    pub(crate) request: Request,
}

/// A request that the rules cannot judge.
#[derive(Debug)]
pub(crate) enum NotReplayed {
    /// The file cannot be read, or is not what it should be.
    Unreadable(Diagnostic),
    /// What was recorded is not the whole request, so that a verdict would be a guess.
    CannotBeJudged { id: String, why: String },
}

/// Several sources, one after the other.
pub(crate) struct Joined(Vec<Box<dyn Requests>>);

impl Joined {
    /// # Errors
    /// All that cannot be listed or read; or there is no request.
    pub(crate) fn open(
        folders: &[PathBuf],
        archives: &[PathBuf],
        events: Option<Events>,
    ) -> Result<Self, ReviewError> {
        let mut sources: Vec<Box<dyn Requests>> = Vec::new();
        let mut problems = Vec::new();
        // All problems at once: one run shows every path that is mistyped.
        let mut add = |opened: Result<Box<dyn Requests>, Diagnostic>| match opened {
            Ok(source) => sources.push(source),
            Err(problem) => problems.push(problem),
        };
        for path in folders {
            add(Files::list(path).map(|files| Box::new(files) as Box<dyn Requests>));
        }
        for path in archives {
            add(Archive::open(path).map(|archive| Box::new(archive) as Box<dyn Requests>));
        }
        if !problems.is_empty() {
            return Err(ReviewError::Diagnostics(problems));
        }
        sources.extend(events.map(|events| Box::new(events) as Box<dyn Requests>));
        let joined = Self(sources);
        // A mistyped path must not look like a success.
        match joined.len() {
            0 => Err(ReviewError::Problem(
                "there is no request to replay: the folders have no *.http files, the archives no entries, and no event was kept in the time"
                    .to_owned(),
            )),
            _ => Ok(joined),
        }
    }
}

impl Requests for Joined {
    fn len(&self) -> usize {
        self.0.iter().map(|source| source.len()).sum()
    }

    fn read(&self, mut at: usize) -> Result<Recorded, NotReplayed> {
        for source in &self.0 {
            match at.checked_sub(source.len()) {
                None => return source.read(at),
                Some(rest) => at = rest,
            }
        }
        let id = at.to_string();
        let why = "there is no such request".to_owned();
        Err(NotReplayed::CannotBeJudged { id, why })
    }
}

/// The requests that front doors kept.
pub(crate) struct Events(Vec<Place>);

impl Events {
    /// Those below this `state_dir`, from this time on in milliseconds since 1970.
    ///
    /// # Errors
    /// The folder cannot be read, or a part of it is damaged.
    pub(crate) fn find(state_dir: &Path, since: u64) -> Result<Self, ReviewError> {
        Self::find_where(state_dir, since, |_| true)
    }

    /// The same for those that this is true of.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn find_where(
        state_dir: &Path,
        since: u64,
        wanted: impl Fn(&Summary) -> bool + Sync,
    ) -> Result<Self, ReviewError> {
        let found = events::find(state_dir, since, wanted);
        let mut found = found.map_err(|error| {
            ReviewError::Diagnostics(vec![problem(
                state_dir,
                &format!("cannot read the events: {error}"),
            )])
        })?;
        // The shadow of a policy may have kept a request a second time.
        // Both records have one time and one id, so they follow each other in the sorted list.
        let events = &mut found.events;
        events.dedup_by(|one, other| one.summary.request_id == other.summary.request_id);
        // A part that cannot be read must not look like one in which nothing differs.
        match found.problems.first() {
            Some(problem) => Err(ReviewError::Problem(problem.clone())),
            None => Ok(Self(found.events)),
        }
    }

    /// When the first one was received, in milliseconds since 1970.
    pub(crate) fn first(&self) -> Option<u64> {
        self.0.first().map(|place| place.summary.time)
    }
}

impl Requests for Events {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(&self, at: usize) -> Result<Recorded, NotReplayed> {
        let place = self.0.get(at);
        let id = place.map_or_else(String::new, |place| place.summary.request_id.clone());
        let cannot = |why: String| NotReplayed::CannotBeJudged {
            id: id.clone(),
            why,
        };
        let event = match place.map(Place::read) {
            Some(Ok(Some(event))) => event,
            Some(Err(error)) => return Err(cannot(format!("cannot read it: {error}"))),
            Some(Ok(None)) | None => return Err(cannot("it is damaged on the disk".to_owned())),
        };
        match event.details.payload.why_not_judged() {
            Some(why) => Err(cannot(why)),
            None => Ok(Recorded {
                id: id.clone(),
                request: Request::from_event(event),
            }),
        }
    }
}

/// Raw requests, each in a file.
struct Files(Vec<PathBuf>);

impl Files {
    /// The `*.http` files of a folder, sorted by name; or the one file that is named.
    fn list(path: &Path) -> Result<Self, Diagnostic> {
        // A shell makes files out of `recorded/*.http`, which mean the same as their folder.
        if path.is_file() {
            return Ok(Self(vec![path.to_owned()]));
        }
        let cannot = |error| problem(path, &format!("cannot list the folder: {error}"));
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(cannot)? {
            let file = entry.map_err(cannot)?.path();
            if file
                .extension()
                .is_some_and(|extension| extension == "http")
            {
                files.push(file);
            }
        }
        // File systems list a folder in different orders, and two runs must give the same report.
        files.sort_unstable();
        Ok(Self(files))
    }
}

impl Requests for Files {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(&self, at: usize) -> Result<Recorded, NotReplayed> {
        let path = self.0.get(at).map_or(Path::new(""), PathBuf::as_path);
        let bytes = read_bounded(path, MOST_BYTES).map_err(NotReplayed::Unreadable)?;
        let id = path.display().to_string();
        let request = Request::from_file(bytes);
        match request.framing() {
            Framing::Cut => Err(NotReplayed::CannotBeJudged {
                id,
                why: "its body ends before the length that its head announces".to_owned(),
            }),
            // A front door answers 400 to a malformed body under any rules. The comparison counts it as refused.
            Framing::Whole | Framing::Malformed => Ok(Recorded { id, request }),
        }
    }
}

/// The entries of an HTTP archive.
struct Archive {
    path: PathBuf,
    har: Har,
}

/// Bytes of an archive. Browsers write the responses into it too.
const MOST_ARCHIVE: u64 = 512 * 1024 * 1024;

impl Archive {
    fn open(path: &Path) -> Result<Self, Diagnostic> {
        let bytes = read_bounded(path, MOST_ARCHIVE)?;
        let har = Har::parse(bytes).map_err(|error| {
            let location = Location {
                line: error.line,
                column: error.column,
                ..Location::file(path)
            };
            Diagnostic::error(location, error.message).with_help(
                "save it again as HAR 1.2, for example from the network view of a browser",
            )
        })?;
        Ok(Self {
            path: path.to_owned(),
            har,
        })
    }
}

impl Requests for Archive {
    fn len(&self) -> usize {
        self.har.len()
    }

    fn read(&self, at: usize) -> Result<Recorded, NotReplayed> {
        // From 1, as browsers number the entries that a user looks for.
        let id = format!("{}#{}", self.path.display(), at + 1);
        match self.har.request(at) {
            Ok(raw) => {
                let request = Request::from_parts(raw.head, raw.body, None);
                let request = raw.notes.into_iter().fold(request, Request::noting);
                Ok(Recorded { id, request })
            }
            Err(fault) => Err(NotReplayed::CannotBeJudged {
                id,
                why: fault.to_string(),
            }),
        }
    }
}

fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>, Diagnostic> {
    let mut bytes = Vec::new();
    // One byte more tells a file that is too large from one that just fits.
    let read = File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(problem(path, &format!("cannot read it: {error}"))),
        Ok(length) if length as u64 > most => {
            Err(problem(path, &format!("it is larger than {most} bytes")))
        }
        Ok(_) => Ok(bytes),
    }
}

fn problem(path: &Path, message: &str) -> Diagnostic {
    Diagnostic::error(Location::file(path), message)
}
