//! What of `[identity.*]` is fetched: where from, and what of it goes on after a reload.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::context::Context;
use super::destination::{resolve_secret, resolve_url, resolve_way};
use super::names::Declared;
use crate::config::written::identity::{WrittenIntrospection, WrittenPlace, WrittenProvider};
use crate::config::written::reader::Given;
use crate::config::written::source::Placed;
use crate::identity::issuer::{
    AskingBounds, ClientSecret, DeniedSource, DiscoveryAt, EndpointAt, IntrospectionSource,
    Introspector, IssuerKeys, KeySource, KeysAt, Live, LiveDenied, OwnClient, Schedule,
};
use crate::identity::{Denied, Keys};
use crate::outbound::{Limits, Settings, Url};
use crate::tls::TrustBundle;

/// The largest key set that is read, and the largest document.
const MOST_KEYS_ANSWER: usize = 256 << 10;
const MOST_DENIED_ANSWER: usize = 8 << 20;

/// What is fetched; nothing where it is in files.
pub(super) struct Fetched {
    pub(super) keys: Option<Arc<IssuerKeys>>,
    pub(super) denied: Option<Arc<LiveDenied>>,
    pub(super) introspector: Option<Arc<Introspector>>,
}

/// None if something is faulty, which was reported.
pub(super) fn resolve(
    written: &WrittenProvider<'_>,
    dns_servers: &[SocketAddr],
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Option<Fetched> {
    let faulty = !has_one_source(written, context)
        || matches!(written.jwks, Given::Faulty)
        || matches!(written.discovery, Given::Faulty)
        || matches!(written.denied, Given::Faulty)
        || matches!(written.introspection, Given::Faulty);
    let limits = Limits {
        body_bytes: MOST_KEYS_ANSWER,
        ..Limits::default()
    };
    let way = resolve_way(&written.way, limits, dns_servers, trust, context)?;
    let from = match (&written.jwks, &written.discovery) {
        (Given::Value(WrittenPlace::Url(url)), _) => {
            let at = resolve_url("jwks", url, &way, context)?;
            Some(KeysAt::Set(Arc::new(at)))
        }
        (_, Given::Value(at)) => {
            let url = issuer_url(written, *at, context)?;
            let issuer = resolve_url("issuer", &url, &way, context)?;
            // A path that is too long is the only fault that is left.
            Some(KeysAt::Discovery(DiscoveryAt::of(&issuer).ok()?))
        }
        _ => None,
    };
    let schedule = schedule(written.refresh?, written.max_stale?);
    let issuer = written.issuer.clone();
    let running = context.last_good.identity.get(written.name);
    let keys = match from {
        None => None,
        Some(from) => {
            let name = written.name.to_owned();
            let running = running.and_then(|provider| match &provider.keys {
                Keys::Fetched(live) => Some(live),
                Keys::None | Keys::Given(_) => None,
            });
            let source = KeySource {
                name,
                issuer: issuer?,
                from,
                schedule: schedule.clone(),
            };
            Some(Live::after(source, running))
        }
    };
    let denied = match &written.denied {
        Given::Value(WrittenPlace::Url(url)) => {
            let way = Settings {
                limits: Limits {
                    body_bytes: MOST_DENIED_ANSWER,
                    ..way.limits
                },
                ..way.as_ref().clone()
            };
            let at = Arc::new(resolve_url("denied", url, &Arc::new(way), context)?);
            let running = running.and_then(|provider| match &provider.denied {
                Denied::Fetched(live) => Some(live),
                Denied::Given(_) => None,
            });
            let source = DeniedSource {
                name: written.name.to_owned(),
                at,
                schedule: Schedule {
                    max_stale: schedule.max_stale,
                    ..self::schedule(written.denied_refresh?, schedule.max_stale)
                },
            };
            Some(Live::after(source, running))
        }
        _ => None,
    };
    let introspector = match &written.introspection {
        Given::Value(asking) => Some(resolve_introspection(written, asking, &way, context)?),
        Given::Absent | Given::Faulty => None,
    };
    (!faulty).then_some(Fetched {
        keys,
        denied,
        introspector,
    })
}

/// None if something is faulty, which was reported.
fn resolve_introspection(
    written: &WrittenProvider<'_>,
    asking: &WrittenIntrospection<'_>,
    way: &Arc<Settings>,
    context: &mut Context<'_>,
) -> Option<Arc<Introspector>> {
    let secret = resolve_secret(&asking.secret, context);
    let at = match &asking.url {
        Some(url) => {
            let at = resolve_url("introspect", url, way, context)?;
            EndpointAt::Given(Arc::new(at))
        }
        None => {
            let url = issuer_url(written, asking.at, context)?;
            let issuer = resolve_url("issuer", &url, way, context)?;
            // A path that is too long is the only fault that is left.
            EndpointAt::Discovery {
                at: DiscoveryAt::of(&issuer).ok()?,
                issuer: written.issuer.clone()?,
            }
        }
    };
    let source = IntrospectionSource {
        name: written.name.to_owned(),
        at,
        client: OwnClient {
            name: asking.client.clone(),
            secret: ClientSecret(secret?),
        },
        max_age: asking.max_age,
        clock_skew: written.clock_skew?.as_secs(),
        takes_opaque: asking.takes_opaque,
        bounds: AskingBounds::default(),
    };
    let running = context.last_good.identity.get(written.name);
    let running = running.and_then(|provider| provider.introspector.as_ref());
    Some(Introspector::after(source, running))
}

/// Reports keys in two places.
fn has_one_source(written: &WrittenProvider<'_>, context: &Context<'_>) -> bool {
    let report = |at, message: &str, help| {
        context.diagnostics.error_with_help(at, message, Some(help));
        false
    };
    match (&written.jwks, &written.discovery, &written.secret) {
        (Given::Value(_), Given::Value(at), _) => {
            let message = "\"discovery\" finds the issuer's keys, and \"jwks\" names them too";
            report(*at, message, "keep one of the two")
        }
        (Given::Value(WrittenPlace::Url(_)), _, Given::Value(secret))
        | (_, Given::Value(_), Given::Value(secret)) => {
            let message = "a \"secret\" has no place beside keys that are fetched";
            report(secret.at, message, "leave one of them out")
        }
        _ => true,
    }
}

/// The issuer as the URL that its document stands below.
fn issuer_url<'s>(
    written: &WrittenProvider<'_>,
    at: crate::config::written::source::At<'s>,
    context: &Context<'_>,
) -> Option<Placed<'s, Url>> {
    let issuer = written.issuer.as_ref()?;
    let url = issuer.parse::<Url>();
    // OpenID Connect Discovery 1.0, 2: neither query nor fragment.
    match url {
        Ok(value) if !issuer.contains('?') => Some(Placed { value, at }),
        _ => {
            let message = "\"discovery\" needs an \"issuer\" that is a URL without a query";
            let help = "jwks = \"https://idp.example.com/keys\" in place of \"discovery\"";
            let diagnostics = context.diagnostics;
            diagnostics.error_with_help(at, message, Some(help));
            None
        }
    }
}

fn schedule(most: Duration, max_stale: Duration) -> Schedule {
    let schedule = Schedule::default();
    Schedule {
        least: schedule.least.min(most),
        most,
        max_stale,
        ..schedule
    }
}
