//! Operators that find numbers of persons and cards: a pattern finds candidates, and a checksum decides.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use super::rx::Pattern;
use super::{Captures, Limit};
use crate::steps;

/// Bytes that may be searched for each byte of the value, on average. Candidates can overlap, so a pattern such as
/// `\d+` would make the work quadratic.
const WORK_PER_BYTE: usize = 64;

/// Bytes that may always be searched, so that short values never reach the limit.
const WORK_FLOOR: usize = 4096;

/// What a candidate is checked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// `@verifyCC`: a payment card, by its Luhn digit (ISO/IEC 7812-1).
    Card,
    /// `@verifyCPF`: a Brazilian taxpayer, by both check digits.
    Cpf,
    /// `@verifySSN`: a US social security number that can have been issued.
    Ssn,
    /// `@verifySVNR`: an Austrian social insurance number, by its check digit.
    Svnr,
}

impl Identity {
    /// Whether a candidate of the pattern is such a number. Captures the candidate.
    pub(super) fn search(
        self,
        pattern: &Pattern,
        value: &[u8],
        captures: Option<&mut Captures>,
    ) -> Result<bool, Limit> {
        let mut work = value.len() * WORK_PER_BYTE + WORK_FLOOR;
        let mut start = 0;
        while start < value.len() {
            let Some(found) = pattern.find_at(value, start)? else {
                return Ok(false);
            };
            if self.holds(&value[found.clone()]) {
                if let Some(captures) = captures {
                    captures.clear();
                    captures.push_range(found);
                }
                return Ok(true);
            }
            steps::work(found.end - start + 1)?;
            work = work
                .checked_sub(found.end - start + 1)
                .ok_or(Limit::Backtracking)?;
            // Not at the end of the candidate: a number may begin inside a longer run of digits.
            start = found.start + 1;
        }
        Ok(false)
    }

    /// Whether the digits of the text are such a number; other characters, such as hyphens, are skipped.
    #[must_use]
    pub fn holds(self, text: &[u8]) -> bool {
        let digits = || {
            text.iter()
                .filter(|b| b.is_ascii_digit())
                .map(|b| u32::from(b - b'0'))
        };
        match self {
            Self::Card => is_card(digits()),
            Self::Cpf => first(digits()).is_some_and(|d| is_cpf(&d)),
            Self::Ssn => digits().count() == 9 && first(digits()).is_some_and(|d| is_ssn(&d)),
            Self::Svnr => first(digits()).is_some_and(|d| is_svnr(&d)),
        }
    }
}

/// The first digits, as many as a number has; None if there are fewer.
fn first<const N: usize>(digits: impl Iterator<Item = u32>) -> Option<[u32; N]> {
    let mut out = [0; N];
    let mut count = 0;
    for (slot, digit) in out.iter_mut().zip(digits) {
        *slot = digit;
        count += 1;
    }
    (count == N).then_some(out)
}

/// Luhn: every second digit from the right counts twice, less 9 if that has two digits.
fn is_card(digits: impl Iterator<Item = u32>) -> bool {
    // Which digits are doubled is known only at the end, so both sums are kept.
    let (mut single, mut double, mut any) = (0, 0, false);
    for digit in digits {
        let doubled = if digit > 4 { digit * 2 - 9 } else { digit * 2 };
        (single, double) = ((double + digit) % 10, (single + doubled) % 10);
        any = true;
    }
    any && single == 0
}

fn is_cpf(digits: &[u32; 11]) -> bool {
    let check = |length: usize| {
        // The weights count up from 2, beginning at the digit before the check digit.
        let sum: u32 = digits[..length]
            .iter()
            .rev()
            .zip(2..)
            .map(|(d, w)| d * w)
            .sum();
        match sum % 11 {
            0 | 1 => 0,
            rest => 11 - rest,
        }
    };
    // Equal digits pass the checksum but were never issued.
    !all_equal(digits) && check(9) == digits[9] && check(10) == digits[10]
}

fn is_ssn(digits: &[u32; 9]) -> bool {
    let ascending = digits.windows(2).all(|pair| pair[1] == pair[0] + 1);
    let number = |digits: &[u32]| digits.iter().fold(0, |n, d| n * 10 + d);
    let (area, group, serial) = (
        number(&digits[..3]),
        number(&digits[3..5]),
        number(&digits[5..]),
    );
    // As ModSecurity: 666 was never assigned, and areas from 740 on were not assigned before 2011. Sequences such as
    // 123456789 are placeholders.
    !ascending
        && !all_equal(digits)
        && area != 0
        && area != 666
        && area < 740
        && group != 0
        && serial != 0
}

fn is_svnr(digits: &[u32; 10]) -> bool {
    // The fourth digit is the check digit, so it has no weight.
    const WEIGHTS: [u32; 10] = [3, 7, 9, 0, 5, 8, 4, 2, 1, 6];
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(d, w)| d * w).sum();
    !all_equal(digits) && (sum % 11) % 10 == digits[3]
}

fn all_equal(digits: &[u32]) -> bool {
    digits.windows(2).all(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use super::super::pcre::PatternOptions;
    use super::*;

    fn pattern(text: &str) -> Pattern {
        let options = PatternOptions {
            multi_line: true,
            ..PatternOptions::default()
        };
        Pattern::compile(text.as_bytes(), options).unwrap()
    }

    #[test]
    fn checksums() {
        for (identity, text, valid) in [
            (Identity::Card, "4111 1111 1111 1111", true),
            (Identity::Card, "4111111111111112", false),
            (Identity::Card, "none", false),
            (Identity::Cpf, "010.817.514-60", true),
            (Identity::Cpf, "010.817.514-61", false),
            (Identity::Cpf, "111.111.111-11", false),
            (Identity::Cpf, "010.817.514-6", false),
            (Identity::Ssn, "574-57-8065", true),
            (Identity::Ssn, "574-57-80651", false),
            (Identity::Ssn, "666-57-8065", false),
            (Identity::Ssn, "740-57-8065", false),
            (Identity::Ssn, "574-00-8065", false),
            (Identity::Ssn, "123-45-6789", false),
            (Identity::Ssn, "555-55-5555", false),
            (Identity::Svnr, "1237 010180", true),
            (Identity::Svnr, "1238 010180", false),
            (Identity::Svnr, "0000 000000", false),
        ] {
            assert_eq!(
                identity.holds(text.as_bytes()),
                valid,
                "{identity:?} {text}"
            );
        }
    }

    #[test]
    fn later_and_overlapping_candidates_are_tried() {
        let mut captures = Captures::default();
        let value = b"no 1111111111111111, 94111111111111111 end";
        let found = Identity::Card
            .search(&pattern(r"\d{16}"), value, Some(&mut captures))
            .unwrap();
        assert!(found);
        assert_eq!(captures.group(0, value), Some(&b"4111111111111111"[..]));
        assert_eq!(
            Identity::Card.search(&pattern(r"\d*"), b"x 1", None),
            Ok(false)
        );
    }

    #[test]
    fn work_is_bounded() {
        // Every suffix is a candidate: quadratic, were it not bounded.
        let value = [b"1".repeat(40_000), b"x".to_vec()].concat();
        let outcome = Identity::Ssn.search(&pattern(r"\d+"), &value, None);
        assert_eq!(outcome, Err(Limit::Backtracking));
        let value = b"1234567890".repeat(4_000);
        let outcome = Identity::Ssn.search(&pattern(r"\d{9}x?"), &value, None);
        assert!(outcome.is_ok());
    }
}
