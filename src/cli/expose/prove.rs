//! Sends a request to a listener as a client would, to see whether an exposure is really on or off.
//!
//! A real connection, because the admin API only knows what the switch says. The certificate is shown but does not
//! decide: the question is whether the listener answers, and nothing secret is sent.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were found in the same list"
)]

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVerifyMode};
use openssl::x509::X509VerifyResult;
use serde::Serialize;

use crate::exposure::api::ExposedRoute;

/// How long connecting, or one read or write, may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes to read: enough for a head.
const MAX_HEAD: u64 = 64 * 1024;

/// What a client sees of one route on one listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Proof {
    pub(super) listener: String,
    pub(super) route: String,
    /// `GET https://api.example.com/orders/ at 192.0.2.1:443`
    pub(super) request: String,
    /// The status line, or what came instead.
    pub(super) seen: String,
    pub(super) retry_after: Option<String>,
    /// Whether this machine trusts the certificate; it does not decide.
    pub(super) certificate: Option<String>,
    pub(super) as_expected: bool,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.listener, self.request, self.seen)?;
        if let Some(after) = &self.retry_after {
            write!(f, ", Retry-After {after}")?;
        }
        if let Some(certificate) = &self.certificate {
            write!(f, ", {certificate}")?;
        }
        match self.as_expected {
            true => Ok(()),
            false => f.write_str(" (not what was expected)"),
        }
    }
}

/// The result of a request.
enum Seen {
    /// The head's lines.
    Answer(Vec<String>),
    /// The handshake succeeded, then the listener closed the connection without an answer.
    Closed,
    Failed(String),
}

/// Sends a request for one route. `off` is the answer of its exposure while it is off.
pub(super) fn prove(pair: &ExposedRoute, off: &str, on: bool) -> Proof {
    let url = format!("{} https://{}{}", pair.method, pair.host, pair.path);
    let mut certificate = None;
    let (request, seen) = match pair.address {
        Some(address) => (
            format!("{url} at {address}"),
            send_request(pair, address, &mut certificate)
                .unwrap_or_else(|error| Seen::Failed(error.to_string())),
        ),
        None => (url, Seen::Failed("the listener is not bound".to_owned())),
    };
    let refused = match &seen {
        Seen::Answer(lines) => status(lines) == Some(off),
        Seen::Closed => off == "close",
        // A listener that nobody reaches proves nothing about the switch.
        Seen::Failed(_) => false,
    };
    // If off means 404, it cannot be told from a 404 of the gateway, so any answer counts as reached.
    let reached = matches!(&seen, Seen::Answer(_)) && (!refused || off == "404");
    let retry_after = match &seen {
        Seen::Answer(lines) => lines.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let found = name.eq_ignore_ascii_case("retry-after");
            found.then(|| value.trim().to_owned())
        }),
        _ => None,
    };
    Proof {
        listener: pair.listener.clone(),
        route: pair.route.clone(),
        request,
        seen: match seen {
            Seen::Answer(lines) => lines.into_iter().next().unwrap_or_default(),
            Seen::Closed => "closed without an answer".to_owned(),
            Seen::Failed(why) => why,
        },
        retry_after,
        certificate,
        as_expected: if on { reached } else { refused },
    }
}

fn status(lines: &[String]) -> Option<&str> {
    lines.first()?.split(' ').nth(1)
}

/// Where distributions store the CAs that the machine trusts. Our OpenSSL is compiled in and does not know these
/// places.
const SYSTEM_CA_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

fn load_system_cas(connector: &mut SslConnectorBuilder) {
    // OpenSSL has already loaded the file that this variable names.
    if std::env::var_os("SSL_CERT_FILE").is_some() {
        return;
    }
    if let Some(file) = SYSTEM_CA_FILES.iter().find(|file| Path::new(file).exists()) {
        // If the file cannot be read, no CA is trusted, and the proof says that the certificate is not verified.
        let _ = connector.set_ca_file(file);
    }
}

fn send_request(
    pair: &ExposedRoute,
    address: std::net::SocketAddr,
    certificate: &mut Option<String>,
) -> io::Result<Seen> {
    let mut connector = SslConnector::builder(SslMethod::tls_client())?;
    load_system_cas(&mut connector);
    // A certificate that is not trusted must not end the handshake; the result of verification is shown below.
    connector.set_verify(SslVerifyMode::NONE);
    let tcp = TcpStream::connect_timeout(&address, TIMEOUT)?;
    tcp.set_read_timeout(Some(TIMEOUT))?;
    tcp.set_write_timeout(Some(TIMEOUT))?;
    let mut stream = match connector.build().connect(&pair.host, tcp) {
        Ok(stream) => stream,
        Err(error) => return Ok(Seen::Failed(format!("the handshake failed: {error}"))),
    };
    *certificate = Some(match stream.ssl().verify_result() {
        X509VerifyResult::OK => format!("certificate verified for {}", pair.host),
        result => format!("certificate not verified: {}", result.error_string()),
    });
    let length = match pair.method.as_str() {
        // RFC 9110, 8.6: these methods need a Content-Length even without a body.
        "POST" | "PUT" | "PATCH" => "Content-Length: 0\r\n",
        _ => "",
    };
    write!(
        stream,
        "{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: drawbridge-expose\r\nAccept: */*\r\n{length}Connection: close\r\n\r\n",
        pair.method, pair.path, pair.host
    )?;
    let mut raw = Vec::new();
    // Only the head is read: a stream's answer would never end.
    let mut limited = stream.take(MAX_HEAD);
    let mut chunk = [0; 4096];
    while memchr::memmem::find(&raw, b"\r\n\r\n").is_none() {
        match limited.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => raw.extend_from_slice(&chunk[..read]),
            // A connection that ends without close_notify is closed too: an abrupt end is what `off = "close"` may look
            // like.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
            // The answer takes too long: a read past its time is `WouldBlock` on Unix.
            Err(error) => return Err(error),
        }
    }
    if raw.is_empty() {
        return Ok(Seen::Closed);
    }
    let head = String::from_utf8_lossy(&raw);
    let lines = head.split("\r\n").take_while(|line| !line.is_empty());
    // A terminal shows this, so control characters from the network must not reach it.
    let shown = lines.map(|line| line.chars().filter(|c| !c.is_control()).collect());
    Ok(Seen::Answer(shown.collect()))
}
