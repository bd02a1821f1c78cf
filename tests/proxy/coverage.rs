//! What the rules could not see is refused or let through as the policy says in writing, and always told.

use crate::front::{Front, Setup, wait};
use crate::requests::echo;
use support::client::{get, raw};

/// Bodies that cannot be read, or can be read in several ways: name, head fields, body.
const UNREADABLE: [(&str, &str, &str); 6] = [
    ("json", "Content-Type: application/json", r#"{"a": "#),
    ("xml", "Content-Type: text/xml", "<a><b></a>"),
    (
        "multipart",
        "Content-Type: multipart/form-data; boundary=XyZ",
        "--XyZ\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n",
    ),
    (
        "inline",
        "Content-Type: multipart/form-data; boundary=XyZ",
        "--XyZ\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r--XyZ\r2\r\n--XyZ--\r\n",
    ),
    (
        "preamble",
        "Content-Type: multipart/form-data; boundary=XyZ",
        "x\r\n--XyZ\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--XyZ--\r\n",
    ),
    (
        "gzip",
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Encoding: gzip",
        "no gzip",
    ),
];

/// What is seen whole, with or without a parser.
const READABLE: [(&str, &str, &str); 4] = [
    (
        "octets",
        "Content-Type: application/octet-stream",
        "\0\u{1}--",
    ),
    ("untyped", "X-Nothing: 1", "anything"),
    (
        "file",
        "Content-Type: multipart/form-data; boundary=XyZ",
        "--XyZ\r\nContent-Disposition: form-data; name=\"a\"; filename=\"key.pem\"\r\n\r\n\
         -----BEGIN CERTIFICATE-----\n-- a line\n-----END CERTIFICATE-----\n\r\n--XyZ--\r\n",
    ),
    (
        "json-whole",
        "Content-Type: application/json",
        r#"{"a": 1}"#,
    ),
];

/// What reads them.
const PARSERS: [&str; 4] = ["none", "none", "multipart", "json"];

struct Case<'c> {
    mode: &'static str,
    policy: &'static str,
    rules: &'c str,
}

async fn front(case: &Case<'_>) -> (Front, support::upstream::Upstream) {
    let upstream = echo().await;
    let setup = Setup {
        mode: case.mode,
        policy: case.policy.to_owned(),
        ..Setup::to(&upstream)
    };
    (Front::start_with(&setup, case.rules).await, upstream)
}

async fn post(front: &Front, (name, fields, body): (&str, &str, &str)) -> (u16, serde_json::Value) {
    let request = format!(
        "POST /orders/{name} HTTP/1.1\r\nHost: api.test\r\n{fields}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = raw(front.address, request.as_bytes()).await.unwrap();
    let path = format!("/orders/{name}");
    let line = front.line(|line| line["path"] == path).await;
    assert_eq!(line["status"], answer.status, "{name}");
    (answer.status, line)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_the_policys_choice() {
    for (mode, policy, status) in [
        ("block", "", 400),
        ("block", "on_uninspected = \"block\"", 400),
        ("block", "on_uninspected = \"detect\"", 200),
        ("detect", "on_uninspected = \"block\"", 200),
    ] {
        // Without a rule for bytes those without a parser would be seen by none.
        let rules = format!(
            "{}SecRule REQUEST_BODY \"@contains attack\" \"id:8,phase:2,deny,status:403\"",
            crate::front::RULES
        );
        let case = Case {
            mode,
            policy,
            rules: &rules,
        };
        let (front, _upstream) = front(&case).await;
        for unreadable in UNREADABLE {
            let (got, line) = post(&front, unreadable).await;
            assert_eq!(got, status, "{mode} {policy} {line}");
            assert_eq!(line["body_inspected"], false, "{line}");
            let reason = line["waf"]["body"]["reason"].as_str().unwrap();
            assert_eq!(
                line["waf"]["body"]["received"],
                unreadable.2.len(),
                "{line}"
            );
            if status == 400 {
                assert_eq!(line["reason"], format!("not inspected: {reason}"));
            }
        }
        for (readable, parser) in READABLE.into_iter().zip(PARSERS) {
            let (got, line) = post(&front, readable).await;
            assert_eq!(got, 200, "{line}");
            assert_eq!(line["body_inspected"], true, "{line}");
            let length = readable.2.len();
            let whole =
                serde_json::json!({"received": length, "inspected": length, "parser": parser});
            assert_eq!(line["waf"]["body"], whole, "{line}");
        }
        let counted = || front.metrics.waf_uninspected.value() == UNREADABLE.len() as u64;
        wait(|| counted().then_some(()))
            .await
            .expect("each is counted");
        let all: u64 = not_inspected(&front)
            .into_iter()
            .map(|(_, count)| count)
            .sum();
        assert_eq!(all, UNREADABLE.len() as u64, "each by its reason");
    }
}

/// Of requests.
fn not_inspected(front: &Front) -> Vec<(String, u64)> {
    let mut rows = Vec::new();
    front.metrics.waf_not_inspected.each(|part, reason, count| {
        if part == "request" {
            rows.push((reason.clone(), count.value()));
        }
    });
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_action_in_the_rules_goes_first() {
    let limited = "SecAction \"id:1,phase:1,pass,nolog\"\nSecRequestBodyAccess On\n\
        SecRequestBodyNoFilesLimit 10\n";
    for (mode, choice, action, status) in [
        ("block", "block", "", 413),
        ("block", "detect", "", 200),
        (
            "block",
            "block",
            "SecRequestBodyLimitAction ProcessPartial",
            200,
        ),
        ("block", "detect", "SecRequestBodyLimitAction Reject", 413),
        ("detect", "block", "SecRequestBodyLimitAction Reject", 200),
    ] {
        let rules = format!("{limited}{action}\n");
        let upstream = echo().await;
        let setup = Setup {
            mode,
            policy: format!("on_uninspected = \"{choice}\""),
            ..Setup::to(&upstream)
        };
        let front = Front::start_with(&setup, &rules).await;
        let form = "Content-Type: application/x-www-form-urlencoded";
        let (got, line) = post(&front, ("form", form, "a=1&b=2&c=3&d=4")).await;
        assert_eq!(got, status, "{mode} {choice} {action} {line}");
        let reason = line["waf"]["body"]["reason"].as_str().unwrap();
        assert!(reason.contains("10 bytes"), "{reason}");
        assert_eq!(line["body_inspected"], false);
        let expected = [("partly".to_owned(), 1)];
        let counted = wait(|| (not_inspected(&front) == expected).then_some(())).await;
        assert!(counted.is_some(), "{:?}", not_inspected(&front));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_asks_for_strictness_decides() {
    let asks = "SecRequestBodyAccess On\n\
        SecRule MULTIPART_STRICT_ERROR \"@eq 1\" \"id:1,phase:2,pass,log,msg:'strict'\"\n";
    let case = Case {
        mode: "block",
        policy: "",
        rules: asks,
    };
    let (front, _upstream) = front(&case).await;
    let (status, line) = post(&front, UNREADABLE[4]).await;
    assert_eq!(
        (status, &line["waf"]["rules"]),
        (200, &serde_json::json!([1]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_response_has_a_reason_of_its_own() {
    let rules = format!(
        "{}SecResponseBodyAccess On\nSecResponseBodyMimeType application/json\n\
         SecResponseBodyLimit 10\nSecResponseBodyLimitAction Reject\n",
        crate::front::RULES
    );
    let case = Case {
        mode: "block",
        policy: "on_uninspected = \"detect\"",
        rules: &rules,
    };
    let (front, _upstream) = front(&case).await;
    let (status, line) = post(&front, UNREADABLE[4]).await;
    assert_eq!(status, 500, "{line}");
    let reason = line["reason"].as_str().unwrap();
    let of_request = line["waf"]["body"]["reason"].as_str().unwrap();
    assert!(!reason.contains(of_request), "{line}");
    assert!(reason.contains("SecResponseBodyLimit"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_with_responses() {
    let limited = "SecAction \"id:1,phase:1,pass,nolog\"\nSecResponseBodyAccess On\nSecResponseBodyMimeType application/json\n\
        SecResponseBodyLimit 10\n";
    for (mode, choice, action, status) in [
        ("block", "block", "", 500),
        ("block", "detect", "", 200),
        (
            "block",
            "block",
            "SecResponseBodyLimitAction ProcessPartial",
            200,
        ),
        ("block", "detect", "SecResponseBodyLimitAction Reject", 500),
        ("detect", "block", "SecResponseBodyLimitAction Reject", 200),
    ] {
        let upstream = echo().await;
        let setup = Setup {
            mode,
            policy: format!("on_uninspected = \"{choice}\""),
            ..Setup::to(&upstream)
        };
        let front = Front::start_with(&setup, &format!("{limited}{action}\n")).await;
        let answer = get(front.address, "/orders/1").await;
        assert_eq!(answer.status, status, "{mode} {choice} {action}");
    }
}
