//! Shows bytes of requests and rules, and words for a shell.
//!
//! Requests come from attackers, so nothing in them may control the terminal that shows it, or look like something
//! else.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use std::ops::Range;

/// Bytes of `\xNN`.
const ESCAPED: usize = 4;

/// Bytes for a terminal: without control characters, and so that different bytes look different. A backslash is
/// doubled, because it begins our own escapes.
pub(crate) fn show(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\r' => out.push_str("\\r"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                c if c.is_control() || is_invisible(c) => out.extend(c.escape_unicode()),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// Characters that change how the text around them is displayed (bidirectional controls), and blanks without width.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Like [`show`], cut after `most` characters.
pub(crate) fn show_short(bytes: &[u8], most: usize) -> String {
    // A character has at most four bytes, so these bytes hold at least `most` characters. The rest of a long body is
    // not even looked at.
    let text = show(&bytes[..bytes.len().min(most * 4)]);
    match text.char_indices().nth(most) {
        None if bytes.len() <= most * 4 => text,
        None => format!("{text}..."),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// One word for a POSIX shell.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Bytes for JSON: as text, with `\xNN` for each byte that is not UTF-8.
pub(crate) fn json_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes
            .utf8_chunks()
            .map(|chunk| {
                let invalid: String = chunk
                    .invalid()
                    .iter()
                    .map(|b| format!("\\x{b:02x}"))
                    .collect();
                chunk.valid().to_owned() + &invalid
            })
            .collect(),
    }
}

/// Where [`json_text`] has a span of the bytes, as offsets in its UTF-8. It is widened to whole characters.
pub(crate) fn json_span(bytes: &[u8], span: &Range<usize>) -> [usize; 2] {
    [
        json_offset(bytes, span.start, |text, at| {
            (0..=at).rev().find(|&at| text.is_char_boundary(at))
        }),
        json_offset(bytes, span.end, |text, at| {
            (at..=text.len()).find(|&at| text.is_char_boundary(at))
        }),
    ]
}

/// Where [`json_text`] has the byte `at`. Inside a character `boundary` chooses one of its ends.
fn json_offset(bytes: &[u8], at: usize, boundary: impl Fn(&str, usize) -> Option<usize>) -> usize {
    let (mut before, mut shown) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        let (text, invalid) = (chunk.valid(), chunk.invalid().len());
        let inside = at - before;
        if inside <= text.len() {
            return shown + boundary(text, inside).unwrap_or(inside);
        }
        // Each byte that is not UTF-8 is shown as `\xNN`.
        let escaped = (inside - text.len()).min(invalid);
        shown += text.len() + ESCAPED * escaped;
        before += text.len() + invalid;
        if at < before {
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_quoted_word_as_it_was() {
        assert_eq!(shell_word("/tmp/a-b_1.pem"), "/tmp/a-b_1.pem");
        assert_eq!(
            shell_word(""),
            "''",
            "no word at all would shift the next one"
        );
        assert_eq!(shell_word("/tmp/a b's"), r"'/tmp/a b'\''s'");
        assert_eq!(shell_word("O'Reilly; rm -rf"), "'O'\\''Reilly; rm -rf'");
    }

    #[test]
    fn nothing_shown_can_steer_a_terminal() {
        assert_eq!(
            show(b"a\r\n\t\x1b[2J\xff\\ \xe2\x80\xae"),
            "a\\r\\n\\t\\u{1b}[2J\\xff\\\\ \\u{202e}"
        );
        assert_eq!(show_short("é".repeat(50).as_bytes(), 3), "ééé...");
        assert_eq!(show_short(b"abc", 3), "abc");
        assert_eq!(json_text(b"a\xe9\n"), "a\\xe9\n");
    }

    #[test]
    fn a_span_is_where_the_json_has_it() {
        for (bytes, span, expected) in [
            (&b"a union b"[..], 2..7, "union"),
            ("aéb".as_bytes(), 2..2, "é"),
            ("aéb".as_bytes(), 0..2, "aé"),
            (b"\xff\xffab", 0..2, "\\xff\\xff"),
            (b"\xff\xffab", 1..3, "\\xffa"),
            (b"\xc3\xa9\xff\xc3\xa9b\xff", 3..5, "é"),
            (b"\xc3\xa9\xff\xc3\xa9b\xff", 5..7, "b\\xff"),
            (b"\xe2\x82a", 1..3, "\\x82a"),
            (b"a", 1..1, ""),
        ] {
            let [start, end] = json_span(bytes, &span);
            assert_eq!(
                &json_text(bytes)[start..end],
                expected,
                "{bytes:?} {span:?}"
            );
        }
    }
}
