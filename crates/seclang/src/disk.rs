//! Rule files on disk: the only place in this room that touches the file system.

use std::io;
use std::path::{Path, PathBuf};

use super::loader::Files;
use crate::glob;

/// The file system of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        crate::files::read(path).map_err(|error| match glob::broken_link(path) {
            // A broken link is a mistake, not an absent optional file, so it must not be `NotFound`.
            Some(link) => io::Error::other(format!("{} is a link to nothing", link.display())),
            None => error,
        })
    }

    fn glob(&self, base: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
        glob::expand(base, pattern)
    }
}
