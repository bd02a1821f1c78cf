//! Routes, policies and exposures.

use super::DefaultValue::{Is, Means, Required};
use super::Value::{Choice, Fraction, Integer, List, ListsByName, Size, Table, Text, Variables};
use super::{Key, Section, key};
use crate::config::section_kind::SectionKind;

pub(super) const SECTIONS: &[Section] = &[
    Section {
        kind: SectionKind::Route,
        header: "[[routes]]",
        about: "What is reachable on which listeners, and where it leads.",
        keys: ROUTE,
    },
    Section {
        kind: SectionKind::Policy,
        header: "[policies.NAME]",
        about: "Which rules inspect the requests of a route, in which mode and with which settings.",
        keys: POLICY,
    },
    Section {
        kind: SectionKind::Shadow,
        header: "[policies.NAME.shadow]",
        about: "Other rules that see a sample of the policy's requests after they were answered, and change nothing.",
        keys: SHADOW,
    },
    Section {
        kind: SectionKind::Exposure,
        header: "[exposures.NAME]",
        about: "Routes on listeners that one team owns and that one switch takes off.",
        keys: EXPOSURE,
    },
];

const ROUTE: &[Key] = &[
    key(
        "name",
        Text("name"),
        Required,
        "The name of the route in logs, metrics and exposures.",
        r#""orders""#,
    ),
    key(
        "hosts",
        List("host name, `*.DOMAIN`, or `*`"),
        Required,
        "The hosts that requests must name.",
        r#"["api.example.com"]"#,
    ),
    key(
        "paths",
        List("path"),
        Required,
        "The paths that requests must name; with a slash at the end it takes all below it.",
        r#"["/orders/", "/status"]"#,
    ),
    key(
        "methods",
        List("method"),
        Means("all but CONNECT and TRACE"),
        "The methods that requests may have; GET brings HEAD.",
        r#"["GET", "POST"]"#,
    ),
    key(
        "head",
        Choice(&["with_get", "refuse"]),
        Is(r#""with_get""#),
        "Whether GET in `methods` brings HEAD.",
        r#""refuse""#,
    ),
    key(
        "listeners",
        List("name of a listener"),
        Required,
        "Where the route is reachable.",
        r#"["public"]"#,
    ),
    key(
        "upstream",
        Text("name of an upstream"),
        Means("required, unless there is a `redirect` or `respond`"),
        "Where its requests go.",
        r#""orders""#,
    ),
    key(
        "redirect",
        Table(SectionKind::Redirect),
        Means("none"),
        "Sends clients elsewhere, instead of an upstream.",
        r#"{ to = "https://www.example.com{path}" }"#,
    ),
    key(
        "respond",
        Table(SectionKind::Respond),
        Means("none"),
        "Answers a fixed text, instead of an upstream.",
        r#"{ status = 410, body = "This API is gone." }"#,
    ),
    key(
        "path_regex",
        Text("regular expression"),
        Means("every path of `paths`"),
        "What the whole path must match beside; other paths are answered 404. Its groups are variables: `{path.NAME}`.",
        r#"'/orders/(?<id>[0-9]+)'"#,
    ),
    key(
        "request_headers",
        Table(SectionKind::RequestHeaders),
        Means("nothing changes"),
        "What changes in the header fields that the gateway gets.",
        r#"{ set = { X-Client = "{client}" } }"#,
    ),
    key(
        "response_headers",
        Table(SectionKind::ResponseHeaders),
        Means("nothing changes"),
        "What changes in the header fields that clients get.",
        r#"{ remove = ["Server"] }"#,
    ),
    key(
        "policy",
        Text("name of a policy"),
        Required,
        "What inspects its requests.",
        r#""default""#,
    ),
    key(
        "stream",
        Choice(&["websocket", "grpc", "sse"]),
        Means("requests and answers are held where the rules look at them"),
        "What kind of stream it carries; the head is inspected, the rest is passed on as it comes.",
        r#""websocket""#,
    ),
    key(
        "encoded_slashes",
        Choice(&["refuse", "pass"]),
        Is(r#""refuse""#),
        "Whether `%2f` in a path is let through.",
        r#""pass""#,
    ),
    key(
        "client_certificate",
        Choice(&["required"]),
        Means("as the listener has it"),
        "Refuses requests without a verified client certificate; for listeners with a `client_ca`.",
        r#""required""#,
    ),
    key(
        "identity",
        List("name of an `[identity.NAME]` table, one such name, or `\"none\"`"),
        Means("as the listener has it"),
        "Whose callers are taken: the `iss` of a token selects, without a token the client certificate. `\"none\"` asks nobody.",
        r#"["corp", "partner"]"#,
    ),
    key(
        "identity_mode",
        Choice(&["required", "optional"]),
        Means("as the listener has it, if its `identity` holds; else `\"required\"`"),
        "Whether a request without proof is refused (401). One with a bad token always is.",
        r#""required""#,
    ),
    key(
        "require",
        ListsByName("word"),
        Means("as the listener has it, if its `identity` holds; else nothing"),
        "What a caller must have, else 403: all words of `scope`, and one of the values of any other claim.",
        r#"{ scope = ["orders.read"], role = ["clerk", "admin"] }"#,
    ),
    key(
        "forward_identity",
        Choice(&["original", "claims", "signed", "exchanged", "none"]),
        Means("as the listener has it, if its `identity` holds; else `\"original\"`"),
        "What the gateway gets: the client's token, header fields with claims, a token of our own, one of the gateways' issuer, or nothing.",
        r#""exchanged""#,
    ),
    key(
        "exchange",
        Text("name of an `[exchange.NAME]`"),
        Means("required beside `forward_identity = \"exchanged\"`"),
        "The issuer that gives the gateway's token in exchange for the client's.",
        r#""gateways""#,
    ),
    key(
        "rate_limits",
        List("name of a `[limits.NAME]` table"),
        Is("[]"),
        "The limits that its requests ask, beside those of the listener and the policy.",
        r#"["logins"]"#,
    ),
];

const POLICY: &[Key] = &[
    key(
        "mode",
        Choice(&["block", "detect", "off"]),
        Required,
        "Whether rules that match refuse a request, only log it, or do not run.",
        r#""block""#,
    ),
    key(
        "rules",
        List("file, pattern, or `@baseline`"),
        Means("required, unless `mode` is `\"off\"`"),
        "The rules, in the order in which they are loaded.",
        r#"["@baseline", "rules/*.conf"]"#,
    ),
    key(
        "exclusions",
        List("file"),
        Is("[]"),
        "Files of exclusions with owner, end and tests, loaded before the CRS's rules; `rules exclude` writes them.",
        r#"["rules/exclusions.conf"]"#,
    ),
    key(
        "on_expiry",
        Choice(&["remove", "warn"]),
        Is(r#""remove""#),
        "Whether an exclusion whose last day is over no longer holds, or goes on with a warning.",
        r#""warn""#,
    ),
    key(
        "crs",
        Variables,
        Is("{}"),
        "Variables that the CRS documents, set before its first rule.",
        r#"{ paranoia_level = 1 }"#,
    ),
    key(
        "request_body_limit",
        Size,
        Means("what the rules say, else 13107200"),
        "How large a body that is held and inspected may be; a larger one is answered 413.",
        r#""1MiB""#,
    ),
    key(
        "on_uninspected",
        Choice(&["block", "detect"]),
        Is(r#""block""#),
        "Whether a request is refused that a limit, a parser error or the time budget left uninspected.",
        r#""detect""#,
    ),
    key(
        "unparsed_bodies",
        Choice(&["inspect", "block", "pass"]),
        Is(r#""inspect""#),
        "What happens to a body that no parser takes apart: rules see its bytes, 415, or no rule sees it.",
        r#""block""#,
    ),
    key(
        "waf_budget_ms",
        Integer("milliseconds", 1, 60_000),
        Means("no limit"),
        "How long the rules may work on one request; `on_uninspected` decides what follows.",
        "50",
    ),
    key(
        "response_encoding",
        Choice(&["identity", "client"]),
        Means("`\"identity\"` where rules of the CRS look at answers, else `\"client\"`"),
        "Whether gateways are asked for uncompressed answers, or for what the client takes.",
        r#""identity""#,
    ),
    key(
        "shadow",
        Table(SectionKind::Shadow),
        Means("none"),
        "Other rules that judge a sample of the requests; what they would change is counted.",
        r#"{ crs = { paranoia_level = 2 } }"#,
    ),
    key(
        "cost_sample",
        Fraction,
        Is("0"),
        "The part of the requests whose rules are timed one by one, for `rules top` and `waf_rule_cpu_seconds_total`.",
        "0.001",
    ),
    key(
        "rate_limits",
        List("name of a `[limits.NAME]` table"),
        Is("[]"),
        "The limits that its requests ask, beside those of the listener and the route.",
        r#"["logins"]"#,
    ),
];

const SHADOW: &[Key] = &[
    key(
        "rules",
        List("file, pattern, or `@baseline`"),
        Means("those of the policy"),
        "The rules, in the order in which they are loaded; the policy's exclusions are added.",
        r#"["crs-next/rules/*.conf"]"#,
    ),
    key(
        "crs",
        Variables,
        Means("those of the policy"),
        "Variables that the CRS documents, instead of the policy's.",
        r#"{ paranoia_level = 2 }"#,
    ),
    key(
        "sample",
        Fraction,
        Is("0.1"),
        "The part of the requests that it sees.",
        "0.5",
    ),
];

const EXPOSURE: &[Key] = &[
    key(
        "routes",
        List("name of a route"),
        Required,
        "The routes that belong to it.",
        r#"["orders"]"#,
    ),
    key(
        "listeners",
        List("name of a listener"),
        Required,
        "The listeners where they belong to it.",
        r#"["public"]"#,
    ),
    key(
        "owner",
        Text("words"),
        Required,
        "The team that answers for it.",
        r#""orders team""#,
    ),
    key(
        "off",
        Choice(&["503", "404", "close"]),
        Is(r#""503""#),
        "What a client gets while the switch is off: an answer, or a closed connection.",
        r#""404""#,
    ),
];
