//! Trust bundles and upstreams.

use super::DefaultValue::{Is, Means, Required};
use super::Value::{Boolean, Choice, Duration, Integer, Integers, List, Table, Tables, Text};
use super::{Key, Section, key};
use crate::config::section_kind::SectionKind;

pub(super) const SECTIONS: &[Section] = &[
    Section {
        kind: SectionKind::Trust,
        header: "[trust.NAME]",
        about: "Private CAs, trusted only for the upstreams and clients that name them.",
        keys: TRUST,
    },
    Section {
        kind: SectionKind::Upstream,
        header: "[upstreams.NAME]",
        about: "Gateways of one kind, always reached over verified TLS.",
        keys: UPSTREAM,
    },
    Section {
        kind: SectionKind::Server,
        header: "[[upstreams.NAME.servers]]",
        about: "A server with a weight, usually written as an inline table; a string is a server of weight 1.",
        keys: SERVER,
    },
    Section {
        kind: SectionKind::UpstreamTls,
        header: "[upstreams.NAME.tls]",
        about: "How the servers of an upstream are verified.",
        keys: UPSTREAM_TLS,
    },
    Section {
        kind: SectionKind::ClientCertificate,
        header: "[upstreams.NAME.tls.client_certificate]",
        about: "The certificate that gateways get from us.",
        keys: CLIENT_CERTIFICATE,
    },
    Section {
        kind: SectionKind::Affinity,
        header: "[upstreams.NAME.affinity]",
        about: "Keeps a client at the server that answered it first, by a cookie.",
        keys: AFFINITY,
    },
    Section {
        kind: SectionKind::Health,
        header: "[upstreams.NAME.health]",
        about: "Asks every server regularly, and uses only those that answer.",
        keys: HEALTH,
    },
    Section {
        kind: SectionKind::Eject,
        header: "[upstreams.NAME.eject]",
        about: "Leaves a server alone for a while after it failed requests.",
        keys: EJECT,
    },
];

const TRUST: &[Key] = &[
    key(
        "ca",
        List("file"),
        Required,
        "CA certificates, PEM.",
        r#"["certs/onprem-ca.pem"]"#,
    ),
    key(
        "allow_expired",
        Boolean,
        Is("false"),
        "Whether a new bundle may take the place of a valid one although none of its CAs is valid.",
        "true",
    ),
];

const UPSTREAM: &[Key] = &[
    key(
        "servers",
        Tables(SectionKind::Server),
        Required,
        "The servers, each as `\"host:port\"` or with a weight; every address of a name is a server.",
        r#"["10.20.0.11:8443", { address = "orders.dc.example:8443", weight = 3 }]"#,
    ),
    key(
        "tls",
        Table(SectionKind::UpstreamTls),
        Required,
        "How the servers are verified.",
        r#"{ server_name = "orders.corp.example", trust = "onprem" }"#,
    ),
    key(
        "connect_timeout",
        Duration,
        Is(r#""5s""#),
        "How long a connection to a server may take, with its TLS handshake.",
        r#""1s""#,
    ),
    key(
        "read_timeout",
        Duration,
        Is(r#""60s""#),
        "How long a server may send nothing while an answer is awaited.",
        r#""30s""#,
    ),
    key(
        "write_timeout",
        Duration,
        Is(r#""60s""#),
        "How long a server may take nothing of a request.",
        r#""30s""#,
    ),
    key(
        "idle_timeout",
        Duration,
        Is(r#""60s""#),
        "How long a connection without a request is kept for the next.",
        r#""30s""#,
    ),
    key(
        "attempts",
        Integer("servers", 1, 16),
        Is("3"),
        "How many servers are tried for one request, the first included.",
        "2",
    ),
    key(
        "connection_auth",
        Choice(&["pin", "refuse"]),
        Is(r#""pin""#),
        "Whether a login that authenticates a connection (NTLM, Negotiate) gets one of its own, or is refused.",
        r#""refuse""#,
    ),
    key(
        "balance",
        Choice(&["round_robin", "least_connections"]),
        Is(r#""round_robin""#),
        "Which server gets the next request.",
        r#""least_connections""#,
    ),
    key(
        "affinity",
        Table(SectionKind::Affinity),
        Means("any server"),
        "Keeps a client at one server.",
        r#"{ cookie = "route" }"#,
    ),
    key(
        "health",
        Table(SectionKind::Health),
        Means("servers are not asked"),
        "Asks every server regularly whether it is well.",
        r#"{ path = "/healthz" }"#,
    ),
    key(
        "eject",
        Table(SectionKind::Eject),
        Means("no server is left alone"),
        "Leaves a failing server alone for a while.",
        r#"{ failures = 5, for = "30s" }"#,
    ),
    key(
        "max_connections",
        Integer("requests", 1, 1_000_000),
        Means("no limit"),
        "How many requests the upstream gets at once, streams included.",
        "500",
    ),
    key(
        "max_pending",
        Integer("requests", 0, 1_000_000),
        Is("0"),
        "How many more may wait while `max_connections` are in flight.",
        "100",
    ),
    key(
        "pending_timeout",
        Duration,
        Is(r#""1s""#),
        "How long they may wait; then they are answered 503.",
        r#""2s""#,
    ),
    key(
        "dns_refresh",
        Duration,
        Is(r#""30s""#),
        "How long the addresses of a name are used at most; a shorter TTL counts.",
        r#""10s""#,
    ),
];

const SERVER: &[Key] = &[
    key(
        "address",
        Text("host and port"),
        Required,
        "The server: a host name or an address, and a port.",
        r#""orders.dc.example:8443""#,
    ),
    key(
        "weight",
        Integer("", 1, 1000),
        Is("1"),
        "Its share of the requests beside the weights of the others.",
        "3",
    ),
];

const UPSTREAM_TLS: &[Key] = &[
    key(
        "server_name",
        Text("host name"),
        Required,
        "The name that the servers' certificates must have; it is sent as SNI.",
        r#""orders.corp.example""#,
    ),
    key(
        "trust",
        Text("name of a trust bundle"),
        Required,
        "The CAs that must have signed the servers' certificates.",
        r#""onprem""#,
    ),
    key(
        "client_certificate",
        Table(SectionKind::ClientCertificate),
        Means("none"),
        "The certificate to show where a server asks for one.",
        r#"{ chain = "front.pem", key = "front.key" }"#,
    ),
];

pub(super) const CLIENT_CERTIFICATE: &[Key] = &[
    key(
        "chain",
        Text("file"),
        Required,
        "The certificate and its intermediates, PEM, the leaf first.",
        r#""certs/front.pem""#,
    ),
    key(
        "key",
        Text("file"),
        Required,
        "The private key, PEM, unencrypted.",
        r#""certs/front.key""#,
    ),
    key(
        "allow_expired",
        Boolean,
        Is("false"),
        "Whether a new certificate may be worse than the serving one: expired, or good for a shorter time.",
        "true",
    ),
];

const AFFINITY: &[Key] = &[
    key(
        "cookie",
        Text("name of a cookie"),
        Required,
        "The cookie that holds the keyed id of a server.",
        r#""route""#,
    ),
    key(
        "key_file",
        Text("file"),
        Means("a key of this process alone"),
        "The secret that ids are made with, 16 bytes or more; several front doors share one.",
        r#""certs/route.key""#,
    ),
];

const HEALTH: &[Key] = &[
    key(
        "path",
        Text("path and query"),
        Required,
        "What is asked for, by GET.",
        r#""/healthz""#,
    ),
    key(
        "host",
        Text("host name"),
        Means("`server_name` of the upstream's `tls`"),
        "The Host of the request.",
        r#""health.corp.example""#,
    ),
    key(
        "status",
        Integers(200, 599),
        Is("[200]"),
        "The statuses that say the server is well.",
        "[200, 204]",
    ),
    key(
        "interval",
        Duration,
        Is(r#""5s""#),
        "The time from one check of a server to the next.",
        r#""10s""#,
    ),
    key(
        "timeout",
        Duration,
        Means("`\"2s\"`, or `interval` if that is shorter"),
        "How long a check may take; at most `interval`.",
        r#""1s""#,
    ),
    key(
        "healthy",
        Integer("checks", 1, 100),
        Is("2"),
        "How many good checks in a row bring a server back.",
        "3",
    ),
    key(
        "unhealthy",
        Integer("checks", 1, 100),
        Is("3"),
        "How many failed checks in a row take a server out.",
        "2",
    ),
];

const EJECT: &[Key] = &[
    key(
        "failures",
        Integer("failures", 1, 1000),
        Is("5"),
        "How many failed requests in a row take a server out.",
        "3",
    ),
    key(
        "for",
        Duration,
        Is(r#""30s""#),
        "How long it is left alone.",
        r#""1m""#,
    ),
    key(
        "server_errors",
        Boolean,
        Is("false"),
        "Whether an answer with a 5xx status is a failure.",
        "true",
    ),
];
