//! The files that a configuration was read from.
//!
//! A reload watches exactly these. They include files that were looked for and not found, and patterns that matched
//! nothing: if such a file appears, that is a change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use seclang::files;
use seclang::glob;
use waf::Reads;

/// The files that were read or looked for, and the patterns that were expanded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Paths, from the working directory.
    pub files: BTreeSet<PathBuf>,
    /// Folder and pattern.
    pub patterns: BTreeSet<(PathBuf, String)>,
}

/// What stat(2) says of each file, without reading it; None if there is no file. Links are followed, so that a link
/// that points elsewhere (Kubernetes swaps one to update mounted files) is a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamps {
    /// In the order of the files.
    files: Vec<Option<Stamp>>,
    /// What the patterns named.
    named: BTreeMap<PathBuf, Option<Stamp>>,
}

/// What distinguishes a file from an earlier version of it. The change time finds a write that keeps size and
/// modification time, as `cp -p` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The SHA-256 of each file; None if it cannot be read.
pub type Contents = BTreeMap<PathBuf, Option<[u8; 32]>>;

impl Inputs {
    /// Adds a file.
    pub fn file(&mut self, path: &Path) {
        self.files.insert(path.to_owned());
    }

    /// Adds a pattern in a folder.
    pub fn pattern(&mut self, directory: &Path, pattern: &str) {
        self.patterns
            .insert((directory.to_owned(), pattern.to_owned()));
    }

    /// Adds what a rule set was read from.
    pub fn reads(&mut self, reads: &Reads) {
        self.files
            .extend(reads.files.iter().map(|(path, _)| path.clone()));
        let patterns = reads.globs.iter();
        self.patterns
            .extend(patterns.map(|(base, pattern, _)| (base.clone(), pattern.clone())));
    }

    /// Looks at each file without reading it.
    #[must_use]
    pub fn stamps(&self) -> Stamps {
        let stamped = |path: PathBuf| {
            let stamp = stamp(&path);
            (path, stamp)
        };
        Stamps {
            files: self.files.iter().map(|path| stamp(path)).collect(),
            // Expanded anew each time, because a file that has appeared is a change.
            named: self.named().into_iter().map(stamped).collect(),
        }
    }

    /// Whether a file was there when the stamps of these inputs were taken.
    #[must_use]
    pub fn was_there(&self, path: &Path, stamps: &Stamps) -> bool {
        let own = || {
            let at = self.files.iter().position(|file| file == path)?;
            *stamps.files.get(at)?
        };
        let named = || *stamps.named.get(path)?;
        own().or_else(named).is_some()
    }

    /// The contents of the files as they were `read`. A file that a pattern names only since then is not among them.
    pub(super) fn contents_as_read(&self, mut read: Contents) -> Contents {
        let files = self.files.iter();
        files
            .map(|path| {
                let content = read.remove(path).unwrap_or_else(|| digest(path));
                (path.clone(), content)
            })
            .collect()
    }

    /// Reads each file.
    #[must_use]
    pub fn contents(&self) -> Contents {
        let paths = self.paths();
        paths
            .into_iter()
            .map(|path| (path.clone(), digest(&path)))
            .collect()
    }

    /// The folders whose changes may concern the files: those that hold their names, and those to which links lead.
    /// They are canonical, so that none is listed twice.
    #[must_use]
    pub fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        let mut add = |folder: &Path| {
            let folder = match folder.as_os_str().is_empty() {
                // The folder of a bare file name is the empty path, which the system does not know.
                true => Path::new("."),
                false => folder,
            };
            // A folder that does not exist cannot be followed; regular looks find it later.
            folders.extend(fs::canonicalize(folder));
        };
        for path in self.paths() {
            path.parent().map(&mut add);
            // The target of a link may change in its own folder without a change of the link.
            let real = fs::canonicalize(&path).ok();
            real.as_deref().and_then(Path::parent).map(&mut add);
        }
        for (directory, pattern) in &self.patterns {
            add(&directory.join(glob::fixed_folder(pattern)));
        }
        folders
    }

    fn paths(&self) -> BTreeSet<PathBuf> {
        let mut paths = self.files.clone();
        paths.extend(self.named());
        paths
    }

    /// The files that the patterns name now.
    fn named(&self) -> BTreeSet<PathBuf> {
        let patterns = self.patterns.iter();
        // The next load reports a folder that cannot be listed.
        let named = patterns.flat_map(|(folder, pattern)| glob::expand(folder, pattern));
        named.flatten().collect()
    }
}

/// Does `work`, and returns the contents of the files that are read for it. A file that changed between two reads has
/// none.
pub(super) fn noting<T>(work: impl FnOnce() -> T) -> (T, Contents) {
    let contents = Arc::new(Mutex::new(Contents::new()));
    let notes = Arc::clone(&contents);
    let observer = move |path: &Path, bytes: Option<&[u8]>| {
        let content = bytes.map(openssl::sha::sha256);
        // Each step leaves the map whole, so a panic elsewhere does no harm.
        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = notes.entry(path.to_owned()).or_insert(content);
        // Nobody knows which of both was judged, so the next look must find a change.
        if *known != content {
            *known = None;
        }
    };
    let done = files::observe(Some(Arc::new(observer)), work);
    let contents = std::mem::take(&mut *contents.lock().unwrap_or_else(PoisonError::into_inner));
    (done, contents)
}

fn digest(path: &Path) -> Option<[u8; 32]> {
    Some(openssl::sha::sha256(&files::read(path).ok()?))
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_noted_as_they_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            files::read(&path).unwrap();
        };
        let (_, once) = noting(|| read("one"));
        assert_eq!(once[&path], Some(openssl::sha::sha256(b"one")));
        let (_, twice) = noting(|| ["one", "two"].map(read));
        assert_eq!(twice[&path], None, "it is neither");
        fs::remove_file(&path).unwrap();
        let (_, none) = noting(|| files::read(&path).is_err());
        assert_eq!(none[&path], None);
        let (_, idle) = noting(|| {});
        assert!(idle.is_empty());
    }
}
