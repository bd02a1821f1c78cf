//! `[identity.NAME]` with `client_ca`: client certificates that stand for callers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use identity::Expectations;

use super::context::Context;
use super::identity::read_denied;
use super::names::Declared;
use crate::config::last_good::Choice;
use crate::config::model::Unit;
use crate::config::written::client_identity::WrittenClientIdentity;
use crate::identity::{CertificateRule, Denied, Keys, Provider, ProviderSettings, TokenPlace};
use crate::tls::TrustBundle;

/// Declares them beside the issuers of tokens: routes name both alike.
pub(crate) fn resolve<'s>(
    written: &[WrittenClientIdentity<'s>],
    trust: &mut Declared<'_, TrustBundle>,
    providers: &mut Declared<'s, Provider>,
    context: &mut Context<'_>,
) {
    let mut bundles: BTreeMap<&str, &str> = BTreeMap::new();
    for identity in written {
        if let Some(bundle) = &identity.trust {
            // The identity needs only its name: whatever version of it a listener uses has verified the certificate.
            let _ = trust.lookup(bundle, context.diagnostics);
            if let Some(first) = bundles.insert(bundle.value, identity.name) {
                let message = format!("identity \"{first}\" has the same client_ca");
                let help = "one table for each trust bundle: its clients must be named in one way";
                let diagnostics = context.diagnostics;
                diagnostics.error_with_help(bundle.at, message, Some(help));
            }
        }
        let resolved = resolve_one(identity, context);
        providers.declare(identity.name, identity.at, resolved);
    }
}

fn resolve_one(
    written: &WrittenClientIdentity<'_>,
    context: &mut Context<'_>,
) -> Option<Arc<Provider>> {
    let mut problems = Vec::new();
    let denied = read_denied(&written.denied, context, &mut problems);
    let new = denied.and_then(|denied| assemble(written, denied));
    if assemble(written, BTreeSet::new()).is_none() {
        context.report(problems);
        return None;
    }
    let running = context.last_good.identity.get(written.name).cloned();
    // Another identity that had this name is not a version of it.
    let running = running.filter(|running| running.certificate().is_some());
    let unit = Unit::Identity(written.name.to_owned());
    match context.last_good.choose(new, running) {
        // Without its list of the denied it must take nobody, and it has no way to say so but to be faulty.
        Choice::Closed => {
            context.report(problems);
            None
        }
        choice => context.settle(&unit, choice, problems).ok(),
    }
}

/// None if a key of the table is missing or faulty.
fn assemble(
    written: &WrittenClientIdentity<'_>,
    denied: BTreeSet<String>,
) -> Option<Arc<Provider>> {
    let rule = CertificateRule {
        trust: written.trust.as_ref()?.value.to_owned(),
        subject: written.subject?,
    };
    Some(Arc::new(Provider::new(ProviderSettings {
        name: written.name.to_owned(),
        // Nothing of it is asked of a certificate: the handshake judged it by the bundle.
        expected: Expectations {
            issuer: String::new(),
            audiences: Vec::new(),
            algorithms: Vec::new(),
            types: Vec::new(),
            clock_skew: 0,
        },
        place: TokenPlace::ClientCertificate(rule),
        bound: false,
        claims: written.claims.clone()?.into_iter().collect(),
        fields: written.fields.clone()?,
        hides_subject: written.hides_subject?,
        denied: Denied::Given(denied),
        keys: Keys::None,
        introspector: None,
        once: None,
    })))
}
