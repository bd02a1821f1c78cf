//! Characters that lenient servers read as others: by best-fit mappings, by Unicode normalization (NFKC), and by
//! comparing without case.
//!
//! Folding may take more characters for the same than any server does: then we refuse an odd path too many. It must
//! never take fewer.

/// The ASCII characters that structure a path and those that look like them, as the former.
pub(super) fn ascii_like(char: char) -> Option<&'static [u8]> {
    Some(match char {
        '\0' => b"\0",
        '.' | '\u{2024}' | '\u{fe52}' | '\u{ff0e}' => b".",
        // Leaders of two and three dots: NFKC makes dots of them, and so a dot segment.
        '\u{2025}' => b"..",
        '\u{2026}' => b"...",
        '/' | '\u{2044}' | '\u{2215}' | '\u{ff0f}' => b"/",
        '\\' | '\u{2216}' | '\u{fe68}' | '\u{ff3c}' => b"\\",
        ';' | '\u{037e}' | '\u{fe54}' | '\u{ff1b}' => b";",
        '?' | '\u{fe56}' | '\u{ff1f}' => b"?",
        '#' | '\u{fe5f}' | '\u{ff03}' => b"#",
        '%' | '\u{fe6a}' | '\u{ff05}' => b"%",
        _ => return None,
    })
}

/// Letters in lower case and of one width, blanks as spaces, without invisible characters. Bytes that are not UTF-8
/// stay.
pub(super) fn folded(bytes: Vec<u8>) -> Vec<u8> {
    // Nearly all paths end here: of ASCII only the case is folded.
    if bytes.is_ascii() {
        return bytes.to_ascii_lowercase();
    }
    let mut out = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            fold(char, &mut out);
        }
        out.extend_from_slice(chunk.invalid());
    }
    out
}

fn fold(char: char, out: &mut Vec<u8>) {
    if let Some(ascii) = ascii_like(char) {
        out.extend_from_slice(ascii);
        return;
    }
    // Some servers drop these, so `.` and an invisible character is a dot segment.
    if is_invisible(char) {
        return;
    }
    if char.is_whitespace() && !char.is_ascii() {
        out.push(b' ');
        return;
    }
    // Upper case first: that of a long s is S, and that of a dotless i is I.
    for upper in unstyled(char).to_uppercase() {
        for lower in unstyled(upper).to_lowercase() {
            out.extend_from_slice(lower.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

fn is_invisible(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// The plain letter or digit for a styled one, such as a full-width or circled one.
fn unstyled(char: char) -> char {
    let code = u32::from(char);
    let letter = |offset: u32, first: char| char::from_u32(u32::from(first) + offset);
    let found = match char {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(code - 0xff00 + 0x20),
        '\u{24b6}'..='\u{24e9}' => letter((code - 0x24b6) % 26, 'a'),
        '\u{1d400}'..='\u{1d6a3}' => letter((code - 0x1d400) % 26, 'a'),
        '\u{1d7ce}'..='\u{1d7ff}' => letter((code - 0x1d7ce) % 10, '0'),
        '\u{130}' => Some('i'),
        '\u{212f}' | '\u{2130}' => Some('e'),
        '\u{2102}' | '\u{212d}' => Some('c'),
        '\u{210a}' => Some('g'),
        '\u{210b}'..='\u{210e}' => Some('h'),
        '\u{2110}' | '\u{2111}' => Some('i'),
        '\u{2112}' | '\u{2113}' => Some('l'),
        '\u{2115}' => Some('n'),
        '\u{2119}' => Some('p'),
        '\u{211a}' => Some('q'),
        '\u{211b}'..='\u{211d}' => Some('r'),
        '\u{2124}' | '\u{2128}' => Some('z'),
        '\u{212c}' => Some('b'),
        '\u{2131}' => Some('f'),
        '\u{2133}' => Some('m'),
        '\u{2134}' => Some('o'),
        _ => None,
    };
    found.unwrap_or(char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_a_word_fold_to_one() {
        for form in [
            "secret",
            "SECRET",
            "Secret",
            "\u{ff53}\u{ff45}\u{ff43}\u{ff52}\u{ff45}\u{ff54}",
            "\u{ff33}ecret",
            "\u{17f}ecret",
            "se\u{200b}cr\u{ad}et",
            "\u{24e2}ecret",
            "\u{1d42c}ecret",
            "se\u{212d}ret",
        ] {
            assert_eq!(folded(form.into()), b"secret", "{form}");
        }
        assert_eq!(folded("\u{212a}\u{131}\u{130}".into()), b"kii");
        assert_eq!(folded("\u{a0}a\u{3000}".into()), b" a ");
        assert_eq!(folded(b"a\xff\xc3\xa9".to_vec()), b"a\xff\xc3\xa9");
        assert_ne!(folded("secr\u{e9}t".into()), b"secret");
    }
}
