//! The backend that the CRS's RESPONSE tests need: it answers what the request tells it to.
//!
//! It imitates coreruleset/albedo: a POST to `/reflect` contains the answer as JSON; everything else gets an empty 200.
//! Without a Content-Type it is found from the body, as Go's HTTP server does (WHATWG's MIME sniffing standard, section
//! 7.1).

#![allow(
    clippy::indexing_slicing,
    reason = "ranges were found in the same bytes"
)]

use serde_json::Value;

use super::request::decode_base64;

/// A backend's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status, 100 to 599.
    pub status: u16,
    /// In the order they are sent; Content-Length is always among them.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body; also for HEAD, which must not get it.
    pub body: Vec<u8>,
}

/// What the backend answers to this request.
#[must_use]
pub fn reply(method: &[u8], path: &[u8], body: &[u8]) -> Reply {
    let path = path.split(|&b| b == b'?').next().unwrap_or_default();
    if method == b"POST" && (path == b"/reflect" || path.starts_with(b"/reflect/")) {
        return reflect(body);
    }
    Reply::new(200, Vec::new(), Vec::new())
}

fn reflect(body: &[u8]) -> Reply {
    let refuse = |text: &str| Reply::new(400, Vec::new(), text.as_bytes().to_vec());
    // Go's reader of JSON replaces bytes that are not UTF-8 as well.
    let text = String::from_utf8_lossy(body);
    let Ok(Value::Object(spec)) = serde_json::from_str(&text) else {
        return refuse("Invalid JSON in request body");
    };
    let field = |name: &str| {
        spec.iter()
            // Go matches the keys of JSON without regard to case.
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    let string = |name| field(name).and_then(Value::as_str).unwrap_or_default();
    let status = match field("status").and_then(Value::as_u64).unwrap_or(0) {
        // Go cannot tell 0 from a key that is not there.
        0 => 200,
        status @ 100..600 => u16::try_from(status).unwrap_or(200),
        status => return refuse(&format!("Invalid status code: {status}")),
    };
    let headers = field("headers")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone().into(), value.as_str()?.into())))
        .collect();
    let body = match string("body") {
        "" => match decode_base64(string("encodedBody")) {
            Some(body) => body,
            None => return refuse("invalid base64 encoding of response body"),
        },
        body => body.as_bytes().to_vec(),
    };
    Reply::new(status, headers, body)
}

impl Reply {
    fn new(status: u16, mut headers: Vec<(Vec<u8>, Vec<u8>)>, body: Vec<u8>) -> Self {
        let has = |headers: &[(Vec<u8>, Vec<u8>)], name: &[u8]| {
            headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
        };
        // Without a body there is nothing to find a type from.
        if !body.is_empty() && !has(&headers, b"Content-Type") {
            headers.push((b"Content-Type".to_vec(), sniff(&body).into()));
        }
        // A test may set a wrong length on purpose.
        if !has(&headers, b"Content-Length") {
            headers.push((b"Content-Length".to_vec(), body.len().to_string().into()));
        }
        Self {
            status,
            headers,
            body,
        }
    }
}

fn sniff(body: &[u8]) -> &'static str {
    const HTML: [&[u8]; 17] = [
        b"<!DOCTYPE HTML",
        b"<HTML",
        b"<HEAD",
        b"<SCRIPT",
        b"<IFRAME",
        b"<H1",
        b"<DIV",
        b"<FONT",
        b"<TABLE",
        b"<A",
        b"<STYLE",
        b"<TITLE",
        b"<B",
        b"<BODY",
        b"<BR",
        b"<P",
        b"<!--",
    ];
    // The signatures of formats that could be taken for text.
    const EXACT: [(&[u8], &str); 12] = [
        (b"%PDF-", "application/pdf"),
        (b"%!PS-Adobe-", "application/postscript"),
        (b"\xfe\xff", "text/plain; charset=utf-16be"),
        (b"\xff\xfe", "text/plain; charset=utf-16le"),
        (b"\xef\xbb\xbf", "text/plain; charset=utf-8"),
        (b"GIF87a", "image/gif"),
        (b"GIF89a", "image/gif"),
        (b"BM", "image/bmp"),
        (b"OTTO", "font/otf"),
        (b"ttcf", "font/collection"),
        (b"wOFF", "font/woff"),
        (b"wOF2", "font/woff2"),
    ];
    // As many bytes as Go looks at.
    let body = &body[..body.len().min(512)];
    let blanks = body
        .iter()
        .take_while(|b| matches!(b, b'\t' | b'\n' | 0xc | b'\r' | b' '))
        .count();
    // Tags may stand behind blanks; signatures stand at the very start.
    let text = &body[blanks..];
    let is_tag = |tag: &&[u8]| {
        text.get(..tag.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(tag))
            && matches!(text.get(tag.len()), Some(b' ' | b'>'))
    };
    if HTML.iter().any(is_tag) {
        return "text/html; charset=utf-8";
    }
    if text.starts_with(b"<?xml") {
        return "text/xml; charset=utf-8";
    }
    if let Some((_, name)) = EXACT.iter().find(|(magic, _)| body.starts_with(magic)) {
        return name;
    }
    let binary = |b: &u8| matches!(b, 0..=8 | 0xb | 0xe..=0x1a | 0x1c..=0x1f);
    match text.iter().any(binary) {
        true => "application/octet-stream",
        false => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_what_it_is_told() {
        let post = |path: &str, body: &str| reply(b"POST", path.as_bytes(), body.as_bytes());
        let header = |reply: &Reply, name: &[u8]| {
            let found = reply.headers.iter().find(|(n, _)| n == name);
            found.map(|(_, v)| String::from_utf8(v.clone()).unwrap())
        };
        let got = post("/reflect?x", r#"{"body": "a\u00e9"}"#);
        assert_eq!((got.status, got.body.as_slice()), (200, "aé".as_bytes()));
        assert_eq!(header(&got, b"Content-Length").as_deref(), Some("3"));
        let got = post(
            "/reflect/",
            r#"{"Status": 503, "encodedBody": "Zm8=", "headers": {"Content-Type": "x/y"}}"#,
        );
        assert_eq!((got.status, got.body.as_slice()), (503, &b"fo"[..]));
        assert_eq!(header(&got, b"Content-Type").as_deref(), Some("x/y"));
        for (path, body, status, length) in [
            ("/reflect", "", 400, 28),
            ("/reflect", "[1]", 400, 28),
            ("/reflect", r#"{"status": 1000}"#, 400, 25),
            ("/reflect", "{}", 200, 0),
            ("/reflectx", "x", 200, 0),
        ] {
            let got = post(path, body);
            assert_eq!(
                (got.status, got.body.len()),
                (status, length),
                "{path} {body}"
            );
        }
        assert_eq!(reply(b"GET", b"/reflect", b"{\"body\": \"x\"}").body, b"");
    }

    #[test]
    fn content_types_are_sniffed() {
        for (body, expected) in [
            (&b" \n<!doctype html>"[..], "text/html; charset=utf-8"),
            (b"<htmlx>", "text/plain; charset=utf-8"),
            (b"<a href", "text/html; charset=utf-8"),
            (b"<?xml?>", "text/xml; charset=utf-8"),
            (b"<?php", "text/plain; charset=utf-8"),
            (b"\xe9\xff text \x1b", "text/plain; charset=utf-8"),
            (b"x\0", "application/octet-stream"),
            (b"%PDF-1", "application/pdf"),
        ] {
            assert_eq!(sniff(body), expected, "{}", body.escape_ascii());
        }
    }
}
