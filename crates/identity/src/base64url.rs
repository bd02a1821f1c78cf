//! Base64url without padding (RFC 7515, 2), in its one canonical spelling. If two spellings of a part were taken, a token
//! could be changed without breaking its signature, and a list of denied tokens could be passed.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The bytes, or None if the text is not canonical.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for letter in group {
            bits = bits << 6 | u32::from(value(*letter)?);
        }
        let count = match group.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        let unused = group.len() * 6 - count * 8;
        if bits & ((1 << unused) - 1) != 0 {
            return None;
        }
        let whole = (bits >> unused) << (8 * (4 - count));
        bytes.extend(whole.to_be_bytes().into_iter().take(count));
    }
    Some(bytes)
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut padded = [0; 4];
        for (to, from) in padded.iter_mut().skip(1).zip(group) {
            *to = *from;
        }
        let bits = u32::from_be_bytes(padded);
        for place in 0..=group.len() {
            text.push(letter(bits >> (18 - 6 * place)));
        }
    }
    text
}

fn letter(bits: u32) -> char {
    let letter = ALPHABET.get(bits as usize & 63);
    // The mask keeps the place inside the alphabet, so the default is never used.
    char::from(letter.copied().unwrap_or(b'A'))
}

fn value(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_for_all_bytes() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg"),
            (b"\xfb\xff\xfe", "-__-"),
        ] {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes), "{text}");
        }
        for text in [
            "Z", "Zh", "Zm9", "Zg==", "Zm9vYg=", "+//+", "Zm 9v", "Zm9vA", "Zg\n", "\u{e4}A",
        ] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_decodes_encodes_to_itself() {
        let mut random = crate::tests::Random::default();
        for _ in 0..20_000 {
            let length = random.below(12);
            let text: Vec<u8> = (0..length)
                .map(|_| match random.below(40) {
                    0 => b'=',
                    _ => ALPHABET[random.below(64)],
                })
                .collect();
            if let Some(bytes) = decode(&text) {
                assert_eq!(encode(&bytes).as_bytes(), text);
            }
            assert_eq!(decode(encode(&text).as_bytes()), Some(text));
        }
    }
}
