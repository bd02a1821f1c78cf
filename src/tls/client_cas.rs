//! Which client CA a handshake under each server name asks for. Whoever compares two listeners compares names: where an
//! entry stands in the configuration says nothing about the clients that it concerns.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{CertifiedKey, ClientCa, SniPolicy, TlsSettings};

/// The client CAs of a listener, by server name.
#[derive(Debug)]
pub struct ClientCas<'a> {
    /// By the names in the certificates; a wildcard as `*.example.com`.
    by_name: BTreeMap<&'a str, Option<&'a Arc<ClientCa>>>,
    /// Of certificates that cannot be read, so nobody knows their names.
    unnamed: Vec<&'a Arc<ClientCa>>,
    /// The listener's own, for all other names.
    others: Option<&'a Arc<ClientCa>>,
    sni: SniPolicy,
}

impl<'a> ClientCas<'a> {
    /// Of certificates that were all read.
    #[must_use]
    pub fn new(
        certificates: &'a [Arc<CertifiedKey>],
        sni: SniPolicy,
        settings: &'a TlsSettings,
    ) -> Self {
        let own = settings.certificate_client_ca.iter().map(Option::as_ref);
        let own = own.chain(std::iter::repeat(None));
        let certificates = certificates.iter().map(Some).zip(own);
        Self::of(certificates, sni, settings.client_ca.as_ref())
    }

    /// Of each certificate, if it could be read, and its own client CA.
    pub fn of(
        certificates: impl Iterator<Item = (Option<&'a Arc<CertifiedKey>>, Option<&'a Arc<ClientCa>>)>,
        sni: SniPolicy,
        others: Option<&'a Arc<ClientCa>>,
    ) -> Self {
        let mut own_by_name = BTreeMap::new();
        let mut unnamed = Vec::new();
        for (certified, own) in certificates {
            match certified {
                Some(certified) => {
                    for name in &certified.names {
                        let known: &mut Option<_> = own_by_name.entry(name.as_str()).or_default();
                        *known = known.or(own);
                    }
                }
                None => unnamed.extend(own.or(others)),
            }
        }
        // The client CA of the listener holds only if no certificate of the name has one of its own.
        for own in own_by_name.values_mut() {
            *own = own.or(others);
        }
        Self {
            by_name: own_by_name,
            unnamed,
            others,
            sni,
        }
    }

    /// What a handshake under this name asks for, in lower case and without a final dot: exact before wildcard.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a Arc<ClientCa>> {
        self.named(name).unwrap_or(self.others)
    }

    /// Whether any name that both or one of them have asks for other certificates, or for other lists of them.
    #[must_use]
    pub fn differ_from(&self, other: &Self) -> bool {
        let digest = |ca: Option<&Arc<ClientCa>>| ca.map(|ca| ca.digest);
        let mut names = self.by_name.keys().chain(other.by_name.keys());
        digest(self.others) != digest(other.others)
            || names.any(|name| digest(self.get(name)) != digest(other.get(name)))
    }

    /// Whether a listener that keeps running with these lets in no client that `asked` would refuse.
    #[must_use]
    pub fn keep(&self, asked: &Self) -> bool {
        let mut names = self.by_name.keys().chain(asked.by_name.keys());
        let any_name = self.sni == SniPolicy::Any;
        let named = names.all(|name| match self.named(name) {
            Some(running) => asked.would_let_in(name, running),
            None if any_name => asked.would_let_in(name, self.others),
            // No handshake succeeds under this name.
            None => true,
        });
        let unnamed = || asked.unnamed.iter().chain(asked.others.iter());
        named && (!any_name || unnamed().all(|asked| is_as_strict(self.others, Some(asked))))
    }

    /// Whether all that these could ask for under this name is asked for by `running`.
    fn would_let_in(&self, name: &str, running: Option<&Arc<ClientCa>>) -> bool {
        // Certificates of one name have the same client CA. Names below a wildcard may have certificates of their own.
        let is_certain = self.by_name.contains_key(name) && !name.starts_with("*.");
        let unnamed = self.unnamed.iter().map(|ca| Some(*ca));
        let mut possible = unnamed.filter(|_| !is_certain);
        is_as_strict(running, self.get(name)) && possible.all(|asked| is_as_strict(running, asked))
    }

    /// None if no certificate has the name.
    fn named(&self, name: &str) -> Option<Option<&'a Arc<ClientCa>>> {
        let wildcard = || {
            let (label, rest) = name.split_once('.')?;
            let found = self.by_name.get(format!("*.{rest}").as_str());
            found.filter(|_| !label.is_empty())
        };
        self.by_name.get(name).or_else(wildcard).copied()
    }
}

/// Without a client CA everybody is let in, so nothing can be more lenient.
fn is_as_strict(running: Option<&Arc<ClientCa>>, asked: Option<&Arc<ClientCa>>) -> bool {
    asked.is_none_or(|asked| running.is_some_and(|running| asked.asks_like(running)))
}
