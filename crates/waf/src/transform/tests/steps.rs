//! No transformation goes on over a long value when there is no time left, and in pieces it makes the same of it.

use super::super::Transformation as T;
use super::transformed;
use crate::steps::{self, Limit, within};

const LENGTH: usize = 1 << 20;

/// What each has to work on, all along a value.
fn unit(transformation: T) -> Option<&'static str> {
    Some(match transformation {
        // Two looks at its ends, or none at all.
        T::Length | T::Trim | T::TrimLeft | T::TrimRight => return None,
        T::CssDecode | T::EscapeSeqDecode | T::JsDecode => "\\n",
        T::HtmlEntityDecode => "&lt;",
        T::NormalizePath | T::NormalizePathWin => "a/./b/",
        T::RemoveComments => "a/*b*/",
        T::RemoveCommentsChar | T::ReplaceComments => "/**/",
        T::RemoveNulls | T::ReplaceNulls => "\0a",
        T::CompressWhitespace | T::RemoveWhitespace => "a  ",
        T::SqlHexDecode => "0x41 ",
        T::UrlDecode | T::UrlDecodeUni => "%41+",
        T::UrlEncode => "<a",
        T::Utf8ToUnicode => "\u{e9}",
        _ => "aB4d",
    })
}

#[test]
fn long_values_end_transformations_when_time_does() {
    for transformation in T::all() {
        let Some(unit) = unit(transformation) else {
            continue;
        };
        let value = unit.repeat(LENGTH / unit.len());
        let is_over = |limit| {
            let apply = || {
                transformation.apply(value.as_bytes(), &mut Vec::new(), None);
                steps::is_over()
            };
            within(limit, apply).0
        };
        assert!(is_over(Limit::Looks(4)), "{transformation:?}");
        assert!(!is_over(Limit::Looks(u64::MAX)), "{transformation:?}");
    }
}

#[test]
fn pieces_become_what_the_whole_becomes() {
    for transformation in T::all().filter(|t| t.is_done_by_pieces()) {
        for unit in [
            unit(transformation).unwrap_or_default(),
            "a",
            "Zz9\0 \u{e9}",
            "\x07\u{a0}%2",
        ] {
            for length in [steps::STEP + 1, 3 * super::super::PIECE, 100_001] {
                let mut value = unit.repeat(length / unit.len() + 1).into_bytes();
                value.truncate(length);
                let mut whole = Vec::new();
                if !transformation.apply_at_once(&value, &mut whole, None) {
                    whole.clone_from(&value);
                }
                let made = transformed(transformation, &value, None);
                assert_eq!(made, whole, "{transformation:?} {unit:?} {length}");
            }
        }
    }
}
