//! Events on a real front door: what is kept, what is masked, what is dropped.

use std::collections::BTreeMap;

use drawbridge::events::{self, Event, Verdict};

use serde_json::{Value, json};

use crate::doctor::{self, drawbridge};
use crate::front::{Front, RULES, Setup, counts, wait};
use crate::requests::echo;
use support::client::{Http2, h2_request, raw};
use support::upstream::Upstream;

const EVENTS: &str = "[events]\nsample = 0.0";

fn setup(upstream: &Upstream, events: &str) -> Setup {
    Setup {
        top: "state_dir = \"state\"".to_owned(),
        more: events.to_owned(),
        ..Setup::to(upstream)
    }
}

fn request(line: &str, fields: &str, body: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n{body}").into_bytes()
}

fn form(path: &str, fields: &str, body: &str) -> Vec<u8> {
    let fields = format!(
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n{fields}",
        body.len()
    );
    request(&format!("POST {path}"), &fields, body)
}

/// The events of a front door by their path, once there are so many.
async fn events(front: &Front, count: usize) -> BTreeMap<String, Event> {
    let state = front.folder.join("state");
    let found = wait(|| {
        let found = events::find(&state, 0, |_| true).unwrap();
        assert!(found.problems.is_empty(), "{:?}", found.problems);
        (found.events.len() >= count).then_some(found.events)
    });
    let found = found
        .await
        .unwrap_or_else(|| panic!("less than {count} events"));
    assert_eq!(found.len(), count, "{found:?}");
    let whole = found
        .into_iter()
        .map(|place| place.read().unwrap().unwrap());
    whole
        .map(|event| (event.summary.path.clone(), event))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_matters_is_kept_and_nothing_else() {
    let upstream = echo().await;
    let front = Front::start(&setup(&upstream, EVENTS)).await;
    for (bytes, status) in [
        (form("/orders/a", "", "q=attack"), 403),
        (request("GET /orders/b?q=1", "X-Early: attack\r\n", ""), 403),
        (form("/orders/harmless", "", "q=1"), 200),
        (request("GET /orders/dots?q=../..", "", ""), 200),
        (request("GET /nowhere", "", ""), 404),
        (
            form("/orders/odd", "Content-Encoding: identity\r\n", "%"),
            200,
        ),
        (
            request(
                "POST /orders/c",
                "Content-Type: application/x-unknown\r\nContent-Length: 3\r\n",
                "abc",
            ),
            200,
        ),
    ] {
        let answer = raw(front.address, &bytes).await.unwrap();
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&bytes));
    }
    let kept = events(&front, 3).await;
    let paths: Vec<&str> = kept.keys().map(String::as_str).collect();
    assert_eq!(paths, ["/orders/a", "/orders/b?q=1", "/orders/c"]);
    let attack = &kept["/orders/a"];
    let line = front.line(|line| line["path"] == "/orders/a").await;
    assert_eq!(line["request_id"], attack.summary.request_id);
    assert_eq!(attack.summary.verdict, Verdict::Block);
    assert_eq!(
        (attack.summary.status, attack.summary.blocked_by),
        (403, Some(1))
    );
    assert_eq!(attack.summary.route.as_deref(), Some("orders"));
    assert_eq!(attack.summary.policy.as_deref(), Some("default"));
    assert_eq!(
        attack.summary.rules_digest.as_ref().map(String::len),
        Some(16)
    );
    assert_eq!(attack.summary.host.as_deref(), Some("api.test"));
    assert_eq!(attack.summary.matches[0].variable, "ARGS:q");
    assert_eq!(attack.body, b"q=attack");
    assert_eq!(
        attack.head,
        form("/orders/a", "", "q=attack")[..attack.head.len()]
    );
    assert!(attack.head.ends_with(b"\r\n\r\n"));
    let found = &attack.details.matches[0];
    assert_eq!(
        (found.value.as_str(), found.message.as_str(), found.span),
        ("attack", "an attack", Some([0, 6]))
    );
    assert!(attack.details.ms.total > 0.0);
    assert_eq!(attack.details.payload.why_not_judged(), None);
    let early = &kept["/orders/b?q=1"];
    assert_eq!(early.details.blocked.as_ref().unwrap().phase, 1);
    let unknown = &kept["/orders/c"];
    assert_eq!(unknown.summary.verdict, Verdict::Uninspected);
    assert_eq!(unknown.details.upstream.as_ref().unwrap().name, "orders");
    assert!(unknown.details.not_inspected.is_some());
    counts(&front.metrics.events.kept, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mode_detect_keeps_what_it_would_have_blocked() {
    let upstream = echo().await;
    let mut setup = setup(&upstream, EVENTS);
    setup.mode = "detect";
    let front = Front::start(&setup).await;
    for path in ["/orders/a?q=attack", "/orders/b?q=..", "/orders/c"] {
        let answer = raw(front.address, &request(&format!("GET {path}"), "", "")).await;
        assert_eq!(answer.unwrap().status, 200, "{path}");
    }
    let kept = events(&front, 1).await;
    let attack = &kept["/orders/a?q=attack"];
    assert_eq!(attack.summary.verdict, Verdict::Detect);
    assert_eq!(
        (attack.summary.status, attack.summary.blocked_by),
        (200, Some(1))
    );
    assert_eq!(attack.details.blocked.as_ref().unwrap().status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_is_kept_of_all_others() {
    let upstream = echo().await;
    let front = Front::start(&setup(&upstream, "[events]\nsample = 1")).await;
    for (path, status) in [
        ("/orders/a", 200),
        ("/nowhere", 404),
        ("/orders/b?q=attack", 403),
    ] {
        let answer = raw(front.address, &request(&format!("GET {path}"), "", "")).await;
        assert_eq!(answer.unwrap().status, status, "{path}");
    }
    let kept = events(&front, 3).await;
    let verdicts: Vec<Verdict> = kept.values().map(|event| event.summary.verdict).collect();
    assert_eq!(
        verdicts,
        [Verdict::Refused, Verdict::Passed, Verdict::Block]
    );
    assert_eq!(kept["/nowhere"].details.error.as_deref(), Some("no_route"));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_masked_unless_the_configuration_says_plain() {
    let upstream = echo().await;
    let rules = format!(
        "{RULES}SecRule ARGS:note \"@rx .\" \"id:9,phase:5,pass,nolog,sanitiseArg:note\"\n"
    );
    let cookie = "Cookie: session=abcdef\r\n";
    for (payload, masked) in [("masked", true), ("plain", false)] {
        let events_section = format!("{EVENTS}\npayload = \"{payload}\"\nbody_bytes = 40");
        let front = Front::start_with(&setup(&upstream, &events_section), &rules).await;
        let long = format!("q=attack&a={}", "x".repeat(100));
        for bytes in [
            form("/orders/a?token=abcdef", cookie, "q=attack&password=abcdef"),
            form("/orders/b", "", "q=attack&note=abcdef"),
            form("/orders/c", "", &long),
        ] {
            assert_eq!(raw(front.address, &bytes).await.unwrap().status, 403);
        }
        let kept = events(&front, 3).await;
        for (path, event) in &kept {
            let all = format!(
                "{event:?}{}",
                String::from_utf8_lossy(&[&event.head[..], &event.body].concat())
            );
            assert!(!path.contains("abcdef"));
            assert_eq!(
                all.contains("abcdef"),
                !masked && path != "/orders/c",
                "{all}"
            );
        }
        let judged = |path: &str| kept[path].details.payload.why_not_judged().is_none();
        assert_eq!(judged("/orders/a?token=***"), !masked);
        assert_eq!(judged("/orders/b"), !masked);
        assert!(!judged("/orders/c"));
        let cut = &kept["/orders/c"];
        assert_eq!(cut.body, long.as_bytes()[..40]);
        assert_eq!(cut.details.payload.body_cut, 71);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_every_kind_are_kept_as_the_rules_saw_them() {
    let upstream = echo().await;
    let front = Front::start(&setup(&upstream, EVENTS)).await;
    let chunked =
        "Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n";
    let bytes = request(
        "POST /orders/chunked",
        chunked,
        "3\r\nq=a\r\n5\r\nttack\r\n0\r\n\r\n",
    );
    assert_eq!(raw(front.address, &bytes).await.unwrap().status, 403);
    let mut client = Http2::connect(front.address, "api.test").await;
    let post = h2_request("POST", "https://api.test/orders/h2")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(())
        .unwrap();
    assert_eq!(client.request(post, Some(b"q=attack")).await.status, 403);
    // Refused by its head, before its body was read.
    let early = form("/orders/early", "X-Early: attack\r\n", "q=1");
    assert_eq!(raw(front.address, &early).await.unwrap().status, 403);
    let kept = events(&front, 3).await;
    assert_eq!(kept["/orders/chunked"].body, b"q=attack");
    let h2 = &kept["/orders/h2"];
    assert!(
        h2.head
            .starts_with(b"POST /orders/h2 HTTP/2.0\r\nhost: api.test\r\n")
    );
    assert_eq!(
        (h2.body.as_slice(), h2.summary.method.as_str()),
        (&b"q=attack"[..], "POST")
    );
    assert_eq!(h2.details.payload.why_not_judged(), None);
    let why = kept["/orders/early"]
        .details
        .payload
        .why_not_judged()
        .unwrap();
    assert!(why.contains("answered or forwarded before"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_nothing_stops_nobody() {
    let upstream = echo().await;
    let setup = setup(&upstream, "[events]\nreplica = \"a\"");
    let folder = setup.write(RULES);
    std::fs::create_dir_all(folder.join("state/events")).unwrap();
    // A file in place of the folder.
    std::fs::write(folder.join("state/events/a"), "").unwrap();
    let front = Front::start_in(folder).await;
    for _ in 0..3 {
        let answer = raw(front.address, &form("/orders/", "", "q=attack")).await;
        assert_eq!(answer.unwrap().status, 403);
    }
    counts(&front.metrics.events.dropped_disk, 3).await;
    crate::front::logged("events cannot be written and are dropped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_seals_the_segment() {
    let upstream = echo().await;
    let mut front = Front::start(&setup(&upstream, "[events]\nreplica = \"a\"")).await;
    raw(front.address, &form("/orders/", "", "q=attack"))
        .await
        .unwrap();
    front.stopped().await;
    let names: Vec<String> = std::fs::read_dir(front.folder.join("state/events/a"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 1);
    assert!(!names[0].starts_with("open-"), "{names:?}");
    assert_eq!(events(&front, 1).await.len(), 1);
}

/// What the command line shows of a front door that runs.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_finds_shows_and_exports_events() {
    let upstream = echo().await;
    let front = Front::start(&setup(&upstream, "[events]\nsample = 1")).await;
    for bytes in [
        form("/orders/a", "", "q=attack"),
        form("/orders/b", "", "q=1"),
        form("/orders/c", "Cookie: a=1\r\n", "q=attack&a=\u{1b}[2J"),
        request("GET /nowhere", "", ""),
    ] {
        raw(front.address, &bytes).await.unwrap();
    }
    let kept = events(&front, 4).await;
    let run = async |args: &[&str]| {
        let output = drawbridge(&front.folder, args).await;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert!(
            output.status.success(),
            "{args:?}: {}",
            text(&output.stderr)
        );
        (text(&output.stdout), text(&output.stderr))
    };
    let ids = async |args: &[&str]| {
        let (out, _) = run(&[&["events", "list", "--output", "json"], args].concat()).await;
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(report["ok"], true);
        let events = report["events"].as_array().unwrap().clone();
        let is_text = |event: &Value| event["time"].as_str().unwrap().ends_with('Z');
        assert!(events.iter().all(is_text), "{out}");
        let paths = events
            .iter()
            .map(|event| event["path"].as_str().unwrap().to_owned());
        paths.collect::<Vec<_>>()
    };
    let all = ["/orders/a", "/orders/b", "/orders/c", "/nowhere"];
    assert_eq!(ids(&[]).await, all);
    assert_eq!(ids(&["--since", "1h"]).await, all);
    assert_eq!(
        ids(&["--verdict", "block"]).await,
        ["/orders/a", "/orders/c"]
    );
    assert_eq!(ids(&["--verdict", "refused"]).await, ["/nowhere"]);
    assert_eq!(
        ids(&["--rule", "1", "--route", "orders"]).await,
        ["/orders/a", "/orders/c"]
    );
    assert_eq!(
        ids(&["--client", "127.0.0.1", "--verdict", "passed"]).await,
        ["/orders/b"]
    );
    assert_eq!(ids(&["--client", "127.0.0.2"]).await, [""; 0]);
    let (out, _) = run(&["events", "list", "--verdict", "block"]).await;
    let id = &kept["/orders/a"].summary.request_id;
    let line = out.lines().next().unwrap();
    assert!(line.ends_with(id), "{line}");
    let facts = " block       403 127.0.0.1 POST api.test/orders/a orders by 1 (1 ARGS:q) ";
    assert!(line.contains(facts), "{line}");
    let (out, _) = run(&["events", "top", "--by", "argument"]).await;
    assert!(out.lines().nth(1).unwrap().ends_with("ARGS:q"), "{out}");
    let (out, _) = run(&["events", "top", "--by", "rule", "--output", "json"]).await;
    let top: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&top["rows"][0]["key"], &top["rows"][0]["blocked"]),
        (&json!("1"), &json!(2))
    );

    let (shown, _) = run(&["events", "show", id]).await;
    for part in [
        "verdict   block: rule 1 in phase 2, status 403",
        "  POST /orders/a HTTP/1.1\n",
        "  q=attack\n",
        "under the rules that it met\n",
        "value     »attack«",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let (shown, _) = run(&["events", "show", id, "--now"]).await;
    assert!(
        shown.contains("value     »attack«")
            && shown.contains("verdict: deny 403, by rule 1 in phase 2"),
        "{shown}"
    );
    let rules = std::fs::read_to_string(front.folder.join("rules.conf")).unwrap();
    std::fs::write(
        front.folder.join("rules.conf"),
        rules.replace("attack", "else"),
    )
    .unwrap();
    let (shown, _) = run(&["events", "show", id]).await;
    assert!(
        shown.contains("\nmatched\n  1 ") && shown.contains("value     »attack«\n"),
        "{shown}"
    );
    let (shown, _) = run(&["events", "show", id, "--now"]).await;
    assert!(
        shown.contains("verdict: pass, no rule stopped it"),
        "{shown}"
    );
    std::fs::write(front.folder.join("rules.conf"), rules).unwrap();
    let masked = &kept["/orders/c"].summary.request_id;
    let (shown, _) = run(&["events", "show", masked]).await;
    assert!(
        !shown.contains('\u{1b}') && shown.contains("Cookie: a=***"),
        "{shown}"
    );
    assert!(shown.contains("secrets in it are masked"), "{shown}");

    let (exported, told) = run(&["events", "export", id]).await;
    assert_eq!(exported.into_bytes(), form("/orders/a", "", "q=attack"));
    assert_eq!(told, "");
    let path = front.folder.join("exported.http");
    std::fs::write(&path, form("/orders/a", "", "q=attack")).unwrap();
    let explained = drawbridge(
        &front.folder,
        &["rules", "explain", "exported.http", "--output", "json"],
    )
    .await;
    assert_eq!(doctor::json(&explained)["verdict"]["rule_id"], 1);
    let missing = drawbridge(
        &front.folder,
        &["events", "show", "01970c2e-0000-7000-8000-000000000000"],
    )
    .await;
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("no event of request"));

    // A candidate that lets the attack pass, over what was recorded.
    std::fs::write(
        front.folder.join("none.conf"),
        "SecAction \"id:9,phase:1,pass,nolog\"\n",
    )
    .unwrap();
    let replay = [
        "rules",
        "replay",
        "--events",
        "--since",
        "1h",
        "--rules",
        "none.conf",
        "--output",
        "json",
    ];
    let replayed = drawbridge(&front.folder, &replay).await;
    let report = doctor::json(&replayed);
    assert_eq!(replayed.status.code(), Some(1), "{report}");
    assert_eq!(
        (&report["newly_allowed"], &report["newly_blocked"]),
        (&json!(1), &json!(0)),
        "{report}"
    );
    assert!(report.to_string().contains(id), "{report}");
    assert!(
        report.to_string().contains("secrets in it are masked"),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_request_is_exported_as_it_is() {
    let upstream = echo().await;
    let sealed = format!(
        "{EVENTS}\npayload = \"sealed\"\nrecipient = \"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\""
    );
    let front = Front::start(&setup(&upstream, &sealed)).await;
    let attack = form("/orders/a?token=abcdef", "", "q=attack&b=abcdef");
    assert_eq!(raw(front.address, &attack).await.unwrap().status, 403);
    let kept = events(&front, 1).await;
    let event = &kept["/orders/a?token=***"];
    assert!(!format!("{event:?}").contains("abcdef"));
    let id = &event.summary.request_id;
    let exported = drawbridge(&front.folder, &["events", "export", id]).await;
    assert_eq!(exported.stdout, event.body);
    assert!(
        exported
            .stdout
            .starts_with(b"age-encryption.org/v1\n-> X25519 ")
    );
    let shown = drawbridge(&front.folder, &["events", "show", id]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains("variable  ARGS:q") && shown.contains("it is sealed"),
        "{shown}"
    );
    let replay = [
        "rules",
        "replay",
        "--events",
        "--rules",
        "rules.conf",
        "--output",
        "json",
    ];
    let report = doctor::json(&drawbridge(&front.folder, &replay).await);
    assert_eq!(report["not_judged"][0]["request"], id.as_str(), "{report}");
}

/// The rules saw nothing wrong, but could not read the body.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_refuses_is_an_event_too() {
    let upstream = echo().await;
    let json =
        |length: usize| format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
    for (on_uninspected, status, verdict) in [
        ("block", 400, Verdict::Block),
        ("detect", 200, Verdict::Uninspected),
    ] {
        let mut setup = setup(&upstream, EVENTS);
        setup.policy = format!("on_uninspected = \"{on_uninspected}\"");
        let rules = format!(
            "{RULES}SecRule REQUEST_HEADERS:Content-Type \"@contains json\" \"id:200,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n"
        );
        let front = Front::start_with(&setup, &rules).await;
        let bytes = request("POST /orders/a", &json(5), "{\"a\":");
        assert_eq!(raw(front.address, &bytes).await.unwrap().status, status);
        let kept = events(&front, 1).await;
        let event = &kept["/orders/a"];
        assert_eq!(event.summary.verdict, verdict);
        assert!(event.details.not_inspected.is_some());
        let shown = drawbridge(&front.folder, &["events", "list"]).await;
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert_eq!(shown.contains("by the engine"), status == 400, "{shown}");
    }
}
