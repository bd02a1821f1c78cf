//! A slow or hostile client of the console harms neither the listeners nor other clients of the console.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::console::Console;
use support::client::{connect, h2_request};

const TLS: &str =
    "hosts = [\"api.test\"]\ncertificates = [{ chain = \"front.pem\", key = \"front.key\" }]";

impl Console {
    /// A connection that sent this and goes no further.
    async fn stuck(&self, sent: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        stream
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_stand_still_keep_nobody_out() {
    let console = Console::start("read-only").await;
    let cookie = console.log_in("viewer").await;
    let fields = console.fields(&cookie);
    let mut stuck = Vec::new();
    for _ in 0..20 {
        for sent in [
            "".to_owned(),
            "GET /lo".to_owned(),
            format!("POST /login HTTP/1.1\r\n{fields}Content-Length: 1000\r\n\r\ncode="),
            format!("GET /live/stream HTTP/1.1\r\n{fields}\r\n"),
            // Answers that nobody reads.
            format!("GET /rules HTTP/1.1\r\n{fields}\r\n").repeat(200),
        ] {
            stuck.push(console.stuck(&sent).await);
        }
        assert_eq!(console.world.status_of("/orders/1").await, 200);
    }
    assert_eq!(console.get("/", &cookie).await.status, 200);
    assert_eq!(console.world.ask("GET", "/livez").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_client_is_bounded() {
    let console = Console::start_with(TLS).await;
    let page = |path: &str| {
        let request = h2_request("GET", &format!("https://api.test{path}"));
        request.body(()).unwrap()
    };
    // One that opens no window is answered as far as that goes, and holds no more than its streams.
    let mut closed = Vec::new();
    for _ in 0..4 {
        let tls = connect(console.address, Some("api.test"), b"\x02h2").await;
        let mut builder = h2::client::Builder::new();
        let shaken = builder.initial_window_size(0).handshake(tls.unwrap()).await;
        let (mut send, connection): (h2::client::SendRequest<Bytes>, _) = shaken.unwrap();
        tokio::spawn(connection);
        for _ in 0..8 {
            send = send.ready().await.unwrap();
            closed.push(send.send_request(page("/login"), true).unwrap());
        }
        closed.push(send.send_request(page("/assets/style.css"), true).unwrap());
    }
    // One that resets what it asks for is sent away.
    let tls = connect(console.address, Some("api.test"), b"\x02h2").await;
    let shaken = h2::client::handshake(tls.unwrap()).await;
    let (mut send, mut connection) = shaken.unwrap();
    let connection = tokio::spawn(async move {
        let ended = (&mut connection).await;
        // With its feature "unstable", h2 asserts when it is dropped that no stream is left, and here one may be.
        std::mem::forget(connection);
        ended
    });
    for _ in 0..100_000 {
        let Ok(ready) = send.ready().await else { break };
        send = ready;
        let Ok((_, mut stream)) = send.send_request(page("/login"), false) else {
            break;
        };
        stream.send_reset(h2::Reason::CANCEL);
        if connection.is_finished() {
            break;
        }
    }
    assert!(connection.await.unwrap().is_err(), "it resets on and on");
    let head = "GET /login HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n";
    let mut tls = connect(console.address, Some("api.test"), b"")
        .await
        .unwrap();
    tls.write_all(head.as_bytes()).await.unwrap();
    let mut said = String::new();
    let _ = tls.read_to_string(&mut said).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    assert_eq!(console.world.status_of("/orders/1").await, 200);
}
