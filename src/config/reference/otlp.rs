//! `[otlp]`, and the keys of everything that the front door itself connects to.

use super::DefaultValue::{Is, Means, Required};
use super::Value::{Boolean, Choice, Duration, Fraction, Text};
use super::{Key, key};

pub(super) const KEYS: &[Key] = &[
    key(
        "url",
        Text("URL"),
        Required,
        "The collector's address; spans go to `/v1/traces` below it, lines of logs to `/v1/logs`.",
        r#""https://collector.corp.example:4318""#,
    ),
    key(
        "trust",
        Text("name of a trust bundle, or `\"system\"`"),
        Means("required for `https://`"),
        "The trust bundle that its certificate must come from; `\"system\"` means the public roots of this machine.",
        r#""onprem""#,
    ),
    key(
        "allow_http",
        Boolean,
        Is("false"),
        "Whether `url` may be `http://`, where anybody on the way can read what is sent.",
        "true",
    ),
    key(
        "proxy",
        Text("URL"),
        Means("no proxy; the environment is not looked at"),
        "An HTTP proxy on the way, which tunnels (`CONNECT`).",
        r#""http://proxy.corp.example:3128""#,
    ),
    key(
        "proxy_credentials",
        Text("file"),
        Means("none"),
        "A file with one line, `USER:PASSWORD`, for the proxy.",
        r#""certs/proxy.credentials""#,
    ),
    key(
        "timeout",
        Duration,
        Is(r#""10s""#),
        "How long sending a batch may take, from the lookup of the name to the answer.",
        r#""5s""#,
    ),
    key(
        "authorization",
        Text("file"),
        Means("none"),
        "A file with one line, the value of the `Authorization` field of each request.",
        r#""certs/collector.token""#,
    ),
    key(
        "traces",
        Boolean,
        Is("true"),
        "Whether traces of requests are made.",
        "false",
    ),
    key(
        "sample",
        Fraction,
        Is("0.01"),
        "The part of the traces that is sent. Requests that were blocked or answered 5xx are always sent.",
        "0.1",
    ),
    key(
        "traceparent",
        Choice(&["never", "trusted", "always"]),
        Is(r#""trusted""#),
        "Whose traces go on here: nobody's, those of `trusted_proxies`, or everybody's. Only trusted proxies decide whether a trace is sampled.",
        r#""never""#,
    ),
    key(
        "service",
        Text("name"),
        Is(r#""drawbridge""#),
        "The `service.name` of all that is sent.",
        r#""edge-eu""#,
    ),
];
