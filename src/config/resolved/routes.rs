//! `[[routes]]`: where they lead, and whether any client can reach them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::callers::{self, Defaults, Lookup};
use super::context::Context;
use super::limits;
use super::looks::{LookTables, Looks};
use super::names::Declared;
use crate::config::model::{
    Listener, ListenerKind, Policy, Route, RouteTarget, SniPolicy, Stream, Upstream,
};
use crate::config::written::diagnostics::{Diagnostics, Problem};
use crate::config::written::reader::Given;
use crate::config::written::routes::{WrittenRoute, WrittenTarget};
use crate::config::written::source::{At, Placed};
use crate::config::written::transform::WrittenFields;
use crate::identity::{OwnFields, RouteIdentity};
use crate::limits::Limit;
use crate::route::{Claim, HostPattern, RouteTable};
use crate::transform::{Cors, FieldChanges, RedirectHost, RouteAnswer};

/// A route, as far as it is sound.
#[derive(Debug)]
pub(crate) struct ResolvedRoute<'s> {
    pub(crate) name: &'s str,
    pub(crate) at: At<'s>,
    /// What it claims, even if its other parts are faulty: exposures and duplicates are checked all the same.
    pub(crate) claim: Option<Claim>,
    route: Option<Arc<Route>>,
}

/// The sections that routes name.
pub(crate) struct Targets<'d, 's> {
    pub(crate) listeners: &'d mut Declared<'s, Listener>,
    pub(crate) upstreams: &'d mut Declared<'s, Upstream>,
    pub(crate) policies: &'d mut Declared<'s, Policy>,
    pub(crate) limits: &'d mut Declared<'s, Limit>,
    pub(crate) cors: &'d mut Declared<'s, Cors>,
    pub(crate) looks: &'d mut LookTables<'s>,
    pub(crate) lookup: Lookup<'d, 's>,
    /// What listeners say of callers.
    pub(crate) callers: Defaults<'d, 's>,
}

/// A listener that a route names.
struct ListenerName<'s> {
    value: &'s str,
    at: At<'s>,
    /// None if it is faulty, which was reported.
    listener: Option<Arc<Listener>>,
}

/// The sections that one route names, as far as they are sound.
struct NamedSections {
    target: Option<RouteTarget>,
    policy: Option<Arc<Policy>>,
    identity: Given<BTreeMap<String, Arc<RouteIdentity>>>,
    limits: Option<Vec<Arc<Limit>>>,
    cors: Given<Arc<Cors>>,
    looks: Option<Looks>,
}

/// The routes as far as they are sound. There is no table if one is faulty or claims what another claims.
pub(crate) fn resolve<'s>(
    written: &[WrittenRoute<'s>],
    mut targets: Targets<'_, 's>,
    context: &Context<'_>,
) -> (Vec<ResolvedRoute<'s>>, Option<RouteTable<Arc<Route>>>) {
    let routes = written.iter();
    let routes = routes.filter_map(|route| resolve_route(route, &mut targets, context));
    let routes: Vec<_> = routes.collect();
    let claims = routes.iter().enumerate();
    let claims = claims.filter_map(|(index, route)| Some((route.claim.clone()?, index)));
    let claims: Vec<(Claim, usize)> = claims.collect();
    // Only some routes have a claim, so the index of a claim is not that of its route.
    let order: Vec<usize> = claims.iter().map(|(_, index)| *index).collect();
    // Over all claims, also those of routes that are otherwise faulty, so that one run reports every duplicate.
    if let Err(duplicates) = RouteTable::new(claims) {
        for duplicate in duplicates {
            let route = |index: usize| routes.get(*order.get(index)?);
            let (Some(first), Some(second)) = (route(duplicate.first), route(duplicate.second))
            else {
                continue;
            };
            let message = format!(
                "route \"{}\" claims what route \"{}\" at {} claims: {}",
                second.name,
                first.name,
                first.at.text(),
                duplicate.claimed
            );
            context.diagnostics.error(second.at, message);
        }
        return (routes, None);
    }
    let sound = routes.iter().map(|route| {
        let route = route.route.clone()?;
        Some((route.claim.clone(), route))
    });
    let sound: Option<Vec<_>> = sound.collect();
    let table = sound.and_then(|sound| RouteTable::new(sound).ok());
    (routes, table)
}

/// None if it has no name.
fn resolve_route<'s>(
    written: &WrittenRoute<'s>,
    targets: &mut Targets<'_, 's>,
    context: &Context<'_>,
) -> Option<ResolvedRoute<'s>> {
    let diagnostics = context.diagnostics;
    let listeners = written.listeners.as_ref();
    let listeners = listeners.map(|names| find_listeners(names, targets.listeners, diagnostics));
    let target = written.target.as_ref();
    let target = target.and_then(|target| resolve_target(target, targets.upstreams, diagnostics));
    let policy = written.policy.as_ref();
    let policy = policy.and_then(|name| targets.policies.lookup(name, diagnostics).ok());
    let named = listeners.as_deref().unwrap_or_default();
    let names: Vec<&str> = named.iter().map(|name| name.value).collect();
    let found: Vec<_> = named
        .iter()
        .filter_map(|name| name.listener.as_ref())
        .collect();
    let identity = callers::resolve(
        &written.identity,
        &names,
        &found,
        &targets.callers,
        &mut targets.lookup,
    );
    let limits = limits::named(&written.rate_limits, targets.limits, diagnostics);
    if let Given::Value(demands) = &identity
        && demands.is_empty()
    {
        limits::warn_callers(&written.rate_limits, targets.limits, diagnostics);
    }
    let cors = written.cors.as_ref().and_then(|name| {
        let found = targets.cors.lookup(name, diagnostics);
        found.ok().into()
    });
    let looks = targets.looks.named(&written.fields, diagnostics);
    // Looked up before this early return, so that what it names is not reported as unused.
    let name = written.name?;
    let policy = policy.map(|policy| context.last_good.choose_route_policy(name.value, policy));
    if let (Given::Value(at), Some(listeners)) = (written.client_certificate, &listeners) {
        check_asked(at, listeners, diagnostics);
    }
    if let (Given::Value(stream), Some(policy)) = (written.stream, &policy)
        && stream.value == Stream::Grpc
    {
        check_grpc(policy, stream.at, diagnostics);
    }
    if let (Some(hosts), Some(listeners)) = (&written.hosts, &listeners) {
        check_reachable(&name, hosts, listeners, diagnostics);
    }
    let claim = claim_of(written, listeners);
    let named = NamedSections {
        target,
        policy,
        identity,
        limits,
        cors,
        looks,
    };
    Some(ResolvedRoute {
        name: name.value,
        at: name.at,
        route: assemble(written, name.value, claim.as_ref(), named),
        claim,
    })
}

fn assemble(
    written: &WrittenRoute<'_>,
    name: &str,
    claim: Option<&Claim>,
    sections: NamedSections,
) -> Option<Arc<Route>> {
    let stream = written.stream.unless_faulty()?;
    let regex = written.path_regex.as_ref().unless_faulty()?;
    let rewrite = written.rewrite.as_ref().unless_faulty()?;
    let looks = sections.looks?;
    Some(Arc::new(Route {
        name: name.to_owned(),
        claim: claim?.clone(),
        path_regex: regex.map(|regex| regex.value.clone()),
        target: sections.target?,
        rewrite: rewrite.map(|rewrite| rewrite.value.clone()),
        policy: sections.policy?,
        stream: stream.map(|stream| stream.value),
        client_certificate: written.client_certificate.unless_faulty()?.is_some(),
        identity: sections.identity.or_else(BTreeMap::new)?,
        pass_encoded_slashes: written.pass_encoded_slashes?,
        rate_limits: sections.limits?,
        cors: sections.cors.unless_faulty()?,
        request_fields: fields(&written.fields.request)?,
        response_fields: fields(&written.fields.response)?,
        security_headers: looks.security,
        error_pages: looks.pages,
    }))
}

/// What is changed in header fields; nothing if nothing is written.
pub(super) fn fields(written: &Given<Placed<'_, FieldChanges>>) -> Option<FieldChanges> {
    let changes = written.as_ref().unless_faulty()?;
    Some(
        changes
            .map(|changes| changes.value.clone())
            .unwrap_or_default(),
    )
}

fn resolve_target<'s>(
    written: &WrittenTarget<'s>,
    upstreams: &mut Declared<'s, Upstream>,
    diagnostics: &Diagnostics,
) -> Option<RouteTarget> {
    Some(match written {
        WrittenTarget::Upstream(name) => {
            RouteTarget::Upstream(upstreams.lookup(name, diagnostics).ok()?)
        }
        WrittenTarget::Redirect(redirect) => {
            RouteTarget::Answer(RouteAnswer::Redirect(redirect.value.clone()))
        }
        WrittenTarget::Respond(answer) => {
            RouteTarget::Answer(RouteAnswer::Fixed(answer.value.clone()))
        }
    })
}

/// Reports fields of `[identity.NAME]` tables that are set or removed: they say who is calling.
pub(crate) fn check_identity_fields<'s>(
    written: impl Iterator<Item = &'s WrittenFields<'s>>,
    own: &OwnFields,
    diagnostics: &Diagnostics,
) {
    for fields in written {
        let Given::Value(changes) = &fields.request else {
            continue;
        };
        let names = changes.value.names();
        for name in names.filter(|name| own.drops(name.as_str().as_bytes())) {
            let message = format!(
                "the field {} is one of an [identity] table: it says who is calling",
                name.as_str()
            );
            diagnostics.error(changes.at, message);
        }
    }
}

/// Reports redirects to hosts that neither a route names nor `redirect_hosts`: a typing error would send clients to
/// strangers.
pub(crate) fn check_redirects(
    written: &[WrittenRoute<'_>],
    allowed: &[HostPattern],
    diagnostics: &Diagnostics,
) {
    let named = written
        .iter()
        .flat_map(|route| route.hosts.iter().flatten());
    let named: Vec<&HostPattern> = named
        .map(|host| &host.value)
        .filter(|host| **host != HostPattern::Any)
        .chain(allowed)
        .collect();
    for route in written {
        let Some(WrittenTarget::Redirect(redirect)) = &route.target else {
            continue;
        };
        let RedirectHost::Named(host) = redirect.value.host() else {
            continue;
        };
        if !named.iter().any(|pattern| pattern.takes(host)) {
            let message = format!(
                "no route names the host \"{host}\", and \"redirect_hosts\" does not either"
            );
            let help = format!("at the top of the file: redirect_hosts = [\"{host}\"]");
            diagnostics.error_with_help(redirect.at, message, Some(help));
        }
    }
}

/// None if a part is missing, or no entry of it is sound.
fn claim_of(written: &WrittenRoute<'_>, listeners: Option<Vec<ListenerName<'_>>>) -> Option<Claim> {
    fn values<T: Clone>(entries: &[Placed<'_, T>]) -> Vec<T> {
        entries.iter().map(|entry| entry.value.clone()).collect()
    }
    let listeners = listeners?.into_iter();
    let claim = Claim {
        hosts: values(written.hosts.as_deref()?),
        paths: values(written.paths.as_deref()?),
        methods: written.methods.clone()?,
        listeners: listeners.map(|name| name.value.to_owned()).collect(),
    };
    let empty = claim.hosts.is_empty() || claim.paths.is_empty() || claim.listeners.is_empty();
    (!empty).then_some(claim)
}

fn find_listeners<'s>(
    names: &[Placed<'s, &'s str>],
    listeners: &mut Declared<'s, Listener>,
    diagnostics: &Diagnostics,
) -> Vec<ListenerName<'s>> {
    let mut found: Vec<ListenerName<'s>> = Vec::new();
    for name in names {
        let Placed { value, at } = *name;
        if found.iter().any(|known| known.value == value) {
            diagnostics.warning(at, format!("listener \"{value}\" is named twice"));
            continue;
        }
        let listener = listeners.lookup(name, diagnostics).ok();
        // A listener that is declared and broken belongs to the claim: its routes must not seem to be unserved.
        if listeners.contains(value) {
            found.push(ListenerName {
                value,
                at,
                listener,
            });
        }
    }
    found
}

/// Warns if the CRS would refuse gRPC calls: its rule 920420 lets through only the content types in a list.
fn check_grpc(policy: &Policy, at: At<'_>, diagnostics: &Diagnostics) {
    let Some(rules) = policy.rules.live() else {
        return;
    };
    let lists = &rules.facts().content_types;
    let allows = |list: &String| list.to_ascii_lowercase().contains("|application/grpc");
    // A list with a macro is known only at run time, so nothing is said about it.
    let known = lists.iter().find(|list| !list.contains("%{"));
    let Some(known) = known.filter(|_| !lists.iter().any(allows)) else {
        return;
    };
    let name = &policy.name;
    let message = format!(
        "rule 920420 of policy \"{name}\" refuses gRPC calls: it does not know their content type"
    );
    let help = format!(
        "in [policies.{name}]: crs = {{ allowed_request_content_type = \"{known} |application/grpc| |application/grpc+proto|\" }}"
    );
    diagnostics.add(Problem::warning(at, message).with_help(help));
}

/// Reports a route that no client can reach through its listeners, and hosts that no client can reach.
fn check_reachable(
    route: &Placed<'_, &str>,
    hosts: &[Placed<'_, HostPattern>],
    listeners: &[ListenerName<'_>],
    diagnostics: &Diagnostics,
) {
    let mut served = Vec::new();
    for name in listeners {
        // What a faulty or closed listener would serve is unknown.
        let Some(listener) = name.listener.as_ref().filter(|l| !l.is_closed()) else {
            return;
        };
        match &listener.kind {
            ListenerKind::Tls { .. } => served.push(listener),
            ListenerKind::Redirect { .. } => {
                let name_of = name.value;
                let message =
                    format!("listener \"{name_of}\" only redirects, no route is served there");
                diagnostics.warning(name.at, message);
            }
        }
    }
    // None of the names is declared, which was reported.
    if listeners.is_empty() {
        return;
    }
    if served.is_empty() {
        let message = format!(
            "nothing can reach route \"{}\": its listeners only redirect",
            route.value
        );
        diagnostics.error(route.at, message);
        return;
    }
    let uncovered: Vec<_> = hosts
        .iter()
        .filter(|host| !served.iter().any(|listener| covers(listener, &host.value)))
        .collect();
    if !hosts.is_empty() && uncovered.len() == hosts.len() {
        let message = format!(
            "nothing can reach route \"{}\": no certificate of its listeners covers its hosts, and sni is \"strict\"",
            route.value
        );
        let help = certificate_names(&served);
        diagnostics.error_with_help(route.at, message, help);
        return;
    }
    for host in uncovered {
        let message = format!(
            "no certificate of the route's listeners covers \"{}\", and sni is \"strict\"",
            host.value
        );
        diagnostics.warning(host.at, message);
    }
}

/// Reports listeners that do not ask for the client certificates that the route requires.
fn check_asked(at: At<'_>, listeners: &[ListenerName<'_>], diagnostics: &Diagnostics) {
    for name in listeners {
        let kind = name.listener.as_ref().map(|listener| &listener.kind);
        if let Some(ListenerKind::Tls { settings, .. }) = kind
            // A closed listener has default settings, which ask for nobody; its real ones are unknown.
            && !settings.asks_for_clients()
            && !name
                .listener
                .as_ref()
                .is_some_and(|listener| listener.is_closed())
        {
            let message = format!(
                "the route requires a client certificate, but listener \"{}\" asks for none",
                name.value
            );
            let help = "client_ca = { trust = \"NAME\", mode = \"optional\" } in the listener";
            diagnostics.error_with_help(at, message, Some(help));
        }
    }
}

fn certificate_names(listeners: &[&Arc<Listener>]) -> Option<String> {
    let mut names = Vec::new();
    for listener in listeners {
        if let ListenerKind::Tls { certificates, .. } = &listener.kind {
            names.extend(
                certificates
                    .iter()
                    .flat_map(|c| c.names.iter().map(String::as_str)),
            );
        }
    }
    (!names.is_empty()).then(|| format!("the certificates cover: {}", names.join(", ")))
}

/// Whether a client can name this host and get a certificate for it.
fn covers(listener: &Listener, host: &HostPattern) -> bool {
    let ListenerKind::Tls {
        certificates, sni, ..
    } = &listener.kind
    else {
        return false;
    };
    if *sni == SniPolicy::Any {
        return true;
    }
    let mut names = certificates.iter().flat_map(|c| c.names.iter());
    match host {
        // Clients that name a host of any certificate get to this route.
        HostPattern::Any => names.next().is_some(),
        HostPattern::Exact(host) => names.any(|name| match name.strip_prefix("*.") {
            // A wildcard in a certificate covers one label (RFC 9525, 6.3).
            Some(rest) => host.split_once('.').is_some_and(|(_, tail)| tail == rest),
            None => name == host,
        }),
        // One name below the wildcard is enough: the others may have certificates elsewhere.
        HostPattern::Wildcard(domain) => names.any(|name| {
            let name = name.strip_prefix('*').unwrap_or(name);
            name.strip_suffix(domain.as_str())
                .is_some_and(|head| head.ends_with('.'))
        }),
    }
}
