//! A client of the admin API, for the command line: one request and its answer.
//!
//! It reads only what our own server sends: HTTP/1.1 with a `Content-Length`, on a connection that ends after the
//! answer. An answer that was cut off is an error, never half an answer.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::config::{AdminAddress, Token};
use crate::unix_socket;

/// How long connecting, or one read or write, may take. A reload that takes longer goes on without this client.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of an answer. The surface and the status of thousands of routes fit.
const MAX_ANSWER: u64 = 64 << 20;

/// What the front door answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the status is a success.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a request to the front door at `address`. `method` is `GET` or `POST`. Blocks.
///
/// # Errors
/// Nobody listens there, the answer does not come in time, or it is not HTTP.
pub fn call(
    address: &AdminAddress,
    token: Option<&Token>,
    method: &str,
    path: &str,
    body: &[u8],
) -> io::Result<Answer> {
    let authorization = match token {
        Some(token) => format!("authorization: Bearer {}\r\n", token.reveal()),
        None => String::new(),
    };
    // The API answers for this host at every address, and at a unix socket.
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n{authorization}\r\n",
        body.len()
    );
    let request = [head.as_bytes(), body].concat();
    match address {
        AdminAddress::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, TIMEOUT)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            exchange(stream, &request)
        }
        AdminAddress::Unix(path) => {
            let stream = unix_socket::connect(path, TIMEOUT)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            exchange(stream, &request)
        }
    }
}

fn exchange(mut stream: impl Read + Write, request: &[u8]) -> io::Result<Answer> {
    stream.write_all(request).map_err(unix_socket::in_time)?;
    let mut raw = Vec::new();
    // We asked the server to close the connection, so the end of its answer is the end of the stream.
    let mut answer = stream.take(MAX_ANSWER);
    answer.read_to_end(&mut raw).map_err(unix_socket::in_time)?;
    parse(&raw).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

fn parse(raw: &[u8]) -> Option<Answer> {
    let end = memchr::memmem::find(raw, b"\r\n\r\n")?;
    let head = std::str::from_utf8(raw.get(..end)?).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    // Without a length a cut-off answer would look complete.
    let length = lines
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length?.1.parse().ok()?;
    Some(Answer {
        status: status.parse().ok()?,
        // None if the answer was cut off.
        body: raw.get(end + 4..)?.get(..length)?.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_front_door_that_does_not_answer_is_told_as_such() {
        let (client, _silent) = UnixStream::pair().unwrap();
        let short = Some(Duration::from_millis(20));
        client.set_read_timeout(short).unwrap();
        let error = exchange(client, b"GET / HTTP/1.1\r\n\r\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("does not answer"), "{error}");
    }
}
