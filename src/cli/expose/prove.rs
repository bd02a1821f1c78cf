//! A call to a listener as a client would make it: what is refused is seen to be refused.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVerifyMode};
use openssl::x509::X509VerifyResult;
use serde::Serialize;

use crate::exposure::api::ExposedRoute;

const TIME: Duration = Duration::from_secs(10);
/// A head is enough.
const MOST: u64 = 64 * 1024;

/// What a client saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Proof {
    pub listener: String,
    pub route: String,
    /// `GET https://api.example.com/orders/ at 192.0.2.1:443`
    pub request: String,
    /// The status line, or what came instead.
    pub seen: String,
    pub retry_after: Option<String>,
    /// Whether this machine trusts the certificate that was shown; it does not decide.
    pub certificate: Option<String>,
    pub as_expected: bool,
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

/// What a call saw.
enum Seen {
    /// The head's lines.
    Answer(Vec<String>),
    /// The handshake was completed, then nothing came.
    Closed,
    Failed(String),
}

/// Calls one pair. `off` is what its exposure answers when it is off.
pub(super) fn prove(pair: &ExposedRoute, off: &str, on: bool) -> Proof {
    let url = format!("{} https://{}{}", pair.method, pair.host, pair.path);
    let mut certificate = None;
    let (request, seen) = match pair.address {
        Some(address) => (
            format!("{url} at {address}"),
            call(pair, address, &mut certificate)
                .unwrap_or_else(|why| Seen::Failed(why.to_string())),
        ),
        None => (url, Seen::Failed("the listener is not bound".to_owned())),
    };
    let refused = match &seen {
        Seen::Answer(lines) => status(lines) == Some(off),
        Seen::Closed => off == "close",
        Seen::Failed(_) => false,
    };
    // A gateway may say 404 of its own.
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

/// Where distributions keep the CAs that the machine trusts; OpenSSL is ours and does not know.
const TRUSTED: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

fn trust_what_the_machine_trusts(connector: &mut SslConnectorBuilder) {
    // `SSL_CERT_FILE` was honoured already.
    if std::env::var_os("SSL_CERT_FILE").is_some() {
        return;
    }
    if let Some(file) = TRUSTED.iter().find(|file| Path::new(file).exists()) {
        // What cannot be read trusts nobody, which is told.
        let _ = connector.set_ca_file(file);
    }
}

fn call(
    pair: &ExposedRoute,
    address: std::net::SocketAddr,
    certificate: &mut Option<String>,
) -> io::Result<Seen> {
    let mut connector = SslConnector::builder(SslMethod::tls_client())?;
    trust_what_the_machine_trusts(&mut connector);
    // Whether it answers is asked, and nothing secret is sent; who it is, is told and does not decide.
    connector.set_verify(SslVerifyMode::NONE);
    let tcp = TcpStream::connect_timeout(&address, TIME)?;
    tcp.set_read_timeout(Some(TIME))?;
    tcp.set_write_timeout(Some(TIME))?;
    let mut stream = match connector.build().connect(&pair.host, tcp) {
        Ok(stream) => stream,
        Err(error) => return Ok(Seen::Failed(format!("the handshake failed: {error}"))),
    };
    *certificate = Some(match stream.ssl().verify_result() {
        X509VerifyResult::OK => format!("certificate verified for {}", pair.host),
        result => format!("certificate not verified: {}", result.error_string()),
    });
    let length = match pair.method.as_str() {
        "POST" | "PUT" | "PATCH" => "Content-Length: 0\r\n",
        _ => "",
    };
    write!(
        stream,
        "{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: drawbridge-expose\r\nAccept: */*\r\n{length}Connection: close\r\n\r\n",
        pair.method, pair.path, pair.host
    )?;
    let mut raw = Vec::new();
    let mut limited = stream.take(MOST);
    let mut chunk = [0; 4096];
    while memchr::memmem::find(&raw, b"\r\n\r\n").is_none() {
        match limited.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => raw.extend_from_slice(&chunk[..read]),
            // Closed without a farewell is closed.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    if raw.is_empty() {
        return Ok(Seen::Closed);
    }
    let head = String::from_utf8_lossy(&raw);
    let lines = head.split("\r\n").take_while(|line| !line.is_empty());
    // What comes from outside is shown on a terminal.
    let shown = lines.map(|line| line.chars().filter(|c| !c.is_control()).collect());
    Ok(Seen::Answer(shown.collect()))
}
