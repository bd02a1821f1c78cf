//! What a token costs, in microseconds: `cargo run --release -p drawbridge-identity --example cost`.

#![allow(clippy::unwrap_used, missing_docs, reason = "an example")]

use std::sync::Arc;
use std::time::Instant;

use drawbridge_identity::{
    CacheKey, Expectations, KeySet, Reason, Signer, SigningAlgorithm, Token, TokenCache, verify,
};
use serde_json::json;

const NOW: u64 = 1_900_000_000;

fn main() {
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
        let signer = Signer::generate(algorithm).unwrap();
        let keys = KeySet::parse(signer.public_set().as_bytes()).unwrap().keys;
        let expected = Expectations::new("https://idp.example/realms/prod", ["orders"]);
        let token = |id: usize, lives: u64| {
            let claims = json!({
                "iss": "https://idp.example/realms/prod", "aud": ["orders", "stock"], "sub": "0b1c-4d5e",
                "exp": NOW + lives - 600, "iat": NOW - 900, "jti": id.to_string(),
                "scope": "openid profile orders.read", "realm_access": { "roles": ["clerk", "user", "offline"] },
            });
            signer.sign("JWT", claims.as_object().unwrap()).unwrap()
        };
        let good: Vec<String> = (0..500).map(|id| token(id, 900)).collect();
        let old: Vec<String> = (0..500).map(|id| token(id, 1)).collect();
        let forged: Vec<String> = good.iter().map(|text| bent(text)).collect();
        let bytes = good.first().map_or(0, String::len);
        println!("{} of {bytes} bytes", signer.algorithm().name());
        let check = |text: &String| {
            let token = Token::parse(text.as_bytes())?;
            verify(&token, &keys, &expected, NOW)
        };
        measure("new and good", &good, |text| assert!(check(text).is_ok()));
        measure("new and expired", &old, |text| {
            assert_eq!(check(text), Err(Reason::Expired));
        });
        measure("new and forged", &forged, |text| {
            assert!(check(text).is_err());
        });

        let cache = TokenCache::new(16 * 1024);
        for text in &good {
            cache.keep(CacheKey::of(text.as_bytes()), 1, check(text).map(Arc::new));
        }
        measure("seen before", &good, |text| {
            let found = cache
                .find(&CacheKey::of(text.as_bytes()), 1)
                .unwrap()
                .unwrap();
            assert!(found.check_times(NOW, 30).is_ok());
        });
    }
}

/// With another letter in its signature.
fn bent(text: &str) -> String {
    let (head, tail) = text.split_at(text.len() - 20);
    let other = if tail.starts_with('A') { 'B' } else { 'A' };
    format!("{head}{other}{}", &tail[1..])
}

fn measure(what: &str, tokens: &[String], act: impl Fn(&String)) {
    // Once to warm the caches.
    tokens.iter().for_each(&act);
    let begun = Instant::now();
    for _ in 0..4 {
        tokens.iter().for_each(&act);
    }
    let each = begun.elapsed().as_secs_f64() * 1e6 / (4.0 * tokens.len() as f64);
    println!("  {what:20} {each:7.1} us");
}
