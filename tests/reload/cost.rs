//! What rules cost on a front door that times every request: metrics, the admin API, the verb, and the dearest request.

use serde_json::{Value, json};

use crate::front::{Front, Setup};
use crate::verbs::verb;
use crate::world::{World, until};
use support::client::{Http2, h2_request};
use support::pki::{CORP, ServerTls, leaf};
use support::upstream::{Behaviour, Upstream};

const MORE: &str = r#"
[events]
sample = 0.0
[policies.other]
mode = "detect"
rules = ["rules.conf"]
[[routes]]
name = "other"
hosts = ["other.test"]
paths = ["/"]
listeners = ["public"]
upstream = "orders"
policy = "other"
"#;

async fn world(policy: &str) -> World {
    let tls = ServerTls::new(leaf(&CORP, "orders.corp.test"));
    let upstream = Upstream::start(tls, Behaviour::Echo).await;
    let setup = Setup {
        top: "admin = \"admin.sock\"\nstate_dir = \"state\"".to_owned(),
        policy: policy.to_owned(),
        more: MORE.to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    World {
        front,
        setup,
        upstream,
    }
}

async fn top(world: &World, query: &str) -> Value {
    let answer = world.ask("GET", &format!("/rules/top{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// Three requests: two that a rule blocks, and one that it lets through. `timed` says how many of them are timed.
async fn ask_three(world: &World, timed: u64) {
    for (target, status) in [
        ("/orders/1?a=1", 200),
        ("/orders/1?a=attack", 403),
        ("/orders/1?a=attack&b=..", 403),
    ] {
        assert_eq!(world.status_of(target).await, status, "{target}");
    }
    until("all are counted", async || {
        let answer = top(world, "?by=hits").await;
        let policy = &answer["policies"][0];
        policy["rules"][0]["hits"] == json!(2) && policy["timed_requests"] == json!(timed)
    })
    .await;
}

/// Whether the guide of the security team shows this line.
fn documented(line: &str) -> bool {
    include_str!("../../docs/security.md")
        .lines()
        .any(|shown| shown == line)
}

/// The row of a rule in the first policy of an answer.
fn rule(answer: &Value, id: u64) -> &Value {
    let rules = answer["policies"][0]["rules"].as_array().unwrap();
    let found = rules.iter().find(|rule| rule["rule_id"] == json!(id));
    found.unwrap_or_else(|| panic!("no rule {id}: {answer:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timed_request_says_what_each_rule_cost() {
    let world = world("cost_sample = 1").await;
    ask_three(&world, 3).await;
    let answer = top(&world, "?by=cpu").await;
    assert_eq!(answer["by"], "cpu");
    assert!(answer["clock_ns"].as_f64().unwrap() > 0.0);
    let policy = &answer["policies"][0];
    assert_eq!(policy["policy"], "default");
    assert_eq!(policy["cost_sample"], 1.0);
    assert_eq!(policy["timed_requests"], 3);
    for part in ["prefilter", "other"] {
        assert!(
            policy[part]["mean_us"].as_f64().unwrap() > 0.0,
            "{answer:#}"
        );
    }
    let first = rule(&answer, 1);
    assert_eq!((&first["hits"], &first["blocks"]), (&json!(2), &json!(2)));
    assert!(first["runs"].as_u64().unwrap() >= 2, "{first}");
    assert!(first["worst_us"].as_f64().unwrap() > 0.0);
    assert!(first["file"].as_str().unwrap().ends_with("rules.conf"));
    assert_eq!(
        (&first["line"], &first["message"]),
        (&json!(2), &json!("an attack"))
    );
    let metrics = world.ask("GET", "/metrics").await.text();
    for line in [
        "drawbridge_waf_timed_requests_total{policy=\"default\"} 3\n",
        "drawbridge_waf_rule_matches_total{policy=\"default\",rule_id=\"1\"} 2\n",
        "drawbridge_waf_rule_cpu_seconds_total{policy=\"default\",rule_id=\"1\"} 0.0",
        "drawbridge_waf_rule_cpu_seconds_total{policy=\"default\",rule_id=\"prefilter\"} 0.0",
        "drawbridge_waf_rule_cpu_seconds_total{policy=\"default\",rule_id=\"other\"} 0.0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dearest_request_of_a_rule_is_an_event() {
    let world = world("cost_sample = 1").await;
    // Let through, so that nothing else keeps it.
    assert_eq!(world.status_of("/orders/1?a=..").await, 200);
    until("it is counted", async || {
        let answer = top(&world, "?by=hits").await;
        answer["policies"][0]["timed_requests"] == json!(1)
    })
    .await;
    let answer = top(&world, "").await;
    let id = rule(&answer, 5)["worst_request_id"].as_str().unwrap();
    let folder = &world.front.folder;
    until("it is an event", async || {
        let (code, ..) = verb(folder, &["events", "show", id]).await;
        code == Some(0)
    })
    .await;
    let (_, said, _) = verb(folder, &["events", "show", id]).await;
    assert!(said.contains("verdict   passed\n"), "{said}");
    assert!(said.contains("\ndearest   rule "), "{said}");
    assert!(said.contains("longer than in any request before"), "{said}");
    let (_, said, _) = verb(folder, &["events", "show", id, "--output", "json"]).await;
    let event: Value = serde_json::from_str(&said).unwrap();
    let costs = event["details"]["costs"].as_array().unwrap();
    let cost = costs.iter().find(|cost| cost["rule_id"] == json!(5));
    assert_eq!(cost.unwrap()["is_worst"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sample_nothing_is_timed_and_hits_count() {
    let world = world("").await;
    ask_three(&world, 0).await;
    assert_eq!(
        top(&world, "?by=cpu").await["policies"][0]["rules"],
        json!([])
    );
    let answer = top(&world, "?by=blocks").await;
    assert_eq!(rule(&answer, 1)["blocks"], 2);
    assert_eq!(rule(&answer, 1)["worst_request_id"], Value::Null);
    assert_eq!(answer["policies"][0]["timed_requests"], 0);
    let metrics = world.ask("GET", "/metrics").await.text();
    assert!(!metrics.contains("drawbridge_waf_rule_cpu_seconds_total{"));
    let folder = &world.front.folder;
    let (code, _, told) = verb(folder, &["rules", "top", "--by", "cpu"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("set cost_sample in the policy"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verb_shows_policies_and_routes() {
    let world = world("cost_sample = 1").await;
    ask_three(&world, 3).await;
    let mut other = Http2::connect(world.front.address, "other.test").await;
    let get = h2_request("GET", "https://other.test/?a=attack");
    let answer = other.request(get.body(()).unwrap(), None).await;
    assert_eq!(answer.status, 200, "its policy only detects");
    until("it is counted", async || {
        let answer = top(&world, "?policy=other&by=hits").await;
        answer["policies"][0]["rules"][0]["hits"] == json!(1)
    })
    .await;
    let folder = &world.front.folder;
    let (code, said, told) = verb(folder, &["rules", "top", "--by", "cpu"]).await;
    assert_eq!(code, Some(0), "{told}");
    for part in [
        "policy default: 3 requests timed (cost_sample 1), ",
        "policy other: 0 requests timed (cost_sample 0), ",
        "\n prefilter ",
        "rules.conf:2",
        "  an attack\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(told.contains("a look at the clock"), "{told}");
    let heading = said.lines().find(|line| line.ends_with("  message"));
    assert!(documented(heading.expect("a heading")), "{said}");
    let shown = async |args: &[&str]| {
        let args = [&["rules", "top", "--output", "json"], args].concat();
        let (code, said, told) = verb(folder, &args).await;
        assert_eq!(code, Some(0), "{said}{told}");
        serde_json::from_str::<Value>(&said).unwrap()
    };
    let answer = shown(&["--by", "hits", "--route", "other"]).await;
    assert_eq!(answer["ok"], true);
    assert_eq!(answer["policies"].as_array().unwrap().len(), 1);
    assert_eq!(rule(&answer, 1)["hits"], 1);
    assert_eq!(rule(&answer, 1)["blocks"], 0);
    let answer = shown(&["--by", "cpu", "--policy", "default", "--most", "1"]).await;
    assert_eq!(answer["policies"][0]["rules"].as_array().unwrap().len(), 1);
    for (args, words) in [
        (
            ["--route", "othr"],
            "there is no route \"othr\"; did you mean \"other\"?",
        ),
        (["--policy", "a b"], "there is no policy \"a?b\""),
    ] {
        let args = [&["rules", "top", "--by", "hits"][..], &args].concat();
        let (code, _, told) = verb(folder, &args).await;
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains(words), "{told}");
    }
    let refused = world.ask("GET", "/rules/top?by=time").await;
    assert_eq!(refused.status, 400, "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_turns_timing_on() {
    let mut world = world("").await;
    ask_three(&world, 0).await;
    world.setup.policy = "cost_sample = 1".to_owned();
    world.write_setup();
    let (status, outcome) = world.reload().await;
    assert_eq!(status, 200, "{outcome}");
    assert_eq!(world.status_of("/orders/1?a=1").await, 200);
    until("it is timed", async || {
        let answer = top(&world, "").await;
        answer["policies"][0]["timed_requests"] == json!(1)
    })
    .await;
    assert_eq!(top(&world, "").await["policies"][0]["cost_sample"], 1.0);
}
