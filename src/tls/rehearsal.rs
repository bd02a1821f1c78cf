//! Makes a handshake with ourselves for each certificate before a listener uses it. OpenSSL accepts some settings with
//! which no client can make a handshake; they are found here, when they are loaded.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::ssl::{
    self, ErrorCode, Ssl, SslAcceptor, SslContext, SslMethod, SslStream, SslVerifyMode,
};

use super::CertifiedKey;
use crate::parallel;

/// A listener's handshake does not work.
#[derive(Debug)]
pub struct RehearsalError {
    /// The server name that was asked for.
    name: String,
    fault: Fault,
}

/// What does not work.
#[derive(Debug)]
enum Fault {
    /// OpenSSL does not take a setting.
    Setup(ErrorStack),
    /// The two sides come to no agreement.
    Handshake(ssl::Error),
    /// The listener waits for more than a client sends.
    Silence,
    /// The listener presents nothing.
    NoCertificate,
    /// The listener presents a certificate that is not valid for the name.
    OtherName,
}

impl fmt::Display for RehearsalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, fault } = self;
        match fault {
            Fault::OtherName => {
                write!(
                    f,
                    "a handshake for \"{name}\" shows a certificate of another name"
                )
            }
            fault => write!(f, "a handshake for \"{name}\" fails: {fault}"),
        }
    }
}

impl std::error::Error for RehearsalError {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup(error) => error.fmt(f),
            Self::Handshake(error) => error.fmt(f),
            Self::Silence => f.write_str("the listener does not answer"),
            Self::NoCertificate => f.write_str("no certificate is shown"),
            Self::OtherName => f.write_str("the certificate is of another name"),
        }
    }
}

impl From<ErrorStack> for Fault {
    fn from(error: ErrorStack) -> Self {
        Self::Setup(error)
    }
}

/// Makes one handshake for each of these certificates, under its first name. A certificate without a name is skipped.
/// `all` are the certificates of the listener.
///
/// # Errors
/// The first name with which a client would fail.
pub fn handshakes(
    acceptor: &SslAcceptor,
    certificates: &[Arc<CertifiedKey>],
    all: &[Arc<CertifiedKey>],
) -> Result<(), RehearsalError> {
    let named = certificates.iter().filter_map(|certified| {
        let name = certified.names.first()?;
        // A client never asks for a wildcard, but for a name below it.
        Some((certified, name.replacen('*', "drawbridge", 1)))
    });
    let named: Vec<_> = named.collect();
    let client = client();
    let tried = parallel::map(&named, |(certified, name)| {
        let client = client.as_ref().map_err(|error| error.clone().into());
        let shown = client.and_then(|client| handshake(acceptor, client, name));
        let failed = |fault| RehearsalError {
            name: name.clone(),
            fault,
        };
        let shown = shown.map_err(failed)?;
        // If several certificates have the name, any of them is right.
        let fits = |c: &Arc<CertifiedKey>| c.covers(name) && leaf(c).as_ref() == Some(&shown);
        match fits(certified) || all.iter().any(fits) {
            true => Ok(()),
            false => Err(failed(Fault::OtherName)),
        }
    });
    tried.into_iter().collect()
}

/// One context for all handshakes. It has no CAs: whether clients trust the certificates is not ours to check.
fn client() -> Result<SslContext, ErrorStack> {
    let mut builder = SslContext::builder(SslMethod::tls_client())?;
    builder.set_verify(SslVerifyMode::NONE);
    Ok(builder.build())
}

fn leaf(certified: &CertifiedKey) -> Option<Vec<u8>> {
    certified.chain.first()?.to_der().ok()
}

/// The leaf that a client gets, as DER.
fn handshake(acceptor: &SslAcceptor, client: &SslContext, name: &str) -> Result<Vec<u8>, Fault> {
    let mut asking = Ssl::new(client)?;
    if name.parse::<IpAddr>().is_err() {
        asking.set_hostname(name)?;
    }
    let (ours, theirs) = Pipe::pair();
    let mut server = SslStream::new(Ssl::new(acceptor.context())?, ours)?;
    let mut client = SslStream::new(asking, theirs)?;
    // Each side goes as far as it can with what the other has sent. The client's side decides whether it works.
    loop {
        match client.connect() {
            Ok(()) => break,
            Err(error) if error.code() != ErrorCode::WANT_READ => {
                return Err(Fault::Handshake(error));
            }
            Err(_) => {}
        }
        let refused = match server.accept() {
            Err(error) if error.code() != ErrorCode::WANT_READ => Some(error),
            _ => None,
        };
        // If the server has nothing more to say, not even an alert, the client would wait for ever.
        if client.get_ref().is_empty() {
            return Err(refused.map_or(Fault::Silence, Fault::Handshake));
        }
    }
    let certificate = client.ssl().peer_certificate();
    certificate
        .and_then(|certificate| certificate.to_der().ok())
        .ok_or(Fault::NoCertificate)
}

/// One end of a connection inside this thread. It never blocks.
struct Pipe {
    received: Bytes,
    sent: Bytes,
}

/// Bytes on their way.
type Bytes = Rc<RefCell<VecDeque<u8>>>;

impl Pipe {
    fn pair() -> (Self, Self) {
        let (one, other) = (Bytes::default(), Bytes::default());
        let back = Self {
            received: Rc::clone(&other),
            sent: Rc::clone(&one),
        };
        let there = Self {
            received: one,
            sent: other,
        };
        (there, back)
    }

    /// Whether there is nothing to read.
    fn is_empty(&self) -> bool {
        self.received.borrow().is_empty()
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.received.borrow_mut().read(buffer)? {
            0 if !buffer.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            length => Ok(length),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sent.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
