//! What a front door and its events say of exclusions: how often each held, and of what use it was.

use serde_json::Value;

use crate::exclusions::{NOTE, prepare, run};
use crate::front::wait;
use crate::world::World;
use support::upstream::Behaviour;

/// By hand: one that is used for less than it excludes, one whose requests never come, and one that does nothing; then one
/// that only answers can judge, and one on answers whose requests never come.
const OWN: &str = r#"SecRule REQUEST_FILENAME "@beginsWith /orders/x" "id:5,phase:1,pass,nolog,ctl:ruleRemoveByTag=attack-sqli"
SecRule REQUEST_FILENAME "@streq /never" "id:6,phase:1,pass,nolog,ctl:ruleRemoveById=100200"
SecRule REQUEST_FILENAME "@streq /orders/1" "id:7,phase:1,pass,nolog,ctl:ruleRemoveById=77"
SecRule RESPONSE_STATUS "@streq 200" "id:8,phase:3,pass,nolog,ctl:ruleRemoveById=10"
SecRule REQUEST_FILENAME "@streq /never" "id:9,phase:1,pass,nolog,ctl:ruleRemoveById=10"
SecRule RESPONSE_HEADERS:X-Never "@rx ." "id:10,phase:4,pass,nolog"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_exclusion_is_counted_and_its_use_is_known_from_events() {
    let events = "[events]\nsample = 1.0";
    let mut world = World::start_in(Behaviour::Echo, "state_dir = \"state\"", events).await;
    prepare(&mut world).await;
    assert_eq!(world.status_of(NOTE).await, 403);
    world.write(
        "event.http",
        format!("GET {NOTE} HTTP/1.1\r\nHost: api.test\r\n\r\n"),
    );
    let text = "rules exclude event.http --reason prose --until 2999-01-01 --write --owner";
    let (code, said) = run(&world, text, &["notes team"]).await;
    assert_eq!(code, 0, "{said}");
    world.write("own.conf", OWN);
    world.setup.rules = "\"own.conf\", \"@baseline\"".to_owned();
    world.write_setup();
    assert_eq!(world.reload().await.0, 200);
    for _ in 0..3 {
        assert_eq!(world.status_of(NOTE).await, 200);
    }
    let elsewhere = NOTE.replace("/orders/1", "/orders/x");
    for _ in 0..3 {
        assert_eq!(world.status_of(&elsewhere).await, 200);
    }
    assert_eq!(world.status_of("/orders/1?q=1").await, 200);
    // A request counts when it ends, which may be after its answer.
    let state = world.path("state");
    let kept = wait(|| {
        let found = drawbridge::events::find(&state, 0, |_| true).unwrap();
        (found.events.len() == 8).then_some(())
    });
    kept.await.unwrap();
    let metrics = world.ask("GET", "/metrics").await.text();
    for line in [
        "drawbridge_exclusion_hits_total{policy=\"default\",id=\"80001\",owner=\"notes team\"} 4",
        "drawbridge_exclusion_hits_total{policy=\"default\",id=\"5\",owner=\"\"} 3",
        "drawbridge_exclusion_hits_total{policy=\"default\",id=\"6\",owner=\"\"} 0",
        "drawbridge_exclusion_hits_total{policy=\"default\",id=\"8\",owner=\"\"} 7",
        "drawbridge_exclusion_hits_total{policy=\"default\",id=\"9\",owner=\"\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    // The rules that only end an exclusion or keep it apart are none.
    let hits = metrics
        .lines()
        .filter(|line| line.starts_with("drawbridge_exclusion_hits_total{"));
    assert_eq!(hits.count(), 6, "{metrics}");

    let lint = "rules lint --config drawbridge.toml --since 1h --output json";
    let (code, said) = run(&world, lint, &[]).await;
    let report: Value = serde_json::from_str(&said).expect(&said);
    assert_eq!(
        (code, &report["requests"], &report["exclusions"]),
        (1, &8.into(), &6.into()),
        "{said}"
    );
    let findings = report["findings"].as_array().unwrap();
    let of_line = |line: u64| -> Vec<&str> {
        let of_line = findings.iter().filter(|f| f["line"] == line);
        let own = of_line.filter(|f| f["file"].as_str().unwrap().ends_with("own.conf"));
        own.map(|f| f["code"].as_str().unwrap()).collect()
    };
    assert_eq!(of_line(1), ["wider-than-used"], "{report:#}");
    assert_eq!(of_line(2), ["never-applied"], "{report:#}");
    assert_eq!(of_line(3), ["fits-no-rule"], "{report:#}");
    assert_eq!((of_line(4), of_line(5)), (vec![], vec!["never-applied"]));
    let notes = report["notes"].as_array().unwrap();
    let note = notes[0].as_str().unwrap();
    assert!(
        note.starts_with("1 exclusion of rules on answers"),
        "{notes:?}"
    );
    let wider = findings
        .iter()
        .find(|f| f["code"] == "wider-than-used")
        .unwrap();
    let instead = wider["instead"].as_array().unwrap();
    assert!(
        instead
            .iter()
            .any(|text| text == "ctl:ruleRemoveTargetById=100200;ARGS:note"),
        "{report:#}"
    );
    // What was proven is as narrow as its use.
    assert!(findings.iter().all(|f| f["owner"].is_null()), "{report:#}");
    world.front.stopped().await;
}
