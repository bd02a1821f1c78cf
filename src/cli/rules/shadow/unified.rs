//! A change of a text file as a unified diff, as `patch` reads it.

use std::fmt::Write as _;

/// Unchanged lines around a change.
const CONTEXT: usize = 3;
/// Lines between the first and the last change that are compared one by one; more are shown as replaced.
const MOST_COMPARED: usize = 2000;

/// A line of a diff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'t> {
    Kept(&'t str),
    Removed(&'t str),
    Added(&'t str),
}

/// Empty if nothing changed.
pub(super) fn diff(path: &str, before: &str, after: &str) -> String {
    let lines = compare(&split(before), &split(after));
    let changes: Vec<usize> = (0..lines.len())
        .filter(|at| !matches!(lines[*at], Line::Kept(_)))
        .collect();
    let Some(first) = changes.first() else {
        return String::new();
    };
    // Writing to a string cannot fail, here and below.
    let mut out = format!("--- {path}\n+++ {path}\n");
    let mut begun = *first;
    let mut ended = *first;
    for &at in &changes {
        // With fewer lines between, the contexts of two hunks would overlap.
        if at > ended + 2 * CONTEXT {
            write_hunk(&mut out, &lines, begun, ended);
            begun = at;
        }
        ended = at;
    }
    write_hunk(&mut out, &lines, begun, ended);
    out
}

/// The lines from the first to the last change, with those around them.
fn write_hunk(out: &mut String, lines: &[Line<'_>], first: usize, last: usize) {
    let start = first.saturating_sub(CONTEXT);
    let end = (last + 1 + CONTEXT).min(lines.len());
    let is_old = |line: &&Line<'_>| !matches!(line, Line::Added(_));
    let is_new = |line: &&Line<'_>| !matches!(line, Line::Removed(_));
    let (above, hunk) = (&lines[..start], &lines[start..end]);
    let range = |before: usize, count: usize| match count {
        // As `diff` has it: the line behind which there is nothing.
        0 => format!("{before},0"),
        _ => format!("{},{count}", before + 1),
    };
    let old = range(
        above.iter().filter(is_old).count(),
        hunk.iter().filter(is_old).count(),
    );
    let new = range(
        above.iter().filter(is_new).count(),
        hunk.iter().filter(is_new).count(),
    );
    let _ = writeln!(out, "@@ -{old} +{new} @@");
    for line in hunk {
        let (mark, text) = match line {
            Line::Kept(text) => (' ', text),
            Line::Removed(text) => ('-', text),
            Line::Added(text) => ('+', text),
        };
        let end = match text.ends_with('\n') {
            true => "",
            false => "\n\\ No newline at end of file\n",
        };
        let _ = write!(out, "{mark}{text}{end}");
    }
}

/// Lines with their ends.
fn split(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn compare<'t>(before: &[&'t str], after: &[&'t str]) -> Vec<Line<'t>> {
    // Equal lines at both ends go first: the table below grows with the square of the rest.
    let same = |pair: &(&&str, &&str)| pair.0 == pair.1;
    let head = before.iter().zip(after).take_while(same).count();
    // No line may belong to both ends.
    let most = before.len().min(after.len()) - head;
    let tail = before.iter().rev().zip(after.iter().rev());
    let tail = tail.take(most).take_while(same).count();
    let (old, new) = (
        &before[head..before.len() - tail],
        &after[head..after.len() - tail],
    );
    let mut lines: Vec<Line<'t>> = before[..head].iter().map(|line| Line::Kept(line)).collect();
    match old.len().max(new.len()) > MOST_COMPARED {
        true => {
            lines.extend(old.iter().map(|line| Line::Removed(line)));
            lines.extend(new.iter().map(|line| Line::Added(line)));
        }
        false => compare_middle(old, new, &mut lines),
    }
    lines.extend(
        before[before.len() - tail..]
            .iter()
            .map(|line| Line::Kept(line)),
    );
    lines
}

/// By the longest common subsequence.
fn compare_middle<'t>(old: &[&'t str], new: &[&'t str], lines: &mut Vec<Line<'t>>) {
    let width = new.len() + 1;
    // How many lines the rests from both places have in common.
    // `MOST_COMPARED` fits 16 bits, and keeps this table below 10 MB.
    let mut common = vec![0_u16; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = match old[i] == new[j] {
                true => common[(i + 1) * width + j + 1] + 1,
                false => common[(i + 1) * width + j].max(common[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(Line::Kept(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || i < old.len() && common[(i + 1) * width + j] >= common[i * width + j + 1]
        {
            lines.push(Line::Removed(old[i]));
            i += 1;
        } else {
            lines.push(Line::Added(new[j]));
            j += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(range: std::ops::Range<usize>) -> String {
        range.map(|n| format!("{n}\n")).collect()
    }

    #[test]
    fn a_diff_is_what_patch_reads() {
        let before = numbered(0..30);
        let after = before.replace("5\n", "five\n").replace("\n20\n", "\n");
        let shown = diff("a.toml", &before, &after);
        let expected = "\
--- a.toml
+++ a.toml
@@ -3,7 +3,7 @@
 2
 3
 4
-5
+five
 6
 7
 8
";
        assert!(shown.starts_with(expected), "{shown}");
        let made = tempfile::tempdir().unwrap();
        let folder = made.path();
        for (before, after) in [
            (before.as_str(), after.as_str()),
            ("a\nb", "a\nc\n"),
            ("a\n", "a\nb"),
            ("", "a\n"),
            ("a\n", ""),
        ] {
            std::fs::write(folder.join("a.toml"), before).unwrap();
            std::fs::write(folder.join("a.diff"), diff("a.toml", before, after)).unwrap();
            let patch = std::process::Command::new("patch")
                .args(["-p0", "-E", "--posix", "-i", "a.diff"])
                .current_dir(folder)
                .output();
            // Not every machine has it.
            let Ok(patch) = patch else { break };
            assert!(patch.status.success(), "{patch:?}");
            let patched = std::fs::read_to_string(folder.join("a.toml"));
            assert_eq!(patched.unwrap_or_default(), after);
        }
        assert_eq!(diff("a.toml", "a\n", "a\n"), "");
    }

    #[test]
    fn many_lines_are_compared_in_bounded_memory() {
        let before = numbered(0..3 * MOST_COMPARED);
        let after = numbered(1..3 * MOST_COMPARED + 1);
        let shown = diff("a", &before, &after);
        assert!(shown.contains("-0\n") && shown.contains(&format!("+{}\n", 3 * MOST_COMPARED)));
    }
}
