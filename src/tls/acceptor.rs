//! The TLS side of a listener: versions, ALPN, and the certificate by SNI.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, LazyLock, OnceLock};

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{
    AlpnError, NameType, SniError, Ssl, SslAcceptor, SslAlert, SslContext, SslContextBuilder,
    SslMethod, SslOptions, SslRef, SslSessionCacheMode, SslVersion,
};

use openssl::x509::store::X509StoreBuilder;

use super::verify::Verdict;
use super::{
    CertifiedKey, ClientCa, ClientHello, GROUPS, Resolver, SniPolicy, TlsPolicy, TlsSettings,
};

const ALPN_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Mozilla's intermediate profile of TLS 1.2, version 5.7; the client's order counts.
const INTERMEDIATE_CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
    ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

/// An acceptor that picks the certificates by SNI: the exact name before a wildcard.
///
/// Sessions belong to one name: each has a context and ticket keys of its own ([`ssl`]), so that none of them
/// resumes under another name, on another listener or after a reload. Where any name asks for client certificates nothing resumes
/// at all: OpenSSL looks at a ticket before it knows the name, so that a session that was begun
/// without a certificate could be resumed where one is demanded (the class of CVE-2025-23419).
///
/// # Errors
/// OpenSSL does not take a certificate, a key or a setting.
pub fn acceptor(
    listener: &str,
    certificates: &[Arc<CertifiedKey>],
    sni: SniPolicy,
    settings: &TlsSettings,
) -> Result<SslAcceptor, ErrorStack> {
    let faces = Arc::new(Faces::new(listener, certificates, sni, settings)?);
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    configure(&mut builder, listener, settings)?;
    // Only for a hello that we could not read.
    resume_nothing(&mut builder)?;
    builder.set_ex_data(faces_index()?, Arc::clone(&faces));
    if let Some(first) = certificates.first() {
        present(&mut builder, first)?;
    }
    builder.set_servername_callback(move |ssl, alert| {
        let selected = faces.select(ssl);
        selected.inspect_err(|_| *alert = SslAlert::UNRECOGNIZED_NAME)
    });
    Ok(builder.build())
}

/// For the handshake with a client that says this.
///
/// # Errors
/// OpenSSL does not take what it took before.
pub fn ssl(acceptor: &SslAcceptor, hello: &ClientHello) -> Result<Ssl, ErrorStack> {
    let faces = acceptor.context().ex_data(faces_index()?);
    let (ClientHello::ServerName(name), Some(faces)) = (hello, faces) else {
        return Ssl::new(acceptor.context());
    };
    let Some(face) = faces.find(name.as_deref()) else {
        // It ends with the alert of `select`.
        return Ssl::new(acceptor.context());
    };
    let mut ssl = Ssl::new(&face.context)?;
    face.dress(&mut ssl)?;
    if let Some(name) = name {
        ssl.set_ex_data(asked_index()?, name.clone());
    }
    Ok(ssl)
}

/// RFC 6066, section 3: a session is not resumed under another name. OpenSSL does under TLS 1.2, and then
/// tells the session's name for the client's. Names under one wildcard share a context, so this can be.
fn is_asked_for(ssl: &SslRef) -> bool {
    let asked = asked_index().ok().and_then(|index| ssl.ex_data(index));
    match (asked, ssl.servername(NameType::HOST_NAME)) {
        (Some(asked), Some(name)) => asked.eq_ignore_ascii_case(name),
        (None, None) => true,
        _ => false,
    }
}

/// Where an acceptor has its faces.
fn faces_index() -> Result<Index<SslContext, Arc<Faces>>, ErrorStack> {
    static INDEX: LazyLock<Result<Index<SslContext, Arc<Faces>>, ErrorStack>> =
        LazyLock::new(SslContext::new_ex_index);
    INDEX.clone()
}

/// Where a handshake's server name is noted.
fn asked_index() -> Result<Index<Ssl, String>, ErrorStack> {
    static INDEX: LazyLock<Result<Index<Ssl, String>, ErrorStack>> =
        LazyLock::new(Ssl::new_ex_index);
    INDEX.clone()
}

/// What a handshake asks of the client.
pub struct AskedClient {
    /// Whose certificates the client is asked for.
    pub ca: Arc<ClientCa>,
    /// Of the certificate that was shown; none as long as none is.
    pub verdict: Arc<OnceLock<Verdict>>,
}

/// Whose client certificates were asked for in this handshake, and what came of it.
#[must_use]
pub fn asked_client(ssl: &SslRef) -> Option<&AskedClient> {
    ssl.ex_data(client_index().ok()?)
}

/// Where it is noted what a handshake asks of the client.
fn client_index() -> Result<Index<Ssl, AskedClient>, ErrorStack> {
    static INDEX: LazyLock<Result<Index<Ssl, AskedClient>, ErrorStack>> =
        LazyLock::new(Ssl::new_ex_index);
    INDEX.clone()
}

/// What a name presents and asks for.
struct Face {
    context: SslContext,
    /// With keys of different kinds where there are several.
    certificates: Vec<Arc<CertifiedKey>>,
    client_ca: Option<Arc<ClientCa>>,
}

struct Faces {
    /// By the names of the certificates, wildcards as such.
    faces: HashMap<String, Face>,
    /// For a client that asks for no name of ours, where it gets an answer at all.
    first: Option<Face>,
}

impl Faces {
    fn new(
        listener: &str,
        certificates: &[Arc<CertifiedKey>],
        sni: SniPolicy,
        settings: &TlsSettings,
    ) -> Result<Self, ErrorStack> {
        let resolver = Resolver::new(certificates);
        let own: HashMap<[u8; 32], &Arc<ClientCa>> = certificates
            .iter()
            .zip(&settings.certificate_client_ca)
            .filter_map(|(certified, ca)| Some((certified.digest, ca.as_ref()?)))
            .collect();
        let face = |group: &[Arc<CertifiedKey>]| {
            let mut own = group.iter().filter_map(|c| own.get(&c.digest));
            let client_ca = own.next().copied().or(settings.client_ca.as_ref()).cloned();
            Ok(Face {
                context: context(listener, group, settings, client_ca.as_deref())?,
                certificates: group.to_vec(),
                client_ca,
            })
        };
        let mut faces = HashMap::new();
        for name in certificates.iter().flat_map(|c| &c.names) {
            if let (Entry::Vacant(place), Some(group)) =
                (faces.entry(name.clone()), resolver.resolve(Some(name)))
            {
                place.insert(face(group)?);
            }
        }
        let first = certificates.first().map(|first| {
            let named = first.names.first();
            let group = named.and_then(|name| resolver.resolve(Some(name)));
            let has_it = |group: &&[Arc<CertifiedKey>]| group.iter().any(|c| Arc::ptr_eq(c, first));
            face(group.filter(has_it).unwrap_or(std::slice::from_ref(first)))
        });
        let first = first.transpose()?;
        Ok(Self {
            faces,
            first: first.filter(|_| sni == SniPolicy::Any),
        })
    }

    /// As [`Resolver::resolve`] does.
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
        by_name.or(self.first.as_ref())
    }

    fn select(&self, ssl: &mut SslRef) -> Result<(), SniError> {
        let face = self.find(ssl.servername(NameType::HOST_NAME));
        let face = face.ok_or(SniError::ALERT_FATAL)?;
        let shown = ssl.set_ssl_context(&face.context);
        // NOACK would leave the name out of the session, and 421 needs it.
        let dressed = shown.and_then(|()| face.dress(ssl));
        dressed.map_err(|_| SniError::ALERT_FATAL)
    }
}

impl Face {
    /// What a context cannot say of its handshakes.
    fn dress(&self, ssl: &mut SslRef) -> Result<(), ErrorStack> {
        if let Some(ca) = &self.client_ca {
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
        // A context has one chain for all of its keys; a handshake has one for each.
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
        // The callback of `dress` judges. Without CAs here nobody comes past it.
        builder.set_verify_cert_store(X509StoreBuilder::new()?.build())?;
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

/// Answers `status_request` with the response for the certificate that the handshake chose.
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
        let chosen = ssl.certificate().map(|leaf| leaf.to_der()).transpose()?;
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
    // The intermediate profile of the crate turns TLS 1.3 off where it must work with old OpenSSL.
    builder.clear_options(SslOptions::NO_TLSV1_3 | SslOptions::CIPHER_SERVER_PREFERENCE);
    builder.set_max_proto_version(None)?;
    builder.set_cipher_list(INTERMEDIATE_CIPHERS)?;
    builder.set_groups_list(GROUPS)?;
    // One read for a record instead of one for its head and one for the rest.
    builder.set_read_ahead(true);
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

/// Ours in our order. A client that offers only what we do not speak ends here (RFC 7301, 3.2).
fn select_protocol(offered: &[u8]) -> Result<&[u8], AlpnError> {
    ALPN_PROTOCOLS
        .iter()
        .find_map(|ours| protocols(offered).find(|theirs| theirs == ours))
        .ok_or(AlpnError::ALERT_FATAL)
}

fn protocols(mut wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&length, rest) = wire.split_first()?;
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
