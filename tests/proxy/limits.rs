//! Clients that are slow, large or many.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::front::{Front, Setup, wait};
use crate::requests::echo;
use support::client::{Http2, connect, get, h2_request, raw, read_answer};

fn limited(upstream: &support::upstream::Upstream, limits: &str) -> Setup {
    Setup {
        listener: format!("limits = {{ {limits} }}"),
        ..Setup::to(upstream)
    }
}

/// Sends a byte now and again until the other side has had enough.
async fn trickle(start: &[u8], front: &Front) -> (u16, Duration) {
    let stream = connect(front.address, Some("api.test"), b"").await.unwrap();
    let begun = Instant::now();
    let (mut read, mut write) = tokio::io::split(stream);
    write.write_all(start).await.unwrap();
    let writing = tokio::spawn(async move {
        while write.write_all(b"x").await.is_ok() && write.flush().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut answer = Vec::new();
    let _ = read.read_to_end(&mut answer).await;
    writing.abort();
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok());
    (status.unwrap_or(0), begun.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_head_is_closed_at_its_deadline() {
    let upstream = echo().await;
    let front = Front::start(&limited(&upstream, "head_timeout = \"400ms\"")).await;
    let (status, took) = trickle(b"GET /orders/ HTTP/1.1\r\nX-Slow: ", &front).await;
    assert_eq!(status, 408);
    assert!(took >= Duration::from_millis(400), "{took:?}");
    assert_eq!(front.metrics.malformed_heads.value(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_is_closed_at_its_deadline_and_below_its_rate() {
    let upstream = echo().await;
    let head = b"POST /orders/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: 9999\r\n\r\n";
    for limits in [
        "body_timeout = \"400ms\"",
        "body_min_rate = 1000, body_rate_grace = \"400ms\"",
    ] {
        let front = Front::start(&limited(&upstream, limits)).await;
        let (status, took) = trickle(head, &front).await;
        assert_eq!(status, 408, "{limits}");
        assert!(took >= Duration::from_millis(400), "{took:?}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_head_is_431() {
    let upstream = echo().await;
    let front = Front::start(&limited(&upstream, "head_bytes = 4096")).await;
    let head = format!(
        "GET /orders/ HTTP/1.1\r\nHost: api.test\r\nX: {}\r\n\r\n",
        "x".repeat(9000)
    );
    assert_eq!(
        raw(front.address, head.as_bytes()).await.unwrap().status,
        431
    );
    assert_eq!(get(front.address, "/orders/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_and_too_many_connections_are_closed() {
    let upstream = echo().await;
    let limits = "idle_timeout = \"300ms\", connections_per_address = 2";
    let front = Front::start(&limited(&upstream, limits)).await;
    let mut one = connect(front.address, Some("api.test"), b"").await.unwrap();
    let _two = connect(front.address, Some("api.test"), b"").await.unwrap();
    assert!(connect(front.address, Some("api.test"), b"").await.is_err());
    assert_eq!(front.metrics.connections_refused.value(), 1);
    let request = "GET /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n";
    one.write_all(request.as_bytes()).await.unwrap();
    let answer = read_answer(&mut one, &mut Vec::new(), false).await.unwrap();
    assert_eq!(answer.status, 200);
    let mut end = Vec::new();
    let _ = one.read_to_end(&mut end).await;
    assert!(end.is_empty(), "closed without a word");
    let gone = wait(|| (front.metrics.connections_open.value() == 1).then_some(())).await;
    assert!(gone.is_some());
    assert!(connect(front.address, Some("api.test"), b"").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_is_closed() {
    let upstream = echo().await;
    let limits = "idle_timeout = \"300ms\", head_timeout = \"300ms\"";
    let front = Front::start(&limited(&upstream, limits)).await;
    for (alpn, start) in [
        (&b""[..], &b""[..]),
        (b"\x02h2", b""),
        (b"\x02h2", b"PRI * HTTP"),
        (
            b"\x02h2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        ),
    ] {
        let mut stream = connect(front.address, Some("api.test"), alpn)
            .await
            .unwrap();
        stream.write_all(start).await.unwrap();
        // Ends only if the other side ends it.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    let gone = wait(|| (front.metrics.connections_open.value() == 0).then_some(())).await;
    assert!(gone.is_some());
    let mut h2 = Http2::connect(front.address, "api.test").await;
    let request = h2_request("GET", "https://api.test/orders/");
    let answer = h2.request(request.body(()).unwrap(), None).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_upload_is_told_that_it_was_too_slow() {
    let upstream = echo().await;
    let limits = "body_timeout = \"600ms\", body_min_rate = 0, idle_timeout = \"300ms\"";
    let front = Front::start(&limited(&upstream, limits)).await;
    for framing in ["Content-Length: 99", "Transfer-Encoding: chunked"] {
        let head = format!("POST /orders/ HTTP/1.1\r\nHost: api.test\r\n{framing}\r\n\r\n");
        let answer = raw(front.address, head.as_bytes()).await.unwrap();
        assert_eq!(answer.status, 408, "{framing}");
        let line = front.line(|line| line["error"] == "body_too_slow").await;
        assert_eq!(line["status"], 408);
    }
}
