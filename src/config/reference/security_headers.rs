//! `[security_headers.NAME]`.

use super::DefaultValue::{Is, Means, Required};
use super::Value::{Boolean, Choice, Integer, Table, Text};
use super::{Key, key};
use crate::config::section_kind::SectionKind;

pub(super) const KEYS: &[Key] = &[
    key(
        "replace",
        Boolean,
        Is("true"),
        "Whether these fields replace the gateway's; `false` keeps what a gateway says, but for HSTS.",
        "false",
    ),
    key(
        "hsts",
        Table(SectionKind::Hsts),
        Means("not sent"),
        "`Strict-Transport-Security`.",
        "{ days = 365 }",
    ),
    key(
        "csp",
        Text("policy"),
        Means("not sent"),
        "`Content-Security-Policy`; `check` knows its directives.",
        r#""default-src 'none'; frame-ancestors 'none'""#,
    ),
    key(
        "csp_report_only",
        Text("policy"),
        Means("not sent"),
        "`Content-Security-Policy-Report-Only`.",
        r#""default-src 'self'""#,
    ),
    key(
        "nosniff",
        Boolean,
        Is("true"),
        "`X-Content-Type-Options: nosniff`.",
        "false",
    ),
    key(
        "frame",
        Choice(&["deny", "same-origin"]),
        Means("not sent"),
        "`X-Frame-Options`.",
        r#""deny""#,
    ),
    key(
        "referrer",
        Choice(&[
            "no-referrer",
            "no-referrer-when-downgrade",
            "origin",
            "origin-when-cross-origin",
            "same-origin",
            "strict-origin",
            "strict-origin-when-cross-origin",
            "unsafe-url",
        ]),
        Means("not sent"),
        "`Referrer-Policy`.",
        r#""no-referrer""#,
    ),
    key(
        "permissions",
        Text("policy"),
        Means("not sent"),
        "`Permissions-Policy`.",
        r#""geolocation=(), camera=()""#,
    ),
    key(
        "opener",
        Choice(&[
            "same-origin",
            "same-origin-allow-popups",
            "noopener-allow-popups",
            "unsafe-none",
        ]),
        Means("not sent"),
        "`Cross-Origin-Opener-Policy`.",
        r#""same-origin""#,
    ),
    key(
        "embedder",
        Choice(&["require-corp", "credentialless", "unsafe-none"]),
        Means("not sent"),
        "`Cross-Origin-Embedder-Policy`.",
        r#""require-corp""#,
    ),
    key(
        "resource",
        Choice(&["same-origin", "same-site", "cross-origin"]),
        Means("not sent"),
        "`Cross-Origin-Resource-Policy`.",
        r#""same-origin""#,
    ),
];

pub(super) const HSTS: &[Key] = &[
    key(
        "days",
        Integer("days", 0, 3650),
        Required,
        "How long; 0 ends it.",
        "365",
    ),
    key(
        "subdomains",
        Boolean,
        Is("false"),
        "Also for all subdomains.",
        "true",
    ),
    key(
        "preload",
        Boolean,
        Is("false"),
        "Whether browsers may have it built in; needs `subdomains` and 365 days.",
        "true",
    ),
];
