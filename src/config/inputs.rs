//! The files that a configuration was read from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use seclang::files;
use seclang::glob;
use waf::Reads;

/// Files and patterns; what a pattern names may change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    pub files: BTreeSet<PathBuf>,
    /// Folder and pattern.
    pub patterns: BTreeSet<(PathBuf, String)>,
}

/// What the file system says of the files without reading them; links are followed, so that a
/// swapped link (as Kubernetes does it) is another file.
pub type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What is in the files; None where one cannot be read.
pub type Contents = BTreeMap<PathBuf, Option<[u8; 32]>>;

impl Inputs {
    pub fn file(&mut self, path: &Path) {
        self.files.insert(path.to_owned());
    }

    pub fn pattern(&mut self, directory: &Path, pattern: &str) {
        self.patterns
            .insert((directory.to_owned(), pattern.to_owned()));
    }

    pub fn reads(&mut self, reads: &Reads) {
        self.files
            .extend(reads.files.iter().map(|(path, _)| path.clone()));
        let patterns = reads.globs.iter();
        self.patterns
            .extend(patterns.map(|(base, pattern, _)| (base.clone(), pattern.clone())));
    }

    #[must_use]
    pub fn stamps(&self) -> Stamps {
        let paths = self.paths();
        paths
            .into_iter()
            .map(|path| (path.clone(), stamp(&path)))
            .collect()
    }

    #[must_use]
    pub fn contents(&self) -> Contents {
        let digest = |path: &Path| Some(openssl::sha::sha256(&files::read(path).ok()?));
        let paths = self.paths();
        paths
            .into_iter()
            .map(|path| (path.clone(), digest(&path)))
            .collect()
    }

    /// Where names of these files stand, and where the files themselves are that links lead to; without
    /// links, so that none stands twice.
    #[must_use]
    pub fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        let mut add = |folder: &Path| {
            let folder = match folder.as_os_str().is_empty() {
                true => Path::new("."),
                false => folder,
            };
            // What is not there cannot be followed.
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
            // A folder that cannot be listed now will be told by the load.
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
