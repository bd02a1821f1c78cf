//! Events with the caller: who it was, what the rules saw of it, and that rules judge a record as they judged the request.

use drawbridge::events::{self, CallerFacts, Event, SeenClaim};
use serde_json::{Value, json};

use crate::doctor::{self, drawbridge};
use crate::front::{Front, Setup, wait};
use crate::requests::echo;
use crate::tokens::{ISSUER, Issuer};
use support::client::raw;
use support::upstream::Upstream;

const RULES: &str = r#"
SecRule IDENTITY:sub "@streq mallory" "id:1,phase:1,deny,status:406,log,msg:'a person'"
SecRule ARGS:q "@streq attack" "id:2,phase:2,deny,status:403,log,msg:'attack'"
SecRule IDENTITY:role "@streq admin" "id:3,phase:1,pass,nolog,ctl:ruleRemoveById=2"
"#;
/// The same without rule 1.
const OTHERS: &str = r#"
SecRule ARGS:q "@streq attack" "id:2,phase:2,deny,status:403,log,msg:'attack'"
SecRule IDENTITY:role "@streq admin" "id:3,phase:1,pass,nolog,ctl:ruleRemoveById=2"
"#;
const EVENTS: &str = "[events]\nsample = 1\npayload = \"plain\"\n";

async fn start(upstream: &Upstream, issuer: &Issuer, identity: &str) -> Front {
    let table = Issuer::table(&format!(
        "claims = {{ role = \"realm_access.roles\" }}\n{identity}"
    ));
    let setup = Setup {
        top: "state_dir = \"state\"".to_owned(),
        route: "paths = [\"/orders/\"]\nmethods = [\"GET\", \"POST\"]\nidentity = \"corp\"\nidentity_mode = \"optional\"\n".to_owned(),
        more: format!("{EVENTS}{table}"),
        ..Setup::to(upstream)
    };
    let folder = setup.write(RULES);
    std::fs::write(folder.join("others.conf"), OTHERS).unwrap();
    issuer.publish(&folder);
    Front::start_in(folder).await
}

async fn ask(front: &Front, path: &str, token: Option<String>) -> u16 {
    let field = token.map_or(String::new(), |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    let request = format!("GET /orders/{path} HTTP/1.1\r\nHost: api.test\r\n{field}\r\n");
    let answer = raw(front.address, request.as_bytes()).await.unwrap();
    answer.status
}

async fn events(front: &Front, count: usize) -> Vec<Event> {
    let state = front.folder.join("state");
    let found = wait(|| {
        let found = events::find(&state, 0, |_| true).unwrap();
        (found.events.len() >= count).then_some(found.events)
    });
    let found = found.await.unwrap();
    assert_eq!(found.len(), count, "{found:?}");
    found
        .into_iter()
        .map(|place| place.read().unwrap().unwrap())
        .collect()
}

async fn run(front: &Front, args: &str) -> (String, String) {
    let args: Vec<&str> = args.split(' ').collect();
    let output = drawbridge(&front.folder, &args).await;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

async fn listed(front: &Front, filter: &str) -> Vec<String> {
    let (out, _) = run(front, &format!("events list --output json {filter}")).await;
    let report: Value = serde_json::from_str(&out).unwrap();
    let events = report["events"].as_array().unwrap().iter();
    events
        .map(|event| event["path"].as_str().unwrap().to_owned())
        .collect()
}

async fn replayed(front: &Front) -> Value {
    let args = "rules replay --events --since 1h --rules others.conf --output json";
    let args: Vec<&str> = args.split(' ').collect();
    doctor::json(&drawbridge(&front.folder, &args).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_says_who_called() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let front = start(&upstream, &issuer, "").await;
    let mallory = issuer.token(json!({ "sub": "mallory", "secret": "s3cr3t-value" }));
    let anna = issuer.token(json!({ "nested": issuer.token(json!({})) }));
    assert_eq!(ask(&front, "a", Some(mallory)).await, 406);
    assert_eq!(ask(&front, "b", Some(anna)).await, 200);
    assert_eq!(ask(&front, "c", None).await, 200);
    let kept = events(&front, 3).await;
    let caller = CallerFacts {
        name: "corp".to_owned(),
        issuer: Some(ISSUER.to_owned()),
        subject: Some("mallory".to_owned()),
        token_id: Some("t-1".to_owned()),
    };
    assert_eq!(kept[0].summary.caller, Some(caller));
    assert_eq!(kept[2].summary.caller, None);
    let claims = kept[0].details.claims.as_ref().unwrap();
    for (name, value) in [
        ("provider", "corp"),
        ("sub", "mallory"),
        ("role", "clerk"),
        ("role", "b c"),
    ] {
        let (name, value) = (name.to_owned(), value.to_owned());
        assert!(
            claims.kept.contains(&SeenClaim { name, value }),
            "{claims:?}"
        );
    }
    assert_eq!(claims.left_out, ["secret"]);
    let claims = kept[1].details.claims.as_ref().unwrap();
    assert_eq!(claims.left_out, ["nested"]);
    assert!(!format!("{:?}", kept[0].details).contains("s3cr3t"));

    for (filter, paths) in [
        ("--subject mallory", &["/orders/a"][..]),
        ("--identity corp", &["/orders/a", "/orders/b"]),
        ("--identity corp --subject anna", &["/orders/b"]),
        ("--identity other", &[]),
        ("--subject corp", &[]),
    ] {
        assert_eq!(listed(&front, filter).await, paths, "{filter}");
    }
    let (out, _) = run(&front, "events list --subject mallory").await;
    assert!(out.contains(" caller corp:mallory "), "{out}");
    let (out, _) = run(&front, "events top --by caller").await;
    assert!(
        out.contains("  corp:anna\n") && out.contains("  -\n"),
        "{out}"
    );
    let id = &kept[0].summary.request_id;
    let (out, _) = run(&front, &format!("events show {id}")).await;
    for part in [
        &format!("caller    corp:mallory, token t-1, issuer {ISSUER}\n") as &str,
        "  IDENTITY:sub mallory\n",
        "  IDENTITY:secret is not kept\n",
        "verdict: deny 406, by rule 1 in phase 1",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (out, _) = run(&front, &format!("events show {id} --output json")).await;
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(shown["event"]["caller"]["subject"], "mallory");
    assert_eq!(shown["details"]["claims"]["left_out"], json!(["secret"]));
    let (_, notes) = run(&front, &format!("events export {id}")).await;
    assert!(notes.contains("events show --now"), "{notes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_judges_with_the_caller() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let front = start(&upstream, &issuer, "").await;
    let admin = json!({ "realm_access": { "roles": ["admin"] } });
    for (path, claims, status) in [
        ("a", json!({ "sub": "mallory" }), 406),
        ("b?q=attack", admin, 200),
        ("c?q=attack", json!({}), 403),
    ] {
        let token = issuer.token(claims);
        assert_eq!(ask(&front, path, Some(token)).await, status, "{path}");
    }
    let kept = events(&front, 3).await;
    let report = replayed(&front).await;
    let counts = ["newly_allowed", "newly_blocked", "answered_differently"];
    assert_eq!(
        counts.map(|name| report[name].clone()),
        [json!(1), json!(0), json!(0)]
    );
    assert_eq!(
        report["differences"][0]["request"],
        kept[0].summary.request_id
    );
    assert_eq!(report["not_judged"], json!([]), "{report}");

    let exclude = "rules exclude --owner a --reason b --until 2099-01-01";
    let (_, words) = run(&front, &format!("{exclude} {}", kept[0].summary.request_id)).await;
    assert!(words.contains("by claims of its caller"), "{words}");
    let (out, words) = run(&front, &format!("{exclude} {}", kept[2].summary.request_id)).await;
    assert!(out.contains("ruleRemoveTargetById=2"), "{out}{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hashed_subject_is_in_no_record_and_a_replay_says_what_it_lacks() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let front = start(&upstream, &issuer, "log_subject = \"hashed\"").await;
    let claims = json!({ "sub": "mallory", "email": "m@corp.test", "groups": ["mallory"] });
    assert_eq!(ask(&front, "a", Some(issuer.token(claims))).await, 406);
    let kept = events(&front, 1).await;
    let line = front.line(|line| line["path"] == "/orders/a").await;
    let caller = kept[0].summary.caller.as_ref().unwrap();
    assert_eq!(line["identity"]["subject"], json!(caller.subject));
    let claims = kept[0].details.claims.as_ref().unwrap();
    assert_eq!(claims.left_out, ["sub", "email", "groups"]);
    let record = format!("{:?}{:?}{line}", kept[0].summary, kept[0].details);
    for personal in ["mallory\"", "m@corp.test"] {
        assert!(!record.contains(personal), "{personal}: {record}");
    }
    assert_eq!(listed(&front, "--subject mallory").await, ["/orders/a"]);
    assert_eq!(listed(&front, "--subject anna").await, [""; 0]);
    let report = replayed(&front).await;
    let why = report["not_judged"][0]["reason"].as_str().unwrap();
    assert!(why.contains("not kept: sub"), "{why}");
    let id = &kept[0].summary.request_id;
    let (out, _) = run(&front, &format!("events show {id} --now")).await;
    assert!(
        out.contains("claims of its caller that are not kept: sub"),
        "{out}"
    );
}
