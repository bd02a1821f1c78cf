//! What a client shows of itself in header fields: the token of an `Authorization` field, and cookies.

/// The token of credentials with the scheme `Bearer` in any case (RFC 9110, 11.1); empty if nothing follows the scheme.
/// None with another scheme.
#[must_use]
pub fn bearer(credentials: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer";
    let (scheme, rest) = credentials.split_at_checked(SCHEME.len())?;
    // Without a blank it is another scheme, or a scheme without a token.
    let is =
        scheme.eq_ignore_ascii_case(SCHEME) && matches!(rest.first(), None | Some(b' ' | b'\t'));
    is.then(|| rest.trim_ascii())
}

/// The token of the only `Authorization` field. Of two fields nobody could say which one counts.
pub fn only_bearer<'f>(mut fields: impl Iterator<Item = &'f [u8]>) -> Option<&'f [u8]> {
    match (fields.next(), fields.next()) {
        (Some(only), None) => bearer(only),
        _ => None,
    }
}

/// The names and values in a `Cookie` field, without the blanks around them. What has no `=` is no cookie.
pub fn cookies(field: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    field.split(|byte| *byte == b';').filter_map(cookie)
}

/// The name and the value of one part of a `Cookie` field.
#[must_use]
pub fn cookie(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (pair.get(..at)?, pair.get(at + 1..)?);
    Some((name.trim_ascii(), value.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_counts_in_any_case_and_as_a_whole_word() {
        for (field, token) in [
            ("Bearer a", Some("a")),
            ("bearer a", Some("a")),
            ("BEARER \t a ", Some("a")),
            ("bearer a b", Some("a b")),
            ("Bearer", Some("")),
            ("BearerX a", None),
            ("Bearer=a", None),
            ("Basic a", None),
            ("", None),
        ] {
            assert_eq!(
                bearer(field.as_bytes()),
                token.map(str::as_bytes),
                "{field}"
            );
        }
        let two = [&b"Bearer a"[..], b"Bearer a"];
        assert_eq!(only_bearer(two.into_iter()), None);
        assert_eq!(only_bearer([&b"bearer a"[..]].into_iter()), Some(&b"a"[..]));
    }

    #[test]
    fn cookies_have_whole_names() {
        let found: Vec<_> = cookies(b"a=1; b = x=y ;c; =d;;e=").collect();
        let expected: [(&[u8], &[u8]); 4] =
            [(b"a", b"1"), (b"b", b"x=y"), (b"", b"d"), (b"e", b"")];
        assert_eq!(found, expected);
    }
}
