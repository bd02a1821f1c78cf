//! What an HTTP/2 client sends that no library would, and how its connection ends.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::frames::{self, END_HEADERS, END_STREAM, FrameClient};
use crate::front::{Front, Setup, counts, logged, wait};
use crate::requests::echo;
use support::client::{Http2, h2_request, raw};
use support::pki::{self, CORP, ServerTls};
use support::upstream::{Behaviour, Upstream};

/// Nothing that is asked for here is slow.
const PATIENCE: Duration = Duration::from_secs(40);

/// The status of an answer whose head is this block: pseudo-header fields come first, from the static table.
fn status(block: &[u8]) -> u16 {
    match block[0] {
        0x88 => 200,
        0x8c => 400,
        0x8d => 404,
        other => panic!("{other:#x} is the first of {}", block.escape_ascii()),
    }
}

async fn answered(client: &mut FrameClient, stream: u32) -> u16 {
    let head = client.until(|f| f.kind == frames::HEADERS && f.stream == stream);
    status(&head.await.expect("an answer").payload)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fragment_is_refused_as_over_http1() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let over_h1 = b"GET /orders/#top HTTP/1.1\r\nHost: api.test\r\n\r\n";
    assert_eq!(raw(front.address, over_h1).await.unwrap().status, 400);
    let mut client = FrameClient::connect(front.address).await;
    // With the name and the value in the table, and then from it.
    let prefix = [&[0x82, 0x87, 0x01, 8][..], b"api.test"].concat();
    let added = [&prefix[..], b"\x44\x0c/orders/#top"].concat();
    let indexed = [&prefix[..], b"\xbe"].concat();
    let huffman = [&prefix[..], b"\x04\x83\x63\xfe\xbf"].concat();
    let end = END_STREAM | END_HEADERS;
    let mut stream = 1;
    for path in ["/orders/#", "/orders/?a=b#c", "/#/orders/"] {
        client.send(&frames::get(stream, path)).await;
        assert_eq!(answered(&mut client, stream).await, 400, "{path}");
        stream += 2;
    }
    for block in [&added, &indexed, &huffman] {
        client
            .send(&frames::frame(frames::HEADERS, end, stream, block))
            .await;
        assert_eq!(
            answered(&mut client, stream).await,
            400,
            "{}",
            block.escape_ascii()
        );
        stream += 2;
    }
    // Over several frames, padded, and with a priority.
    let block = frames::head("GET", "/orders/#top");
    let (first, second) = block.split_at(block.len() / 2);
    client
        .send(&frames::frame(frames::HEADERS, END_STREAM, stream, first))
        .await;
    client
        .send(&frames::frame(
            frames::CONTINUATION,
            END_HEADERS,
            stream,
            second,
        ))
        .await;
    assert_eq!(answered(&mut client, stream).await, 400);
    stream += 2;
    let padded = [&[3, 0, 0, 0, 0, 15][..], &block, &[0; 3]].concat();
    client
        .send(&frames::frame(
            frames::HEADERS,
            end | 0x8 | 0x20,
            stream,
            &padded,
        ))
        .await;
    assert_eq!(answered(&mut client, stream).await, 400);
    stream += 2;
    assert_eq!(upstream.connections(), 0);
    // And others live on.
    client.send(&frames::get(stream, "/orders/%23?a=%23")).await;
    assert_eq!(answered(&mut client, stream).await, 200);
    let line = front.line(|line| line["error"] == "fragment_in_target" && line["status"] == 400);
    line.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_with_pseudo_header_fields_end_their_stream() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let mut client = FrameClient::connect(front.address).await;
    let mut stream = 1;
    for (trailers, fine) in [
        (&[("x-sum", "1")][..], true),
        (&[(":path", "/else/")], false),
        (&[(":method", "GET"), ("x-sum", "1")], false),
        (&[(":authority", "else.test")], false),
        (&[(":status", "200")], false),
        (&[("x-sum", "1")], true),
    ] {
        let head = frames::head("POST", "/orders/");
        client
            .send(&frames::frame(frames::HEADERS, END_HEADERS, stream, &head))
            .await;
        client
            .send(&frames::frame(frames::DATA, 0, stream, b"body"))
            .await;
        let block = frames::fields(trailers);
        let end = END_STREAM | END_HEADERS;
        client
            .send(&frames::frame(frames::HEADERS, end, stream, &block))
            .await;
        let of_it = |f: &frames::Frame| {
            f.stream == stream && [frames::HEADERS, frames::RST_STREAM].contains(&f.kind)
        };
        let answer = client.until(of_it).await.expect("the connection lives on");
        match fine {
            true => assert_eq!(status(&answer.payload), 200, "{trailers:?}"),
            false => {
                assert_eq!(answer.kind, frames::RST_STREAM, "{trailers:?}");
                assert_eq!(answer.code(), 1, "PROTOCOL_ERROR");
            }
        }
        stream += 2;
    }
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_are_told_and_ended() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let priority = frames::frame(2, 0, 1, &[0, 0, 0, 0, 15]);
    for (n, (name, flood)) in [
        ("PING", frames::frame(frames::PING, 0, 0, &[0; 8])),
        (
            "PING acknowledged",
            frames::frame(frames::PING, frames::ACK, 0, &[0; 8]),
        ),
        ("SETTINGS", frames::settings(&[])),
        ("PRIORITY", priority),
        ("WINDOW_UPDATE", frames::window(0, 1)),
        ("unknown", frames::frame(0xbe, 0, 0, b"?")),
        ("unknown and empty", frames::frame(0x77, 0, 9, b"")),
    ]
    .into_iter()
    .enumerate()
    {
        let client = FrameClient::connect(front.address).await;
        let (mut read, mut write) = tokio::io::split(client.stream);
        let flooding = tokio::spawn(async move {
            let many = flood.repeat(500);
            while write.write_all(&many).await.is_ok() {}
        });
        let mut reader = FrameReader::default();
        let goaway = timeout(PATIENCE, reader.goaway(&mut read)).await.unwrap();
        assert_eq!(goaway, Some(11), "ENHANCE_YOUR_CALM for {name}");
        flooding.abort();
        counts(&front.metrics.http2_floods, n as u64 + 1).await;
    }
    logged("the client sent too many").await;
    let open = wait(|| (front.metrics.connections_open.value() == 0).then_some(()));
    assert!(open.await.is_some());
}

/// Frames of half a connection.
#[derive(Default)]
struct FrameReader(Vec<u8>);

impl FrameReader {
    async fn goaway(&mut self, read: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<u32> {
        use tokio::io::AsyncReadExt;
        loop {
            while let Some(head) = self.0.get(..9) {
                let whole = 9 + u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                let kind = head[3];
                let Some(frame) = self.0.get(..whole) else {
                    break;
                };
                if kind == frames::GOAWAY {
                    return Some(u32::from_be_bytes(frame[13..17].try_into().unwrap()));
                }
                self.0.drain(..whole);
            }
            if read.read_buf(&mut self.0).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_pays_for_what_it_reads_is_no_flood() {
    // Answers in small parts, each acknowledged by itself.
    const EVENTS: usize = 1500;
    let body: String = (0..EVENTS)
        .map(|n| format!("1\r\n{}\r\n", n % 10))
        .collect();
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = format!("{head}{body}0\r\n\r\n");
    let issued = pki::leaf(&CORP, "orders.corp.test");
    let upstream = Upstream::start(ServerTls::new(issued), Behaviour::Raw(answer.into())).await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let mut client = FrameClient::connect(front.address).await;
    let mut read = 0;
    for n in 0..4 {
        let stream = 2 * n + 1;
        client.send(&frames::get(stream, "/orders/")).await;
        loop {
            let frame = client.next().await.expect("it is no flood");
            assert_ne!(frame.kind, frames::GOAWAY, "after {read}");
            if frame.kind != frames::DATA {
                continue;
            }
            for byte in &frame.payload {
                assert!(byte.is_ascii_digit());
                read += 1;
            }
            if !frame.payload.is_empty() {
                let paid = u32::try_from(frame.payload.len()).unwrap();
                client.send(&frames::window(0, paid)).await;
                client.send(&frames::window(stream, paid)).await;
            }
            if frame.flags & END_STREAM != 0 {
                break;
            }
        }
    }
    assert_eq!(read, 4 * EVENTS);
}

fn patient(upstream: &Upstream) -> Setup {
    Setup {
        // Later than any test waits.
        top: "shutdown_timeout = \"300s\"".to_owned(),
        ..Setup::to(upstream)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_does_not_wait_for_who_asks_nothing() {
    let upstream = echo().await;
    let mut front = Front::start(&patient(&upstream)).await;
    // Acknowledges nothing.
    let mut idle = FrameClient::connect(front.address).await;
    idle.send(&frames::get(1, "/orders/")).await;
    assert_eq!(answered(&mut idle, 1).await, 200);
    // Reads nothing, not even its answers.
    let mut deaf = FrameClient::connect(front.address).await;
    deaf.send(&frames::get(1, "/orders/")).await;
    front.line(|line| line["protocol"] == "HTTP/2.0").await;
    // Has not said anything, not even a hello.
    let silent = tokio::net::TcpStream::connect(front.address).await.unwrap();
    let only_tls = support::client::connect(front.address, Some("api.test"), b"\x02h2").await;
    let open = wait(|| (front.metrics.connections_open.value() == 4).then_some(()));
    assert!(open.await.is_some());
    front.begin_stop();
    let goaway = idle.until(|f| f.kind == frames::GOAWAY).await;
    assert!(goaway.is_some(), "it is told");
    timeout(PATIENCE, front.stopped()).await.expect("stopped");
    while let Some(frame) = idle.next().await {
        assert_eq!(frame.code_of_goaway().unwrap_or(0), 0, "NO_ERROR");
    }
    drop((deaf, silent, only_tls));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_for_an_answer_that_is_read_slowly() {
    const LENGTH: usize = 300 << 10;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
    let answer = [head.into_bytes(), vec![b'x'; LENGTH]].concat();
    let issued = pki::leaf(&CORP, "orders.corp.test");
    let upstream = Upstream::start(ServerTls::new(issued), Behaviour::Raw(answer)).await;
    let mut front = Front::start(&patient(&upstream)).await;
    let mut client = FrameClient::connect(front.address).await;
    client.send(&frames::get(1, "/orders/")).await;
    let mut read = 0;
    while read < LENGTH {
        let frame = client.next().await.expect("the answer goes on");
        if frame.kind != frames::DATA {
            continue;
        }
        read += frame.payload.len();
        front.begin_stop();
        let paid = u32::try_from(frame.payload.len()).unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
        client.send(&frames::window(0, paid)).await;
        client.send(&frames::window(1, paid)).await;
    }
    timeout(PATIENCE, front.stopped()).await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_told_that_it_ends() {
    let upstream = echo().await;
    let setup = Setup {
        listener: "limits = { idle_timeout = \"400ms\" }".to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    let mut client = FrameClient::connect(front.address).await;
    client.send(&frames::get(1, "/orders/")).await;
    assert_eq!(answered(&mut client, 1).await, 200);
    let goaway = client.until(|f| f.kind == frames::GOAWAY).await.unwrap();
    assert_eq!(goaway.code(), 0, "NO_ERROR");
    assert_eq!(
        goaway.payload[..4],
        [0, 0, 0, 1],
        "the last that was answered"
    );
    let mut h2 = Http2::connect(front.address, "api.test").await;
    let request = h2_request("GET", "https://api.test/orders/")
        .body(())
        .unwrap();
    assert_eq!(h2.request(request, None).await.status, 200);
}
