//! Routes that say they are streams: the head passes the rules, the rest goes on as it comes.

use std::pin::Pin;
use std::time::Instant;

use bytes::Bytes;
use openssl::ssl::Ssl;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_openssl::SslStream;

use crate::front::{Front, Setup};
use support::client::{Http2, connect, h2_request, raw, read_answer};
use support::pki::{self, CORP, ServerTls};
use support::upstream::{Behaviour, Upstream};

fn streaming(kind: &str, servers: &[std::net::SocketAddr]) -> Setup {
    Setup {
        route: format!("paths = [\"/orders/\"]\nstream = \"{kind}\""),
        ..Setup::servers(servers)
    }
}

async fn server(behaviour: Behaviour) -> Upstream {
    let issued = pki::leaf(&CORP, "orders.corp.test");
    Upstream::start(ServerTls::new(issued), behaviour).await
}

#[tokio::test(flavor = "multi_thread")]
async fn websocket() {
    let upstream = server(Behaviour::WebSocket).await;
    let front = Front::start(&streaming("websocket", &[upstream.address])).await;
    let head = |target: &str| {
        format!(
            "GET {target} HTTP/1.1\r\nHost: api.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
    };
    let blocked = raw(front.address, head("/orders/?a=attack").as_bytes())
        .await
        .unwrap();
    assert_eq!(blocked.status, 403);
    assert_eq!(upstream.connections(), 0);

    let mut stream = connect(front.address, Some("api.test"), b"").await.unwrap();
    stream.write_all(head("/orders/").as_bytes()).await.unwrap();
    let answer = read_answer(&mut stream, &mut Vec::new(), false)
        .await
        .unwrap();
    assert_eq!(answer.status, 101);
    assert_eq!(
        answer.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    // A masked text frame; the server sends every byte back.
    for frame in [
        &b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"[..],
        b"\x89\x80\x01\x02\x03\x04",
    ] {
        stream.write_all(frame).await.unwrap();
        let mut back = vec![0; frame.len()];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(back, frame);
    }
    drop(stream);
    let line = front.line(|line| line["status"] == 101).await;
    assert_eq!(line["body_inspected"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_as_they_are_sent() {
    let upstream = server(Behaviour::Events(30)).await;
    let front = Front::start(&streaming("sse", &[upstream.address])).await;
    let mut stream = connect(front.address, Some("api.test"), b"").await.unwrap();
    let request = "GET /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n";
    let begun = Instant::now();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    let mut first = None;
    while !seen.ends_with(b"0\r\n\r\n") {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
        if first.is_none() && seen.windows(7).any(|w| w == b"data: 0") {
            first = Some(seen.windows(8).any(|w| w == b"data: 29"));
        }
    }
    assert_eq!(
        first,
        Some(false),
        "the first event came before the last, {:?}",
        begun.elapsed()
    );
    let line = front.line(|_| true).await;
    assert_eq!(line["body_inspected"], false); // How long a client stays connected is no latency.
    let mut shown = Vec::new();
    front.metrics.histograms.each(|_, route, histograms| {
        let (latency, size) = (&histograms.total, &histograms.bytes_out);
        shown.push((
            route.to_owned(),
            latency.report().is_some(),
            size.report().is_some(),
        ));
    });
    assert_eq!(shown, [("orders".to_owned(), false, true)]);
}

/// Echoes every message and ends with trailers, as gRPC servers do.
async fn grpc_server() -> std::net::SocketAddr {
    let tls = ServerTls {
        h2: true,
        ..ServerTls::new(pki::leaf(&CORP, "orders.corp.test"))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let acceptor = tls.acceptor();
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut stream = SslStream::new(Ssl::new(acceptor.context()).unwrap(), tcp).unwrap();
            tokio::spawn(async move {
                Pin::new(&mut stream).accept().await.unwrap();
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    assert_eq!(request.headers()["te"], "trailers");
                    tokio::spawn(async move {
                        let mut body = request.into_body();
                        let response = http::Response::builder()
                            .header("content-type", "application/grpc")
                            .body(())
                            .unwrap();
                        let mut send = respond.send_response(response, false).unwrap();
                        while let Some(Ok(data)) = body.data().await {
                            let _ = body.flow_control().release_capacity(data.len());
                            send.send_data(data, false).unwrap();
                        }
                        let mut trailers = http::HeaderMap::new();
                        trailers.insert("grpc-status", "0".parse().unwrap());
                        send.send_trailers(trailers).unwrap();
                    });
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_streams_both_ways_and_keeps_its_trailers() {
    let address = grpc_server().await;
    let front = Front::start(&streaming("grpc", &[address])).await;
    let mut h2 = Http2::connect(front.address, "api.test").await;
    let request = || {
        h2_request("POST", "https://api.test/orders/Service/Method")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap()
    };
    let answer = h2.request(request(), Some(b"\0\0\0\0\x03abc")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, b"\0\0\0\0\x03abc");
    assert_eq!(answer.header("trailer-grpc-status"), Some("0"));

    // A message comes back before the next is sent.
    let mut ready = h2.send.clone().ready().await.unwrap();
    let (response, mut send) = ready.send_request(request(), false).unwrap();
    send.send_data(Bytes::from_static(b"\0\0\0\0\x01a"), false)
        .unwrap();
    let mut received = response.await.unwrap().into_body();
    for next in [&b"\0\0\0\0\x01b"[..], b"\0\0\0\0\x01c"] {
        let data = received.data().await.unwrap().unwrap();
        assert_eq!(data.len(), 6);
        send.send_data(Bytes::from_static(next), false).unwrap();
    }
    assert_eq!(
        received.data().await.unwrap().unwrap(),
        &b"\0\0\0\0\x01c"[..]
    );
    send.send_data(Bytes::new(), true).unwrap();
    while received.data().await.is_some() {}
    assert_eq!(
        received.trailers().await.unwrap().unwrap()["grpc-status"],
        "0"
    );
    let line = front.line(|line| line["route"] == "orders").await;
    assert_eq!(line["body_inspected"], false);
}
