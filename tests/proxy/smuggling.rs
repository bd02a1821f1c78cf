//! Requests that two servers could read differently are refused, whatever stands behind them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::front::{Front, Setup};
use crate::requests::echo;
use support::client::{connect, raw, read_answer};

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_requests_are_400() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let start = "POST /orders/ HTTP/1.1\r\nHost: api.test\r\n";
    let body = "\r\n0\r\n\r\nGET /internal/ HTTP/1.1\r\nHost: api.test\r\n\r\n";
    let mut requests: Vec<Vec<u8>> = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "X-Folded: a\r\n b\r\n",
        "Host: other.test\r\n",
        "X-Bare: a\rb\r\n",
        "X-Nul: a\0b\r\n",
        "No colon\r\n",
        ": no name\r\n",
    ]
    .iter()
    .map(|fields| format!("{start}{fields}{body}").into_bytes())
    .collect();
    for whole in [
        "GET /orders/ HTTP/1.1\nHost: api.test\n\n",
        "GET /orders/ HTTP/1.1\r\nHost: api.test\n\r\n",
        "GET /orders/ HTTP/1.1\r\n\r\n",
        "GET /orders/a b HTTP/1.1\r\nHost: api.test\r\n\r\n",
        "GET  /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n",
        "GET http://other.test/orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n",
        "GET /orders/#x HTTP/1.1\r\nHost: api.test\r\n\r\n",
        "POST /orders/ HTTP/1.0\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /orders/ HTTP/1.1\r\nHost: api.test/x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        requests.push(whole.into());
    }
    let count = requests.len() as u64;
    for request in requests {
        let shown = request.escape_ascii().to_string();
        let answer = raw(front.address, &request).await.expect(&shown);
        assert!(
            (400..=505).contains(&answer.status),
            "{shown}: {}",
            answer.status
        );
        assert_ne!(answer.status, 404, "{shown}");
        let id = answer.header("x-request-id").expect(&shown);
        assert!(front.line_of(id).await["error"].is_string());
    }
    assert_eq!(front.metrics.malformed_heads.value(), count);
    assert_eq!(upstream.connections(), 0);
}

/// Pingora's reader takes some of these for chunks, and some servers take all of them.
const BROKEN_CHUNKS: [&str; 46] = [
    // Sizes.
    "x\r\nabc\r\n0\r\n\r\n",
    "+3\r\nabc\r\n0\r\n\r\n",
    "-3\r\nabc\r\n0\r\n\r\n",
    "0x3\r\nabc\r\n0\r\n\r\n",
    "3h\r\nabc\r\n0\r\n\r\n",
    "1_0\r\nabc\r\n0\r\n\r\n",
    "3.0\r\nabc\r\n0\r\n\r\n",
    "3,3\r\nabc\r\n0\r\n\r\n",
    "3 3\r\nabc\r\n0\r\n\r\n",
    " 3\r\nabc\r\n0\r\n\r\n",
    "\t3\r\nabc\r\n0\r\n\r\n",
    "3 \r\nabc\r\n0\r\n\r\n",
    "3\t\r\nabc\r\n0\r\n\r\n",
    "3\0\r\nabc\r\n0\r\n\r\n",
    "\r\n3\r\nabc\r\n0\r\n\r\n",
    "\u{ff13}\r\nabc\r\n0\r\n\r\n",
    "00000000000000003\r\nabc\r\n0\r\n\r\n",
    "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "10000000000000003\r\nabc\r\n0\r\n\r\n",
    // Line ends.
    "3\nabc\r\n0\r\n\r\n",
    "3\rabc\r\n0\r\n\r\n",
    "3\n\r\nabc\r\n0\r\n\r\n",
    "3\r\r\nabc\r\n0\r\n\r\n",
    "3\r\nabc\n0\r\n\r\n",
    "3\r\nabc\r0\r\n\r\n",
    "3\r\nabc0\r\n\r\n",
    "3\r\nabcd\r\n0\r\n\r\n",
    "3\r\nabc\r\n0\n\r\n",
    "3\r\nabc\r\n0\n\n",
    "3\r\nabc\r\n0\r\n\n",
    "3\r\nabc\r\n0\r\n\r\r\n",
    // Extensions.
    "3;\nabc\r\n0\r\n\r\n",
    "3;a\nabc\r\n0\r\n\r\n",
    "3;a\n\r\nabc\r\n0\r\n\r\n",
    "3;a=b\n\r\nabc\r\n0\r\n\r\n",
    "3;a=\"\n\"\r\nabc\r\n0\r\n\r\n",
    "3;a=\"\r\n\"\r\nabc\r\n0\r\n\r\n",
    "3;a\rb\r\nabc\r\n0\r\n\r\n",
    "3;a\0\r\nabc\r\n0\r\n\r\n",
    "3;\r\nabc\r\n0\r\n\r\n",
    "3\r\nabc\r\n0;a\n\r\n\r\n",
    // Trailers.
    "3\r\nabc\r\n0\r\nA: b\n\r\n",
    "3\r\nabc\r\n0\r\nA: b\r\n\n",
    "3\r\nabc\r\n0\r\nA: b\r\n c\r\n\r\n",
    "3\r\nabc\r\n0\r\nA : b\r\n\r\n",
    "3\r\nabc\r\n0\r\nGET /orders/ HTTP/1.1\r\n\r\n",
];

#[tokio::test(flavor = "multi_thread")]
async fn broken_chunks_never_reach_the_upstream() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let long = format!("{}3\r\nabc\r\n0\r\n\r\n", "0".repeat(5000));
    let extended = format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(5000));
    for chunks in BROKEN_CHUNKS.iter().copied().chain([&*long, &*extended]) {
        // What follows is no request: nobody knows where the body ends.
        let next = "GET /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n".repeat(3);
        for (path, expected) in [("/orders/", 400), ("/nowhere/", 404)] {
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n"
            );
            let body = format!("{chunks}{next}");
            // Each piece is a TLS record, which is read by itself.
            let (first, rest) = body.as_bytes().split_at(1);
            let together = [head.as_bytes(), body.as_bytes()].concat();
            let cut = [head.as_bytes(), first].concat();
            for pieces in [
                vec![&*together],
                vec![head.as_bytes(), body.as_bytes()],
                vec![&*cut, rest],
            ] {
                let mut stream = connect(front.address, Some("api.test"), b"").await.unwrap();
                for piece in pieces {
                    // The answer may be there, and the connection closed, before all is sent.
                    let _ = stream.write_all(piece).await;
                }
                let mut answers = Vec::new();
                let _ = stream.read_to_end(&mut answers).await;
                let answers = String::from_utf8_lossy(&answers);
                assert!(
                    answers.starts_with(&format!("HTTP/1.1 {expected} ")),
                    "{chunks:?}: {answers}"
                );
                assert_eq!(
                    answers.matches("HTTP/1.1 ").count(),
                    1,
                    "{chunks:?}: {answers}"
                );
            }
        }
    }
    assert_eq!(upstream.connections(), 0);
    let line = front.line(|line| line["status"] == 400).await;
    assert_eq!(line["error"], "body_broken", "{line}");
    assert!(
        line["reason"]
            .as_str()
            .unwrap()
            .contains("framing of the chunked body"),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_chunked_body_is_the_next_request() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let chunked = "POST /orders/c HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n\
        3;a ; b = \"c;\\\"\"\r\n\n\r\n\r\n0001\r\nx\r\n0;d\r\nA: b\r\nC:\r\n\r\n";
    let sized = "POST /orders/s HTTP/1.1\r\nHost: api.test\r\nContent-Length: 4\r\n\r\n\n\r\nx";
    let all = [chunked, chunked, sized, chunked, sized, sized, chunked].concat();
    let sha = support::upstream::hex(&openssl::sha::sha256(b"\n\r\nx"));
    for size in [1, 7, 100, all.len()] {
        let mut stream = connect(front.address, Some("api.test"), b"").await.unwrap();
        for piece in all.as_bytes().chunks(size) {
            stream.write_all(piece).await.unwrap();
        }
        let mut buffer = Vec::new();
        for path in ["c", "c", "s", "c", "s", "s", "c"] {
            let answer = read_answer(&mut stream, &mut buffer, false).await.unwrap();
            let echo = answer.json();
            assert_eq!(echo["line"], format!("POST /orders/{path} HTTP/1.1"));
            assert_eq!(echo["sha256"], sha, "{path}, {size}");
        }
    }
}
