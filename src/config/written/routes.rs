//! `[[routes]]`, as they are written.

use std::collections::HashMap;
use std::fmt::Display;

use super::callers::{self, WrittenCallers};
use super::diagnostics::Diagnostics;
use super::document::{Document, check_name};
use super::limits;
use super::malformed::Malformed;
use super::reader::{Given, Item, Section};
use super::source::{At, Placed};
use super::transform::{self, WrittenFields};
use http_strict::is_token;

use crate::config::model::Stream;
use crate::config::section_kind::SectionKind;
use crate::route::{HostPattern, MethodSet, PathPattern, PathRegex, PatternError};
use crate::transform::{FixedAnswer, Redirect, RedirectHost, Rewrite, Template};

/// Methods that users write in lower case by mistake. Methods are case-sensitive (RFC 9110, 9.1).
const COMMON_METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
];

/// A table of `[[routes]]`. A part that is `None` is missing or faulty, which was reported.
#[derive(Debug)]
pub(crate) struct WrittenRoute<'s> {
    pub(crate) name: Option<Placed<'s, &'s str>>,
    /// Without the entries that are faulty.
    pub(crate) hosts: Option<Vec<Placed<'s, HostPattern>>>,
    /// Without the entries that are faulty.
    pub(crate) paths: Option<Vec<Placed<'s, PathPattern>>>,
    pub(crate) methods: Option<MethodSet>,
    /// Names of listeners.
    pub(crate) listeners: Option<Vec<Placed<'s, &'s str>>>,
    pub(crate) target: Option<WrittenTarget<'s>>,
    /// The name of a policy.
    pub(crate) policy: Option<Placed<'s, &'s str>>,
    pub(crate) stream: Given<Placed<'s, Stream>>,
    pub(crate) pass_encoded_slashes: Option<bool>,
    /// Where `client_certificate = "required"` is written.
    pub(crate) client_certificate: Given<At<'s>>,
    pub(crate) identity: WrittenCallers<'s>,
    /// Names of limits.
    pub(crate) rate_limits: Vec<Placed<'s, &'s str>>,
    pub(crate) path_regex: Given<Placed<'s, PathRegex>>,
    pub(crate) rewrite: Given<Placed<'s, Rewrite>>,
    pub(crate) fields: WrittenFields<'s>,
    /// The name of a `[cors.NAME]` table.
    pub(crate) cors: Given<Placed<'s, &'s str>>,
}

/// Where a route leads.
#[derive(Debug)]
pub(crate) enum WrittenTarget<'s> {
    /// The name of an upstream.
    Upstream(Placed<'s, &'s str>),
    Redirect(Placed<'s, Redirect>),
    Respond(Placed<'s, FixedAnswer>),
}

pub(crate) fn parse<'s>(document: &Document<'s, '_>) -> Vec<WrittenRoute<'s>> {
    let mut known: HashMap<&str, At<'s>> = HashMap::new();
    let sections = document.repeated("routes", SectionKind::Route, "a route");
    let routes = sections.into_iter().map(|mut section| {
        let route = parse_route(&mut section);
        section.finish();
        if let Some(Placed { value: name, at }) = route.name {
            if let Some(first) = known.get(name) {
                let message = format!("route \"{name}\" is already there at {}", first.text());
                document.diagnostics.error(at, message);
            }
            // The first one stays, so that a third is reported against it too.
            known.entry(name).or_insert(at);
        }
        route
    });
    routes.collect()
}

/// `redirect_hosts`. A faulty entry was reported, so this configuration is not used.
pub(crate) fn parse_redirect_hosts(document: &Document<'_, '_>) -> Vec<HostPattern> {
    let Some(item) = document.item("redirect_hosts") else {
        return Vec::new();
    };
    let hosts = parse_all(&item, |text| match text.parse() {
        Ok(HostPattern::Any) => {
            Err("name the hosts: \"*\" would let redirects lead anywhere".to_owned())
        }
        Ok(host) => Ok(host),
        Err(error) => Err(PatternError::to_string(&error)),
    });
    hosts.into_iter().map(|host| host.value).collect()
}

fn parse_route<'s>(section: &mut Section<'s, '_>) -> WrittenRoute<'s> {
    let name = section.required("name", "name = \"NAME\"; logs and metrics show it");
    let name = name.and_then(|item| item.string());
    if let Some(name) = &name {
        check_name(name.value, "route", name.at, section.diagnostics);
        // From here on, messages name the route.
        section.what = format!("route \"{}\"", name.value);
    }
    let help = "hosts = [\"api.example.com\"], [\"*.example.com\"] or [\"*\"]";
    let hosts = section.required("hosts", help);
    let hosts = hosts.map(|item| {
        parse_all(&item, |text| {
            text.parse::<HostPattern>()
                .map_err(|error| error.to_string())
        })
    });
    let help =
        "paths = [\"/orders/\"]; with a trailing slash all below it, without it exactly this";
    let paths = section.required("paths", help);
    let paths = paths.map(|item| {
        parse_all(&item, |text| {
            text.parse::<PathPattern>()
                .map_err(|error| error.to_string())
        })
    });
    let stream = section.optional("stream", parse_stream);
    let methods = parse_methods(section);
    if let (Some(_), Given::Value(stream), Some(methods)) = (&name, &stream, &methods) {
        check_stream(stream.value, methods, stream.at, section.diagnostics);
    }
    let listeners = section.required(
        "listeners",
        "listeners = the names of [listeners.NAME] tables",
    );
    let target = parse_target(section);
    if matches!(
        target,
        Some(WrittenTarget::Redirect(_) | WrittenTarget::Respond(_))
    ) {
        for key in ["stream", "rewrite", "request_headers"] {
            if let Some(item) = section.item(key) {
                let message = format!("\"{key}\" is for routes with an \"upstream\"");
                section.diagnostics.error(item.at, message);
            }
        }
    }
    let rewrite = section.optional("rewrite", transform::parse_rewrite);
    let path_regex = section.optional("path_regex", transform::parse_path_regex);
    let fields = transform::parse_fields(section);
    let cors = section.optional("cors", Item::string);
    let policy = section.required("policy", "policy = the name of a [policies.NAME] table");
    let pass = section.optional("encoded_slashes", |item| {
        item.choice(&[("refuse", false), ("pass", true)])
    });
    let client_certificate = section.optional("client_certificate", |item| {
        item.choice(&[("required", item.at)])
    });
    let identity = callers::parse(section);
    let rate_limits = limits::parse_names(section);
    if let (Some(WrittenTarget::Redirect(redirect)), Some(hosts)) = (&target, &hosts) {
        check_asked_host(redirect, hosts, section.diagnostics);
    }
    if let Some(regex) = path_regex.as_ref().unless_faulty() {
        let regex = regex.map(|regex| &regex.value);
        transform::check_groups(
            templates(target.as_ref(), &rewrite, &fields),
            regex,
            section,
        );
    }
    WrittenRoute {
        name,
        hosts,
        paths,
        methods,
        listeners: listeners.map(|item| item.strings()),
        target,
        policy: policy.and_then(|item| item.string()),
        stream,
        pass_encoded_slashes: pass.or(false),
        client_certificate,
        identity,
        rate_limits,
        path_regex,
        rewrite,
        fields,
        cors,
    }
}

/// `upstream`, `redirect` or `respond`. None if none of them is there, or it is faulty.
fn parse_target<'s>(section: &Section<'s, '_>) -> Option<WrittenTarget<'s>> {
    let upstream = section
        .item("upstream")
        .map(|item| (item.at, item.string().map(WrittenTarget::Upstream)));
    let redirect = section.item("redirect").map(|item| {
        let redirect = transform::parse_redirect(&item);
        (item.at, redirect.map(WrittenTarget::Redirect))
    });
    let respond = section.item("respond").map(|item| {
        let respond = transform::parse_respond(&item);
        (item.at, respond.map(WrittenTarget::Respond))
    });
    let mut written = [upstream, redirect, respond].into_iter().flatten();
    let Some((_, target)) = written.next() else {
        let message = format!("{} has no \"upstream\"", section.what);
        let help = "upstream = the name of an [upstreams.NAME] table; or redirect = { to = ... } or respond = { ... }";
        section
            .diagnostics
            .error_with_help(section.at, message, Some(help));
        return None;
    };
    if let Some((at, _)) = written.next() {
        let message = "a route has one of \"upstream\", \"redirect\" and \"respond\"";
        section.diagnostics.error(at, message);
        return None;
    }
    target
}

/// Reports a redirect to `{host}` on a route that takes any host: whoever sends the request would choose where it leads.
fn check_asked_host(
    redirect: &Placed<'_, Redirect>,
    hosts: &[Placed<'_, HostPattern>],
    diagnostics: &Diagnostics,
) {
    let any = hosts.iter().any(|host| host.value == HostPattern::Any);
    if any && *redirect.value.host() == RedirectHost::Asked {
        let message = "the route takes any host, so {host} could lead anywhere";
        let help = "name the hosts of the route, or write the host of the redirect";
        diagnostics.error_with_help(redirect.at, message, Some(help));
    }
}

/// The texts of a route that may name groups of its `path_regex`.
fn templates<'t>(
    target: Option<&'t WrittenTarget<'_>>,
    rewrite: &'t Given<Placed<'_, Rewrite>>,
    fields: &'t WrittenFields<'_>,
) -> impl Iterator<Item = (At<'t>, &'t Template)> {
    let redirect = match target {
        Some(WrittenTarget::Redirect(redirect)) => Some((redirect.at, redirect.value.to())),
        _ => None,
    };
    let respond = match target {
        Some(WrittenTarget::Respond(answer)) => Some((answer.at, &answer.value.fields)),
        _ => None,
    };
    let changes = [&fields.request, &fields.response].into_iter();
    let changes = changes.filter_map(|changes| match changes {
        Given::Value(changes) => Some((changes.at, &changes.value)),
        _ => None,
    });
    let changes = changes.chain(respond);
    let of_fields = changes.flat_map(|(at, changes)| changes.templates().map(move |t| (at, t)));
    let rewrite = match rewrite {
        Given::Value(rewrite) => Some((rewrite.at, &rewrite.value)),
        _ => None,
    };
    let rewrite = rewrite.into_iter();
    let of_rewrite = rewrite.flat_map(|(at, rewrite)| rewrite.templates().map(move |t| (at, t)));
    redirect.into_iter().chain(of_rewrite).chain(of_fields)
}

/// The entries that could be read; the others were reported.
fn parse_all<'s, T, E: Display>(
    item: &Item<'s, '_>,
    parse: impl Fn(&str) -> Result<T, E>,
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
fn parse_methods(section: &Section<'_, '_>) -> Option<MethodSet> {
    let named = section.item("methods").map(|item| {
        let entries = item.list();
        let methods = parse_all(&item, parse_method);
        let whole = !entries.is_empty() && methods.len() == entries.len();
        whole.then(|| methods.into_iter().map(|m| m.value).collect::<Vec<_>>())
    });
    let head = section.item("head").map(|item| {
        let refused = item.choice(&[("with_get", false), ("refuse", true)])?;
        // Anywhere else the key has no effect, and the user would believe that HEAD is refused.
        if refused && !matches!(&named, Some(Some(methods)) if is_implied(methods)) {
            // Faulty methods were reported already.
            if !matches!(named, Some(None)) {
                let message =
                    "head = \"refuse\" has an effect only if \"methods\" names GET and not HEAD";
                let help = "methods = [\"GET\"] beside it, or leave it out";
                section
                    .diagnostics
                    .error_with_help(item.at, message, Some(help));
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

fn parse_method(text: &str) -> Result<String, Malformed> {
    if !is_token(text.as_bytes()) {
        return Err(format!("\"{text}\" is no method").into());
    }
    if text == "CONNECT" {
        return Err("CONNECT asks for a tunnel, which no route allows".into());
    }
    let upper = text.to_ascii_uppercase();
    if text != upper && COMMON_METHODS.contains(&upper.as_str()) {
        return Err(
            format!("\"{text}\" is no method: they are case-sensitive, write \"{upper}\"").into(),
        );
    }
    Ok(text.to_owned())
}

fn parse_stream<'s>(item: &Item<'s, '_>) -> Option<Placed<'s, Stream>> {
    let value = item.choice(&[
        ("websocket", Stream::WebSocket),
        ("grpc", Stream::Grpc),
        ("sse", Stream::Sse),
    ])?;
    Some(Placed { value, at: item.at })
}

/// Reports a stream that can never begin, since the route does not take its first request.
fn check_stream(stream: Stream, methods: &MethodSet, at: At<'_>, diagnostics: &Diagnostics) {
    let (word, method) = match stream {
        Stream::WebSocket => ("a WebSocket", "GET"),
        Stream::Grpc => ("a gRPC call", "POST"),
        // A stream of events may answer any method.
        Stream::Sse => return,
    };
    if !methods.contains(method.as_bytes()) {
        let message = format!("{word} begins with {method}, which \"methods\" leaves out");
        diagnostics.error(at, message);
    }
}
