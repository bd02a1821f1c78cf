//! Responses arrive with the upstream's bytes, or not at all.

use crate::front::{Front, RULES, Setup};
use support::client::{Http2, get, h2_request, raw};
use support::pki::{self, CORP, ServerTls};
use support::upstream::{Behaviour, Upstream};

async fn answering(bytes: &[u8]) -> Upstream {
    let issued = pki::leaf(&CORP, "orders.corp.test");
    Upstream::start(ServerTls::new(issued), Behaviour::Raw(bytes.to_vec())).await
}

fn with_bodies() -> String {
    format!(
        "SecResponseBodyAccess On\nSecResponseBodyMimeType text/plain\nSecResponseBodyLimit 1000\nSecResponseBodyLimitAction ProcessPartial\n{RULES}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_tells_too_much_is_stopped() {
    let upstream =
        answering(b"HTTP/1.1 200 OK\r\nX-Secret: yes\r\nContent-Length: 4\r\n\r\nbody").await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let answer = get(front.address, "/orders/").await;
    assert_eq!(answer.status, 403);
    assert!(answer.header("x-secret").is_none());
    let line = front.line_of(answer.header("x-request-id").unwrap()).await;
    assert_eq!(line["reason"], "rule 6 in phase 3");
    assert_eq!(line["waf"]["verdict"], "block");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_tells_too_much_is_stopped() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nmy secret xyz",
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nmy se\r\n8\r\ncret xyz\r\n0\r\n\r\n",
    ] {
        let upstream = answering(answer.as_bytes()).await;
        let front = Front::start_with(&Setup::to(&upstream), &with_bodies()).await;
        let answer = get(front.address, "/orders/").await;
        assert_eq!(answer.status, 403);
        assert!(!answer.text().contains("secret"));
        let mut h2 = Http2::connect(front.address, "api.test").await;
        let request = h2_request("GET", "https://api.test/orders/");
        let answer = h2.request(request.body(()).unwrap(), None).await;
        assert_eq!(answer.status, 403);
        let line = front.line_of(answer.header("x-request-id").unwrap()).await;
        assert_eq!(line["reason"], "rule 7 in phase 4");
    }
}

/// The end of such a body comes after its last byte, with nothing beyond the limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_just_fits_is_whole() {
    let rules = with_bodies().replace("ProcessPartial", "Reject");
    for (length, status) in [(1000, 200), (1001, 500)] {
        let body = "x".repeat(length);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
        let size = format!("{length:x}");
        for bytes in [
            format!("{head}Content-Length: {length}\r\n\r\n{body}"),
            format!("{head}Connection: close\r\n\r\n{body}"),
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{size}\r\n{body}\r\n0\r\n\r\n"),
        ] {
            let upstream = answering(bytes.as_bytes()).await;
            let front = Front::start_with(&Setup::to(&upstream), &rules).await;
            let answer = get(front.address, "/orders/").await;
            assert_eq!(answer.status, status, "{length} {}", &bytes[..80]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_stopped_is_unchanged() {
    let long = "x".repeat(5000) + "secret";
    for (media, body) in [
        ("text/plain", "nothing to hide".to_owned()),
        ("text/plain", String::new()),
        // Longer than is inspected.
        ("text/plain", long),
        // A type that is not asked for.
        ("image/png", "secret".to_owned()),
    ] {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nX-Upstream: yes\r\nKeep-Alive: timeout=5\r\n"
        );
        for bytes in [
            format!("{head}Content-Length: {length}\r\n\r\n{body}"),
            format!("{head}Connection: close\r\n\r\n{body}"),
        ] {
            let upstream = answering(bytes.as_bytes()).await;
            let front = Front::start_with(&Setup::to(&upstream), &with_bodies()).await;
            let mut h2 = Http2::connect(front.address, "api.test").await;
            let request = h2_request("GET", "https://api.test/orders/");
            let answer = h2.request(request.body(()).unwrap(), None).await;
            assert_eq!(
                (answer.status, answer.text()),
                (200, body.clone()),
                "{media} {length}"
            );
            assert_eq!(answer.header("x-upstream"), Some("yes"));
            assert_eq!(answer.header("keep-alive"), None);
            let request = "GET /orders/ HTTP/1.0\r\nHost: api.test\r\n\r\n";
            let answer = raw(front.address, request.as_bytes()).await.unwrap();
            assert_eq!(
                (answer.status, answer.text()),
                (200, body.clone()),
                "{media} {length}"
            );
            assert_eq!(
                answer.header("transfer-encoding"),
                None,
                "HTTP/1.0 knows no chunks"
            );
        }
    }
}
