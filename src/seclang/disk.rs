//! Rule files on disk: the only place in this room that touches the file system.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::loader::{Files, is_special};

/// The file system of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        crate::files::read(path)
    }

    /// `*`, `?`, `[a-z]` and `[!a-z]` in any component; a leading dot has to be written.
    fn glob(&self, base: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let rooted = pattern.starts_with('/');
        let mut found = vec![match rooted {
            true => PathBuf::from("/"),
            false => base.to_owned(),
        }];
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            found = match part.contains(is_special) {
                true => matches_in(&found, part.as_bytes())?,
                false => found.iter().map(|path| path.join(part)).collect(),
            };
        }
        found.retain(|path| is_candidate(path));
        found.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
        Ok(found)
    }
}

/// The entries of these folders whose names match. A folder that is none, or is not there, has none.
fn matches_in(folders: &[PathBuf], pattern: &[u8]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in folders {
        let listed = match folder.as_os_str().is_empty() {
            true => fs::read_dir("."),
            false => fs::read_dir(folder),
        };
        let entries = match listed {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let name = entry?.file_name();
            if matches(pattern, name.as_bytes()) {
                found.push(folder.join(name));
            }
        }
    }
    Ok(found)
}

/// What is there and no folder. A link to nothing stays, so that reading it says so.
fn is_candidate(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(_) => !path.is_dir(),
        Err(error) => !is_absent(&error),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Whether a name matches one component of a pattern, byte by byte.
fn matches(mut pattern: &[u8], mut name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    // Where to go on when what follows the last `*` fails: after the star, one byte further.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            pattern = rest;
            retry = Some((rest, name));
            continue;
        }
        match (name.split_first(), one(pattern)) {
            (None, None) => return true,
            (Some((&byte, after)), Some((accepts, rest))) if accepts.holds(byte) => {
                (pattern, name) = (rest, after);
                continue;
            }
            _ => {}
        }
        let Some((rest, [_, shorter @ ..])) = retry else {
            return false;
        };
        (pattern, name) = (rest, shorter);
        retry = Some((rest, shorter));
    }
}

/// What one position of a pattern accepts.
enum Accepts<'a> {
    Any,
    Byte(u8),
    Class { negated: bool, members: &'a [u8] },
}

impl Accepts<'_> {
    fn holds(&self, byte: u8) -> bool {
        match *self {
            Accepts::Any => true,
            Accepts::Byte(wanted) => wanted == byte,
            Accepts::Class { negated, members } => is_member(members, byte) != negated,
        }
    }
}

/// The pattern's next position, and what follows it. A `[` that nothing closes is itself.
fn one(pattern: &[u8]) -> Option<(Accepts<'_>, &[u8])> {
    let (&first, rest) = pattern.split_first()?;
    match first {
        b'?' => Some((Accepts::Any, rest)),
        b'[' => Some(class(rest).unwrap_or((Accepts::Byte(b'['), rest))),
        byte => Some((Accepts::Byte(byte), rest)),
    }
}

/// A class after its `[`; a `]` that comes first is a member.
fn class(rest: &[u8]) -> Option<(Accepts<'_>, &[u8])> {
    let (negated, body) = match rest {
        [b'!' | b'^', body @ ..] => (true, body),
        body => (false, body),
    };
    let close = 1 + body.get(1..)?.iter().position(|&byte| byte == b']')?;
    let (members, after) = body.split_at_checked(close)?;
    Some((Accepts::Class { negated, members }, after.get(1..)?))
}

fn is_member(mut members: &[u8], byte: u8) -> bool {
    loop {
        members = match members {
            [] => return false,
            [low, b'-', high, rest @ ..] => match (*low..=*high).contains(&byte) {
                true => return true,
                false => rest,
            },
            [one, rest @ ..] => match *one == byte {
                true => return true,
                false => rest,
            },
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.example", false),
            ("*.conf", ".conf", false),
            (".*", ".conf", true),
            ("*", "", true),
            ("a*b*c", "axxbyybzc", true),
            ("a*b*c", "axxbyybz", false),
            ("R?Q", "REQ", true),
            ("R?Q", "RQ", false),
            ("[a-c]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("[!a-c]x", "dx", true),
            ("[^a-c]x", "ax", false),
            ("[]]", "]", true),
            ("[*]", "*", true),
            ("[*]", "x", false),
            ("[a-]", "-", true),
            ("a[", "a[", true),
            ("*é", "caf\u{e9}", true),
        ] {
            let found = matches(pattern.as_bytes(), name.as_bytes());
            assert_eq!(found, expected, "{pattern} {name}");
        }
    }
}
