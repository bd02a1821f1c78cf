//! The bytes of a test's request, as go-ftw sends them.

#![allow(
    clippy::indexing_slicing,
    reason = "ranges were found in the same bytes"
)]

use std::borrow::Cow;
use std::fmt;

use super::{Input, Parts, Stage};

/// Why a template in a test's `data` cannot be rendered. Whoever wrote the test erred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TemplateError {
    /// A `{{` is not closed.
    Unclosed,
    /// This, between `{{` and `}}`, is not what is supported of Go's templates, or makes too long a text.
    Unsupported(String),
}

impl Stage {
    /// The request, head and body.
    #[must_use]
    pub fn request(&self) -> Cow<'_, [u8]> {
        match &self.input {
            Input::Raw(bytes) => Cow::Borrowed(bytes),
            Input::Parts(parts) => Cow::Owned(parts.build()),
        }
    }
}

impl Parts {
    fn build(&self) -> Vec<u8> {
        let mut headers: Vec<(&str, Cow<'_, str>)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str())))
            .collect();
        let mut data = Cow::Borrowed(self.data.as_slice());
        // The order is go-ftw's: escaping changes the length that is added last.
        if self.autocomplete_headers && !data.is_empty() {
            if !has(&headers, "Content-Type", |_| true) {
                headers.push(("Content-Type", FORM.into()));
            }
            if has(&headers, "Content-Type", |v| v.eq_ignore_ascii_case(FORM))
                && !is_query_escaped(&data)
            {
                data = Cow::Owned(escape_form(&data));
            }
        }
        // YAML has LF line ends, but multipart needs CRLF.
        let multipart = |v: &str| v.to_ascii_lowercase().contains("multipart/form-data;");
        if has(&headers, "Content-Type", multipart) {
            data = Cow::Owned(with_crlf(&data));
        }
        if self.autocomplete_headers {
            if !has(&headers, "Connection", |_| true) {
                headers.push(("Connection", "close".into()));
            }
            if !has(&headers, "Content-Length", |_| true)
                && (!data.is_empty() || self.length_of_nothing && may_have_body(&self.method))
            {
                headers.push(("Content-Length", data.len().to_string().into()));
            }
        }
        let mut out = format!("{} {} {}\r\n", self.method, self.uri, self.version).into_bytes();
        for (name, value) in headers {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&data);
        out
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn has(headers: &[(&str, Cow<'_, str>)], name: &str, value: impl Fn(&str) -> bool) -> bool {
    headers
        .iter()
        .any(|(n, v)| n.eq_ignore_ascii_case(name) && value(v))
}

/// As in go-ftw, whose pattern anchors only the first and the last name by mistake.
fn may_have_body(method: &str) -> bool {
    method.starts_with("POST")
        || method.contains("PUT")
        || method.contains("PATCH")
        || method.ends_with("DELETE")
}

/// Whether the data is escaped already: unescaping would change it or fail. Then it is sent as it is.
fn is_query_escaped(data: &[u8]) -> bool {
    data.iter().any(|b| matches!(b, b'+' | b'%'))
}

/// Escapes the names and values of a form, as Go's `url.QueryEscape` does.
fn escape_form(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() * 2);
    // go-ftw drops a last, empty token.
    let data = data.strip_suffix(b"&").unwrap_or(data);
    for (i, token) in data.split(|&b| b == b'&').enumerate() {
        if i > 0 {
            out.push(b'&');
        }
        match token.iter().position(|&b| b == b'=') {
            None => escape(token, &mut out),
            Some(at) => {
                escape(&token[..at], &mut out);
                out.push(b'=');
                escape(&token[at + 1..], &mut out);
            }
        }
    }
    out
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        match byte {
            b' ' => out.push(b'+'),
            b'-' | b'_' | b'.' | b'~' => out.push(byte),
            _ if byte.is_ascii_alphanumeric() => out.push(byte),
            _ => out.extend([
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
}

fn with_crlf(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + data.len() / 16);
    for &byte in data {
        if byte == b'\n' {
            out.push(b'\r');
        }
        out.push(byte);
    }
    out
}

/// Renders what tests use of Go's templates: `{{ "text" }}` and `{{ "text" | repeat N }}`.
///
/// # Errors
/// Another template.
pub(super) fn render_template(data: &str) -> Result<Vec<u8>, TemplateError> {
    let mut out = String::new();
    let mut rest = data;
    while let Some((before, after)) = rest.split_once("{{") {
        let (action, after) = after.split_once("}}").ok_or(TemplateError::Unclosed)?;
        out.push_str(before);
        let text =
            evaluate(action.trim()).ok_or_else(|| TemplateError::Unsupported(action.to_owned()))?;
        out.push_str(&text);
        rest = after;
    }
    out.push_str(rest);
    Ok(out.into_bytes())
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed => f.write_str("data holds a {{ without a }}"),
            Self::Unsupported(action) => write!(
                f,
                "data holds the template {{{{{action}}}}}: only {{{{ \"text\" | repeat N }}}} is known"
            ),
        }
    }
}

impl std::error::Error for TemplateError {}

/// Bytes. No test needs more, and test files may come from others: `repeat` could fill the memory.
const MAX_RENDERED: usize = 16 * 1024 * 1024;

fn evaluate(action: &str) -> Option<String> {
    let quote = action.chars().next().filter(|c| matches!(c, '"' | '`'))?;
    let (text, rest) = action[1..].split_once(quote)?;
    // Escapes of Go strings are not supported; the caller reports the template.
    if quote == '"' && text.contains('\\') {
        return None;
    }
    let rest = rest.trim();
    if rest.is_empty() {
        return Some(text.to_owned());
    }
    let count = rest
        .strip_prefix('|')?
        .trim()
        .strip_prefix("repeat")?
        .trim()
        .parse::<usize>()
        .ok()?;
    (count.checked_mul(text.len())? <= MAX_RENDERED).then(|| text.repeat(count))
}

/// RFC 4648, section 4, with its padding; line ends are skipped as Go does.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b"\r\n".contains(b)).collect();
    if !digits.len().is_multiple_of(4) {
        return None;
    }
    let padding = digits.iter().rev().take_while(|&&b| b == b'=').count();
    if padding > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0);
    for &digit in &digits[..digits.len() - padding] {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        // Twelve bits are enough: at most six are left from before.
        bits = (bits << 6 | u32::from(value)) & 0xfff;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(data: &str, headers: &[(&str, &str)]) -> Parts {
        Parts {
            method: "POST".to_owned(),
            uri: "/".to_owned(),
            version: "HTTP/1.1".to_owned(),
            headers: headers
                .iter()
                .map(|&(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
            data: data.as_bytes().to_vec(),
            autocomplete_headers: true,
            length_of_nothing: true,
        }
    }

    fn built(parts: &Parts) -> String {
        String::from_utf8(parts.build()).unwrap()
    }

    #[test]
    fn missing_headers_are_added() {
        assert_eq!(
            built(&parts("a=b c&d&=é", &[("Host", "localhost")])),
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Connection: close\r\nContent-Length: 14\r\n\r\na=b+c&d&=%C3%A9"
                .replace("14", "15")
        );
        let given = [
            ("connection", "x"),
            ("content-type", "text/plain"),
            ("content-length", "1"),
        ];
        assert_eq!(
            built(&parts("a=b c", &given)),
            "POST / HTTP/1.1\r\nconnection: x\r\ncontent-type: text/plain\r\ncontent-length: 1\r\n\r\na=b c"
        );
    }

    #[test]
    fn an_empty_body_has_a_length_where_the_method_may_have_one() {
        for (method, length) in [
            ("GET", false),
            ("POST", true),
            ("POSTX", true),
            ("XPUTX", true),
            ("XDELETE", true),
            ("DELETEX", false),
        ] {
            let mut parts = parts("", &[]);
            parts.method = method.to_owned();
            let has_length = |parts: &Parts| built(parts).contains("Content-Length: 0");
            assert_eq!(has_length(&parts), length, "{method}");
            parts.length_of_nothing = false;
            assert!(!has_length(&parts), "{method}");
        }
    }

    #[test]
    fn nothing_is_added_where_it_is_not_wanted() {
        let mut parts = parts("a=b c", &[("X", "")]);
        parts.autocomplete_headers = false;
        assert_eq!(built(&parts), "POST / HTTP/1.1\r\nX: \r\n\r\na=b c");
    }

    #[test]
    fn what_looks_escaped_is_left_alone() {
        for data in ["a=b%20c d", "a=b+c d", "a=%zz d"] {
            assert!(built(&parts(data, &[])).ends_with(data), "{data}");
        }
        assert!(built(&parts("a=b c&", &[])).ends_with("\r\n\r\na=b+c"));
    }

    #[test]
    fn multipart_lines_end_with_crlf() {
        let mut parts = parts(
            "a\nb",
            &[("Content-Type", "Multipart/Form-Data; boundary=x")],
        );
        assert!(built(&parts).ends_with("Content-Length: 4\r\n\r\na\r\nb"));
        parts.autocomplete_headers = false;
        assert!(built(&parts).ends_with("\r\n\r\na\r\nb"));
    }

    #[test]
    fn templates() {
        for (data, expected) in [
            ("plain } {", Some("plain } {")),
            (r#"a={{ "1" | repeat 3 }}b{{"x"}}"#, Some("a=111bx")),
            ("{{`\\`|repeat 2}}", Some("\\\\")),
            ("{{ .X }}", None),
            ("{{ \"1\" | repeat 999999999999 }}", None),
            ("{{", None),
        ] {
            let got = render_template(data).ok();
            assert_eq!(got.as_deref(), expected.map(str::as_bytes), "{data}");
        }
    }

    #[test]
    fn base64() {
        for (text, expected) in [
            ("", Some(&b""[..])),
            ("Zg==", Some(b"f")),
            ("Zm8=", Some(b"fo")),
            ("Zm9v\nYmFy\r\n", Some(b"foobar")),
            ("/+8A", Some(b"\xff\xef\0")),
            ("Zg", None),
            ("Z===", None),
            ("Zm9!", None),
            ("Zg==Zg==", None),
        ] {
            assert_eq!(decode_base64(text).as_deref(), expected, "{text:?}");
        }
    }
}
