use super::super::mutate::mutations;
use super::super::work;
use super::*;

const TYPE: &[u8] = b"multipart/form-data; boundary=b";
const FIELD: &str = "Content-Disposition: form-data; name=\"f\"\r\n\r\n";

fn read(body: &str) -> Multipart<'_> {
    parse(TYPE, body.as_bytes(), &Limits::default())
}

/// The body of one part with these headers.
fn with_headers(headers: &str) -> String {
    format!("--b\r\n{headers}\r\n\r\nx\r\n--b--\r\n")
}

fn with_disposition(value: &str) -> String {
    with_headers(&format!("Content-Disposition: {value}"))
}

fn message(found: &Multipart<'_>) -> String {
    let message = found
        .error
        .as_ref()
        .map_or_else(String::new, |e| e.message.clone());
    assert_eq!(found.flags.error, !message.is_empty());
    message
        .strip_prefix("Multipart parsing error: Multipart: ")
        .unwrap_or(&message)
        .to_owned()
}

/// The names of the flags that are up.
fn raised(flags: &Flags) -> Vec<&'static str> {
    let all = [
        (flags.error, "error"),
        (flags.boundary_quoted, "boundary_quoted"),
        (flags.boundary_whitespace, "boundary_whitespace"),
        (flags.data_before, "data_before"),
        (flags.data_after, "data_after"),
        (flags.header_folding, "header_folding"),
        (flags.crlf_lf_lines(), "crlf_lf_lines"),
        (flags.lf_line, "lf_line"),
        (flags.missing_semicolon, "missing_semicolon"),
        (flags.invalid_quoting, "invalid_quoting"),
        (flags.invalid_part, "invalid_part"),
        (flags.invalid_header_folding, "invalid_header_folding"),
        (flags.file_limit_exceeded, "file_limit_exceeded"),
        (flags.unmatched_boundary, "unmatched_boundary"),
        (flags.v2_refuses, "v2_refuses"),
        (flags.text_before, "text_before"),
        (flags.text_after, "text_after"),
        (flags.folded_meaning, "folded_meaning"),
        (flags.part_coding, "part_coding"),
    ];
    all.iter()
        .filter(|(up, _)| *up)
        .map(|(_, name)| *name)
        .collect()
}

#[test]
fn reads_fields_and_files() {
    let body = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\ntwo\r\n\
        --b\r\nContent-Disposition: form-data; name=\"up\"; filename=\"x.php\"\r\n\
        Content-Type:\ttext/plain\r\n\r\n<?php\r\n\r\n\
        --b\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n\r\n--b--\r\n";
    let found = read(body);
    assert_eq!(message(&found), "");
    assert!(!found.flags.strict_error());
    assert_eq!(raised(&found.flags), [""; 0]);
    assert!(found.flags.crlf_line);
    let content = |part: &Part<'_>| body[part.content.clone()].to_owned();
    let fields: Vec<_> = found
        .fields()
        .map(|p| (p.name.as_slice(), content(p)))
        .collect();
    assert_eq!(
        fields,
        [(&b"a"[..], "one\r\ntwo".to_owned()), (b"a", String::new())]
    );
    let file = found.files().next().unwrap();
    assert_eq!(file.name, b"up");
    assert_eq!(file.filename.as_deref(), Some(&b"x.php"[..]));
    assert_eq!(content(file), "<?php\r\n");
    assert_eq!(file.headers[1].as_ref(), b"Content-Type:\ttext/plain");
    assert_eq!(found.files_combined_size(), 7);
    assert_eq!(
        (found.name.as_slice(), found.filename.as_slice()),
        (&b"a"[..], &b"x.php"[..])
    );
    assert!(found.parts.iter().all(|part| part.complete));
}

#[test]
fn an_empty_body_is_no_error() {
    assert_eq!(read(""), Multipart::default());
    let none = read("--b--\r\n");
    assert_eq!((message(&none).as_str(), none.parts.len()), ("", 0));
}

#[test]
fn raises_each_flag() {
    let cases: &[(&str, &[&str])] = &[
        (&format!("--b\r\n{FIELD}x\r\n--b--"), &[]),
        (
            &format!("x\r\n--b\r\n{FIELD}x\r\n--b--\r\n"),
            &["data_before", "text_before"],
        ),
        (
            &format!("\r\n--b\r\n{FIELD}x\r\n--b--\r\n"),
            &["data_before"],
        ),
        (
            &format!("--b\r\n{FIELD}x\r\n--b--\r\n\r\n"),
            &["data_after"],
        ),
        (
            &format!("--b\r\n{FIELD}x\r\n--b--\r\n--b\r\n{FIELD}"),
            &["data_after", "text_after"],
        ),
        (
            &format!("--b\n{FIELD}x\r\n--b--\r\n"),
            &["crlf_lf_lines", "lf_line"],
        ),
        (
            &format!("--b\r\n{FIELD}x\n--b--\r\n"),
            &["crlf_lf_lines", "lf_line"],
        ),
        (
            &format!("--b\r\n{FIELD}x\n--b--"),
            &["crlf_lf_lines", "lf_line"],
        ),
        (
            &format!("--b\r\n{FIELD}x\r\n--b--\n"),
            &["crlf_lf_lines", "lf_line"],
        ),
        (&format!("--b\r\n{FIELD}x\ny\r\n--b--\r\n"), &[]),
        (
            &format!("--b\r\n{FIELD}x\r\n--b--\r\n").replace('\r', ""),
            &["lf_line"],
        ),
        (
            &with_headers("Content-Disposition: form-data;\r\n name=\"f\""),
            &["header_folding", "folded_meaning"],
        ),
        (
            &format!("--b\r\nContent-Type: text/plain;\r\n\tcharset=utf-8\r\n{FIELD}x\r\n--b--"),
            &["header_folding"],
        ),
        (
            &with_headers("Content-Disposition: form-data;\r\n\x0bname=\"f\""),
            &["header_folding", "invalid_header_folding", "folded_meaning"],
        ),
        (
            &with_headers("Content-Disposition: form-data;\r\n \x0c name=\"f\""),
            &["header_folding", "invalid_header_folding", "folded_meaning"],
        ),
        (
            &with_disposition("form-data; name='f'"),
            &["invalid_quoting"],
        ),
        (
            &with_disposition("form-data; name=f'g"),
            &["invalid_quoting"],
        ),
        (&with_disposition("form-data; name=\"f'g\""), &[]),
        (
            &with_disposition("form-data; name=\"f\"x"),
            &["error", "invalid_quoting"],
        ),
        (&with_disposition("form-data; name=f x"), &["error"]),
        (&format!("--b\r\n{FIELD}--b--"), &["invalid_part"]),
        (
            &format!("--b\r\n{FIELD}--b\r\nx\r\n--b--\r\n"),
            &["invalid_part"],
        ),
        ("--b\r\n--b--", &["invalid_part"]),
        (
            &format!("--b\r\n{FIELD}--other\r\n--b--\r\n"),
            &["unmatched_boundary"],
        ),
        (
            &format!("--b\r\n{FIELD}x--bx\r\n--b--\r\n"),
            &["unmatched_boundary"],
        ),
        (
            &format!("--b\r\n{FIELD}--\r\n--b--\r\n"),
            &["unmatched_boundary"],
        ),
        (&format!("--b\r\n{FIELD}--\nx\r\n--b--\r\n"), &[]),
        (&format!("--b\r\n{FIELD}- -b\r\n--b--\r\n"), &[]),
        (
            &format!("--b\r\nContent-Transfer-Encoding: x-uu\r\n{FIELD}x\r\n--b--"),
            &["part_coding"],
        ),
        (
            &format!("--b\r\nContent-Transfer-Encoding: base64\r\n{FIELD}!\r\n--b--"),
            &["part_coding"],
        ),
        (
            &format!("--b\r\nContent-Transfer-Encoding: BASE64\r\n{FIELD}YQ==\r\n--b--"),
            &[],
        ),
        (
            &format!("--b\r\nContent-Transfer-Encoding: 8bit\r\n{FIELD}=!\r\n--b--"),
            &[],
        ),
        (
            &with_disposition("Form-Data; Name=\"f\"; size=5"),
            &["v2_refuses"],
        ),
        (
            &with_disposition("form-data; name=f; filename=x; filename*=utf-8''y"),
            &["v2_refuses"],
        ),
    ];
    for (body, flags) in cases {
        let found = read(body);
        assert_eq!(raised(&found.flags), *flags, "{body:?}");
        let strict = flags
            .iter()
            .any(|f| !matches!(*f, "unmatched_boundary" | "crlf_lf_lines" | "part_coding"));
        assert_eq!(found.flags.strict_error(), strict, "{body:?}");
    }
}

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
fn unescapes_names_as_modsecurity_does() {
    for (value, name, filename) in [
        ("form-data; name=\"f\"", "f", None),
        ("form-data;name=f;filename=x.php", "f", Some("x.php")),
        ("form-data; name=\"f\";", "f", None),
        ("form-data\t;\tname\t=\t\"f\"\t", "f", None),
        ("form-data; name=\"a\\\"b\\\\c\"", "a\"b\\c", None),
        ("form-data; name=\"a;b=c\"", "a;b=c", None),
        (
            "form-data; name=\"f\"; filename=\"C:\\dir\\x.php\"",
            "f",
            Some("C:\\dir\\x.php"),
        ),
        ("form-data; name='a\\'\"b'", "a'\"b", None),
        ("form-data; name=\"\"; filename=\"\"", "", Some("")),
        (
            "form-data; filename=\"x\"; name=\"\u{e9}\"",
            "\u{e9}",
            Some("x"),
        ),
    ] {
        let body = with_disposition(value);
        let found = read(&body);
        assert_eq!(message(&found), "", "{value}");
        let part = &found.parts[0];
        assert_eq!(part.name, name.as_bytes(), "{value}");
        assert_eq!(
            part.filename.as_deref(),
            filename.map(str::as_bytes),
            "{value}"
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

#[test]
fn bounds_parts_and_files() {
    let limits = Limits {
        parts: 3,
        files: 1,
        headers_per_part: 1,
        ..Limits::default()
    };
    let file = "--b\r\nContent-Disposition: form-data; name=f; filename=x\r\n\r\nx\r\n";
    let parse = |body: &str| {
        let found = parse(TYPE, body.as_bytes(), &limits);
        (
            message(&found),
            found.flags.file_limit_exceeded,
            found.parts.len(),
        )
    };
    assert_eq!(parse(&format!("{file}--b--")), (String::new(), false, 1));
    assert_eq!(
        parse(&format!("{}--b--", file.repeat(3))),
        (String::new(), true, 3)
    );
    // The fourth is what could not be read.
    assert_eq!(
        parse(&file.repeat(5)),
        ("Too many parts (limit 3).".into(), true, 4)
    );
    assert_eq!(
        parse("--b\r\nA: 1\r\nB: 2\r\n").0,
        "Too many part headers (limit 1)."
    );
}

#[test]
fn work_is_linear() {
    let limits = Limits {
        parts: usize::MAX,
        files: 100,
        headers_per_part: 32,
        ..Limits::default()
    };
    let part = format!("--b\r\n{FIELD}\r\n");
    for unit in [
        "--b\r\n",
        "\n",
        "--",
        "-- \t",
        "X: 1\r\n",
        "--b\r\nX: 1\r\n y\r\n",
        &part,
    ] {
        for start in ["", &part, "--b\r\n"] {
            work::assert_linear(start, unit, 2, |body| drop(parse(TYPE, body, &limits)));
        }
    }
}

#[test]
fn hostile_input_gives_no_more_than_it_holds() {
    let limits = Limits {
        parts: usize::MAX,
        files: 100,
        headers_per_part: 32,
        ..Limits::default()
    };
    let dashes = format!("multipart/form-data; boundary={}", "-".repeat(900));
    let part = format!("--b\r\n{FIELD}\r\n");
    let folded = "--b\r\nX: 1\r\n y\r\n".to_owned();
    for unit in [
        "--b\r\n",
        "--b",
        "\n",
        "\r\n",
        "--",
        "- ",
        "-- \t",
        "X: 1\r\n",
        "--b\r\n\r\n",
        &part,
        &folded,
    ] {
        for content_type in [TYPE, dashes.as_bytes()] {
            for start in ["", &part, "--b\r\n"] {
                let body = format!("{start}{}", unit.repeat((1 << 20) / unit.len()));
                let found = parse(content_type, body.as_bytes(), &limits);
                let size: usize = found
                    .parts
                    .iter()
                    .map(|p| {
                        p.content.len()
                            + p.name.len()
                            + p.headers.iter().map(|h| h.len()).sum::<usize>()
                    })
                    .sum();
                assert!(size <= body.len(), "{unit:?} {start:?}: {size}");
            }
        }
    }
}

#[test]
fn mutations_stay_in_bounds() {
    let body = format!(
        "--b\r\n{FIELD}x\r\n--b\r\nContent-Disposition: form-data; name=\"u\"; filename='y'\r\n\
         Content-Type: text/plain;\r\n charset=utf-8\r\n\r\ndata\r\n--c\r\n--b--\r\n"
    );
    let lenient = body.replace('\r', "");
    mutations(
        &[body.as_bytes(), lenient.as_bytes()],
        &[
            b"--b", b"\r\n", b"\n", b"--", b"\"", b"'", b"\\", b";", b":", b"=", b"\0", b" ",
            b"\xff",
        ],
        40_000,
        |body| {
            let found = parse(TYPE, body, &Limits::default());
            let mut end = 0;
            for part in &found.parts {
                assert!(end <= part.content.start, "parts overlap");
                assert!(part.content.start <= part.content.end && part.content.end <= body.len());
                end = part.content.end;
            }
            assert_eq!(found.error.is_some(), found.flags.error);
            if let Some(error) = &found.error {
                assert!(error.offset <= body.len());
                // Nothing behind an error goes unseen.
                assert!(error.offset == body.len() || end == body.len());
            }
        },
    );
}

/// What is read in one way only, whatever ModSecurity v2 made of it.
#[test]
fn reads_what_clients_really_send() {
    let gecko = "----geckoformboundary4f1a7c";
    for (parameters, boundary) in [
        ("; boundary=\"0b7a4c1e-52f4\"", "0b7a4c1e-52f4"),
        (
            "; boundary=\"----=_Part_7_1488.1700\"",
            "----=_Part_7_1488.1700",
        ),
        (
            "; boundary=----=_Part_7_1488.1700",
            "----=_Part_7_1488.1700",
        ),
        ("; boundary=\"a:b/c=d, e\"", "a:b/c=d, e"),
        (";charset=UTF-8;boundary=kJ3nX9", "kJ3nX9"),
        ("; boundary=kJ3nX9; charset=UTF-8", "kJ3nX9"),
        ("; boundary=kJ3nX9;charset=\"utf-8\";", "kJ3nX9"),
        ("; CHARSET=\"utf;8\" ; Boundary=\"kJ3nX9\"", "kJ3nX9"),
        ("; boundary=----geckoformboundary4f1a7c", gecko),
        (
            "; boundary=----geckoformboundary4f1a7c; charset=utf-8",
            gecko,
        ),
        (
            "; charset=utf-8; boundary=\"----geckoformboundary4f1a7c\"",
            gecko,
        ),
        (
            "; boundary=----WebKitFormBoundaryAbC1",
            "----WebKitFormBoundaryAbC1",
        ),
    ] {
        let content_type = format!("multipart/form-data{parameters}");
        let body = format!(
            "--{boundary}\r\n{FIELD}-- \r\n-----BEGIN\r\n--- a\r\n--x\r\n--{boundary}--\r\n\r\n"
        );
        let found = parse(content_type.as_bytes(), body.as_bytes(), &Limits::default());
        assert_eq!(message(&found), "", "{content_type}");
        assert_eq!(found.flags.doubt(), None, "{content_type}");
        let content = &body[found.parts[0].content.clone()];
        assert_eq!(
            content, "-- \r\n-----BEGIN\r\n--- a\r\n--x",
            "{content_type}"
        );
        assert!(found.flags.unmatched_boundary, "{content_type}");
    }
}

/// Some readers find another boundary than others in these.
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

#[test]
fn shows_what_a_part_is_to_other_readers() {
    let body = "--b\r\nContent-Disposition: form-data; name=q\r\nContent-Transfer-Encoding: base64\r\n\r\nMScgb3IgJzEnPScx\r\n\
        --b\r\nContent-Disposition: form-data; name=\"=?utf-8?B?cXE=?=\"\r\ncontent-transfer-encoding: Quoted-Printable\r\n\r\n1=27=\r\n2\r\n\
        --b\r\nContent-Disposition: form-data; name=f; filename=\"a.pdf\"; filename*=utf-8''b%2Ephp\r\nContent-Transfer-Encoding: binary\r\n\r\nx\r\n\
        --b\r\nContent-Disposition: form-data; name=f; filename=\"=?utf-8?B?c2hlbGwucGhw?=\"; filename*=utf-8''shell.php\r\n\r\nx\r\n--b--";
    let found = read(body);
    assert_eq!(message(&found), "");
    assert_eq!(found.flags.doubt(), None);
    let decoded: Vec<_> = found.parts.iter().map(|p| p.decoded.as_deref()).collect();
    assert_eq!(
        decoded,
        [Some(&b"1' or '1'='1"[..]), Some(b"1'2"), None, None]
    );
    assert_eq!(found.parts[1].other_name.as_deref(), Some(&b"qq"[..]));
    assert_eq!(found.parts[2].other_filenames, [b"b.php"]);
    assert_eq!(found.parts[3].other_filenames, [b"shell.php"]);
}
