//! The client at the other end of a connection: its address, and the certificate with which it may log in.

use std::net::{IpAddr, SocketAddr};

use openssl::ssl::SslRef;

use super::sessions::Identity;
use crate::config::ClientRoles;
use crate::tls::acceptor::asked_client;
use crate::tls::{ClientIdentity, fingerprint};

/// Who is connected.
#[derive(Debug, Clone)]
pub(super) struct Client {
    /// The address that it reached.
    pub(super) own: IpAddr,
    pub(super) peer: SocketAddr,
    /// What its certificate logs in as; None without a certificate that has a role.
    pub(super) certificate: Option<Identity>,
}

impl Client {
    /// Whether a session may be used on this connection: one that began with a certificate only with this certificate,
    /// and only while it has the same role.
    pub(super) fn may_use(&self, session: &Identity) -> bool {
        session.certificate.is_none() || self.certificate.as_ref() == Some(session)
    }
}

/// What the certificate of a connection logs in as.
pub(super) fn identity_of(ssl: &SslRef, roles: &ClientRoles) -> Option<Identity> {
    // Names mean nothing before the client CA vouches for them, so this comes before the roles.
    let verdict = asked_client(ssl)?.verdict.get()?;
    let verified = ClientIdentity::of(ssl, verdict)?;
    let certificate = ssl.peer_certificate()?;
    Some(Identity {
        role: roles.role_of(&certificate)?,
        who: format!("certificate {}", verified.subject),
        certificate: Some(fingerprint(&certificate)?),
    })
}
