//! Which part of ModSecurity's strictness a body breaks.

use super::*;

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
