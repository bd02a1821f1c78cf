//! A small HTTP/1.1 server that answers with what it received, as JSON.
//!
//! It stands for a gateway behind the front door. So it has a parser of its own and shares nothing with the front door:
//! a fault in a shared parser would hide itself. Its memory is bounded, whatever it receives.

use std::io;

use openssl::sha::Sha256;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::io::{AsyncWriteExt, BufReader};

/// The most bytes of a head, or of a body's trailers.
const HEAD_LIMIT: u64 = 64 * 1024;
/// The most bytes of a chunk's size line.
const CHUNK_LINE_LIMIT: u64 = 4096;
/// How many bytes of a body are shown; all bytes are counted and hashed.
const TEXT_LIMIT: usize = 16 * 1024;

/// Answers the requests of one connection, one after the other, until either side closes it.
///
/// # Errors
/// The connection failed, or the client sent what is not HTTP/1.x: that gets a 400 and is
/// [`io::ErrorKind::InvalidData`].
pub(super) async fn serve<S>(gateway: &str, stream: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::new(stream);
    loop {
        match exchange(gateway, &mut stream).await {
            Ok(Next::Request) => {}
            Ok(Next::Close) => break,
            Err(error) => {
                // After any other error the connection is gone, and nobody would read an answer.
                if error.kind() == io::ErrorKind::InvalidData {
                    let body = json!({ "gateway": gateway, "error": error.to_string() });
                    respond(&mut stream, "400 Bad Request", &body, true, Next::Close).await?;
                    stream.shutdown().await?;
                }
                return Err(error);
            }
        }
    }
    stream.shutdown().await
}

/// What follows a response on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Request,
    Close,
}

struct Head {
    method: String,
    target: String,
    /// In the order of arrival, names as they were sent.
    headers: Vec<(String, String)>,
    http_1_0: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
}

async fn exchange<S>(gateway: &str, stream: &mut BufReader<S>) -> io::Result<Next>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(head) = read_head(stream).await? else {
        return Ok(Next::Close);
    };
    let framing = head.framing()?;
    // curl waits a second for this before it sends a large body.
    if head.has_token("expect", "100-continue") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        stream.flush().await?;
    }
    let body = match framing {
        Framing::Length(length) => {
            let mut body = Body::default();
            body.read(stream, length).await?;
            body
        }
        Framing::Chunked => read_chunks(stream).await?,
    };
    let next = head.next();
    let answer = json!({
        "gateway": gateway,
        "method": head.method,
        "path": head.target,
        "headers": head.headers_as_json(),
        "body": body.into_json(),
    });
    respond(stream, "200 OK", &answer, head.method != "HEAD", next).await?;
    Ok(next)
}

async fn respond<S>(
    stream: &mut BufReader<S>,
    status: &str,
    answer: &Value,
    with_body: bool,
    next: Next,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let text = format!("{answer:#}\n");
    let connection = match next {
        Next::Request => "",
        Next::Close => "Connection: close\r\n",
    };
    let mut response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{connection}\r\n",
        text.len()
    );
    // HEAD gets the length of the body that GET would get (RFC 9110, 9.3.2).
    if with_body {
        response += &text;
    }
    stream.write_all(response.as_bytes()).await?;
    stream.flush().await
}

/// `None` if the client closed the connection instead of sending another request.
async fn read_head<S: AsyncBufRead + Unpin>(stream: &mut S) -> io::Result<Option<Head>> {
    // Beyond the limit the line has no end, and `read_line` fails.
    let mut stream = stream.take(HEAD_LIMIT);
    if stream.fill_buf().await?.is_empty() {
        return Ok(None);
    }
    let line = read_line(&mut stream).await?;
    let [method, target, protocol]: [&str; 3] = line
        .split(' ')
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| invalid("a request line has a method, a target and a protocol"))?;
    let http_1_0 = match protocol {
        "HTTP/1.1" => false,
        "HTTP/1.0" => true,
        _ => return Err(invalid("the protocol is not HTTP/1.x")),
    };
    let mut headers = Vec::new();
    loop {
        let line = read_line(&mut stream).await?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| invalid("a header has a colon"))?;
        // HTTP knows only these two around a value; `trim` would hide others that arrived.
        headers.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
    Ok(Some(Head {
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        http_1_0,
    }))
}

async fn read_chunks<S: AsyncBufRead + Unpin>(stream: &mut S) -> io::Result<Body> {
    let mut body = Body::default();
    loop {
        let line = read_line(&mut stream.take(CHUNK_LINE_LIMIT)).await?;
        let size = line.split(';').next().unwrap_or_default().trim_end();
        // `from_str_radix` alone would also take a plus sign.
        if size.is_empty() || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(invalid("a chunk begins with its size"));
        }
        match u64::from_str_radix(size, 16) {
            Ok(0) => break,
            Ok(size) => body.read(stream, size).await?,
            Err(_) => return Err(invalid("a chunk is too large")),
        }
        // Two bytes at most: what follows the CRLF belongs to the next chunk.
        if !read_line(&mut stream.take(2)).await?.is_empty() {
            return Err(invalid("a chunk ends in CRLF"));
        }
    }
    // Read and dropped, so that the next request begins at its first byte.
    let mut trailers = stream.take(HEAD_LIMIT);
    while !read_line(&mut trailers).await?.is_empty() {}
    Ok(body)
}

/// A line without its end. Bytes that are not UTF-8 become U+FFFD, because this server only displays them.
async fn read_line<S: AsyncBufRead + Unpin>(stream: &mut S) -> io::Result<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await?;
    match line.strip_suffix(b"\r\n") {
        Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
        None => Err(invalid("a line ends in CRLF, and is not too long")),
    }
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl Head {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        self.values(name)
            .flat_map(|value| value.split(','))
            .any(|t| t.trim().eq_ignore_ascii_case(token))
    }

    fn framing(&self) -> io::Result<Framing> {
        let lengths: Vec<&str> = self.values("content-length").collect();
        let codings: Vec<&str> = self.values("transfer-encoding").collect();
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Ok(Framing::Length(0)),
            // `parse` alone would also take a plus sign.
            ([length], []) if length.bytes().all(|b| b.is_ascii_digit()) => length
                .parse()
                .map(Framing::Length)
                .map_err(|_| invalid("Content-Length is not a number")),
            ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
            // Two lengths, or a length and a coding, are the means of request smuggling (RFC 9112, 6.3).
            _ => Err(invalid("the body's length is ambiguous")),
        }
    }

    fn next(&self) -> Next {
        // HTTP/1.0 closes after each answer unless both sides agree otherwise, and this server never does.
        if self.http_1_0 || self.has_token("connection", "close") {
            Next::Close
        } else {
            Next::Request
        }
    }

    /// A field that was sent several times has a list of values.
    fn headers_as_json(&self) -> Map<String, Value> {
        let mut map = Map::new();
        for (name, value) in &self.headers {
            match map.get_mut(name) {
                None => {
                    map.insert(name.clone(), value.as_str().into());
                }
                Some(Value::Array(values)) => values.push(value.as_str().into()),
                Some(first) => *first = json!([first.take(), value]),
            }
        }
        map
    }
}

/// What is shown of a body: its length, its hash and its beginning.
#[derive(Default)]
struct Body {
    length: u64,
    hash: Sha256,
    start: Vec<u8>,
}

impl Body {
    async fn read<S: AsyncBufRead + Unpin>(
        &mut self,
        stream: &mut S,
        length: u64,
    ) -> io::Result<()> {
        // Nothing is reserved for the length, which is only a claim.
        let mut left = length;
        while left > 0 {
            let buffer = stream.fill_buf().await?;
            if buffer.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let size = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let (bytes, _) = buffer.split_at(size);
            self.hash.update(bytes);
            let room = TEXT_LIMIT.saturating_sub(self.start.len());
            self.start.extend(bytes.iter().take(room));
            stream.consume(size);
            left -= size as u64;
        }
        self.length += length;
        Ok(())
    }

    fn into_json(self) -> Value {
        let sha256: String = self
            .hash
            .finish()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        json!({
            "length": self.length,
            "sha256": sha256,
            "text": String::from_utf8_lossy(&self.start),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `request`, closes, and returns all that comes back.
    async fn talk(request: Vec<u8>) -> String {
        let (mut client, server) = tokio::io::duplex(1024);
        let server = tokio::spawn(async move { serve("orders", server).await });
        let (mut reader, mut writer) = tokio::io::split(&mut client);
        let mut answer = Vec::new();
        let send = async {
            writer.write_all(&request).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let (_, read) = tokio::join!(send, reader.read_to_end(&mut answer));
        read.unwrap();
        let _ = server.await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    fn bodies(answer: &str) -> Vec<Value> {
        answer
            .split("HTTP/1.1 200 OK\r\n")
            .skip(1)
            .map(|one| serde_json::from_str(one.split_once("\r\n\r\n").unwrap().1).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn answers_with_what_it_received_and_keeps_the_connection() {
        let answer = talk(
            b"GET /orders/1?a=b HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-A: 2\r\n\r\n\
              POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc\
              POST /y HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nT: 1\r\n\r\n"
                .to_vec(),
        )
        .await;
        let bodies = bodies(&answer);
        assert_eq!(bodies.len(), 3, "{answer}");
        assert_eq!(bodies[0]["gateway"], "orders");
        assert_eq!(bodies[0]["path"], "/orders/1?a=b");
        assert_eq!(bodies[0]["headers"]["X-A"], json!(["1", "2"]));
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for body in &bodies[1..] {
            assert_eq!(body["body"]["length"], 3);
            assert_eq!(body["body"]["sha256"], abc);
            assert_eq!(body["body"]["text"], "abc");
        }
    }

    #[tokio::test]
    async fn counts_all_of_a_large_body_and_shows_its_start() {
        let size = 10 * 1024 * 1024;
        let mut request = format!("PUT / HTTP/1.1\r\nContent-Length: {size}\r\n\r\n").into_bytes();
        request.resize(request.len() + size, b'a');
        let answer = talk(request).await;
        let body = &bodies(&answer)[0]["body"];
        assert_eq!(body["length"], size);
        assert_eq!(body["text"].as_str().unwrap().len(), TEXT_LIMIT);
    }

    #[tokio::test]
    async fn refuses_bytes_that_are_not_http() {
        for request in [
            &b"hello\r\n\r\n"[..],
            b"GET / HTTP/2.0\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\nHost: h\n\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
        ] {
            let answer = talk(request.to_vec()).await;
            let shown = String::from_utf8_lossy(request);
            assert!(answer.starts_with("HTTP/1.1 400 "), "{shown}: {answer}");
        }
    }

    #[tokio::test]
    async fn head_has_no_body_and_close_is_honoured() {
        let answer =
            talk(b"HEAD / HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n".to_vec())
                .await;
        assert!(answer.ends_with("Connection: close\r\n\r\n"), "{answer}");
    }
}
