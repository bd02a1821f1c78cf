//! Certificates, trust bundles, revocation lists and keys: reads the files that sections name.
//!
//! Invariant: each file is noted as an input, usable or not, so that its repair is a change.

use std::sync::Arc;

use super::context::{Broken, Context, open_secret, problem_of};
use super::names::Declared;
use crate::config::last_good::listeners::{instead_of_client_ca, with_current_lists};
use crate::config::last_good::{Choice, ROTATION_HELP};
use crate::config::model::{AffinityKey, Listener, Unit};
use crate::config::written::diagnostics::Problem;
use crate::config::written::source::{At, Placed};
use crate::config::written::trust::{CertificateFiles, WrittenClientCa, WrittenTrust};
use crate::tls::{CertifiedKey, ClientCa, Part, TrustBundle};

/// The least bytes of an affinity key. A shorter one could be guessed, and with it which server a cookie names.
const LEAST_AFFINITY_KEY: usize = 16;

pub(crate) fn resolve_trust<'s>(
    written: &[WrittenTrust<'s>],
    context: &mut Context<'_>,
) -> Declared<'s, TrustBundle> {
    let mut bundles = Declared::new("trust");
    for trust in written {
        bundles.declare_result(trust.name, trust.at, resolve_bundle(trust, context));
    }
    bundles
}

fn resolve_bundle(
    written: &WrittenTrust<'_>,
    context: &mut Context<'_>,
) -> Result<Arc<TrustBundle>, Broken> {
    let (name, files) = (written.name, &written.files);
    if files.is_empty() {
        return Err(Broken::Faulty);
    }
    let paths: Vec<_> = files.iter().map(|f| f.at.resolve(f.value)).collect();
    let mut findings = Vec::new();
    let bundle = TrustBundle::load(name, &paths, &mut findings);
    context.note_files(paths);
    let findings = findings.into_iter().map(|(index, finding)| {
        let at = files.get(index).map_or(written.at, |file| file.at);
        problem_of(at, finding)
    });
    let mut problems: Vec<_> = findings.collect();
    let last_good = context.last_good;
    let (choice, worse) = last_good.choose_trust(name, bundle, written.allow_expired);
    problems.extend(worse.map(|why| Problem::error(written.at, why).with_help(ROTATION_HELP)));
    context.settle(&Unit::Trust(name.to_owned()), choice, problems)
}

/// Reads one certificate and its key. `unit` is refused if they cannot be used.
pub(crate) fn resolve_certificate(
    files: &CertificateFiles<'_>,
    unit: &Unit,
    context: &mut Context<'_>,
) -> Result<Arc<CertifiedKey>, Broken> {
    let (chain, key) = (&files.chain, &files.key);
    let paths = (chain.at.resolve(chain.value), key.at.resolve(key.value));
    let mut findings = Vec::new();
    let running = context.last_good.certificate(&paths);
    let certified = CertifiedKey::load(&paths.0, &paths.1, running, &mut findings);
    context.note_files([paths.0.clone(), paths.1.clone()]);
    let findings = findings.into_iter().map(|finding| {
        let at = match finding.part {
            Part::Chain | Part::Ocsp => chain.at,
            Part::Key => key.at,
        };
        problem_of(at, finding)
    });
    let mut problems: Vec<_> = findings.collect();
    let last_good = context.last_good;
    let (choice, worse) = last_good.choose_certificate(certified, running, files.allow_expired);
    problems.extend(worse.map(|why| Problem::error(chain.at, why).with_help(ROTATION_HELP)));
    let certified = context.settle(unit, choice, problems)?;
    // The next reload finds the certificate by its files.
    context.certificates.insert(paths, Arc::clone(&certified));
    Ok(certified)
}

/// The problem at a place that names a refused bundle.
pub(crate) fn refused_trust(name: &Placed<'_, &str>) -> Problem {
    let message = format!("trust bundle \"{}\" cannot be used", name.value);
    Problem::error(name.at, message)
}

/// Reports a listener that must ask for other clients than now and lacks a file for that. If it stayed as it is, it
/// would let in clients that are no longer wanted; if it closed, it would end those that still are.
pub(crate) fn must_not_go_on(listener: &str, at: At<'_>, context: &Context<'_>) {
    let message = format!(
        "listener \"{listener}\" must ask for other client certificates than now, but a file that it needs for that is broken; it can neither go on as it is nor close, so nothing of the configuration is changed"
    );
    context.diagnostics.error(at, message);
}

/// `client_ca` of a listener, or of one of its certificates.
pub(crate) fn resolve_client_ca(
    listener: &str,
    written: &WrittenClientCa<'_>,
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Result<Arc<ClientCa>, Broken> {
    let running = context.last_good.listener(listener).map(Arc::as_ref);
    let unit = Unit::Listener(listener.to_owned());
    let named = written.trust.as_ref().ok_or(Broken::Faulty)?;
    let bundle = match (trust.lookup(named, context.diagnostics), running) {
        (Ok(bundle), _) => bundle,
        (Err(Broken::Faulty), _) => return Err(Broken::Faulty),
        (Err(Broken::Closed), Some(_)) => {
            must_not_go_on(listener, named.at, context);
            return Err(Broken::Faulty);
        }
        (Err(Broken::Closed), None) => {
            context.refuse(&unit, vec![refused_trust(named)]);
            return Err(Broken::Closed);
        }
    };
    // After the bundle was looked up: it is used, even if another key of the table is faulty.
    let mode = written.mode.ok_or(Broken::Faulty)?;
    let lists = &written.crl;
    let files: Vec<_> = lists.iter().map(|f| f.at.resolve(f.value)).collect();
    context.note_files(files.iter().cloned());
    let mut findings = Vec::new();
    let client_ca = ClientCa::load(Arc::clone(&bundle), mode, files.clone(), &mut findings);
    let findings = findings.into_iter().map(|(index, finding)| {
        let at = lists.get(index).map_or(written.at, |file| file.at);
        problem_of(at, finding)
    });
    let problems = findings.collect();
    if let Some(client_ca) = client_ca {
        context.report(problems);
        return Ok(with_best_lists(
            client_ca, written.at, running, &unit, context,
        ));
    }
    // The running one asks for the same clients only with the same mode, list files and bundle.
    let choice = instead_of_client_ca(context.last_good, running, |ca| {
        ca.mode == mode && ca.crl == files && ca.trust.digest == bundle.digest
    });
    context.settle(&unit, choice, problems)
}

/// The new client CA, or the running one if only the running one's lists are current: OpenSSL refuses every client by
/// an outdated list.
fn with_best_lists(
    client_ca: ClientCa,
    at: At<'_>,
    running: Option<&Listener>,
    unit: &Unit,
    context: &mut Context<'_>,
) -> Arc<ClientCa> {
    let Some(current) = with_current_lists(running, &client_ca) else {
        return Arc::new(client_ca);
    };
    let message = "a new revocation list is outdated, but the current one is not";
    let help = "fetch a current list; with an outdated one all clients are refused";
    context.refuse(unit, vec![Problem::error(at, message).with_help(help)]);
    current
}

/// Adds the OCSP response in a file to a certificate. A broken response must not cost the certificate: at a reload the
/// running one stays in use.
pub(crate) fn resolve_staple(
    file: &Placed<'_, &str>,
    certified: Arc<CertifiedKey>,
    running: Option<Arc<CertifiedKey>>,
    unit: &Unit,
    context: &mut Context<'_>,
) -> Result<Arc<CertifiedKey>, Broken> {
    let path = file.at.resolve(file.value);
    let mut findings = Vec::new();
    let stapled = certified.with_ocsp(&path, &mut findings).map(Arc::new);
    context.note_files([path]);
    let findings = findings.into_iter();
    let problems = findings.map(|finding| problem_of(file.at, finding));
    // A staple is optional, so the certificate without one is better than none.
    let unstapled = running.unwrap_or(certified);
    let choice: Choice<_> = context.last_good.choose(stapled, Some(unstapled));
    context.settle(unit, choice, problems.collect())
}

/// The secret of an upstream's affinity cookies.
pub(crate) fn resolve_affinity_key(
    file: &Placed<'_, &str>,
    context: &mut Context<'_>,
) -> Option<AffinityKey> {
    let path = file.at.resolve(file.value);
    context.note_files([path.clone()]);
    context.report(open_secret(file.at, &path).into_iter().collect());
    let key = match seclang::files::read(&path) {
        // Editors and `echo` add a line feed. Several front doors share a key and must read the same bytes.
        Ok(key) => key.trim_ascii().to_vec(),
        Err(error) => {
            let message = format!("cannot read {}: {error}", path.display());
            context.diagnostics.error(file.at, message);
            return None;
        }
    };
    if key.len() < LEAST_AFFINITY_KEY {
        let message = format!(
            "{} holds {} bytes; a key has at least {LEAST_AFFINITY_KEY}; create one with: openssl rand -hex 32",
            path.display(),
            key.len()
        );
        context.diagnostics.error(file.at, message);
        return None;
    }
    Some(AffinityKey(key))
}
