//! Keys and lists of callers change under a running front door.

use std::time::{SystemTime, UNIX_EPOCH};

use identity::{Signer, SigningAlgorithm};
use serde_json::json;

use crate::world::{World, taken};
use support::client::raw;

const ISSUER: &str = "https://idp.test";

fn token(signer: &Signer, id: &str) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let claims =
        json!({ "iss": ISSUER, "aud": "orders", "sub": "anna", "jti": id, "exp": now + 300 });
    signer.sign("JWT", claims.as_object().unwrap()).unwrap()
}

async fn status(world: &World, token: &str) -> u16 {
    let request = format!(
        "GET /orders/1 HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    raw(world.front.address, request.as_bytes())
        .await
        .unwrap()
        .status
}

fn set(signers: &[&Signer]) -> String {
    let keys: Vec<_> = signers.iter().map(|signer| signer.public()).collect();
    json!({ "keys": keys }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_and_a_broken_set_changes_nothing() {
    let world = World::start().await;
    let generate = || Signer::generate(SigningAlgorithm::Es256).unwrap();
    let (old, new) = (generate(), generate());
    world.write("idp.json", set(&[&old]));
    world.write("denied.txt", "# nobody\n");
    let text = world.setup.text().replace(
        "name = \"orders\"",
        "name = \"orders\"\nidentity = \"corp\"",
    );
    let table = format!(
        "\n[identity.corp]\nissuer = \"{ISSUER}\"\naudiences = [\"orders\"]\njwks = \"file:idp.json\"\ndenied = \"denied.txt\"\n"
    );
    world.write("drawbridge.toml", text + &table);
    let (code, said) = world.reload().await;
    assert_eq!(code, 200, "{said}");
    let (by_old, by_new) = (token(&old, "1"), token(&new, "2"));
    assert_eq!(
        (status(&world, &by_old).await, status(&world, &by_new).await),
        (200, 401)
    );

    world.write("idp.json", set(&[&old, &new]));
    let (_, said) = world.reload().await;
    taken(&said, &["identity corp"]).await;
    assert_eq!(
        (status(&world, &by_old).await, status(&world, &by_new).await),
        (200, 200)
    );

    world.write("idp.json", "{\"keys\":[]}");
    let (_, said) = world.reload().await;
    assert!(said.to_string().contains("no usable key set"), "{said}");
    assert_eq!(
        (status(&world, &by_old).await, status(&world, &by_new).await),
        (200, 200)
    );

    world.write("idp.json", set(&[&new]));
    world.reload().await;
    // It was verified before, by a key that is gone.
    assert_eq!(
        (status(&world, &by_old).await, status(&world, &by_new).await),
        (401, 200)
    );

    world.write("denied.txt", "2\n");
    world.reload().await;
    assert_eq!(status(&world, &by_new).await, 401);
    assert_eq!(status(&world, &token(&new, "3")).await, 200);
    world.write("denied.txt", "anna\n");
    world.reload().await;
    assert_eq!(status(&world, &token(&new, "3")).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_used_stays_so_over_reloads() {
    let world = World::start().await;
    let signer = Signer::generate(SigningAlgorithm::Es256).unwrap();
    world.write("idp.json", set(&[&signer]));
    let text = world.setup.text().replace(
        "name = \"orders\"",
        "name = \"orders\"\nidentity = \"corp\"",
    );
    let table = |more: &str| {
        format!(
            "{text}\n[identity.corp]\nissuer = \"{ISSUER}\"\naudiences = [\"orders\"]\njwks = \"file:idp.json\"\nonce = true\n{more}\n"
        )
    };
    world.write("drawbridge.toml", table(""));
    world.reload().await;
    let (one, two) = (token(&signer, "1"), token(&signer, "2"));
    assert_eq!(status(&world, &one).await, 200);
    // Another table in everything but the issuer.
    let changed = "once_most = 2\nclock_skew = \"1m\"";
    world.write("drawbridge.toml", table(changed));
    let (code, said) = world.reload().await;
    assert_eq!(code, 200, "{said}");
    taken(&said, &["identity corp"]).await;
    assert_eq!(status(&world, &one).await, 401);
    assert_eq!(status(&world, &two).await, 200);
    assert_eq!(status(&world, &token(&signer, "3")).await, 503);
    // While its keys are broken, and after they were.
    world.write("idp.json", "{\"keys\":[]}");
    world.reload().await;
    assert_eq!(status(&world, &one).await, 401);
    world.write("idp.json", set(&[&signer]));
    world.write("drawbridge.toml", table("once_most = 3"));
    world.reload().await;
    assert_eq!(status(&world, &two).await, 401);
    assert_eq!(status(&world, &token(&signer, "3")).await, 200);
}
