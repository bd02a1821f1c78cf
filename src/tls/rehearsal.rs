//! Makes a handshake with ourselves for each certificate before a listener uses it. OpenSSL accepts some settings with
//! which no client can make a handshake; they are found here, when they are loaded.

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{
    HandshakeError, Ssl, SslAcceptor, SslConnector, SslMethod, SslStream, SslVerifyMode,
};

use super::CertifiedKey;

/// The deadline of each read and write; far more than a handshake inside one process needs.
const TIME: Duration = Duration::from_secs(5);

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
    /// The pair of sockets inside this process cannot be made.
    Sockets(io::Error),
    /// OpenSSL does not take a setting.
    Setup(ErrorStack),
    /// The two sides come to no agreement.
    Handshake(Box<HandshakeError<UnixStream>>),
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
            Self::Sockets(error) => error.fmt(f),
            Self::Setup(error) => error.fmt(f),
            Self::Handshake(error) => error.fmt(f),
            Self::NoCertificate => f.write_str("no certificate is shown"),
            Self::OtherName => f.write_str("the certificate is of another name"),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Sockets(error)
    }
}

impl From<ErrorStack> for Fault {
    fn from(error: ErrorStack) -> Self {
        Self::Setup(error)
    }
}

/// Makes one handshake for each certificate, under its first name. A certificate without a name is skipped.
///
/// # Errors
/// The first name with which a client would fail.
pub fn handshakes(
    acceptor: &SslAcceptor,
    certificates: &[Arc<CertifiedKey>],
) -> Result<(), RehearsalError> {
    for certified in certificates {
        let Some(name) = certified.names.first() else {
            continue;
        };
        // A client never asks for a wildcard, but for a name below it.
        let name = name.replacen('*', "drawbridge", 1);
        let failed = |fault| RehearsalError {
            name: name.clone(),
            fault,
        };
        let shown = handshake(acceptor, &name).map_err(failed)?;
        // If several certificates have the name, any of them is right.
        let fits = |c: &Arc<CertifiedKey>| c.covers(&name) && leaf(c).as_ref() == Some(&shown);
        if !certificates.iter().any(fits) {
            return Err(failed(Fault::OtherName));
        }
    }
    Ok(())
}

fn leaf(certified: &CertifiedKey) -> Option<Vec<u8>> {
    certified.chain.first()?.to_der().ok()
}

/// The leaf that a client gets, as DER.
fn handshake(acceptor: &SslAcceptor, name: &str) -> Result<Vec<u8>, Fault> {
    let (ours, theirs) = UnixStream::pair()?;
    for end in [&ours, &theirs] {
        end.set_read_timeout(Some(TIME))?;
        end.set_write_timeout(Some(TIME))?;
    }
    let ssl = Ssl::new(acceptor.context())?;
    // Both sides block, so one of them needs a thread.
    let server = thread::spawn(move || {
        // The client's side reports whether it works.
        SslStream::new(ssl, ours).map(|mut stream| stream.accept().map(|()| stream))
    });
    let shown = connect(theirs, name);
    // It ends with the client, whose end of the socket pair is closed by now.
    let _ = server.join();
    shown
}

fn connect(stream: UnixStream, name: &str) -> Result<Vec<u8>, Fault> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    // Whether clients trust its CA is not ours to check.
    builder.set_verify(SslVerifyMode::NONE);
    let stream = builder
        .build()
        .connect(name, stream)
        .map_err(|error| Fault::Handshake(Box::new(error)))?;
    let certificate = stream.ssl().peer_certificate();
    certificate
        .and_then(|certificate| certificate.to_der().ok())
        .ok_or(Fault::NoCertificate)
}
