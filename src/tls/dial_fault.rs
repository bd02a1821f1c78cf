//! Why a TLS connection to an upstream failed: the one place that translates OpenSSL's errors for upstreams.
//! [`handshake`](super::handshake) does it for clients.

use std::io;

use openssl::ssl::Error;

use super::openssl_codes::{reasons, reasons_of_io};

/// Why TLS to a server failed, as far as OpenSSL's codes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialFault {
    /// The server wants a client certificate and did not get one.
    CertificateRequired,
    /// The server does not take our client certificate.
    CertificateRefused,
    /// The server refused the handshake without a reason. TLS 1.2 has no alert for a missing client certificate,
    /// so this may mean that.
    HandshakeRefused,
    /// A key or signature in the server's chain, or its key exchange, is too weak.
    Weak,
    /// There is no TLS version in common.
    Version,
    /// What came back is not TLS.
    NotTls,
    /// Something else, or the transport failed.
    Other,
}

impl DialFault {
    /// The fault of a handshake that failed.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        Self::of_reasons(&error.ssl_error().map(reasons).unwrap_or_default())
    }

    /// The fault of a read or write after the handshake. A server of TLS 1.3 reports only then what it thinks of a
    /// client certificate.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Self {
        Self::of_reasons(&reasons_of_io(error))
    }

    /// The server wants another client certificate than it got, if it got any.
    #[must_use]
    pub fn is_about_our_certificate(self) -> bool {
        matches!(self, Self::CertificateRequired | Self::CertificateRefused)
    }

    /// In words for an operator, about the server.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::CertificateRequired | Self::CertificateRefused => {
                "it does not take our client certificate, or wants one"
            }
            Self::Weak => "certificate is too weak",
            Self::Version => "no TLS version in common; TLS 1.2 is the least",
            Self::NotTls => "it does not speak TLS",
            Self::HandshakeRefused | Self::Other => "TLS handshake failed",
        }
    }

    /// The codes are those of include/openssl/sslerr.h. An error can have several of them, so the most specific one is
    /// looked for first.
    fn of_reasons(reasons: &[i32]) -> Self {
        let has = |wanted: &[i32]| reasons.iter().any(|reason| wanted.contains(reason));
        if has(&[1116]) {
            // certificate_required
            Self::CertificateRequired
        } else if has(&[1042, 1043, 1044, 1045, 1046, 1048, 1049]) {
            // bad_certificate to certificate_unknown, unknown_ca, access_denied
            Self::CertificateRefused
        } else if has(&[1040]) {
            // handshake_failure
            Self::HandshakeRefused
        } else if has(&[394, 397, 398, 399]) {
            // DH_KEY_TOO_SMALL, CA_KEY_TOO_SMALL, CA_MD_TOO_WEAK, EE_KEY_TOO_SMALL
            Self::Weak
        } else if has(&[116, 258, 1070]) {
            // BAD_PROTOCOL_VERSION_NUMBER, UNSUPPORTED_PROTOCOL, protocol_version
            Self::Version
        } else if has(&[156, 198, 267]) {
            // HTTP_REQUEST, PACKET_LENGTH_TOO_LONG, WRONG_VERSION_NUMBER
            Self::NotTls
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use openssl::pkey::PKey;
    use openssl::ssl::{Ssl, SslContext, SslContextBuilder, SslMethod, SslVerifyMode, SslVersion};
    use openssl::x509::X509;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_openssl::SslStream;

    use super::*;
    use dev_pki::{Authority, Issued, LeafOptions};

    fn issued() -> Issued {
        let root = Authority::new("Root", 1).unwrap();
        root.leaf(&["a.test"], &LeafOptions::default()).unwrap()
    }

    fn present(builder: &mut SslContextBuilder) {
        let issued = issued();
        builder
            .set_certificate(&X509::from_pem(&issued.chain_pem).unwrap())
            .unwrap();
        builder
            .set_private_key(&PKey::private_key_from_pem(&issued.key_pem).unwrap())
            .unwrap();
    }

    /// A server whose settings `set` changes.
    fn server(set: impl FnOnce(&mut SslContextBuilder)) -> SslContext {
        let mut builder = SslContext::builder(SslMethod::tls_server()).unwrap();
        present(&mut builder);
        set(&mut builder);
        builder.build()
    }

    /// A client that takes any certificate, and whose settings `set` changes.
    fn client(set: impl FnOnce(&mut SslContextBuilder)) -> SslContext {
        let mut builder = SslContext::builder(SslMethod::tls_client()).unwrap();
        builder.set_verify(SslVerifyMode::NONE);
        set(&mut builder);
        builder.build()
    }

    fn wants_a_certificate(builder: &mut SslContextBuilder) {
        builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    }

    /// The client's end once the handshake is done, while the server goes on; or why it failed.
    async fn shake(
        client: &SslContext,
        server: SslContext,
    ) -> Result<SslStream<DuplexStream>, Error> {
        let (ours, theirs) = duplex(64 * 1024);
        tokio::spawn(async move {
            let mut tls = SslStream::new(Ssl::new(&server).unwrap(), theirs).unwrap();
            if Pin::new(&mut tls).accept().await.is_ok() {
                let _ = tls.read_to_end(&mut Vec::new()).await;
            }
            // The alert is on its way; what follows is the end.
            let _ = tls.get_mut().shutdown().await;
        });
        let mut tls = SslStream::new(Ssl::new(client).unwrap(), ours).unwrap();
        Pin::new(&mut tls).connect().await.map(|()| tls)
    }

    #[tokio::test]
    async fn a_missing_or_unknown_client_certificate_is_told_after_the_handshake() {
        let fault_of = async |client| {
            let mut tls = shake(&client, server(wants_a_certificate)).await.unwrap();
            let error = tls.read(&mut [0]).await.unwrap_err();
            DialFault::of_io(&error)
        };
        assert_eq!(
            fault_of(client(|_| {})).await,
            DialFault::CertificateRequired
        );
        assert_eq!(
            fault_of(client(present)).await,
            DialFault::CertificateRefused
        );
    }

    #[tokio::test]
    async fn the_h2_crate_keeps_the_codes_in_its_text() {
        let tls = shake(&client(|_| {}), server(wants_a_certificate)).await;
        let (_send, connection) = h2::client::handshake(tls.unwrap()).await.unwrap();
        let error = connection.await.unwrap_err();
        assert_eq!(
            DialFault::of_io(error.get_io().unwrap()),
            DialFault::CertificateRequired
        );
    }

    #[tokio::test]
    async fn a_handshake_that_fails_has_its_fault() {
        let only_tls12 = |builder: &mut SslContextBuilder| {
            builder
                .set_max_proto_version(Some(SslVersion::TLS1_2))
                .unwrap();
        };
        let only_tls13 = |builder: &mut SslContextBuilder| {
            builder
                .set_min_proto_version(Some(SslVersion::TLS1_3))
                .unwrap();
        };
        for (client, server, expected) in [
            (client(only_tls13), server(only_tls12), DialFault::Version),
            (
                client(|_| {}),
                server(|builder| {
                    only_tls12(builder);
                    wants_a_certificate(builder);
                }),
                DialFault::HandshakeRefused,
            ),
        ] {
            let error = shake(&client, server).await.unwrap_err();
            assert_eq!(DialFault::of(&error), expected, "{error}");
        }
    }

    #[tokio::test]
    async fn an_answer_in_plain_http_is_not_tls() {
        let (ours, mut theirs) = duplex(64 * 1024);
        let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        theirs.write_all(answer).await.unwrap();
        let ssl = Ssl::new(&client(|_| {})).unwrap();
        let mut tls = SslStream::new(ssl, ours).unwrap();
        let error = Pin::new(&mut tls).connect().await.unwrap_err();
        assert_eq!(DialFault::of(&error), DialFault::NotTls, "{error}");
    }

    #[tokio::test]
    async fn a_transport_that_ends_has_no_fault() {
        let (ours, theirs) = duplex(1024);
        drop(theirs);
        let ssl = Ssl::new(&client(|_| {})).unwrap();
        let mut tls = SslStream::new(ssl, ours).unwrap();
        let error = Pin::new(&mut tls).connect().await.unwrap_err();
        assert_eq!(DialFault::of(&error), DialFault::Other, "{error}");
    }
}
