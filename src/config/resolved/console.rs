//! `[console]`: its certificates and its client CA.
//!
//! A part that is broken while a front door runs leaves the running one in use. Where that would let in clients that the
//! new configuration refuses, the console answers nobody until the files are repaired.

use std::net::SocketAddr;
use std::sync::Arc;

use super::context::{Broken, Context, problem_of};
use super::destination;
use super::materials::{refused_trust, resolve_certificate};
use super::names::Declared;
use crate::config::last_good::Choice;
use crate::config::model::{ConsoleOpenId, ConsoleTls, TlsSettings, Unit};
use crate::config::written::console::{WrittenConsole, WrittenConsoleTls};
use crate::config::written::reader::Given;
use crate::config::written::trust::WrittenClientCa;
use crate::identity::issuer::ClientSecret;
use crate::outbound::Limits;
use crate::tls::{ClientCa, TrustBundle};

/// A provider's keys are its largest answer, in bytes.
const MOST_ANSWER: usize = 256 << 10;

/// `Ok(None)` for a console without TLS, and where a part is broken that never ran.
pub(crate) fn resolve_tls(
    written: &Given<WrittenConsole<'_>>,
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Result<Option<ConsoleTls>, Broken> {
    let Given::Value(WrittenConsole { tls: Some(tls), .. }) = written else {
        return Ok(None);
    };
    match resolve(tls, trust, context) {
        Ok(tls) => Ok(Some(tls)),
        Err(Broken::Closed) => Ok(None),
        Err(Broken::Faulty) => Err(Broken::Faulty),
    }
}

/// Reads all files before anything is decided, so that one run reports every problem.
fn resolve(
    written: &WrittenConsoleTls<'_>,
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Result<ConsoleTls, Broken> {
    let client_ca = match &written.client_ca {
        Given::Absent => Ok(None),
        Given::Faulty => Err(Broken::Faulty),
        Given::Value(written) => resolve_client_ca(written, trust, context).map(Some),
    };
    let certificates = written.certificates.iter().map(|files| match files {
        Some(files) => resolve_certificate(files, &Unit::Console, context),
        None => Err(Broken::Faulty),
    });
    let certificates: Vec<_> = certificates.collect();
    let certificates: Result<Vec<_>, Broken> = certificates.into_iter().collect();
    let certificates = certificates?;
    if certificates.is_empty() {
        // The parser reported an empty list.
        return Err(Broken::Faulty);
    }
    Ok(ConsoleTls {
        settings: TlsSettings {
            client_ca: client_ca?,
            certificate_client_ca: vec![None; certificates.len()],
            ..TlsSettings::default()
        },
        certificates,
        client_roles: written.client_roles.clone(),
    })
}

fn resolve_client_ca(
    written: &WrittenClientCa<'_>,
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Result<Arc<ClientCa>, Broken> {
    let named = written.trust.as_ref().ok_or(Broken::Faulty)?;
    let bundle = match trust.lookup(named, context.diagnostics) {
        Err(Broken::Closed) => {
            context.refuse(&Unit::Console, vec![refused_trust(named)]);
            return Err(Broken::Closed);
        }
        found => found?,
    };
    // After the bundle was looked up: it is used, even if another key of the table is faulty.
    let mode = written.mode.ok_or(Broken::Faulty)?;
    let lists = &written.crl;
    let files: Vec<_> = lists.iter().map(|f| f.at.resolve(f.value)).collect();
    context.note_files(files.iter().cloned());
    let mut findings = Vec::new();
    let digest = bundle.digest;
    let new = ClientCa::load(bundle, mode, files.clone(), &mut findings).map(Arc::new);
    let findings = findings.into_iter().map(|(index, finding)| {
        let at = lists.get(index).map_or(written.at, |file| file.at);
        problem_of(at, finding)
    });
    let problems = findings.collect();
    // The running one stands in only if it asks for the same clients.
    let running = context.last_good.console_client_ca();
    let running = running
        .filter(|ca| (ca.mode, &ca.crl, ca.trust.digest) == (mode, &files, digest))
        .cloned();
    let choice: Choice<_> = context.last_good.choose(new, running);
    context.settle(&Unit::Console, choice, problems)
}

/// Some(None) without such logins; None if something is faulty, which was reported.
#[expect(clippy::option_option, reason = "the outer one is for `?`")]
pub(crate) fn resolve_openid(
    written: &Given<WrittenConsole<'_>>,
    dns_servers: &[SocketAddr],
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Option<Option<Arc<ConsoleOpenId>>> {
    let written = match written {
        Given::Value(console) => &console.openid,
        _ => return Some(None),
    };
    let written = match written {
        Given::Absent => return Some(None),
        Given::Faulty => return None,
        Given::Value(written) => written,
    };
    let limits = Limits {
        body_bytes: MOST_ANSWER,
        ..Limits::default()
    };
    let issuer = destination::resolve(&written.destination, limits, dns_servers, trust, context);
    let secret = match &written.client_secret {
        Given::Absent => Some(None),
        Given::Faulty => None,
        Given::Value(file) => destination::resolve_secret(file, context).map(Some),
    };
    // Only after both were read, so that problems of both are reported.
    let (issuer, secret) = (issuer?, secret?);
    let path = issuer.url().path().trim_end_matches('/');
    let discovery = issuer.with_path(&format!("{path}/.well-known/openid-configuration"));
    let discovery = discovery.map_err(|error| {
        let message = format!("\"issuer\" {error}");
        context.diagnostics.error(written.destination.at, message);
    });
    Some(Some(Arc::new(ConsoleOpenId {
        issuer: written.issuer.clone(),
        discovery: Arc::new(discovery.ok()?),
        client_id: written.client_id.clone(),
        secret: secret.map(ClientSecret),
        redirect: written.redirect.clone(),
        scopes: written.scopes.clone(),
        roles: written.roles.clone(),
    })))
}
