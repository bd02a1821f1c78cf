//! From a false positive to an exclusion that is live: explained, excluded, reloaded. Its tests stay with it.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::front::wait;
use crate::world::World;
use support::upstream::Behaviour;

/// An honest text that `@baseline` takes for SQL.
pub(super) const NOTE: &str = "/orders/1?note=the+union+select+committee";
/// What must stay blocked with its exclusion.
pub(super) const ATTACKS: [&str; 5] = [
    // The same attack in arguments beside it, without the false positive and with it.
    "/orders/1?q=1+union+select+password",
    "/orders/1?note=the+union+select+committee&q=1+union+select+password",
    // Other attacks in the same argument.
    "/orders/1?note=%3Cscript%3Ealert(1)%3C/script%3E",
    "/orders/1?note=;cat%20/etc/passwd",
    // The same text on another path.
    "/orders/x?note=the+union+select+committee",
];

async fn world() -> World {
    let mut world = World::start().await;
    write_event(&world, NOTE);
    prepare(&mut world).await;
    world
}

/// Gives the policy the rules of the project and a file for exclusions.
pub(super) async fn prepare(world: &mut World) {
    world.setup.rules = "\"@baseline\"".to_owned();
    world.setup.policy = "exclusions = [\"exclusions.conf\"]".to_owned();
    world.write_setup();
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
}

fn write_event(world: &World, target: &str) {
    let head = format!("GET {target} HTTP/1.1\r\nHost: api.test");
    world.write(
        "event.http",
        format!("{head}\r\nAuthorization: Bearer s3cr3t\r\n\r\n"),
    );
}

/// Runs a verb in the world's folder. Its exit code and its standard output.
pub(super) async fn run(world: &World, args: &str, more: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
    command.args(args.split(' ')).args(more);
    command.current_dir(&world.front.folder);
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap());
    let ran = ran.await.unwrap();
    let said = String::from_utf8(ran.stdout).unwrap() + &String::from_utf8_lossy(&ran.stderr);
    (ran.status.code().unwrap(), said)
}

const TEXT: &str = "rules exclude event.http --reason prose --until 2999-01-01 --owner";

/// Runs `rules exclude` for the event.
async fn exclude(world: &World, more: &[&str]) -> (i32, Value) {
    let more = [&["notes team", "--output", "json"], more].concat();
    let (code, said) = run(world, TEXT, &more).await;
    (code, serde_json::from_str(&said).expect(&said))
}

/// Why a reload refused the first unit.
fn reasons(said: &Value) -> String {
    let reasons = said["refused"][0]["reasons"].as_array().unwrap();
    let reasons: Vec<&str> = reasons.iter().filter_map(Value::as_str).collect();
    reasons.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_positive_passes_after_its_exclusion_and_the_attacks_beside_it_do_not() {
    let mut world = world().await;
    assert_eq!(world.status_of(NOTE).await, 403);
    let (code, said) = run(
        &world,
        "rules explain event.http --config drawbridge.toml",
        &[],
    )
    .await;
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("100200") && said.contains("deny 403"),
        "{said}"
    );

    let (code, said) = run(&world, TEXT, &["notes team"]).await;
    for line in [
        "blocked by rule 100200; exclusions for GET api.test ~ ^/orders/[0-9]+$",
        "1  one argument  holds, taken",
        "   passes    the request",
        "   opens     its own class, sqli: 9 of 9 attacks in the same place pass",
        "             passes in ARGS:note: 1' OR '1'='1",
        "2  one argument, all rules of the tag  holds",
        "3  the rule on this path  DOES NOT HOLD",
        "             passes in an argument beside it: ",
        "nothing is written without --write; it would be:",
        "# owner: notes team",
    ] {
        assert!(code == 0 && said.contains(line), "{line}: {said}");
    }
    let (code, said) = exclude(&world, &[]).await;
    assert_eq!((code, &said["files"]), (0, &Value::Null), "{said}");
    // What does not hold is not written, also if it is asked for.
    let (code, said) = exclude(&world, &["--write", "--pick", "3"]).await;
    assert_eq!((code, &said["taken"]), (1, &Value::Null), "{said}");
    assert!(!world.path("exclusions.conf").exists());

    let (code, said) = exclude(&world, &["--write"]).await;
    assert_eq!((code, said["taken"].as_u64()), (0, Some(1)), "{said}");
    let proposal = &said["proposals"][0];
    let controls = ["100200"].map(|id| format!("ruleRemoveTargetById={id};ARGS:note"));
    assert_eq!(proposal["controls"], serde_json::json!(controls));
    let in_place = proposal["in_place"].as_array().unwrap();
    let of = |class: &str| {
        in_place
            .iter()
            .find(|opened| opened["class"] == class)
            .unwrap()
    };
    assert_eq!(
        (&of("sqli")["own"], &of("xss")["own"]),
        (&true.into(), &false.into())
    );
    assert!(of("xss")["attacks"]["tried"].as_u64() > Some(3), "{said}");
    assert_eq!(proposal["opens_beyond_its_classes"], "nothing", "{said}");
    let tests = fs::read_to_string(world.path("exclusions.80001.yaml")).unwrap();
    assert!(!tests.contains("s3cr3t") && !said.to_string().contains("s3cr3t"));

    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(world.status_of(NOTE).await, 200);
    for target in ATTACKS {
        assert_eq!(world.status_of(target).await, 403, "{target}");
    }
    // A second one for the same argument opens what the tests of the first say is stopped there.
    let both = "/orders/1?note=%3Cscript%3E+for+the+union+select+committee";
    write_event(&world, both);
    assert_eq!(world.status_of(both).await, 403);
    let (code, said) = exclude(&world, &["--write"]).await;
    assert_eq!((code, said["taken"].as_u64()), (0, Some(1)), "{said}");
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    for (target, status) in [
        (NOTE, 200),
        (both, 200),
        (ATTACKS[0], 403),
        (ATTACKS[3], 403),
    ] {
        assert_eq!(world.status_of(target).await, status, "{target}");
    }
    // It does not depend on the first.
    let text = fs::read_to_string(world.path("exclusions.conf")).unwrap();
    world.write(
        "exclusions.conf",
        text.replacen("2999-01-01", "2020-01-01", 1),
    );
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    for (target, status) in [(NOTE, 403), (both, 200)] {
        assert_eq!(world.status_of(target).await, status, "{target}");
    }
    // Now it is loaded, there is nothing left to exclude.
    let (code, said) = exclude(&world, &["--write"]).await;
    let error = said["error"].as_str().unwrap();
    assert!(code == 1 && error.contains("not blocked"), "{said}");
    world.front.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_becomes_an_exclusion_that_the_other_events_hold() {
    let events = "[events]\nsample = 0.0";
    let mut world = World::start_in(Behaviour::Echo, "state_dir = \"state\"", events).await;
    prepare(&mut world).await;
    // The event, one that the exclusion is for too, and one that it is not for.
    let others = ["/orders/2?note=their+union+select+committee", ATTACKS[1]];
    for target in [NOTE, others[0], others[1]] {
        assert_eq!(world.status_of(target).await, 403, "{target}");
    }
    let state = world.path("state");
    let found = wait(|| {
        let found = drawbridge::events::find(&state, 0, |_| true).unwrap();
        (found.events.len() == 3).then_some(found.events)
    });
    let found = found.await.unwrap();
    let id_of = |path: &str| {
        let mut summaries = found.iter().map(|place| &place.summary);
        summaries
            .find(|summary| summary.path == path)
            .unwrap()
            .request_id
            .clone()
    };
    let args = format!(
        "rules exclude {} --events --since 1h --output json --write",
        id_of(NOTE)
    );
    let more = [
        "--reason",
        "prose",
        "--until",
        "2999-01-01",
        "--owner",
        "notes team",
    ];
    let (code, said) = run(&world, &args, &more).await;
    assert_eq!(code, 0, "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    let recorded = &said["proposals"][0]["recorded"];
    let intended = recorded["intended"].as_array().unwrap();
    assert_eq!(
        (&recorded["total"], intended.len()),
        (&3.into(), 2),
        "{said}"
    );
    assert!(!intended.contains(&id_of(others[1]).into()), "{said}");
    let text = fs::read_to_string(world.path("exclusions.conf")).unwrap();
    assert!(
        text.contains(&format!("# event: {}\n", id_of(NOTE))),
        "{text}"
    );
    assert_eq!(world.reload().await.0, 200);
    for (target, status) in [(NOTE, 200), (others[0], 200), (others[1], 403)] {
        assert_eq!(world.status_of(target).await, status, "{target}");
    }
    let (code, said) = run(
        &world,
        TEXT.replace("event.http", &id_of(NOTE)).as_str(),
        &["x"],
    )
    .await;
    assert!(code == 1 && said.contains("not blocked"), "{said}");
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
            text.replace("TargetById=100200;ARGS:note", "ById=100310"),
            "passes",
        ),
        (
            text.replace("TargetById=100200;ARGS:note", "ById=1-999999"),
            "ARGS:note is stopped",
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
        let reason = reasons(&said);
        assert!(
            reason.contains("exclusions.conf:1:1") && reason.contains(why),
            "{reason}"
        );
        // The last good version stays.
        assert_eq!(world.status_of(NOTE).await, 200);
        assert_eq!(world.status_of(ATTACKS[0]).await, 403);
        // Neither does a new process start.
        for verb in ["check", "run"] {
            let (code, said) = run(&world, verb, &["--config", "drawbridge.toml"]).await;
            assert_eq!(code, 1, "{verb}: {said}");
            let names = said.contains("exclusions.conf:1:1") && said.contains(why);
            assert!(names, "{verb}: {said}");
        }
    }
    world.write("exclusions.conf", text);
    fs::remove_file(world.path("exclusions.80001.yaml")).unwrap();
    let (status, said) = world.reload().await;
    let reason = reasons(&said);
    assert!(status == 422 && reason.contains("has no tests"), "{said}");
    world.front.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_last_day_an_exclusion_ends_or_warns() {
    let mut world = world().await;
    let (code, said) = exclude(&world, &["--write"]).await;
    assert_eq!(code, 0, "{said}");
    let text = fs::read_to_string(world.path("exclusions.conf")).unwrap();
    world.write("exclusions.conf", text.replace("2999-01-01", "2020-01-01"));
    for (on_expiry, status, warning) in [
        (
            "remove",
            403,
            "ended on 2020-01-01 and no longer holds (owner: notes team)",
        ),
        (
            "warn",
            200,
            "should have ended on 2020-01-01 (owner: notes team)",
        ),
    ] {
        world.setup.policy =
            format!("exclusions = [\"exclusions.conf\"]\non_expiry = \"{on_expiry}\"");
        world.write_setup();
        let (reloaded, said) = world.reload().await;
        assert_eq!(reloaded, 200, "{said}");
        assert_eq!(world.status_of(NOTE).await, status, "{on_expiry}");
        assert_eq!(world.status_of(ATTACKS[0]).await, 403, "{on_expiry}");
        let (code, said) = run(&world, "check --config drawbridge.toml", &[]).await;
        assert!(code == 0 && said.contains(warning), "{said}");
        // 2020-01-02, when the day is over.
        let metric = "exclusion_end_timestamp_seconds{policy=\"default\",id=\"80001\",owner=\"notes team\"} 1577923200";
        let metrics = world.ask("GET", "/metrics").await.text();
        assert!(metrics.contains(metric), "{metrics}");
    }
    world.front.stopped().await;
}
