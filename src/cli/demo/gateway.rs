//! An on-premises gateway: a TLS server on a free loopback port that answers with what it received.
//!
//! Two of them run for the length of the demo, on threads of their own.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use openssl::ssl::{Ssl, SslAcceptor, SslFiletype, SslMethod};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_openssl::SslStream;

use super::echo;
use super::files::Folder;

/// A connection without a handshake would otherwise stay open for the whole demo.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait if the process has no file descriptor left for a connection: `accept` would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Gateway {
    name: &'static str,
    listener: std::net::TcpListener,
    address: SocketAddr,
    acceptor: SslAcceptor,
}

impl Gateway {
    /// Binds a free loopback port, and loads the gateway's certificate from the folder.
    pub(super) fn bind(
        (name, _): (&'static str, &str),
        folder: &Folder,
    ) -> Result<Self, Box<dyn Error>> {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        acceptor.set_certificate_chain_file(folder.path(&format!("gateways/{name}.pem")))?;
        let key = folder.path(&format!("gateways/{name}.key"));
        acceptor.set_private_key_file(key, SslFiletype::PEM)?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        // tokio takes over only sockets that do not block.
        listener.set_nonblocking(true)?;
        Ok(Self {
            name,
            address: listener.local_addr()?,
            listener,
            acceptor: acceptor.build(),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the runtime ends.
    pub(super) async fn serve(self) {
        let listener = match TcpListener::from_std(self.listener) {
            Ok(listener) => listener,
            Err(error) => return eprintln!("drawbridge: gateway {}: {error}", self.name),
        };
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            match Ssl::new(self.acceptor.context()) {
                Ok(ssl) => drop(tokio::spawn(answer(self.name, ssl, stream))),
                Err(error) => eprintln!("drawbridge: gateway {}: {error}", self.name),
            }
        }
    }
}

/// Serves one connection. Errors are not reported: the tour itself makes curl refuse the certificate.
async fn answer(name: &'static str, ssl: Ssl, stream: TcpStream) {
    let Ok(mut stream) = SslStream::new(ssl, stream) else {
        return;
    };
    if let Ok(Ok(())) = timeout(HANDSHAKE_TIMEOUT, Pin::new(&mut stream).accept()).await {
        let _ = echo::serve(name, stream).await;
    }
}
