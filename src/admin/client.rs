//! The other end, for the verbs: one request, one answer.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::config::{AdminAddress, Token};

const TIME: Duration = Duration::from_secs(30);
/// No answer is larger than this many bytes.
const MOST: u64 = 64 << 20;

/// What the front door answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    #[must_use]
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks the front door at `address`. `method` is `GET` or `POST`.
///
/// # Errors
/// Nobody is there, or what answers does not speak HTTP.
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
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n{authorization}\r\n",
        body.len()
    );
    let request = [head.as_bytes(), body].concat();
    match address {
        AdminAddress::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, TIME)?;
            stream.set_read_timeout(Some(TIME))?;
            stream.set_write_timeout(Some(TIME))?;
            ask(stream, &request)
        }
        AdminAddress::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(TIME))?;
            stream.set_write_timeout(Some(TIME))?;
            ask(stream, &request)
        }
    }
}

fn ask(mut stream: impl Read + Write, request: &[u8]) -> io::Result<Answer> {
    stream.write_all(request)?;
    let mut raw = Vec::new();
    stream.take(MOST).read_to_end(&mut raw)?;
    parse(&raw).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer came"))
}

fn parse(raw: &[u8]) -> Option<Answer> {
    let end = memchr::memmem::find(raw, b"\r\n\r\n")?;
    let head = std::str::from_utf8(raw.get(..end)?).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    let length = lines
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length?.1.parse().ok()?;
    Some(Answer {
        status: status.parse().ok()?,
        // An answer that was cut is none.
        body: raw.get(end + 4..)?.get(..length)?.to_vec(),
    })
}
