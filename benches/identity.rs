//! What it costs to find out who is calling, beside the signature alone: tokens seen before, new ones, and bad ones.
//!
//! `cargo bench --bench identity [-- SECONDS]` prints microseconds of one thread for each kind, the best of three rounds.

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dev_pki::{Authority, LeafOptions};
use drawbridge::config;
use drawbridge::identity::{Request, RouteIdentity};
use identity::{Signer, SigningAlgorithm};
use openssl::ecdsa::EcdsaSig;
use openssl::pkey::{PKey, Private};
use serde_json::json;

/// The allocator of the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ISSUER: &str = "https://idp.test";
/// More than are remembered.
const TOKENS: usize = 40_000;

const CONFIG: &str = r#"
[listeners.public]
bind = ["127.0.0.1:0"]
certificates = [{ chain = "front.pem", key = "front.key" }]
[trust.onprem]
ca = ["ca.pem"]
[upstreams.orders]
servers = ["127.0.0.1:1"]
tls = { server_name = "orders.test", trust = "onprem" }
[policies.default]
mode = "off"
[identity.corp]
issuer = "https://idp.test"
audiences = ["orders"]
jwks = "file:keys.json"
[[routes]]
name = "orders"
hosts = ["api.test"]
paths = ["/"]
listeners = ["public"]
upstream = "orders"
policy = "default"
identity = "corp"
require = { scope = ["orders.read"] }
"#;

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    // Cargo gives `--bench`.
    let seconds = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(1));
    let signer = Signer::generate(SigningAlgorithm::Es256)?;
    let folder = tempfile::tempdir()?;
    let route = route(folder.path(), &signer)?;
    let stranger = Signer::generate(SigningAlgorithm::Es256)?;
    let good = tokens(&signer, 3600)?;
    let kinds = [
        (
            "a token seen before",
            good.iter().take(1).cloned().collect(),
            true,
        ),
        ("a new token", good.clone(), true),
        ("an old token", tokens(&signer, -3600)?, false),
        ("a key that is not known", tokens(&stranger, 3600)?, false),
        ("a signature of another token", swapped(&good), false),
        ("no token but its length", vec!["x".repeat(1000)], false),
    ];
    let alone = best(time, signature_alone()?);
    println!("{:32} {alone:8.2} us", "the signature alone (ES256)");
    for (name, tokens, passes) in kinds {
        let fields: Vec<String> = tokens
            .iter()
            .map(|token| format!("Bearer {token}"))
            .collect();
        let mut next = fields.iter().cycle();
        let cost = best(time, || {
            let value = next.next().map_or("", String::as_str);
            let fields = [(&b"Authorization"[..], value.as_bytes())];
            let request = Request {
                fields: &fields,
                query: None,
                shown: None,
            };
            let identified = black_box(route.identify(&request, now()));
            assert_eq!(identified.is_ok(), passes, "{name}: {identified:?}");
        });
        println!("{name:32} {cost:8.2} us");
    }
    Ok(())
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// Microseconds of one call, in the best of three rounds.
fn best(time: Duration, mut call: impl FnMut()) -> f64 {
    let mut round = || {
        let begun = Instant::now();
        let mut calls = 0.0;
        while begun.elapsed() < time {
            for _ in 0..64 {
                call();
            }
            calls += 64.0;
        }
        begun.elapsed().as_secs_f64() * 1e6 / calls
    };
    (0..3).map(|_| round()).fold(f64::INFINITY, f64::min)
}

/// The demand of the route of [`CONFIG`].
fn route(folder: &Path, signer: &Signer) -> Result<Arc<RouteIdentity>, Failure> {
    let authority = Authority::new("CA", 10)?;
    let leaf = authority.leaf(&["api.test"], &LeafOptions::default())?;
    leaf.write(&folder.join("front.pem"), &folder.join("front.key"))?;
    fs::write(folder.join("ca.pem"), authority.certificate_pem()?)?;
    fs::write(folder.join("keys.json"), signer.public_set())?;
    let file = folder.join("drawbridge.toml");
    fs::write(&file, CONFIG)?;
    let loaded = config::load(&file).map_err(|problems| format!("{problems:#?}"))?;
    let mut routes = loaded.config.routes.iter();
    let identity = routes.find_map(|(_, route)| route.identity.values().next().cloned());
    Ok(identity.ok_or("the route demands nothing")?)
}

/// Tokens that end so many seconds from now, no two alike.
fn tokens(signer: &Signer, seconds: i64) -> Result<Vec<String>, Failure> {
    let end = i64::try_from(now())? + seconds;
    let token = |number: usize| {
        let claims = json!({
            "iss": ISSUER, "aud": "orders", "sub": format!("user-{number}"), "jti": number.to_string(), "exp": end,
            "iat": end - 3600, "scope": "orders.read profile", "azp": "shop", "realm_access": { "roles": ["clerk"] },
        });
        let claims = claims.as_object().ok_or("it is an object")?;
        Ok(signer.sign("JWT", claims)?)
    };
    (0..TOKENS).map(token).collect()
}

/// Each with the signature of the next one.
fn swapped(tokens: &[String]) -> Vec<String> {
    let signatures = tokens.iter().cycle().skip(1);
    let pairs = tokens.iter().zip(signatures).filter_map(|(token, next)| {
        let (claims, _) = token.rsplit_once('.')?;
        let (_, signature) = next.rsplit_once('.')?;
        Some(format!("{claims}.{signature}"))
    });
    pairs.collect()
}

/// What OpenSSL needs to verify one signature.
fn signature_alone() -> Result<impl FnMut(), Failure> {
    let signer = Signer::generate(SigningAlgorithm::Es256)?;
    let key: PKey<Private> = PKey::private_key_from_pem(&signer.to_pem()?)?;
    let key = key.ec_key()?;
    let digest = openssl::sha::sha256(b"a token");
    let signature = EcdsaSig::sign(&digest, &key)?;
    Ok(move || {
        let verified = signature.verify(black_box(&digest), &key);
        assert!(verified.is_ok_and(|good| good));
    })
}
