//! One route, as data, as JSON and for people.

use std::io::{self, Write};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::config::{Config, Listener, ListenerKind, Route};
use crate::exposure::SurfaceRoute;
use crate::identity::{ForwardIdentity, RouteIdentity, TokenPlace, own_fields};
use crate::limits::Limit;

const EVERY: &str = "every spelling";
const OTHERS: &str = "every spelling but its own";

/// What a route does.
pub(super) struct RouteReport<'c> {
    route: &'c Route,
    surface: SurfaceRoute,
    listeners: Vec<RouteListener<'c>>,
    tokens: Vec<Token>,
    fields: Vec<Field>,
}

/// A listener that serves the route.
struct RouteListener<'c> {
    listener: &'c Listener,
    /// It asks clients for certificates.
    asks: bool,
    identity: Option<&'c RouteIdentity>,
}

/// Where an identity of the route finds what proves it.
struct Token {
    identity: String,
    place: String,
    /// Whether the gateway sees it.
    forwarded: bool,
}

/// A header field that is used for identity.
struct Field {
    name: String,
    /// In which spellings it is removed from clients' requests.
    removed: &'static str,
    /// What it says, and by whom.
    of: String,
    /// The gateway of this route gets it from the front door.
    set: bool,
}

impl<'c> RouteReport<'c> {
    pub(super) fn new(config: &'c Config, route: &'c Route, surface: SurfaceRoute) -> Self {
        let named = surface.listeners.iter();
        let listeners = named.filter_map(|name| {
            let mut all = config.listeners.iter();
            let listener = all.find(|listener| listener.name == *name)?;
            Some(RouteListener {
                listener,
                asks: asks_for_certificates(listener),
                identity: route.identity.get(name).map(|identity| &**identity),
            })
        });
        let listeners: Vec<_> = listeners.collect();
        Self {
            tokens: tokens(&listeners),
            fields: fields(config, &listeners),
            route,
            surface,
            listeners,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.route.name
    }

    /// The route on one line.
    pub(super) fn line(&self) -> String {
        let surface = &self.surface;
        let mut identities: Vec<&str> = self.tokens.iter().map(|t| t.identity.as_str()).collect();
        identities.dedup();
        format!(
            "{}  {}  {}  {}  on {}  to {}  policy {} ({})  identity {}",
            surface.name,
            self.methods(),
            surface.hosts.join(" "),
            surface.paths.join(" "),
            surface.listeners.join(", "),
            surface.own_answer.as_ref().unwrap_or(&surface.upstream),
            surface.policy,
            surface.mode,
            or_none(&identities.join(", ")),
        )
    }

    fn methods(&self) -> String {
        match &self.surface.methods {
            None => "all but CONNECT and TRACE".to_owned(),
            Some(methods) if self.surface.head_refused => {
                format!("{}, not HEAD", methods.join(", "))
            }
            Some(methods) => methods.join(", "),
        }
    }

    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let surface = &self.surface;
        writeln!(out, "route     {}", surface.name)?;
        writeln!(out, "hosts     {}", surface.hosts.join(", "))?;
        writeln!(out, "paths     {}", surface.paths.join(", "))?;
        writeln!(out, "methods   {}", self.methods())?;
        let slashes = match surface.pass_encoded_slashes {
            true => "%2f in a path goes to the gateway",
            false => "%2f in a path is refused",
        };
        writeln!(out, "slashes   {slashes}")?;
        if let Some(stream) = &surface.stream {
            writeln!(out, "stream    {stream}: bodies are not held")?;
        }
        writeln!(out, "policy    {}, mode {}", surface.policy, surface.mode)?;
        if let Some(regex) = &surface.path_regex {
            writeln!(out, "matching  {regex}: other paths do not exist")?;
        }
        match &surface.own_answer {
            Some(answer) => writeln!(out, "answer    {answer}")?,
            None => {
                let servers = surface.servers.join(", ");
                writeln!(out, "upstream  {}: {servers}", surface.upstream)?;
                if let Some(rewrite) = &surface.rewrite {
                    writeln!(out, "asked for {rewrite}")?;
                }
            }
        }
        if let Some(cors) = &surface.cors {
            writeln!(out, "cors      {cors}; preflights are answered here")?;
        }
        self.write_looks(out)?;
        if self.route.client_certificate {
            writeln!(out, "clients   need a certificate (client_certificate)")?;
        }
        for listener in &self.listeners {
            self.write_listener(out, listener)?;
        }
        self.write_identity(out)
    }

    fn write_looks(&self, out: &mut impl Write) -> io::Result<()> {
        let route = self.route;
        let lines = [
            ("limits   ", limit_names(&route.rate_limits)),
            ("request  ", route.request_fields.words()),
            ("response ", route.response_fields.words()),
        ];
        for (word, text) in lines.iter().filter(|(_, text)| !text.is_empty()) {
            writeln!(out, "{word} {text}")?;
        }
        if let Some(headers) = &route.security_headers {
            writeln!(out, "browsers  are told by {headers}")?;
        }
        if let Some(pages) = &route.error_pages {
            writeln!(out, "refusals  look like {}", pages.name)?;
        }
        Ok(())
    }

    fn write_listener(&self, out: &mut impl Write, listener: &RouteListener<'_>) -> io::Result<()> {
        let name = &listener.listener.name;
        let bind = listener.listener.bind.iter().map(ToString::to_string);
        let bind: Vec<String> = bind.collect();
        writeln!(out, "\nlistener  {name}, {}", bind.join(", "))?;
        match self.surface.exposures.get(name) {
            Some(exposure) => writeln!(
                out,
                "  exposure  {} of {}: `drawbridge expose off {}` ends it",
                exposure.name, exposure.owner, exposure.name
            )?,
            None => writeln!(out, "  exposure  none: it has no owner and no switch")?,
        }
        let limits = limit_names(&listener.listener.rate_limits);
        if !limits.is_empty() {
            writeln!(out, "  limits    {limits}")?;
        }
        let Some(identity) = listener.identity else {
            return writeln!(out, "  identity  none: nobody is asked");
        };
        let names = identity.providers.iter().map(|p| p.name.as_str());
        let names: Vec<&str> = names.collect();
        let mode = if identity.required {
            "required"
        } else {
            "optional"
        };
        writeln!(
            out,
            "  identity  {}, {mode}, as the {} says",
            names.join(" or "),
            said_by(identity)
        )?;
        for (claim, words) in &identity.require {
            let how = if claim == "scope" { "all of" } else { "one of" };
            writeln!(out, "  require   {claim}: {how} {}", words.join(", "))?;
        }
        let (word, words) = (identity.forward.name(), forwarded(identity.forward));
        writeln!(out, "  gateway   {word}: {words}")
    }

    fn write_identity(&self, out: &mut impl Write) -> io::Result<()> {
        if !self.tokens.is_empty() {
            writeln!(out, "\nwhere callers prove who they are")?;
        }
        for token in &self.tokens {
            let ends = match token.forwarded {
                true => "goes to the gateway",
                false => "stays here",
            };
            writeln!(out, "  {}  {}; {ends}", token.identity, token.place)?;
        }
        writeln!(
            out,
            "\nheader fields that say who is calling, removed from every client's request on every listener"
        )?;
        let width = self.fields.iter().map(|field| field.name.len()).max();
        let width = width.unwrap_or(0);
        for field in &self.fields {
            let set = if field.set {
                "; the gateway gets ours"
            } else {
                ""
            };
            let (name, removed, of) = (&field.name, field.removed, &field.of);
            writeln!(out, "  {name:width$}  {removed}: {of}{set}")?;
        }
        writeln!(
            out,
            "every spelling: any case, any sign in place of a dash, repeated, in trailers, named by Connection, from trusted proxies too"
        )
    }

    pub(super) fn to_json(&self) -> Value {
        let listeners = self.listeners.iter().map(|listener| {
            let name = &listener.listener.name;
            let bind = listener.listener.bind.iter().map(ToString::to_string);
            json!({
                "name": name,
                "bind": bind.collect::<Vec<_>>(),
                "asks_for_certificates": listener.asks,
                "exposure": self.surface.exposures.get(name),
                "rate_limits": names(&listener.listener.rate_limits),
                "identity": listener.identity.map(|identity| json!({
                    "identities": self.surface.identity.get(name).map(|i| &i.identities),
                    "required": identity.required,
                    "require": self.surface.identity.get(name).map(|i| &i.require),
                    "forward": identity.forward.name(),
                    "said_by": said_by(identity),
                })),
            })
        });
        let tokens = self.tokens.iter().map(|token| {
            json!({ "identity": token.identity, "place": token.place, "forwarded": token.forwarded })
        });
        let fields = self.fields.iter().map(|field| {
            json!({ "name": field.name, "removed": field.removed, "of": field.of, "set": field.set })
        });
        let (surface, route) = (&self.surface, self.route);
        json!({
            "path_regex": surface.path_regex,
            "own_answer": surface.own_answer,
            "rewrite": surface.rewrite,
            "cors": surface.cors,
            "rate_limits": names(&route.rate_limits),
            "request_headers": route.request_fields.words(),
            "response_headers": route.response_fields.words(),
            "security_headers": route.security_headers.as_ref().map(|headers| &headers.name),
            "error_pages": route.error_pages.as_ref().map(|pages| &pages.name),
            "name": surface.name,
            "hosts": surface.hosts,
            "paths": surface.paths,
            "methods": surface.methods,
            "head_refused": surface.head_refused,
            "stream": surface.stream,
            "pass_encoded_slashes": surface.pass_encoded_slashes,
            "client_certificate": self.route.client_certificate,
            "policy": surface.policy,
            "mode": surface.mode,
            "upstream": surface.upstream,
            "servers": surface.servers,
            "listeners": listeners.collect::<Vec<_>>(),
            "tokens": tokens.collect::<Vec<_>>(),
            "fields": fields.collect::<Vec<_>>(),
        })
    }
}

fn asks_for_certificates(listener: &Listener) -> bool {
    match &listener.kind {
        ListenerKind::Tls { settings, .. } => settings.client_cas().next().is_some(),
        ListenerKind::Redirect { .. } => false,
    }
}

fn names(limits: &[Arc<Limit>]) -> Vec<&str> {
    limits.iter().map(|limit| limit.name.as_str()).collect()
}

fn limit_names(limits: &[Arc<Limit>]) -> String {
    names(limits).join(", ")
}

fn said_by(identity: &RouteIdentity) -> &'static str {
    match identity.is_default {
        true => "listener",
        false => "route",
    }
}

fn forwarded(forward: ForwardIdentity) -> &'static str {
    match forward {
        ForwardIdentity::Original => "the token as it came",
        ForwardIdentity::Claims => "header fields with claims; the token stays here",
        ForwardIdentity::Signed => "a token of ours in Authorization; the client's stays here",
        ForwardIdentity::Exchanged => {
            "the token that the gateways' issuer gives for the client's, in Authorization; the client's stays here"
        }
        ForwardIdentity::Nothing => "nothing; the token stays here",
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

/// Where the identities of the listeners look, each once.
fn tokens(listeners: &[RouteListener<'_>]) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for identity in listeners.iter().filter_map(|listener| listener.identity) {
        for provider in &identity.providers {
            let forwarded = identity.forward == ForwardIdentity::Original;
            let known = tokens.iter_mut().find(|t| t.identity == provider.name);
            match known {
                Some(known) => known.forwarded |= forwarded,
                None => tokens.push(Token {
                    identity: provider.name.clone(),
                    place: place(&provider.place),
                    forwarded,
                }),
            }
        }
    }
    tokens
}

fn place(place: &TokenPlace) -> String {
    match place {
        TokenPlace::Authorization => "Authorization: Bearer".to_owned(),
        TokenPlace::Field(name) => format!("header field {name}"),
        TokenPlace::Cookie(name) => format!("cookie {name}"),
        TokenPlace::ClientCertificate(_) => "the client's certificate".to_owned(),
    }
}

/// All fields that any table uses, since they are removed on every route, and what this route's gateway gets.
fn fields(config: &Config, listeners: &[RouteListener<'_>]) -> Vec<Field> {
    let forwards = |forward: ForwardIdentity, name: Option<&str>| {
        let mut demanded = listeners.iter().filter_map(|listener| listener.identity);
        demanded.any(|identity| {
            let mut providers = identity.providers.iter();
            identity.forward == forward
                && name.is_none_or(|name| providers.any(|provider| provider.name == name))
        })
    };
    let own = own_fields(config.identity.values()).map(|field| Field {
        name: field.name.to_owned(),
        removed: if field.claim.is_some() { EVERY } else { OTHERS },
        of: match field.claim {
            Some(claim) => format!("{claim} of {}", field.identity),
            None => format!("the token of {}", field.identity),
        },
        set: field.claim.is_some() && forwards(ForwardIdentity::Claims, Some(field.identity)),
    });
    let asks = listeners.iter().any(|listener| listener.asks);
    let certificate = ["Client-Cert", "Client-Cert-Chain"].map(|name| Field {
        name: name.to_owned(),
        removed: EVERY,
        of: "the client's certificate (RFC 9440)".to_owned(),
        set: asks,
    });
    let replaced = [
        (ForwardIdentity::Signed, "a token of the front door's own"),
        (ForwardIdentity::Exchanged, "an exchanged token"),
    ];
    let replaced = replaced.into_iter().find(|(how, _)| forwards(*how, None));
    let authorization = replaced.map(|(_, of)| Field {
        name: "Authorization".to_owned(),
        removed: "before the gateway sees it",
        of: of.to_owned(),
        set: true,
    });
    own.chain(certificate).chain(authorization).collect()
}
