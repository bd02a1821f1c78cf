//! Limits outlive reloads, several files may have them, and a change of them is said.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::front::wait;
use crate::world::World;
use support::upstream::Behaviour;

const LIMIT: &str = "[limits.it]\nrate = \"1/h\"\nburst = 2\n";

fn drawbridge(world: &World, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
    command.args(words).current_dir(&world.front.folder);
    command.output().unwrap()
}

/// The configuration of the test with this limit, named by its route.
fn with_limit(world: &World, limit: &str) -> String {
    let text = world.setup.text();
    let named = "name = \"orders\"\nrate_limits = [\"it\"]";
    text.replace("name = \"orders\"", named) + limit
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_buckets_unless_their_key_changes() {
    let world = World::start().await;
    let ask = async || world.status_of("/orders/").await;
    for (limit, statuses) in [
        (LIMIT.to_owned(), &[200, 200, 429][..]),
        (format!("{LIMIT}tell = true\n"), &[429]),
        (LIMIT.replace("burst = 2", "burst = 3"), &[200, 429]),
        (format!("{LIMIT}key = [\"route\"]\n"), &[200, 200, 429]),
        // A limit that is not taken changes nothing.
        ("[limits.it]\nrate = \"often\"\n".to_owned(), &[429]),
    ] {
        world.write("drawbridge.toml", with_limit(&world, &limit));
        let (code, said) = world.reload().await;
        assert_eq!(code == 200, !limit.contains("often"), "{limit}: {said}");
        for status in statuses {
            assert_eq!(ask().await, *status, "{limit}");
        }
    }
    world.write_setup();
    assert_eq!(world.reload().await.0, 200);
    assert_eq!(ask().await, 200, "without a limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_may_stand_in_several_files_and_diff_says_what_changes() {
    let world = World::start().await;
    let text = format!("include = [\"*.limits\"]\n{}", with_limit(&world, ""));
    world.write(
        "drawbridge.toml",
        format!("{text}[limits]\nbody_memory = \"16MiB\"\n"),
    );
    world.write("a.limits", "[limits.other]\nrate = \"5/s\"\n");
    world.write("b.limits", LIMIT);
    let (code, said) = world.reload().await;
    assert_eq!(code, 200, "{said}");
    assert_eq!(world.status_of("/orders/").await, 200);

    world.write(
        "new.toml",
        with_limit(&world, "[limits.it]\nrate = \"2/h\"\n"),
    );
    world.write("none.toml", world.setup.text());
    for (new, words) in [
        ("new.toml", "limit it loosened: rate 1/h -> 2/h"),
        (
            "none.toml",
            "limit it removed (1/h requests by client, burst 2, action 429)",
        ),
    ] {
        let output = drawbridge(&world, &["diff", "drawbridge.toml", new]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(words), "{said}");
    }
    let twice = "[limits.it]\nrate = \"1/s\"\n[limits]\nbody_memory = \"17MiB\"\n";
    world.write("c.limits", twice);
    let output = drawbridge(&world, &["check"]);
    let said =
        String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap();
    for words in [
        "limit \"it\" is already there at",
        "\"body_memory\" is already set at",
    ] {
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_suggested_from_events_and_shown_by_how_near_they_are() {
    let events = "[events]\nsample = 1\nreplica = \"a\"\n";
    let world = World::start_in(Behaviour::Echo, "state_dir = \"state\"", events).await;
    for _ in 0..7 {
        assert_eq!(world.status_of("/orders/").await, 200);
    }
    assert_eq!(world.status_of("/orders/?q=attack").await, 403);
    let suggested = wait(|| {
        let output = drawbridge(&world, &["limits", "suggest", "--output", "json"]);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        (said["limits"][0]["requests"] == 7).then_some(said)
    });
    let said = suggested.await.expect("seven honest requests");
    assert_eq!(said["limits"][0]["route"], "orders");
    let per_minute = said["limits"][0]["per_minute"].as_u64().unwrap();
    assert!((1..=7).contains(&per_minute), "{said}");

    let output = drawbridge(&world, &["limits", "suggest"]);
    let toml = String::from_utf8(output.stdout).unwrap();
    let text = world.setup.text();
    let named = "name = \"orders\"\nrate_limits = [\"orders\"]";
    let text = text.replace("name = \"orders\"", named);
    world.write("drawbridge.toml", format!("{text}{toml}"));
    let check = drawbridge(&world, &["check", "--output", "json"]);
    assert!(
        check.status.success(),
        "{:?}",
        String::from_utf8(check.stdout)
    );
    assert_eq!(world.reload().await.0, 200);

    for _ in 0..per_minute {
        assert_eq!(world.status_of("/orders/").await, 200);
    }
    let output = drawbridge(
        &world,
        &["limits", "top", "--limit", "orders", "--output", "json"],
    );
    let top: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&top["ok"], &top["limits"][0]["action"]),
        (&json!(true), &json!("log"))
    );
    let human = drawbridge(&world, &["limits", "top"]);
    let human = String::from_utf8(human.stdout).unwrap();
    assert!(human.starts_with("limit orders: "), "{human}");
    let none = drawbridge(&world, &["limits", "top", "--limit", "none"]);
    assert_eq!(none.status.code(), Some(1));
}
