//! A second rule set beside the first: it changes no answer, and says what it would change.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use drawbridge::events::{self, Event, Verdict};
use serde_json::{Value, json};

use crate::front::wait;
use crate::world::World;
use support::client::raw;
use support::materials;
use support::upstream::Behaviour;

/// Beside the rules of the tests: another pattern, and without the rule on dots.
const SHADOW: &str = r#"
SecRule ARGS "@contains strange" "id:1001,phase:2,deny,status:403,log,msg:'strange'"
SecRule REQUEST_HEADERS:X-Early "@streq attack" "id:2,phase:1,deny,status:403,log,msg:'early'"
"#;

/// The policy `default` with this shadow.
async fn world(shadow: &str) -> World {
    let top = "state_dir = \"state\"";
    let mut world = World::start_in(Behaviour::Echo, top, "[events]\nsample = 0.0").await;
    world.write("shadow.conf", SHADOW);
    set_policy(&mut world, &format!("shadow = {shadow}")).await;
    world
}

async fn set_policy(world: &mut World, keys: &str) {
    keys.clone_into(&mut world.setup.policy);
    world.write_setup();
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
}

async fn ask(world: &World, path: &str) -> Value {
    let answer = world.ask("GET", path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// What the shadow has found once it has seen so many requests.
async fn report(world: &World, requests: u64) -> Value {
    for _ in 0..3000 {
        let report = ask(world, "/rules/shadow").await["shadows"][0].clone();
        let seen =
            ["compared", "not_compared"].map(|key| report["requests"][key].as_u64().unwrap());
        if seen.iter().sum::<u64>() >= requests {
            return report;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("never {requests}: {}", ask(world, "/rules/shadow").await);
}

/// The events of the folder by their path and verdict, once there are so many.
async fn kept(world: &World, count: usize) -> BTreeMap<(String, Verdict), Event> {
    let state = world.path("state");
    let found = wait(|| {
        let found = events::find(&state, 0, |_| true).unwrap().events;
        (found.len() >= count).then_some(found)
    });
    let found = found.await.expect("too few events");
    assert_eq!(found.len(), count, "{found:?}");
    let events = found.iter().map(|place| place.read().unwrap().unwrap());
    let key = |event: &Event| (event.summary.path.clone(), event.summary.verdict);
    events.map(|event| (key(&event), event)).collect()
}

/// Runs a verb beside the configuration. Its exit code and what it printed on both.
async fn run(world: &World, args: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
    command
        .args(args.split(' '))
        .current_dir(&world.front.folder);
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap());
    let ran = ran.await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        ran.status.code().unwrap(),
        text(ran.stdout),
        text(ran.stderr),
    )
}

fn form(path: &str, fields: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: api.test\r\nContent-Type: application/x-www-form-urlencoded\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn post(world: &World, path: &str, fields: &str, body: &str) -> u16 {
    let answer = raw(world.front.address, &form(path, fields, body)).await;
    answer.unwrap().status
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_shadow_would_change_is_counted_and_kept_and_changes_nothing() {
    let world = world("{ rules = [\"shadow.conf\"], sample = 1 }").await;
    for (target, status) in [
        ("/orders/same", 200),
        ("/orders/strange?q=strange", 200),
        ("/orders/attack?q=attack", 403),
        ("/orders/dots?q=..", 200),
    ] {
        assert_eq!(world.status_of(target).await, status, "{target}");
    }
    assert_eq!(post(&world, "/orders/body", "", "q=strange").await, 200);
    // Both stop it by its head alone.
    let early = "X-Early: attack\r\n";
    assert_eq!(post(&world, "/orders/early", early, "q=1").await, 403);
    // Only the policy does so, and its body was not read.
    let drop = form("/orders/redirect", "X-Redirect: yes\r\n", "q=1");
    assert_eq!(raw(world.front.address, &drop).await.unwrap().status, 302);

    let found = report(&world, 7).await;
    let requests = json!({
        "compared": 6, "same": 2, "other_rules": 1, "newly_blocked": 2, "newly_allowed": 1,
        "answered_differently": 0, "not_compared": 1,
    });
    assert_eq!(found["requests"], requests, "{found}");
    assert_eq!(
        (&found["policy"], &found["sample"]),
        (&json!("default"), &json!(1.0))
    );
    let rules: Vec<_> = found["rules"].as_array().unwrap().iter().collect();
    let counts = rules.iter().map(|rule| {
        [
            "rule_id",
            "newly_blocked",
            "newly_allowed",
            "only_shadow",
            "only_live",
        ]
        .map(|key| rule[key].as_u64().unwrap())
    });
    assert_eq!(
        counts.collect::<Vec<_>>(),
        [[1001, 2, 0, 0, 0], [1, 0, 1, 0, 0], [5, 0, 0, 0, 1]]
    );
    assert_eq!(rules[0]["message"], "strange");
    let status = ask(&world, "/status").await;
    assert_eq!(status["shadows"][0]["requests"], requests);
    let metrics = world.ask("GET", "/metrics").await.text();
    for line in [
        "drawbridge_shadow_requests_total{policy=\"default\",outcome=\"newly_blocked\"} 2",
        "drawbridge_shadow_rule_differences_total{policy=\"default\",rule_id=\"5\",difference=\"only_live\"} 1",
        "drawbridge_shadow_dropped_total{reason=\"queue\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }

    // Three of the policy's own, three of the shadow.
    let kept = kept(&world, 6).await;
    let of = |path: &str| &kept[&(path.to_owned(), Verdict::Shadow)];
    let body = of("/orders/body");
    assert_eq!(
        (body.summary.status, body.summary.blocked_by),
        (200, Some(1001))
    );
    assert_eq!(
        (&body.body[..], &body.head[..18]),
        (&b"q=strange"[..], &b"POST /orders/body "[..])
    );
    assert_eq!(body.summary.matches[0].variable, "ARGS:q");
    assert_eq!(
        body.summary.rules_digest.as_deref(),
        found["shadow_rules_digest"].as_str()
    );
    assert_eq!(body.details.payload.why_not_judged(), None);
    let difference = body.details.shadow.as_ref().unwrap();
    assert_eq!(
        Some(difference.live_rules_digest.as_str()),
        found["rules_digest"].as_str()
    );
    assert_eq!(
        (difference.difference.as_str(), &difference.rule_ids[..]),
        ("newly_blocked", &[1001][..])
    );
    assert!(body.details.ms.total > 0.0 && body.details.upstream.is_some());
    let attack = of("/orders/attack?q=attack");
    assert_eq!(
        (attack.summary.status, attack.summary.blocked_by),
        (403, None)
    );
    let live = &kept[&("/orders/attack?q=attack".to_owned(), Verdict::Block)];
    assert_eq!(live.summary.request_id, attack.summary.request_id);
    assert_eq!(live.summary.matches[0].rule_id, 1);

    let (code, out, _) = run(&world, "events list --verdict shadow").await;
    assert_eq!((code, out.lines().count()), (0, 3), "{out}");
    let id = &body.summary.request_id;
    let (_, out, _) = run(&world, &format!("events show {id}")).await;
    for line in [
        "shadow    newly blocked, because of 1001;",
        "under the rules that it met",
        "»strange«",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    let exclude =
        format!("rules exclude {id} --owner team --reason prose --until 2999-01-01 --output json");
    let (_, out, err) = run(&world, &exclude).await;
    let judged: Value = serde_json::from_str(&out).expect(&err);
    let by = json!(["shadow", 1001]);
    assert_eq!(json!([judged["judged_by"], judged["blocked_by"]]), by);
    let note = judged["notes"][0].as_str().unwrap();
    assert!(note.contains("the shadow's rules judge it"), "{note}");
    for (more, words) in [
        (" --policy default", "this request is not blocked"),
        (" --write", "take the shadow over"),
    ] {
        let (code, out, _) = run(&world, &format!("{exclude}{more}")).await;
        assert!(code == 1 && out.contains(words), "{more}: {out}");
    }
    let id = &attack.summary.request_id;
    let (_, out, _) = run(&world, &format!("events show {id}")).await;
    assert!(out.contains("verdict   block: rule 1 in phase 2"), "{out}");
    let (_, out, _) = run(&world, &format!("events show {id} --shadow")).await;
    assert!(
        out.contains("shadow    newly allowed, because of 1;"),
        "{out}"
    );
    let (code, out, _) = run(&world, "rules shadow").await;
    let headline = "policy default: 6 requests since ";
    assert!(code == 0 && out.starts_with(headline), "{out}");
    assert!(
        out.contains(", a sample of 1.0: 2 newly blocked, 1 newly allowed\n"),
        "{out}"
    );
    assert!(
        out.contains("    1001            2            0            0            0  "),
        "{out}"
    );
    let heading = out.lines().find(|line| line.contains("  RULE  "));
    let documented = include_str!("../../docs/security.md");
    assert!(
        documented.contains(heading.expect("a heading").trim_end()),
        "{out}"
    );
    let (code, out, _) = run(&world, "rules shadow --policy default --output json").await;
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &shown["shadows"][0]), (0, &found));
    let (code, _, err) = run(&world, "rules shadow --policy other").await;
    assert!(
        code == 1 && err.contains("no policy \"other\" with a shadow"),
        "{err}"
    );
    let (_, out, _) = run(&world, "status").await;
    assert!(
        out.contains("shadow     default  6 requests: 2 newly blocked, 1 newly allowed\n"),
        "{out}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_a_shadow_and_takes_none_that_is_broken() {
    let mut world = world("{ rules = [\"shadow.conf\"], sample = 0 }").await;
    assert_eq!(world.status_of("/orders/a?q=strange").await, 200);
    set_policy(
        &mut world,
        "shadow = { rules = [\"shadow.conf\"], sample = 1 }",
    )
    .await;
    assert_eq!(world.status_of("/orders/b?q=strange").await, 200);
    // With a sample of 0 the first was not seen.
    assert_eq!(report(&world, 1).await["requests"]["newly_blocked"], 1);

    world.write("shadow.conf", format!("{SHADOW}SecRul ARGS x"));
    let (status, said) = world.reload().await;
    assert_eq!(
        (status, &said["refused"][0]["unit"]),
        (422, &json!("policy default")),
        "{said}"
    );
    let reasons = said["refused"][0]["reasons"].to_string();
    assert!(reasons.contains("shadow.conf:4"), "{reasons}");
    assert_eq!(world.status_of("/orders/c?q=strange").await, 200);
    assert_eq!(report(&world, 2).await["requests"]["newly_blocked"], 2);

    world.write("shadow.conf", SHADOW.replace("strange", "odd"));
    let (status, said) = world.reload().await;
    assert_eq!(
        (status, &said["changed"]),
        (200, &json!(["policy default"])),
        "{said}"
    );
    for target in ["/orders/d?q=strange", "/orders/e?q=odd"] {
        assert_eq!(world.status_of(target).await, 200);
    }
    // What other rules found is not told of these.
    let found = report(&world, 2).await;
    assert_eq!(found["requests"]["newly_blocked"], 1, "{found}");
    assert_eq!(found["requests"]["same"], 1, "{found}");

    set_policy(&mut world, "").await;
    assert_eq!(world.status_of("/orders/f?q=odd").await, 200);
    assert_eq!(ask(&world, "/rules/shadow").await["shadows"], json!([]));
}

/// A request that was let through is judged by what mode `block` would do.
#[tokio::test(flavor = "multi_thread")]
async fn in_mode_detect_both_say_what_they_would_block() {
    let mut world = world("{ rules = [\"shadow.conf\"], sample = 1 }").await;
    world.setup.mode = "detect";
    let policy = world.setup.policy.clone();
    set_policy(&mut world, &policy).await;
    for query in ["1", "strange", "attack"] {
        assert_eq!(world.status_of(&format!("/orders/?q={query}")).await, 200);
    }
    let requests = &report(&world, 3).await["requests"];
    for outcome in ["same", "newly_blocked", "newly_allowed"] {
        assert_eq!(requests[outcome], 1, "{requests}");
    }
}

/// What the policy's rules call secret, an event of the shadow does not show.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_the_policy_is_one_in_its_shadow() {
    let mut world = world("{ rules = [\"shadow.conf\"], sample = 1 }").await;
    let rules = std::fs::read_to_string(world.path("rules.conf")).unwrap();
    world.write(
        "rules.conf",
        format!(
            "{rules}SecRule ARGS:note \"@rx .\" \"id:9,phase:2,pass,nolog,sanitiseArg:note\"\n"
        ),
    );
    let shadow = "SecRule ARGS:note \"@rx ^(.*)$\" \"id:1002,phase:2,deny,log,capture,msg:'note %{TX.1}',logdata:'%{MATCHED_VAR}'\"\n";
    world.write("shadow.conf", shadow);
    let policy = world.setup.policy.clone();
    set_policy(&mut world, &policy).await;
    assert_eq!(
        post(&world, "/orders/a", "X: abcdef\r\n", "note=abcdef").await,
        200
    );
    report(&world, 1).await;
    let kept = kept(&world, 1).await;
    let event = &kept[&("/orders/a".to_owned(), Verdict::Shadow)];
    assert_eq!(event.details.matches[0].rule_id, 1002);
    let head = String::from_utf8_lossy(&event.head).into_owned();
    let all = format!("{event:?}{head}");
    assert!(!all.contains("abcdef"), "{all}");
    assert_eq!(event.body, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_sees_bodies_also_where_no_event_is_kept() {
    let mut world = World::start().await;
    world.write("shadow.conf", SHADOW);
    let keys = "shadow = { rules = [\"shadow.conf\"], sample = 1 }";
    set_policy(&mut world, keys).await;
    assert_eq!(post(&world, "/orders/body", "", "q=strange").await, 200);
    let found = report(&world, 1).await;
    assert_eq!(found["requests"]["newly_blocked"], 1, "{found}");
    assert!(!world.path("state").exists());
}

/// They hold there, but a test that fails there does not keep the policy from its new version.
#[tokio::test(flavor = "multi_thread")]
async fn the_exclusions_of_a_policy_are_tried_in_its_shadow() {
    let mut world = world("{ rules = [\"shadow.conf\"] }").await;
    world.setup.rules = "\"@baseline\"".to_owned();
    let exclusions = "exclusions = [\"exclusions.conf\"]";
    set_policy(&mut world, exclusions).await;
    let target = "/orders/1?note=the+union+select+committee";
    world.write(
        "event.http",
        format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n\r\n"),
    );
    let exclude = "rules exclude event.http --reason prose --until 2999-01-01 --owner team --write";
    let (code, out, err) = run(&world, exclude).await;
    assert_eq!(code, 0, "{out}{err}");
    let keys = format!("{exclusions}\nshadow = {{ rules = [\"shadow.conf\"] }}");
    world.setup.policy = keys;
    world.write_setup();
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    let warnings = said["warnings"].to_string();
    assert!(
        warnings.contains("in the shadow of the policy: ") && warnings.contains("exclusions.conf"),
        "{said}"
    );
    assert_eq!(world.status_of(target).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn promoting_a_shadow_is_an_edit() {
    let world =
        world("{ rules = [\"shadow.conf\"], crs = { paranoia_level = 2 }, sample = 1 }").await;
    let before = std::fs::read_to_string(world.path("drawbridge.toml")).unwrap();
    let (code, diff, told) = run(&world, "rules shadow --promote").await;
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("nothing was written"), "{told}");
    for line in [
        "--- drawbridge.toml\n+++ drawbridge.toml\n@@ ",
        "\n-rules = [\"rules.conf\"]\n",
        "\n+rules = [\"shadow.conf\"]\n+crs = { paranoia_level = 2 }\n",
        "\n-shadow = { rules = ",
    ] {
        assert!(diff.contains(line), "{line}: {diff}");
    }
    assert_eq!(
        std::fs::read_to_string(world.path("drawbridge.toml")).unwrap(),
        before
    );
    let (code, _, told) = run(&world, "rules shadow --promote --policy other").await;
    assert!(
        code == 1 && told.contains("there is no policy \"other\""),
        "{told}"
    );
    // Taken over: the old shadow's rules decide.
    world.write("promoted.diff", &diff);
    let patched = Command::new("patch")
        .args(["-p0", "-i", "promoted.diff"])
        .current_dir(&world.front.folder)
        .output();
    if patched.is_err() {
        return;
    }
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(world.status_of("/orders/a?q=strange").await, 403);
    assert_eq!(world.status_of("/orders/a?q=attack").await, 200);
}

/// The files of a version of the CRS, as a policy names them.
fn crs_files(crs: &Path) -> String {
    let crs = crs.canonicalize().unwrap();
    let crs = crs.display();
    format!("\"{crs}/crs-setup.conf.example\", \"{crs}/rules/*.conf\"")
}

/// The rows of a report: a rule and how many requests it newly blocks.
fn new_blocks(report: &Value) -> Vec<(u64, u64)> {
    let rows = report["rules"].as_array().unwrap().iter();
    let rows = rows.map(|row| {
        let number = |key: &str| row[key].as_u64().unwrap();
        (number("rule_id"), number("newly_blocked"))
    });
    rows.filter(|(_, count)| *count > 0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_and_another_level_of_the_core_rule_set_run_beside_one() {
    let (Some(crs), Some(crs33)) = (materials::crs(), materials::crs33()) else {
        return;
    };
    let mut world = world("{ rules = [\"shadow.conf\"] }").await;
    let (crs, crs33) = (crs_files(&crs), crs_files(&crs33));
    let level = "crs = { paranoia_level = 1 }";
    world.setup.rules = crs33;
    let keys = format!("{level}\nshadow = {{ rules = [{crs}], sample = 1 }}");
    set_policy(&mut world, &keys).await;
    for (target, status) in [
        ("/orders/1", 200),
        ("/orders/?q=1%27%20OR%20%271%27=%271", 403),
        ("/orders/?q=__proto__", 200),
    ] {
        assert_eq!(world.status_of(target).await, status, "{target}");
    }
    let found = report(&world, 3).await;
    assert_eq!(found["requests"]["newly_blocked"], 1, "{found}");
    assert_eq!(found["requests"]["newly_allowed"], 0, "{found}");
    assert_eq!(new_blocks(&found), [(934_130, 1)], "{found}");

    world.setup.rules = crs;
    let keys = format!("{level}\nshadow = {{ crs = {{ paranoia_level = 2 }}, sample = 1 }}");
    set_policy(&mut world, &keys).await;
    assert_eq!(world.status_of("/orders/?q=__proto__").await, 403);
    assert_eq!(world.status_of("/orders/?q=a%0d%0ab").await, 200);
    let found = report(&world, 2).await;
    assert_eq!(found["requests"]["newly_blocked"], 1, "{found}");
    assert!(new_blocks(&found).contains(&(921_151, 1)), "{found}");
}
