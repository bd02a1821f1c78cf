//! The head of a response. It is checked as strictly as a request (RFC 9110 and RFC 9112), so that every reader of the
//! response finds its end at the same byte.

use super::h1::content_length;
use super::{HeadError, is_token, is_value_byte, show};

/// Checks the status and the fields of a response (RFC 9110, section 8.6; RFC 9112, section 6). `http10` says whether
/// its sender speaks HTTP/1.0. Returns the length on which all Content-Length fields agree, if there are any.
///
/// # Errors
/// The first thing that HTTP forbids or that two readers could read in two ways. The status of the error is 502.
pub fn check_response<'f>(
    status: u16,
    http10: bool,
    fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>,
) -> Result<Option<u64>, HeadError> {
    if !(100..=599).contains(&status) {
        return Err(bad("status", format!("its status {status} is none")));
    }
    let mut coding = None;
    let mut length = None;
    for (name, value) in fields {
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // Some readers join such fields, others take one of them.
            if coding.replace(value).is_some() {
                return Err(bad(
                    "transfer_encoding",
                    "there are several Transfer-Encoding fields",
                ));
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            length = Some(one_length(length, value)?);
        }
    }
    // RFC 9110, 8.6, and RFC 9112, 6.1: neither field may be in these responses.
    let bodyless = status < 200 || status == 204;
    match (coding, length) {
        (Some(_), Some(_)) => Err(bad(
            "content_length_and_transfer_encoding",
            "there are both a Content-Length and a Transfer-Encoding",
        )),
        (Some(_), None) if bodyless => Err(bad(
            "transfer_encoding",
            format!("there is a Transfer-Encoding, which {status} must not have"),
        )),
        (Some(_), None) if http10 => Err(bad(
            "transfer_encoding_in_http10",
            "there is a Transfer-Encoding, which HTTP/1.0 does not know",
        )),
        (Some(coding), None) if !coding.eq_ignore_ascii_case(b"chunked") => Err(bad(
            "transfer_encoding",
            format!(
                "its Transfer-Encoding is {}, not a single chunked",
                shown(coding)
            ),
        )),
        // A length of 0 is let through: it frames the same body.
        (None, Some(1..)) if bodyless => Err(bad(
            "content_length",
            format!("there is a Content-Length, which {status} must not have"),
        )),
        (_, length) => Ok(length),
    }
}

/// The one length that all fields and all elements of a field give (RFC 9110, 8.6).
fn one_length(known: Option<u64>, value: &[u8]) -> Result<u64, HeadError> {
    let mut known = known;
    for element in value.split(|&b| b == b',') {
        let invalid = |_| {
            bad(
                "content_length",
                format!("its Content-Length {} is no number", shown(element)),
            )
        };
        let length = content_length(element.trim_ascii()).map_err(invalid)?;
        match known {
            Some(other) if other != length => {
                return Err(bad(
                    "several_content_lengths",
                    format!("its Content-Length fields differ: {other} and {length}"),
                ));
            }
            _ => known = Some(length),
        }
    }
    // `split` yields at least one element.
    known.ok_or_else(|| bad("content_length", "its Content-Length is empty"))
}

/// Whether a `101` response switches to `websocket` and to nothing else (RFC 6455, section 4.2.2).
pub fn switches_to_websocket<'f>(fields: impl IntoIterator<Item = (&'f [u8], &'f [u8])>) -> bool {
    let upgrades = fields
        .into_iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"upgrade"));
    let mut values = upgrades.map(|(_, value)| value);
    // With several fields two readers could switch to two protocols.
    let only = values.next().filter(|_| values.next().is_none());
    only.is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"websocket"))
}

/// Says why a parser refused the raw head of a response: the first fault in it, with its place. The parser itself only
/// says that it failed. A head with more than `most_fields` fields is at fault for that.
#[must_use]
pub fn explain_response_head(raw: &[u8], most_fields: usize) -> String {
    let mut fields = 0;
    for (at, line) in raw.split(|&b| b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() && fields > 0 {
            break;
        }
        let fault = match at {
            0 => status_line_fault(line),
            _ if line.is_empty() => None,
            _ => {
                fields += 1;
                if fields > most_fields {
                    return format!("there are more than {most_fields} fields");
                }
                field_fault(line, fields)
            }
        };
        if let Some(fault) = fault {
            return fault;
        }
    }
    "its head is broken".to_owned()
}

fn status_line_fault(line: &[u8]) -> Option<String> {
    let rest = line
        .strip_prefix(b"HTTP/1.1")
        .or_else(|| line.strip_prefix(b"HTTP/1.0"));
    let Some(rest) = rest else {
        let start = line.get(..line.len().min(16)).unwrap_or(line);
        return Some(format!(
            "it begins with {} and not with HTTP/1.1",
            shown(start)
        ));
    };
    let digits = rest.strip_prefix(b" ").unwrap_or_default();
    let is_status = matches!(digits, [a, b, c, after @ ..] if [a, b, c].iter().all(|d| d.is_ascii_digit())
        && matches!(after, [] | [b' ', ..]));
    if !is_status {
        return Some("no status of three digits follows its version".to_owned());
    }
    let control = digits.iter().find(|&&b| !is_value_byte(b))?;
    Some(format!("{} in its status line", byte_name(*control)))
}

fn field_fault(line: &[u8], number: usize) -> Option<String> {
    // A folded line continues the value before it, so that only its bytes can be at fault.
    if matches!(line.first(), Some(b' ' | b'\t')) {
        let control = line.iter().find(|&&b| !is_value_byte(b))?;
        return Some(format!("{} in a folded line", byte_name(*control)));
    }
    let Some(colon) = memchr::memchr(b':', line) else {
        return Some(format!("field {number} has no colon"));
    };
    let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
    let name = name.trim_ascii_end();
    if name.is_empty() {
        return Some(format!("field {number} has no name"));
    }
    if !is_token(name) {
        return Some(format!("the name of field {number} is {}", shown(name)));
    }
    let control = value.iter().find(|&&b| !is_value_byte(b))?;
    Some(format!("{} in field {}", byte_name(*control), shown(name)))
}

fn byte_name(byte: u8) -> String {
    match byte {
        0 => "NUL".to_owned(),
        b'\r' => "a bare CR".to_owned(),
        byte => format!("the control byte {}", show(byte)),
    }
}

/// At most 64 bytes, escaped: a message must neither be long nor control a terminal.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 64;
    match bytes.get(..MOST) {
        Some(start) => format!("{}...", start.escape_ascii()),
        None => bytes.escape_ascii().to_string(),
    }
}

fn bad(code: &'static str, reason: impl Into<String>) -> HeadError {
    HeadError::with_status(502, code, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, http10: bool, fields: &[(&str, &str)]) -> Result<Option<u64>, HeadError> {
        let fields = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
        check_response(status, http10, fields)
    }

    #[test]
    fn one_meaning() {
        let length = |value| ("Content-Length", value);
        let coding = |value| ("Transfer-Encoding", value);
        for (status, http10, fields, expected) in [
            (200, false, vec![], None),
            (200, true, vec![], None),
            (200, false, vec![length("2")], Some(2)),
            (200, true, vec![length("2")], Some(2)),
            (
                200,
                false,
                vec![length("2"), ("content-length", "2")],
                Some(2),
            ),
            (200, false, vec![length("2, 2")], Some(2)),
            (200, false, vec![length("2,\t02"), length("2")], Some(2)),
            (200, false, vec![coding("Chunked")], None),
            (304, false, vec![coding("chunked")], None),
            (304, false, vec![length("7")], Some(7)),
            (204, false, vec![length("0")], Some(0)),
            (204, false, vec![], None),
            (103, false, vec![("Link", "</a>")], None),
            (599, false, vec![], None),
        ] {
            assert_eq!(
                check(status, http10, &fields),
                Ok(expected),
                "{status} {fields:?}"
            );
        }
    }

    #[test]
    fn several_meanings_or_none() {
        let length = |value| ("Content-Length", value);
        let coding = |value| ("Transfer-Encoding", value);
        for (status, http10, fields, code) in [
            (
                200,
                false,
                vec![length("2"), length("3")],
                "several_content_lengths",
            ),
            (200, false, vec![length("2, 3")], "several_content_lengths"),
            (200, false, vec![length("")], "content_length"),
            (200, false, vec![length("2,")], "content_length"),
            (200, false, vec![length("+2")], "content_length"),
            (200, false, vec![length("-0")], "content_length"),
            (200, false, vec![length("0x2")], "content_length"),
            (
                200,
                false,
                vec![length("99999999999999999999")],
                "content_length",
            ),
            (204, false, vec![length("2")], "content_length"),
            (100, false, vec![length("2")], "content_length"),
            (
                200,
                false,
                vec![coding("chunked"), coding("chunked")],
                "transfer_encoding",
            ),
            (200, false, vec![coding("identity")], "transfer_encoding"),
            (200, false, vec![coding("")], "transfer_encoding"),
            (
                200,
                false,
                vec![coding("gzip, chunked")],
                "transfer_encoding",
            ),
            (
                200,
                false,
                vec![coding("chunked, chunked")],
                "transfer_encoding",
            ),
            (304, false, vec![coding("gzip")], "transfer_encoding"),
            (204, false, vec![coding("chunked")], "transfer_encoding"),
            (103, false, vec![coding("chunked")], "transfer_encoding"),
            (
                200,
                true,
                vec![coding("chunked")],
                "transfer_encoding_in_http10",
            ),
            (
                200,
                false,
                vec![coding("chunked"), length("2")],
                "content_length_and_transfer_encoding",
            ),
            (
                304,
                false,
                vec![length("2"), coding("chunked")],
                "content_length_and_transfer_encoding",
            ),
            (600, false, vec![], "status"),
            (99, false, vec![], "status"),
        ] {
            let error = check(status, http10, &fields).unwrap_err();
            assert_eq!(
                (error.status, error.code),
                (502, code),
                "{status} {fields:?}"
            );
        }
    }

    #[test]
    fn a_change_of_protocols() {
        for (fields, expected) in [
            (&[("Upgrade", "websocket")][..], true),
            (&[("upgrade", " WebSocket ")], true),
            (&[], false),
            (&[("Upgrade", "h2c")], false),
            (&[("Upgrade", "websocket, h2c")], false),
            (&[("Upgrade", "websocket"), ("Upgrade", "h2c")], false),
        ] {
            let fields = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
            assert_eq!(switches_to_websocket(fields), expected);
        }
    }

    #[test]
    fn faults_are_named() {
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(257));
        for (raw, expected) in [
            (&many[..], "there are more than 256 fields"),
            ("HTTP/1.1 200 OK\r\nX-A: a\0b\r\n\r\n", "NUL in field X-A"),
            (
                "HTTP/1.1 200 OK\r\nX-A: a\rb\r\n\r\n",
                "a bare CR in field X-A",
            ),
            (
                "HTTP/1.1 200 OK\r\nA: b\r\nX-B: \x01\r\n\r\n",
                "the control byte '\\x01' in field X-B",
            ),
            (
                "HTTP/1.1 200 OK\r\nA: b\r\n \0\r\n\r\n",
                "NUL in a folded line",
            ),
            (
                "HTTP/1.1 200 OK\r\nA: b\r\nno colon\r\n\r\n",
                "field 2 has no colon",
            ),
            ("HTTP/1.1 200 OK\r\n: b\r\n\r\n", "field 1 has no name"),
            (
                "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
                "the name of field 1 is A b",
            ),
            ("HTTP/1.1 200 O\0K\r\n\r\n", "NUL in its status line"),
            (
                "HTTP/1.1 20 OK\r\n\r\n",
                "no status of three digits follows its version",
            ),
            (
                "HTTP/1.1\r\n\r\n",
                "no status of three digits follows its version",
            ),
            (
                "HTTP/2 200\r\n\r\n",
                "it begins with HTTP/2 200 and not with HTTP/1.1",
            ),
            ("<html>\n", "it begins with <html> and not with HTTP/1.1"),
            ("", "it begins with  and not with HTTP/1.1"),
        ] {
            assert_eq!(
                explain_response_head(raw.as_bytes(), 256),
                expected,
                "{raw:?}"
            );
        }
    }
}
