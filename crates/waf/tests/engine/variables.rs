//! Each scalar variable, over one request.

use super::harness::{Exchange, build, play, values};

const REQUEST: &str = "POST http://Example.test:8443/a%20b/c.php/?q=%41&r=b\nHost: Example.test:8443\nAuthorization: Basic YW5uOnNlY3JldA==\nContent-Type: application/x-www-form-urlencoded\nCookie: s=1\n\nx=1";

#[test]
fn scalars() {
    for (variable, phase, expected) in [
        (
            "REQUEST_LINE",
            1,
            "POST http://Example.test:8443/a%20b/c.php/?q=%41&r=b HTTP/1.1",
        ),
        ("REQUEST_METHOD", 1, "POST"),
        ("REQUEST_PROTOCOL", 1, "HTTP/1.1"),
        ("REQUEST_URI", 1, "/a%20b/c.php/?q=%41&r=b"),
        (
            "REQUEST_URI_RAW",
            1,
            "http://Example.test:8443/a%20b/c.php/?q=%41&r=b",
        ),
        ("REQUEST_FILENAME", 1, "/a%20b/c.php/"),
        ("REQUEST_FILENAME", 2, "/a b/c.php/"),
        ("REQUEST_BASENAME", 1, ""),
        ("QUERY_STRING", 1, "q=%41&r=b"),
        ("ARGS_COMBINED_SIZE", 1, "4"),
        ("ARGS_COMBINED_SIZE", 2, "6"),
        ("REQUEST_BODY", 2, "x=1"),
        ("REQUEST_BODY_LENGTH", 2, "3"),
        ("REQBODY_PROCESSOR", 1, "URLENCODED"),
        ("REQBODY_ERROR", 2, "0"),
        ("REQBODY_ERROR_MSG", 2, ""),
        ("URLENCODED_ERROR", 2, "0"),
        ("INBOUND_DATA_ERROR", 2, "0"),
        ("OUTBOUND_DATA_ERROR", 4, "0"),
        ("MULTIPART_STRICT_ERROR", 2, "0"),
        ("MULTIPART_UNMATCHED_BOUNDARY", 2, "0"),
        ("MSC_PCRE_LIMITS_EXCEEDED", 2, "0"),
        ("REMOTE_ADDR", 1, "192.0.2.7"),
        ("REMOTE_PORT", 1, "40000"),
        ("REMOTE_USER", 1, "ann"),
        ("AUTH_TYPE", 1, "Basic"),
        ("SERVER_ADDR", 1, "198.51.100.1"),
        ("SERVER_PORT", 1, "443"),
        ("SERVER_NAME", 1, "Example.test"),
        ("UNIQUE_ID", 1, "unique-1"),
        ("HIGHEST_SEVERITY", 1, "255"),
        ("WEBAPPID", 1, "default"),
        ("FILES_COMBINED_SIZE", 2, "0"),
        ("STATUS_LINE", 3, "HTTP/1.1 200"),
        ("RESPONSE_STATUS", 5, "200"),
        ("DURATION", 1, "#"),
        ("TIME", 1, "#"),
        ("TIME_EPOCH", 1, "#"),
        ("TIME_YEAR", 1, "#"),
        ("TIME_MON", 1, "#"),
        ("TIME_DAY", 1, "#"),
        ("TIME_WDAY", 1, "#"),
        ("TIME_HOUR", 1, "#"),
        ("TIME_MIN", 1, "#"),
        ("TIME_SEC", 1, "#"),
        ("FULL_REQUEST_LENGTH", 2, "#"),
    ] {
        let rules = build(&format!(
            "SecRule {variable} \"@unconditionalMatch\" \"id:1,phase:{phase},pass\""
        ));
        let seen = values(&play(&rules, &Exchange::parse(REQUEST)), 1);
        match expected {
            "#" => {
                let value = seen[0].split_once('=').expect("a value").1;
                let digits =
                    !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit() || b == b':');
                assert!(digits, "{variable}: {value}");
            }
            _ => assert_eq!(
                seen,
                [format!("{variable}={expected}")],
                "{variable} in phase {phase}"
            ),
        }
    }
}

/// Names without a value give nothing to test: neither a match nor a negated one.
#[test]
fn absent_scalars() {
    for variable in [
        "QUERY_STRING",
        "REMOTE_USER",
        "AUTH_TYPE",
        "REQUEST_BODY",
        "MATCHED_VAR",
        "SESSIONID",
        "USERID",
        "RESPONSE_BODY",
    ] {
        let rules = build(&format!(
            "SecRule {variable} \"@unconditionalMatch\" \"id:1,phase:1,pass\""
        ));
        assert!(
            values(&play(&rules, &Exchange::parse("GET /a")), 1).is_empty(),
            "{variable}"
        );
    }
}

#[test]
fn full_request() {
    let rules = build("SecRule FULL_REQUEST \"@unconditionalMatch\" \"id:1,phase:2,pass\"");
    let t = play(
        &rules,
        &Exchange::parse(
            "POST /x\nHost: h\nContent-Type: application/x-www-form-urlencoded\n\na=1",
        ),
    );
    assert_eq!(
        values(&t, 1),
        [
            "FULL_REQUEST=POST /x HTTP/1.1\\r\\nHost: h\\r\\nContent-Type: application/x-www-form-urlencoded\\r\\n\\r\\na=1"
        ]
    );
}

#[test]
fn targets_of_other_forms() {
    for (target, uri, filename, basename, query) in [
        ("/", "/", "/", "", None),
        ("*", "*", "*", "*", None),
        ("/a/b?", "/a/b?", "/a/b", "b", Some("")),
        ("/a?b?c", "/a?b?c", "/a", "a", Some("b?c")),
        ("http://h", "", "", "", None),
        ("HTTPS://h?x", "?x", "", "", Some("x")),
        ("/a\\b.php", "/a\\b.php", "/a\\b.php", "b.php", None),
        ("//h/x", "//h/x", "//h/x", "x", None),
    ] {
        let read = |variable: &str| {
            let rules = build(&format!(
                "SecRule {variable} \"@unconditionalMatch\" \"id:1,phase:1,pass\""
            ));
            let t = play(&rules, &Exchange::parse(&format!("GET {target}")));
            t.matched_rules()
                .first()
                .map(|m| String::from_utf8_lossy(&m.value).into_owned())
        };
        assert_eq!(read("REQUEST_URI").as_deref(), Some(uri), "{target}");
        assert_eq!(
            read("REQUEST_FILENAME").as_deref(),
            Some(filename),
            "{target}"
        );
        assert_eq!(
            read("REQUEST_BASENAME").as_deref(),
            Some(basename),
            "{target}"
        );
        assert_eq!(read("QUERY_STRING").as_deref(), query, "{target}");
    }
}
