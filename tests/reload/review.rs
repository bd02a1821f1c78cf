//! The admin API of recorded requests: it answers what the verbs answer.

use serde_json::{Value, json};

use crate::exclusions::{ATTACKS, NOTE, prepare, run};
use crate::front::wait;
use crate::world::World;
use support::upstream::Behaviour;

impl World {
    async fn json(&self, path: &str) -> Value {
        let answer = self.ask("GET", path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.ask_with("POST", path, &body.to_string()).await;
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }
}

/// A front door with events of these requests, and their ids.
async fn world(targets: &[&str]) -> (World, Vec<String>) {
    let events = "[events]\nsample = 1.0\npayload = \"plain\"";
    let mut world = World::start_in(Behaviour::Echo, "state_dir = \"state\"", events).await;
    prepare(&mut world).await;
    for target in targets {
        world.status_of(target).await;
    }
    let state = world.path("state");
    let all = wait(|| {
        let found = drawbridge::events::find(&state, 0, |_| true).unwrap();
        (found.events.len() == targets.len()).then_some(found.events)
    });
    let all = all.await.expect("all events");
    let id_of = |target: &&str| {
        let mut summaries = all.iter().map(|place| &place.summary);
        let found = summaries.find(|summary| summary.path == *target).unwrap();
        found.request_id.clone()
    };
    let ids = targets.iter().map(id_of).collect();
    (world, ids)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_answers_what_the_verbs_answer() {
    let (world, ids) = world(&[NOTE, ATTACKS[3], "/orders/7?q=1"]).await;
    for (path, verb) in [
        (
            "/events/list?verdict=block&since=1h".to_owned(),
            "events list --verdict block --since 1h".to_owned(),
        ),
        (
            "/events/top?by=rule&most=2".to_owned(),
            "events top --by rule --most 2".to_owned(),
        ),
        (
            format!("/events/show/{}", ids[0]),
            format!("events show {}", ids[0]),
        ),
        (
            format!("/events/show/{}?now", ids[0]),
            format!("events show --now {}", ids[0]),
        ),
    ] {
        let (code, said) = run(&world, &format!("{verb} --output json"), &[]).await;
        assert_eq!(code, 0, "{said}");
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(world.json(&path).await, said, "{path}");
    }
    let (code, said) = run(&world, "rules lint --since 1h --output json", &[]).await;
    let mut lints = [
        serde_json::from_str(&said).unwrap(),
        world.json("/rules/lint?since=1h").await,
    ];
    for lint in &mut lints {
        // The time since the first event goes on.
        lint["seconds"].take();
    }
    assert_eq!(
        (code, &lints[0], &lints[0]["requests"]),
        (0, &lints[1], &json!(3))
    );
    let listed = world.json("/events/list?most=1").await;
    assert_eq!(
        (&listed["earlier"], &listed["events"][0]["path"]),
        (&json!(2), &json!("/orders/7?q=1"))
    );
    let raw = world
        .ask("GET", &format!("/events/export/{}", ids[1]))
        .await
        .text();
    assert!(
        raw.starts_with(&format!("GET {} HTTP/1.1\r\n", ATTACKS[3])),
        "{raw}"
    );
    let explained = world.ask_with("POST", "/rules/explain", &raw).await;
    let explained: Value = serde_json::from_slice(&explained.body).unwrap();
    assert_eq!(explained["verdict"]["status"], 403, "{explained}");
    for (path, status) in [
        ("/events/list?rout=a", 400),
        ("/events/list?since=soon", 400),
        ("/events/list?verdict=none", 400),
        ("/events/top", 400),
        ("/events/show/01970c2e-0000-7000-8000-000000000000", 404),
        ("/events/show", 404),
    ] {
        assert_eq!(world.ask("GET", path).await.status, status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exclusion_is_written_and_rules_are_replayed_over_the_api() {
    let (mut world, ids) = world(&[NOTE, ATTACKS[0], "/orders/7?q=1"]).await;
    let mut wanted = json!({
        "request_id": ids[0], "owner": "notes team", "reason": "prose", "until": "2999-01-01", "events": true,
    });
    let (status, said) = world.post("/rules/exclude", &wanted).await;
    assert_eq!(
        (status, &said["taken"], &said["files"]),
        (200, &json!(1), &Value::Null),
        "{said}"
    );
    assert_eq!(said["proposals"][0]["recorded"]["total"], 3);
    wanted["write"] = json!(true);
    let (status, said) = world.post("/rules/exclude", &wanted).await;
    assert!(status == 200 && said["files"].is_array(), "{said}");
    // Before the front door has read the first, a second one has another id.
    let (_, said) = world.post("/rules/exclude", &wanted).await;
    assert!(
        said["seclang"]
            .as_str()
            .unwrap()
            .contains("# exclusion 80002"),
        "{said}"
    );
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(world.status_of(NOTE).await, 200);
    for target in ATTACKS {
        assert_eq!(world.status_of(target).await, 403, "{target}");
    }

    world.write(
        "other.conf",
        "SecRule ARGS:q \"@streq 1\" \"id:1,phase:2,deny\"",
    );
    let (status, said) = world
        .post("/rules/replay", &json!({ "rules": ["other.conf"] }))
        .await;
    assert_eq!(status, 200, "{said}");
    let counted = [
        &said["requests"],
        &said["newly_blocked"],
        &said["newly_allowed"],
    ];
    let counted = counted.map(|count| count.as_u64().unwrap());
    // The front door goes on recording: the six requests after the reload are events too.
    assert!(
        counted[0] >= 3 && counted[1] == 1 && counted[2] >= 1,
        "{said}"
    );
    for rules in [
        "../other.conf",
        "/etc/passwd",
        "front.key",
        "state/../front.key",
    ] {
        let (status, said) = world
            .post("/rules/replay", &json!({ "rules": [rules] }))
            .await;
        assert_eq!(status, 400, "{said}");
    }
    for (path, body, status) in [
        ("/rules/replay", json!({}), 400),
        ("/rules/replay", json!({ "crs": {}, "policies": 1 }), 400),
        ("/rules/exclude", json!({ "request_id": ids[0] }), 400),
    ] {
        assert_eq!(world.post(path, &body).await.0, status, "{path}");
    }
    world.front.stopped().await;
}
