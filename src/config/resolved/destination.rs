//! Where the front door itself sends something or fetches something from: with its trust bundle and its secrets.

use std::net::SocketAddr;
use std::sync::Arc;

use super::context::{Broken, Context, open_secret};
use super::names::Declared;
use crate::config::written::destination::{SYSTEM, WrittenDestination};
use crate::config::written::reader::Given;
use crate::config::written::source::Placed;
use crate::outbound::{Destination, Limits, Proxy, ProxyCredentials, Scheme, Settings, Url};
use crate::tls::TrustBundle;

/// None if something is faulty, which was reported. `timeout` of the written destination goes before that of `limits`.
pub(crate) fn resolve(
    written: &WrittenDestination<'_>,
    limits: Limits,
    dns_servers: &[SocketAddr],
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Option<Destination> {
    let settings = resolve_way(written, limits, dns_servers, trust, context);
    resolve_url(written.key, written.url.as_ref()?, &settings?, context)
}

/// What all URLs of a table have in common.
pub(crate) fn resolve_way(
    written: &WrittenDestination<'_>,
    limits: Limits,
    dns_servers: &[SocketAddr],
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Option<Arc<Settings>> {
    // All of them before any `?`, so that every problem is found.
    let bundle = resolve_trust(written, trust, context);
    let proxy = resolve_proxy(written, context);
    let whole = written.timeout?;
    Some(Arc::new(Settings {
        trust: bundle?,
        allow_http: written.allow_http,
        proxy: proxy.unless_faulty()?,
        dns_servers: dns_servers.to_vec(),
        limits: Limits {
            // All addresses share this time, so it must fit into the whole.
            connect: limits.connect.min(whole),
            handshake: limits.handshake.min(whole),
            whole,
            ..limits
        },
    }))
}

/// One URL under these settings.
pub(crate) fn resolve_url(
    key: &str,
    url: &Placed<'_, Url>,
    settings: &Arc<Settings>,
    context: &Context<'_>,
) -> Option<Destination> {
    match Destination::at(url.value.clone(), Arc::clone(settings)) {
        Ok(destination) => Some(destination),
        Err(error) => {
            let help = match url.value.scheme() {
                Scheme::Http if key != "url" => "write https://",
                Scheme::Http => "allow_http = true, if that is what you want",
                Scheme::Https => "trust = \"NAME\" of a [trust.NAME], or trust = \"system\"",
            };
            let message = format!("\"{key}\" {error}");
            let diagnostics = context.diagnostics;
            diagnostics.error_with_help(url.at, message, Some(help));
            None
        }
    }
}

/// Some(None) if nobody is to be trusted.
#[expect(clippy::option_option, reason = "the outer one is for `?`")]
fn resolve_trust(
    written: &WrittenDestination<'_>,
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Option<Option<Arc<TrustBundle>>> {
    let named = match &written.trust {
        Given::Absent => return Some(None),
        Given::Faulty => return None,
        Given::Value(named) => named,
    };
    if named.value != SYSTEM {
        return match trust.lookup(named, context.diagnostics) {
            Ok(bundle) => Some(Some(bundle)),
            Err(Broken::Faulty) => None,
            // It trusts nobody, so nothing is sent until the bundle is repaired.
            Err(Broken::Closed) => Some(Some(Arc::new(TrustBundle::of_nobody(named.value)))),
        };
    }
    if trust.contains(SYSTEM) {
        let message = "\"system\" means the system's public roots, and there is a [trust.system] too: give that another name";
        context.diagnostics.error(named.at, message);
        return None;
    }
    match TrustBundle::system() {
        Ok(roots) => {
            context.note_files(roots.files.first().cloned());
            Some(Some(Arc::new(roots)))
        }
        Err(error) => {
            let help = Some("install the package ca-certificates");
            let diagnostics = context.diagnostics;
            diagnostics.error_with_help(named.at, error.to_string(), help);
            None
        }
    }
}

fn resolve_proxy(written: &WrittenDestination<'_>, context: &mut Context<'_>) -> Given<Proxy> {
    let credentials = match &written.proxy_credentials {
        Given::Absent => Some(None),
        Given::Faulty => None,
        Given::Value(file) => resolve_credentials(file, context).map(Some),
    };
    match (&written.proxy, &written.proxy_credentials) {
        (Given::Absent, Given::Value(file)) => {
            let message = "\"proxy_credentials\" are for a \"proxy\", and there is none";
            context.diagnostics.error(file.at, message);
            Given::Faulty
        }
        (Given::Absent, _) => Given::Absent,
        (Given::Faulty, _) => Given::Faulty,
        (Given::Value(url), _) => credentials
            // The URL was checked when it was read.
            .and_then(|credentials| Proxy::new(url.value, credentials).ok())
            .into(),
    }
}

fn resolve_credentials(
    file: &Placed<'_, &str>,
    context: &mut Context<'_>,
) -> Option<ProxyCredentials> {
    let secret = resolve_secret(file, context)?;
    let credentials = ProxyCredentials::parse(&secret);
    if credentials.is_none() {
        let message = format!("\"{}\" must hold one line: USER:PASSWORD", file.value);
        context.diagnostics.error(file.at, message);
    }
    credentials
}

/// What a file with one secret holds. It may be sent in a field of HTTP.
pub(crate) fn resolve_secret(file: &Placed<'_, &str>, context: &mut Context<'_>) -> Option<String> {
    let path = file.at.resolve(file.value);
    context.note_files([path.clone()]);
    context.report(open_secret(file.at, &path).into_iter().collect());
    let read = seclang::files::read(&path).map_err(|error| error.to_string());
    let text = read.and_then(|bytes| {
        // Editors and `echo` add a line feed.
        let bytes = bytes.trim_ascii();
        let fits = |b: &u8| b.is_ascii_graphic() || *b == b' ';
        match bytes.is_empty() || !bytes.iter().all(fits) {
            true => Err("it must hold one line of printable ASCII".to_owned()),
            false => Ok(bytes.iter().copied().map(char::from).collect()),
        }
    });
    text.map_err(|why| {
        let message = format!("cannot use {}: {why}", path.display());
        context.diagnostics.error(file.at, message);
    })
    .ok()
}
