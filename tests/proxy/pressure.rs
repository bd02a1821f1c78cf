//! Clients that do not read, read slowly, or leave: nothing of theirs stays behind.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::frames::{self, FrameClient};
use crate::front::{Front, Setup, wait};
use support::client::{Tls, connect_over, h2_request};
use support::pki::{self, CORP, ServerTls};
use support::upstream::{Behaviour, Upstream};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

async fn behaving(behaviour: Behaviour) -> Upstream {
    let issued = pki::leaf(&CORP, "orders.corp.test");
    Upstream::start(ServerTls::new(issued), behaviour).await
}

fn limited(upstream: &Upstream, limits: &str) -> Setup {
    Setup {
        listener: format!("limits = {{ {limits} }}"),
        ..Setup::to(upstream)
    }
}

fn streaming(kind: &str, upstream: &Upstream, limits: &str) -> Setup {
    Setup {
        route: format!("paths = [\"/orders/\"]\nstream = \"{kind}\""),
        ..limited(upstream, limits)
    }
}

/// A client whose kernel takes little that it does not read.
async fn small_tcp(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

async fn small(address: SocketAddr, alpn: &[u8]) -> Tls {
    let tcp = small_tcp(address).await;
    connect_over(tcp, Some("api.test"), alpn).await.unwrap()
}

/// No request, no connection, and nothing with the gateway.
async fn nothing_left(front: &Front, what: &str) {
    let metrics = &front.metrics;
    let gone = wait(|| {
        let left = metrics.requests_in_flight.value() + metrics.connections_open.value();
        (left == 0).then_some(())
    });
    assert!(
        gone.await.is_some(),
        "{what}: {} requests, {} connections",
        metrics.requests_in_flight.value(),
        metrics.connections_open.value()
    );
}

/// Sends this again and again until the other side has stopped reading.
async fn send_until_full(stream: &mut Tls, bytes: &[u8]) {
    let many = bytes.repeat(1 + 16_384 / bytes.len());
    let sending = async {
        loop {
            let sent = timeout(Duration::from_millis(700), stream.write_all(&many)).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    };
    timeout(PATIENCE, sending).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_that_nobody_reads_hold_no_place() {
    let upstream = behaving(Behaviour::Echo).await;
    let front = Front::start(&limited(&upstream, "idle_timeout = \"1s\"")).await;
    for request in [
        "GET /nowhere HTTP/1.1\r\nHost: api.test\r\n\r\n",
        "GET /orders/?a=attack HTTP/1.1\r\nHost: api.test\r\n\r\n",
        "GET /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n",
    ] {
        let mut stream = small(front.address, b"").await;
        send_until_full(&mut stream, request.as_bytes()).await;
        nothing_left(&front, request).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_without_a_window_hold_no_stream() {
    let upstream = behaving(Behaviour::Echo).await;
    let front = Front::start(&limited(&upstream, "idle_timeout = \"1s\"")).await;
    for target in ["/nowhere", "/orders/?a=attack", "/orders/"] {
        let mut client = FrameClient::connect(front.address).await;
        client.send(&frames::settings(&[(4, 0)])).await;
        for stream in [1, 3, 5] {
            client.send(&frames::get(stream, target)).await;
        }
        for _ in 0..3 {
            let found = client.until(|f| f.kind == frames::RST_STREAM).await;
            assert!(found.is_some(), "{target}: each stream is reset");
        }
        drop(client);
        nothing_left(&front, target).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_client_that_reads_nothing_is_closed() {
    let upstream = behaving(Behaviour::Echo).await;
    let front = Front::start(&limited(&upstream, "idle_timeout = \"1s\"")).await;
    let mut stream = small(front.address, b"\x02h2").await;
    stream.write_all(frames::PREFACE).await.unwrap();
    let windows = [
        frames::settings(&[(4, 1 << 30)]),
        frames::window(0, 1 << 30),
    ];
    stream.write_all(&windows.concat()).await.unwrap();
    let mut id = 1;
    let sending = async {
        loop {
            let many: Vec<u8> = (0..200)
                .flat_map(|n| frames::get(id + 2 * n, "/nowhere"))
                .collect();
            id += 400;
            let sent = timeout(Duration::from_millis(700), stream.write_all(&many)).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    };
    timeout(PATIENCE, sending).await.unwrap();
    nothing_left(&front, "reads nothing").await;
}

fn large(length: usize) -> Behaviour {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    Behaviour::Raw([head.into_bytes(), vec![b'x'; length]].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_but_steady_download_arrives_whole() {
    const LENGTH: usize = 5 << 20;
    let upstream = behaving(large(LENGTH)).await;
    let front = Front::start(&limited(&upstream, "idle_timeout = \"2s\"")).await;
    let mut stream = small(front.address, b"").await;
    let request = "GET /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut received = 0;
    let mut buffer = vec![0; 40 * 1024];
    while received < LENGTH {
        let read = stream.read(&mut buffer).await;
        assert!(matches!(read, Ok(1..)), "{read:?} after {received}");
        received += read.unwrap();
        sleep(Duration::from_millis(40)).await;
    }
    drop(stream);
    nothing_left(&front, "it arrived").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_but_steady_download_arrives_whole_over_http2() {
    const LENGTH: usize = 120 << 10;
    let upstream = behaving(large(LENGTH)).await;
    let front = Front::start(&limited(&upstream, "idle_timeout = \"1500ms\"")).await;
    let mut client = FrameClient::connect(front.address).await;
    client.send(&frames::get(1, "/orders/")).await;
    let mut received = 0;
    while received < LENGTH {
        let frame = client.next().await.expect("the body goes on");
        assert_ne!(frame.kind, frames::RST_STREAM, "after {received}");
        if frame.kind == frames::DATA {
            received += frame.payload.len();
            let length = u32::try_from(frame.payload.len()).unwrap();
            // What was read is paid back in small parts.
            for part in 0..length.div_ceil(1024) {
                let paid = 1024.min(length - part * 1024);
                client.send(&frames::window(1, paid)).await;
                client.send(&frames::window(0, paid)).await;
                sleep(Duration::from_millis(130)).await;
            }
        }
    }
    drop(client);
    nothing_left(&front, "it arrived").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_stalls_is_cut() {
    let upstream = behaving(large(20 << 20)).await;
    let front = Front::start(&limited(&upstream, "idle_timeout = \"1s\"")).await;
    let mut stream = small(front.address, b"").await;
    let request = "GET /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    nothing_left(&front, "HTTP/1.1").await;

    let mut client = FrameClient::connect(front.address).await;
    client.send(&frames::get(1, "/orders/")).await;
    let reset = client.until(|f| f.kind == frames::RST_STREAM && f.stream == 1);
    assert!(reset.await.is_some());
    drop(client);
    nothing_left(&front, "HTTP/2").await;
}

const UPGRADE: &str = "GET /orders/ HTTP/1.1\r\nHost: api.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const PLAIN: &str = "GET /orders/ HTTP/1.1\r\nHost: api.test\r\nAccept: text/event-stream\r\n\r\n";
const CHUNKED: &str = "POST /orders/ HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";

fn quiet_events() -> Behaviour {
    Behaviour::Begins(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_its_stream_along() {
    for (kind, behaviour, request) in [
        ("sse", Behaviour::Silent, PLAIN),
        ("sse", quiet_events(), PLAIN),
        ("sse", Behaviour::Silent, CHUNKED),
        ("sse", quiet_events(), CHUNKED),
        ("websocket", Behaviour::Silent, UPGRADE),
        ("websocket", Behaviour::WebSocket, UPGRADE),
    ] {
        let upstream = behaving(behaviour.clone()).await;
        let front = Front::start(&streaming(kind, &upstream, "")).await;
        // More than the request, with its head or after it, few bytes or many.
        for (with_it, after_it) in [("", "x"), ("x", ""), ("x", "y"), ("", PLAIN)] {
            let sent = format!("{request}{with_it}");
            let tcp = TcpStream::connect(front.address).await.unwrap();
            let mut stream = connect_over(tcp, Some("api.test"), b"").await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            let begun = wait(|| (front.metrics.requests_in_flight.value() == 1).then_some(()));
            assert!(begun.await.is_some(), "{kind} {request}");
            sleep(Duration::from_millis(100)).await;
            stream.write_all(after_it.as_bytes()).await.unwrap();
            sleep(Duration::from_millis(100)).await;
            drop(stream);
            nothing_left(
                &front,
                &format!("{kind} {request:?} {with_it:?} {after_it:?}"),
            )
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_ahead_is_answered_next() {
    let upstream = behaving(Behaviour::Events(20)).await;
    let front = Front::start(&streaming("sse", &upstream, "")).await;
    let tcp = TcpStream::connect(front.address).await.unwrap();
    let mut stream = connect_over(tcp, Some("api.test"), b"").await.unwrap();
    stream.write_all(PLAIN.as_bytes()).await.unwrap();
    // The second comes while the first is answered, byte by byte and then the rest.
    for byte in PLAIN.as_bytes().chunks(1).take(20) {
        sleep(Duration::from_millis(5)).await;
        stream.write_all(byte).await.unwrap();
    }
    stream.write_all(&PLAIN.as_bytes()[20..]).await.unwrap();
    let mut received = Vec::new();
    let ends = |received: &[u8]| received.windows(5).filter(|w| *w == b"0\r\n\r\n").count();
    while ends(&received) < 2 {
        let read = timeout(PATIENCE, stream.read_buf(&mut received)).await;
        assert!(matches!(read, Ok(Ok(1..))), "{}", received.escape_ascii());
    }
    let text = String::from_utf8_lossy(&received);
    assert_eq!(text.matches("HTTP/1.1 200").count(), 2, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_silent_on_both_sides_ends() {
    let limits = "stream_idle_timeout = \"700ms\"";
    for (kind, behaviour, request, status) in [
        ("sse", Behaviour::Silent, PLAIN, 504),
        ("sse", quiet_events(), PLAIN, 200),
        ("websocket", Behaviour::WebSocket, UPGRADE, 101),
    ] {
        let upstream = behaving(behaviour).await;
        let front = Front::start(&streaming(kind, &upstream, limits)).await;
        let tcp = TcpStream::connect(front.address).await.unwrap();
        let mut stream = connect_over(tcp, Some("api.test"), b"").await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut all))
            .await
            .unwrap();
        let line = front.line(|_| true).await;
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["error"], "stream_idle", "{line}");
        drop(stream);
        nothing_left(&front, kind).await;
    }
    // What goes on lives on.
    let upstream = behaving(Behaviour::Events(60)).await;
    let front = Front::start(&streaming("sse", &upstream, limits)).await;
    let mut h2 = support::client::Http2::connect(front.address, "api.test").await;
    let request = h2_request("GET", "https://api.test/orders/")
        .body(())
        .unwrap();
    let answer = h2.request(request, None).await;
    assert!(answer.text().contains("data: 59"), "{}", answer.text());
}
