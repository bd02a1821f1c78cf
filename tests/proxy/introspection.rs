//! Issuers that are asked whether a token still holds: what their answers mean, what counts as none, and what floods cause.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drawbridge::identity::issuer::{
    Asked, AskingBounds, ClientSecret, EndpointAt, IntrospectionSource, Introspector, Known,
    OwnClient,
};
use drawbridge::outbound::Destination;
use identity::CacheKey;
use serde_json::{Value, json};

use crate::doctor::{self, drawbridge as run};
use crate::front::{Front, RULES, Setup};
use crate::issuer::{Issuer, Key, SECRET, ok};
use crate::issuers::{becomes, futures, settings, status};
use crate::requests::echo;
use crate::tokens::now;
use support::pki;
use support::upstream::Upstream;

/// With this time for which an answer counts, and further keys.
fn keys(issuer: &Issuer, max_age: &str, more: &str) -> String {
    let port = issuer.address.port();
    format!(
        "introspect = \"https://localhost:{port}/introspect\"\n{}introspect_max_age = \"{max_age}\"\n{more}",
        client()
    )
}

fn client() -> String {
    "introspect_client = \"door\"\nintrospect_secret = \"introspect.secret\"\n".to_owned()
}

async fn start(issuer: &Issuer, upstream: &Upstream, extra: &str, route: &str) -> Front {
    let mut setup = issuer.setup(upstream, extra);
    setup.route = format!("{}\n{route}", setup.route);
    Front::start_in(write(&setup, SECRET)).await
}

fn write(setup: &Setup, secret: &str) -> PathBuf {
    let folder = setup.write(RULES);
    std::fs::write(folder.join("introspect.secret"), secret).unwrap();
    folder
}

fn says(issuer: &Issuer, token: &str, said: Value) {
    issuer.change(|published| drop(published.says.insert(token.to_owned(), said)));
}

fn asked(issuer: &Issuer) -> usize {
    let mut asked = 0;
    issuer.change(|published| asked = published.tokens.len());
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_seen_when_the_answer_is_too_old() {
    let (upstream, key, stranger) = (echo().await, Key::new(), Key::new());
    let issuer = Issuer::start(&[&key]).await;
    let front = start(&issuer, &upstream, &keys(&issuer, "1s", ""), "").await;
    let (token, other) = (issuer.token(&key, "a"), issuer.token(&key, "b"));
    says(&issuer, &token, json!({ "active": true }));
    assert_eq!(status(front.address, &token).await, 200);
    assert_eq!(status(front.address, &other).await, 401);
    let line = front.line(|line| line["identity"]["reason"] == "inactive");
    assert_eq!(line.await["status"], 401);
    // A token that nobody signed is not worth a question.
    let before = asked(&issuer);
    let forged = issuer.token(&stranger, "c");
    assert_eq!(status(front.address, &forged).await, 401);
    issuer.change(|published| assert!(!published.tokens.contains(&forged)));
    assert_eq!(before, 2);
    says(&issuer, &token, json!({ "active": false }));
    becomes(front.address, &token, 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_with_one_token_share_one_question_and_its_answer() {
    let (upstream, key) = (echo().await, Key::new());
    let issuer = Issuer::start(&[&key]).await;
    let extra = format!(
        "introspect = \"discovery\"\n{}introspect_max_age = \"10m\"",
        client()
    );
    let front = start(&issuer, &upstream, &extra, "").await;
    let token = issuer.token(&key, "a");
    says(
        &issuer,
        &token,
        json!({ "active": true, "iss": issuer.url() }),
    );
    let all = futures((0..40).map(|_| status(front.address, &token))).await;
    assert!(all.iter().all(|status| *status == 200), "{all:?}");
    assert_eq!(status(front.address, &token).await, 200);
    assert_eq!(asked(&issuer), 1);
    let said = doctor::json(
        &run(
            &front.folder,
            &["doctor", "identity", "corp", "--output", "json"],
        )
        .await,
    );
    assert_eq!(said["ok"], true, "{said}");
    assert_eq!(said["checks"][1]["what"], "introspection", "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_closes_and_doctor_names_the_cause() {
    let (upstream, key) = (echo().await, Key::new());
    let issuer = Issuer::start(&[&key]).await;
    let redirect =
        b"HTTP/1.1 302 Found\r\nLocation: https://evil.test/\r\nContent-Length: 0\r\n\r\n";
    let broken = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
    for (instead, secret, code) in [
        (ok("<html>"), SECRET, "introspection"),
        (ok("{\"active\":\"true\"}"), SECRET, "introspection"),
        (
            ok("{\"active\":true,\"active\":true}"),
            SECRET,
            "introspection",
        ),
        (
            ok("{\"active\":true,\"exp\":\"soon\"}"),
            SECRET,
            "introspection",
        ),
        (
            ok(&format!("{{\"a\":\"{}\"}}", "a".repeat(300 << 10))),
            SECRET,
            "too_large",
        ),
        (redirect.to_vec(), SECRET, "redirect"),
        (broken.to_vec(), SECRET, "status"),
        // It never answers.
        (Vec::new(), SECRET, "timeout"),
        (ok("{\"active\":true}"), "another secret", "client"),
        // It would take anything.
        (ok("{\"active\":true}"), SECRET, "introspection"),
    ] {
        issuer.change(|published| published.says_instead = Some(instead.clone()));
        let setup = issuer.setup(&upstream, &keys(&issuer, "1s", "timeout = \"1s\""));
        let front = Front::start_in(write(&setup, secret)).await;
        let believes = instead == ok("{\"active\":true}") && secret == SECRET;
        let token = issuer.token(&key, "a");
        let wanted = if believes { 200 } else { 503 };
        assert_eq!(status(front.address, &token).await, wanted, "{code}");
        if !believes {
            let line = front.line(|l| l["identity"]["reason"] == "introspection_unavailable");
            assert_eq!(line.await["status"], 503);
        }
        let arguments = ["doctor", "identity", "corp", "--output", "json"];
        let output = run(&front.folder, &arguments).await;
        let said = doctor::json(&output);
        assert_eq!(said["checks"][1]["failure"]["code"], code, "{said}");
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(!said.to_string().contains("secret: 1"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_down_closes_and_comes_back() {
    let (upstream, key) = (echo().await, Key::new());
    let mut issuer = Issuer::start(&[&key]).await;
    let front = start(&issuer, &upstream, &keys(&issuer, "1s", ""), "").await;
    let token = issuer.token(&key, "a");
    says(&issuer, &token, json!({ "active": true }));
    assert_eq!(status(front.address, &token).await, 200);
    issuer.stop().await;
    becomes(front.address, &token, 503).await;
    let found = std::fs::read_to_string(front.folder.join("access.log")).unwrap();
    assert!(!found.contains(&token));
    issuer.start_again().await;
    becomes(front.address, &token, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_about_a_verified_token_must_not_contradict_it() {
    let (upstream, key) = (echo().await, Key::new());
    let issuer = Issuer::start(&[&key]).await;
    let front = start(&issuer, &upstream, &keys(&issuer, "1s", ""), "").await;
    for (id, answer, reason) in [
        ("i", json!({ "iss": "https://else.test" }), "issuer"),
        ("a", json!({ "aud": "bills" }), "audience"),
        ("e", json!({ "exp": now() - 100 }), "inactive"),
        ("t", json!({ "token_type": "refresh_token" }), "type"),
        ("c", json!({ "cnf": { "x5t#S256": "AAAA" } }), "binding"),
    ] {
        let mut answer = answer;
        answer["active"] = json!(true);
        let token = issuer.token(&key, id);
        says(&issuer, &token, answer);
        assert_eq!(status(front.address, &token).await, 401, "{reason}");
        let line = front.line(|line| line["identity"]["reason"] == reason);
        assert_eq!(line.await["status"], 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_opaque_token_the_answer_says_who_is_calling() {
    let (upstream, key) = (echo().await, Key::new());
    let issuer = Issuer::start(&[&key]).await;
    let extra = keys(&issuer, "1s", "opaque_tokens = true");
    let route = "require = { scope = [\"orders.read\"] }";
    let front = start(&issuer, &upstream, &extra, route).await;
    let whole = json!({
        "active": true, "iss": issuer.url(), "aud": ["orders"], "exp": now() + 300,
        "sub": "anna", "jti": "o-1", "scope": "orders.read", "token_type": "Bearer",
    });
    let without = |name: &str| {
        let mut answer = whole.clone();
        answer.as_object_mut().unwrap().remove(name);
        answer
    };
    let with = |name: &str, value: Value| {
        let mut answer = whole.clone();
        answer[name] = value;
        answer
    };
    for (token, answer, expected, reason) in [
        ("good", whole.clone(), 200, ""),
        ("a+b/c~d-e_f==", whole.clone(), 200, ""),
        ("no-iss", without("iss"), 401, "issuer"),
        (
            "iss",
            with("iss", json!("https://else.test")),
            401,
            "issuer",
        ),
        ("no-aud", without("aud"), 401, "audience"),
        ("aud", with("aud", json!("bills")), 401, "audience"),
        ("no-exp", without("exp"), 401, "expiry_missing"),
        ("nbf", with("nbf", json!(now() + 900)), 401, "not_yet_valid"),
        ("refresh", with("token_type", json!("Refresh")), 401, "type"),
        ("inactive", with("active", json!(false)), 401, "inactive"),
        (
            "scope",
            with("scope", json!("else")),
            403,
            "insufficient_scope",
        ),
    ] {
        says(&issuer, token, answer);
        assert_eq!(status(front.address, token).await, expected, "{token}");
        if !reason.is_empty() {
            let line = front.line(|line| line["identity"]["reason"] == reason);
            assert_eq!(line.await["status"], expected, "{token}");
        }
    }
    let line = front
        .line(|line| line["identity"]["subject"] == "anna")
        .await;
    assert_eq!(line["identity"]["token_id"], "o-1", "{line}");
    // What cannot be the name of a token is not asked about, nor is a JWT that does not verify.
    let before = asked(&issuer);
    for token in ["a b", "a,b", "ä", "=", "a.b.c", &"a".repeat(5000)] {
        assert_eq!(status(front.address, token).await, 401, "{token}");
    }
    assert_eq!(asked(&issuer), before);
}

fn source(issuer: &Issuer, bounds: AskingBounds) -> IntrospectionSource {
    let url = format!("https://localhost:{}/introspect", issuer.address.port());
    IntrospectionSource {
        name: "corp".to_owned(),
        at: EndpointAt::Given(Arc::new(Destination::new(&url, settings()).unwrap())),
        client: OwnClient {
            name: "door".to_owned(),
            secret: ClientSecret(SECRET.to_owned()),
        },
        max_age: Duration::from_secs(600),
        clock_skew: 30,
        takes_opaque: true,
        bounds,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_made_up_tokens_does_not_reach_the_issuer() {
    let issuer = Issuer::start(&[]).await;
    let bounds = AskingBounds {
        unknown_burst: 50,
        unknown_each_second: 0,
        under_way: 8,
        ..AskingBounds::default()
    };
    let introspector = Introspector::new(source(&issuer, bounds));
    introspector.start(&tokio::runtime::Handle::current());
    let learn = |token: String, how| {
        let introspector = &introspector;
        async move {
            let key = CacheKey::of(token.as_bytes());
            introspector.learn(key, token, how).await;
            introspector.known(&key)
        }
    };
    for round in 0..40 {
        let flood = (0..25).map(|n| learn(format!("made-up-{round}-{n}"), Asked::Opaque));
        let known = futures(flood).await;
        assert!(known.iter().all(|known| !matches!(known, Known::Good(_))));
    }
    let after_flood = asked(&issuer);
    assert!((1..=50 + 8).contains(&after_flood), "{after_flood}");
    // Verified tokens have their own share.
    says(&issuer, "real", json!({ "active": true }));
    let real = learn("real".to_owned(), Asked::Verified).await;
    assert!(matches!(real, Known::Good(_)), "{real:?}");
    assert_eq!(asked(&issuer), after_flood + 1);
}

#[test]
fn keys_of_the_table_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    pki::write(folder.path());
    std::fs::write(folder.path().join("rules.conf"), RULES).unwrap();
    std::fs::write(folder.path().join("secret"), "s").unwrap();
    let all = "introspect = \"https://idp.test/i\"\nintrospect_client = \"door\"\nintrospect_secret = \"secret\"\n";
    for (keys, said) in [
        (
            "introspect = \"https://idp.test/i\"\ntrust = \"onprem\"".to_owned(),
            "needs \"introspect_client\"",
        ),
        (all.to_owned(), "needs a trust bundle"),
        (
            format!("{}trust = \"onprem\"", all.replace("https", "http")),
            "must be \"https://\"",
        ),
        (
            format!(
                "{}trust = \"onprem\"",
                all.replace("\"secret\"", "\"gone\"")
            ),
            "gone",
        ),
        (
            format!("{all}trust = \"onprem\"\nintrospect_max_age = \"1h\""),
            "is 1s to 10m",
        ),
        ("opaque_tokens = true".to_owned(), "without \"introspect\""),
        ("once_most = 5".to_owned(), "without once = true"),
        ("once = true\nonce_most = 0".to_owned(), "once_most"),
    ] {
        let setup = Setup {
            servers: vec!["127.0.0.1:1".parse().unwrap()],
            route: "paths = [\"/\"]\nmethods = [\"GET\"]\nidentity = \"corp\"".to_owned(),
            more: format!(
                "[identity.corp]\nissuer = \"https://idp.test\"\naudiences = [\"a\"]\njwks = \"file:idp.json\"\n{keys}\n"
            ),
            ..Setup::default()
        };
        let file = folder.path().join("drawbridge.toml");
        std::fs::write(&file, setup.text()).unwrap();
        let found = drawbridge::config::load(&file).err().unwrap_or_default();
        let found: Vec<String> = found.iter().map(|found| found.render(false)).collect();
        assert!(found.join("\n").contains(said), "{keys}: {found:#?}");
    }
}
