//! When a gateway answers, and how its answers end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::front::{Front, Setup, wait};
use support::client::{Answer, Http2, connect, h2_request, raw, read_answer};
use support::gateway::{Connected, Gateway, all_bytes, text};

/// Less than any deadline of the front door; where nothing is to be waited for.
const SOON: Duration = Duration::from_secs(15);

fn setup(gateway: &Gateway, stream: &str) -> Setup {
    let stream = match stream {
        "" => String::new(),
        kind => format!("stream = \"{kind}\""),
    };
    Setup {
        route: format!("paths = [\"/orders/\"]\nmethods = [\"GET\", \"POST\"]\n{stream}"),
        policy: "request_body_limit = \"32MiB\"".to_owned(),
        ..Setup::servers(&[gateway.address])
    }
}

async fn nothing_in_flight(front: &Front) {
    let metrics = Arc::clone(&front.metrics);
    let ended = wait(|| (metrics.requests_in_flight.value() == 0).then_some(())).await;
    assert!(ended.is_some(), "{}", metrics.requests_in_flight.value());
}

/// Sends a large body over HTTP/1.1, and reads while it writes.
async fn post(front: &Front, body: &[u8], chunked: bool) -> Answer {
    let stream = connect(front.address, Some("api.test"), b"").await.unwrap();
    let (mut read, mut write) = tokio::io::split(stream);
    let head = match chunked {
        true => "Transfer-Encoding: chunked".to_owned(),
        false => format!("Content-Length: {}", body.len()),
    };
    let mut request = format!(
        "POST /orders/ HTTP/1.1\r\nHost: api.test\r\nContent-Type: application/octet-stream\r\n{head}\r\n\r\n"
    )
    .into_bytes();
    if chunked {
        request.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
    }
    request.extend_from_slice(body);
    if chunked {
        request.extend_from_slice(b"\r\n0\r\n\r\n");
    }
    let writing = tokio::spawn(async move {
        let _ = write.write_all(&request).await;
        sleep(SOON).await;
    });
    let mut bytes = Vec::new();
    let reading = async {
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|l| l.strip_prefix("Content-Length: "))
                    .map_or(0, |l| l.parse().unwrap());
                if body.len() >= length {
                    return text;
                }
            }
            assert!(read.read_buf(&mut bytes).await.unwrap() > 0, "{text}");
        }
    };
    let text = timeout(SOON, reading).await.expect("an answer soon");
    writing.abort();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_comes_while_the_body_is_written() {
    let body = vec![b'x'; 12_000_000];
    for (status, extra, taken) in [
        ("413 Content Too Large", "Connection: close\r\n", 0),
        ("401 Unauthorized", "", 0),
        ("403 Forbidden", "", 300_000),
        ("200 OK", "", 0),
    ] {
        let answer =
            format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n{extra}\r\nearly").into_bytes();
        let gateway = Gateway::start(move |mut connected: Connected| {
            let answer = answer.clone();
            async move {
                connected.head().await;
                while connected.buffer.len() < taken {
                    connected
                        .stream
                        .read_buf(&mut connected.buffer)
                        .await
                        .unwrap();
                }
                connected.send(&answer).await;
                // It reads no further, and does not close.
                sleep(Duration::from_secs(60)).await;
            }
        })
        .await;
        for stream in ["", "sse"] {
            let front = Front::start(&setup(&gateway, stream)).await;
            for chunked in [false, true] {
                let answer = post(&front, &body, chunked).await;
                let expected: u16 = status[..3].parse().unwrap();
                assert_eq!(
                    (answer.status, answer.text()),
                    (expected, "early".to_owned()),
                    "{stream}"
                );
                nothing_in_flight(&front).await;
            }
            let mut h2 = Http2::connect(front.address, "api.test").await;
            let request = h2_request("POST", "https://api.test/orders/")
                .header("content-type", "application/octet-stream");
            let asked = h2.request(request.body(()).unwrap(), Some(&body[..8_000_000]));
            let answer = timeout(SOON, asked).await.expect("an answer soon");
            assert_eq!(answer.text(), "early");
            nothing_in_flight(&front).await;
            let line = front.line(|line| line["upstream"].is_object()).await;
            assert_eq!(line["error"], serde_json::Value::Null, "{line}");
        }
        assert_eq!(gateway.connections(), 6, "none is used again");
    }
}

/// Every byte of a body that is paced arrives, also where the gateway is slow, and the answer may begin before.
#[tokio::test(flavor = "multi_thread")]
async fn a_paced_body_is_whole() {
    let gateway = Gateway::start(|mut connected: Connected| async move {
        loop {
            let Some(head) = connected.head().await else {
                return;
            };
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "))
                .unwrap()
                .parse()
                .unwrap();
            connected
                .send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await;
            let mut digest = openssl::sha::Sha256::new();
            let mut left = length;
            let mut slow = 0;
            while left > 0 {
                if connected.buffer.is_empty() {
                    let read = connected
                        .stream
                        .read_buf(&mut connected.buffer)
                        .await
                        .unwrap();
                    assert!(read > 0);
                }
                left -= connected.buffer.len();
                digest.update(&connected.buffer);
                connected.buffer.clear();
                slow += 1;
                if slow % 64 == 0 {
                    sleep(Duration::from_millis(5)).await;
                }
            }
            let hex = support::upstream::hex(&digest.finish());
            let chunk = format!("{:x}\r\n{hex}\r\n0\r\n\r\n", hex.len());
            connected.send(chunk.as_bytes()).await;
        }
    })
    .await;
    let front = Front::start(&setup(&gateway, "")).await;
    let mut h2 = Http2::connect(front.address, "api.test").await;
    for length in [1, 4095, 4096, 4097, 100_000, 9_000_001] {
        let body: Vec<u8> = (0..251).cycle().take(length).collect();
        let request = h2_request("POST", "https://api.test/orders/")
            .header("content-type", "application/octet-stream");
        let answer = h2.request(request.body(()).unwrap(), Some(&body)).await;
        let expected = support::upstream::hex(&openssl::sha::sha256(&body));
        assert_eq!((answer.status, answer.text()), (200, expected), "{length}");
    }
    assert_eq!(gateway.connections(), 1, "it is used again");
}

/// A gateway whose HTTP/2 stream ends before the client's does.
#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_over_http2_comes_too() {
    let gateway = Gateway::speaking(true, |connected: Connected| async move {
        let mut connection = h2::server::handshake(connected.stream).await.unwrap();
        while let Some(Ok((_request, mut respond))) = connection.accept().await {
            let response = http::Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", "8");
            respond
                .send_response(response.body(()).unwrap(), true)
                .unwrap();
            // The request is dropped: the stream is reset.
        }
    })
    .await;
    let front = Front::start(&setup(&gateway, "grpc")).await;
    let mut h2 = Http2::connect(front.address, "api.test").await;
    let request = h2_request("POST", "https://api.test/orders/Service/Method")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let body = vec![0; 3_000_000];
    let asked = h2.request(request.body(()).unwrap(), Some(&body));
    let answer = timeout(SOON, asked).await.expect("an answer soon");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("grpc-status"), Some("8"));
    nothing_in_flight(&front).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_are_bounded() {
    let gateway = Gateway::start(|mut connected: Connected| async move {
        connected.request().await;
        let many = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
            .repeat(100);
        while connected.send(&many).await {}
    })
    .await;
    for stream in ["", "sse"] {
        let front = Front::start(&setup(&gateway, stream)).await;
        let (bytes, _) = all_bytes(
            front.address,
            b"GET /orders/ HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n",
        )
        .await;
        assert!(text(&bytes).contains("HTTP/1.1 502 "), "{}", text(&bytes));
        let mut h2 = Http2::connect(front.address, "api.test").await;
        let request = h2_request("GET", "https://api.test/orders/");
        let answer = h2.request(request.body(()).unwrap(), None).await;
        assert_eq!(answer.status, 502);
        let line = front.line(|line| line["status"] == 502).await;
        assert!(
            line["reason"].as_str().unwrap().contains("interim answers"),
            "{line}"
        );
        nothing_in_flight(&front).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn early_hints_pass_and_other_interim_answers_do_not() {
    let said = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
        HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nX-Secret: yes\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n\
        HTTP/1.1 103 Early Hints\r\nLink: </more.css>\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let gateway = Gateway::saying(said, false).await;
    let front = Front::start(&setup(&gateway, "")).await;
    let request = "GET /orders/ HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n";
    let (bytes, _) = all_bytes(front.address, request.as_bytes()).await;
    let got = String::from_utf8(bytes).unwrap();
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n\
        HTTP/1.1 103 Early Hints\r\nLink: </more.css>\r\n\r\nHTTP/1.1 200 OK\r\n";
    assert!(got.starts_with(hints), "{got}");
    assert!(got.ends_with("\r\n\r\nok"), "{got}");
    for old in [
        "GET /orders/ HTTP/1.0\r\nHost: api.test\r\n\r\n",
        "GET /orders/ HTTP/1.0\r\nHost: api.test\r\nConnection: keep-alive\r\n\r\n",
    ] {
        let answer = raw(front.address, old.as_bytes()).await.unwrap();
        assert_eq!((answer.status, answer.text()), (200, "ok".to_owned()));
    }
    let mut h2 = Http2::connect(front.address, "api.test").await;
    let request = h2_request("GET", "https://api.test/orders/");
    let answer = h2.request(request.body(()).unwrap(), None).await;
    assert_eq!((answer.status, answer.text()), (200, "ok".to_owned()));
}

/// After an interim answer there is still none.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_fails_after_an_interim_answer_is_502() {
    for said in [
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ] {
        let gateway = Gateway::saying(said, true).await;
        let front = Front::start(&setup(&gateway, "")).await;
        let (bytes, _) = all_bytes(
            front.address,
            b"POST /orders/ HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
        )
        .await;
        let got = text(&bytes);
        assert!(got.contains("HTTP/1.1 502 "), "{got}");
        front.line(|line| line["status"] == 502).await;
    }
    // The client's own 100 is no answer either.
    let front = Front::start(&Setup::servers(&["127.0.0.1:1".parse().unwrap()])).await;
    let (bytes, _) = all_bytes(
        front.address,
        b"POST /orders/ HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    )
    .await;
    assert!(text(&bytes).contains("HTTP/1.1 502 "), "{}", text(&bytes));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_100_gets_it_on_streams_too() {
    let gateway = Gateway::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false).await;
    for stream in ["", "sse", "websocket"] {
        let front = Front::start(&setup(&gateway, stream)).await;
        let mut client = connect(front.address, Some("api.test"), b"").await.unwrap();
        let head = "POST /orders/ HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n\r\n") {
            let read = timeout(SOON, client.read_buf(&mut got))
                .await
                .expect("a 100");
            assert!(read.unwrap() > 0);
        }
        assert_eq!(text(&got), "HTTP/1.1 100 Continue\\r\\n\\r\\n");
        client.write_all(b"abc").await.unwrap();
        let answer = read_answer(&mut client, &mut Vec::new(), false)
            .await
            .unwrap();
        assert_eq!((answer.status, answer.text()), (200, "ok".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_lines_between_requests_are_ignored() {
    let gateway = Gateway::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false).await;
    let front = Front::start(&setup(&gateway, "")).await;
    let get = "GET /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n";
    let post = "POST /orders/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1\r\n\r\nx";
    let all = format!("\r\n{get}\r\n\r\n{post}\r\n{post}\r\n\r\n\r\n\r\n{get}");
    for size in [1, 2, 3, all.len()] {
        let mut client = connect(front.address, Some("api.test"), b"").await.unwrap();
        for piece in all.as_bytes().chunks(size) {
            client.write_all(piece).await.unwrap();
        }
        let mut buffer = Vec::new();
        for n in 0..4 {
            let answer = read_answer(&mut client, &mut buffer, false).await;
            assert_eq!(answer.map(|a| a.status), Some(200), "{n}, {size}");
        }
    }
    for lines in ["\r\n".repeat(5), "\n".to_owned(), "\r\r\n".to_owned()] {
        let answer = raw(front.address, format!("{lines}{get}").as_bytes())
            .await
            .unwrap();
        assert_eq!(answer.status, 400, "{lines:?}");
    }
    // Who sends nothing but an empty line is closed like who sends nothing.
    let mut client = connect(front.address, Some("api.test"), b"").await.unwrap();
    client.write_all(b"\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(text(&rest), "");
}

/// A length or a last chunk that does not come is a cut answer, also for the client.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_answer_is_cut_for_the_client() {
    for (said, why) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "closed"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "closed",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
            "protocol",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\nA: b",
            "closed",
        ),
    ] {
        for notify in [true, false] {
            let gateway = Gateway::start(move |mut connected: Connected| async move {
                connected.request().await;
                connected.send(said.as_bytes()).await;
                match notify {
                    true => connected.close().await,
                    false => connected.cut().await,
                }
            })
            .await;
            let front = Front::start(&setup(&gateway, "")).await;
            let get = b"GET /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n";
            let (bytes, _) = all_bytes(front.address, get).await;
            assert!(!bytes.ends_with(b"0\r\n\r\n"), "{said:?}: {}", text(&bytes));
            let h2 = Http2::connect(front.address, "api.test").await;
            let request = h2_request("GET", "https://api.test/orders/");
            let mut ready = h2.send.clone().ready().await.unwrap();
            let (response, _) = ready.send_request(request.body(()).unwrap(), true).unwrap();
            let whole = async {
                let mut body = response.await?.into_body();
                while let Some(data) = body.data().await {
                    let data: Bytes = data?;
                    body.flow_control().release_capacity(data.len())?;
                }
                Ok::<_, h2::Error>(())
            };
            let whole = timeout(SOON, whole).await.expect("an end");
            assert!(whole.is_err(), "{said:?}");
            let line = front.line(|line| line["error"] == why).await;
            assert!(line["reason"].is_string(), "{line}");
            drop(h2.send.clone());
            nothing_in_flight(&front).await;
        }
    }
}

/// It takes nothing and says nothing: that has an end, on streams as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_takes_nothing_is_left() {
    let gateway = Gateway::start(|mut connected: Connected| async move {
        connected.head().await;
        sleep(Duration::from_secs(60)).await;
    })
    .await;
    let body = vec![b'x'; 12_000_000];
    for stream in ["", "sse"] {
        let setup = Setup {
            upstream: "write_timeout = \"1s\"\nread_timeout = \"3s\"".to_owned(),
            ..setup(&gateway, stream)
        };
        let front = Front::start(&setup).await;
        let mut client = connect(front.address, Some("api.test"), b"").await.unwrap();
        let head = format!(
            "POST /orders/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        client.write_all(head.as_bytes()).await.unwrap();
        let _ = timeout(SOON, client.write_all(&body)).await;
        if stream.is_empty() {
            let answer = read_answer(&mut client, &mut Vec::new(), false)
                .await
                .unwrap();
            assert_eq!(answer.status, 502);
        }
        drop(client);
        nothing_in_flight(&front).await;
    }
}
