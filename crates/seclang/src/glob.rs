//! File name patterns: `*` stands for any characters of a name and `?` for one. Every other character, also `[`, stands
//! for itself. Configuration and rule files share this pattern language.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::files;

/// Whether the text names files by a pattern, and not one file by its path.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// The part of a pattern before the first component with a `*` or `?`.
#[must_use]
pub fn fixed_folder(pattern: &str) -> &str {
    let fixed = pattern.split(['*', '?']).next().unwrap_or_default();
    fixed.rfind('/').map_or("", |end| &fixed[..=end])
}

/// Whether the pattern asks for plugins of the Core Rule Set, of which there may be none.
#[must_use]
pub fn asks_for_plugins(pattern: &str) -> bool {
    let folder = Path::new(pattern).parent().and_then(Path::file_name);
    is_pattern(pattern) && folder.is_some_and(|name| name == "plugins")
}

/// The paths that `pattern` names relative to `base`, in byte order. Broken links, unreadable files and folders are
/// included, so that reading them reports what is wrong. As in a shell, a leading dot must be written.
///
/// # Errors
/// A folder that cannot be listed, and a broken link on the way. A folder that does not exist holds nothing.
pub fn expand(base: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![base.to_owned()];
    for component in Path::new(pattern).components() {
        found = match component {
            Component::Normal(part) if part.as_bytes().iter().any(|b| b"*?".contains(b)) => {
                entries(&found, part.as_bytes())?
            }
            fixed => found.iter().map(|path| path.join(fixed)).collect(),
        };
    }
    let mut existing = Vec::with_capacity(found.len());
    for path in found {
        match fs::symlink_metadata(&path) {
            Err(error) if is_absent(&error) => no_broken_link(&path)?,
            // What cannot be inspected cannot be read either, and reading it reports why.
            _ => existing.push(path),
        }
    }
    // The order decides which rules load first, so it must not depend on the locale or the file system.
    existing.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    Ok(existing)
}

/// The link on this path, or at its end, that leads nowhere.
#[must_use]
pub fn broken_link(path: &Path) -> Option<&Path> {
    // The link itself, not what it points to.
    let here = |path: &&Path| fs::symlink_metadata(path).is_ok();
    let last = path.ancestors().find(here)?;
    let leads_nowhere = fs::metadata(last).is_err_and(|error| is_absent(&error));
    leads_nowhere.then_some(last)
}

/// What [`no_file`] says if nothing is there.
pub const ABSENT: &str = "there is no such file";

/// Why the path is no file that can be read, as far as its metadata says.
#[must_use]
pub fn no_file(path: &Path) -> Option<String> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Some("it is a folder".to_owned()),
        Ok(found) if found.is_file() => None,
        Ok(found) => Some(files::irregular_words(found.file_type())),
        Err(error) => Some(match broken_link(path) {
            Some(link) => format!("{} is a link to nothing", link.display()),
            None if is_absent(&error) => ABSENT.to_owned(),
            None => error.to_string(),
        }),
    }
}

/// The entries of these folders whose names match.
fn entries(folders: &[PathBuf], pattern: &[u8]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in folders {
        // The empty path stands for the working directory, which the system calls otherwise.
        let listed = match folder.as_os_str().is_empty() {
            true => fs::read_dir("."),
            false => fs::read_dir(folder),
        };
        let listed = match listed {
            Err(error) if is_absent(&error) => {
                no_broken_link(folder)?;
                continue;
            }
            listed => listed.map_err(|error| told_of(folder, &error))?,
        };
        for entry in listed {
            let name = entry.map_err(|error| told_of(folder, &error))?.file_name();
            if matches(pattern, name.as_bytes()) {
                found.push(folder.join(name));
            }
        }
    }
    Ok(found)
}

fn no_broken_link(path: &Path) -> io::Result<()> {
    match broken_link(path) {
        None => Ok(()),
        Some(link) => {
            let message = format!("{} is a link to nothing", link.display());
            Err(io::Error::new(io::ErrorKind::NotFound, message))
        }
    }
}

fn told_of(folder: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", folder.display()))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        // A file in the place of a folder holds nothing either.
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Goes back to the last star only, so that the work is at most the length of the pattern times that of the name.
fn matches(mut pattern: &[u8], mut name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    // Where to go on when what follows the last `*` fails: after the star, one byte further.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern, name) {
            ([b'*', rest @ ..], _) => {
                pattern = rest;
                retry = Some((rest, name));
                continue;
            }
            ([], []) => return true,
            ([b'?', rest @ ..], [_, after @ ..]) => {
                // A character of several bytes in UTF-8 is one.
                let more = after.iter().take_while(|&b| matches!(b, 0x80..=0xbf));
                let after = after.get(more.count()..).unwrap_or_default();
                (pattern, name) = (rest, after);
                continue;
            }
            ([wanted, rest @ ..], [byte, after @ ..]) if wanted == byte => {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn stars_stand_for_any_characters_and_question_marks_for_one() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.example", false),
            ("*.conf", "a.conf~", false),
            ("*.conf", ".conf", false),
            (".*", ".conf", true),
            ("*", "", true),
            ("**", "", true),
            ("?", "", false),
            ("a*b*c", "axxbyybzc", true),
            ("a*b*c", "axxbyybz", false),
            ("*a*b*", "xxbxxaxx", false),
            ("REQUEST-9??-*.conf", "REQUEST-942-SQLI.conf", true),
            ("REQUEST-9??-*.conf", "REQUEST-94-SQLI.conf", false),
            ("a", "ab", false),
            ("[ab]*", "a", false),
            ("[ab]*", "[ab]x", true),
            ("*é", "caf\u{e9}", true),
            ("caf?.conf", "caf\u{e9}.conf", true),
            ("caf??.conf", "caf\u{e9}.conf", false),
            ("?", "\u{1f512}", true),
        ] {
            let found = matches(pattern.as_bytes(), name.as_bytes());
            assert_eq!(found, expected, "{pattern} {name}");
        }
        assert_eq!(fixed_folder("a/b[1]/c*/d"), "a/b[1]/");
        assert_eq!(fixed_folder("*.conf"), "");
        assert!(asks_for_plugins("crs/plugins/*-before.conf"));
        assert!(!asks_for_plugins("crs/plugins/one.conf"));
        assert!(!asks_for_plugins("plugins-*/x.conf"));
    }

    struct Folder(TempDir);

    impl Folder {
        fn new(files: &[&str]) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            for name in files {
                let path = folder.0.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            folder
        }

        fn names(&self, pattern: &str) -> Vec<String> {
            let found = expand(self.0.path(), pattern).unwrap();
            let strip = |p: &PathBuf| p.strip_prefix(self.0.path()).unwrap().display().to_string();
            found.iter().map(strip).collect()
        }
    }

    #[test]
    fn folders_are_walked_in_byte_order() {
        let files = [
            "b/2.conf",
            "b/10.conf",
            "a/1.conf",
            "a/1.txt",
            "a/.x.conf",
            "r1/a.conf",
            "r[1]/a.conf",
        ];
        let dir = Folder::new(&files);
        assert_eq!(dir.names("?/*.conf"), ["a/1.conf", "b/10.conf", "b/2.conf"]);
        assert_eq!(dir.names("a/*"), ["a/1.conf", "a/1.txt"]);
        assert_eq!(dir.names("*/1.conf"), ["a/1.conf"]);
        assert_eq!(dir.names("r[1]/*.conf"), ["r[1]/a.conf"]);
        assert!(dir.names("c/*.conf").is_empty());
        assert!(dir.names("a/1.txt/*").is_empty());
        let absolute = dir.0.path().join("b/1*").display().to_string();
        let found = expand(Path::new("elsewhere"), &absolute).unwrap();
        assert_eq!(found, [dir.0.path().join("b/10.conf")]);
    }

    #[test]
    fn what_cannot_be_read_is_named_all_the_same() {
        let dir = Folder::new(&["a/x.conf", "b/folder.conf/y"]);
        symlink("nowhere", dir.0.path().join("b/link.conf")).unwrap();
        assert_eq!(dir.names("b/*.conf"), ["b/folder.conf", "b/link.conf"]);
        symlink("nowhere", dir.0.path().join("current")).unwrap();
        for pattern in [
            "current/*.conf",
            "c*/x.conf",
            "c*/*.conf",
            "current/d/*.conf",
        ] {
            let error = expand(dir.0.path(), pattern).unwrap_err().to_string();
            assert!(
                error.ends_with("current is a link to nothing"),
                "{pattern}: {error}"
            );
        }
        assert_eq!(broken_link(&dir.0.path().join("a/none.conf")), None);
    }
}
