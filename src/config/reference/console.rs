//! The console.

use super::DefaultValue::{Is, Means, Required};
use super::Value::{Choice, Duration, List, Table, Tables, Text};
use super::{Key, Section, key};
use crate::config::section_kind::SectionKind;

pub(super) const SECTIONS: &[Section] = &[
    Section {
        kind: SectionKind::Console,
        header: "[console]",
        about: "The web console for the three teams. A change needs a restart, except of its certificates and clients.",
        keys: CONSOLE,
    },
    Section {
        kind: SectionKind::ConsoleCertificate,
        header: "[[console.certificates]]",
        about: "A certificate of the console, usually written as an inline table.",
        keys: super::upstreams::CLIENT_CERTIFICATE,
    },
    Section {
        kind: SectionKind::ConsoleClientCa,
        header: "[console.client_ca]",
        about: "Which client certificates the console takes.",
        keys: super::ingress::CLIENT_CA,
    },
    Section {
        kind: SectionKind::ClientRoles,
        header: "[console.client_roles]",
        about: "Which client certificates log in to the console. A name is `\"dns:NAME\"` or `\"email:ADDRESS\"` of the subjectAltName, `\"cn:NAME\"` for the common name, or `\"sha256:FINGERPRINT\"`. A certificate whose names have different roles has none.",
        keys: CLIENT_ROLES,
    },
];

const CONSOLE: &[Key] = &[
    key(
        "bind",
        Text("address with a port"),
        Required,
        "Where the console answers. Without `certificates` it must be a loopback address: reach it from elsewhere through an SSH tunnel.",
        r#""127.0.0.1:9901""#,
    ),
    key(
        "certificates",
        Tables(SectionKind::ConsoleCertificate),
        Means("no TLS"),
        "Its certificates; with them it speaks TLS alone. A reload replaces them.",
        r#"[{ chain = "console.pem", key = "console.key" }]"#,
    ),
    key(
        "client_ca",
        Table(SectionKind::ConsoleClientCa),
        Means("clients are not asked for certificates"),
        "Which client certificates it takes. A reload replaces it.",
        r#"{ trust = "staff" }"#,
    ),
    key(
        "client_roles",
        Table(SectionKind::ClientRoles),
        Means("nobody logs in by certificate"),
        "Which client certificates log in, and as what. A reload replaces it.",
        r#"{ security = ["dns:alice.example.com"] }"#,
    ),
    key(
        "hosts",
        List("host name"),
        Means("only `localhost` and the address itself"),
        "Further names under which browsers may ask for it; any other `Host` is refused.",
        r#"["console.example.com"]"#,
    ),
    key(
        "files",
        Choice(&["read-only", "write"]),
        Is(r#""read-only""#),
        "Whether the console may write exclusions; with `\"read-only\"` it shows the text for you to commit.",
        r#""write""#,
    ),
    key(
        "session_idle",
        Duration,
        Is(r#""30m""#),
        "A login ends after this time without a request.",
        r#""10m""#,
    ),
    key(
        "session_max",
        Duration,
        Is(r#""12h""#),
        "A login ends after this time, whatever happens.",
        r#""8h""#,
    ),
];

const CLIENT_ROLES: &[Key] = &[
    key(
        "ingress",
        List("name of a certificate"),
        Means("none"),
        "Who switches exposures.",
        r#"["cn:ingress-oncall"]"#,
    ),
    key(
        "security",
        List("name of a certificate"),
        Means("none"),
        "Who searches and writes exclusions.",
        r#"["dns:alice.example.com"]"#,
    ),
    key(
        "certificates",
        List("name of a certificate"),
        Means("none"),
        "Who replaces certificates.",
        r#"["email:pki@example.com"]"#,
    ),
    key(
        "viewer",
        List("name of a certificate"),
        Means("none"),
        "Who looks at everything.",
        r#"["sha256:9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08"]"#,
    ),
];
