//! `[identity.*]` and `[signing]`, as they are written.

use std::time::Duration;

use http_strict::{field_name_form, is_token, same_field_name};
use identity::{Algorithm, SigningAlgorithm};

use super::destination::{self, WrittenDestination};
use super::document::{Document, Named};
use super::malformed::Malformed;
use super::reader::{Given, Item, Section};
use super::source::{At, Placed};
use crate::config::section_kind::SectionKind;
use crate::identity::{Rotation, TokenPlace};
use crate::outbound::Url;

mod introspection;

const TIMEOUT: Duration = Duration::from_secs(10);
const REFRESH: Duration = Duration::from_secs(3600);
const MAX_STALE: Duration = Duration::from_secs(24 * 3600);
const DENIED_REFRESH: Duration = Duration::from_secs(60);
/// A shorter pause would only wear out the issuer.
const LEAST_REFRESH: Duration = Duration::from_millis(100);
const CLOCK_SKEW: Duration = Duration::from_secs(30);
/// Clocks that differ by more are broken, and every token would live longer for it.
const MOST_SKEW: Duration = Duration::from_secs(300);
/// How long keys of our own are published before they sign, and afterwards.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);
const ROTATION: [&str; 3] = ["rotate", "overlap", "algorithm"];
const LEAST_OVERLAP: Duration = Duration::from_secs(2);
/// Claims that gateways get where no others are chosen.
const FIELDS: [(&str, &str); 3] = [
    ("X-Identity-Issuer", "iss"),
    ("X-Identity-Subject", "sub"),
    ("X-Identity-Scope", "scope"),
];
/// What the front door itself says in its tokens.
const OWN_CLAIMS: [&str; 9] = [
    "iss", "aud", "sub", "idp", "iat", "nbf", "exp", "jti", "cnf",
];

/// The word that opts out of what the listener says. No identity can have this name.
pub(crate) const NOBODY: &str = "none";

/// `[identity.NAME]`. A part that is `None` is missing or faulty, which was reported.
#[derive(Debug)]
pub(crate) struct WrittenProvider<'s> {
    pub(crate) name: &'s str,
    pub(crate) at: At<'s>,
    pub(crate) issuer: Option<String>,
    pub(crate) jwks: Given<WrittenPlace<'s>>,
    /// Where it is written that the issuer's document says where the keys are.
    pub(crate) discovery: Given<At<'s>>,
    /// How URLs are reached.
    pub(crate) way: WrittenDestination<'s>,
    pub(crate) refresh: Option<Duration>,
    pub(crate) max_stale: Option<Duration>,
    pub(crate) secret: Given<Placed<'s, &'s str>>,
    pub(crate) audiences: Option<Vec<String>>,
    pub(crate) algorithms: Option<Vec<Algorithm>>,
    pub(crate) types: Option<Vec<String>>,
    pub(crate) clock_skew: Option<Duration>,
    pub(crate) place: Option<TokenPlace>,
    pub(crate) certificate_bound: Option<bool>,
    pub(crate) claims: Option<Vec<(String, String)>>,
    pub(crate) fields: Option<Vec<(String, String)>>,
    pub(crate) denied: Given<WrittenPlace<'s>>,
    pub(crate) denied_refresh: Option<Duration>,
    pub(crate) hides_subject: Option<bool>,
    pub(crate) introspection: Given<WrittenIntrospection<'s>>,
    /// The most tokens that are remembered, if each is taken once.
    pub(crate) once: Given<usize>,
}

/// How an issuer is asked about tokens.
#[derive(Debug)]
pub(crate) struct WrittenIntrospection<'s> {
    pub(crate) at: At<'s>,
    /// None: where the issuer's document says.
    pub(crate) url: Option<Placed<'s, Url>>,
    pub(crate) client: String,
    pub(crate) secret: Placed<'s, &'s str>,
    pub(crate) max_age: Duration,
    pub(crate) takes_opaque: bool,
}

/// Where something is read from.
#[derive(Debug)]
pub(crate) enum WrittenPlace<'s> {
    File(Placed<'s, &'s str>),
    Url(Placed<'s, Url>),
}

/// `[signing]`
#[derive(Debug)]
pub(crate) struct WrittenSigning<'s> {
    pub(crate) at: At<'s>,
    pub(crate) issuer: Option<String>,
    pub(crate) keys: Given<Vec<Placed<'s, &'s str>>>,
    pub(crate) claims: Option<Vec<String>>,
    pub(crate) jwks_file: Given<Placed<'s, &'s str>>,
    pub(crate) rotation: Option<Rotation>,
    /// The keys that say something of rotation, and where.
    pub(crate) rotation_keys: Vec<Placed<'s, &'static str>>,
}

/// Issuers of tokens, and the tables of identities that are client certificates.
pub(crate) fn parse<'s, 'r>(
    document: &Document<'s, 'r>,
) -> (Vec<WrittenProvider<'s>>, Vec<Named<'s, 'r>>) {
    let named = document.named("identity", SectionKind::Identity, "identity");
    for Named { name, at, .. } in &named {
        if *name == NOBODY {
            let message = "no identity can be called \"none\": routes write it to ask nobody";
            document.diagnostics.error(*at, message);
        }
    }
    let (clients, issuers): (Vec<_>, Vec<_>) = named
        .into_iter()
        .partition(|named| named.section.key_at("client_ca").is_some());
    (issuers.iter().map(parse_provider).collect(), clients)
}

fn parse_provider<'s>(Named { name, at, section }: &Named<'s, '_>) -> WrittenProvider<'s> {
    let help = "issuer = \"https://idp.example.com/realms/prod\", exactly as the tokens have it in \"iss\"";
    let issuer = section.required("issuer", help);
    let help = "audiences = [\"orders\"], the names that the issuer writes into \"aud\" for us";
    let audiences = section.required("audiences", help);
    let jwks = section.optional("jwks", parse_jwks);
    let secret = section.optional("secret", Item::string);
    let discovery = section.optional("discovery", |item| Some((item.boolean()?, item.at)));
    let discovery = discovery.and_then(|(is_on, at)| match is_on {
        true => Given::Value(at),
        false => Given::Absent,
    });
    let denied = section.optional("denied", parse_denied);
    let introspection = introspection::parse(section);
    let only_opaque = match &introspection {
        Given::Value(written) => written.takes_opaque,
        Given::Faulty => true,
        Given::Absent => false,
    };
    if let (Given::Absent, Given::Absent, Given::Absent, false) =
        (&jwks, &discovery, &secret, only_opaque)
    {
        let message = format!("identity \"{name}\" has no \"jwks\"");
        let help = "discovery = true, or jwks = \"https://idp.example.com/keys\" or \"file:idp-keys.json\"";
        section
            .diagnostics
            .error_with_help(*at, message, Some(help));
    }
    let is_url =
        |place: &Given<WrittenPlace<'_>>| matches!(place, Given::Value(WrittenPlace::Url(_)));
    let fetches_keys = is_url(&jwks) || !matches!(discovery, Given::Absent);
    if !matches!(jwks, Given::Faulty) && !matches!(denied, Given::Faulty) {
        let asks = !matches!(introspection, Given::Absent);
        check_unused(section, fetches_keys, is_url(&denied), asks);
    }
    let algorithms = section.optional("algorithms", |item| all_of(item, parse_algorithm));
    let algorithms = algorithms.or_else(Algorithm::asymmetric);
    check_symmetric(section, algorithms.as_deref(), &secret);
    let provider = WrittenProvider {
        name,
        at: *at,
        issuer: issuer.and_then(|item| item.parse(not_empty)),
        jwks,
        discovery,
        way: destination::parse_way(section, TIMEOUT),
        refresh: section.optional("jwks_refresh", parse_refresh).or(REFRESH),
        max_stale: section
            .optional("jwks_max_stale", Item::duration)
            .or(MAX_STALE),
        secret,
        audiences: audiences.and_then(|item| all_of(&item, not_empty)),
        algorithms,
        types: section
            .optional("types", |item| all_of(item, not_empty))
            .or(Vec::new()),
        clock_skew: section.optional("clock_skew", parse_skew).or(CLOCK_SKEW),
        place: section
            .optional("token", |item| item.parse(parse_place))
            .or(TokenPlace::Authorization),
        certificate_bound: section
            .optional("certificate_bound", Item::boolean)
            .or(false),
        claims: section.optional("claims", parse_claims).or(Vec::new()),
        fields: section
            .optional("headers", parse_fields)
            .or_else(default_fields),
        denied,
        denied_refresh: section
            .optional("denied_refresh", parse_refresh)
            .or(DENIED_REFRESH),
        hides_subject: section
            .optional("log_subject", |item| {
                item.choice(&[("plain", false), ("hashed", true)])
            })
            .or(false),
        introspection,
        once: introspection::parse_once(section),
    };
    section.finish();
    provider
}

pub(super) fn default_fields() -> Vec<(String, String)> {
    FIELDS
        .map(|(field, claim)| (field.to_owned(), claim.to_owned()))
        .into()
}

fn parse_jwks<'s>(item: &Item<'s, '_>) -> Option<WrittenPlace<'s>> {
    let text = item.string()?;
    if is_url(text.value) {
        return destination::parse_url(item).map(WrittenPlace::Url);
    }
    match text.value.strip_prefix("file:") {
        Some(path) if !path.is_empty() => Some(WrittenPlace::File(Placed {
            value: path,
            at: text.at,
        })),
        _ => item.fail(
            "\"jwks\" names the issuer's JWK set: \"https://idp.example.com/keys\" or \"file:idp-keys.json\"",
        ),
    }
}

pub(super) fn parse_denied<'s>(item: &Item<'s, '_>) -> Option<WrittenPlace<'s>> {
    let text = item.string()?;
    match is_url(text.value) {
        true => destination::parse_url(item).map(WrittenPlace::Url),
        false => Some(WrittenPlace::File(text)),
    }
}

fn is_url(text: &str) -> bool {
    // `http://` too: it is refused for what it is, not taken for a file.
    ["https://", "http://"].iter().any(|scheme| {
        let start = text.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })
}

/// Reports keys that have no effect: a user would believe that something is fetched.
fn check_unused(section: &Section<'_, '_>, fetches_keys: bool, fetches_denied: bool, asks: bool) {
    let report = |key: &'static str| {
        if let Some(at) = section.key_at(key) {
            let message = format!("\"{key}\" has no effect here: what it is for is not fetched");
            section.diagnostics.error(at, message);
        }
    };
    if !fetches_keys {
        report("jwks_refresh");
    }
    if !fetches_denied {
        report("denied_refresh");
    }
    if fetches_keys || fetches_denied {
        return;
    }
    report("jwks_max_stale");
    if !asks {
        for key in ["trust", "proxy", "proxy_credentials", "timeout"] {
            report(key);
        }
    }
}

fn parse_refresh(item: &Item<'_, '_>) -> Option<Duration> {
    let refresh = item.duration()?;
    match refresh >= LEAST_REFRESH {
        true => Some(refresh),
        false => item.fail(format!("{} is at least 100ms", item.what())),
    }
}

/// The entries of a list, if all of them are sound.
pub(super) fn all_of<T>(
    item: &Item<'_, '_>,
    parse: fn(&str) -> Result<T, Malformed>,
) -> Option<Vec<T>> {
    let entries = item.list();
    let parsed: Vec<T> = entries
        .iter()
        .filter_map(|entry| entry.parse(parse))
        .collect();
    (!entries.is_empty() && parsed.len() == entries.len()).then_some(parsed)
}

pub(super) fn not_empty(text: &str) -> Result<String, Malformed> {
    match text.is_empty() {
        true => Err("it must not be empty".into()),
        false => Ok(text.to_owned()),
    }
}

fn parse_algorithm(text: &str) -> Result<Algorithm, Malformed> {
    let known = || {
        let names: Vec<_> = Algorithm::ALL
            .iter()
            .map(|algorithm| algorithm.name())
            .collect();
        names.join(", ")
    };
    Algorithm::named(text)
        .ok_or_else(|| format!("\"{text}\" is no algorithm for signatures: {}", known()).into())
}

/// Reports an HMAC without a secret, and a secret without an HMAC.
fn check_symmetric(
    section: &Section<'_, '_>,
    algorithms: Option<&[Algorithm]>,
    secret: &Given<Placed<'_, &str>>,
) {
    let Some(algorithms) = algorithms else {
        return;
    };
    let symmetric = algorithms.iter().any(|algorithm| algorithm.is_symmetric());
    let at = section.key_at("algorithms").unwrap_or(section.at);
    match (symmetric, secret) {
        (true, Given::Absent) => {
            let message = "HS256, HS384 and HS512 need a \"secret\"";
            let help = "secret = \"FILE\" with at least 32 bytes; or leave these algorithms out";
            section.diagnostics.error_with_help(at, message, Some(help));
        }
        (false, Given::Value(secret)) => {
            let message = "a \"secret\" is only used if \"algorithms\" names HS256, HS384 or HS512";
            section.diagnostics.error(secret.at, message);
        }
        _ => {}
    }
}

fn parse_skew(item: &Item<'_, '_>) -> Option<Duration> {
    let skew = item.duration()?;
    match skew <= MOST_SKEW {
        true => Some(skew),
        false => item.fail("\"clock_skew\" is at most 5m: mend the clock that differs by more"),
    }
}

fn parse_place(text: &str) -> Result<TokenPlace, Malformed> {
    let place = match text.split_once(':') {
        None if text == "authorization" => return Ok(TokenPlace::Authorization),
        Some(("header", name)) if is_name(name) => {
            let name = name.to_ascii_lowercase();
            if matches!(name.as_str(), "authorization" | "cookie") {
                return Err(
                    format!("write \"authorization\" or \"cookie:NAME\", not \"{text}\"").into(),
                );
            }
            if !waf::is_secret_field(name.as_bytes()) {
                // Else the token would be in events and audit records.
                return Err(format!(
                    "logs do not mask a header field of this name: take one with \"token\", \"jwt\" or \"authorization\" in it, not \"{name}\""
                ).into());
            }
            TokenPlace::Field(name)
        }
        Some(("cookie", name)) if is_name(name) => TokenPlace::Cookie(name.to_owned()),
        _ => {
            return Err(format!(
                "\"token\" is \"authorization\", \"header:NAME\" or \"cookie:NAME\", not \"{text}\""
            )
            .into());
        }
    };
    Ok(place)
}

fn is_name(text: &str) -> bool {
    text.len() <= 64 && is_token(text.as_bytes())
}

/// `{ NAME = "CLAIM" }`
pub(super) fn parse_claims(item: &Item<'_, '_>) -> Option<Vec<(String, String)>> {
    let section = item.section(SectionKind::Names, "\"claims\"")?;
    let entries = section.entries();
    let pairs = entries.map(|(name, item)| Some((name.value.to_owned(), item.parse(not_empty)?)));
    pairs.collect()
}

/// `{ FIELD = "CLAIM" }`
pub(super) fn parse_fields(item: &Item<'_, '_>) -> Option<Vec<(String, String)>> {
    let section = item.section(SectionKind::Names, "\"headers\"")?;
    let mut whole = true;
    let mut fields: Vec<(String, String)> = Vec::new();
    for (name, item) in section.entries() {
        let claim = item.parse(not_empty);
        whole &= claim.is_some();
        if let Err(message) = check_field(name.value, &fields) {
            section.diagnostics.error(name.at, message);
            whole = false;
        }
        fields.extend(claim.map(|claim| (name.value.to_owned(), claim)));
    }
    whole.then_some(fields)
}

/// Names that frame a request or lead it elsewhere. A claim must not stand in them.
const NOT_FOR_CLAIMS: [&str; 19] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "keep-alive",
    "cookie",
    "authorization",
    "proxy-authorization",
    "content-type",
    "content-encoding",
    "forwarded",
    "x-request-id",
    "client-cert",
    "client-cert-chain",
    "range",
];

fn check_field(name: &str, known: &[(String, String)]) -> Result<(), String> {
    if !is_name(name) {
        return Err(format!("\"{name}\" is no name of a header field"));
    }
    let form = field_name_form(name.as_bytes());
    if NOT_FOR_CLAIMS.iter().any(|other| other.as_bytes() == form)
        || form.starts_with(b"x-forwarded")
    {
        return Err(format!(
            "a claim must not stand in the header field \"{name}\""
        ));
    }
    if known
        .iter()
        .any(|(other, _)| same_field_name(other.as_bytes(), name.as_bytes()))
    {
        return Err(format!("the header field \"{name}\" is there twice"));
    }
    Ok(())
}

pub(crate) fn parse_signing<'s>(document: &Document<'s, '_>) -> Given<WrittenSigning<'s>> {
    let Some(item) = document.item("signing") else {
        return Given::Absent;
    };
    let Some(section) = item.section(SectionKind::Signing, "\"signing\"") else {
        return Given::Faulty;
    };
    let help = "issuer = \"https://door.example.com\", which gateways expect in \"iss\"";
    let issuer = section.required("issuer", help);
    let signing = WrittenSigning {
        at: item.at,
        issuer: issuer.and_then(|item| item.parse(not_empty)),
        keys: section.optional("keys", |item| {
            let files = item.strings();
            (!files.is_empty()).then_some(files)
        }),
        claims: section
            .optional("claims", |item| all_of(item, own_claim))
            .or(Vec::new()),
        jwks_file: section.optional("jwks_file", Item::string),
        rotation: parse_rotation(&section),
        rotation_keys: ROTATION
            .iter()
            .filter_map(|&value| section.key_at(value).map(|at| Placed { value, at }))
            .collect(),
    };
    section.finish();
    Given::Value(signing)
}

fn parse_rotation(section: &Section<'_, '_>) -> Option<Rotation> {
    let every = section.optional("rotate", |item| item.long_duration().map(Some));
    let overlap = section.optional("overlap", Item::duration);
    let algorithm = section.optional("algorithm", |item| {
        item.choice(&[
            ("ES256", SigningAlgorithm::Es256),
            ("EdDSA", SigningAlgorithm::EdDsa),
        ])
    });
    let rotation = Rotation {
        every: every.or(None)?,
        overlap: overlap.or(OVERLAP)?,
        algorithm: algorithm.or(SigningAlgorithm::Es256)?,
    };
    let least = rotation.overlap.saturating_mul(2);
    if let Some(at) = section.key_at("rotate")
        && rotation.every.is_some_and(|every| every < least)
    {
        let message = "\"rotate\" is shorter than twice the \"overlap\"";
        let help = "a key is published for the overlap before it signs, and afterwards";
        section.diagnostics.error_with_help(at, message, Some(help));
        return None;
    }
    if rotation.overlap < LEAST_OVERLAP
        && let Some(at) = section.key_at("overlap")
    {
        let message = "\"overlap\" is shorter than 2s: gateways could not read a new key in time";
        section.diagnostics.error(at, message);
        return None;
    }
    Some(rotation)
}

fn own_claim(text: &str) -> Result<String, Malformed> {
    match OWN_CLAIMS.contains(&text) {
        true => Err(format!("\"{text}\" is a claim that the front door itself makes").into()),
        false => not_empty(text),
    }
}
