//! A TLS server that counts, reports what it got, and misbehaves when told to.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use openssl::ssl::Ssl;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_openssl::SslStream;

use crate::pki::ServerTls;

pub type Tls = SslStream<TcpStream>;

/// What it does with a request.
#[derive(Clone)]
pub enum Behaviour {
    /// Answers with what it got, as JSON.
    Echo,
    /// Answers with these bytes and closes.
    Raw(Vec<u8>),
    /// Answers once a connection; reads the next request on it, answers with these bytes and closes.
    Once(&'static [u8]),
    /// Answers with the files of this folder, and with an echo where there is none.
    Folder(PathBuf),
    /// Promises a body, sends half of it and closes.
    CloseMidBody,
    /// Accepts and never answers.
    Silent,
    /// Answers with these bytes and then says no more.
    Begins(&'static [u8]),
    /// Server-sent events, one every 20 ms, so many.
    Events(usize),
    /// Accepts the upgrade and sends back every byte.
    WebSocket,
    /// Answers as it is told to at the time.
    Steered(Arc<Steering>),
}

/// What a server answers from now on.
pub struct Steering {
    /// To `/healthz`.
    pub health: AtomicU16,
    /// To all else.
    pub status: AtomicU16,
    /// All else waits while somebody writes.
    pub hold: tokio::sync::RwLock<()>,
    /// How often all else was asked.
    pub asked: AtomicUsize,
}

impl Steering {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            health: 200.into(),
            status: 200.into(),
            hold: tokio::sync::RwLock::default(),
            asked: AtomicUsize::default(),
        })
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn status(&self, head: &[u8]) -> u16 {
        if head.starts_with(b"GET /healthz ") {
            return self.health.load(Ordering::SeqCst);
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        let _free = self.hold.read().await;
        self.status.load(Ordering::SeqCst)
    }
}

pub struct Upstream {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Upstream {
    pub async fn start(tls: ServerTls, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, tls, behaviour)
    }

    pub fn on(listener: TcpListener, tls: ServerTls, behaviour: Behaviour) -> Self {
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn({
            let (connections, requests) = (connections.clone(), requests.clone());
            async move {
                let acceptor = tls.acceptor();
                loop {
                    let (tcp, _) = listener.accept().await.unwrap();
                    connections.fetch_add(1, Ordering::SeqCst);
                    let ssl = Ssl::new(acceptor.context()).unwrap();
                    let (behaviour, requests) = (behaviour.clone(), requests.clone());
                    tokio::spawn(async move {
                        let mut stream = SslStream::new(ssl, tcp).unwrap();
                        if Pin::new(&mut stream).accept().await.is_ok() {
                            serve(stream, behaviour, requests).await;
                        }
                    });
                }
            }
        });
        Self {
            address,
            connections,
            requests,
            task,
        }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: Tls, behaviour: Behaviour, requests: Arc<AtomicUsize>) {
    let mut buffer = Vec::new();
    let mut answered = false;
    loop {
        let Some(head) = read_head(&mut stream, &mut buffer).await else {
            return;
        };
        requests.fetch_add(1, Ordering::SeqCst);
        match &behaviour {
            Behaviour::Echo => {
                let body = read_body(&mut stream, &mut buffer, &head).await;
                let answer = echo(&head, &body);
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
            Behaviour::Once(last) => {
                let body = read_body(&mut stream, &mut buffer, &head).await;
                if std::mem::replace(&mut answered, true) {
                    let _ = stream.write_all(last).await;
                    let _ = stream.shutdown().await;
                    return;
                }
                let mut answer = echo(&head, &body);
                if head.starts_with(b"HEAD ") {
                    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
                    answer.truncate(end + 4);
                }
                let _ = stream.write_all(&answer).await;
            }
            Behaviour::Folder(folder) => {
                let body = read_body(&mut stream, &mut buffer, &head).await;
                let answer = file(folder, &head).unwrap_or_else(|| echo(&head, &body));
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
            }
            Behaviour::Raw(bytes) => {
                let _ = read_body(&mut stream, &mut buffer, &head).await;
                let _ = stream.write_all(bytes).await;
                let _ = stream.shutdown().await;
                return;
            }
            Behaviour::CloseMidBody => {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf of it";
                let _ = stream.write_all(answer).await;
                let _ = stream.flush().await;
                return;
            }
            Behaviour::Steered(steering) => {
                let _ = read_body(&mut stream, &mut buffer, &head).await;
                let status = steering.status(&head).await;
                let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Behaviour::Silent => gone(&mut stream).await,
            Behaviour::Begins(bytes) => {
                let _ = stream.write_all(bytes).await;
                gone(&mut stream).await;
                return;
            }
            Behaviour::Events(count) => return events(stream, *count).await,
            Behaviour::WebSocket => return websocket(stream, &head).await,
        }
    }
}

/// Ends with the other side.
async fn gone(stream: &mut Tls) {
    while let Ok(1..) = stream.read(&mut [0; 1024]).await {}
}

async fn events(mut stream: Tls, count: usize) {
    let head =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head).await.unwrap();
    for n in 0..count {
        let event = format!("data: {n}\n\n");
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _ = stream.write_all(b"0\r\n\r\n").await;
    let _ = stream.shutdown().await;
}

async fn websocket(mut stream: Tls, head: &[u8]) {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    assert!(text.contains("upgrade: websocket"), "{text}");
    assert!(
        text.contains("sec-websocket-key: dGhl".to_ascii_lowercase().as_str()),
        "{text}"
    );
    let answer =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    stream.write_all(answer).await.unwrap();
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// The next head with its empty line; what follows stays in `buffer`. None if the client closed.
pub async fn read_head(stream: &mut Tls, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = buffer.split_off(end + 4);
            return Some(std::mem::replace(buffer, rest));
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

pub async fn read_body(stream: &mut Tls, buffer: &mut Vec<u8>, head: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    assert!(
        !text.contains("transfer-encoding"),
        "held bodies have a length: {text}"
    );
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |value| value.trim().parse().unwrap());
    while buffer.len() < length {
        if stream.read_buf(buffer).await.unwrap() == 0 {
            break;
        }
    }
    let rest = buffer.split_off(length.min(buffer.len()));
    std::mem::replace(buffer, rest)
}

fn file(folder: &Path, head: &[u8]) -> Option<Vec<u8>> {
    let head = String::from_utf8_lossy(head);
    let target = head.split(' ').nth(1)?.split('?').next()?;
    let bytes = std::fs::read(folder.join(target.trim_start_matches('/'))).ok()?;
    let length = bytes.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n");
    Some([head.into_bytes(), bytes].concat())
}

fn echo(head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut lines = head
        .split(|&b| b == b'\n')
        .map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    let line = lines.next().unwrap().escape_ascii().to_string();
    let headers: Vec<_> = lines
        .filter(|l| !l.is_empty())
        .map(|l| l.escape_ascii().to_string())
        .collect();
    let report = json!({
        "line": line,
        "headers": headers,
        "length": body.len(),
        "sha256": hex(&openssl::sha::sha256(body)),
    })
    .to_string();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{report}",
        report.len()
    )
    .into_bytes()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
