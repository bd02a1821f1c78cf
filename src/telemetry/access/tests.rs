//! The formats on a request whose every value is hostile.

use serde_json::Value;

use super::*;
use crate::telemetry::otlp::{SpanId, TraceId};

/// What ends a line or a field for somebody: line feeds, quotes, backslashes, C0, DEL, C1, Unicode's own line ends, tabs.
const HOSTILE: &str = "a\r\nb\"c\\d\u{0}\u{1b}[2J\u{7f}\u{85}\u{9b}\u{2028}\u{2029}\te\u{e9}";

fn record<'r>() -> AccessRecord<'r> {
    AccessRecord {
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_428_645_678),
        request_id: "id-1",
        trace: Some(TraceLink {
            trace: TraceId([0xab; 16]),
            span: SpanId([1; 8]),
            sampled: true,
        }),
        client: "192.0.2.1:5000".parse().unwrap(),
        listener: "public",
        host: Some(HOSTILE.into()),
        method: HOSTILE.into(),
        path: format!("/{HOSTILE}?{HOSTILE}").into(),
        referer: Some(HOSTILE.as_bytes()),
        user_agent: Some(HOSTILE.as_bytes()),
        protocol: "HTTP/1.1",
        route: Some("orders"),
        status: 403,
        bytes_in: 3,
        bytes_out: 12,
        ms: Timing::new(
            Duration::from_millis(5),
            Duration::from_millis(2),
            Duration::ZERO,
        ),
        tls: Some(TlsFacts {
            version: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            sni: Some(HOSTILE),
            group: Some("X25519"),
            client: Some(HOSTILE),
        }),
        waf: Some(WafFacts {
            verdict: Verdict::Block,
            score: 5,
            rules: vec![942_100],
            exclusions: Vec::new(),
            body: None,
        }),
        upstream: None,
        error: Some("blocked".into()),
        reason: Some(HOSTILE.into()),
        body_inspected: true,
    }
}

fn line(format: Format) -> String {
    String::from_utf8(record().line(format)).unwrap()
}

#[test]
fn no_value_ends_a_line() {
    for format in [
        Format::Written(AccessFormat::Json),
        Format::Written(AccessFormat::Combined),
        Format::Written(AccessFormat::Ecs),
        Format::Human,
    ] {
        let line = line(format);
        let line = line.strip_suffix('\n').unwrap();
        let ends = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        assert!(!line.contains(ends), "{format:?}: {line:?}");
    }
}

#[test]
fn json_gives_back_what_came() {
    for format in [AccessFormat::Json, AccessFormat::Ecs] {
        let parsed: Value = serde_json::from_str(&line(Format::Written(format))).unwrap();
        let (path, method) = match format {
            AccessFormat::Json => (&parsed["path"], &parsed["method"]),
            _ => (
                &parsed["url"]["original"],
                &parsed["http"]["request"]["method"],
            ),
        };
        assert_eq!(path, &format!("/{HOSTILE}?{HOSTILE}"));
        assert_eq!(method, HOSTILE);
        let trace = match format {
            AccessFormat::Json => &parsed["trace_id"],
            _ => &parsed["trace"]["id"],
        };
        assert_eq!(trace, &"ab".repeat(16));
    }
}

#[test]
fn a_combined_line_has_the_fields_of_apache() {
    let mut plain = record();
    plain.method = "GET".into();
    plain.path = "/a\"b?c=1".into();
    plain.referer = None;
    plain.user_agent = Some("curl/8 \\ \u{e9}".as_bytes());
    let line = plain.line(Format::Written(AccessFormat::Combined));
    assert_eq!(
        String::from_utf8(line).unwrap(),
        "192.0.2.1 - - [29/Nov/2025:15:04:05 +0000] \"GET /a\\\"b?c=1 HTTP/1.1\" 403 12 \"-\" \"curl/8 \\\\ \\xc3\\xa9\"\n"
    );
    // Whatever the values are, a reader that knows `\\` and `\"` finds three quoted fields.
    let hostile = self::line(Format::Written(AccessFormat::Combined));
    let mut quotes = 0;
    let mut escaped = false;
    for c in hostile.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => quotes += 1,
            _ => escaped = false,
        }
    }
    assert_eq!(quotes, 6, "{hostile}");
}

#[test]
fn an_ecs_document_has_the_fields_of_ecs() {
    let mut plain = record();
    plain.host = Some("api.test:8443".into());
    plain.path = "/a?b=1".into();
    plain.user_agent = None;
    let line = plain.line(Format::Written(AccessFormat::Ecs));
    let parsed: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(parsed["@timestamp"], "2025-11-29T15:04:05.678Z");
    assert_eq!(parsed["event"]["kind"], "alert");
    assert_eq!(parsed["event"]["action"], "block");
    assert_eq!(parsed["event"]["duration"], 5_000_000);
    assert_eq!(parsed["url"]["domain"], "api.test");
    assert_eq!(parsed["url"]["path"], "/a");
    assert_eq!(parsed["url"]["query"], "b=1");
    assert_eq!(parsed["http"]["response"]["status_code"], 403);
    assert_eq!(parsed["rule"]["id"][0], "942100");
    assert_eq!(parsed["trace"]["id"], "ab".repeat(16));
    assert_eq!(parsed["tls"]["version"], "1.3");
    assert_eq!(parsed["drawbridge"]["route"], "orders");
    assert!(parsed.get("user_agent").is_none(), "{parsed}");
}

#[test]
fn secrets_of_header_fields_are_masked() {
    let mut plain = record();
    plain.referer = Some(b"https://a.test/?token=abcdef123");
    for format in [AccessFormat::Combined, AccessFormat::Ecs] {
        let line = String::from_utf8(plain.line(Format::Written(format))).unwrap();
        assert!(!line.contains("abcdef123"), "{line}");
        assert!(line.contains("https://a.test/?token="), "{line}");
    }
}
