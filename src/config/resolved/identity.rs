//! `[identity.*]` and `[signing]`: reads the key sets, secrets, lists of the denied and signing keys that they name.
//!
//! A provider whose files are broken stays as it runs, settings included: its keys belong to them. One that never ran takes
//! no token.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http_strict::same_field_name;
use identity::{Expectations, Key, KeySet, Signer};

use super::context::{Context, open_secret, problem_of};
use super::issuers;
use super::names::Declared;
use crate::config::last_good::Choice;
use crate::config::model::Unit;
use crate::config::written::diagnostics::{Diagnostics, Problem};
use crate::config::written::identity::{WrittenPlace, WrittenProvider, WrittenSigning};
use crate::config::written::listeners::WrittenListener;
use crate::config::written::reader::Given;
use crate::config::written::source::{At, Placed};
use crate::identity::issuer::{Introspector, parse_denied};
use crate::identity::{
    Denied, KeyRing, Keys, Once, Provider, ProviderSettings, Signing, TokenPlace, UsedTokens,
};
use crate::time::seconds;
use crate::tls::{TrustBundle, readable_by_others};

/// The key that is made at the first start, in the `state_dir`.
const OWN_KEY: &str = "identity-key.pem";

pub(crate) fn resolve<'s>(
    written: &[WrittenProvider<'s>],
    dns_servers: &[SocketAddr],
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Declared<'s, Provider> {
    let mut providers = Declared::new("identity");
    let mut issuers: BTreeMap<&str, &str> = BTreeMap::new();
    for provider in written {
        if let Some(issuer) = &provider.issuer
            && let Some(first) = issuers.insert(issuer, provider.name)
        {
            let message = format!("identity \"{first}\" has the same issuer");
            let help = "one table for each issuer: its tokens must be checked in one way";
            context
                .diagnostics
                .error_with_help(provider.at, message, Some(help));
        }
        check_place(provider, written, context);
        let resolved = resolve_provider(provider, dns_servers, trust, context);
        providers.declare(provider.name, provider.at, resolved);
    }
    providers
}

/// Reports a token in a header field that is dropped from every request, because it says to gateways who is calling.
fn check_place(provider: &WrittenProvider<'_>, all: &[WrittenProvider<'_>], context: &Context<'_>) {
    let Some(TokenPlace::Field(name)) = &provider.place else {
        return;
    };
    let holds = |other: &&WrittenProvider<'_>| {
        let mut fields = other.fields.iter().flatten();
        fields.any(|(field, _)| same_field_name(field.as_bytes(), name.as_bytes()))
    };
    if let Some(other) = all.iter().find(holds) {
        let message = format!(
            "\"token\" is read from the header field \"{name}\", but \"headers\" of identity \"{}\" has it, so it is dropped from every request",
            other.name
        );
        context.diagnostics.error(provider.at, message);
    }
}

fn resolve_provider(
    written: &WrittenProvider<'_>,
    dns_servers: &[SocketAddr],
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Option<Arc<Provider>> {
    let mut problems = Vec::new();
    let fetched = issuers::resolve(written, dns_servers, trust, context);
    let (live_keys, live_denied) = match &fetched {
        Some(fetched) => (fetched.keys.as_ref(), fetched.denied.as_ref()),
        None => (None, None),
    };
    let keys = match live_keys {
        Some(live) => Some(Keys::Fetched(Arc::clone(live))),
        None => read_keys(written, context, &mut problems).map(Keys::Given),
    };
    let denied = match live_denied {
        Some(live) => Some(Denied::Fetched(Arc::clone(live))),
        None => read_denied(&written.denied, context, &mut problems).map(Denied::Given),
    };
    let is_faulty = fetched.is_none()
        || matches!(written.secret, Given::Faulty)
        || matches!(written.once, Given::Faulty);
    let introspector = fetched.as_ref().and_then(|f| f.introspector.clone());
    let once = once_of(written, context);
    let settings = |keys, denied| {
        let (introspector, once) = (introspector.clone(), once.clone());
        settings_of(written, keys, denied, introspector, once)
    };
    let nobody = Denied::Given(BTreeSet::new());
    let closed = settings(Keys::None, nobody).filter(|_| !is_faulty);
    let Some(closed) = closed else {
        context.report(problems);
        return None;
    };
    let unit = Unit::Identity(written.name.to_owned());
    let new = match (keys, denied) {
        (Some(keys), Some(denied)) => settings(keys, denied),
        _ => None,
    };
    let running = context.last_good.identity.get(written.name).cloned();
    match context.last_good.choose(new, running) {
        // Its routes refuse every caller rather than none.
        Choice::Closed => {
            context.refuse(&unit, problems);
            Some(closed)
        }
        choice => context.settle(&unit, choice, problems).ok(),
    }
}

/// The memory of the tokens that were used. It outlives every reload.
fn once_of(written: &WrittenProvider<'_>, context: &Context<'_>) -> Option<Once> {
    let Given::Value(most) = written.once else {
        return None;
    };
    let issuer = written.issuer.as_deref()?;
    let running = context.last_good.identity.get(written.name);
    let running = running.and_then(|provider| provider.once.as_ref());
    let used = match running.filter(|once| once.used.is_of(issuer)) {
        Some(once) => Arc::clone(&once.used),
        None => Arc::new(UsedTokens::of(issuer)),
    };
    Some(Once { used, most })
}

/// None if a key of the table is missing or faulty.
fn settings_of(
    written: &WrittenProvider<'_>,
    keys: Keys,
    denied: Denied,
    introspector: Option<Arc<Introspector>>,
    once: Option<Once>,
) -> Option<Arc<Provider>> {
    Some(Arc::new(Provider::new(ProviderSettings {
        name: written.name.to_owned(),
        expected: Expectations {
            issuer: written.issuer.clone()?,
            audiences: written.audiences.clone()?,
            algorithms: written.algorithms.clone()?,
            types: written.types.clone()?,
            clock_skew: written.clock_skew?.as_secs(),
        },
        place: written.place.clone()?,
        bound: written.certificate_bound?,
        claims: written.claims.clone()?.into_iter().collect(),
        fields: written.fields.clone()?,
        hides_subject: written.hides_subject?,
        denied,
        keys,
        introspector,
        once,
    })))
}

/// The keys of the set and the secret; None if a file cannot be used.
fn read_keys(
    written: &WrittenProvider<'_>,
    context: &mut Context<'_>,
    problems: &mut Vec<Problem>,
) -> Option<KeySet> {
    let mut keys = Vec::new();
    let mut whole = true;
    if let Given::Value(WrittenPlace::File(file)) = &written.jwks {
        let bytes = read(file, context, problems);
        whole &= bytes.is_some();
        let parsed = bytes.map(|bytes| KeySet::parse(&bytes));
        match parsed {
            None => {}
            Some(Ok(parsed)) => {
                for skipped in parsed.skipped {
                    let message = format!("{} is left out: {skipped}", file.value);
                    problems.push(Problem::warning(file.at, message));
                }
                keys.extend(parsed.keys.keys().iter().cloned());
            }
            Some(Err(error)) => {
                let message = format!("{} is no usable key set: {error}", file.value);
                problems.push(Problem::error(file.at, message));
                whole = false;
            }
        }
    }
    if let Given::Value(file) = &written.secret {
        let bytes = read(file, context, problems);
        // Editors and `echo` add a line feed.
        let key = bytes.map(|bytes| Key::from_secret(bytes.trim_ascii()));
        match key {
            None => whole = false,
            Some(Ok(key)) => keys.push(key),
            Some(Err(_)) => {
                let message = format!("{} holds fewer than 32 bytes", file.value);
                let problem = Problem::error(file.at, message);
                problems.push(problem.with_help("create one with: openssl rand -hex 32"));
                whole = false;
            }
        }
        let path = file.at.resolve(file.value);
        problems.extend(open_secret(file.at, &path));
    }
    whole.then(|| KeySet::of(keys))
}

/// A line each: a `jti` or a `sub`. None if the file cannot be used.
pub(super) fn read_denied(
    written: &Given<WrittenPlace<'_>>,
    context: &mut Context<'_>,
    problems: &mut Vec<Problem>,
) -> Option<BTreeSet<String>> {
    let file = match written {
        Given::Absent => return Some(BTreeSet::new()),
        // A URL that is no destination was reported.
        Given::Faulty | Given::Value(WrittenPlace::Url(_)) => return None,
        Given::Value(WrittenPlace::File(file)) => file,
    };
    let bytes = read(file, context, problems)?;
    match parse_denied(&bytes) {
        Ok(denied) => Some(denied),
        Err(why) => {
            let message = format!("{} cannot be used: {why}", file.value);
            problems.push(Problem::error(file.at, message));
            None
        }
    }
}

fn read(
    file: &Placed<'_, &str>,
    context: &mut Context<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Vec<u8>> {
    let path = file.at.resolve(file.value);
    context.note_files([path.clone()]);
    match seclang::files::read(&path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let message = format!("cannot read {}: {error}", path.display());
            problems.push(Problem::error(file.at, message));
            None
        }
    }
}

/// How tokens for gateways are signed. Without `keys` the key is in the `state_dir`; before the first start it is not there
/// yet, and there is no signer.
pub(crate) fn resolve_signing(
    written: &Given<WrittenSigning<'_>>,
    state_dir: Option<&Path>,
    context: &mut Context<'_>,
) -> Given<Arc<Signing>> {
    let written = match written {
        Given::Absent => return Given::Absent,
        Given::Faulty => return Given::Faulty,
        Given::Value(written) => written,
    };
    let mut problems = Vec::new();
    let (ring, own) = match &written.keys {
        Given::Faulty => return Given::Faulty,
        Given::Value(files) => {
            for Placed { value, at } in &written.rotation_keys {
                let message = format!("\"{value}\" is for keys in the state_dir, not for \"keys\"");
                context.diagnostics.error(*at, message);
            }
            let files = files.iter().map(|f| (f.at, f.at.resolve(f.value)));
            let files: Vec<_> = files.collect();
            let signers = read_signers(&files, context, &mut problems);
            (signers.map(KeyRing::given), None)
        }
        Given::Absent => match state_dir {
            Some(folder) => {
                let path = folder.join(OWN_KEY);
                let ring = read_own(written.at, &path, context, &mut problems);
                (ring, written.rotation.map(|rotation| (path, rotation)))
            }
            None => {
                let message = "there is no key to sign with";
                let help =
                    "keys = [\"FILE\"], or a state_dir, where a key is made at the first start";
                context
                    .diagnostics
                    .error_with_help(written.at, message, Some(help));
                return Given::Faulty;
            }
        },
    };
    let signing = || {
        Some(Arc::new(Signing {
            issuer: written.issuer.clone()?,
            claims: written.claims.clone()?,
            ring: Arc::new(ArcSwapOption::new(ring?.map(Arc::new))),
            own,
            jwks_file: match &written.jwks_file {
                Given::Absent => None,
                Given::Faulty => return None,
                Given::Value(file) => Some(file.at.resolve(file.value)),
            },
        }))
    };
    let faulty = written.issuer.is_none() || written.claims.is_none() || written.rotation.is_none();
    let (new, running) = (signing(), context.last_good.signing.clone());
    if faulty {
        context.report(problems);
        return Given::Faulty;
    }
    match context.last_good.choose(new, running) {
        // Nothing was signed so far, so nobody loses anything; but a route must not go without its token.
        Choice::Closed => {
            context.report(problems);
            Given::Faulty
        }
        choice => context.settle(&Unit::Signing, choice, problems).ok().into(),
    }
}

/// Reports listeners that would publish keys that there are not.
pub(crate) fn check_jwks_paths(
    listeners: &[WrittenListener<'_>],
    signing: &Given<Arc<Signing>>,
    diagnostics: &Diagnostics,
) {
    if !matches!(signing, Given::Absent) {
        return;
    }
    let common = listeners.iter().filter_map(|l| l.common.as_ref());
    for path in common.filter_map(|common| common.jwks_path.as_ref()) {
        let message = "\"jwks_path\" needs a [signing] table, whose keys it shows";
        let help = "[signing] with issuer = \"https://door.example.com\"";
        diagnostics.error_with_help(path.at, message, Some(help));
    }
}

/// The keys in the `state_dir`; None inside if they are yet to be made.
fn read_own(
    at: At<'_>,
    path: &Path,
    context: &mut Context<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Option<KeyRing>> {
    context.note_files([path.to_path_buf()]);
    // Made at the start. While a front door runs, a file that is gone is a mistake.
    if !context.last_good.runs && !path.exists() {
        return Some(None);
    }
    problems.extend(readable_by_others(path).map(|finding| problem_of(at, finding)));
    match read_own_keys(path) {
        Ok(ring) => Some(Some(ring)),
        Err(message) => {
            let help = "restore the file; or remove it and start anew: then gateways must fetch the new key before they \
                        take tokens again";
            problems.push(Problem::error(at, message).with_help(help));
            None
        }
    }
}

/// Reads the file of keys in a `state_dir`.
///
/// # Errors
/// It cannot be read, or is damaged.
pub(crate) fn read_own_keys(path: &Path) -> Result<KeyRing, String> {
    let shown = path.display();
    let bytes =
        seclang::files::read(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    // Without the time of its writing a key of an earlier version counts as old, and is replaced after an overlap.
    let written = std::fs::metadata(path).and_then(|file| file.modified());
    let written = written.map_or(0, seconds);
    KeyRing::parse(&bytes, written)
        .map_err(|error| format!("{shown} holds no keys to sign with: {error}"))
}

fn read_signers(
    files: &[(At<'_>, PathBuf)],
    context: &mut Context<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Vec<Arc<Signer>>> {
    context.note_files(files.iter().map(|(_, path)| path.clone()));
    let mut signers = Vec::new();
    for (at, path) in files {
        let shown = path.display();
        problems.extend(readable_by_others(path).map(|finding| problem_of(*at, finding)));
        let read =
            seclang::files::read(path).map_err(|error| format!("cannot read {shown}: {error}"));
        let signer = read.and_then(|pem| match Signer::from_pem(&pem) {
            Ok(Some(signer)) => Ok(signer),
            Ok(None) => Err(format!("{shown} is no key of P-256 or Ed25519")),
            Err(_) => Err(format!(
                "{shown} is no private key in PEM without a passphrase"
            )),
        });
        match signer {
            Ok(signer) => signers.push(Arc::new(signer)),
            Err(message) => {
                let help =
                    "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out FILE";
                problems.push(Problem::error(*at, message).with_help(help));
            }
        }
    }
    let missing = problems.iter().any(|problem| problem.diagnostic.is_error());
    (!missing).then_some(signers)
}
