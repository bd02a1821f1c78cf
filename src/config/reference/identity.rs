//! Issuers of tokens, and tokens for gateways.

use super::DefaultValue::{Is, Means, Required};
use super::Value::{Boolean, ByName, Choice, Duration, Integer, List, Text};
use super::{Key, Section, key};
use crate::config::section_kind::SectionKind;

pub(super) const SECTIONS: &[Section] = &[
    Section {
        kind: SectionKind::Identity,
        header: "[identity.NAME]",
        about: "An issuer whose tokens are taken; [identity.md](identity.md) shows how.",
        keys: IDENTITY,
    },
    Section {
        kind: SectionKind::ClientIdentity,
        header: "[identity.PARTNER]",
        about: "Client certificates as callers: an `[identity.NAME]` table with `client_ca` in place of an issuer.",
        keys: CLIENT_IDENTITY,
    },
    Section {
        kind: SectionKind::Signing,
        header: "[signing]",
        about: "How tokens for gateways are signed, for routes with `forward_identity = \"signed\"`.",
        keys: SIGNING,
    },
];

const IDENTITY: &[Key] = &[
    key(
        "issuer",
        Text("issuer"),
        Required,
        "What `iss` of a token must be, compared exactly.",
        r#""https://idp.example.com/realms/prod""#,
    ),
    key(
        "audiences",
        List("name"),
        Required,
        "One of these must be in `aud` of a token.",
        r#"["orders"]"#,
    ),
    key(
        "jwks",
        Text("`https://` URL, or `file:` and a path"),
        Means("none; then there is `discovery` or a `secret`"),
        "The issuer's keys as a JWK set. A URL is fetched ahead of its expiry, and a changed file is taken live.",
        r#""https://idp.example.com/keys""#,
    ),
    key(
        "discovery",
        Boolean,
        Is("false"),
        "Whether the document below the issuer's URL says where its keys are (`/.well-known/openid-configuration`, else RFC 8414).",
        "true",
    ),
    key(
        "trust",
        Text("trust bundle, or `system`"),
        Means("none; without it nothing is fetched"),
        "Who must have issued the certificates of the servers that keys and lists are fetched from.",
        r#""corp""#,
    ),
    key(
        "proxy",
        Text("URL"),
        Means("none; the environment is not asked"),
        "The way through a proxy, `http://HOST:PORT`.",
        r#""http://proxy.example:3128""#,
    ),
    key(
        "proxy_credentials",
        Text("file"),
        Means("none"),
        "USER:PASSWORD for the proxy, on one line.",
        r#""proxy.secret""#,
    ),
    key(
        "timeout",
        Duration,
        Is(r#""10s""#),
        "For one answer, from the name to its last byte.",
        r#""5s""#,
    ),
    key(
        "jwks_refresh",
        Duration,
        Is(r#""1h""#),
        "The longest pause between two fetches of keys; `Cache-Control` of the answer may shorten it, to 60s at least.",
        r#""10m""#,
    ),
    key(
        "jwks_max_stale",
        Duration,
        Is(r#""24h""#),
        "How long keys and lists count that cannot be fetched any more; then no token is taken.",
        r#""4h""#,
    ),
    key(
        "secret",
        Text("file"),
        Means("none"),
        "The secret of HS256, HS384 and HS512, of 32 bytes at least; whoever has it can make tokens.",
        r#""idp.secret""#,
    ),
    key(
        "algorithms",
        List("algorithm"),
        Means("RS256 to RS512, PS256 to PS512, ES256 to ES512, EdDSA"),
        "What `alg` of a token may be.",
        r#"["ES256", "HS256"]"#,
    ),
    key(
        "types",
        List("type"),
        Means("`JWT`, `at+jwt` or none"),
        "What `typ` of a token must be.",
        r#"["at+jwt"]"#,
    ),
    key(
        "clock_skew",
        Duration,
        Is(r#""30s""#),
        "What the issuer's clock and ours may differ by; 5m at most.",
        r#""1m""#,
    ),
    key(
        "token",
        Text("`authorization`, `header:NAME` or `cookie:NAME`"),
        Is(r#""authorization""#),
        "Where clients put the token. Logs must mask a header field of this name.",
        r#""header:X-Access-Token""#,
    ),
    key(
        "certificate_bound",
        Boolean,
        Is("false"),
        "Whether a token must be bound to the client's certificate (RFC 8705); a binding is always checked.",
        "true",
    ),
    key(
        "claims",
        ByName("claim"),
        Means("each name is that of a claim; `scope` is also `scp`"),
        "The claims behind the names in `require` and `headers`; dots lead into objects.",
        r#"{ role = "realm_access.roles" }"#,
    ),
    key(
        "headers",
        ByName("claim"),
        Means("`X-Identity-Issuer`, `X-Identity-Subject` and `X-Identity-Scope`"),
        "The header fields that gateways get under `forward_identity = \"claims\"`; no client may send them.",
        r#"{ X-User = "sub", X-Roles = "role" }"#,
    ),
    key(
        "denied",
        Text("file, or `https://` URL"),
        Means("none"),
        "A `jti` or `sub` on each line, whose tokens are refused. A changed file is taken live, a URL is fetched again and again.",
        r#""https://idp.example.com/denied.txt""#,
    ),
    key(
        "denied_refresh",
        Duration,
        Is(r#""1m""#),
        "The longest pause between two fetches of `denied`.",
        r#""15s""#,
    ),
    key(
        "introspect",
        Text("`https://` URL, or `discovery`"),
        Means("none; the issuer is not asked"),
        "Where the issuer is asked whether a token still holds (RFC 7662); `discovery` takes `introspection_endpoint` of its document.",
        r#""https://idp.example.com/introspect""#,
    ),
    key(
        "introspect_client",
        Text("client id"),
        Means("required beside `introspect`"),
        "Who the front door is at the issuer (HTTP Basic).",
        r#""drawbridge""#,
    ),
    key(
        "introspect_secret",
        Text("file"),
        Means("required beside `introspect`"),
        "The secret of this client, on one line.",
        r#""introspect.secret""#,
    ),
    key(
        "introspect_max_age",
        Duration,
        Is(r#""30s""#),
        "How long an answer counts that says that a token holds, and so the longest that a revocation may take; 1s to 10m, and never past `exp`.",
        r#""5s""#,
    ),
    key(
        "opaque_tokens",
        Boolean,
        Is("false"),
        "Whether tokens are taken that are no JSON Web Tokens: then the answer of `introspect` must have `iss`, `aud` and `exp`, and its members are the claims.",
        "true",
    ),
    key(
        "once",
        Boolean,
        Means("`false`"),
        "Whether each token is taken once, by its `jti`; the second request with it gets 401, and so does a token without one.",
        "true",
    ),
    key(
        "once_most",
        Integer("tokens", 1, 10_000_000),
        Is("100000"),
        "Tokens that are remembered until they end, about 100 bytes each. When there is no room, further ones get 503.",
        "1000000",
    ),
    key(
        "log_subject",
        Choice(&["plain", "hashed"]),
        Is(r#""plain""#),
        "How access lines show the subject.",
        r#""hashed""#,
    ),
];

const CLIENT_IDENTITY: &[Key] = &[
    key(
        "client_ca",
        Text("name of a trust bundle"),
        Required,
        "A client certificate counts if the listener verified it under this bundle: the `trust` of its `client_ca`.",
        r#""partners""#,
    ),
    key(
        "subject",
        Choice(&["dn", "cn", "dns", "uri", "email"]),
        Is(r#""dn""#),
        "The part of the certificate that is `sub`: the whole subject (RFC 4514), or the only name of this kind.",
        r#""cn""#,
    ),
    key(
        "claims",
        ByName("claim"),
        Means(
            "each name is that of a claim: `sub`, `iss`, `cn`, `o`, `ou`, `c`, `san`, `serial`, `fingerprint`",
        ),
        "Other names for claims in `require`, `headers` and rules.",
        r#"{ company = "o" }"#,
    ),
    key(
        "headers",
        ByName("claim"),
        Means("`X-Identity-Issuer`, `X-Identity-Subject` and `X-Identity-Scope`"),
        "The header fields that gateways get under `forward_identity = \"claims\"`; no client may send them.",
        r#"{ X-Partner = "cn" }"#,
    ),
    key(
        "denied",
        Text("file"),
        Means("none"),
        "A fingerprint or `sub` on each line, whose certificates are refused. A changed file is taken live.",
        r#""denied-partners.txt""#,
    ),
    key(
        "log_subject",
        Choice(&["plain", "hashed"]),
        Is(r#""plain""#),
        "How access lines show the subject.",
        r#""hashed""#,
    ),
];

const SIGNING: &[Key] = &[
    key(
        "issuer",
        Text("issuer"),
        Required,
        "`iss` of our tokens.",
        r#""https://door.example.com""#,
    ),
    key(
        "keys",
        List("file"),
        Means("`identity-key.pem` in the `state_dir`, made at the first start"),
        "Private keys of P-256 or Ed25519 in PEM. The first signs; gateways are shown all of them.",
        r#"["signing.pem", "signing-old.pem"]"#,
    ),
    key(
        "claims",
        List("claim"),
        Means("none"),
        "Claims that are taken over from the client's token, besides `sub`.",
        r#"["scope", "email"]"#,
    ),
    key(
        "jwks_file",
        Text("file"),
        Means("none"),
        "Where the public keys are written as a JWK set, for gateways.",
        r#""door-keys.json""#,
    ),
];
