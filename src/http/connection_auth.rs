//! Authentication schemes that log a connection in and not a request (RFC 4559; RFC 9110, 11.1 names the
//! form of challenges and credentials). After such a login every request on the connection is taken for
//! that of the same user, so nobody else's request may ever go there.

/// Schemes that authenticate the connection, in lower case: those of Windows' and of Kerberos' worlds.
const SCHEMES: [&[u8]; 4] = [b"ntlm", b"negotiate", b"kerberos", b"nego2"];

/// Whether credentials, the value of `Authorization`, are of a scheme that binds the connection.
#[must_use]
pub fn carries(credentials: &[u8]) -> bool {
    challenges(credentials).any(is_bound)
}

/// Whether a value of `WWW-Authenticate` offers a scheme that binds the connection.
#[must_use]
pub fn offers(value: &[u8]) -> bool {
    challenges(value).any(is_bound)
}

/// A value of `WWW-Authenticate` without the challenges that bind the connection; empty where none is
/// left.
#[must_use]
pub fn without(value: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut drops = false;
    for element in elements(value) {
        // An element that names no scheme is a parameter of the challenge before it.
        if let Some(scheme) = scheme(element) {
            drops = is_bound(scheme);
        }
        if !drops && !element.is_empty() {
            kept.push(element);
        }
    }
    kept.join(&b", "[..])
}

fn is_bound(scheme: &[u8]) -> bool {
    SCHEMES
        .iter()
        .any(|bound| scheme.eq_ignore_ascii_case(bound))
}

/// The schemes that a list of challenges names.
fn challenges(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    elements(value).filter_map(scheme)
}

/// The scheme that an element of the list begins with: a token that a blank or the end follows. A
/// parameter has `=` after its name, with or without blanks.
fn scheme(element: &[u8]) -> Option<&[u8]> {
    let end = element
        .iter()
        .position(|b| matches!(b, b' ' | b'\t' | b'=' | b'"'))
        .unwrap_or(element.len());
    let (name, rest) = element.split_at(end);
    let is_parameter = rest.trim_ascii_start().first() == Some(&b'=');
    (!name.is_empty() && !is_parameter).then_some(name)
}

/// The elements between commas that stand in no quoted string, blanks removed.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let ends = move |byte: &u8| {
        if escaped {
            escaped = false;
            return false;
        }
        match byte {
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return true,
            _ => {}
        }
        false
    };
    value.split(ends).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_that_bind_the_connection_are_found_in_every_form() {
        for (value, bound) in [
            ("NTLM", true),
            ("ntlm TlRMTVNTUAAB", true),
            ("Negotiate", true),
            ("NEGOTIATE YII=", true),
            ("Basic realm=\"a\", NTLM", true),
            ("NTLM, Basic realm=\"a\"", true),
            ("Digest realm=\"a, NTLM\", qop=\"auth\", Negotiate", true),
            (" ,Kerberos", true),
            ("Basic realm=\"NTLM\"", false),
            ("Basic realm=\"x, NTLM\"", false),
            ("Basic realm=\"x\\\", NTLM\"", false),
            ("Digest ntlm=1, negotiate = 2", false),
            ("Bearer NTLM", false),
            ("NTLMv9 x", false),
            ("", false),
        ] {
            assert_eq!(offers(value.as_bytes()), bound, "{value}");
            assert_eq!(carries(value.as_bytes()), bound, "{value}");
        }
    }

    #[test]
    fn what_is_left_without_them_are_whole_challenges() {
        for (value, left) in [
            ("NTLM", ""),
            (
                "Negotiate abc==, Basic realm=\"a, b\"",
                "Basic realm=\"a, b\"",
            ),
            (
                "Digest realm=\"a\", qop=\"auth\", NTLM, Basic realm=\"c\"",
                "Digest realm=\"a\", qop=\"auth\", Basic realm=\"c\"",
            ),
            ("Bearer", "Bearer"),
        ] {
            assert_eq!(without(value.as_bytes()), left.as_bytes(), "{value}");
        }
    }
}
