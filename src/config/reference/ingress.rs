//! The top level of a file, and listeners.

use super::DefaultValue::{Is, Means, Required};
use super::Value::{
    Age, Boolean, Choice, Duration, Fraction, Integer, List, ListsByName, NamedTables, Size, Table,
    Tables, Text,
};
use super::{Key, Section, key};
use crate::config::section_kind::SectionKind;

pub(super) const SECTIONS: &[Section] = &[
    Section {
        kind: SectionKind::Main,
        header: "Top level",
        about: "Keys above the first table of a file. A key may stand in one file only.",
        keys: MAIN,
    },
    Section {
        kind: SectionKind::Limits,
        header: "[limits]",
        about: "Limits over all listeners.",
        keys: LIMITS,
    },
    Section {
        kind: SectionKind::Limit,
        header: "[limits.NAME]",
        about: "How often requests with equal keys may come, for the listeners, routes and policies that name it in `rate_limits`.",
        keys: super::limits::KEYS,
    },
    Section {
        kind: SectionKind::Log,
        header: "[log]",
        about: "Where logs go. A change needs a restart.",
        keys: LOG,
    },
    Section {
        kind: SectionKind::Otlp,
        header: "[otlp]",
        about: "An OpenTelemetry collector that takes OTLP over HTTP: traces of requests, and logs that `[log]` sends there.",
        keys: super::otlp::KEYS,
    },
    Section {
        kind: SectionKind::Events,
        header: "[events]",
        about: "Which requests are kept in `state_dir`, how much of them and how long. A change needs a restart.",
        keys: EVENTS,
    },
    Section {
        kind: SectionKind::Dns,
        header: "[dns]",
        about: "Who is asked for the addresses of upstream servers.",
        keys: DNS,
    },
    Section {
        kind: SectionKind::Listener,
        header: "[listeners.NAME]",
        about: "Where clients come in: over TLS, or over plain HTTP that only redirects.",
        keys: LISTENER,
    },
    Section {
        kind: SectionKind::ListenerLimits,
        header: "[listeners.NAME.limits]",
        about: "How much, and how long, one client may use a listener.",
        keys: LISTENER_LIMITS,
    },
    Section {
        kind: SectionKind::ListenerCertificate,
        header: "[[listeners.NAME.certificates]]",
        about: "A certificate for clients, usually written as an inline table.",
        keys: LISTENER_CERTIFICATE,
    },
    Section {
        kind: SectionKind::ClientCa,
        header: "[listeners.NAME.client_ca]",
        about: "Which client certificates a listener takes, or the names of one of its certificates.",
        keys: CLIENT_CA,
    },
];

const MAIN: &[Key] = &[
    key(
        "include",
        List("file or pattern"),
        Means("no other file"),
        "Further files of the configuration; only the main file includes others.",
        r#"["conf.d/*.toml"]"#,
    ),
    key(
        "listeners",
        NamedTables(SectionKind::Listener),
        Required,
        "Where clients come in.",
        r#"{ public = { ... } }"#,
    ),
    key(
        "routes",
        Tables(SectionKind::Route),
        Means("nothing is reachable"),
        "What is reachable, and where it leads.",
        r#"[{ name = "orders", ... }]"#,
    ),
    key(
        "upstreams",
        NamedTables(SectionKind::Upstream),
        Means("none"),
        "The gateways that routes lead to.",
        r#"{ orders = { ... } }"#,
    ),
    key(
        "trust",
        NamedTables(SectionKind::Trust),
        Means("none"),
        "The private CAs that upstreams and client certificates are checked against.",
        r#"{ onprem = { ca = ["ca.pem"] } }"#,
    ),
    key(
        "policies",
        NamedTables(SectionKind::Policy),
        Means("none"),
        "Which rules inspect requests, and in which mode.",
        r#"{ default = { mode = "block", rules = ["@baseline"] } }"#,
    ),
    key(
        "identity",
        NamedTables(SectionKind::Identity),
        Means("none"),
        "The issuers whose tokens routes take.",
        r#"{ corp = { ... } }"#,
    ),
    key(
        "signing",
        Table(SectionKind::Signing),
        Means("none"),
        "How tokens for gateways are signed.",
        r#"{ issuer = "https://door.example.com" }"#,
    ),
    key(
        "exchange",
        NamedTables(SectionKind::Exchange),
        Means("none"),
        "Issuers that give tokens for gateways in exchange for those of callers.",
        r#"{ gateways = { ... } }"#,
    ),
    key(
        "exposures",
        NamedTables(SectionKind::Exposure),
        Means("none"),
        "Who owns which routes on which listeners, with a switch for each.",
        r#"{ public = { ... } }"#,
    ),
    key(
        "limits",
        Table(SectionKind::Limits),
        Means("its defaults"),
        "Limits over all listeners, and tables of limits by key.",
        r#"{ body_memory = "256MiB" }"#,
    ),
    key(
        "log",
        Table(SectionKind::Log),
        Means("its defaults"),
        "Where logs go.",
        r#"{ access = "stdout" }"#,
    ),
    key(
        "otlp",
        Table(SectionKind::Otlp),
        Means("no traces, and no logs to a collector"),
        "An OpenTelemetry collector that gets traces and logs.",
        r#"{ url = "https://collector.corp.example:4318", trust = "onprem" }"#,
    ),
    key(
        "events",
        Table(SectionKind::Events),
        Means("no request is kept"),
        "Which requests are kept in the `state_dir`, for `drawbridge events`.",
        r#"{ sample = 0.01 }"#,
    ),
    key(
        "console",
        Table(SectionKind::Console),
        Means("no console"),
        "The web console for the three teams; `drawbridge console login` prints a link to it.",
        r#"{ bind = "127.0.0.1:9901" }"#,
    ),
    key(
        "dns",
        Table(SectionKind::Dns),
        Means("the servers of `/etc/resolv.conf`"),
        "Who is asked for the addresses of upstream servers.",
        r#"{ servers = ["10.0.0.53"] }"#,
    ),
    key(
        "admin",
        Text("loopback address, or unix socket"),
        Means("`admin.sock` in systemd's runtime folder, else no admin API"),
        "Where the admin API answers; a change needs a restart.",
        r#""unix:admin.sock""#,
    ),
    key(
        "admin_token_file",
        Text("file"),
        Means("required for an `admin` address that is no unix socket"),
        "A file with one line, the token that callers of the admin API must send.",
        r#""certs/admin.token""#,
    ),
    key(
        "state_dir",
        Text("folder"),
        Means("systemd's state folder, else switches are lost at a restart"),
        "Where the switches of exposures and their audit are kept; a change needs a restart.",
        r#""state""#,
    ),
    key(
        "shutdown_timeout",
        Duration,
        Is(r#""30s""#),
        "How long requests in flight may take to finish after SIGTERM.",
        r#""60s""#,
    ),
];

const LIMITS: &[Key] = &[key(
    "body_memory",
    Size,
    Is(r#""256MiB""#),
    "The memory for bodies that are held at once, over all requests; beyond it a request is answered 503.",
    r#""512MiB""#,
)];

const LOG: &[Key] = &[
    key(
        "access",
        Text(
            "`\"stdout\"`, `\"off\"`, `\"otlp\"`, a file, `\"syslog+tcp://HOST:PORT\"` or `\"syslog+tls://HOST:PORT\"`",
        ),
        Is(r#""stdout""#),
        "Where the access log goes, one line for each request.",
        r#""log/access.log""#,
    ),
    key(
        "format",
        Choice(&["json", "combined", "ecs"]),
        Is(r#""json""#),
        "How access lines look: JSON with all that is known, the combined format of Apache and nginx, or JSON of the Elastic Common Schema. On a terminal, `json` is a readable line.",
        r#""ecs""#,
    ),
    key(
        "audit",
        Text(
            "`\"stdout\"`, `\"off\"`, `\"otlp\"`, a file, `\"syslog+tcp://HOST:PORT\"` or `\"syslog+tls://HOST:PORT\"`",
        ),
        Is(r#""off""#),
        "Where audit records go, which the rules ask for by `SecAuditEngine`.",
        r#""syslog+tls://logs.corp.example:6514""#,
    ),
    key(
        "syslog_trust",
        Text("name of a trust bundle"),
        Means("required for `syslog+tls`"),
        "The trust bundle that the certificates of receivers must come from; they must also have the name of the target.",
        r#""onprem""#,
    ),
];

const EVENTS: &[Key] = &[
    key(
        "sample",
        Fraction,
        Is("0.01"),
        "The part of the requests that is kept beside those that were blocked, would have been blocked, or were not wholly inspected.",
        "0.1",
    ),
    key(
        "max_bytes",
        Size,
        Is(r#""256MiB""#),
        "The size of all events in `state_dir`, of every replica that writes there; the oldest are dropped first.",
        r#""2GiB""#,
    ),
    key(
        "max_age",
        Age,
        Is(r#""30d""#),
        "How long an event is kept.",
        r#""7d""#,
    ),
    key(
        "body_bytes",
        Size,
        Is(r#""64KiB""#),
        "How much of a request's body is kept, up to 8 MiB.",
        r#""1MiB""#,
    ),
    key(
        "payload",
        Choice(&["masked", "plain", "sealed"]),
        Is(r#""masked""#),
        "Whether secrets in heads and bodies are masked, as in the audit log, or the whole request is sealed to `recipient`.",
        r#""plain""#,
    ),
    key(
        "recipient",
        Text("public key of age, `\"age1...\"`"),
        Means("required for `payload = \"sealed\"`"),
        "Who can open sealed requests, with `age -d`.",
        r#""age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p""#,
    ),
    key(
        "replica",
        Text("name"),
        Means("the name of the machine"),
        "The folder of this front door among those that share a `state_dir`.",
        r#""a""#,
    ),
];

const DNS: &[Key] = &[key(
    "servers",
    List("address, or address and port"),
    Required,
    "The name servers to ask; the port is 53 where none is written.",
    r#"["10.0.0.53", "10.0.1.53:5353"]"#,
)];

const LISTENER: &[Key] = &[
    key(
        "bind",
        List("address and port"),
        Required,
        "The addresses of this machine where clients connect. `[::]` takes IPv6 alone; `0.0.0.0` takes IPv4.",
        r#"["0.0.0.0:443", "[::]:443"]"#,
    ),
    key(
        "certificates",
        Tables(SectionKind::ListenerCertificate),
        Means("required, unless `redirect_to_https` is written"),
        "The certificates that clients may get; their names decide which.",
        r#"[{ chain = "api.pem", key = "api.key" }]"#,
    ),
    key(
        "redirect_to_https",
        Text("name of a listener"),
        Means("the listener has certificates"),
        "Takes plain HTTP and answers 308 to the port of that listener.",
        r#""public""#,
    ),
    key(
        "sni",
        Choice(&["strict", "any"]),
        Is(r#""strict""#),
        "Whether an unknown or missing server name ends the handshake, or gets the first certificate.",
        r#""any""#,
    ),
    key(
        "tls_policy",
        Choice(&["modern", "intermediate"]),
        Is(r#""intermediate""#),
        "Which of Mozilla's TLS profiles holds: TLS 1.3 alone, or TLS 1.2 with modern ciphers as well.",
        r#""modern""#,
    ),
    key(
        "client_ca",
        Table(SectionKind::ClientCa),
        Means("no client is asked for a certificate"),
        "Which client certificates are taken, for all names of the listener.",
        r#"{ trust = "partners" }"#,
    ),
    key(
        "allow_fewer_names",
        Boolean,
        Is("false"),
        "Whether new certificates may leave out names that the serving ones cover.",
        "true",
    ),
    key(
        "trusted_proxies",
        List("address or network"),
        Is("[]"),
        "Proxies whose `X-Forwarded-*`, `Forwarded` and identity fields are believed.",
        r#"["10.0.0.0/8"]"#,
    ),
    key(
        "jwks_path",
        Text("path"),
        Means("nowhere"),
        "Where gateways get the public keys of `[signing]`, under every host of this listener, without a token; it goes before routes.",
        r#""/.well-known/drawbridge/jwks.json""#,
    ),
    key(
        "limits",
        Table(SectionKind::ListenerLimits),
        Means("its defaults"),
        "How much, and how long, one client may use the listener.",
        r#"{ connections = 20000 }"#,
    ),
    key(
        "rate_limits",
        List("name of a `[limits.NAME]` table"),
        Is("[]"),
        "The limits that every request of the listener asks, also one that no route takes.",
        r#"["each-client"]"#,
    ),
    key(
        "identity",
        List("name of an `[identity.NAME]` table, or one such name"),
        Means("nobody is asked who is calling"),
        "Whose callers its routes take that have no `identity` of their own.",
        r#""corp""#,
    ),
    key(
        "identity_mode",
        Choice(&["required", "optional"]),
        Means("`\"required\"`"),
        "As at a route, for routes without `identity` that do not write it.",
        r#""required""#,
    ),
    key(
        "require",
        ListsByName("word"),
        Means("nothing"),
        "As at a route, for routes without `identity` that do not write it.",
        r#"{ scope = ["api"] }"#,
    ),
    key(
        "forward_identity",
        Choice(&["original", "claims", "signed", "exchanged", "none"]),
        Means("`\"original\"`"),
        "As at a route, for routes without `identity` that do not write it.",
        r#""exchanged""#,
    ),
    key(
        "exchange",
        Text("name of an `[exchange.NAME]`"),
        Means("required beside `forward_identity = \"exchanged\"`"),
        "As at a route, for routes without `identity` that do not write `forward_identity`.",
        r#""gateways""#,
    ),
];

const LISTENER_LIMITS: &[Key] = &[
    key(
        "handshake_timeout",
        Duration,
        Is(r#""10s""#),
        "How long a TLS handshake may take.",
        r#""5s""#,
    ),
    key(
        "head_timeout",
        Duration,
        Is(r#""10s""#),
        "How long a request's head may take, from its first byte to its end.",
        r#""5s""#,
    ),
    key(
        "head_bytes",
        Size,
        Is(r#""64KiB""#),
        "How large a request's head may be, from 1KiB to 1MiB.",
        r#""32KiB""#,
    ),
    key(
        "body_timeout",
        Duration,
        Is(r#""300s""#),
        "How long a request's body may take, all of it.",
        r#""60s""#,
    ),
    key(
        "body_min_rate",
        Size,
        Is(r#""1KiB""#),
        "How many bytes a second a body must keep up on average.",
        r#""4KiB""#,
    ),
    key(
        "body_rate_grace",
        Duration,
        Is(r#""10s""#),
        "How long a body may take before `body_min_rate` counts.",
        r#""5s""#,
    ),
    key(
        "idle_timeout",
        Duration,
        Is(r#""60s""#),
        "How long a connection may be idle between requests, and a client may take nothing of an answer.",
        r#""30s""#,
    ),
    key(
        "stream_idle_timeout",
        Duration,
        Is(r#""10m""#),
        "How long a WebSocket, gRPC or SSE stream may be silent in both directions.",
        r#""1h""#,
    ),
    key(
        "connections",
        Integer("connections", 1, 10_000_000),
        Is("16384"),
        "How many connections the listener takes at once.",
        "20000",
    ),
    key(
        "connections_per_address",
        Integer("connections", 1, 10_000_000),
        Is("1024"),
        "How many of them one address may have; the addresses of one IPv6 /64 count as one.",
        "100",
    ),
    key(
        "h2_streams",
        Integer("streams", 1, 10_000),
        Is("100"),
        "How many requests one HTTP/2 connection may have at once.",
        "50",
    ),
];

const LISTENER_CERTIFICATE: &[Key] = &[
    key(
        "chain",
        Text("file"),
        Required,
        "The certificate and its intermediates, PEM, the leaf first.",
        r#""certs/api.pem""#,
    ),
    key(
        "key",
        Text("file"),
        Required,
        "The private key, PEM, unencrypted.",
        r#""certs/api.key""#,
    ),
    key(
        "ocsp",
        Text("file"),
        Means("nothing is stapled"),
        "A stapled OCSP response, DER.",
        r#""certs/api.der""#,
    ),
    key(
        "client_ca",
        Table(SectionKind::ClientCa),
        Means("the listener's `client_ca`"),
        "Which client certificates are taken for the names of this certificate; needs `sni = \"strict\"`.",
        r#"{ trust = "partners" }"#,
    ),
    key(
        "allow_expired",
        Boolean,
        Is("false"),
        "Whether a new certificate may be worse than the serving one: expired, or good for a shorter time.",
        "true",
    ),
];

pub(super) const CLIENT_CA: &[Key] = &[
    key(
        "trust",
        Text("name of a trust bundle"),
        Required,
        "The CAs that must have signed the clients' certificates.",
        r#""partners""#,
    ),
    key(
        "mode",
        Choice(&["optional", "required"]),
        Is(r#""required""#),
        "Whether a client without a certificate is let in.",
        r#""optional""#,
    ),
    key(
        "crl",
        List("file"),
        Means("revocation is not checked"),
        "Revocation lists, PEM; with any, every CA of a client's chain needs a current one.",
        r#"["certs/partners.crl"]"#,
    ),
];
