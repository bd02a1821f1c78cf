//! Operators that compare numbers, read as C's `atoi` reads them.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::cmp::Ordering;

use crate::variables::atoi;

/// How the value's number must compare to the argument's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `@eq`
    Equal,
    /// `@gt`
    Greater,
    /// `@ge`
    GreaterOrEqual,
    /// `@lt`
    Less,
    /// `@le`
    LessOrEqual,
}

impl Comparison {
    /// Whether the number of `value` compares to that of `argument` in this way.
    #[must_use]
    pub fn holds(self, argument: &[u8], value: &[u8]) -> bool {
        self.holds_for(number(argument), number(value))
    }

    /// The same for numbers that are already read.
    #[must_use]
    pub fn holds_for(self, argument: i64, value: i64) -> bool {
        let ordering = value.cmp(&argument);
        match self {
            Self::Equal => ordering == Ordering::Equal,
            Self::Greater => ordering == Ordering::Greater,
            Self::GreaterOrEqual => ordering != Ordering::Less,
            Self::Less => ordering == Ordering::Less,
            Self::LessOrEqual => ordering != Ordering::Greater,
        }
    }
}

/// Leading blanks, a sign, digits. What follows is ignored, and no digits at all are 0. C leaves overflow undefined;
/// here it gives the nearest number in range.
#[must_use]
pub fn number(text: &[u8]) -> i64 {
    atoi(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_atoi() {
        for (text, expected) in [
            ("", 0),
            ("x", 0),
            (" \t\x0b12x", 12),
            ("+7", 7),
            ("-7-", -7),
            ("--7", 0),
            ("1e3", 1),
            ("0x10", 0),
            ("99999999999999999999", i64::MAX),
            ("-99999999999999999999", i64::MIN),
        ] {
            assert_eq!(number(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn the_value_is_compared_to_the_argument() {
        let holds = |c: Comparison| {
            [("5", "4"), ("5", "5"), ("5", "6")].map(|(a, v)| c.holds(a.as_bytes(), v.as_bytes()))
        };
        assert_eq!(holds(Comparison::Equal), [false, true, false]);
        assert_eq!(holds(Comparison::Greater), [false, false, true]);
        assert_eq!(holds(Comparison::GreaterOrEqual), [false, true, true]);
        assert_eq!(holds(Comparison::Less), [true, false, false]);
        assert_eq!(holds(Comparison::LessOrEqual), [true, true, false]);
    }
}
