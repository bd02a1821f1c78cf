//! The Elastic Common Schema, 8.17. `rule` is the rule that ended the transaction, or else the one of the highest
//! severity; all matches are in `drawbridge.messages`.

use serde::Serialize;

use super::{Facts, File, Message, Moment, Record, Verdict};

#[derive(Serialize)]
pub(super) struct Document<'r> {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    message: &'r str,
    ecs: Ecs,
    event: Event<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Rule<'r>>,
    source: Endpoint,
    destination: Endpoint,
    url: Url<'r>,
    http: Http<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<UserAgent<'r>>,
    observer: Observer,
    drawbridge: Own<'r>,
}

#[derive(Serialize)]
struct Ecs {
    version: &'static str,
}

#[derive(Serialize)]
struct Event<'r> {
    id: &'r str,
    kind: &'static str,
    category: [&'static str; 2],
    r#type: [&'static str; 1],
    action: &'static str,
    outcome: &'static str,
    module: &'static str,
    dataset: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<u8>,
}

#[derive(Serialize)]
struct Rule<'r> {
    id: String,
    name: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'r str>,
    ruleset: &'r str,
    version: &'r str,
}

#[derive(Serialize)]
struct Endpoint {
    ip: String,
    port: u16,
}

#[derive(Serialize)]
struct Url<'r> {
    original: &'r str,
    path: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'r str>,
}

#[derive(Serialize)]
struct Http<'r> {
    version: &'r str,
    request: HttpRequest<'r>,
    response: HttpResponse<'r>,
}

#[derive(Serialize)]
struct HttpRequest<'r> {
    id: &'r str,
    method: &'r str,
    body: Body<'r>,
}

#[derive(Serialize)]
struct HttpResponse<'r> {
    status_code: u16,
    body: Body<'r>,
}

#[derive(Serialize)]
struct Body<'r> {
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'r str>,
}

#[derive(Serialize)]
struct UserAgent<'r> {
    original: &'r str,
}

#[derive(Serialize)]
struct Observer {
    r#type: &'static str,
    product: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Own<'r> {
    #[serde(flatten)]
    facts: &'r Facts,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_headers: Option<Headers<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_headers: Option<Headers<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<&'r [File]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Logged<'r>>>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Headers<'r>(#[serde(serialize_with = "super::headers")] &'r [(String, String)]);

#[derive(Serialize)]
struct Logged<'r> {
    rule_id: u64,
    phase: u8,
    message: &'r str,
    data: &'r str,
    #[serde(rename = "match")]
    matched: &'r str,
    variable: &'r str,
    severity: Option<u8>,
    file: &'r str,
    line: u32,
    tags: &'r [String],
}

/// The host of a `Host` field. ECS keeps the brackets of an IPv6 address.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // An address without brackets has colons of its own.
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit())
                && (name.ends_with(']') || !name.contains(':')) =>
        {
            name
        }
        _ => host,
    }
}

pub(super) fn document(record: &Record) -> Document<'_> {
    let main = main_message(record);
    let request = &record.request;
    let (path, query) = match request.uri.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (request.uri.as_str(), None),
    };
    let domain = request.host.as_deref().map(without_port);
    Document {
        timestamp: Moment::at(record.time).rfc3339(),
        message: main.map_or("", |m| &m.message),
        ecs: Ecs { version: "8.17.0" },
        event: event(record, main),
        rule: main.map(|m| rule(record, m)),
        source: endpoint(record.client),
        destination: endpoint(record.server),
        url: Url {
            original: &request.uri,
            path,
            query,
            domain,
        },
        http: http(record),
        user_agent: request
            .user_agent
            .as_deref()
            .map(|original| UserAgent { original }),
        observer: Observer {
            r#type: "waf",
            product: "Drawbridge",
            version: env!("CARGO_PKG_VERSION"),
        },
        drawbridge: Own {
            facts: &record.facts,
            request_headers: request.headers.as_deref().map(Headers),
            response_headers: record.response.headers.as_deref().map(Headers),
            files: request.files.as_deref(),
            messages: record
                .messages
                .as_ref()
                .map(|m| m.iter().map(logged).collect()),
        },
    }
}

fn main_message(record: &Record) -> Option<&Message> {
    let messages = record.messages.as_deref()?;
    // 0 is the highest severity. A rule without one comes last.
    let gravest = || messages.iter().min_by_key(|m| m.severity.unwrap_or(255));
    messages.iter().find(|m| m.interrupting).or_else(gravest)
}

fn event<'r>(record: &'r Record, main: Option<&Message>) -> Event<'r> {
    // ECS allows only certain words in these fields, and these are among them.
    let (kind, r#type, action, outcome) = match record.facts.verdict {
        Verdict::Block => ("alert", "denied", "block", "failure"),
        Verdict::Match => ("alert", "info", "match", "success"),
        Verdict::Pass => ("event", "allowed", "pass", "success"),
    };
    Event {
        id: &record.unique_id,
        kind,
        category: ["web", "intrusion_detection"],
        r#type: [r#type],
        action,
        outcome,
        module: "drawbridge",
        dataset: "drawbridge.audit",
        severity: main.and_then(|m| m.severity),
    }
}

fn rule<'r>(record: &'r Record, message: &'r Message) -> Rule<'r> {
    // The CRS names the kind of attack in such a tag; other rule sets have their own order.
    let category = message.tags.iter().find(|t| t.starts_with("attack-"));
    Rule {
        id: message.rule_id.to_string(),
        name: &message.message,
        category: category.or(message.tags.first()).map(String::as_str),
        ruleset: record.components.first().map_or("", String::as_str),
        version: &message.version,
    }
}

fn endpoint(address: std::net::SocketAddr) -> Endpoint {
    Endpoint {
        // A socket for IPv6 shows an IPv4 client as `::ffff:192.0.2.1`, by which nobody searches.
        ip: address.ip().to_canonical().to_string(),
        port: address.port(),
    }
}

fn http(record: &Record) -> Http<'_> {
    let request = &record.request;
    Http {
        // ECS has the bare number: `1.1` of `HTTP/1.1`.
        version: request.protocol.rsplit('/').next().unwrap_or_default(),
        request: HttpRequest {
            id: &record.unique_id,
            method: &request.method,
            body: Body {
                bytes: record.facts.body.received,
                content: request.body.as_deref(),
            },
        },
        response: HttpResponse {
            status_code: record.response.status,
            body: Body {
                bytes: record.facts.response_body.received,
                content: record.response.body.as_deref(),
            },
        },
    }
}

fn logged(message: &Message) -> Logged<'_> {
    Logged {
        rule_id: message.rule_id,
        phase: message.phase,
        message: &message.message,
        data: &message.data,
        matched: &message.matched,
        variable: &message.variable,
        severity: message.severity,
        file: &message.file,
        line: message.line,
        tags: &message.tags,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_has_no_port() {
        for (host, domain) in [
            ("a.example", "a.example"),
            ("a.example:8443", "a.example"),
            ("a.example:", "a.example"),
            ("[2001:db8::1]:443", "[2001:db8::1]"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("2001:db8::1", "2001:db8::1"),
            ("a:b", "a:b"),
            ("", ""),
        ] {
            assert_eq!(without_port(host), domain, "{host}");
        }
    }
}
