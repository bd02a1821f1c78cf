//! Which certificates and client CAs a running listener keeps if new ones are broken.
//!
//! Invariant: a listener never stays in use in a way that lets in a client whom the new configuration would refuse.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Choice, LastGood, rotation};
use crate::config::model::{Listener, ListenerKind, SniPolicy, TlsSettings};
use crate::tls::{CertifiedKey, ClientCa, ClientCas, now};

/// The running listener asks for other clients than the new configuration does, so it must not stay as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AsksForOthers;

/// A problem and what to do about it.
pub(crate) type Reason = (String, &'static str);

/// The certificates of a listener, and the client CA of each.
pub(crate) type ServedCertificates = (Vec<Arc<CertifiedKey>>, Vec<Option<Arc<ClientCa>>>);

/// The same chain and key as the listener serves now, with its staple.
pub(crate) fn running_like(
    running: Option<&Listener>,
    certified: &CertifiedKey,
) -> Option<Arc<CertifiedKey>> {
    let ListenerKind::Tls { certificates, .. } = &running?.kind else {
        return None;
    };
    let same = |running: &&Arc<CertifiedKey>| {
        running.chain == certified.chain && running.key.public_eq(&certified.key)
    };
    certificates.iter().find(same).cloned()
}

/// The client CA of the running listener that asks for the same clients as `new`, if its revocation lists are current
/// and those of `new` are not.
pub(crate) fn with_current_lists(
    running: Option<&Listener>,
    new: &ClientCa,
) -> Option<Arc<ClientCa>> {
    let is_outdated = |ca: &ClientCa| ca.lists_until.is_some_and(|until| until <= now());
    let ListenerKind::Tls { settings, .. } = &running?.kind else {
        return None;
    };
    let mut running = settings.client_cas();
    let running = running.find(|ca| new.asks_like(ca) && !is_outdated(ca));
    // If both are outdated, the new lists are no worse.
    running.filter(|_| is_outdated(new)).cloned()
}

/// What replaces a client CA whose lists are broken: the running one, if it asks for the same clients by the same
/// files.
pub(crate) fn instead_of_client_ca(
    last_good: &LastGood,
    running: Option<&Listener>,
    is_same: impl Fn(&ClientCa) -> bool,
) -> Choice<Arc<ClientCa>> {
    let Some(running) = running else {
        return last_good.choose(None, None);
    };
    let ListenerKind::Tls { settings, .. } = &running.kind else {
        // The running listener only redirects and asks for nobody, so nothing of it can stand in.
        return Choice::Faulty;
    };
    let known = settings.client_cas().find(|ca| is_same(ca));
    // Never closed: a running listener that closes would end the clients that are still wanted.
    known.map_or(Choice::Faulty, |ca| Choice::LastGood(Arc::clone(ca)))
}

/// A listener whose new files are broken: with the certificates it runs with, or closed if it never ran.
///
/// `client_ca` is the listener's own, which is valid; `asked` are all.
///
/// # Errors
/// It would stay open without asking for the clients that it must ask for.
pub(crate) fn without_new_files(
    running: Option<&Listener>,
    asked: &ClientCas<'_>,
    client_ca: Option<Arc<ClientCa>>,
) -> Result<ListenerKind, AsksForOthers> {
    let Some(ListenerKind::Tls {
        certificates,
        sni,
        settings,
    }) = running.map(|running| &running.kind)
    else {
        // No certificate marks a closed listener (`Listener::is_closed`).
        return Ok(ListenerKind::Tls {
            certificates: Vec::new(),
            sni: SniPolicy::Strict,
            settings: TlsSettings::default(),
        });
    };
    // The client CAs of single names belong to their certificates, which stay too.
    let settings = TlsSettings {
        policy: settings.policy,
        client_ca,
        certificate_client_ca: settings.certificate_client_ca.clone(),
    };
    if !ClientCas::new(certificates, *sni, &settings).keep(asked) {
        return Err(AsksForOthers);
    }
    Ok(ListenerKind::Tls {
        certificates: certificates.clone(),
        sni: *sni,
        settings,
    })
}

/// Why new certificates that are valid in themselves must not replace those that serve: a name would be lost, or one
/// certificate would be worse.
pub(crate) fn why_worse(
    new: &[Arc<CertifiedKey>],
    may_be_expired: &[bool],
    may_lose_names: bool,
    running: Option<&Listener>,
) -> Option<Reason> {
    let ListenerKind::Tls { certificates, .. } = &running?.kind else {
        return None;
    };
    let lost = lost_names(new, certificates).filter(|_| !may_lose_names);
    lost.or_else(|| {
        let why = rotation::worse_of(new, may_be_expired, certificates)?;
        Some((why, rotation::HELP))
    })
}

/// The certificates that serve now, for a listener with these new ones and settings.
///
/// # Errors
/// Those that serve ask for other clients.
pub(crate) fn running_certificates(
    running: Option<&Listener>,
    new: &[Arc<CertifiedKey>],
    sni: SniPolicy,
    asked: &TlsSettings,
) -> Result<ServedCertificates, AsksForOthers> {
    let Some(ListenerKind::Tls {
        certificates,
        settings,
        ..
    }) = running.map(|running| &running.kind)
    else {
        return Err(AsksForOthers);
    };
    // Only the client CAs of certificates stay with them: the rest is new in any case.
    let kept = TlsSettings {
        certificate_client_ca: settings.certificate_client_ca.clone(),
        ..asked.clone()
    };
    let asked = ClientCas::new(new, sni, asked);
    match ClientCas::new(certificates, sni, &kept).keep(&asked) {
        true => Ok((certificates.clone(), kept.certificate_client_ca)),
        false => Err(AsksForOthers),
    }
}

/// The first name that serves now and would be lost. If the list got shorter, losing names was intended.
fn lost_names(new: &[Arc<CertifiedKey>], running: &[Arc<CertifiedKey>]) -> Option<Reason> {
    let known: HashSet<&String> = new.iter().flat_map(|c| &c.names).collect();
    // Only a wildcard covers a name that it does not have.
    let is_covered = |name: &String| known.contains(name) || new.iter().any(|c| c.covers(name));
    let names = running.iter().flat_map(|c| &c.names);
    let mut lost = names.filter(|name| !is_covered(name));
    let name = lost.next().filter(|_| new.len() >= running.len())?;
    let more = match lost.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!("the new certificate no longer covers \"{name}\"{more}");
    let help = "issue it with all names, or write allow_fewer_names = true in the listener";
    Some((message, help))
}
