//! The TLS side of a listener: versions, ALPN, and the certificate by SNI.

use std::collections::HashMap;
use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::ssl::{
    AlpnError, NameType, SniError, SslAcceptor, SslAlert, SslContext, SslContextBuilder, SslMethod,
    SslOptions, SslRef, SslVersion,
};

use super::{CertifiedKey, Resolver};
use crate::config::SniPolicy;

const ALPN_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// An acceptor that picks the certificate by SNI: the exact name before a wildcard.
///
/// Session tickets are sealed with keys of this acceptor alone, so that none of them resumes on
/// another listener or after a reload.
///
/// # Errors
/// OpenSSL does not take a certificate, a key or a setting.
pub fn acceptor(
    listener: &str,
    certificates: &[Arc<CertifiedKey>],
    sni: SniPolicy,
) -> Result<SslAcceptor, ErrorStack> {
    let resolver = Resolver::new(certificates);
    let contexts = certificates
        .iter()
        .map(|certified| Ok((certified.digest, context(listener, certified)?)))
        .collect::<Result<HashMap<_, _>, ErrorStack>>()?;
    let contexts = Contexts { resolver, contexts };
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    configure(&mut builder, listener)?;
    if let Some(first) = certificates.first() {
        present(&mut builder, first)?;
    }
    builder.set_servername_callback(move |ssl, alert| {
        let selected = contexts.select(ssl, sni);
        selected.inspect_err(|_| *alert = SslAlert::UNRECOGNIZED_NAME)
    });
    Ok(builder.build())
}

struct Contexts {
    resolver: Resolver,
    /// By the digest of what they present.
    contexts: HashMap<[u8; 32], SslContext>,
}

impl Contexts {
    fn select(&self, ssl: &mut SslRef, policy: SniPolicy) -> Result<(), SniError> {
        let certified = self.resolver.resolve(ssl.servername(NameType::HOST_NAME));
        let found = certified.and_then(|certified| self.contexts.get(&certified.digest));
        match (found, policy) {
            (Some(context), _) => ssl
                .set_ssl_context(context)
                .map_err(|_| SniError::ALERT_FATAL),
            // NOACK would leave the name out of the session, and 421 needs it.
            (None, SniPolicy::Any) => Ok(()),
            (None, SniPolicy::Strict) => Err(SniError::ALERT_FATAL),
        }
    }
}

fn context(listener: &str, certified: &CertifiedKey) -> Result<SslContext, ErrorStack> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    configure(&mut builder, listener)?;
    present(&mut builder, certified)?;
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

fn configure(builder: &mut SslContextBuilder, listener: &str) -> Result<(), ErrorStack> {
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    // The intermediate profile of the crate turns TLS 1.3 off where it must work with old OpenSSL.
    builder.clear_options(SslOptions::NO_TLSV1_3);
    builder.set_max_proto_version(None)?;
    builder.set_options(SslOptions::NO_RENEGOTIATION | SslOptions::NO_COMPRESSION);
    builder.set_session_id_context(&openssl::sha::sha256(listener.as_bytes()))?;
    builder.set_alpn_select_callback(|_, offered| select_protocol(offered));
    Ok(())
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
