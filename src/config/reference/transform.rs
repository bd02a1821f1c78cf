//! What routes answer themselves, and what routes and listeners change in header fields.

use super::DefaultValue::{Is, Means, Required};
use super::Value::{ByName, Integer, List, Text};
use super::{Key, Section, key};
use crate::config::section_kind::SectionKind;

pub(super) const SECTIONS: &[Section] = &[
    Section {
        kind: SectionKind::RequestHeaders,
        header: "[routes.request_headers]",
        about: "What changes in the header fields that a gateway gets; also `request_headers` of a listener, which come first. \
                [redirects.md](redirects.md) has the variables.",
        keys: FIELDS,
    },
    Section {
        kind: SectionKind::ResponseHeaders,
        header: "[routes.response_headers]",
        about: "What changes in the header fields that a client gets; also `response_headers` of a listener, which come first \
                and change refusals too.",
        keys: FIELDS,
    },
    Section {
        kind: SectionKind::Rewrite,
        header: "[routes.rewrite]",
        about: "What the gateway is asked for, made after the rules have seen what the client asked for. A path that breaks \
                the rules for paths is answered 400.",
        keys: REWRITE,
    },
    Section {
        kind: SectionKind::Cors,
        header: "[cors.NAME]",
        about: "Which pages of other origins may read answers of the routes that name it in `cors`. Preflights are answered \
                by the front door.",
        keys: super::cors::KEYS,
    },
    Section {
        kind: SectionKind::ErrorPages,
        header: "[error_pages.NAME]",
        about: "What refusals look like, for the listeners and routes that name it in `error_pages`: \
                [error-pages.md](error-pages.md). The files are watched.",
        keys: ERROR_PAGES,
    },
    Section {
        kind: SectionKind::SecurityHeaders,
        header: "[security_headers.NAME]",
        about: "What browsers are told, for the listeners and routes that name it in `security_headers`.",
        keys: super::security_headers::KEYS,
    },
    Section {
        kind: SectionKind::Hsts,
        header: "[security_headers.NAME.hsts]",
        about: "How long browsers insist on TLS for the host (RFC 6797).",
        keys: super::security_headers::HSTS,
    },
    Section {
        kind: SectionKind::Redirect,
        header: "[routes.redirect]",
        about: "Sends the client elsewhere; the route has no upstream.",
        keys: REDIRECT,
    },
    Section {
        kind: SectionKind::Respond,
        header: "[routes.respond]",
        about: "Answers what is written here; the route has no upstream.",
        keys: RESPOND,
    },
];

const FIELDS: &[Key] = &[
    key(
        "set",
        ByName("text with variables"),
        Means("nothing"),
        "Fields that have this value alone; without a value for a variable the field is left out.",
        r#"{ X-Client = "{client}" }"#,
    ),
    key(
        "add",
        ByName("text with variables"),
        Means("nothing"),
        "Fields that get this value beside those they have.",
        r#"{ Via = "1.1 front" }"#,
    ),
    key(
        "remove",
        List("name of a field"),
        Means("nothing"),
        "Fields that are taken out, before others are set and added.",
        r#"["X-Debug"]"#,
    ),
];

const ERROR_PAGES: &[Key] = &[
    key(
        "html",
        ByName("file"),
        Means("the program's pages"),
        "Pages for browsers, by status (`404`), class (`4xx`, `5xx`), reason (`waf`) or `default`.",
        r#"{ default = "pages/error.html" }"#,
    ),
    key(
        "json",
        ByName("file"),
        Means("the program's"),
        "The same for programs: objects of JSON (RFC 9457).",
        r#"{ 5xx = "pages/sorry.json" }"#,
    ),
];

const REWRITE: &[Key] = &[
    key(
        "path",
        Text("path with variables"),
        Means("the client's"),
        "The path, with `{path}`, `{below}` and `{path.NAME}`.",
        r#""/v2/{below}""#,
    ),
    key(
        "query",
        Text("query with variables"),
        Means("the client's"),
        "The query without its `?`; empty for none.",
        r#""{query}&by=front""#,
    ),
];

const REDIRECT: &[Key] = &[
    key(
        "to",
        Text("URL with variables"),
        Required,
        "Where it leads: `https://HOST...` or a path. A route or `redirect_hosts` must name the host.",
        r#""/new/{below}?{query}""#,
    ),
    key(
        "status",
        Integer("301, 302, 303, 307 or 308", 301, 308),
        Is("308"),
        "The status; 307 and 308 keep the method, 301 and 308 may be kept by clients.",
        "302",
    ),
];

const RESPOND: &[Key] = &[
    key(
        "status",
        Integer("", 200, 599),
        Is("200"),
        "The status of the answer.",
        "410",
    ),
    key(
        "body",
        Text("text"),
        Means("empty"),
        "The body, of 64 KiB at most; `text/plain` unless `headers` says otherwise.",
        r#""This API is gone.\n""#,
    ),
    key(
        "headers",
        ByName("text with variables"),
        Means("none"),
        "Header fields of the answer.",
        r#"{ Content-Type = "text/html; charset=utf-8" }"#,
    ),
];
