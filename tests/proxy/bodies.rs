//! Bodies arrive whole and unchanged, or not at all.

use tokio::io::AsyncWriteExt;

use crate::front::{Front, Setup, counts};
use crate::requests::echo;
use support::client::{Http2, connect, h2_request, raw, read_answer};
use support::upstream::hex;

fn body(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0]
    });
    bytes.take(length).collect()
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks(40_000) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\nX-Trailer: gone\r\n\r\n");
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_over_h1_and_h2() {
    let upstream = echo().await;
    let setup = Setup {
        mode: "off",
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    let mut h2 = Http2::connect(front.address, "api.test").await;
    for length in [0, 1, 1 << 20, 10 << 20] {
        let body = body(length);
        let sha = hex(&openssl::sha::sha256(&body));
        let with_length = [
            format!("POST /orders/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: {length}\r\n\r\n")
                .as_bytes(),
            &body,
        ]
        .concat();
        let in_chunks = [
            &b"POST /orders/ HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n"[..],
            &chunked(&body),
        ]
        .concat();
        for request in [with_length, in_chunks] {
            let answer = raw(front.address, &request).await.unwrap();
            assert_eq!(answer.status, 200);
            assert_eq!(answer.json()["sha256"], sha, "h1, {length}");
            assert!(!answer.text().to_ascii_lowercase().contains("x-trailer"));
        }
        for named in [true, false] {
            let mut request = h2_request("POST", "https://api.test/orders/");
            if named {
                request = request.header("content-length", length);
            }
            let answer = h2.request(request.body(()).unwrap(), Some(&body)).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.json()["sha256"], sha, "h2, {length}, {named}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_a_body_is_413_before_and_while_it_comes() {
    let upstream = echo().await;
    let setup = Setup {
        policy: "request_body_limit = 1000".to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    let body = body(1001);
    let head = "POST /orders/ HTTP/1.1\r\nHost: api.test\r\n";
    let requests = [
        [
            format!("{head}Content-Length: 1001\r\n\r\n").as_bytes(),
            &body,
        ]
        .concat(),
        format!("{head}Content-Length: 99999999999\r\n\r\n").into_bytes(),
        [
            format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes(),
            &chunked(&body),
        ]
        .concat(),
    ];
    for request in requests {
        let answer = raw(front.address, &request).await.unwrap();
        assert_eq!(answer.status, 413);
    }
    let mut h2 = Http2::connect(front.address, "api.test").await;
    let request = h2_request("POST", "https://api.test/orders/");
    let answer = h2.request(request.body(()).unwrap(), Some(&body)).await;
    assert_eq!(answer.status, 413);
    assert_eq!(upstream.connections(), 0);
    let fits = [
        format!("{head}Content-Length: 1000\r\n\r\n").as_bytes(),
        &body[..1000],
    ]
    .concat();
    assert_eq!(raw(front.address, &fits).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_expects_100_gets_it() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let mut stream = connect(front.address, Some("api.test"), b"").await.unwrap();
    let head = "POST /orders/ HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut interim)
        .await
        .unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").await.unwrap();
    let answer = read_answer(&mut stream, &mut Vec::new(), false)
        .await
        .unwrap();
    let echo = answer.json();
    assert_eq!(echo["length"], 3);
    assert!(!echo["headers"].to_string().contains("xpect"));
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_for_bodies_is_one_for_all() {
    let upstream = echo().await;
    let mut setup = Setup::to(&upstream);
    setup.listener = "limits = { body_timeout = \"20s\" }".to_owned();
    setup.more = "[limits]\nbody_memory = \"1MiB\"".to_owned();
    let front = Front::start(&setup).await;
    // Holds 1 000 000 of the 1 048 576 bytes for as long as it does not end.
    let mut holder = connect(front.address, Some("api.test"), b"").await.unwrap();
    let head = "POST /orders/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1000001\r\n\r\n";
    holder.write_all(head.as_bytes()).await.unwrap();
    holder.write_all(&body(1_000_000)).await.unwrap();
    let request = [
        &b"POST /orders/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: 100000\r\n\r\n"[..],
        &body(100_000),
    ]
    .concat();
    let refused = loop {
        let answer = raw(front.address, &request).await.unwrap();
        // Until the holder's bytes have all arrived there may be room.
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    counts(&front.metrics.body_memory_refusals, 1).await;
    holder.write_all(b"x").await.unwrap();
    let held = read_answer(&mut holder, &mut Vec::new(), false)
        .await
        .unwrap();
    assert_eq!(held.status, 200);
    assert_eq!(raw(front.address, &request).await.unwrap().status, 200);
}
