//! File name patterns: `*` and `?` in any part of a path.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// The existing files that `pattern` names, in byte order; relative to `directory`.
///
/// # Errors
/// A folder that cannot be listed. One that does not exist holds nothing.
pub(super) fn expand(directory: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![directory.to_owned()];
    for component in Path::new(pattern).components() {
        let Component::Normal(part) = component else {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        };
        let part = part.to_string_lossy();
        if !is_pattern(&part) {
            found.iter_mut().for_each(|path| path.push(&*part));
            continue;
        }
        let mut next = Vec::new();
        for folder in found {
            next.extend(matching_entries(&folder, &part)?);
        }
        found = next;
    }
    found.retain(|path| path.is_file());
    found.sort();
    Ok(found)
}

fn matching_entries(folder: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    let listed = match folder.as_os_str().is_empty() {
        true => fs::read_dir("."),
        false => fs::read_dir(folder),
    };
    let entries = match listed {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        // As in a shell: hidden files are not meant.
        let text = name.to_string_lossy();
        if matches(pattern.as_bytes(), text.as_bytes()) && !text.starts_with('.') {
            found.push(folder.join(&name));
        }
    }
    Ok(found)
}

/// Goes back to the last star only, so work is at most pattern times name.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters_and_question_marks_for_one() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", true),
            ("*.conf", "a.conf~", false),
            ("REQUEST-9??-*.conf", "REQUEST-942-SQLI.conf", true),
            ("REQUEST-9??-*.conf", "REQUEST-94-SQLI.conf", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("**", "", true),
            ("?", "", false),
        ] {
            let matched = matches(pattern.as_bytes(), name.as_bytes());
            assert_eq!(matched, expected, "{pattern} {name}");
        }
    }

    #[test]
    fn folders_are_walked_in_byte_order() {
        let dir = std::env::temp_dir().join(format!("drawbridge-glob-{}", std::process::id()));
        for name in ["b/2.conf", "b/10.conf", "a/1.conf", "a/1.txt", "a/.x.conf"] {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let names = |pattern: &str| -> Vec<String> {
            let found = expand(&dir, pattern).unwrap();
            let strip = |p: &PathBuf| p.strip_prefix(&dir).unwrap().display().to_string();
            found.iter().map(strip).collect()
        };
        assert_eq!(names("*/*.conf"), ["a/1.conf", "b/10.conf", "b/2.conf"]);
        assert_eq!(names("a/*"), ["a/1.conf", "a/1.txt"]);
        assert!(names("c/*.conf").is_empty());
        assert!(names("a/1.txt/*").is_empty());
        fs::remove_dir_all(&dir).unwrap();
    }
}
