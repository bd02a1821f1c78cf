//! Which certificates and client CAs of a running listener go on.
//!
//! A listener never goes on in a way that lets in a client whom the new configuration would not.

use std::sync::Arc;

use super::{Choice, LastGood, rotation};
use crate::config::model::{Listener, ListenerKind, SniPolicy, TlsSettings};
use crate::tls::{CertifiedKey, ClientCa, now};

/// The listener that runs asks for other clients than it shall, so it must not go on as it is.
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

/// The client CA of the running listener that asks like `new` with lists that are current, where those
/// of `new` are not.
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
    // If both are outdated, the new lists are as good as the others.
    running.filter(|_| is_outdated(new)).cloned()
}

/// Instead of a client CA whose lists are broken: the one that runs, if it asks for the same clients
/// by the same files.
pub(crate) fn instead_of_client_ca(
    last_good: &LastGood,
    running: Option<&Listener>,
    is_same: impl Fn(&ClientCa) -> bool,
) -> Choice<Arc<ClientCa>> {
    let Some(running) = running else {
        return last_good.choose(None, None);
    };
    let ListenerKind::Tls { settings, .. } = &running.kind else {
        return Choice::Faulty;
    };
    let known = settings.client_cas().find(|ca| is_same(ca));
    known.map_or(Choice::Faulty, |ca| Choice::LastGood(Arc::clone(ca)))
}

/// A listener whose new files are broken: with the certificates that it runs with, or closed where it
/// never ran.
///
/// # Errors
/// It would go on without asking for the clients that it shall ask for.
pub(crate) fn without_new_files(
    running: Option<&Listener>,
    asked: &TlsSettings,
) -> Result<ListenerKind, AsksForOthers> {
    let Some(ListenerKind::Tls {
        certificates,
        sni,
        settings,
    }) = running.map(|running| &running.kind)
    else {
        return Ok(ListenerKind::Tls {
            certificates: Vec::new(),
            sni: SniPolicy::Strict,
            settings: TlsSettings::default(),
        });
    };
    // The client CAs of single names stay with the certificates that stay.
    let settings = TlsSettings {
        policy: settings.policy,
        client_ca: asked.client_ca.clone(),
        certificate_client_ca: settings.certificate_client_ca.clone(),
    };
    if !asked.is_kept_by(&settings) {
        return Err(AsksForOthers);
    }
    Ok(ListenerKind::Tls {
        certificates: certificates.clone(),
        sni: *sni,
        settings,
    })
}

/// Why new certificates, which are fine in themselves, must not take the place of those that serve: a name
/// would be lost, or one would be worse.
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

/// The certificates that serve now; `asked` are the client CAs of the new ones.
///
/// # Errors
/// Those that serve ask for other clients.
pub(crate) fn running_certificates(
    running: Option<&Listener>,
    asked: &[Option<Arc<ClientCa>>],
) -> Result<ServedCertificates, AsksForOthers> {
    let Some(ListenerKind::Tls {
        certificates,
        settings,
        ..
    }) = running.map(|running| &running.kind)
    else {
        return Err(AsksForOthers);
    };
    // Only these are exchanged: the listener's own client CA is the new one in any case.
    let asked = TlsSettings {
        certificate_client_ca: asked.to_vec(),
        ..TlsSettings::default()
    };
    match asked.is_kept_by(settings) {
        true => Ok((certificates.clone(), settings.certificate_client_ca.clone())),
        false => Err(AsksForOthers),
    }
}

/// Which name that serves now would be lost. A list that got shorter was meant to lose names.
fn lost_names(new: &[Arc<CertifiedKey>], running: &[Arc<CertifiedKey>]) -> Option<Reason> {
    let is_covered = |name: &String| new.iter().any(|c| c.covers(name));
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
