//! Values at the edges of each transformation's definition.

use super::{Transformation, UnicodeMap, transformed};
use crate::transform::UnicodeMapError;

#[test]
fn names_are_unique_and_case_does_not_matter() {
    for transformation in Transformation::all() {
        let name = transformation.name();
        let upper = name.to_ascii_uppercase();
        assert_eq!(Transformation::from_name(name), Some(transformation));
        assert_eq!(Transformation::from_name(&upper), Some(transformation));
    }
    assert_eq!(Transformation::all().count(), 35);
    assert_eq!(
        Transformation::from_name("normalisePathWin"),
        Some(Transformation::NormalizePathWin)
    );
    for unknown in ["none", "", "lower", "normalizedPath"] {
        assert_eq!(Transformation::from_name(unknown), None);
    }
}

/// Transformation, input, value after it.
type Edge = (&'static str, &'static [u8], &'static [u8]);

#[rustfmt::skip]
const EDGES: &[Edge] = &[
    ("base64Decode", b"PHNjcmlwdD4.IGFsZXJ0", b"<script>"),
    ("base64Decode", b"QQ", b"A"),
    ("base64Decode", b"QUI", b"AB"),
    ("base64Decode", b"QUJDR", b"ABC"),
    ("base64Decode", b"QQ==QQ==", b"A"),
    ("base64Decode", b"-x", b""),
    ("base64Decode", b"QUJD\0QUJD", b"ABC"),
    ("base64DecodeExt", b"P.HNjc\0mlw\r\ndD4=", b"<script>"),
    ("base64DecodeExt", b"QQ==QQ==", b"A\x04\x10"),
    ("base64DecodeExt", b"Q=UI=", b""),
    ("base64DecodeExt", b"QUJDQ==UI=", b""),
    ("base64Encode", b"\xff\xfe", b"//4="),

    ("cmdLine", b"C^o\"M'm\\a,;\t nd  /c", b"comma nd/c"),
    ("cmdLine", b"a b", b"a b"),
    ("cmdLine", b"a /b (c", b"a/b(c"),
    ("cmdLine", b"a \"/b", b"a/b"),
    ("cmdLine", b"a \" b", b"a b"),
    ("cmdLine", b" /", b"/"),
    ("cmdLine", b" / (", b"/("),
    ("cmdLine", b"ping\0 -C", b"ping\0 -c"),
    ("cmdLine", b"a\x0b\x0cB", b"a\x0b\x0cb"),

    ("compressWhitespace", b"a\tb", b"a b"),
    ("compressWhitespace", b"a \xa0\x0b\x0c\r\nb ", b"a b "),
    ("removeWhitespace", b" a\xa0\x0b\x0c b", b"ab"),
    ("trim", b"\x0b\x0c a b\r\n", b"a b"),
    ("trim", b" \t ", b""),
    ("trim", b"\xa0a\xa0", b"\xa0a\xa0"),
    ("trimLeft", b" a ", b"a "),
    ("trimRight", b" a ", b" a"),

    ("cssDecode", b"\\6a\\06a\\00006a", b"jjj"),
    ("cssDecode", b"\\000061b", b"ab"),
    ("cssDecode", b"\\61  b", b"a b"),
    ("cssDecode", b"\\61\tb\\\nc", b"abc"),
    ("cssDecode", b"\\ff21\\0ff21\\00ff21\\1ff21", b"AAA!"),
    ("cssDecode", b"\\ff00\\ff5f", b"\x00_"),
    ("cssDecode", b"\\g\\\\", b"g\\"),
    ("cssDecode", b"\\a", b"\n"),

    ("escapeSeqDecode", b"\\a\\x41\\X41\\101\\q\\u0041", b"\x07AAAqu0041"),
    ("escapeSeqDecode", b"\\x4\\xg", b"x4xg"),
    ("escapeSeqDecode", b"\\777\\400\\8", b"\xff\x008"),
    ("escapeSeqDecode", b"a\\", b"a\\"),

    ("jsDecode", b"\\u0041\\x41\\101\\q\\a", b"AAAq\x07"),
    ("jsDecode", b"\\U0041\\X41", b"U0041X41"),
    ("jsDecode", b"\\uff21\\uFF00\\uff5f\\u1241", b"A\x00_A"),
    ("jsDecode", b"\\377\\400\\777", b"\xff\x200?7"),
    ("jsDecode", b"\\u004\\x4", b"u004x4"),
    ("jsDecode", b"a\\", b"a\\"),

    ("hexDecode", b"414", b"A"),
    ("hexDecode", b"4a4A", b"JJ"),
    ("hexEncode", b"\xffz", b"ff7a"),
    ("sqlHexDecode", b"select 0x414243,0X44 0x4", b"select ABC,D 0x4"),
    ("sqlHexDecode", b"00x414", b"0A4"),
    ("sqlHexDecode", b"0x410x42", b"A0x42"),
    ("sqlHexDecode", b"0x4100\0 0x42", b"A\0\0 B"),

    ("htmlEntityDecode", b"&lt;&GT&quot;&amp;lt;&nbsp;", b"<>\"&lt;\xa0"),
    ("htmlEntityDecode", b"&#60;&#x3c&#X3C;&#060", b"<<<<"),
    ("htmlEntityDecode", b"&#316;&#x13c;", b"<<"),
    ("htmlEntityDecode", b"&#99999999999999999999;&#x10000000000000000;", b"\xff\xff"),
    ("htmlEntityDecode", b"&ltx;&apos;&#;&#x;&#xg&", b"&ltx;&apos;&#;&#x;&#xg&"),
    ("htmlEntityDecode", b"&#&lt;&&lt;&#x&lt;", b"&#<&<&#x<"),

    ("lowercase", b"A\xc4\0Z[", b"a\xc4\0z["),
    ("uppercase", b"a\xe4\0z{", b"A\xe4\0Z{"),
    ("length", b"", b"0"),
    ("length", b"1", b"1"),

    ("normalizePath", b"/a/../../etc//./passwd/", b"/etc/passwd/"),
    ("normalizePath", b"../a/../../b", b"../../b"),
    ("normalizePath", b"a/../..", b".."),
    ("normalizePath", b"/..", b""),
    ("normalizePath", b"/../", b"/"),
    ("normalizePath", b"//", b"/"),
    ("normalizePath", b"a/b/..", b"a"),
    ("normalizePath", b"/a.../b../...", b"/a.../b../..."),
    ("normalizePath", b"a\\..\\b//", b"a\\..\\b/"),
    ("normalizePathWin", b"a\\.\\..\\b/\\", b"b/"),
    ("normalizePathWin", b"\\", b"/"),

    ("parityEven7bit", b"\x80\xc1", b"\x80\xc1"),
    ("parityZero7bit", b"\x80\xc1", b"\0A"),

    ("removeNulls", b"\0a\0\0b\0", b"ab"),
    ("replaceNulls", b"\0a", b" a"),
    ("replaceComments", b"a/**/b/*/c", b"a b "),
    ("replaceComments", b"a*/b/", b"a*/b/"),
    ("removeComments", b"a/*b*/*/c<!--d-->e", b"a*/ce"),
    ("removeComments", b"a/*b-->c<!--d*/#e", b"ac#e"),
    ("removeComments", b"a--b", b"a"),
    ("removeComments", b"a-->b", b"a"),
    ("removeComments", b"a#b", b"a"),
    ("removeComments", b"a/*/b", b"a "),
    ("removeCommentsChar", b"a/*b*/c<!--d-->e--f#g-h<!-i", b"abcdefg-h<!-i"),

    ("urlDecode", b"%41+%u0041%4", b"A %u0041%4"),
    ("urlDecodeUni", b"%U0041%uff1c%uFF5f%u1241", b"A<_A"),
    ("urlDecodeUni", b"%u%41%uu0041%%41", b"%uA%uu0041%A"),
    ("urlDecodeUni", b"%u004%4", b"%u004%4"),
    ("urlEncode", b"a b*\xff-\0", b"a+b*%ff%2d%00"),

    ("utf8toUnicode", b"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", b"%u00e9%u20ac%u1f600"),
    ("utf8toUnicode", b"a\0b", b"ab"),
    ("utf8toUnicode", b"\xc0\xaf\xe0\x80\xaf\xed\xa0\x80", b"%u002f\xc0%u002f\xe0%ud800\xed"),
    ("utf8toUnicode", b"\xf7\xbf\xbf\xbf\xf5", b"\xf7%u1fffff\xf5"),
    ("utf8toUnicode", b"\xe9e\xbfe\xffe\xe2\x82", b"e\xbfe\xffe\x82"),
];

#[test]
fn edges() {
    for &(name, input, expected) in EDGES {
        let transformation = Transformation::from_name(name).unwrap();
        let value = transformed(transformation, input, None);
        assert_eq!(
            value.escape_ascii().to_string(),
            expected.escape_ascii().to_string(),
            "{name} of \"{}\"",
            input.escape_ascii()
        );
    }
}

#[test]
fn digests_are_raw_bytes() {
    let md5 = transformed(Transformation::Md5, b"abc", None);
    let sha1 = transformed(Transformation::Sha1, b"abc", None);
    let hex = |value: &[u8]| transformed(Transformation::HexEncode, value, None);
    assert_eq!(hex(&md5), b"900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(hex(&sha1), b"a9993e364706816aba3e25717850c26c9cd0d89d");
}

const MAPPING: &str = "\
(MAC - Roman)


1252  (ANSI - Latin I)
0100:41 ff1c:7f

20127 (US-ASCII)
00e9:65 2215:2f
ff0e:21
";

#[test]
fn unicode_map_is_asked_before_the_low_byte() {
    let map = UnicodeMap::parse(MAPPING, 20127).unwrap();
    let value = transformed(
        Transformation::UrlDecodeUni,
        b"%u00e9%u2215%u3002%uff0e%u0100%uff1c",
        Some(&map),
    );
    assert_eq!(value, b"e/.!\x00<");
    let latin = UnicodeMap::parse(MAPPING, 1252).unwrap();
    assert_eq!((latin.byte(0x0100), latin.byte(0x00e9)), (Some(b'A'), None));
}

#[test]
fn unicode_map_says_what_is_wrong_with_it() {
    let wanted = UnicodeMapError::NoCodePage {
        wanted: 932,
        known: vec![1252, 20127],
    };
    assert_eq!(UnicodeMap::parse(MAPPING, 932).unwrap_err(), wanted);
    for word in ["10000:41", "00e9:100", ":41", "00e9:", "+0e9:65", "é:65"] {
        let text = format!("1 one\nzz:zz\n2 two\n0041:41 {word}\n");
        let bad = UnicodeMapError::BadMapping {
            line: 4,
            word: word.to_owned(),
        };
        assert_eq!(UnicodeMap::parse(&text, 2).unwrap_err(), bad);
    }
}
