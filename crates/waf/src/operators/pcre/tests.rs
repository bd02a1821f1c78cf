use super::*;
use crate::operators::Captures;
use crate::operators::rx::Pattern;

fn compile(pattern: &[u8]) -> Pattern {
    Pattern::compile(pattern, PatternOptions::default())
        .unwrap_or_else(|e| panic!("{}: {e}", pattern.escape_ascii()))
}

/// The first match, its groups joined by `|`, absent ones as `-`.
fn groups(pattern: &[u8], value: &[u8]) -> Option<String> {
    let mut captures = Captures::default();
    compile(pattern)
        .captures(value, &mut captures)
        .unwrap()
        .then(|| {
            let shown: Vec<String> = captures
                .iter(value)
                .map(|g| g.map_or("-".to_owned(), |g| g.escape_ascii().to_string()))
                .collect();
            shown.join("|")
        })
}

#[test]
fn means_what_pcre_means() {
    let cases: &[(&[u8], &[u8], Option<&str>)] = &[
        // Dot matches all, `$` only at the very end, `^` only at the very start.
        (b"a.b", b"a\nb", Some("a\\nb")),
        (b"a.b", b"a\xffb", Some("a\\xffb")),
        (b"a$", b"a\n", None),
        (b"^b", b"a\nb", None),
        (b"(?m)^b$", b"a\nb\nc", Some("b")),
        (b"(?-s)a.b", b"a\nb", None),
        (b"a\\Z", b"a\n", Some("a")),
        (b"a\\z", b"a\n", None),
        // Bytes.
        (b"\\xc3", "é".as_bytes(), Some("\\xc3")),
        (b"\\x{c2}\\x{b4}", b"\xc2\xb4", Some("\\xc2\\xb4")),
        (b"[\\x{80}-\\x{ff}]+", "é".as_bytes(), Some("\\xc3\\xa9")),
        ("é+".as_bytes(), b"\xc3\xa9\xa9", Some("\\xc3\\xa9\\xa9")),
        ("[é]".as_bytes(), b"\xa9", Some("\\xa9")),
        (b"(?i)\xe9", b"\xc9", None),
        (b"(?i)k", "\u{212a}".as_bytes(), None),
        (b"\\w+", "aé".as_bytes(), Some("a")),
        (b"\\W", "é".as_bytes(), Some("\\xc3")),
        (b"\\bx", b"\xc3x", Some("x")),
        (b"\\x4142", b"A42", Some("A42")),
        (b"\\x", b"\0", Some("\\x00")),
        (b"\\101\\0\\018", b"A\0\x018", Some("A\\x00\\x018")),
        (b"[\\101\\8]+", b"8A", Some("8A")),
        (b"\\o{101}\\cA\\e", b"A\x01\x1b", Some("A\\x01\\x1b")),
        // Literal braces and brackets.
        (b"${x}{", b"${x}{", None),
        (b"\\${x}{", b"${x}{", Some("${x}{")),
        (b"a{,2}", b"a{,2}", Some("a{,2}")),
        (b"a{2}{2}", b"aaaaa", Some("aaaa")),
        (b"a{1", b"a{1", Some("a{1")),
        (b"a]}", b"a]}", Some("a]}")),
        (b"[[]", b"[", Some("[")),
        (b"[]a]+", b"]a", Some("]a")),
        (b"[^]a]+", b"]ab", Some("b")),
        (b"[a&&b]+", b"b&a", Some("b&a")),
        (b"[+--c~~]+", b"~-", Some("~-")),
        (b"[[a]b]", b"[b]", Some("[b]")),
        (b"[\\w-.]+", b"a-.", Some("a-.")),
        (b"[a-\\d]+", b"-a1", Some("-a1")),
        (b"[\\d-z]+", b"5-z", Some("5-z")),
        (b"[--/]+", b"-./", Some("-./")),
        (b"[\\b]", b"\x08", Some("\\x08")),
        (b"[[:alpha:][:^cntrl:]]+", b"a1\x01", Some("a1")),
        (b"[[:alpha]+", b"[:al", Some("[:al")),
        (b"[\\Qa]^\\E-]+", b"-]^a", Some("-]^a")),
        (b"(?i)[^a]", b"aAb", Some("b")),
        (b"(?i)[[:upper:]]", b"a", Some("a")),
        (b"[^\\s\\S]", b"a", None),
        (b"[\\s\\S]", b"\xff", Some("\\xff")),
        // Escapes.
        (b"\\<a\\>", b"<a>", Some("<a>")),
        (b"a\\vb\\hc", b"a\x85b\xa0c", Some("a\\x85b\\xa0c")),
        (b"\\N+", b"ab\n", Some("ab")),
        (b"\\Qa.b*\\E+", b"a.b**", Some("a.b**")),
        (b"\\Qa.b", b"a.b", Some("a.b")),
        (b"a\\Eb", b"ab", Some("ab")),
        (b"\\R", b"\r\n", Some("\\r\\n")),
        (b"\\R\\n", b"\r\n", None),
        (b"\\_\\-\\/", b"_-/", Some("_-/")),
        // Flags.
        (b"a(?i)b|c", b"C", Some("C")),
        (b"(a(?i)b)c", b"aBC", None),
        (b"(?i:a)b", b"AB", None),
        (b"(?x) a b # c\n c", b"abc", Some("abc")),
        (b"(?x)a\\ [ ]b", b"a  b", Some("a  b")),
        (b"(?U)a+", b"aaa", Some("a")),
        (b"(?U)a+?", b"aaa", Some("aaa")),
        (b"(?^)a.", b"a\n", None),
        (b"a(?#+ comment)+b", b"aab", Some("aab")),
        // Groups.
        (b"(a)|(b)|(c)", b"b", Some("b|-|b")),
        (b"(?<x>a)(?P<y>b)(?'z'c)", b"abc", Some("abc|a|b|c")),
        (b"()|a", b"a", Some("|")),
        (b"a|", b"b", Some("")),
        // What needs backtracking.
        (b"(?i)(a)\\1\\1", b"aAa", Some("aAa|a")),
        (b"(a)\\g{1}\\g1\\g{-1}", b"aaaa", Some("aaaa|a")),
        (
            b"(?<n>a|b)\\k<n>\\k{n}\\k'n'(?P=n)",
            b"bbbbb",
            Some("bbbbb|b"),
        ),
        (b"(a)\\10", b"a\x08", Some("a\\x08|a")),
        (b"<\\?(?!xml)", b"<?xml <?php", Some("<?")),
        (b"(?<=\\xc3)\\xa9", "é".as_bytes(), Some("\\xa9")),
        (b"(?<!a)b(?=[\\x80-\\xff])", b"abb\xff", Some("b")),
        (b"(?i)(?=K)[^L]\\xe9", b"k\xe9", Some("k\\xe9")),
        (b"a++a", b"aaa", None),
        (b"a*+b", b"aab", Some("aab")),
        (b"(?:ab){1,2}+c", b"ababc", Some("ababc")),
        (b"(?>a|ab)c", b"abc", None),
        (b"(x)a++\\1", b"xaax", Some("xaax|x")),
        (b"a\\Kb", b"ab", Some("b")),
        (b"(?m)^(?=b)", b"a\nb", Some("")),
        (b"(?m)^(?!x)\\z", b"a\n", None),
        (b"(?!x).$", b"\xfe\xff", Some("\\xff")),
    ];
    for (pattern, value, expected) in cases {
        assert_eq!(
            groups(pattern, value).as_deref(),
            *expected,
            "{} on {}",
            pattern.escape_ascii(),
            value.escape_ascii()
        );
    }
}

#[test]
fn errors_point_into_the_pattern() {
    for (pattern, at) in [
        ("a(b", 1..2),
        ("ab)", 2..3),
        ("a[b", 1..2),
        ("[]", 0..1),
        ("*a", 0..1),
        ("a|+", 2..3),
        ("(?i)*", 4..5),
        ("a{3,2}", 1..6),
        ("a{70000}", 1..8),
        ("a[z-a]", 2..5),
        ("[[:nope:]]", 1..9),
        ("[[.a.]]", 1..6),
        ("a\\", 1..2),
        ("a\\j", 1..3),
        ("\\p{L}", 0..2),
        ("\\x{100}", 0..7),
        ("\\x{g}", 0..5),
        ("\\x{1", 0..3),
        ("\\2(a)", 0..2),
        ("\\g{-1}", 0..6),
        ("\\k<n>", 0..5),
        ("(?<1>a)", 0..3),
        ("(?<n>a)(?<n>b)", 7..12),
        ("(?R)", 0..3),
        ("(?1)", 0..3),
        ("(?|a)", 0..3),
        ("(?(1)a)", 0..3),
        ("(*UTF8)a", 0..2),
        ("(?y)", 0..3),
        ("(?#", 0..3),
        ("\\c", 0..2),
    ] {
        let error = translate(pattern.as_bytes(), PatternOptions::default()).expect_err(pattern);
        assert_eq!(error.at, at, "{pattern}: {}", error.message);
    }
    let deep = "(".repeat(300);
    assert!(translate(deep.as_bytes(), PatternOptions::default()).is_err());
}

#[test]
fn only_what_must_backtracks() {
    for (pattern, linear) in [
        ("a+b", true),
        ("(?:a|b)*?c{2,}", true),
        ("(?m)^a$", true),
        ("a++", false),
        ("(?=a)", false),
        ("(a)\\1", false),
        ("\\R", false),
    ] {
        assert_eq!(
            compile(pattern.as_bytes()).source().is_some(),
            linear,
            "{pattern}"
        );
    }
}

#[test]
fn backtracking_is_limited() {
    let pattern = compile(b"(a|a|b)*(?!x)\\z");
    let value = [b"a".repeat(2000), b"c".to_vec()].concat();
    assert!(pattern.is_match(&value).is_err());
    let pattern = compile(b"(?=.*foo)bar");
    assert!(pattern.is_match(&b"x".repeat(100_000)).is_err());
    let pattern = compile(b"<\\?(?!xml)");
    assert_eq!(pattern.is_match(&b"<".repeat(200_000)), Ok(false));
}
