//! Phases 3 and 4.

use std::io::Write;

use super::harness::{Exchange, build, builder, check_all, judge, load, play, values};

#[test]
fn response_variables() {
    let exchange = Exchange::parse(
        "GET /\n---\n404\nContent-Type: text/html; charset=x\nX-A: 1\nContent-Length: 5\n\n<p>no",
    );
    for (list, phase, expected) in [
        ("RESPONSE_STATUS", 3, "RESPONSE_STATUS=404"),
        ("RESPONSE_PROTOCOL", 3, "RESPONSE_PROTOCOL=HTTP/1.1"),
        (
            "RESPONSE_CONTENT_TYPE",
            3,
            "RESPONSE_CONTENT_TYPE=text/html; charset=x",
        ),
        ("RESPONSE_CONTENT_LENGTH", 3, "RESPONSE_CONTENT_LENGTH=5"),
        ("RESPONSE_HEADERS:x-a", 3, "RESPONSE_HEADERS:X-A=1"),
        (
            "RESPONSE_HEADERS_NAMES",
            3,
            "RESPONSE_HEADERS_NAMES:Content-Type=Content-Type RESPONSE_HEADERS_NAMES:X-A=X-A RESPONSE_HEADERS_NAMES:Content-Length=Content-Length",
        ),
        ("RESPONSE_BODY", 3, ""),
        ("RESPONSE_BODY", 4, "RESPONSE_BODY=<p>no"),
        ("RESPONSE_BODY", 5, "RESPONSE_BODY=<p>no"),
        ("RESPONSE_STATUS", 1, ""),
    ] {
        let rules = build(&format!(
            "SecResponseBodyAccess On\nSecRule {list} \"@unconditionalMatch\" \"id:1,phase:{phase},pass\""
        ));
        assert_eq!(
            values(&play(&rules, &exchange), 1).join(" "),
            expected,
            "{list} in {phase}"
        );
    }
}

#[test]
fn types_and_limits() {
    let leak = "SecRule RESPONSE_BODY \"@contains secret\" \"id:4,phase:4,deny,status:502\"\n";
    let of = |kind: &str| format!("GET /\n---\n200\n{kind}\n\nxx secret");
    let on = format!("SecResponseBodyAccess On\n{leak}");
    check_all(&[
        (
            "a listed type",
            &on,
            &of("Content-Type: text/html"),
            "4 deny:502@4",
        ),
        (
            "its case and parameters are no matter",
            &on,
            &of("Content-Type: TEXT/Plain;x"),
            "4 deny:502@4",
        ),
        ("another type", &on, &of("Content-Type: image/png"), ""),
        (
            "added",
            &format!("SecResponseBodyMimeType image/png text/xml\n{on}"),
            &of("Content-Type: image/png"),
            "4 deny:502@4",
        ),
        (
            "cleared",
            &format!("SecResponseBodyMimeTypesClear\nSecResponseBodyMimeType text/xml\n{on}"),
            &of("Content-Type: text/html"),
            "",
        ),
        ("no access", leak, &of("Content-Type: text/html"), ""),
        (
            "beyond the limit",
            &format!("SecResponseBodyLimit 4\n{on}"),
            &of("Content-Type: text/html"),
            "",
        ),
        (
            "beyond the limit, refused",
            &format!("SecResponseBodyLimit 4\nSecResponseBodyLimitAction Reject\n{on}"),
            &of("Content-Type: text/html"),
            "deny:500@4",
        ),
    ]);
}

/// Only a body that fills the limit was cut at it. If less of it is there, it has another cause.
#[test]
fn an_incomplete_body_is_not_always_the_limits_doing() {
    let see = "SecRule OUTBOUND_DATA_ERROR \"@eq 1\" \"id:5,phase:4,pass\"\n";
    let on = format!("SecResponseBodyAccess On\nSecResponseBodyLimit 4\n{see}");
    let reject = "SecResponseBodyLimitAction Reject\n";
    let limit = "only the first 4 bytes are inspected (SecResponseBodyLimit)";
    let missing = "only the first 3 bytes were there to inspect";
    for (rules, blocks, body, complete, reason, expected) in [
        ("", false, "abcd", true, None, ""),
        ("", false, "abcd", false, Some(limit), "5"),
        ("", false, "abcde", true, Some(limit), "5"),
        ("", true, "abcd", false, Some(limit), "deny:500@4"),
        (reject, false, "abcd", false, Some(limit), "deny:500@4"),
        ("", false, "abc", false, Some(missing), ""),
        (reject, false, "abc", false, Some(missing), ""),
        ("", true, "abc", false, Some(missing), "deny:500@4"),
    ] {
        let rules = load(builder(&format!("{on}{rules}")).block_uninspected(blocks));
        let mut t = waf::Transaction::new(
            rules,
            ([192, 0, 2, 7], 1).into(),
            ([192, 0, 2, 8], 1).into(),
            "id",
        );
        t.request_line(b"GET / HTTP/1.1", b"GET", b"/", b"HTTP/1.1");
        assert_eq!(t.request_headers_done(), None);
        assert_eq!(t.request_body(b""), None);
        let head = [(&b"content-type"[..], &b"text/html"[..])];
        assert_eq!(t.response_headers(200, b"HTTP/1.1", head), None);
        let _ = t.response_body(body.as_bytes(), complete);
        let what = format!("{body} {complete} {blocks}");
        judge(&what, &t, expected);
        let seen = t.response_inspection();
        assert_eq!(seen.reason.as_deref(), reason, "{what}");
    }
}

#[test]
fn coded_responses() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(b"a secret").expect("written");
    let mut exchange =
        Exchange::parse("GET /\n---\n200\nContent-Type: text/html\nContent-Encoding: gzip\n\n");
    exchange.response_body = gzip.finish().expect("finished");
    let rules = build(
        "SecResponseBodyAccess On\nSecRule RESPONSE_BODY \"@contains secret\" \"id:4,phase:4,deny\"",
    );
    judge("decoded", &play(&rules, &exchange), "4 deny:403@4");
}
