//! HTTP/1.1 in raw bytes and HTTP/2, over TLS that trusts the public CA alone.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use openssl::ssl::{self, Ssl, SslConnector, SslMethod, SslVerifyMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use crate::pki::PUBLIC;

pub type Tls = SslStream<TcpStream>;

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    /// Nobody takes connections at the address.
    Tcp(io::Error),
    /// The front door ended the handshake, or its certificate is not trusted for the name.
    Tls(ssl::Error),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", self.body.escape_ascii()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub async fn connect(
    address: SocketAddr,
    sni: Option<&str>,
    alpn: &[u8],
) -> Result<Tls, ConnectError> {
    let ssl = client_ssl(sni, alpn);
    let tcp = TcpStream::connect(address).await;
    shake(ssl, tcp.map_err(ConnectError::Tcp)?).await
}

pub async fn connect_over(
    tcp: TcpStream,
    sni: Option<&str>,
    alpn: &[u8],
) -> Result<Tls, ConnectError> {
    shake(client_ssl(sni, alpn), tcp).await
}

fn client_ssl(sni: Option<&str>, alpn: &[u8]) -> Ssl {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    let store = builder.cert_store_mut();
    store.add_cert(PUBLIC.certificate().clone()).unwrap();
    if !alpn.is_empty() {
        builder.set_alpn_protos(alpn).unwrap();
    }
    let mut configuration = builder.build().configure().unwrap();
    if sni.is_none() {
        configuration.set_use_server_name_indication(false);
        configuration.set_verify_hostname(false);
        configuration.set_verify(SslVerifyMode::NONE);
    }
    configuration
        .into_ssl(sni.unwrap_or("unused.test"))
        .unwrap()
}

async fn shake(ssl: Ssl, tcp: TcpStream) -> Result<Tls, ConnectError> {
    tcp.set_nodelay(true).unwrap();
    let mut stream = SslStream::new(ssl, tcp).unwrap();
    let shaken = Pin::new(&mut stream).connect().await;
    shaken.map_err(ConnectError::Tls)?;
    Ok(stream)
}

/// One request in raw bytes on a connection of its own.
pub async fn raw(address: SocketAddr, request: &[u8]) -> Option<Answer> {
    let mut stream = connect(address, Some("api.test"), b"").await.unwrap();
    stream.write_all(request).await.unwrap();
    read_answer(&mut stream, &mut Vec::new(), false).await
}

pub async fn get(address: SocketAddr, target: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n\r\n");
    raw(address, request.as_bytes()).await.unwrap()
}

/// None where the connection closed before a whole head came.
pub async fn read_answer(stream: &mut Tls, buffer: &mut Vec<u8>, head: bool) -> Option<Answer> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(buffer).await.unwrap_or(0) == 0 {
            return None;
        }
    };
    let rest = buffer.split_off(end);
    let text = String::from_utf8(std::mem::replace(buffer, rest)).unwrap();
    let mut lines = text.lines();
    let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut answer = Answer {
        status,
        headers,
        body: Vec::new(),
    };
    if (100..200).contains(&status) && status != 101 {
        return Box::pin(read_answer(stream, buffer, head)).await;
    }
    if head || [101, 204, 304].contains(&status) {
        return Some(answer);
    }
    if let Some(length) = answer.header("content-length") {
        let length: usize = length.parse().unwrap();
        while buffer.len() < length && stream.read_buf(buffer).await.unwrap_or(0) > 0 {}
        let rest = buffer.split_off(length.min(buffer.len()));
        answer.body = std::mem::replace(buffer, rest);
    } else {
        while stream.read_buf(buffer).await.unwrap_or(0) > 0 {
            if buffer.ends_with(b"0\r\n\r\n") {
                break;
            }
        }
        answer.body = std::mem::take(buffer);
    }
    Some(answer)
}

/// An HTTP/2 connection.
pub struct Http2 {
    pub send: h2::client::SendRequest<Bytes>,
}

impl Http2 {
    pub async fn connect(address: SocketAddr, sni: &str) -> Self {
        let stream = connect(address, Some(sni), b"\x02h2").await.unwrap();
        assert_eq!(stream.ssl().selected_alpn_protocol(), Some(&b"h2"[..]));
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(1 << 20)
            .handshake(stream)
            .await
            .unwrap();
        tokio::spawn(connection);
        Self { send }
    }

    /// Err where the request was not sent, for the connection is about to end.
    pub async fn try_request(&mut self, request: http::Request<()>) -> Result<Answer, h2::Error> {
        let mut ready = self.send.clone().ready().await?;
        let sent = ready.send_request(request, true)?;
        Ok(Self::finish(sent, None).await)
    }

    pub async fn request(&mut self, request: http::Request<()>, body: Option<&[u8]>) -> Answer {
        let mut ready = self.send.clone().ready().await.unwrap();
        let sent = ready.send_request(request, body.is_none()).unwrap();
        Self::finish(sent, body).await
    }

    async fn finish(
        (response, mut stream): (h2::client::ResponseFuture, h2::SendStream<Bytes>),
        body: Option<&[u8]>,
    ) -> Answer {
        let sending = async {
            let mut left = body.unwrap_or_default();
            while !left.is_empty() {
                stream.reserve_capacity(left.len().min(64 * 1024));
                let Some(Ok(capacity)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await
                else {
                    return;
                };
                let (now, later) = left.split_at(capacity.min(left.len()));
                left = later;
                if stream
                    .send_data(Bytes::copy_from_slice(now), left.is_empty())
                    .is_err()
                {
                    return;
                }
            }
            if body.is_some_and(<[u8]>::is_empty) {
                let _ = stream.send_data(Bytes::new(), true);
            }
        };
        let (response, ()) = tokio::join!(response, sending);
        let (parts, mut received) = response.unwrap().into_parts();
        let mut body = Vec::new();
        while let Some(Ok(chunk)) = received.data().await {
            let _ = received.flow_control().release_capacity(chunk.len());
            body.extend_from_slice(&chunk);
        }
        let mut headers: Vec<_> = parts
            .headers
            .iter()
            .map(|(n, v)| {
                (
                    n.to_string(),
                    String::from_utf8_lossy(v.as_bytes()).into_owned(),
                )
            })
            .collect();
        if let Ok(Some(trailers)) = received.trailers().await {
            let trailers = trailers.iter();
            headers.extend(
                trailers.map(|(n, v)| (format!("trailer-{n}"), v.to_str().unwrap().to_owned())),
            );
        }
        Answer {
            status: parts.status.as_u16(),
            headers,
            body,
        }
    }
}

pub fn h2_request(method: &str, uri: &str) -> http::request::Builder {
    http::Request::builder().method(method).uri(uri)
}
