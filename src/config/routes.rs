//! `[[routes]]`, and whether anything can reach them.

use std::collections::HashMap;
use std::sync::Arc;

use super::files::{Document, check_name};
use super::listeners::Listeners;
use super::model::{Listener, ListenerKind, Policy, Route, SniPolicy, Stream, Upstream};
use super::reader::{At, Item, Placed, Report, Section};
use super::settings::Names;
use crate::route::{Claim, HostPattern, MethodSet, PathPattern, RouteTable};
use seclang::diagnostic::Diagnostic;

const COMMON_METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
];

/// One route as far as it could be read.
#[derive(Debug)]
pub(super) struct Draft<'s> {
    pub name: &'s str,
    pub at: At<'s>,
    pub claim: Option<Claim>,
    route: Option<Arc<Route>>,
}

/// A listener that a route names.
struct ListenerName<'s> {
    value: &'s str,
    at: At<'s>,
    /// None where it is faulty, which was told already.
    listener: Option<Arc<Listener>>,
}

/// The routes as far as they could be read. No table where one is faulty or claims what another claims.
pub(super) fn read<'s>(
    document: &Document<'s, '_>,
    listeners: &mut Listeners<'s>,
    upstreams: &mut Names<'s, Upstream>,
    policies: &mut Names<'s, Policy>,
) -> (Vec<Draft<'s>>, Option<RouteTable<Arc<Route>>>) {
    let report = document.report;
    let mut drafts: Vec<Draft<'s>> = Vec::new();
    let mut known: HashMap<&str, At<'s>> = HashMap::new();
    for mut section in document.repeated("routes", "a route") {
        let draft = read_route(&mut section, listeners, upstreams, policies);
        section.finish();
        let Some(draft) = draft else { continue };
        if let Some(first) = known.get(draft.name) {
            let message = format!(
                "route \"{}\" is already there at {}",
                draft.name,
                first.text()
            );
            report.error(draft.at, message);
        }
        known.entry(draft.name).or_insert(draft.at);
        drafts.push(draft);
    }
    let claims = drafts.iter().enumerate();
    let claims = claims.filter_map(|(index, draft)| Some((draft.claim.clone()?, index)));
    let claims: Vec<(Claim, usize)> = claims.collect();
    let order: Vec<usize> = claims.iter().map(|(_, index)| *index).collect();
    if let Err(duplicates) = RouteTable::new(claims) {
        for duplicate in duplicates {
            let first = &drafts[order[duplicate.first]];
            let second = &drafts[order[duplicate.second]];
            let message = format!(
                "route \"{}\" claims what route \"{}\" at {} claims: {}",
                second.name,
                first.name,
                first.at.text(),
                duplicate.claimed
            );
            report.error(second.at, message);
        }
        return (drafts, None);
    }
    let routes = drafts.iter().map(|draft| {
        let route = draft.route.clone()?;
        Some((route.claim.clone(), route))
    });
    let routes: Option<Vec<_>> = routes.collect();
    let table = routes.and_then(|routes| RouteTable::new(routes).ok());
    (drafts, table)
}

fn read_route<'s>(
    section: &mut Section<'s, '_>,
    listeners: &mut Listeners<'s>,
    upstreams: &mut Names<'s, Upstream>,
    policies: &mut Names<'s, Policy>,
) -> Option<Draft<'s>> {
    let report = section.report;
    let name = section.required("name", "name = \"NAME\"; logs and metrics show it");
    let name = name.and_then(|item| item.string());
    if let Some(name) = &name {
        check_name(name.value, "route", name.at, report);
        section.what = format!("route \"{}\"", name.value);
    }
    let help = "hosts = [\"api.example.com\"], [\"*.example.com\"] or [\"*\"]";
    let hosts = section.required("hosts", help);
    let hosts = hosts.map(|item| {
        parse_all(&item, |text| {
            text.parse::<HostPattern>().map_err(|e| e.to_string())
        })
    });
    let help =
        "paths = [\"/orders/\"]; with a trailing slash all below it, without it exactly this";
    let paths = section.required("paths", help);
    let paths = paths.map(|item| {
        parse_all(&item, |text| {
            text.parse::<PathPattern>().map_err(|e| e.to_string())
        })
    });
    let stream = section.item("stream");
    let stream = stream.map(|item| Some((item.at, read_stream(&item)?)));
    let methods = read_methods(section);
    let named = section.required(
        "listeners",
        "listeners = the names of [listeners.NAME] tables",
    );
    let named = named.map(|item| read_listeners(&item, &mut listeners.names));
    let upstream = section.required(
        "upstream",
        "upstream = the name of an [upstreams.NAME] table",
    );
    let upstream = upstream.and_then(|item| upstreams.lookup(&item, report));
    let policy = section.required("policy", "policy = the name of a [policies.NAME] table");
    let policy = policy.and_then(|item| policies.lookup(&item, report));
    let pass = match section.item("encoded_slashes") {
        Some(item) => item.choice(&[("refuse", false), ("pass", true)]),
        None => Some(false),
    };
    let client = section.item("client_certificate");
    let client = client.map(|item| item.choice(&[("required", ())]).map(|()| item.at));

    let name = name?;
    // A route that is to come under a policy that was refused stays under the one that inspects it.
    let policy = policy.map(|policy| match policy.is_live() {
        true => policy,
        false => report.kept.inspecting(name.value).unwrap_or(policy),
    });
    if let (Some(Some(at)), Some(named)) = (&client, &named) {
        check_asked(*at, named, report);
    }
    if let (Some(Some((at, stream))), Some(methods)) = (&stream, &methods) {
        check_stream(*stream, methods, *at, report);
    }
    if let (Some(Some((at, Stream::Grpc))), Some(policy)) = (&stream, &policy) {
        check_grpc(policy, *at, report);
    }
    if let (Some(hosts), Some(named)) = (&hosts, &named) {
        check_reachable(&name, hosts, named, report);
    }
    let claim = claim_of(hosts, paths, methods, named);
    let route = match (&claim, upstream, policy, pass, stream) {
        (Some(claim), Some(upstream), Some(policy), Some(pass), stream) => match stream {
            Some(None) => None,
            _ if matches!(client, Some(None)) => None,
            stream => Some(Arc::new(Route {
                name: name.value.to_owned(),
                claim: claim.clone(),
                upstream,
                policy,
                stream: stream.flatten().map(|(_, stream)| stream),
                client_certificate: client.is_some(),
                pass_encoded_slashes: pass,
            })),
        },
        _ => None,
    };
    Some(Draft {
        name: name.value,
        at: name.at,
        claim,
        route,
    })
}

/// What a route is known to claim, also where parts of it are faulty; None where nothing is left.
fn claim_of(
    hosts: Option<Vec<Placed<'_, HostPattern>>>,
    paths: Option<Vec<Placed<'_, PathPattern>>>,
    methods: Option<MethodSet>,
    listeners: Option<Vec<ListenerName<'_>>>,
) -> Option<Claim> {
    let claim = Claim {
        hosts: hosts?.into_iter().map(|host| host.value).collect(),
        paths: paths?.into_iter().map(|path| path.value).collect(),
        methods: methods?,
        listeners: listeners?
            .into_iter()
            .map(|name| name.value.to_owned())
            .collect(),
    };
    let empty = claim.hosts.is_empty() || claim.paths.is_empty() || claim.listeners.is_empty();
    (!empty).then_some(claim)
}

/// The entries that could be read; the others were reported.
fn parse_all<'s, T>(
    item: &Item<'s, '_>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<Placed<'s, T>> {
    let entries = item.list();
    let parsed = entries.iter().filter_map(|entry| {
        Some(Placed {
            value: entry.parse(&parse)?,
            at: entry.at,
        })
    });
    parsed.collect()
}

/// `methods`, and `head`, which says whether GET brings HEAD.
fn read_methods(section: &Section<'_, '_>) -> Option<MethodSet> {
    let named = section.item("methods").map(|item| {
        let entries = item.list();
        let methods = parse_all(&item, parse_method);
        let whole = !entries.is_empty() && methods.len() == entries.len();
        whole.then(|| methods.into_iter().map(|m| m.value).collect::<Vec<_>>())
    });
    let head = section.item("head").map(|item| {
        let refused = item.choice(&[("with_get", false), ("refuse", true)])?;
        if refused && !matches!(&named, Some(Some(methods)) if is_implied(methods)) {
            if !matches!(named, Some(None)) {
                let message = "head = \"refuse\" says something only where \"methods\" names GET and not HEAD";
                let help = "methods = [\"GET\"] beside it, or leave it out";
                section.report.error_with_help(item.at, message, Some(help));
            }
            return None;
        }
        Some(refused)
    });
    let refused = match head {
        Some(said) => said?,
        None => false,
    };
    match (named, refused) {
        (None, _) => Some(MethodSet::Default),
        (Some(methods), true) => Some(MethodSet::Exactly(methods?)),
        (Some(methods), false) => Some(MethodSet::Only(methods?)),
    }
}

fn is_implied(methods: &[String]) -> bool {
    let names = |method: &str| methods.iter().any(|m| m == method);
    names("GET") && !names("HEAD")
}

fn parse_method(text: &str) -> Result<String, String> {
    // RFC 9110, 5.6.2: token.
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.is_empty() || !text.bytes().all(is_token) {
        return Err(format!("\"{text}\" is no method"));
    }
    if text == "CONNECT" {
        return Err("CONNECT asks for a tunnel, which no route gives".to_owned());
    }
    let upper = text.to_ascii_uppercase();
    if text != upper && COMMON_METHODS.contains(&upper.as_str()) {
        return Err(format!(
            "\"{text}\" is no method: they are case-sensitive, write \"{upper}\""
        ));
    }
    Ok(text.to_owned())
}

fn read_stream(item: &Item<'_, '_>) -> Option<Stream> {
    item.choice(&[
        ("websocket", Stream::WebSocket),
        ("grpc", Stream::Grpc),
        ("sse", Stream::Sse),
    ])
}

fn read_listeners<'s>(
    item: &Item<'s, '_>,
    listeners: &mut Names<'s, Listener>,
) -> Vec<ListenerName<'s>> {
    let report = item.report();
    let mut found: Vec<ListenerName<'s>> = Vec::new();
    for entry in item.list() {
        let Some(Placed { value, at }) = entry.string() else {
            continue;
        };
        if found.iter().any(|known| known.value == value) {
            report.warning(at, format!("listener \"{value}\" is named twice"));
            continue;
        }
        let listener = listeners.lookup(&entry, report);
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

/// A stream whose opening request the route does not take could never begin.
fn check_stream(stream: Stream, methods: &MethodSet, at: At<'_>, report: &Report) {
    let (word, method) = match stream {
        Stream::WebSocket => ("a WebSocket", "GET"),
        Stream::Grpc => ("a gRPC call", "POST"),
        Stream::Sse => return,
    };
    if !methods.contains(method.as_bytes()) {
        let message = format!("{word} begins with {method}, which \"methods\" leaves out");
        report.error(at, message);
    }
}

/// The CRS lets through the content types that it is told of.
fn check_grpc(policy: &Policy, at: At<'_>, report: &Report) {
    let Some(rules) = policy.rules.live() else {
        return;
    };
    let lists = &rules.facts().content_types;
    let allows = |list: &String| list.to_ascii_lowercase().contains("|application/grpc");
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
    let warning = Diagnostic::warning(at.location(), message).with_help(help);
    report.add(at, warning);
}

/// Whether a client can get to this route through any of its listeners.
fn check_reachable(
    route: &Placed<'_, &str>,
    hosts: &[Placed<'_, HostPattern>],
    listeners: &[ListenerName<'_>],
    report: &Report,
) {
    let mut served = Vec::new();
    for name in listeners {
        // Nothing can be said about what a faulty listener would serve.
        let Some(listener) = name.listener.as_ref().filter(|l| !l.is_shut()) else {
            return;
        };
        match &listener.kind {
            ListenerKind::Tls { .. } => served.push(listener),
            ListenerKind::Redirect { .. } => {
                let name_of = name.value;
                let message =
                    format!("listener \"{name_of}\" only redirects, no route is served there");
                report.warning(name.at, message);
            }
        }
    }
    if listeners.is_empty() {
        return;
    }
    if served.is_empty() {
        let message = format!(
            "nothing can reach route \"{}\": its listeners only redirect",
            route.value
        );
        report.error(route.at, message);
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
        report.error_with_help(route.at, message, help);
        return;
    }
    for host in uncovered {
        let message = format!(
            "no certificate of the route's listeners covers \"{}\", and sni is \"strict\"",
            host.value
        );
        report.warning(host.at, message);
    }
}

/// A client can only show a certificate where it is asked for one.
fn check_asked(at: At<'_>, listeners: &[ListenerName<'_>], report: &Report) {
    for name in listeners {
        let kind = name.listener.as_ref().map(|listener| &listener.kind);
        if let Some(ListenerKind::Tls { settings, .. }) = kind
            && !settings.asks_for_clients()
            && !name
                .listener
                .as_ref()
                .is_some_and(|listener| listener.is_shut())
        {
            let message = format!(
                "the route requires a client certificate, but listener \"{}\" asks for none",
                name.value
            );
            let help = "client_ca = { trust = \"NAME\", mode = \"optional\" } in the listener";
            report.error_with_help(at, message, Some(help));
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
        HostPattern::Any => names.next().is_some(),
        HostPattern::Exact(host) => names.any(|name| match name.strip_prefix("*.") {
            Some(rest) => host.split_once('.').is_some_and(|(_, tail)| tail == rest),
            None => name == host,
        }),
        // Some name below it is enough.
        HostPattern::Wildcard(domain) => names.any(|name| {
            let name = name.strip_prefix('*').unwrap_or(name);
            name.strip_suffix(domain.as_str())
                .is_some_and(|head| head.ends_with('.'))
        }),
    }
}
