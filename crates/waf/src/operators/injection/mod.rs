//! `@detectSQLi` and `@detectXSS`: libinjection's verdicts.
//!
//! The crate `libinjectionrs` 0.1.1 was compared with the C library (LibInjection 3.10, the state after
//! 3.9.2) on the C library's own test files, on every string of the Core Rule Set's tests and on millions
//! of mutations of them. It has no `unsafe` and did not panic, but it is not equal:
//!
//! - SQL: `into outfile` in small letters is taken for harmless, one byte that is not UTF-8 hides
//!   `sp_password`, and NUL is part of a variable's name. Its tokenizer, folding and tables are used;
//!   `sqli` prepares the value and takes the last step, which tells attacks from lookalikes, itself.
//! - HTML: NUL is part of an attribute's name, where C takes it for a blank, and an event's name must be
//!   whole, where C looks for prefixes (`onload~`). So `html` and `xss` are our own.
//!
//! So done, verdicts and fingerprints are those of C on all these files and strings. Mutations found what
//! is left: C counts NUL as a digit of `0x` and `0b`, ends at a byte 0xff where a name or a value should
//! begin, and takes no notice of a tag that opens after `</a >`. The last two hide attacks; here they do not.
//!
//! Event names are those of LibInjection 3.10. 3.9.2, which ModSecurity v2 bundles, takes every attribute
//! that begins with `on` for an event, and so `one=two` for an attack.

mod html;
mod openings;
mod plain;
mod sqli;
mod xss;

use super::Captures;
use crate::byteset::ByteSet;
use crate::steps::OutOfTime;

/// A value without any of these is no SQL injection: it is at most numbers and then one word, which are no known
/// fingerprint but `1U`; and that is prose unless something was folded into it.
pub(crate) const SQLI_NEEDS: ByteSet = ByteSet::range(b'a', b'z')
    .union(ByteSet::range(b'A', b'Z'))
    .union(ByteSet::range(b'0', b'9'))
    .with(b'_')
    .complement();

/// A value without any of these is no cross-site scripting: every dangerous token needs a tag, or an attribute with a value.
pub(crate) const XSS_NEEDS: ByteSet = ByteSet::of(b"<=");

/// Whether libinjection takes the value for SQL injection. Captures the fingerprint.
///
/// # Errors
/// There is no time left.
pub fn detect_sqli(value: &[u8], captures: Option<&mut Captures>) -> Result<bool, OutOfTime> {
    let is_word = |value: &[u8]| !value.iter().any(|&b| SQLI_NEEDS.contains(b));
    // Each of the three is sure that the library would find nothing, and costs far less.
    if plain::is_plain(value) || is_word(value) || openings::is_known(value) {
        return Ok(false);
    }
    let Some(fingerprint) = sqli::fingerprint(value)? else {
        openings::learn(value);
        return Ok(false);
    };
    if let Some(captures) = captures {
        captures.clear();
        captures.push_bytes(fingerprint.as_str().as_bytes());
    }
    Ok(true)
}

/// Whether libinjection takes the value for cross-site scripting. Captures the value.
///
/// # Errors
/// There is no time left.
pub fn detect_xss(value: &[u8], captures: Option<&mut Captures>) -> Result<bool, OutOfTime> {
    if !xss::is_attack(value)? {
        return Ok(false);
    }
    if let Some(captures) = captures {
        captures.clear();
        captures.push_range(0..value.len());
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqli(value: &[u8]) -> Option<String> {
        let mut captures = Captures::default();
        detect_sqli(value, Some(&mut captures)).unwrap().then(|| {
            let fingerprint = captures.group(0, value).unwrap();
            String::from_utf8_lossy(fingerprint).into_owned()
        })
    }

    #[test]
    fn fingerprints() {
        for (value, fingerprint) in [
            (&b"1' or '1'='1"[..], Some("s&sos")),
            (b"-1 union select 1,2,3", Some("1UE1")),
            (b"1 UNION ALL SELECT null", Some("1UEv")),
            // What the crate alone gets wrong.
            (b"x' into outfile '/tmp/x", Some("sks")),
            (b"x' InTo OUTFILE '/tmp/x", Some("sks")),
            (b"sp_password^\xff --", Some("nc")),
            (b"@\0union or e+u&'{sp_password", None),
            // Lookalikes.
            (b"1 union", None),
            (b"sexy and 17", None),
            (b"sexy and 17<18", Some("n&1")),
            (b"1234-ABCDEF--", Some("1c")),
            (b"1234--", Some("1c")),
            (b"1-- foo", Some("1c")),
            (b"foo -- bar", None),
            (b"it's # fine", None),
            (b"don't and won't", None),
            (b"hello_World42", None),
            (b"1union", None),
            (b"", None),
        ] {
            assert_eq!(
                sqli(value).as_deref(),
                fingerprint,
                "{}",
                value.escape_ascii()
            );
        }
    }

    #[test]
    fn long_words_hide_nothing() {
        let attack = |word: &str| format!("{word}' or '1'='1");
        let short = sqli(attack("a.a.a").as_bytes());
        assert!(short.is_some());
        assert_eq!(sqli(attack(&"a.".repeat(50_000)).as_bytes()), short);
        let digits = format!("{} union select 1", "1".repeat(5000));
        assert_eq!(sqli(digits.as_bytes()), sqli(b"1 union select 1"));
        let glued = format!("{}union select 1", "1".repeat(5000));
        assert_eq!(sqli(glued.as_bytes()), sqli(b"1union select 1"));
    }

    #[test]
    fn scripts() {
        for (value, found) in [
            (&b"<script>"[..], true),
            (b"</script >", true),
            (b"</script>", false),
            (b"</a ><script>", true),
            (b"<\0s\0cript>", true),
            (b"<svg", true),
            (b"<!doctype x", true),
            (b"<!-- ` -->", true),
            (b"<!--[if IE]>", true),
            (b"<!-- x -->", false),
            (b"<!-- -\0->`-->", false),
            (b"<?xml version", true),
            (b"<%x`", true),
            (b"<!ENTITY x", true),
            (b"<![CDATA[<script>]]>", false),
            (b"<![CDATA[x]]><script>", true),
            (b"<a href=javascript:x>", true),
            (b"<a href=\" \x01&#x6A;&#97va:x\">", true),
            (b"<a href='/x'>", false),
            (b"<a href=https://example.com/?data=1>", false),
            (b"<b attributename=href>", true),
            (b"x\" onload=y", true),
            (b"x' onload~=y", true),
            (b"x` onload=y", true),
            (b"\0onclick=y", true),
            (b"\xff onclick=y", true),
            (b"onclick =y", true),
            (b"onclick>=y", false),
            (b"one=two", false),
            (b"style=x", true),
            (b"xmlns:a=b", true),
            (b"a<b and c=d", false),
            (b"1 < 2", false),
            (b"", false),
        ] {
            let mut captures = Captures::default();
            assert_eq!(
                detect_xss(value, Some(&mut captures)),
                Ok(found),
                "{}",
                value.escape_ascii()
            );
            assert_eq!(captures.group(0, value), found.then_some(value));
        }
    }
}
