//! What a route demands of its callers on each of its listeners: its own keys, and where it says nothing the listener's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::names::Declared;
use crate::config::model::{Listener, ListenerKind};
use crate::config::written::callers::{Providers, WrittenCallers};
use crate::config::written::diagnostics::Diagnostics;
use crate::config::written::listeners::WrittenListener;
use crate::config::written::reader::Given;
use crate::config::written::source::{At, Placed};
use crate::identity::issuer::Exchanger;
use crate::identity::{ForwardIdentity, Provider, RouteIdentity};

const CONTRADICTION: &str =
    "\"require\" demands a caller, but identity_mode = \"optional\" takes requests without one";

/// The keys of a route or a listener, with the identities that they name.
#[derive(Debug)]
pub(crate) struct Callers<'w, 's> {
    written: &'w WrittenCallers<'s>,
    /// None: nobody is asked.
    providers: Given<Option<Vec<Arc<Provider>>>>,
    /// Who exchanges tokens, where they are exchanged.
    exchanger: Given<Arc<Exchanger>>,
}

/// The keys of all listeners, by their names.
pub(crate) type Defaults<'w, 's> = BTreeMap<&'s str, Callers<'w, 's>>;

/// What is needed to look these keys up.
pub(crate) struct Lookup<'d, 's> {
    pub(crate) providers: &'d mut Declared<'s, Provider>,
    /// Whether there is a `[signing]` table.
    pub(crate) has_signing: bool,
    pub(crate) exchanges: &'d mut Declared<'s, Exchanger>,
    pub(crate) diagnostics: &'d Diagnostics,
}

/// The keys of all listeners.
pub(crate) fn defaults<'w, 's>(
    written: &'w [WrittenListener<'s>],
    listeners: &Declared<'s, Listener>,
    lookup: &mut Lookup<'_, 's>,
) -> Defaults<'w, 's> {
    let listeners = written.iter().map(|listener| {
        let found: Vec<_> = listeners.value(listener.name).into_iter().collect();
        let keys = &listener.callers;
        let callers = lookup.find(keys, &found);
        if let Given::Absent = keys.providers {
            report_idle(keys, lookup.diagnostics);
        }
        (listener.name, callers)
    });
    listeners.collect()
}

/// What a route demands, by the name of each of its listeners; a listener that is not there asks nobody. `Faulty` was
/// reported.
pub(crate) fn resolve<'s>(
    written: &WrittenCallers<'s>,
    names: &[&str],
    found: &[&Arc<Listener>],
    defaults: &Defaults<'_, 's>,
    lookup: &mut Lookup<'_, 's>,
) -> Given<BTreeMap<String, Arc<RouteIdentity>>> {
    let own = lookup.find(written, found);
    let mut demands = BTreeMap::new();
    let mut is_faulty = false;
    let mut contradictions = BTreeSet::new();
    for name in names {
        let listener = defaults.get(name);
        match own.over(listener) {
            Given::Absent => {}
            Given::Faulty => is_faulty = true,
            Given::Value(identity) => {
                is_faulty |= !takes_exchange(&own, listener, &identity, lookup.diagnostics);
                if !identity.required && !identity.require.is_empty() {
                    contradictions.insert(*name);
                }
                demands.insert((*name).to_owned(), Arc::new(identity));
            }
        }
    }
    if let Some(at) = own.at("require").or(own.at("identity_mode"))
        && !contradictions.is_empty()
    {
        let help = "write \"identity\" beside it: then no key of the listener holds for the route";
        let diagnostics = lookup.diagnostics;
        diagnostics.error_with_help(at, CONTRADICTION, Some(help));
    }
    if demands.is_empty() && !is_faulty {
        report_idle(written, lookup.diagnostics);
    }
    match is_faulty {
        true => Given::Faulty,
        false => Given::Value(demands),
    }
}

impl<'s> Lookup<'_, 's> {
    fn find<'w>(
        &mut self,
        written: &'w WrittenCallers<'s>,
        listeners: &[&Arc<Listener>],
    ) -> Callers<'w, 's> {
        let signs = matches!(written.forward, Given::Value(ForwardIdentity::Signed));
        let exchanger = self.find_exchanger(written);
        let mut callers = Callers {
            written,
            providers: written
                .providers
                .as_ref()
                .and_then(|providers| match providers {
                    Providers::Nobody => Given::Value(None),
                    Providers::Named(names) => self.named(names, listeners).map(Some).into(),
                }),
            exchanger,
        };
        if signs && !self.has_signing {
            let at = callers.at("forward_identity");
            if let Some(at) = at {
                let help = "[signing] with issuer = \"https://door.example.com\"";
                let message = "forward_identity = \"signed\" needs a [signing] table";
                self.diagnostics.error_with_help(at, message, Some(help));
            }
            callers.providers = Given::Faulty;
        }
        // Written, even if its value is faulty: both mistakes are reported in one run.
        if let (Given::Value(false), Some(at)) = (written.required, callers.at("require")) {
            self.diagnostics.error(at, CONTRADICTION);
            callers.providers = Given::Faulty;
        }
        callers
    }

    /// The table of `exchange`, which `forward_identity = "exchanged"` needs and nothing else uses.
    fn find_exchanger(&mut self, written: &WrittenCallers<'_>) -> Given<Arc<Exchanger>> {
        let exchanges = matches!(written.forward, Given::Value(ForwardIdentity::Exchanged));
        match &written.exchange {
            Given::Faulty => Given::Faulty,
            Given::Value(name) => {
                let found = self.exchanges.lookup(name, self.diagnostics);
                if !exchanges && !matches!(written.forward, Given::Faulty) {
                    let message =
                        "\"exchange\" has an effect only beside forward_identity = \"exchanged\"";
                    self.diagnostics.error(name.at, message);
                }
                found.ok().into()
            }
            Given::Absent if exchanges => {
                let mut keys = written.keys.iter();
                if let Some(at) = keys.find(|key| key.value == "forward_identity") {
                    let message = "forward_identity = \"exchanged\" needs \"exchange\"";
                    let help = "exchange = \"NAME\" of an [exchange.NAME] table";
                    let diagnostics = self.diagnostics;
                    diagnostics.error_with_help(at.at, message, Some(help));
                }
                Given::Faulty
            }
            Given::Absent => Given::Absent,
        }
    }

    fn named(
        &mut self,
        names: &[Placed<'s, &'s str>],
        listeners: &[&Arc<Listener>],
    ) -> Option<Vec<Arc<Provider>>> {
        let found = names.iter().map(|name| {
            let provider = self.providers.lookup(name, self.diagnostics).ok()?;
            if let Some(rule) = provider.certificate() {
                check_asked(name, &rule.trust, listeners, self.diagnostics);
            }
            Some(provider)
        });
        // All are looked up before the first that is missing ends this, so that one run reports every problem.
        let found: Vec<_> = found.collect();
        let found: Vec<_> = found.into_iter().collect::<Option<_>>()?;
        self.check_opaque(names, &found)?;
        Some(found)
    }

    /// Reports two issuers for tokens that say nothing themselves: one would be shown the other's tokens.
    fn check_opaque(
        &self,
        names: &[Placed<'s, &'s str>],
        providers: &[Arc<Provider>],
    ) -> Option<()> {
        let opaque = |provider: &Arc<Provider>| {
            let introspector = provider.introspector.as_ref()?;
            introspector
                .endpoint()
                .takes_opaque
                .then(|| provider.place.clone())
        };
        let mut places = Vec::new();
        for (name, provider) in names.iter().zip(providers) {
            let Some(place) = opaque(provider) else {
                continue;
            };
            if places.contains(&place) {
                let message = format!(
                    "identity \"{}\" is the second with opaque_tokens = true in the same place: nothing says whose a token is",
                    name.value
                );
                let help = "give one of them another place: token = \"header:NAME\"";
                self.diagnostics
                    .error_with_help(name.at, message, Some(help));
                return None;
            }
            places.push(place);
        }
        Some(())
    }
}

impl<'s> Callers<'_, 's> {
    fn at(&self, key: &str) -> Option<At<'s>> {
        let mut keys = self.written.keys.iter();
        keys.find(|written| written.value == key).map(|key| key.at)
    }

    /// These keys; without `identity` that of the listener, and its other keys where they are not written.
    fn over(&self, listener: Option<&Self>) -> Given<RouteIdentity> {
        fn either<T: Clone>(own: &Given<T>, other: Option<&Given<T>>) -> Given<T> {
            match (own, other) {
                (Given::Absent, Some(other)) => other.clone(),
                (own, _) => own.clone(),
            }
        }
        let own = self.written;
        // What the listener demands is meant for the identities that it names.
        let listener = listener.filter(|_| matches!(own.providers, Given::Absent));
        let written = listener.map(|listener| listener.written);
        let required = either(&own.required, written.map(|w| &w.required));
        let require = either(&own.require, written.map(|w| &w.require));
        let forward = either(&own.forward, written.map(|w| &w.forward));
        // Both keys stand in one place, so that a route says both or the listener does.
        let exchanger = match own.forward {
            Given::Absent => either(&self.exchanger, listener.map(|l| &l.exchanger)),
            _ => self.exchanger.clone(),
        };
        let providers = either(
            &self.providers,
            listener.map(|listener| &listener.providers),
        );
        providers.and_then(|providers| match providers {
            None => Given::Absent,
            Some(providers) => {
                let identity = || {
                    Some(RouteIdentity {
                        providers,
                        required: required.or(true)?,
                        require: require.or(Vec::new())?,
                        forward: forward.or(ForwardIdentity::Original)?,
                        exchanger: exchanger.unless_faulty()?,
                        is_default: listener.is_some(),
                    })
                };
                identity().into()
            }
        })
    }
}

/// Reports client certificates where tokens are exchanged: there is nothing to exchange for their callers.
fn takes_exchange(
    own: &Callers<'_, '_>,
    listener: Option<&Callers<'_, '_>>,
    identity: &RouteIdentity,
    diagnostics: &Diagnostics,
) -> bool {
    let mut providers = identity.providers.iter();
    let certificate = providers.find(|provider| provider.certificate().is_some());
    let (Some(provider), Some(_)) = (certificate, &identity.exchanger) else {
        return true;
    };
    let key = "forward_identity";
    let at = own.at(key).or_else(|| listener?.at(key));
    if let Some(at) = at {
        let message = format!(
            "forward_identity = \"exchanged\" needs tokens, and identity \"{}\" is client certificates",
            provider.name
        );
        let help = "give its callers a route of their own with forward_identity = \"signed\"";
        diagnostics.error_with_help(at, message, Some(help));
    }
    false
}

/// Reports keys that have no effect without `identity`: a user would believe that callers are checked.
fn report_idle(written: &WrittenCallers<'_>, diagnostics: &Diagnostics) {
    for key in written.keys.iter().filter(|key| key.value != "identity") {
        let message = format!("\"{}\" has an effect only beside \"identity\"", key.value);
        let help = "identity = \"NAME\" of an [identity.NAME] table";
        diagnostics.error_with_help(key.at, message, Some(help));
    }
}

/// Reports an identity of client certificates that no listener asks for.
fn check_asked(
    name: &Placed<'_, &str>,
    trust: &str,
    listeners: &[&Arc<Listener>],
    diagnostics: &Diagnostics,
) {
    let asks = |listener: &&Arc<Listener>| match &listener.kind {
        // What a closed listener would ask for is unknown.
        _ if listener.is_closed() => true,
        ListenerKind::Tls { settings, .. } => {
            settings.client_cas().any(|ca| ca.trust.name == trust)
        }
        ListenerKind::Redirect { .. } => false,
    };
    if listeners.is_empty() || listeners.iter().any(asks) {
        return;
    }
    let message = format!(
        "identity \"{}\" is client certificates of trust bundle \"{trust}\", but no listener here asks for them",
        name.value
    );
    let help =
        format!("client_ca = {{ trust = \"{trust}\", mode = \"optional\" }} in the listener");
    diagnostics.error_with_help(name.at, message, Some(help));
}
