//! A handshake with ourselves, before anybody else has one.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use openssl::ssl::{Ssl, SslAcceptor, SslConnector, SslMethod, SslStream, SslVerifyMode};

use super::CertifiedKey;

/// Far more than a handshake inside one process needs.
const TIME: Duration = Duration::from_secs(5);

/// Shakes hands once for each certificate, by its first name; one without a name is the default's.
///
/// # Errors
/// What does not work, in words.
pub fn handshakes(
    acceptor: &SslAcceptor,
    certificates: &[Arc<CertifiedKey>],
) -> Result<(), String> {
    for certified in certificates {
        let Some(name) = certified.names.first() else {
            continue;
        };
        // A wildcard is asked for by a name below it.
        let name = name.replacen('*', "drawbridge", 1);
        let shown = handshake(acceptor, &name)
            .map_err(|why| format!("a handshake for \"{name}\" fails: {why}"))?;
        let fits = |c: &Arc<CertifiedKey>| c.covers(&name) && leaf(c).as_ref() == Some(&shown);
        if !certificates.iter().any(fits) {
            return Err(format!(
                "a handshake for \"{name}\" shows a certificate of another name"
            ));
        }
    }
    Ok(())
}

fn leaf(certified: &CertifiedKey) -> Option<Vec<u8>> {
    certified.chain.first()?.to_der().ok()
}

/// The leaf that a client is shown, as DER.
fn handshake(acceptor: &SslAcceptor, name: &str) -> Result<Vec<u8>, String> {
    let (ours, theirs) = UnixStream::pair().map_err(|e| e.to_string())?;
    for end in [&ours, &theirs] {
        end.set_read_timeout(Some(TIME))
            .map_err(|e| e.to_string())?;
        end.set_write_timeout(Some(TIME))
            .map_err(|e| e.to_string())?;
    }
    let ssl = Ssl::new(acceptor.context()).map_err(|e| e.to_string())?;
    let server = thread::spawn(move || {
        // The client tells whether it works.
        SslStream::new(ssl, ours).map(|mut stream| stream.accept().map(|()| stream))
    });
    let shown = connect(theirs, name);
    // It ends when the client does.
    let _ = server.join();
    shown
}

fn connect(stream: UnixStream, name: &str) -> Result<Vec<u8>, String> {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(|e| e.to_string())?;
    // Which authority signed it is the clients' business.
    builder.set_verify(SslVerifyMode::NONE);
    let stream = builder
        .build()
        .connect(name, stream)
        .map_err(|e| e.to_string())?;
    let certificate = stream.ssl().peer_certificate();
    certificate
        .and_then(|certificate| certificate.to_der().ok())
        .ok_or_else(|| "no certificate is shown".to_owned())
}
