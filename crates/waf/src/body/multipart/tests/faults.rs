//! What is wrong with a body, in words.

use super::*;

#[test]
fn says_what_is_wrong_with_a_body() {
    let long = with_headers(&format!("X: {}", "x".repeat(5000)));
    let folded = with_headers(&format!(
        "X: x{}",
        format!("\r\n {}", "x".repeat(1000)).repeat(5)
    ));
    let many: String = (0..40).map(|n| format!("X-{n}: 1\r\n")).collect();
    let cases: &[(&str, &str)] = &[
        ("x", "No boundaries found in payload."),
        ("--b--", "No boundaries found in payload."),
        ("x\r\n", "No boundaries found in payload."),
        (&format!("--b\r\n{FIELD}x\r\n"), "Final boundary missing."),
        (
            &format!("--b\r\n{FIELD}x\r\n--b"),
            "Final boundary missing.",
        ),
        (
            &format!("--b\r\n{FIELD}x\r\n--b--\r"),
            "Final boundary missing.",
        ),
        (
            &format!("--b\r\n{FIELD}x\r\n--bx\r\n"),
            "Invalid boundary: --bx\\x0d\\x0a",
        ),
        (
            &format!("--b\r\n{FIELD}x\r\n--b \r\n"),
            "Invalid boundary: --b \\x0d\\x0a",
        ),
        (
            &format!("--b\r\n{FIELD}x\r\n--b--x\r\n"),
            "Invalid boundary: --b--x\\x0d\\x0a",
        ),
        (
            &format!("--b\r\n{FIELD}x\r\n-- b\r\n"),
            "Invalid boundary (whitespace).",
        ),
        (
            "--b\r\n\r\nx\r\n--b--\r\n",
            "Part missing Content-Disposition header.",
        ),
        (
            &with_headers("X: y"),
            "Part missing Content-Disposition header.",
        ),
        (
            &with_headers("X"),
            "Invalid part header (colon missing): X.",
        ),
        (
            "--b\r\n--b\r\n",
            "Invalid part header (colon missing): --b.",
        ),
        (
            &with_headers(": y"),
            "Invalid part header (header name missing).",
        ),
        (
            &with_headers("\u{e}Content-Disposition: form-data; name=\"f\""),
            "Invalid part header (contains invalid character).",
        ),
        (
            &with_headers("Content- Disposition: form-data; name=\"f\""),
            "Invalid part header (contains invalid character).",
        ),
        (
            &with_headers("Content\u{7f}-Disposition: form-data; name=\"f\""),
            "Invalid part header (contains invalid character).",
        ),
        (
            &with_headers("Content-Type : x"),
            "Invalid part header (contains invalid character).",
        ),
        (
            &with_headers("C\u{e9}: x"),
            "Invalid part header (contains invalid character).",
        ),
        (
            &with_headers(" X: y"),
            "Invalid part header (folding error).",
        ),
        (&with_headers("X: \0"), "Nul byte in part headers."),
        (&with_headers("X: 1\r\nx: 2"), "Duplicate part header: x."),
        (&long, "Part header line over 4096 bytes long"),
        (&folded, "Part header too long."),
        (&with_headers(&many), "Too many part headers (limit 32)."),
        (
            &with_disposition("form-data"),
            "Content-Disposition header missing name field.",
        ),
        (
            &with_disposition("form-data; filename=\"x\""),
            "Content-Disposition header missing name field.",
        ),
        (
            &with_disposition("form-data; name=f; filename =\"x\""),
            "Invalid Content-Disposition header (filename).",
        ),
        (
            &with_disposition("form-data; name=f; FILENAME=x"),
            "Invalid Content-Disposition header (filename).",
        ),
        (
            &with_disposition("form-data; name=f; filename*=utf-8''x"),
            "Invalid Content-Disposition header (filename).",
        ),
    ];
    for (body, text) in cases {
        assert_eq!(message(&read(body)), *text, "{body:.60?}");
    }
    let body = format!("--b\r\n{FIELD}x\r\n--\"b\"\r\n");
    let found = parse(
        b"multipart/form-data; boundary=\"b\"",
        body.as_bytes(),
        &Limits::default(),
    );
    assert_eq!(message(&found), "Invalid boundary (quotes).");
}

#[test]
fn numbers_what_is_wrong_with_a_disposition() {
    for (value, code) in [
        ("attachment", -1),
        ("form-datax; name=\"f\"", -2),
        ("form-data, name=\"f\"", -2),
        ("form-data; ", -3),
        ("form-data; name=f; ", -3),
        ("form-data; name", -4),
        ("form-data; name ", -5),
        ("form-data; name=", -6),
        ("form-data; name= ", -6),
        ("form-data; name=\"", -7),
        ("form-data; name=\"f\\", -8),
        ("form-data; name=\"f", -10),
        ("form-data; name=\"f\\\"", -10),
        ("form-data; name=\"f\"; filename=x; filename*=utf-7''y", -11),
        ("form-data; name=\"f\"; filename=x; filename*=y", -11),
        ("form-data; name=\"f\"; filename*0=x", -11),
        ("form-data; name*=UTF-8''f", -11),
        ("form-data; x-name=f", -11),
        ("form-data; name=\"f\"; x=\"; filename=y\"", -11),
        (
            "form-data; name=f; filename=x; filename*=utf-8''y; filename*=utf-8''z",
            -15,
        ),
        ("form-data; =f", -11),
        ("form-data; name=\"f\" x", -12),
        ("form-data; name f", -13),
        ("form-data; name=\"f\"; name=\"g\"", -14),
        ("form-data; name=\"f\"; filename=\"x\"; filename=\"y\"", -15),
    ] {
        let body = with_disposition(value);
        let found = read(&body);
        let text = format!("Invalid Content-Disposition header ({code}): ");
        assert!(
            message(&found).starts_with(&text),
            "{value}: {}",
            message(&found)
        );
    }
}

#[test]
fn what_stands_behind_an_error_is_kept() {
    let content = |found: &Multipart<'_>, body: &str| -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        found
            .parts
            .iter()
            .map(|p| (text(&p.name), body[p.content.clone()].to_owned()))
            .collect()
    };
    let body = format!("--b\r\n{FIELD}one\r\n--b\r\n{FIELD}two\r\n");
    let found = read(&body);
    assert_eq!(
        content(&found, &body),
        [("f".into(), "one".into()), ("f".into(), "two\r\n".into())]
    );
    assert!(found.parts[0].complete && !found.parts[1].complete);
    // The header that stopped it is among the headers, and what follows is content.
    let body = "--b\r\nA: 1\r\nX\r\nattack\r\n--b--\r\n";
    let found = read(body);
    assert_eq!(found.parts[0].headers, [&b"A: 1"[..], b"X"]);
    assert_eq!(
        content(&found, body),
        [(String::new(), body[11..].to_owned())]
    );
    let body = "no boundary at all";
    assert_eq!(
        content(&read(body), body),
        [(String::new(), body.to_owned())]
    );
}
