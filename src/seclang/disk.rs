//! Rule files on disk: the only place in this room that touches the file system.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::loader::Files;
use crate::glob;

/// No rule file is larger than this many bytes.
const MAX_FILE: u64 = 64 << 20;

/// The file system of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(|error| match glob::broken_link(path) {
            // There is something, so it is not absent as an optional file may be.
            Some(link) => io::Error::other(format!("{} is a link to nothing", link.display())),
            None => error,
        })?;
        file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > MAX_FILE {
            true => Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("more than {} MiB", MAX_FILE >> 20),
            )),
            false => Ok(bytes),
        }
    }

    fn glob(&self, base: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
        glob::expand(base, pattern)
    }
}
