//! Where the writer thread of a log puts lines: a file, a pipe, a terminal or a syslog receiver.

use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;

use super::syslog::SyslogWriter;

/// POSIX writes up to `PIPE_BUF` bytes to a pipe at once, so lines of several processes do not mix. Linux has 4096.
const PIPE_CHUNK: usize = 4096;
/// Bytes of one write to anything else, so that the queue frees place and waiters wake during a long batch.
const CHUNK: usize = 256 * 1024;

/// An open target.
#[derive(Debug)]
pub(super) enum Output {
    File(File),
    Syslog(Box<SyslogWriter>),
}

impl Output {
    /// Writes a part of these whole lines; to syslog all of them or none.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(lines),
            Self::Syslog(syslog) => syslog.write(lines).map(|()| lines.len()),
        }
    }

    /// How many bytes are written at once.
    pub(super) fn chunk(&self) -> usize {
        let Self::File(file) = self else { return CHUNK };
        match file.metadata() {
            Ok(metadata) if metadata.is_file() => CHUNK,
            Ok(metadata) if metadata.file_type().is_char_device() => CHUNK,
            // What cannot be examined may be a pipe.
            _ => PIPE_CHUNK,
        }
    }

    /// The file, if it is a regular one, and its length.
    pub(super) fn regular_file(&self) -> Option<(&File, u64)> {
        let Self::File(file) = self else { return None };
        let metadata = file.metadata().ok().filter(Metadata::is_file)?;
        Some((file, metadata.len()))
    }
}
