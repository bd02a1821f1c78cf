//! Requests that two servers could read differently are refused, whatever stands behind them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{connect, raw};
use crate::front::{Front, Setup};
use crate::requests::echo;

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

#[tokio::test(flavor = "multi_thread")]
async fn broken_chunks_never_reach_the_upstream() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let head = "POST /orders/ HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long = format!("{}3\r\nabc\r\n0\r\n\r\n", "0".repeat(5000));
    for chunks in [
        "x\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        &long,
    ] {
        // What follows is no request: nobody knows where the body ends.
        let next = "GET /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n".repeat(3);
        for (path, expected) in [("/orders/", 400), ("/nowhere/", 404)] {
            let request = format!("{head}{chunks}{next}").replacen("/orders/", path, 1);
            let mut stream = connect(front.address, Some("api.test"), b"").await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
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
    assert_eq!(upstream.connections(), 0);
}
