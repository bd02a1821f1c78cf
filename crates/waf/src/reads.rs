//! Which files a rule set was made of. A front door compares them with the disk to see whether compiling again could
//! give another rule set.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};

use seclang::{DiskFiles, Files};

/// The files and patterns that a rule set was made of, as they were when it was compiled.
#[derive(Debug, Clone, Default)]
pub struct Reads {
    /// Each file with the SHA-1 of its bytes; None if it could not be read.
    pub files: Vec<(PathBuf, Option<[u8; 20]>)>,
    /// The folder a pattern is relative to, the pattern, and the files that matched it, in byte order.
    pub globs: Vec<(PathBuf, String, Vec<PathBuf>)>,
}

/// This machine's files, and a note of each that is read.
#[derive(Debug, Default)]
pub(super) struct Noted(RefCell<Reads>);

/// Files and patterns as they are now. Several rule sets mostly have the same, and each is looked at once.
#[derive(Debug, Default)]
pub struct FilesNow {
    digests: HashMap<PathBuf, Option<[u8; 20]>>,
    names: HashMap<(PathBuf, String), Option<Vec<PathBuf>>>,
}

impl Reads {
    /// Whether every file holds the same, and every pattern names the same.
    #[must_use]
    pub fn unchanged(&self, now: &mut FilesNow) -> bool {
        let mut globs = self.globs.iter();
        // Names first: listing folders is cheaper than hashing every file.
        globs.all(|(base, pattern, named)| now.names(base, pattern) == Some(named))
            && self
                .files
                .iter()
                .all(|(path, digest)| now.digest(path) == *digest)
    }
}

impl FilesNow {
    /// None if it cannot be read.
    fn digest(&mut self, path: &Path) -> Option<[u8; 20]> {
        if let Some(known) = self.digests.get(path) {
            return *known;
        }
        let digest = digest_of(&DiskFiles.read(path));
        self.digests.insert(path.to_owned(), digest);
        digest
    }

    /// None if a folder cannot be listed.
    fn names(&mut self, base: &Path, pattern: &str) -> Option<&Vec<PathBuf>> {
        let key = (base.to_owned(), pattern.to_owned());
        let list = || DiskFiles.glob(base, pattern).ok();
        self.names.entry(key).or_insert_with(list).as_ref()
    }
}

impl Noted {
    pub(super) fn into_reads(self) -> Reads {
        self.0.into_inner()
    }
}

impl Files for Noted {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let read = DiskFiles.read(path);
        // A file that cannot be read is noted too: it may be there next time.
        let note = (path.to_owned(), digest_of(&read));
        self.0.borrow_mut().files.push(note);
        read
    }

    fn glob(&self, base: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let named = DiskFiles.glob(base, pattern)?;
        let note = (base.to_owned(), pattern.to_owned(), named.clone());
        self.0.borrow_mut().globs.push(note);
        Ok(named)
    }
}

fn digest_of(read: &io::Result<Vec<u8>>) -> Option<[u8; 20]> {
    let bytes = read.as_ref().ok()?;
    Some(Sha1::digest(bytes).into())
}
