//! Bytes without which no rule of a class matches a value.
//!
//! Many variables are looked at by one or two rules, for control characters or a brace. Then a search for these bytes says
//! that a value has none of them, before anything else is known of it.

use super::head::Head;
use crate::byteset::ByteSet;

/// The bytes of one class, if they are few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marks {
    /// Too many, or a rule that matches without any.
    Unknown,
    One([u8; 1]),
    Two([u8; 2]),
    Three([u8; 3]),
    /// Up to six, the last one perhaps more than once.
    Six([u8; 6]),
}

impl Marks {
    /// For the rules of a class.
    pub(super) fn of<'h>(heads: impl Iterator<Item = &'h Head<'h>>) -> Self {
        let mut all = ByteSet::EMPTY;
        for head in heads {
            // A match needs a byte of each clause, so one clause is enough. Of equal ones the first is the rarest.
            match head.need.clauses.iter().min_by_key(|clause| clause.len()) {
                Some(clause) => all = all.union(*clause),
                None => return Self::Unknown,
            }
        }
        // One more than fits, which shows that there are too many.
        let bytes: Vec<u8> = all.iter().take(7).collect();
        match *bytes {
            [a] => Self::One([a]),
            [a, b] => Self::Two([a, b]),
            [a, b, c] => Self::Three([a, b, c]),
            [a, b, c, d] => Self::Six([a, b, c, d, d, d]),
            [a, b, c, d, e] => Self::Six([a, b, c, d, e, e]),
            [a, b, c, d, e, f] => Self::Six([a, b, c, d, e, f]),
            _ => Self::Unknown,
        }
    }

    /// Whether the value has none of them, so that no rule matches it.
    #[inline]
    pub(crate) fn are_absent_in(&self, value: &[u8]) -> bool {
        let first = match *self {
            Self::Unknown => return false,
            Self::One([a]) => memchr::memchr(a, value),
            Self::Two([a, b]) => memchr::memchr2(a, b, value),
            Self::Three([a, b, c]) => memchr::memchr3(a, b, c, value),
            Self::Six([a, b, c, d, e, f]) => {
                memchr::memchr3(a, b, c, value).or_else(|| memchr::memchr3(d, e, f, value))
            }
        };
        first.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_without_marks_is_told() {
        let marks = [
            Marks::One(*b"{"),
            Marks::Two(*b"{\n"),
            Marks::Three(*b"{\n\r"),
            Marks::Six(*b"{\n\r$$$"),
        ];
        for (count, marks) in (1..).zip(marks) {
            for (value, with) in [
                (&b""[..], 5),
                (b"plain, long enough for a vector; and more of it", 5),
                (b"a$", 4),
                (b"a{", 1),
                (b"a\nb", 2),
                (b"\r", 3),
            ] {
                assert_eq!(marks.are_absent_in(value), with > count, "{value:?}");
            }
        }
        assert!(!Marks::Unknown.are_absent_in(b""));
    }
}
