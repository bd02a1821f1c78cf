//! Which paths are refused, whatever they lead to: those that another server may read as another path.

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFault {
    /// `.` or `..`, in any spelling, also before `;` parameters.
    DotSegment,
    /// `%2f`
    EncodedSlash,
    /// `\` or `%5c`
    Backslash,
    /// `%00`
    Nul,
    /// Bytes that are no UTF-8 but an old decoder's `.`, `/` or `\` (RFC 3629, section 10).
    Overlong,
}

impl PathFault {
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::DotSegment => "path_dot_segment",
            Self::EncodedSlash => "path_encoded_slash",
            Self::Backslash => "path_backslash",
            Self::Nul => "path_nul",
            Self::Overlong => "path_overlong_utf8",
        }
    }
}

/// Looks at a path as received, without its query. One pass.
///
/// # Errors
/// What is wrong first.
pub fn check(path: &[u8], pass_encoded_slashes: bool) -> Result<(), PathFault> {
    let mut segment = Segment::default();
    let mut before = 0;
    for (byte, encoded) in decoded(path) {
        match byte {
            b'/' if encoded && !pass_encoded_slashes => return Err(PathFault::EncodedSlash),
            b'/' => std::mem::take(&mut segment).end()?,
            b'\\' => return Err(PathFault::Backslash),
            0 => return Err(PathFault::Nul),
            0xc0 | 0xc1 => return Err(PathFault::Overlong),
            0x80..=0x9f if before == 0xe0 => return Err(PathFault::Overlong),
            0x80..=0x8f if before == 0xf0 => return Err(PathFault::Overlong),
            _ => segment.push(byte),
        }
        before = byte;
    }
    segment.end()
}

/// Bytes with `%XX` decoded once, and whether each was encoded.
fn decoded(path: &[u8]) -> impl Iterator<Item = (u8, bool)> {
    let mut rest = path;
    std::iter::from_fn(move || {
        if let [b'%', high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            rest = after;
            return Some((high << 4 | low, true));
        }
        let (&byte, after) = rest.split_first()?;
        rest = after;
        Some((byte, false))
    })
}

fn hex(digit: u8) -> Option<u8> {
    // A hexadecimal digit's value fits into four bits.
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// What is remembered of a segment: how many dots it has, and whether it has anything else.
#[derive(Default)]
struct Segment {
    dots: u32,
    other: bool,
    parameters: bool,
}

impl Segment {
    fn push(&mut self, byte: u8) {
        match byte {
            _ if self.parameters => {}
            b';' => self.parameters = true,
            b'.' if !self.other => self.dots += 1,
            // Some systems drop blanks at the end of a name.
            b' ' | b'\t' if self.dots > 0 => {}
            _ => self.other = true,
        }
    }

    fn end(self) -> Result<(), PathFault> {
        match self {
            Self {
                dots: 1 | 2,
                other: false,
                ..
            } => Err(PathFault::DotSegment),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PathFault::*;
    use super::*;

    #[test]
    fn spellings() {
        for (path, expected) in [
            ("/orders/../x", Some(DotSegment)),
            ("/orders/..", Some(DotSegment)),
            ("/orders/.", Some(DotSegment)),
            ("/./orders", Some(DotSegment)),
            ("/orders/%2e%2e/x", Some(DotSegment)),
            ("/orders/%2E./x", Some(DotSegment)),
            ("/orders/.%2e;a=b/x", Some(DotSegment)),
            ("/orders/..;/x", Some(DotSegment)),
            ("/orders/..%3b/x", Some(DotSegment)),
            ("/orders/..%20/x", Some(DotSegment)),
            ("/orders%2fx", Some(EncodedSlash)),
            ("/orders%2Fx", Some(EncodedSlash)),
            ("/orders/..%2fx", Some(EncodedSlash)),
            ("/orders\\x", Some(Backslash)),
            ("/orders/..\\x", Some(Backslash)),
            ("/orders/%5Cx", Some(Backslash)),
            ("/orders/x%00.png", Some(Nul)),
            ("/orders/%c0%ae%c0%ae/x", Some(Overlong)),
            ("/orders/%e0%80%ae/x", Some(Overlong)),
            ("/orders/%f0%80%80%ae/x", Some(Overlong)),
            ("/orders/%c1%9cx", Some(Overlong)),
            ("/", None),
            ("", None),
            ("*", None),
            ("/orders/", None),
            ("/orders/.../x", None),
            ("/orders/.well-known", None),
            ("/orders/a..b/..c", None),
            ("/orders/%252e%252e/x", None),
            ("/orders/a;b=..", None),
            ("/orders/%c3%a9", None),
            ("/orders/%e0%a4%a0", None),
            ("/orders/%", None),
            ("/orders/%2", None),
            ("/orders/%zz", None),
        ] {
            assert_eq!(check(path.as_bytes(), false).err(), expected, "{path}");
        }
    }

    #[test]
    fn encoded_slashes_may_pass_but_no_dots_between_them() {
        assert_eq!(check(b"/orders/a%2fb", true), Ok(()));
        assert_eq!(check(b"/orders/a%2f..%2fb", true), Err(DotSegment));
        assert_eq!(check(b"/orders/a%5cb", true), Err(Backslash));
    }
}
