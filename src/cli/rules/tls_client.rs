//! The TLS client of `rules test --target`.
//!
//! The crate `ftw` does not depend on OpenSSL, so it gets this client through its trait.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::path::Path;

use ftw::{Connection, StartTls};
use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode};

/// Connects to the server under test.
pub struct TlsClient {
    connector: SslConnector,
    verify: bool,
}

/// A TLS connection to the server under test.
struct TlsConnection(SslStream<TcpStream>);

impl TlsClient {
    /// A client that verifies servers against the authorities in the file `ca`; without a file it verifies nothing.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn new(ca: Option<&Path>) -> Result<Self, ErrorStack> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        match ca {
            Some(path) => builder.set_ca_file(path)?,
            None => builder.set_verify(SslVerifyMode::NONE),
        }
        // The tests are raw HTTP/1.1 bytes, and a server might choose HTTP/2 otherwise.
        builder.set_alpn_protos(b"\x08http/1.1")?;
        Ok(Self {
            connector: builder.build(),
            verify: ca.is_some(),
        })
    }
}

impl StartTls for TlsClient {
    fn start(&self, host: &str, socket: TcpStream) -> io::Result<Box<dyn Connection>> {
        // SNI must not be an address (RFC 6066, 3).
        let is_name = host.parse::<IpAddr>().is_err();
        let session = self
            .connector
            .configure()?
            .verify_hostname(self.verify)
            .use_server_name_indication(is_name)
            .connect(host, socket)
            .map_err(io::Error::other)?;
        Ok(Box::new(TlsConnection(session)))
    }
}

impl Connection for TlsConnection {
    fn close(&mut self) -> &TcpStream {
        // An error means that the other side is gone, which is what closing is for.
        let _ = self.0.shutdown();
        self.0.get_ref()
    }
}

impl Read for TlsConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for TlsConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
