//! `[cors.NAME]`.

use super::DefaultValue::{Is, Means, Required};
use super::Value::{Boolean, Duration, List};
use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "origins",
        List("`https://HOST`, `https://*.DOMAIN`, with a port or none; or `*` alone"),
        Required,
        "The origins whose pages may read answers.",
        r#"["https://app.example.com"]"#,
    ),
    key(
        "methods",
        List("method"),
        Means("those that the route takes"),
        "The methods that these pages may use.",
        r#"["GET", "PUT"]"#,
    ),
    key(
        "headers",
        List("name of a field, or `*` alone"),
        Means("what every page may send"),
        "The header fields that their requests may have.",
        r#"["Authorization", "Content-Type"]"#,
    ),
    key(
        "expose",
        List("name of a field, or `*` alone"),
        Means("what every page may read"),
        "The header fields of answers that they may read.",
        r#"["X-Total"]"#,
    ),
    key(
        "max_age",
        Duration,
        Is(r#""10m""#),
        "How long a browser may keep what a preflight said.",
        r#""1h""#,
    ),
    key(
        "credentials",
        Boolean,
        Is("false"),
        "Whether their requests may have cookies, client certificates and `Authorization` of the browser; never beside `*`.",
        "true",
    ),
];
