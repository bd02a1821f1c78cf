//! From an attack to an exclusion that is live: `rules exclude` writes it, a reload takes it, and its tests stay with it.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::world::World;

const NOTE: &str = "/orders/1?note=attack";
const BESIDE: &str = "/orders/1?note=attack&q=attack";

async fn world() -> World {
    let mut world = World::start().await;
    world.setup.policy = "exclusions = [\"exclusions.conf\"]".to_owned();
    world.write_setup();
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    world
}

/// Runs `rules exclude` for the request in `event.http`. Its exit code and what it said.
async fn exclude(world: &World, more: &[&str]) -> (i32, Value) {
    let event =
        format!("GET {NOTE} HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer s3cr3t\r\n\r\n");
    world.write("event.http", event);
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
    command.args(["rules", "exclude", "event.http", "--owner", "notes team"]);
    command.args([
        "--reason",
        "prose",
        "--until",
        "2999-01-01",
        "--output",
        "json",
    ]);
    command.args(more).current_dir(&world.front.folder);
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap());
    let ran = ran.await.unwrap();
    let said = serde_json::from_slice(&ran.stdout);
    (ran.status.code().unwrap(), said.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_excluded_request_passes_and_the_attack_beside_it_does_not() {
    let mut world = world().await;
    assert_eq!(world.status_of(NOTE).await, 403);

    let (code, said) = exclude(&world, &[]).await;
    assert_eq!((code, &said["files"]), (0, &Value::Null), "{said}");
    assert!(!world.path("exclusions.conf").exists());

    let (code, said) = exclude(&world, &["--write"]).await;
    assert_eq!((code, said["taken"].as_u64()), (0, Some(1)), "{said}");
    let tests = fs::read_to_string(world.path("exclusions.80001.yaml")).unwrap();
    assert!(!tests.contains("s3cr3t") && !said.to_string().contains("s3cr3t"));
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(world.status_of(NOTE).await, 200);
    for target in [BESIDE, "/orders/1?q=attack", "/orders/x?note=attack"] {
        assert_eq!(world.status_of(target).await, 403, "{target}");
    }
    // It is loaded now, so the next one gets another number, and there is nothing left to exclude.
    let (code, said) = exclude(&world, &["--write"]).await;
    assert_eq!(code, 1);
    assert!(
        said["error"].as_str().unwrap().contains("not blocked"),
        "{said}"
    );
    world.front.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exclusion_that_fails_its_tests_is_refused_with_its_place() {
    let mut world = world().await;
    let (code, said) = exclude(&world, &["--write"]).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(world.reload().await.0, 200);
    let text = fs::read_to_string(world.path("exclusions.conf")).unwrap();
    for (broken, why) in [
        (
            text.replace(";ARGS:note", ";ARGS"),
            "an argument beside it is stopped",
        ),
        (
            text.replace("# owner: notes team\n", ""),
            "has no \"owner\"",
        ),
    ] {
        world.write("exclusions.conf", broken);
        let (status, said) = world.reload().await;
        assert_eq!(status, 422, "{said}");
        assert_eq!(said["refused"][0]["unit"], "policy default", "{said}");
        let reason = said["refused"][0]["reasons"][0].as_str().unwrap();
        assert!(
            reason.contains("exclusions.conf:1:1") && reason.contains(why),
            "{reason}"
        );
        // The last good version stays.
        assert_eq!(world.status_of(NOTE).await, 200);
        assert_eq!(world.status_of(BESIDE).await, 403);
    }
    // An exclusion whose day is over takes nothing out, and says so.
    world.write("exclusions.conf", text.replace("2999-01-01", "2020-01-01"));
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(world.status_of(NOTE).await, 403);
    world.front.stopped().await;
}
