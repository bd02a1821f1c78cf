//! `[exchange.*]`: with the secrets that they name, and what goes on after a reload.

use std::net::SocketAddr;
use std::sync::Arc;

use super::context::Context;
use super::destination::{resolve_secret, resolve_url, resolve_way};
use super::names::Declared;
use crate::config::written::exchange::WrittenExchange;
use crate::config::written::reader::Given;
use crate::identity::issuer::{
    AskingBounds, ClientSecret, DiscoveryAt, EndpointAt, ExchangeSource, Exchanger, OwnClient,
};
use crate::outbound::{Limits, Settings};
use crate::tls::TrustBundle;

/// A discovery document is the largest answer, in bytes.
const MOST_ANSWER: usize = 256 << 10;

pub(crate) fn resolve<'s>(
    written: &[WrittenExchange<'s>],
    dns_servers: &[SocketAddr],
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Declared<'s, Exchanger> {
    let mut exchanges = Declared::new("exchange");
    for exchange in written {
        let resolved = resolve_exchange(exchange, dns_servers, trust, context);
        exchanges.declare(exchange.name, exchange.at, resolved);
    }
    exchanges
}

/// None if something is faulty, which was reported.
fn resolve_exchange(
    written: &WrittenExchange<'_>,
    dns_servers: &[SocketAddr],
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Option<Arc<Exchanger>> {
    let limits = Limits {
        body_bytes: MOST_ANSWER,
        ..Limits::default()
    };
    // All of them before any `?`, so that every problem is found.
    let way = resolve_way(&written.way, limits, dns_servers, trust, context);
    let secret = written.client_secret.as_ref();
    let secret = secret.and_then(|file| resolve_secret(file, context));
    let at = resolve_place(written, way.as_ref(), context);
    let endpoint = ExchangeSource {
        name: written.name.to_owned(),
        at: at?,
        client: OwnClient {
            name: written.client_id.clone()?,
            secret: ClientSecret(secret?),
        },
        audience: written.audience.clone().unless_faulty()?,
        resource: written.resource.clone().unless_faulty()?,
        scope: written.scope.clone().unless_faulty()?,
        subject_type: written.subject_type?,
        max_age: written.max_age?,
        bounds: AskingBounds::default(),
    };
    let running = context.last_good.exchanges.get(written.name);
    Some(Exchanger::after(endpoint, running))
}

fn resolve_place(
    written: &WrittenExchange<'_>,
    way: Option<&Arc<Settings>>,
    context: &Context<'_>,
) -> Option<EndpointAt> {
    let report = |at, message: &str| {
        let help = "issuer = \"https://idp.corp.example\" for its discovery document, or endpoint = \"https://idp.corp.example/token\"";
        context.diagnostics.error_with_help(at, message, Some(help));
        None
    };
    match (&written.issuer, &written.endpoint) {
        (Given::Faulty, _) | (_, Given::Faulty) => None,
        (Given::Absent, Given::Absent) => report(
            written.at,
            "an exchange needs an \"issuer\" or an \"endpoint\"",
        ),
        (Given::Value(_), Given::Value(endpoint)) => report(
            endpoint.at,
            "\"issuer\" finds the place where tokens are exchanged, and \"endpoint\" names it too",
        ),
        (Given::Absent, Given::Value(endpoint)) => {
            let at = resolve_url("endpoint", endpoint, way?, context)?;
            Some(EndpointAt::Given(Arc::new(at)))
        }
        (Given::Value(issuer), Given::Absent) if issuer.value.query().is_some() => {
            report(issuer.at, "\"issuer\" must have no \"?\"")
        }
        (Given::Value(issuer), Given::Absent) => {
            let base = resolve_url("issuer", issuer, way?, context)?;
            Some(EndpointAt::Discovery {
                // A path that is too long is the only fault that is left.
                at: DiscoveryAt::of(&base).ok()?,
                issuer: written.issuer_text?.to_owned(),
            })
        }
    }
}
