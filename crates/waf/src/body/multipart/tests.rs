use super::super::mutate::mutations;
use super::super::work;
use super::*;

mod content_type;
mod faults;
mod flags;
mod hostile;

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
