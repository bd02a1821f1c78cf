//! What passes, what does not and why, one line a case.

use super::*;

const HOST: &str = "Host: a.test\r\n";

fn verdict(raw: &[u8]) -> &'static str {
    Head::parse(raw).map_or_else(|e| e.code, |_| "ok")
}

fn line(line: &str) -> Vec<u8> {
    format!("{line}\r\n{HOST}\r\n").into_bytes()
}

fn fields(fields: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\n{HOST}{fields}\r\n").into_bytes()
}

#[test]
fn request_lines() {
    for (text, expected) in [
        ("GET / HTTP/1.1", "ok"),
        ("GET / HTTP/1.0", "ok"),
        ("|GET / HTTP/1.1", "ok"),
        ("OPTIONS * HTTP/1.1", "ok"),
        ("GET http://a.test HTTP/1.1", "ok"),
        ("GET HTTPS://A.TEST/x?y HTTP/1.1", "ok"),
        ("GET http://a.test?y HTTP/1.1", "ok"),
        ("GET //evil/x HTTP/1.1", "ok"),
        ("GET /?a=\"<>\\^`{|}'[]%zz\u{e9} HTTP/1.1", "ok"),
        (" GET / HTTP/1.1", "leading_blank"),
        ("\tGET / HTTP/1.1", "leading_blank"),
        ("GET  / HTTP/1.1", "request_line_spaces"),
        ("GET / HTTP/1.1 ", "request_line_spaces"),
        ("GET /a b HTTP/1.1", "request_line_spaces"),
        ("GET /", "request_line_spaces"),
        ("GET", "request_line_spaces"),
        ("GET\t/\tHTTP/1.1", "control_in_request_line"),
        ("GET /\u{1} HTTP/1.1", "control_in_request_line"),
        ("GET /\u{7f} HTTP/1.1", "control_in_request_line"),
        ("GET /\0 HTTP/1.1", "control_in_request_line"),
        ("G(T / HTTP/1.1", "method_not_token"),
        ("G\u{e9}T / HTTP/1.1", "method_not_token"),
        ("GET / ", "version"),
        ("GET / HTTP/0.9", "version"),
        ("GET / HTTP/1.2", "version"),
        ("GET / HTTP/2.0", "version"),
        ("GET / http/1.1", "version"),
        ("GET / HTTP\\1.0", "version"),
        ("GET / HTTP/1.10", "version"),
        ("GET / 1.1", "version"),
        ("GET / JUNK/1.0", "version"),
        ("GET /#x HTTP/1.1", "fragment_in_target"),
        ("GET http://a.test/#x HTTP/1.1", "fragment_in_target"),
        ("GET \\ HTTP/1.1", "target_form"),
        ("GET x HTTP/1.1", "target_form"),
        ("GET * HTTP/1.1", "target_form"),
        ("GET ?x HTTP/1.1", "target_form"),
        ("GET ftp://a.test/ HTTP/1.1", "target_form"),
        ("GET http:///x HTTP/1.1", "target_form"),
        ("GET http://u@a.test/x HTTP/1.1", "target_form"),
        ("GET http://b.test/ HTTP/1.1", "host_differs_from_target"),
        ("GET http://a.test:80/ HTTP/1.1", "host_differs_from_target"),
        ("CONNECT a.test:80 HTTP/1.1", "connect"),
        ("CONNECT / HTTP/1.1", "connect"),
    ] {
        assert_eq!(verdict(&line(text)), expected, "{text:?}");
    }
}

#[test]
fn header_lines() {
    for (text, expected) in [
        ("", "ok"),
        ("X:\r\n", "ok"),
        ("X: a\tb\r\nx:c\r\n", "ok"),
        ("X: \u{e9}\r\n", "ok"),
        ("Content-Type: a\r\nContent-Type: b\r\n", "ok"),
        ("X: a\r\n b\r\n", "obs_fold"),
        ("X: a\r\n\tb\r\n", "obs_fold"),
        ("X : a\r\n", "blank_before_colon"),
        ("X\t: a\r\n", "blank_before_colon"),
        ("X\r\n", "header_without_colon"),
        (": a\r\n", "header_name_not_token"),
        ("X Y: a\r\n", "header_name_not_token"),
        ("X\u{e9}: a\r\n", "header_name_not_token"),
        ("X\0: a\r\n", "header_name_not_token"),
        ("X: \0\r\n", "control_in_header"),
        ("X: \u{b}\r\n", "control_in_header"),
        ("X: \u{7f}\r\n", "control_in_header"),
        ("X: a\nY: b\r\n", "bare_lf"),
        ("X: a\rY: b\r\n", "bare_cr"),
        ("X: a\r\r\n", "bare_cr"),
        ("Host: a.test\r\n", "several_hosts"),
        ("HOST: b.test\r\n", "several_hosts"),
    ] {
        assert_eq!(verdict(&fields(text)), expected, "{text:?}");
    }
}

#[test]
fn hosts() {
    for (text, expected) in [
        ("GET / HTTP/1.1\r\n\r\n", "no_host"),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "invalid_host"),
        ("GET / HTTP/1.1\r\nHost: a%1F\r\n\r\n", "invalid_host"),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "invalid_host"),
        ("GET / HTTP/1.0\r\n\r\n", "ok"),
        ("GET / HTTP/1.0\r\nHost:\r\n\r\n", "ok"),
        ("GET / HTTP/1.0\r\nHost: a/b\r\n\r\n", "invalid_host"),
        ("GET http://a.test/ HTTP/1.0\r\n\r\n", "ok"),
        (
            "GET http://a.test/ HTTP/1.0\r\nHost:\r\n\r\n",
            "host_differs_from_target",
        ),
    ] {
        assert_eq!(verdict(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn framing() {
    use BodyFraming::{Chunked, Length, None};
    for (text, expected) in [
        ("", Ok(None)),
        ("Content-Length: 0\r\n", Ok(Length(0))),
        ("content-length:  12 \r\n", Ok(Length(12))),
        (
            "Content-Length: 18446744073709551615\r\n",
            Ok(Length(u64::MAX)),
        ),
        ("Transfer-Encoding: chunked\r\n", Ok(Chunked)),
        ("Transfer-Encoding: Chunked\r\n", Ok(Chunked)),
        (
            "Content-Length: 18446744073709551616\r\n",
            Err("content_length"),
        ),
        ("Content-Length: +2\r\n", Err("content_length")),
        ("Content-Length: -2\r\n", Err("content_length")),
        ("Content-Length: 0x2\r\n", Err("content_length")),
        ("Content-Length: 2, 2\r\n", Err("content_length")),
        ("Content-Length: 2 2\r\n", Err("content_length")),
        ("Content-Length:\r\n", Err("content_length")),
        ("Content-Length: abc\r\n", Err("content_length")),
        (
            "Content-Length: 2\r\nContent-Length: 2\r\n",
            Err("several_content_lengths"),
        ),
        (
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            Err("content_length_and_transfer_encoding"),
        ),
        (
            "Transfer-Encoding: identity\r\nContent-Length: x\r\n",
            Err("content_length_and_transfer_encoding"),
        ),
        (
            "Transfer-Encoding: gzip, chunked\r\n",
            Err("transfer_encoding"),
        ),
        (
            "Transfer-Encoding: chunked, identity\r\n",
            Err("transfer_encoding"),
        ),
        (
            "Transfer-Encoding: chunked, chunked\r\n",
            Err("transfer_encoding"),
        ),
        ("Transfer-Encoding: xchunked\r\n", Err("transfer_encoding")),
        (
            "Transfer-Encoding: \"chunked\"\r\n",
            Err("transfer_encoding"),
        ),
        (
            "Transfer-Encoding: chunked;q=1\r\n",
            Err("transfer_encoding"),
        ),
        ("Transfer-Encoding:\r\n", Err("transfer_encoding")),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Err("transfer_encoding"),
        ),
    ] {
        let got = Head::parse(&fields(text))
            .map(|h| h.body)
            .map_err(|e| e.code);
        assert_eq!(got, expected, "{text:?}");
    }
    let raw = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(verdict(raw), "transfer_encoding_in_http10");
}

#[test]
fn line_ends() {
    for (raw, expected) in [
        (&b""[..], "incomplete_head"),
        (b"GET / HTTP/1.0\r\n", "incomplete_head"),
        (b"GET / HTTP/1.0\r\n\r", "incomplete_head"),
        (
            b"\r\nGET / HTTP/1.0\r\n\r\n",
            "empty_line_before_request_line",
        ),
        (b"\nGET / HTTP/1.0\r\n\r\n", "bare_lf"),
        (b"GET / HTTP/1.0\n\n", "bare_lf"),
        (b"GET / HTTP/1.0\r\n\n", "bare_lf"),
        (b"GET / HTTP/1.0\r\rX", "bare_cr"),
    ] {
        assert_eq!(verdict(raw), expected, "{}", raw.escape_ascii());
    }
}

#[test]
fn the_parts_are_where_they_were_sent() {
    let raw = b"GET http://a.test/p?q HTTP/1.1\r\nHost:a.test\r\nX: \t v w \t\r\n\r\nbody";
    let head = Head::parse(raw).unwrap();
    let text = |range: &Range<usize>| std::str::from_utf8(&raw[range.clone()]).unwrap();
    assert_eq!(text(&head.line), "GET http://a.test/p?q HTTP/1.1");
    assert_eq!(text(&head.method), "GET");
    assert_eq!(text(&head.target), "http://a.test/p?q");
    assert_eq!(text(&head.protocol), "HTTP/1.1");
    assert_eq!(text(head.host.as_ref().unwrap()), "a.test");
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(n, v)| (text(n), text(v)))
        .collect();
    assert_eq!(headers, [("Host", "a.test"), ("X", "v w")]);
    assert_eq!(&raw[head.length..], b"body");
    let TargetForm::Absolute { authority, path } = &head.form else {
        panic!("{:?}", head.form);
    };
    assert_eq!((text(authority), text(path)), ("a.test", "/p?q"));
}

#[test]
fn limits() {
    let limits = HeadLimits {
        head: 100,
        line: 40,
        headers: 2,
    };
    let parse = |text: &str| {
        Head::parse_within(text.as_bytes(), &limits)
            .map_or_else(|e| (e.status, e.code), |_| (200, "ok"))
    };
    let long = "x".repeat(60);
    assert_eq!(
        parse("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"),
        (200, "ok")
    );
    assert_eq!(
        parse("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nX: y\r\n\r\n"),
        (431, "too_many_headers")
    );
    assert_eq!(
        parse(&format!("GET /{long} HTTP/1.1\r\n\r\n")),
        (414, "request_line_too_long")
    );
    assert_eq!(
        parse(&format!("GET / HTTP/1.1\r\nX: {long}\r\n\r\n")),
        (431, "header_line_too_long")
    );
    assert_eq!(
        parse(&format!("GET / HTTP/1.1\r\nX: {long}{long}\r\n\r\n")),
        (431, "head_too_large")
    );
    let exact = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(37));
    assert_eq!(parse(&exact), (200, "ok"));
}

#[test]
fn http2() {
    let good = H2Head {
        method: b"GET",
        scheme: Some(b"https"),
        authority: Some(b"a.test"),
        path: Some(b"/x?y={|}\xe9"),
        protocol: None,
    };
    let code = |head: &H2Head<'_>, fields: &[(&str, &str)]| {
        let fields = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
        check_h2(head, fields, &HeadLimits::default()).map_or_else(|e| e.code, |()| "ok")
    };
    for (fields, expected) in [
        (&[][..], "ok"),
        (
            &[
                ("host", "A.test"),
                ("te", "trailers"),
                ("content-length", "3"),
            ],
            "ok",
        ),
        (&[("host", "b.test")], "host_differs_from_target"),
        (&[("host", "a.test"), ("host", "a.test")], "several_hosts"),
        (&[("Accept", "x")], "header_name_not_token"),
        (&[(":path", "/")], "header_name_not_token"),
        (&[("", "x")], "header_name_not_token"),
        (&[("x", "a\r\nb")], "control_in_header"),
        (&[("x", " a")], "blank_around_value"),
        (&[("x", "a ")], "blank_around_value"),
        (&[("connection", "close")], "connection_header_in_h2"),
        (
            &[("transfer-encoding", "chunked")],
            "connection_header_in_h2",
        ),
        (&[("te", "gzip")], "connection_header_in_h2"),
        (&[("content-length", "1, 1")], "content_length"),
        (
            &[("content-length", "1"), ("content-length", "1")],
            "several_content_lengths",
        ),
    ] {
        assert_eq!(code(&good, fields), expected, "{fields:?}");
    }
    let with = |change: fn(&mut H2Head<'_>)| {
        let mut head = good;
        change(&mut head);
        head
    };
    for (head, expected) in [
        (with(|h| h.authority = None), "no_host"),
        (with(|h| h.authority = Some(b"")), "invalid_host"),
        (with(|h| h.authority = Some(b"u@a.test")), "invalid_host"),
        (with(|h| h.scheme = None), "scheme"),
        (with(|h| h.scheme = Some(b"file")), "scheme"),
        (with(|h| h.path = None), "target_form"),
        (with(|h| h.path = Some(b"")), "target_form"),
        (with(|h| h.path = Some(b"x")), "target_form"),
        (with(|h| h.path = Some(b"*")), "target_form"),
        (with(|h| h.path = Some(b"/a b")), "control_in_request_line"),
        (
            with(|h| h.path = Some(b"/a\r\n")),
            "control_in_request_line",
        ),
        (with(|h| h.path = Some(b"/#a")), "fragment_in_target"),
        (with(|h| h.method = b"G T"), "method_not_token"),
        (with(|h| h.method = b"CONNECT"), "connect"),
        (with(|h| h.protocol = Some(b"websocket")), "connect"),
    ] {
        assert_eq!(code(&head, &[]), expected, "{head:?}");
    }
    assert_eq!(
        code(&with(|h| h.authority = None), &[("host", "a.test")]),
        "ok"
    );
    assert_eq!(
        code(&with(|h| h.authority = None), &[("host", "")]),
        "invalid_host"
    );
}

/// Mutates valid heads byte by byte: nothing panics, and what passes keeps its promises.
#[test]
fn mutated_heads_never_panic_and_never_lie() {
    let seeds: [&[u8]; 3] = [
        b"POST /a?b=c HTTP/1.1\r\nHost: a.test:80\r\nContent-Length: 12\r\nX: y z\r\n\r\n",
        b"GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"OPTIONS * HTTP/1.0\r\nHost: [::1]:1\r\n\r\n",
    ];
    let alphabet = b"\r\n\t :#*/\\%,;\0\x7f\xffaZ09[]@";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut passed = 0;
    for round in 0..60_000 {
        let mut raw = seeds[round % seeds.len()].to_vec();
        for _ in 0..=random(3) {
            let at = random(raw.len().max(1)).min(raw.len().saturating_sub(1));
            let byte = alphabet[random(alphabet.len())];
            match random(4) {
                0 if raw.len() > 1 => drop(raw.remove(at)),
                1 => raw.insert(at, byte),
                2 if !raw.is_empty() => raw[at] = byte,
                _ => raw.truncate(at.max(1)),
            }
        }
        let Ok(head) = Head::parse(&raw) else {
            continue;
        };
        passed += 1;
        let bytes = &raw[..head.length];
        assert!(bytes.ends_with(b"\r\n\r\n"));
        let controls = bytes
            .iter()
            .filter(|b| b.is_ascii_control() && **b != b'\t')
            .count();
        assert_eq!(
            controls,
            2 * (head.headers.len() + 2),
            "{}",
            bytes.escape_ascii()
        );
        assert_eq!(raw[head.line.clone()].split(|&b| b == b' ').count(), 3);
        for (name, _) in &head.headers {
            assert!(is_token(&raw[name.clone()]));
        }
    }
    assert!(
        passed > 1_000,
        "the mutations leave too few heads valid: {passed}"
    );
}
