//! The files that a configuration was read from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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

/// What the file system says of each file, without reading it; None where there is none. Links are followed, so
/// that a swapped link (as Kubernetes does it) is another file.
pub type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

/// What distinguishes a file from an earlier version of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The SHA-256 of each file; None where it cannot be read.
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
        let paths = self.paths();
        paths
            .into_iter()
            .map(|path| (path.clone(), stamp(&path)))
            .collect()
    }

    /// Reads each file.
    #[must_use]
    pub fn contents(&self) -> Contents {
        let digest = |path: &Path| Some(openssl::sha::sha256(&files::read(path).ok()?));
        let paths = self.paths();
        paths
            .into_iter()
            .map(|path| (path.clone(), digest(&path)))
            .collect()
    }

    /// The folders whose changes may concern the files: those that hold their names, and those that links
    /// lead to. They are canonical, so that none is there twice.
    #[must_use]
    pub fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        let mut add = |folder: &Path| {
            let folder = match folder.as_os_str().is_empty() {
                true => Path::new("."),
                false => folder,
            };
            // A folder that does not exist cannot be followed.
            folders.extend(fs::canonicalize(folder));
        };
        for path in self.paths() {
            path.parent().map(&mut add);
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
        for (directory, pattern) in &self.patterns {
            // The load reports a folder that cannot be listed.
            paths.extend(glob::expand(directory, pattern).unwrap_or_default());
        }
        paths
    }
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
