//! A gateway that sends the bytes it is told to, and a client that shows the bytes it gets.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use openssl::ssl::Ssl;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_openssl::SslStream;

use crate::client::connect;
use crate::pki::{self, CORP, ServerTls};
use crate::upstream::Tls;

pub struct Gateway {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

/// One connection to the gateway.
pub struct Connected {
    pub stream: Tls,
    pub buffer: Vec<u8>,
}

impl Gateway {
    /// `serve` is called for each connection.
    pub async fn start<F, S>(serve: S) -> Self
    where
        S: Fn(Connected) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::speaking(false, serve).await
    }

    pub async fn speaking<F, S>(h2: bool, serve: S) -> Self
    where
        S: Fn(Connected) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let tls = ServerTls {
            h2,
            ..ServerTls::new(pki::leaf(&CORP, "orders.corp.test"))
        };
        let task = tokio::spawn(async move {
            let acceptor = tls.acceptor();
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let ssl = Ssl::new(acceptor.context()).unwrap();
                let mut stream = SslStream::new(ssl, tcp).unwrap();
                if Pin::new(&mut stream).accept().await.is_ok() {
                    let buffer = Vec::new();
                    serving.spawn(serve(Connected { stream, buffer }));
                }
            }
        });
        Self {
            address,
            connections,
            task,
        }
    }

    /// Answers each request with these bytes; closes after each where `close`.
    pub async fn saying(bytes: impl Into<Vec<u8>>, close: bool) -> Self {
        let bytes: Arc<[u8]> = bytes.into().into();
        Self::start(move |mut connected| {
            let bytes = Arc::clone(&bytes);
            async move {
                while connected.request().await.is_some() {
                    if !connected.send(&bytes).await {
                        return;
                    }
                    if close {
                        return connected.close().await;
                    }
                }
            }
        })
        .await
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connected {
    pub async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = self.buffer.drain(..end + 4).collect();
                return Some(String::from_utf8(head).unwrap());
            }
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// A head and a body that has a length.
    pub async fn request(&mut self) -> Option<String> {
        let head = self.head().await?;
        let lower = head.to_ascii_lowercase();
        let length = lower
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |value| value.parse().unwrap());
        while self.buffer.len() < length {
            if self.stream.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
        self.buffer.drain(..length);
        Some(head)
    }

    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// With a close_notify, and until the other side has closed as well.
    pub async fn close(mut self) {
        let _ = self.stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = timeout(Duration::from_secs(5), self.stream.read_to_end(&mut rest)).await;
    }

    /// Without a close_notify.
    pub async fn cut(mut self) {
        let tcp = self.stream.get_mut();
        let _ = tcp.shutdown().await;
        let mut rest = [0; 1024];
        while let Ok(Ok(1..)) = timeout(Duration::from_secs(5), tcp.read(&mut rest)).await {}
    }
}

/// All bytes that a connection with this request gets, and whether it ended with a close_notify.
pub async fn all_bytes(front: SocketAddr, request: &[u8]) -> (Vec<u8>, bool) {
    let mut stream = connect(front, Some("api.test"), b"").await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    let read = timeout(Duration::from_secs(20), async {
        loop {
            match stream.read_buf(&mut bytes).await {
                Ok(0) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    });
    let ended = read.await.expect("the connection ends");
    (bytes, ended)
}

pub fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
