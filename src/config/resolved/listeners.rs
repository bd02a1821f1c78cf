//! `[listeners.*]`: with their certificates, staples and client CAs.

use std::collections::HashMap;
use std::sync::Arc;

use super::context::{Broken, Context};
use super::limits;
use super::looks::{LookTables, Looks};
use super::materials::{must_not_go_on, resolve_certificate, resolve_client_ca, resolve_staple};
use super::names::Declared;
use super::routes::fields;
use crate::config::last_good::listeners as last_good;
use crate::config::model::{
    Listener, ListenerKind, RotationAllowance, SniPolicy, TlsSettings, Unit,
};
use crate::config::written::diagnostics::{Diagnostics, Problem};
use crate::config::written::listeners::{Role, WrittenCertificate, WrittenListener, WrittenTls};
use crate::config::written::reader::Given;
use crate::config::written::source::{At, Placed};
use crate::config::written::trust::WrittenClientCa;
use crate::limits::Limit;
use crate::tls::{CertifiedKey, ClientCa, ClientCas, TrustBundle};

/// An entry of `certificates`.
struct Certificate<'s> {
    at: At<'s>,
    certified: Arc<CertifiedKey>,
    client_ca: Option<Arc<ClientCa>>,
    allow_expired: bool,
}

/// What the files of a listener say.
struct Files<'s> {
    certificates: Result<Vec<Certificate<'s>>, Broken>,
    client_ca: Result<Option<Arc<ClientCa>>, Broken>,
    /// Also the certificates that cannot be used.
    asked: Vec<AskedCertificate>,
}

/// A certificate, if it can be used, and its own client CA.
type AskedCertificate = (Option<Arc<CertifiedKey>>, Option<Arc<ClientCa>>);

/// The sections that listeners name.
pub(crate) struct Sections<'d, 's> {
    pub(crate) trust: &'d mut Declared<'s, TrustBundle>,
    pub(crate) limits: &'d mut Declared<'s, Limit>,
    pub(crate) looks: &'d mut LookTables<'s>,
}

/// What one listener names of them; None: it is faulty, which was reported.
struct Named {
    limits: Option<Vec<Arc<Limit>>>,
    looks: Option<Looks>,
}

pub(crate) fn resolve<'s>(
    written: &[WrittenListener<'s>],
    sections: &mut Sections<'_, 's>,
    context: &mut Context<'_>,
) -> Declared<'s, Listener> {
    let mut listeners = Declared::new("listener");
    for listener in written {
        let diagnostics = context.diagnostics;
        let named = Named {
            limits: limits::named(&listener.rate_limits, sections.limits, diagnostics),
            looks: sections.looks.named(&listener.fields, diagnostics),
        };
        let kind = match &listener.role {
            Role::Tls(tls) => resolve_tls(listener.name, tls, sections.trust, context),
            Role::Unclear => None,
            // The target of a redirect may be declared later in the file.
            Role::Redirect(..) => continue,
        };
        let resolved = assemble(listener, kind, named);
        listeners.declare(listener.name, listener.at, resolved);
    }
    resolve_redirects(written, &mut listeners, context.diagnostics);
    listeners
}

fn resolve_redirects<'s>(
    written: &[WrittenListener<'s>],
    listeners: &mut Declared<'s, Listener>,
    diagnostics: &Diagnostics,
) {
    let redirects = written.iter().filter_map(|listener| match &listener.role {
        Role::Redirect(at, target) => Some((listener, *at, target.as_ref())),
        _ => None,
    });
    let redirects: Vec<_> = redirects.collect();
    let names: Vec<&str> = redirects.iter().map(|(other, ..)| other.name).collect();
    let resolved: Vec<_> = redirects
        .iter()
        .map(|(listener, at, target)| {
            let kind = target
                .and_then(|target| resolve_redirect(*at, target, &names, listeners, diagnostics));
            let named = Named {
                limits: Some(Vec::new()),
                looks: Some(Looks::default()),
            };
            assemble(listener, kind, named)
        })
        .collect();
    // Declared only now, so that no redirect finds another as its target.
    for ((listener, ..), resolved) in redirects.into_iter().zip(resolved) {
        listeners.declare(listener.name, listener.at, resolved);
        // A redirect needs no route, so it must not be reported as unused.
        listeners.mark_used(listener.name);
    }
}

/// `redirects` are the names of all listeners that redirect.
fn resolve_redirect(
    at: At<'_>,
    target: &Placed<'_, &str>,
    redirects: &[&str],
    listeners: &mut Declared<'_, Listener>,
    diagnostics: &Diagnostics,
) -> Option<ListenerKind> {
    let name = target.value;
    if redirects.contains(&name) {
        let message = format!("listener \"{name}\" has no TLS: it redirects as well");
        diagnostics.error(at, message);
        return None;
    }
    let target = listeners.lookup(target, diagnostics).ok()?;
    let port = target.bind.first()?.port();
    // The port is unknown until the listener is bound, and differs at each start.
    if port == 0 {
        let message = format!("listener \"{}\" has no fixed port", target.name);
        diagnostics.error(at, message);
        return None;
    }
    Some(ListenerKind::Redirect {
        listener: target.name.clone(),
        port,
    })
}

fn assemble(
    written: &WrittenListener<'_>,
    kind: Option<ListenerKind>,
    named: Named,
) -> Option<Arc<Listener>> {
    let common = written.common.as_ref()?;
    let looks = named.looks?;
    Some(Arc::new(Listener {
        name: written.name.to_owned(),
        bind: common.bind.clone(),
        kind: kind?,
        limits: common.limits.clone(),
        trusted_proxies: common.trusted_proxies.clone(),
        jwks_path: common.jwks_path.as_ref().map(|path| path.value.clone()),
        rotation: match &written.role {
            Role::Tls(tls) => allowance(tls),
            Role::Unclear | Role::Redirect(..) => RotationAllowance::default(),
        },
        rate_limits: named.limits?,
        request_fields: fields(&written.fields.request)?,
        response_fields: fields(&written.fields.response)?,
        security_headers: looks.security,
        error_pages: looks.pages,
    }))
}

fn allowance(written: &WrittenTls<'_>) -> RotationAllowance {
    let files = written.certificates.iter();
    let files = files.map(|entry| entry.as_ref().and_then(|entry| entry.files.as_ref()));
    RotationAllowance {
        expired: files
            .map(|files| files.is_some_and(|files| files.allow_expired))
            .collect(),
        fewer_names: written.allow_fewer_names,
    }
}

fn resolve_tls<'s>(
    listener: &str,
    written: &WrittenTls<'s>,
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Option<ListenerKind> {
    let files = read_files(listener, written, trust, context);
    let (certificates, client_ca) = match (files.certificates, files.client_ca) {
        (Ok(certificates), Ok(client_ca)) => (certificates, client_ca),
        (certificates, client_ca) => {
            let is_faulty = written.is_faulty
                || certificates.is_err_and(|broken| broken == Broken::Faulty)
                || matches!(client_ca, Err(Broken::Faulty));
            // A refused listener may stay as it runs, but only if it asks for the same clients as the new one would.
            // If something is faulty, nothing is taken: a message about the clients would only distract from the cause.
            if is_faulty {
                return None;
            }
            let client_ca = client_ca.ok().flatten();
            let asked = files
                .asked
                .iter()
                .map(|(c, own)| (c.as_ref(), own.as_ref()));
            let asked = ClientCas::of(asked, written.sni?, client_ca.as_ref());
            return without_new_files(listener, written.at, &asked, client_ca.clone(), context);
        }
    };
    // The parser has reported an empty list.
    let first = certificates.first()?.at;
    let sni = written.sni?;
    check_names_and_sni(&certificates, sni, context.diagnostics);
    check_agreement(&certificates, context.diagnostics);
    let allowed: Vec<bool> = certificates.iter().map(|c| c.allow_expired).collect();
    let (certificates, own): (Vec<_>, Vec<_>) = certificates
        .into_iter()
        .map(|c| (c.certified, c.client_ca))
        .unzip();
    let mut settings = TlsSettings {
        policy: written.policy?,
        client_ca,
        certificate_client_ca: own,
    };
    let running = context.last_good.listener(listener).map(Arc::as_ref);
    let fewer = written.allow_fewer_names;
    let worse = last_good::why_worse(&certificates, &allowed, fewer, running);
    let certificates = match worse {
        None => certificates,
        Some((why, help)) => {
            let problem = Problem::error(first, why).with_help(help);
            match last_good::running_certificates(running, &certificates, sni, &settings) {
                Ok((served, own)) => {
                    context.refuse(&Unit::Listener(listener.to_owned()), vec![problem]);
                    settings.certificate_client_ca = own;
                    served
                }
                // The running certificates ask for other clients, so keeping them would let in the wrong ones. Then
                // nothing is taken.
                Err(last_good::AsksForOthers) => {
                    context.diagnostics.add(problem);
                    certificates
                }
            }
        }
    };
    Some(ListenerKind::Tls {
        certificates,
        sni,
        settings,
    })
}

/// Reads all files before anything is decided, so that one run reports every problem.
fn read_files<'s>(
    listener: &str,
    written: &WrittenTls<'s>,
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Files<'s> {
    let client_ca = resolve_given_client_ca(listener, &written.client_ca, trust, context);
    let mut asked = Vec::new();
    let mut certificates = Ok(Vec::new());
    for entry in &written.certificates {
        let certificate = match entry {
            Some(entry) => read_certificate(listener, entry, trust, &mut asked, context),
            None => Err(Broken::Faulty),
        };
        certificates = match (certificates, certificate) {
            (Ok(mut known), Ok(certificate)) => {
                known.push(certificate);
                Ok(known)
            }
            // A faulty entry decides, since then the configuration is not taken at all.
            (Err(Broken::Faulty), _) | (_, Err(Broken::Faulty)) => Err(Broken::Faulty),
            (Err(Broken::Closed), _) | (_, Err(Broken::Closed)) => Err(Broken::Closed),
        };
    }
    Files {
        certificates,
        client_ca,
        asked,
    }
}

fn resolve_given_client_ca(
    listener: &str,
    written: &Given<WrittenClientCa<'_>>,
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Result<Option<Arc<ClientCa>>, Broken> {
    match written {
        Given::Absent => Ok(None),
        Given::Faulty => Err(Broken::Faulty),
        Given::Value(written) => resolve_client_ca(listener, written, trust, context).map(Some),
    }
}

fn read_certificate<'s>(
    listener: &str,
    written: &WrittenCertificate<'s>,
    trust: &mut Declared<'_, TrustBundle>,
    asked: &mut Vec<AskedCertificate>,
    context: &mut Context<'_>,
) -> Result<Certificate<'s>, Broken> {
    let unit = Unit::Listener(listener.to_owned());
    let files = written.files.as_ref().ok_or(Broken::Faulty);
    let certified = files.and_then(|files| resolve_certificate(files, &unit, context));
    let client_ca = resolve_given_client_ca(listener, &written.client_ca, trust, context);
    // Recorded even if the certificate is broken: the running one may stand in only if it asks for the same clients.
    let readable = certified.as_ref().ok().cloned();
    asked.push((readable, client_ca.as_ref().ok().cloned().flatten()));
    let mut certified = certified?;
    match &written.ocsp {
        Given::Absent => {}
        Given::Faulty => return Err(Broken::Faulty),
        Given::Value(file) => {
            let running = context.last_good.listener(listener).map(Arc::as_ref);
            let running = last_good::running_like(running, &certified);
            certified = resolve_staple(file, certified, running, &unit, context)?;
        }
    }
    Ok(Certificate {
        at: written.at,
        certified,
        client_ca: client_ca?,
        allow_expired: files.is_ok_and(|files| files.allow_expired),
    })
}

fn without_new_files(
    listener: &str,
    at: At<'_>,
    asked: &ClientCas<'_>,
    client_ca: Option<Arc<ClientCa>>,
    context: &Context<'_>,
) -> Option<ListenerKind> {
    let running = context.last_good.listener(listener).map(Arc::as_ref);
    let kind = last_good::without_new_files(running, asked, client_ca);
    if kind.is_err() {
        must_not_go_on(listener, at, context);
    }
    kind.ok()
}

fn check_names_and_sni(
    certificates: &[Certificate<'_>],
    sni: SniPolicy,
    diagnostics: &Diagnostics,
) {
    for certificate in certificates {
        if certificate.certified.names.is_empty() && sni == SniPolicy::Strict {
            let message =
                "this certificate has no DNS name, so under sni = \"strict\" no client gets it";
            diagnostics.warning(certificate.at, message);
        }
        // The handshake would ask for the client certificate of the SNI, while the Host decides on the route.
        if certificate.client_ca.is_some() && sni == SniPolicy::Any {
            let message = "a certificate with a \"client_ca\" of its own needs sni = \"strict\": otherwise a client could ask for its host under another name";
            diagnostics.error(certificate.at, message);
        }
    }
}

/// Reports certificates that share a name and ask for different clients. Which one a client gets depends on its key
/// types, so it could choose the weaker demand.
fn check_agreement(certificates: &[Certificate<'_>], diagnostics: &Diagnostics) {
    let digest = |certificate: &Certificate<'_>| certificate.client_ca.as_ref().map(|ca| ca.digest);
    let mut known: HashMap<&str, &Certificate<'_>> = HashMap::new();
    for certificate in certificates {
        for name in &certificate.certified.names {
            let first = *known.entry(name).or_insert(certificate);
            if digest(first) != digest(certificate) {
                let message = format!(
                    "\"{name}\" has another \"client_ca\" in the certificate at {}",
                    first.at.text()
                );
                diagnostics.error(certificate.at, message);
                break;
            }
        }
    }
}
