//! The client at the other end of a connection: its address, and the certificate with which it may log in.
//!
//! Invariant: a connection lives for hours, so its handshake alone decides nothing. Who the certificate is, and whether the
//! console still asks for the same certificates, is judged for each request by the configuration of that moment.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use openssl::asn1::Asn1Time;
use openssl::ssl::SslRef;
use openssl::x509::X509;

use super::sessions::{Identity, Origin};
use crate::config::{ClientRoles, Config, ConsoleOpenId, ConsoleTls};
use crate::tls::acceptor::asked_client;
use crate::tls::{ClientIdentity, fingerprint};

/// What is known of a connection since it began.
#[derive(Debug)]
pub(super) struct Connection {
    /// The address that the client reached.
    pub(super) own: IpAddr,
    pub(super) peer: SocketAddr,
    /// None without TLS.
    pub(super) handshake: Option<Handshake>,
}

/// What a handshake found out.
#[derive(Debug)]
pub(super) struct Handshake {
    /// The digest of the client CA that it asked under.
    client_ca: Option<[u8; 32]>,
    certificate: Option<ShownCertificate>,
}

/// A certificate that the client CA vouched for.
#[derive(Debug)]
struct ShownCertificate {
    certificate: X509,
    subject: String,
    fingerprint: [u8; 32],
}

/// Who sends a request.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) own: IpAddr,
    pub(super) peer: SocketAddr,
    /// What its certificate logs in as; None without a certificate that has a role.
    pub(super) certificate: Option<Identity>,
    /// The provider that logs people in.
    pub(super) openid: Option<Arc<ConsoleOpenId>>,
}

impl Connection {
    /// Who sends a request now; None if a reload has changed who may connect, so that only a new handshake can tell.
    pub(super) fn client(&self, config: &Config) -> Option<Client> {
        let certificate = match &self.handshake {
            None => None,
            Some(handshake) => {
                // Without a TLS that can run, the console answers nobody.
                let tls = config.console_tls.as_ref()?;
                let asked = tls.settings.client_ca.as_ref().map(|ca| ca.digest);
                if asked != handshake.client_ca {
                    return None;
                }
                let shown = handshake.certificate.as_ref();
                shown.and_then(|shown| shown.identity(&tls.client_roles))
            }
        };
        Some(Client {
            own: self.own,
            peer: self.peer,
            certificate,
            openid: config.console_openid.clone(),
        })
    }
}

impl Handshake {
    /// Of a handshake that is complete.
    pub(super) fn of(ssl: &SslRef, tls: &ConsoleTls) -> Self {
        Self {
            client_ca: tls.settings.client_ca.as_ref().map(|ca| ca.digest),
            certificate: ShownCertificate::of(ssl),
        }
    }
}

impl ShownCertificate {
    fn of(ssl: &SslRef) -> Option<Self> {
        // Names mean nothing before the client CA vouches for them.
        let verdict = asked_client(ssl)?.verdict.get()?;
        let verified = ClientIdentity::of(ssl, verdict)?;
        let certificate = ssl.peer_certificate()?;
        Some(Self {
            subject: verified.subject,
            fingerprint: fingerprint(&certificate)?,
            certificate,
        })
    }

    /// None if it has no role or has ended since the handshake.
    fn identity(&self, roles: &ClientRoles) -> Option<Identity> {
        let now = Asn1Time::days_from_now(0).ok()?;
        if self.certificate.not_after() < now {
            return None;
        }
        Some(Identity {
            role: roles.role_of(&self.certificate)?,
            who: format!("certificate {}", self.subject),
            origin: Origin::Certificate(self.fingerprint),
        })
    }
}

impl Client {
    /// Whether a session may be used on this connection: one that began with a certificate only with this certificate,
    /// and only while it has the same role; one that began at a provider only while that gives the same roles.
    pub(super) fn may_use(&self, session: &Identity) -> bool {
        match &session.origin {
            Origin::Secret => true,
            Origin::Certificate(_) => self.certificate.as_ref() == Some(session),
            Origin::OpenId(then) => {
                let now = self.openid.as_ref();
                now.is_some_and(|now| now.grants_like(then))
            }
        }
    }
}
