//! The boundary, and the header field that names it.

use super::*;

#[test]
fn reads_the_content_type() {
    let long = format!("multipart/form-data; boundary={}", "b".repeat(1000));
    let cases: &[(&str, &str, &[&str])] = &[
        ("multipart/form-data; boundary=b", "", &[]),
        ("Multipart/FORM-data;boundary=b", "", &[]),
        (
            "multipart/form-data; boundary=\"b\"",
            "",
            &["boundary_quoted"],
        ),
        ("multipart/form-data boundary=b", "", &["missing_semicolon"]),
        (
            "multipart/form-data; boundary =b",
            "",
            &["boundary_whitespace"],
        ),
        (
            "multipart/form-data; boundary= b",
            "",
            &["boundary_whitespace"],
        ),
        ("", "Content-Type header not available.", &["error"]),
        (&long, "Invalid boundary in C-T (length).", &["error"]),
        (
            "multipart/related; boundary=b",
            "Invalid MIME type.",
            &["error"],
        ),
        ("multipart/", "Invalid MIME type.", &["error"]),
        (
            "multipart/form-data",
            "Boundary not found in C-T.",
            &["error"],
        ),
        (
            "multipart/form-data; charset=x",
            "Boundary not found in C-T.",
            &["error"],
        ),
        ("multipart/form-data; Boundary=b", "", &["v2_refuses"]),
        (
            "multipart/form-data; boundary=b; boundary=c",
            "Multiple boundary parameters in C-T.",
            &["error"],
        ),
        (
            "multipart/form-data; boundary=b; BOUNDARY=c",
            "Multiple boundary parameters in C-T.",
            &["error"],
        ),
        (
            "multipart/form-data; boundary",
            "Invalid boundary in C-T (malformed).",
            &["error"],
        ),
        (
            "multipart/form-data; charset=x; boundary=b",
            "",
            &["v2_refuses"],
        ),
        ("multipart/form-data;; boundary=b", "", &["v2_refuses"]),
        (
            "multipart/form-data; boundaryx=b",
            "Invalid boundary in C-T (parameter name).",
            &["error"],
        ),
        (
            "multipart/form-data; boundary=\"b",
            "Invalid boundary in C-T (quote).",
            &["error"],
        ),
        (
            "multipart/form-data; boundary=b\"",
            "Invalid boundary in C-T (quote).",
            &["error"],
        ),
        (
            "multipart/form-data; boundary=\"b\"; charset=x",
            "",
            &["boundary_quoted", "v2_refuses"],
        ),
        (
            "multipart/form-data; boundary=b; charset=x",
            "",
            &["v2_refuses"],
        ),
        (
            "multipart/form-data; boundary=b,boundary",
            "Invalid boundary in C-T (characters).",
            &["error"],
        ),
        (
            "multipart/form-data; boundary=b ",
            "",
            &["boundary_whitespace"],
        ),
        (
            "multipart/form-data; boundary=b\u{e9}",
            "Invalid boundary in C-T (characters).",
            &["error"],
        ),
        (
            "multipart/form-data; boundary=b<",
            "Invalid boundary in C-T (characters).",
            &["error"],
        ),
        (
            "multipart/form-data; boundary=",
            "Invalid boundary in C-T (empty).",
            &["error"],
        ),
        (
            "multipart/form-data; boundary=\"\"",
            "Invalid boundary in C-T (empty).",
            &["error", "boundary_quoted"],
        ),
    ];
    let body = format!("--b\r\n{FIELD}x\r\n--b--\r\n");
    for (content_type, text, flags) in cases {
        let found = parse(content_type.as_bytes(), body.as_bytes(), &Limits::default());
        assert_eq!(message(&found), *text, "{content_type}");
        let flags_found = raised(&found.flags);
        for flag in *flags {
            assert!(
                flags_found.contains(flag),
                "{content_type}: {flags_found:?}"
            );
        }
        if text.is_empty() {
            assert_eq!(flags_found, *flags, "{content_type}");
        } else {
            // Rules see what could not be read.
            assert_eq!(found.parts[0].content, 0..body.len(), "{content_type}");
        }
    }
}

#[test]
fn a_boundary_may_be_the_word_itself() {
    let body = format!("--boundary\r\n{FIELD}x\r\n--boundary--\r\n");
    let found = parse(
        b"multipart/form-data; boundary=boundary",
        body.as_bytes(),
        &Limits::default(),
    );
    assert_eq!((message(&found).as_str(), found.parts.len()), ("", 1));
}

#[test]
fn refuses_a_boundary_that_two_readers_may_read_in_two_ways() {
    for parameters in [
        "; boundary=b; boundary=b",
        "; boundary=\"b\"; Boundary=c",
        "; charset=boundary; x=c; boundary=b",
        "; x=\"; boundary=c\"; boundary=b",
        "; boundary=b; x=\"; boundary=c\"",
        "; boundary=b; boundary*=utf-8''c",
        "; boundary*0=c; boundary=b",
        "; boundary=b; boundary*0=c",
        "; boundary=b; boundary =c",
        "; boundary=\"b; boundary=c\"",
        "; boundary=\"b\\c\"",
        "; boundary=\"b \"",
        "; boundary=b c",
        "; boundary=b,c",
        "; boundary=\"b\"c",
        "; boundary='b",
        ", boundary=b",
    ] {
        let content_type = format!("multipart/form-data{parameters}");
        let body = format!("--b\r\n{FIELD}x\r\n--b--\r\n");
        let found = parse(content_type.as_bytes(), body.as_bytes(), &Limits::default());
        assert!(found.error.is_some(), "{content_type}");
    }
}
