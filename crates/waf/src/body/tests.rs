//! No parser goes on over a long body when there is no time left.

use std::io::Write;

use super::*;
use crate::steps::{self, Limit, within};

const LENGTH: usize = 1 << 20;

#[track_caller]
fn assert_ends(body: &[u8], parse: impl Fn(&[u8])) {
    let is_over = |limit| {
        let parse = || {
            parse(body);
            steps::is_over()
        };
        within(limit, parse).0
    };
    assert!(is_over(Limit::Looks(4)));
    assert!(!is_over(Limit::Looks(u64::MAX)));
}

fn repeated(start: &str, unit: &str) -> Vec<u8> {
    format!("{start}{}", unit.repeat(LENGTH / unit.len())).into_bytes()
}

#[test]
fn forms_end() {
    for (start, unit) in [("", "a=1&"), ("", "&"), ("a=", "%41"), ("a=", "+")] {
        assert_ends(&repeated(start, unit), |body| {
            urlencoded::parse(body, b'&', usize::MAX, &mut |_, _| {});
        });
    }
}

#[test]
fn json_ends() {
    for (start, unit) in [("[", "1,"), ("", "[ "), ("\"", "\\n"), ("{", "\"a\":{},")] {
        assert_ends(&repeated(start, unit), |body| {
            let _ = json::parse(body, usize::MAX, usize::MAX, &mut |_, _| {});
        });
    }
}

#[test]
fn xml_ends() {
    for unit in ["<b/>", "<b c='d'>e</b>", "<!-- x -->"] {
        assert_ends(&repeated("<a>", unit), |body| {
            let _ = xml::parse(body, &xml::Limits::default());
        });
    }
}

#[test]
fn multipart_ends() {
    for unit in [
        "line\r\n",
        "\n",
        "--x\r\nContent-Disposition: form-data; name=a\r\n\r\nc\r\n",
    ] {
        let start = "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n";
        assert_ends(&repeated(start, unit), |body| {
            let limits = multipart::Limits {
                parts: usize::MAX,
                ..multipart::Limits::default()
            };
            let _ = multipart::parse(b"multipart/form-data; boundary=x", body, &limits);
        });
    }
}

#[test]
fn content_codings_end() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&repeated("", "a1b2")).unwrap();
    let limits = content_coding::Limits {
        output: usize::MAX,
        ratio: usize::MAX,
    };
    assert_ends(&encoder.finish().unwrap(), |body| {
        let _ = content_coding::decode(b"gzip", body, &limits);
    });
}
