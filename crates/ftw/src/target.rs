//! Plays tests against a server: a raw client, and a log that is read as go-ftw does.
//!
//! Before and after each request it sends a marker request, whose `X-CRS-Test` header a rule writes into the log. What
//! is between the two markers belongs to the request. So tests run one after the other.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use regex::bytes::Regex;

use super::{Outcome, Play, Stage, TestId};
use http_strict::split_port;

/// The time that a server may take for a part of its answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that are read of an answer, or of the log between two markers.
const MOST: u64 = 64 * 1024 * 1024;
/// How often a marker is sent until it is in the log, and how long each is waited for: logs are written with a delay.
const MARKERS: u32 = 20;
const MARKER_WAIT: Duration = Duration::from_millis(500);
/// Interim answers that are read before the final one, as many as the front door lets a gateway send.
const MOST_INTERIM: usize = 32;
/// The time that a server may take to close after its client has.
const END_WAIT: Duration = Duration::from_secs(1);

/// A server somewhere, and its log.
pub struct Target {
    host: String,
    port: u16,
    tls: Option<Box<dyn StartTls>>,
    log: PathBuf,
    /// Makes markers differ from those of other runs.
    run: String,
    /// Where the line of the last marker ends. While nothing follows it, it also begins the next request, which saves a
    /// marker.
    marked: AtomicU64,
    /// A marker did not appear, so no other will; the remaining tests are not sent.
    lost: AtomicBool,
}

/// Speaks TLS with a server. This crate has no TLS of its own: its user chooses the library and what is verified.
pub trait StartTls: Send + Sync {
    /// Shakes hands over `socket`; `host` is the name or address in the URL.
    ///
    /// # Errors
    /// The handshake fails.
    fn start(&self, host: &str, socket: TcpStream) -> io::Result<Box<dyn Connection>>;
}

/// A connection to a server.
pub trait Connection: Read + Write {
    /// Ends the sending side, and returns the socket below.
    fn close(&mut self) -> &TcpStream;
}

/// No TLS: `https` URLs fail.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTls;

/// Why a target cannot be tested.
#[derive(Debug)]
pub enum TargetError {
    /// The URL is neither an https nor an http URL.
    Scheme(String),
    /// What stands where a host and a port belong is neither.
    Authority(String),
    /// The URL's port is no number from 0 to 65535.
    Port(String),
    /// The server's log cannot be read.
    Log {
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Target {
    /// `url` is `https://HOST[:PORT]` or `http://HOST[:PORT]`; `tls` makes the connections of the former.
    ///
    /// # Errors
    /// The URL is none of these forms, or the log cannot be read.
    pub fn new(url: &str, log: &Path, tls: Box<dyn StartTls>) -> Result<Self, TargetError> {
        let (https, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(TargetError::Scheme(url.to_owned())),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split_port(authority.as_bytes())
            .filter(|_| http_strict::valid_authority(authority.as_bytes()))
            .ok_or_else(|| TargetError::Authority(authority.to_owned()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let port = match port {
            Some(port) => text(port)
                .parse()
                .map_err(|_| TargetError::Port(url.to_owned()))?,
            None if https => 443,
            None => 80,
        };
        File::open(log).map_err(|source| TargetError::Log {
            path: log.to_owned(),
            source,
        })?;
        let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Ok(Self {
            // The brackets of an IPv6 address belong to the URL, not to the address.
            host: text(host).trim_matches(['[', ']']).to_owned(),
            port,
            tls: https.then_some(tls),
            log: log.to_owned(),
            run: letters(&format!(
                "{}-{}",
                std::process::id(),
                started.map_or(0, |d| d.as_millis())
            )),
            // No log has this length, so the first request gets a marker.
            marked: AtomicU64::new(u64::MAX),
            lost: AtomicBool::new(false),
        })
    }

    /// Sends bytes on a new connection. The answer may be empty.
    fn send(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect((self.host.as_str(), self.port))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        // Otherwise small requests may wait for the acknowledgement of earlier ones.
        stream.set_nodelay(true)?;
        match &self.tls {
            None => exchange(&mut stream, request),
            Some(tls) => exchange(&mut *tls.start(&self.host, stream)?, request),
        }
    }

    /// Sends a marker until it is in the log after `from`. Returns where its line begins and ends.
    fn mark(&self, from: u64, marker: &str) -> io::Result<(u64, u64)> {
        let request = format!(
            "GET /status/200 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: drawbridge rules test\r\nAccept: */*\r\n\
             X-CRS-Test: {marker}\r\nConnection: close\r\n\r\n"
        );
        for _ in 0..MARKERS {
            self.send(request.as_bytes())?;
            let until = Instant::now() + MARKER_WAIT;
            loop {
                if let Some(place) = find_marker(&self.read_log(from, None)?, marker) {
                    return Ok((from + place.0, from + place.1));
                }
                if Instant::now() >= until {
                    break;
                }
                thread::sleep(Duration::from_millis(2));
            }
        }
        Err(io::Error::other(format!(
            "the marker does not appear in {}: is it the server's log, and is there a rule that logs X-CRS-Test?",
            self.log.display()
        )))
    }

    fn read_log(&self, from: u64, to: Option<u64>) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.log)?;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        let most = to.map_or(MOST, |to| to.saturating_sub(from).min(MOST));
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn try_play(&self, id: &TestId, number: usize, stage: &Stage) -> io::Result<Outcome> {
        let marker = format!("drawbridge-{}-{}-{}-{number}", self.run, id.rule, id.test);
        let length = std::fs::metadata(&self.log)?.len();
        // Relaxed is enough, because one test runs at a time (`concurrent`).
        let from = match self.marked.load(Ordering::Relaxed) == length {
            true => length,
            false => self.mark(length, &format!("{marker}-start"))?.1,
        };
        // A server that does not answer is an outcome, not a problem.
        let answer = self.send(&stage.request());
        let (to, end) = self.mark(from, &format!("{marker}-end"))?;
        self.marked.store(end, Ordering::Relaxed);
        let log: Vec<Vec<u8>> = self
            .read_log(from, Some(to))?
            .split(|&b| b == b'\n')
            // `mark` may have sent several. Those that come late belong to no request.
            .filter(|line| !line.is_empty() && !is_marker(line))
            .map(<[u8]>::to_vec)
            .collect();
        let note = answer.as_ref().err().map(ToString::to_string);
        let response = answer.unwrap_or_default();
        Ok(Outcome {
            status: status(&response),
            ids: rule_ids(&log),
            response,
            log,
            note,
        })
    }
}

impl Play for Target {
    fn play(&self, id: &TestId, number: usize, stage: &Stage) -> Outcome {
        let failed = |note: String| Outcome {
            note: Some(note),
            ..Outcome::default()
        };
        if self.lost.load(Ordering::Relaxed) {
            return failed("not sent".to_owned());
        }
        self.try_play(id, number, stage).unwrap_or_else(|error| {
            self.lost.store(true, Ordering::Relaxed);
            // At once, because the report comes after all tests.
            eprintln!("drawbridge: {id}: {error}");
            failed(error.to_string())
        })
    }

    /// One log cannot tell requests apart that overlap.
    fn concurrent(&self) -> bool {
        false
    }
}

impl std::fmt::Display for TargetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Scheme(url) => write!(f, "{url:?} is neither an https nor an http URL"),
            Self::Authority(authority) => write!(f, "{authority:?} is not HOST:PORT"),
            Self::Port(url) => write!(f, "{url:?} has no port"),
            Self::Log { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for TargetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Log { source, .. } => Some(source),
            Self::Scheme(_) | Self::Authority(_) | Self::Port(_) => None,
        }
    }
}

impl StartTls for NoTls {
    fn start(&self, _host: &str, _socket: TcpStream) -> io::Result<Box<dyn Connection>> {
        let problem = "an https URL needs a TLS client";
        Err(io::Error::new(io::ErrorKind::Unsupported, problem))
    }
}

impl Connection for TcpStream {
    fn close(&mut self) -> &TcpStream {
        self
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("https", &self.tls.is_some())
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

/// Replaces digits by letters: a log that masks card numbers would take a long number for one.
fn letters(text: &str) -> String {
    let letter = |c: char| match u8::try_from(c) {
        Ok(digit @ b'0'..=b'9') => char::from(digit - b'0' + b'a'),
        _ => c,
    };
    text.chars().map(letter).collect()
}

/// Where the line of a marker begins and ends, its line end included.
fn find_marker(log: &[u8], marker: &str) -> Option<(u64, u64)> {
    let mut start = 0;
    for line in log.split_inclusive(|&b| b == b'\n') {
        let end = start + line.len() as u64;
        let whole = line.ends_with(b"\n");
        // A line without its end is still being written.
        if whole && is_marker(line) && memchr::memmem::find(line, marker.as_bytes()).is_some() {
            return Some((start, end));
        }
        start = end;
    }
    None
}

fn is_marker(line: &[u8]) -> bool {
    memchr::memmem::find(&line.to_ascii_lowercase(), b"x-crs-test").is_some()
}

/// The rules of log lines: `[id "942100"]`, or a JSON record's `"id"` or `"ruleId"`.
fn rule_ids(log: &[Vec<u8>]) -> Vec<u64> {
    static TEXT: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"\[(?:id |\\?"id\\?":)\\?"([0-9]+)\\?"\]"#).ok());
    static JSON: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"[{,]\s*"(?:id|ruleId)":\s*"?([0-9]+)"#).ok());
    let (Some(text), Some(json)) = (&*TEXT, &*JSON) else {
        return Vec::new();
    };
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse().ok();
    let mut ids: Vec<u64> = log
        .iter()
        .flat_map(|line| {
            // A line of the text form comes first: it may quote a client's JSON.
            let regex = if text.is_match(line) { text } else { json };
            let found = regex.captures_iter(line);
            found
                .filter_map(|c| number(c.get(1)?.as_bytes()))
                .collect::<Vec<u64>>()
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Writes the request, reads the answer and ends the connection.
fn exchange(stream: &mut dyn Connection, request: &[u8]) -> io::Result<Vec<u8>> {
    let answer = ask(stream, request);
    end(stream);
    answer
}

/// Writes the request and reads the answer until it is complete, or the server closes or sends no more.
fn ask(stream: &mut dyn Connection, request: &[u8]) -> io::Result<Vec<u8>> {
    // A server may answer and close before it has read everything; then the answer counts, not the error.
    let written = stream.write_all(request).and_then(|()| stream.flush());
    let head_only = request.starts_with(b"HEAD ");
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while !is_whole(&answer, head_only) && (answer.len() as u64) < MOST {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(buffer.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A server that closes on unread bytes resets the connection, often right after its answer (RFC 9112, 9.6).
            Err(_) if !answer.is_empty() => break,
            // If the write failed as well, it failed first.
            Err(error) => return Err(written.err().unwrap_or(error)),
        }
    }
    Ok(answer)
}

/// Closes this side and waits for the other. A server closes when it has finished with the request and its log, and the
/// next marker must not overtake that. Errors mean that it has closed.
fn end(stream: &mut dyn Connection) {
    let tcp = stream.close();
    let _ = tcp.shutdown(Shutdown::Write);
    let _ = tcp.set_read_timeout(Some(END_WAIT));
    let _ = io::copy(&mut stream.take(MOST), &mut io::sink());
}

/// The status of the first head that is not interim.
fn status(answer: &[u8]) -> Option<u16> {
    let (head, _) = split_head(skip_interim(answer)?)?;
    parse_status(head)
}

fn is_whole(answer: &[u8], head_only: bool) -> bool {
    // A server may send interim answers without end, so nothing more is read after too many.
    let Some(answer) = skip_interim(answer) else {
        return true;
    };
    let Some((head, body)) = split_head(answer) else {
        return false;
    };
    match parse_status(head) {
        None => return false,
        // Neither has a body, whatever its fields say (RFC 9112, 6.3).
        Some(204 | 304) => return true,
        Some(_) if head_only => return true,
        Some(_) => {}
    }
    let lower = head.to_ascii_lowercase();
    let field = |name: &[u8]| {
        lower
            .split(|&b| b == b'\n')
            .find_map(|line| line.strip_prefix(name))
            .and_then(|value| std::str::from_utf8(value).ok())
            .map(str::trim)
    };
    match (field(b"transfer-encoding:"), field(b"content-length:")) {
        // Not exact, but enough to stop waiting: the server closes the connection anyway.
        (Some(_), _) => body.ends_with(b"0\r\n\r\n"),
        (None, Some(length)) => length
            .parse()
            .is_ok_and(|length: usize| body.len() >= length),
        (None, None) => false,
    }
}

/// What follows the interim answers; None if there are more than [`MOST_INTERIM`].
fn skip_interim(mut answer: &[u8]) -> Option<&[u8]> {
    for _ in 0..=MOST_INTERIM {
        match split_head(answer) {
            // 101 is no interim answer: another protocol follows it.
            Some((head, rest)) if matches!(parse_status(head), Some(100 | 102..200)) => {
                answer = rest;
            }
            _ => return Some(answer),
        }
    }
    None
}

fn split_head(answer: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memmem::find(answer, b"\r\n\r\n")?;
    // With the end of its last line, so that every line of the head has one.
    Some((answer.get(..end + 2)?, answer.get(end + 4..)?))
}

fn parse_status(head: &[u8]) -> Option<u16> {
    let digits = head.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_where_their_framing_says() {
        for (answer, head_only, whole, code) in [
            ("", false, false, None),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na",
                false,
                false,
                Some(200),
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab",
                false,
                true,
                Some(200),
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
                true,
                true,
                Some(200),
            ),
            ("HTTP/1.1 204 No\r\n\r\n", false, true, Some(204)),
            ("HTTP/1.1 100 Continue\r\n\r\n", false, false, None),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
                false,
                true,
                Some(403),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
                false,
                true,
                Some(200),
            ),
            ("HTTP/1.1 200 OK\r\n\r\nabc", false, false, Some(200)),
        ] {
            assert_eq!(is_whole(answer.as_bytes(), head_only), whole, "{answer:?}");
            assert_eq!(status(answer.as_bytes()), code, "{answer:?}");
        }
    }

    #[test]
    fn interim_answers_are_bounded() {
        let answer = |interim: usize| {
            let heads = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(interim);
            heads + "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
        };
        for (interim, code) in [(MOST_INTERIM, Some(403)), (1_000_000, None)] {
            let answer = answer(interim);
            assert_eq!(status(answer.as_bytes()), code, "{interim}");
            // Nothing more is read of an answer that has too many.
            assert!(is_whole(answer.as_bytes(), false), "{interim}");
        }
        let endless = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(MOST_INTERIM + 1);
        assert!(is_whole(endless.as_bytes(), false));
    }

    #[test]
    fn rules_are_read_from_log_lines() {
        let log = [
            &br#"x [id "942100"] [msg "y"] [id "1"]"#[..],
            br#"{"transaction":{"messages":[{"details":{"match":"","ruleId":"920350"}}]}}"#,
            br#"{"line": "[id \"77\"]"}"#,
            b"nothing",
        ];
        let log: Vec<Vec<u8>> = log.iter().map(|line| line.to_vec()).collect();
        assert_eq!(rule_ids(&log), [1, 77, 920_350, 942_100]);
    }

    #[test]
    fn markers_are_whole_lines() {
        assert_eq!(letters("907-12"), "jah-bc");
        let log = b"one\n[msg \"X-CRS-Test m-1-start\"]\ntwo\n[msg \"x-crs-test m-1-end\"]";
        assert_eq!(find_marker(log, "m-1-start"), Some((4, 33)));
        assert_eq!(find_marker(log, "m-1-end"), None, "its line is not whole");
    }

    #[test]
    fn urls_are_checked() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let log = file.path();
        for (url, good) in [
            ("https://localhost:8443", true),
            ("https://[::1]:8443/", true),
            ("http://localhost", true),
            ("localhost:8443", false),
            ("https://localhost/path", false),
            ("https://a b", false),
            ("https://", false),
        ] {
            assert_eq!(
                Target::new(url, log, Box::new(NoTls)).is_ok(),
                good,
                "{url}"
            );
        }
        let nowhere = Path::new("/nowhere/log");
        assert!(Target::new("http://localhost", nowhere, Box::new(NoTls)).is_err());
    }
}
