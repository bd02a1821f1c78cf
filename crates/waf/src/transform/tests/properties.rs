//! What holds for every transformation and every value.

use super::{Transformation, UnicodeMap, transformed};
use crate::byteset::ByteSet;
use crate::random::Xorshift;
use crate::transform::{LiteralEffect, work};

/// Cases a transformation.
const CASES: u32 = 4000;

/// What transformations look for; drawn far more often than chance would.
const PIECES: &[&[u8]] = &[
    b"%",
    b"%u",
    b"%41",
    b"%u0041",
    b"%uff1c",
    b"+",
    b"\\",
    b"\\u0041",
    b"\\uff",
    b"\\x",
    b"\\x41",
    b"\\101",
    b"\\4",
    b"\\n",
    b"\\\n",
    b"&",
    b"&lt;",
    b"&gt",
    b"&#",
    b"&#60;",
    b"&#x3c",
    b"&nbsp;",
    b"/*",
    b"*/",
    b"<!--",
    b"-->",
    b"--",
    b"#",
    b"/",
    b"//",
    b"./",
    b"../",
    b"..",
    b"..\\",
    b" ",
    b"  ",
    b"\t",
    b"\x0b",
    b"\xa0",
    b"\0",
    b"0x",
    b"0x41",
    b"=",
    b"QUJD",
    b"'",
    b"\"",
    b"^",
    b",",
    b";",
    b"(",
    b"A",
    b"z",
    b"\xc3\xa9",
    b"\xe2\x82\xac",
    b"\xf0\x9f\x98\x80",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf5\x80\x80\x80",
    b"\xe2\x82",
    b"\xff",
];

/// Up to some twenty pieces; half of the time from a vocabulary of three, so that sets of bytes stay small.
fn value(random: &mut Xorshift) -> Vec<u8> {
    let few = [0; 3].map(|_| random.below(PIECES.len()));
    let narrow = random.next().is_multiple_of(2);
    let mut value = Vec::new();
    for _ in 0..random.below(20) {
        match random.below(8) {
            0 => value.push(random.next().to_le_bytes()[0]),
            1 => value.push(b"0123456789abcdefABCDEFuxX"[random.below(25)]),
            _ if narrow => value.extend_from_slice(PIECES[few[random.below(3)]]),
            _ => value.extend_from_slice(PIECES[random.below(PIECES.len())]),
        }
    }
    value
}

fn map() -> UnicodeMap {
    UnicodeMap::parse("1 one\n0041:ff ff1c:3c 0000:01\n", 1).unwrap()
}

/// Every transformation on many values, with and without a map: the value, and the value after it.
fn each(mut check: impl FnMut(Transformation, &[u8], &[u8])) {
    let map = map();
    for (seed, transformation) in (1..).zip(Transformation::all()) {
        let mut random = Xorshift::new(seed);
        for case in 0..CASES {
            let value = value(&mut random);
            let unicode = (case % 2 == 0).then_some(&map);
            check(
                transformation,
                &value,
                &transformed(transformation, &value, unicode),
            );
        }
    }
}

#[test]
fn the_same_value_gives_the_same_result_whatever_was_in_the_buffer() {
    let map = map();
    let mut random = Xorshift::new(1);
    let mut used = Vec::new();
    for _ in 0..CASES {
        let value = value(&mut random);
        for transformation in Transformation::all() {
            let mut fresh = Vec::new();
            let changed = transformation.apply(&value, &mut fresh, Some(&map));
            assert_eq!(transformation.apply(&value, &mut used, Some(&map)), changed);
            assert!(!changed || used == fresh, "{transformation:?}");
        }
    }
}

#[test]
fn nothing_changes_without_a_trigger() {
    let mut untriggered = 0;
    each(|transformation, value, after| {
        let triggered = value.iter().any(|&b| transformation.triggers().contains(b));
        if !value.is_empty() && !triggered {
            untriggered += 1;
            assert_eq!(value, after, "{transformation:?}");
        }
    });
    assert!(
        untriggered > CASES,
        "only {untriggered} values tell anything"
    );
    for transformation in Transformation::all() {
        let after = transformed(transformation, b"", None);
        assert_eq!(!after.is_empty(), transformation.alters_empty());
    }
}

#[test]
fn every_trigger_can_change_something() {
    // Around each trigger, what may turn it into a change.
    for transformation in Transformation::all() {
        for byte in (0..=255u8).filter(|&b| transformation.triggers().contains(b)) {
            let around: [&[&[u8]]; 2] = [
                &[b"", b"/", b"-", b"0", b" ", b"a/"],
                &[
                    b"",
                    b"/",
                    b"-",
                    b"41",
                    b"lt;",
                    b"\x80",
                    b"\x80\x80",
                    b"\x80\x80\x80",
                    b" ",
                    b"a",
                ],
            ];
            let changes = around[0].iter().any(|before| {
                around[1].iter().any(|after| {
                    let value = [before, &[byte][..], after].concat();
                    transformed(transformation, &value, None) != value
                })
            });
            assert!(changes, "{transformation:?} needs no {byte:#04x}");
        }
    }
}

#[test]
fn the_output_stays_inside_its_image() {
    each(|transformation, value, after| {
        let image = transformation.image(&ByteSet::of(value));
        for &byte in after {
            assert!(
                image.contains(byte),
                "{transformation:?} of \"{}\" has {byte:#04x}",
                value.escape_ascii()
            );
        }
    });
}

#[test]
fn the_output_stays_inside_what_it_may_leave() {
    each(|transformation, value, after| {
        if value != after {
            let left = transformation.may_leave(ByteSet::of(value));
            assert!(
                after.iter().all(|&b| left.contains(b)),
                "{transformation:?} of {}",
                value.escape_ascii()
            );
        }
    });
}

/// The prefilter looks for literals in the value as received where this says that nothing makes them.
#[test]
fn no_literal_comes_from_what_has_no_effect_on_literals() {
    let mut checked = [0; 2];
    each(|transformation, value, after| {
        let outlives = match transformation.effect_on_literals(&ByteSet::of(value)) {
            LiteralEffect::None => |_: &[u8]| true,
            LiteralEffect::Blanks => crate::prefilter::outlives_blanks,
            LiteralEffect::Any => return,
        };
        if value == after {
            return;
        }
        let (before, after) = (value.to_ascii_lowercase(), after.to_ascii_lowercase());
        for length in 1..=after.len().min(6) {
            for literal in after.windows(length).filter(|literal| outlives(literal)) {
                checked[usize::from(length > 2)] += 1;
                assert!(
                    before.windows(length).any(|piece| piece == literal),
                    "{transformation:?}: {} is not in {}",
                    literal.escape_ascii(),
                    before.escape_ascii()
                );
            }
        }
    });
    assert!(checked.iter().all(|&n| n > 10_000), "{checked:?}");
}

#[test]
fn a_larger_set_has_a_larger_image() {
    let mut random = Xorshift::new(7);
    for _ in 0..CASES {
        let small = ByteSet::of(&value(&mut random));
        let large = small.union(ByteSet::of(&value(&mut random)));
        for transformation in Transformation::all() {
            let outside = transformation
                .image(&small)
                .intersection(transformation.image(&large).complement());
            assert!(outside.is_empty(), "{transformation:?}: {outside:?}");
        }
    }
}

#[test]
fn images_are_tight_where_the_engine_counts_on_it() {
    use Transformation as T;
    let image = |transformation: T, present: &[u8]| transformation.image(&ByteSet::of(present));
    assert_eq!(image(T::UrlDecodeUni, b"a+"), ByteSet::of(b"a "));
    assert_eq!(image(T::UrlDecodeUni, b"%27"), ByteSet::of(b"%27\"'rw"));
    assert_eq!(image(T::UrlDecodeUni, b"%u00"), ByteSet::ALL);
    assert_eq!(image(T::RemoveWhitespace, b"a \xa0"), ByteSet::of(b"a"));
    assert_eq!(image(T::CmdLine, b"A;\\"), ByteSet::of(b"a "));
    assert_eq!(image(T::ReplaceComments, b"a*"), ByteSet::of(b"a*"));
    assert_eq!(image(T::HtmlEntityDecode, b"&xlt"), ByteSet::of(b"&xlt<"));
    assert_eq!(image(T::JsDecode, b"\\n"), ByteSet::of(b"\\n\n"));
    assert_eq!(image(T::CssDecode, b"\\xyz"), ByteSet::of(b"\\xyz"));
    assert_eq!(image(T::Utf8ToUnicode, b"a\xc3\0"), ByteSet::of(b"a"));
    assert_eq!(image(T::Base64Decode, b"-."), ByteSet::EMPTY);
}

#[test]
fn the_output_stays_inside_its_bound() {
    each(|transformation, value, after| {
        let bound = transformation.max_growth() * value.len();
        let bound = bound.max(Transformation::SMALL);
        assert!(after.len() <= bound, "{transformation:?}: {}", after.len());
    });
}

/// Values that make a careless implementation look again at what it has seen: a start, and what is repeated after it.
const HOSTILE: &[(&str, &[u8])] = &[
    ("", b"%"),
    ("", b"%u"),
    ("", b"%u004"),
    ("", b"+"),
    ("", b"%41"),
    ("", b"../"),
    ("", b"a/../"),
    ("/", b"a/../"),
    ("", b"../a/"),
    ("", b"a/"),
    ("", b"/"),
    ("", b"./"),
    ("", b"..\\"),
    ("", b"/*"),
    ("/*", b"*"),
    ("/*", b"/"),
    ("", b"/*a"),
    ("", b"<!--a"),
    ("", b"/*/"),
    ("", b"*"),
    ("", b"/**/"),
    ("", b"<!--"),
    ("<!--", b"-"),
    ("<!--", b"*"),
    ("", b"<!-"),
    ("", b"-"),
    ("", b"-->"),
    ("", b"#"),
    ("", b"&"),
    ("", b"&#"),
    ("", b"&#x"),
    ("", b"&#1"),
    ("&#", b"9"),
    ("&#x", b"f"),
    ("", b"&a"),
    ("&", b"a"),
    ("", b"\\"),
    ("", b"\\u"),
    ("", b"\\u004"),
    ("", b"\\1"),
    ("", b" "),
    ("a", b" "),
    ("", b" \""),
    ("", b" /"),
    ("", b" a"),
    ("", b"\0"),
    ("", b"0"),
    ("", b"0x"),
    ("", b"0x4"),
    ("0x", b"4"),
    ("", b"="),
    ("", b"A="),
    ("", b"\xc3"),
    ("", b"\xe2\x82"),
    ("", b"\xf0\x9f\x98\x80"),
    ("", b"\xf5\x80"),
];

#[test]
fn work_grows_as_the_value_does() {
    const LOOKS_PER_BYTE: usize = 5;
    let mut out = Vec::new();
    for &(start, piece) in HOSTILE {
        for doubling in 10..=17 {
            let mut value = start.as_bytes().to_vec();
            value.extend(piece.repeat((1 << doubling) / piece.len()));
            for transformation in Transformation::all() {
                work::take();
                transformation.apply(&value, &mut out, None);
                let looks = work::take();
                assert!(
                    looks <= LOOKS_PER_BYTE * value.len(),
                    "{transformation:?} of {} times \"{}\" after {start:?}: {looks} looks",
                    value.len() / piece.len(),
                    piece.escape_ascii()
                );
            }
        }
    }
}
