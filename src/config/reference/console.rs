//! The console.

use super::DefaultValue::{Is, Means, Required};
use super::Value::{Boolean, Choice, Duration, List, Table, Tables, Text};
use super::{Key, Section, key};
use crate::config::section_kind::SectionKind;

pub(super) const SECTIONS: &[Section] = &[
    Section {
        kind: SectionKind::Console,
        header: "[console]",
        about: "The web console for the three teams. A change needs a restart, except of its certificates, its clients and `openid`.",
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
    Section {
        kind: SectionKind::ConsoleOpenId,
        header: "[console.openid]",
        about: "Logins to the console with the accounts of a provider (OpenID Connect, authorization code with PKCE). A reload replaces them, and ends their sessions if it changes who has which role.",
        keys: OPENID,
    },
    Section {
        kind: SectionKind::OpenIdRoles,
        header: "[console.openid.roles]",
        about: "Who has which role. Whoever has several roles beside `viewer` has none.",
        keys: OPENID_ROLES,
    },
    Section {
        kind: SectionKind::OpenIdRole,
        header: "[console.openid.roles.security]",
        about: "Whose claim has one of the values has the role; the same for the other roles.",
        keys: OPENID_ROLE,
    },
];

const OPENID: &[Key] = &[
    key(
        "issuer",
        Text("URL"),
        Required,
        "The provider, exactly as its tokens name it. What it offers is read below it, at `/.well-known/openid-configuration`.",
        r#""https://login.example.com/realms/staff""#,
    ),
    key(
        "client_id",
        Text("name"),
        Required,
        "What the console is called at the provider.",
        r#""drawbridge""#,
    ),
    key(
        "client_secret",
        Text("file"),
        Means("a public client"),
        "A file with one line, the secret of the client.",
        r#""certs/openid.secret""#,
    ),
    key(
        "redirect",
        Text("URL without a path"),
        Required,
        "Where browsers reach the console. Register this at the provider with the path `/login/openid/callback`.",
        r#""https://console.example.com:9901""#,
    ),
    key(
        "scopes",
        List("scope"),
        Is(r#"["profile", "email"]"#),
        "What is asked for besides `openid`.",
        r#"["groups"]"#,
    ),
    key(
        "roles",
        Table(SectionKind::OpenIdRoles),
        Required,
        "Who has which role.",
        r#"{ security = { claim = "groups", values = ["security-team"] } }"#,
    ),
    key(
        "trust",
        Text("name of a trust bundle, or `\"system\"`"),
        Means("required for `https://`"),
        "The trust bundle that the provider's certificate must come from; `\"system\"` means the public roots of this machine.",
        r#""system""#,
    ),
    key(
        "allow_http",
        Boolean,
        Is("false"),
        "Whether the provider may be `http://`, where anybody on the way can log in as anybody.",
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
        "How long the provider may take for an answer.",
        r#""5s""#,
    ),
];

const OPENID_ROLES: &[Key] = &[
    key(
        "ingress",
        Table(SectionKind::OpenIdRole),
        Means("nobody"),
        "Who switches exposures.",
        r#"{ claim = "groups", values = ["ingress"] }"#,
    ),
    key(
        "security",
        Table(SectionKind::OpenIdRole),
        Means("nobody"),
        "Who searches and writes exclusions.",
        r#"{ claim = "groups", values = ["security-team"] }"#,
    ),
    key(
        "certificates",
        Table(SectionKind::OpenIdRole),
        Means("nobody"),
        "Who replaces certificates.",
        r#"{ claim = "groups", values = ["pki"] }"#,
    ),
    key(
        "viewer",
        Table(SectionKind::OpenIdRole),
        Means("nobody"),
        "Who looks at everything.",
        r#"{ claim = "groups", values = ["staff"] }"#,
    ),
];

const OPENID_ROLE: &[Key] = &[
    key(
        "claim",
        Text("name of a claim"),
        Required,
        "A claim of the ID token; dots lead into objects, as in `realm_access.roles`.",
        r#""groups""#,
    ),
    key(
        "values",
        List("word"),
        Required,
        "Words of the claim, one of which is enough.",
        r#"["security-team"]"#,
    ),
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
        "openid",
        Table(SectionKind::ConsoleOpenId),
        Means("nobody logs in by OpenID Connect"),
        "Logins with the accounts of a provider. A reload replaces them.",
        r#"{ issuer = "https://login.example.com", ... }"#,
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
