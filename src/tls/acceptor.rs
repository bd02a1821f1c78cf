//! The TLS side of a listener: versions, ALPN, and the certificate by SNI.
//!
//! Invariants: a session resumes only under the listener and the server name that it was made for, and never after a
//! change of anything that its handshake depended on. If a listener asks for client certificates, no session resumes.
//! `live` makes an acceptor for each listener of a snapshot; each handshake begins with [`ssl`].

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, OnceLock};

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{
    AlpnError, NameType, SniError, Ssl, SslAcceptor, SslAlert, SslContext, SslContextBuilder,
    SslMethod, SslOptions, SslRef, SslSessionCacheMode, SslVersion,
};

use openssl::x509::X509Ref;
use openssl::x509::store::X509StoreBuilder;

use super::settings::NameIdentity;
use super::verify::Verdict;
use super::{
    CertifiedKey, ClientCa, ClientCas, ClientHello, GROUPS, Resolver, SniPolicy, TlsPolicy,
    TlsSettings,
};
use crate::parallel;

const ALPN_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The ciphers of Mozilla's intermediate profile for TLS 1.2, version 5.7. The client's order decides: all of them are
/// strong, and only the client knows whether it has AES in hardware.
const INTERMEDIATE_CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
    ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

/// Makes an acceptor that chooses the certificates by SNI: an exact name before a wildcard.
///
/// Sessions belong to one name: each name has a context with ticket keys of its own ([`ssl`]). So a session resumes
/// neither under another name, nor on another listener. If any name asks for client certificates, nothing resumes at
/// all: OpenSSL reads a ticket before it knows the name, so a session that was made without a
/// certificate could resume under a name that demands one (the class of CVE-2025-23419).
///
/// What a name of `running` presents is taken over, with its ticket keys, if it is made of the same: then its sessions
/// outlive the reload, and no handshake needs to be tried again.
///
/// # Errors
/// OpenSSL does not take a certificate, a key or a setting.
pub fn acceptor(
    listener: &str,
    certificates: &[Arc<CertifiedKey>],
    sni: SniPolicy,
    settings: &TlsSettings,
    running: Option<&SslAcceptor>,
) -> Result<NewAcceptor, ErrorStack> {
    let running = match running {
        Some(running) => running.context().ex_data(faces_index()?),
        None => None,
    };
    let running = running.map(Arc::as_ref);
    let faces = Faces::new(listener, certificates, sni, settings, running)?;
    let untried = certificates.iter();
    let untried = untried.filter(|c| !faces.has_all_of(c, running));
    let untried = untried.cloned().collect();
    let faces = Arc::new(faces);
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    configure(&mut builder, listener, settings)?;
    // This context serves only a hello that we could not read or whose name is unknown. It belongs to no name, so
    // nothing may resume under it.
    resume_nothing(&mut builder)?;
    builder.set_ex_data(faces_index()?, Arc::clone(&faces));
    if let Some(first) = certificates.first() {
        present(&mut builder, first)?;
    }
    builder.set_servername_callback(move |ssl, alert| {
        let selected = faces.select(ssl);
        selected.inspect_err(|_| *alert = SslAlert::UNRECOGNIZED_NAME)
    });
    Ok(NewAcceptor {
        acceptor: builder.build(),
        untried,
    })
}

/// An acceptor that no client has used yet.
pub struct NewAcceptor {
    /// The acceptor.
    pub acceptor: SslAcceptor,
    /// The certificates with a name that is not taken over.
    pub untried: Vec<Arc<CertifiedKey>>,
}

/// The `Ssl` of one handshake, for the hello that we read before OpenSSL does.
///
/// # Errors
/// OpenSSL does not take what it took before.
pub fn ssl(acceptor: &SslAcceptor, hello: &ClientHello) -> Result<Ssl, ErrorStack> {
    let faces = acceptor.context().ex_data(faces_index()?);
    let (ClientHello::ServerName(name), Some(faces)) = (hello, faces) else {
        return Ssl::new(acceptor.context());
    };
    let Some(face) = faces.find(name.as_deref()) else {
        // `select` finds no name either and ends the handshake with its alert.
        return Ssl::new(acceptor.context());
    };
    let mut ssl = Ssl::new(&face.context)?;
    face.dress(&mut ssl)?;
    if let Some(name) = name {
        ssl.set_ex_data(asked_index()?, name.clone());
    }
    Ok(ssl)
}

/// Whether the name that OpenSSL reports is that of the hello. A server must not resume a session under another name
/// (RFC 6066, section 3). OpenSSL does so under TLS 1.2, and then reports the name of the session as the client's.
/// Names under one wildcard share a context, so their sessions could be exchanged.
fn is_asked_for(ssl: &SslRef) -> bool {
    let asked = asked_index().ok().and_then(|index| ssl.ex_data(index));
    match (asked, ssl.servername(NameType::HOST_NAME)) {
        (Some(asked), Some(name)) => asked.eq_ignore_ascii_case(name),
        (None, None) => true,
        _ => false,
    }
}

/// The slot of an acceptor's context that holds its [`Faces`].
fn faces_index() -> Result<Index<SslContext, Arc<Faces>>, ErrorStack> {
    static INDEX: LazyLock<Result<Index<SslContext, Arc<Faces>>, ErrorStack>> =
        LazyLock::new(SslContext::new_ex_index);
    INDEX.clone()
}

/// The slot of a handshake that holds the server name of its hello.
fn asked_index() -> Result<Index<Ssl, String>, ErrorStack> {
    static INDEX: LazyLock<Result<Index<Ssl, String>, ErrorStack>> =
        LazyLock::new(Ssl::new_ex_index);
    INDEX.clone()
}

/// The client certificate that a handshake asks for.
pub struct AskedClient {
    /// Whose certificates the client is asked for.
    pub ca: Arc<ClientCa>,
    /// The verdict on the certificate that the client showed; empty until it shows one.
    pub verdict: Arc<OnceLock<Verdict>>,
}

/// The client CA and the verdict of this handshake; None if it asks for no client certificate.
#[must_use]
pub fn asked_client(ssl: &SslRef) -> Option<&AskedClient> {
    ssl.ex_data(client_index().ok()?)
}

/// Whether a handshake under this name would ask for the certificates of this client CA, and with the same lists.
#[must_use]
pub fn asks_for(acceptor: &SslAcceptor, name: Option<&str>, ca: Option<&ClientCa>) -> bool {
    let faces = faces_index().ok();
    let Some(faces) = faces.and_then(|index| acceptor.context().ex_data(index)) else {
        return false;
    };
    let asked = match faces.find(name) {
        Some(face) => face.client_ca.as_deref(),
        None => faces.others.as_deref(),
    };
    asked.map(|asked| asked.digest) == ca.map(|ca| ca.digest)
}

/// Whether a name is presented by the very same context, with the same ticket keys.
#[cfg(test)]
pub(crate) fn presents_the_same(one: &SslAcceptor, other: &SslAcceptor, name: &str) -> bool {
    let index = faces_index().unwrap();
    let face = |acceptor: &SslAcceptor| {
        let faces = acceptor.context().ex_data(index).unwrap();
        Arc::clone(&faces.faces[name])
    };
    Arc::ptr_eq(&face(one), &face(other))
}

/// The slot of a handshake that holds its [`AskedClient`].
fn client_index() -> Result<Index<Ssl, AskedClient>, ErrorStack> {
    static INDEX: LazyLock<Result<Index<Ssl, AskedClient>, ErrorStack>> =
        LazyLock::new(Ssl::new_ex_index);
    INDEX.clone()
}

/// What one server name presents to clients, and the client CA that it asks for.
struct Face {
    made_of: MadeOf,
    context: SslContext,
    /// More than one only if their keys are of different kinds (RSA and ECDSA).
    certificates: Vec<Arc<CertifiedKey>>,
    client_ca: Option<Arc<ClientCa>>,
}

/// Everything that a [`Face`] depends on. Two with the same are the same to every client.
#[derive(Debug, PartialEq, Eq)]
struct MadeOf {
    listener: String,
    /// The digests of chains, keys and staples.
    certificates: Vec<[u8; 32]>,
    settings: NameIdentity,
}

/// One [`Face`] for each server name of a listener.
struct Faces {
    /// By the names in the certificates; a wildcard as `*.example.com`.
    faces: HashMap<String, Arc<Face>>,
    /// For a client whose name is unknown or missing; None if [`SniPolicy::Strict`] ends such handshakes.
    first: Option<Face>,
    /// The client CA of the listener.
    others: Option<Arc<ClientCa>>,
}

impl Faces {
    fn new(
        listener: &str,
        certificates: &[Arc<CertifiedKey>],
        sni: SniPolicy,
        settings: &TlsSettings,
        running: Option<&Self>,
    ) -> Result<Self, ErrorStack> {
        let resolver = Resolver::new(certificates);
        let client_cas = ClientCas::new(certificates, sni, settings);
        let asked = |name: Option<&String>| {
            let own = name.map(|name| client_cas.get(name));
            own.unwrap_or(settings.client_ca.as_ref()).cloned()
        };
        let names = certificates.iter().flat_map(|c| &c.names);
        let names: BTreeSet<&String> = names.collect();
        let groups = names.into_iter().filter_map(|name| {
            let group = resolver.resolve(Some(name))?;
            Some((name, group, asked(Some(name))))
        });
        let groups: Vec<_> = groups.collect();
        let faces = parallel::map(&groups, |(name, group, client_ca)| {
            let known = running.and_then(|running| running.faces.get(*name));
            let made_of = MadeOf::of(listener, group, settings, client_ca.as_ref());
            let face = match known.filter(|known| known.made_of == made_of) {
                Some(known) => Arc::clone(known),
                None => Arc::new(Face::new(made_of, group, settings, client_ca.clone())?),
            };
            Ok(((*name).clone(), face))
        });
        let first = certificates.first().map(|first| {
            let named = first.names.first();
            let group = named.and_then(|name| resolver.resolve(Some(name)));
            // A certificate without DNS names is in no group of the resolver; it stands alone.
            let has_it = |group: &&[Arc<CertifiedKey>]| group.iter().any(|c| Arc::ptr_eq(c, first));
            let group = group.filter(has_it).unwrap_or(std::slice::from_ref(first));
            let client_ca = asked(named);
            let made_of = MadeOf::of(listener, group, settings, client_ca.as_ref());
            Face::new(made_of, group, settings, client_ca)
        });
        let first = first.transpose()?;
        Ok(Self {
            faces: faces.into_iter().collect::<Result<_, ErrorStack>>()?,
            first: first.filter(|_| sni == SniPolicy::Any),
            others: settings.client_ca.clone(),
        })
    }

    /// Whether every name of this certificate is taken over from `running`.
    fn has_all_of(&self, certified: &CertifiedKey, running: Option<&Self>) -> bool {
        let is_taken_over = |name: &String| {
            let known = running.and_then(|running| running.faces.get(name));
            let face = self.faces.get(name);
            known.zip(face).is_some_and(|(a, b)| Arc::ptr_eq(a, b))
        };
        certified.names.iter().all(is_taken_over)
    }

    /// Looks a name up as [`Resolver::resolve`] does: exact before wildcard, without case and final dot.
    fn find(&self, name: Option<&str>) -> Option<&Face> {
        let by_name = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let name = name.strip_suffix('.').unwrap_or(&name);
            let (label, rest) = name.split_once('.').unwrap_or_default();
            let wildcard = || {
                self.faces
                    .get(&format!("*.{rest}"))
                    .filter(|_| !label.is_empty())
            };
            self.faces.get(name).or_else(wildcard)
        });
        by_name.map(Arc::as_ref).or(self.first.as_ref())
    }

    fn select(&self, ssl: &mut SslRef) -> Result<(), SniError> {
        let face = self.find(ssl.servername(NameType::HOST_NAME));
        let face = face.ok_or(SniError::ALERT_FATAL)?;
        let shown = ssl.set_ssl_context(&face.context);
        // Not NOACK: OpenSSL would leave the name out of the session, and the check for 421 needs it.
        let dressed = shown.and_then(|()| face.dress(ssl));
        dressed.map_err(|_| SniError::ALERT_FATAL)
    }
}

impl MadeOf {
    fn of(
        listener: &str,
        group: &[Arc<CertifiedKey>],
        settings: &TlsSettings,
        client_ca: Option<&Arc<ClientCa>>,
    ) -> Self {
        Self {
            listener: listener.to_owned(),
            certificates: group.iter().map(|certified| certified.digest).collect(),
            settings: settings.identity_for(client_ca),
        }
    }
}

impl Face {
    fn new(
        made_of: MadeOf,
        group: &[Arc<CertifiedKey>],
        settings: &TlsSettings,
        client_ca: Option<Arc<ClientCa>>,
    ) -> Result<Self, ErrorStack> {
        Ok(Self {
            context: context(&made_of.listener, group, settings, client_ca.as_deref())?,
            made_of,
            certificates: group.to_vec(),
            client_ca,
        })
    }

    /// Sets on a handshake what a context, which all handshakes of a name share, cannot hold.
    fn dress(&self, ssl: &mut SslRef) -> Result<(), ErrorStack> {
        if let Some(ca) = &self.client_ca {
            // Each handshake needs a verdict of its own, so the callback cannot be the context's.
            let verdict = Arc::default();
            let asked = AskedClient {
                ca: Arc::clone(ca),
                verdict: Arc::clone(&verdict),
            };
            ssl.set_ex_data(client_index()?, asked);
            let ca = Arc::clone(ca);
            ssl.set_verify_callback(ca.verify_mode(), move |_, shown| ca.judge(shown, &verdict));
        }
        if let [_] = self.certificates.as_slice() {
            return Ok(());
        }
        // The extra chain of a context is the same for all of its keys; a handshake has a chain for each key. Otherwise
        // the RSA and the ECDSA leaf would be sent with each other's intermediates.
        for certified in &self.certificates {
            let mut chain = certified.chain.iter();
            if let Some(leaf) = chain.next() {
                ssl.set_certificate(leaf)?;
                ssl.set_private_key(&certified.key)?;
            }
            for intermediate in chain {
                ssl.add_chain_cert(intermediate.clone())?;
            }
        }
        Ok(())
    }
}

fn context(
    listener: &str,
    group: &[Arc<CertifiedKey>],
    settings: &TlsSettings,
    client_ca: Option<&ClientCa>,
) -> Result<SslContext, ErrorStack> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    configure(&mut builder, listener, settings)?;
    if let [only] = group {
        present(&mut builder, only)?;
    }
    staple(&mut builder, group)?;
    builder.set_servername_callback(|ssl, alert| match is_asked_for(ssl) {
        true => Ok(()),
        false => {
            *alert = SslAlert::UNRECOGNIZED_NAME;
            Err(SniError::ALERT_FATAL)
        }
    });
    if let Some(client_ca) = client_ca {
        // The callback that `dress` sets is the judge. The store is empty, so without that callback OpenSSL would
        // accept no certificate.
        builder.set_verify_cert_store(X509StoreBuilder::new()?.build())?;
        // Their names go into the CertificateRequest, by which clients choose a certificate (RFC 8446, 4.2.4).
        for ca in &client_ca.trust.certificates {
            builder.add_client_ca(ca)?;
        }
    }
    Ok(builder.build().into_context())
}

fn present(builder: &mut SslContextBuilder, certified: &CertifiedKey) -> Result<(), ErrorStack> {
    let mut chain = certified.chain.iter();
    if let Some(leaf) = chain.next() {
        builder.set_certificate(leaf)?;
        builder.set_private_key(&certified.key)?;
    }
    for intermediate in chain {
        builder.add_extra_chain_cert(intermediate.clone())?;
    }
    Ok(())
}

/// Answers `status_request` with the OCSP response for the certificate that OpenSSL chose in the handshake.
fn staple(builder: &mut SslContextBuilder, group: &[Arc<CertifiedKey>]) -> Result<(), ErrorStack> {
    let mut responses = Vec::new();
    for certified in group {
        if let (Some(leaf), Some(response)) = (certified.chain.first(), &certified.ocsp) {
            responses.push((leaf.to_der()?, response.clone()));
        }
    }
    if responses.is_empty() {
        return Ok(());
    }
    builder.set_status_callback(move |ssl| {
        let chosen = ssl.certificate().map(X509Ref::to_der).transpose()?;
        let response = responses
            .iter()
            .find(|(leaf, _)| Some(leaf) == chosen.as_ref());
        match response {
            Some((_, response)) => ssl.set_ocsp_status(response).map(|()| true),
            None => Ok(false),
        }
    })
}

fn configure(
    builder: &mut SslContextBuilder,
    listener: &str,
    settings: &TlsSettings,
) -> Result<(), ErrorStack> {
    let least = match settings.policy {
        TlsPolicy::Modern => SslVersion::TLS1_3,
        TlsPolicy::Intermediate => SslVersion::TLS1_2,
    };
    builder.set_min_proto_version(Some(least))?;
    // The crate's profile turns TLS 1.3 off, because it also works with OpenSSL versions without it.
    builder.clear_options(SslOptions::NO_TLSV1_3 | SslOptions::CIPHER_SERVER_PREFERENCE);
    builder.set_max_proto_version(None)?;
    builder.set_cipher_list(INTERMEDIATE_CIPHERS)?;
    builder.set_groups_list(GROUPS)?;
    // With read-ahead a record takes one read call instead of one for its header and one for the rest.
    builder.set_read_ahead(true);
    // Renegotiation costs the server more than the client (CVE-2011-1473); compression reveals secrets by the length of
    // records (CVE-2012-4929).
    builder.set_options(SslOptions::NO_RENEGOTIATION | SslOptions::NO_COMPRESSION);
    builder.set_session_id_context(&openssl::sha::sha256(listener.as_bytes()))?;
    if settings.asks_for_clients() {
        resume_nothing(builder)?;
    }
    builder.set_alpn_select_callback(|_, offered| select_protocol(offered));
    Ok(())
}

fn resume_nothing(builder: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    builder.set_options(SslOptions::NO_TICKET);
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_num_tickets(0)
}

/// Chooses the first of our protocols that the client offers. If it offers none of them, the handshake ends (RFC 7301,
/// 3.2), so that a client of another protocol never reaches an HTTP parser (ALPACA attack).
fn select_protocol(offered: &[u8]) -> Result<&[u8], AlpnError> {
    ALPN_PROTOCOLS
        .iter()
        .find_map(|ours| protocols(offered).find(|theirs| theirs == ours))
        .ok_or(AlpnError::ALERT_FATAL)
}

fn protocols(mut wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&length, rest) = wire.split_first()?;
        // OpenSSL checks the format of the list; a list that is cut short only ends the search.
        let (protocol, rest) = rest.split_at_checked(usize::from(length))?;
        wire = rest;
        Some(protocol)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_order_counts_and_the_unknown_ends_it() {
        assert_eq!(
            select_protocol(b"\x08http/1.1\x02h2").ok(),
            Some(&b"h2"[..])
        );
        assert_eq!(
            select_protocol(b"\x03foo\x08http/1.1").ok(),
            Some(&b"http/1.1"[..])
        );
        for refused in [&b"\x03foo"[..], b"", b"\x09h2", b"\x02h"] {
            assert!(select_protocol(refused).is_err());
        }
    }
}
