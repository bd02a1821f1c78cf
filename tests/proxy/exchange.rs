//! Tokens that are exchanged at the gateways' own issuer: who shares one, what the issuer is asked, what counts as no answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use drawbridge::admin::client::call;
use drawbridge::config::AdminAddress;
use serde_json::{Value, json};

use crate::front::{Front, RULES, Setup};
use crate::issuer::{Issuer, Key, SECRET, ok};
use crate::issuers::{becomes, futures, status};
use crate::requests::echo;
use crate::tokens::now;
use support::client::raw;
use support::pki;
use support::upstream::Upstream;

const EXCHANGED: &str = "forward_identity = \"exchanged\"\nexchange = \"gateways\"";

fn setup(issuer: &Issuer, upstream: &Upstream, exchange: &str) -> Setup {
    let mut setup = issuer.setup(upstream, "");
    setup.route = format!("{}\n{EXCHANGED}", setup.route);
    setup.more = format!(
        "{}[exchange.gateways]\nclient_id = \"door\"\nclient_secret = \"exchange.secret\"\ntrust = \"onprem\"\n{exchange}\n",
        setup.more
    );
    setup
}

fn endpoint(issuer: &Issuer) -> String {
    format!(
        "endpoint = \"https://localhost:{}/token\"\n",
        issuer.address.port()
    )
}

fn write(setup: &Setup, secret: &str) -> PathBuf {
    let folder = setup.write(RULES);
    std::fs::write(folder.join("exchange.secret"), secret).unwrap();
    folder
}

async fn start(issuer: &Issuer, upstream: &Upstream, exchange: &str) -> Front {
    Front::start_in(write(&setup(issuer, upstream, exchange), SECRET)).await
}

fn exchanges(issuer: &Issuer) -> Vec<BTreeMap<String, String>> {
    let mut exchanges = Vec::new();
    issuer.change(|published| exchanges.clone_from(&published.exchanges));
    exchanges
}

/// The token of a caller.
fn token(issuer: &Issuer, key: &Key, claims: Value) -> String {
    let mut whole = json!({
        "iss": issuer.url(), "aud": "orders", "sub": "anna", "exp": now() + 300,
    });
    whole
        .as_object_mut()
        .unwrap()
        .extend(claims.as_object().unwrap().clone());
    key.0.sign("JWT", whole.as_object().unwrap()).unwrap()
}

/// What the gateway finds in Authorization.
async fn forwarded(front: &Front, token: &str) -> Vec<String> {
    let request = format!(
        "GET /orders/1 HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let answer = raw(front.address, request.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let headers = answer.json()["headers"].as_array().unwrap().clone();
    let lines = headers.iter().filter_map(Value::as_str);
    let named = lines.filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("authorization")
            .then(|| value.to_owned())
    });
    named.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_gets_the_exchanged_token_and_the_issuer_the_callers() {
    let (upstream, key) = (echo().await, Key::new());
    let issuer = Issuer::start(&[&key]).await;
    let more = "audience = \"orders-api\"\nresource = \"https://orders.test/\"\nscope = [\"a\", \"b\"]\nsubject_token_type = \"jwt\"";
    // The place is in the issuer's document.
    let exchange = format!("issuer = \"{}\"\n{more}", issuer.url());
    let front = start(&issuer, &upstream, &exchange).await;
    let own = issuer.token(&key, "a");
    assert_eq!(forwarded(&front, &own).await, ["Bearer orders-api-1"]);
    let exchanges = exchanges(&issuer);
    let [form] = exchanges.as_slice() else {
        panic!("{exchanges:?}")
    };
    let wanted = [
        ("audience", "orders-api"),
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        (
            "requested_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("resource", "https://orders.test/"),
        ("scope", "a b"),
        ("subject_token", own.as_str()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
    ];
    let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(*form, BTreeMap::from(wanted));
    // No token in what is written.
    let log = std::fs::read_to_string(front.folder.join("access.log")).unwrap();
    assert!(
        !log.contains("orders-api-1") && !log.contains(&own),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_share_a_token_only_if_theirs_say_the_same() {
    let (upstream, key) = (echo().await, Key::new());
    let issuer = Issuer::start(&[&key]).await;
    let front = start(&issuer, &upstream, &endpoint(&issuer)).await;
    let first = token(&issuer, &key, json!({ "jti": "1", "iat": now() - 9 }));
    let many = futures((0..40).map(|_| status(front.address, &first))).await;
    assert!(many.iter().all(|status| *status == 200), "{many:?}");
    // The name of the upstream is the audience.
    let shared = forwarded(&front, &first).await;
    assert_eq!(shared, ["Bearer orders-1"]);
    let later = json!({ "jti": "2", "iat": now(), "nbf": now() - 1, "exp": now() + 900 });
    assert_eq!(
        forwarded(&front, &token(&issuer, &key, later)).await,
        shared
    );
    assert_eq!(exchanges(&issuer).len(), 1);
    for (claims, number) in [
        (json!({ "sub": "berta" }), 2),
        (json!({ "scope": "orders.read" }), 3),
        (json!({ "scope": "orders.write" }), 4),
        (json!({ "act": { "sub": "else" } }), 5),
        (json!({ "sid": "7" }), 6),
        (json!({ "auth_time": 1 }), 7),
    ] {
        let own = forwarded(&front, &token(&issuer, &key, claims.clone())).await;
        assert_eq!(own, [format!("Bearer orders-{number}")], "{claims}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchanged_token_is_not_used_past_its_end() {
    let (upstream, key) = (echo().await, Key::new());
    let issuer = Issuer::start(&[&key]).await;
    let front = start(&issuer, &upstream, &endpoint(&issuer)).await;
    issuer.change(|published| {
        published.gives =
            Some(json!({ "access_token": "old", "token_type": "Bearer", "expires_in": 2 }));
    });
    let own = issuer.token(&key, "a");
    assert_eq!(forwarded(&front, &own).await, ["Bearer old"]);
    issuer.change(|published| published.gives = None);
    for _ in 0..500 {
        if forwarded(&front, &own).await != ["Bearer old"] {
            assert_eq!(exchanges(&issuer).len(), 2);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("it is used for ever");
}

async fn state_of(front: &Front) -> Value {
    let admin = AdminAddress::Unix(front.folder.join("admin.sock"));
    let ask = move || call(&admin, None, "GET", "/status", b"").unwrap();
    let answer = tokio::task::spawn_blocking(ask).await.unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

fn says(status: &str, code: &str) -> Vec<u8> {
    let body = json!({ "error": code, "error_description": "a secret of yours" }).to_string();
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_no_gateway_sees_the_request() {
    let (upstream, key) = (echo().await, Key::new());
    let issuer = Issuer::start(&[&key]).await;
    let refused = "exchange_refused";
    let unavailable = "exchange_unavailable";
    let given = |more: Value| {
        let mut body = json!({ "access_token": "a", "token_type": "Bearer" });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        ok(&body.to_string())
    };
    for (instead, secret, wanted, reason, code) in [
        (says("400 No", "invalid_request"), SECRET, 403, refused, ""),
        (says("400 No", "invalid_grant"), SECRET, 403, refused, ""),
        (says("403 No", "access_denied"), SECRET, 403, refused, ""),
        (
            says("400 No", "invalid_target"),
            SECRET,
            503,
            unavailable,
            "exchange",
        ),
        (
            says("400 No", "invalid_client"),
            SECRET,
            503,
            unavailable,
            "client",
        ),
        (
            says("500 No", "invalid_grant"),
            SECRET,
            503,
            unavailable,
            "status",
        ),
        (ok("<html>"), SECRET, 503, unavailable, "exchange"),
        (
            given(json!({ "token_type": "N_A" })),
            SECRET,
            503,
            unavailable,
            "exchange",
        ),
        (
            given(json!({ "access_token": "a\r\nX-Admin: 1" })),
            SECRET,
            503,
            unavailable,
            "exchange",
        ),
        (given(json!({ "expires_in": 0 })), SECRET, 403, refused, ""),
        (
            given(json!({})),
            "another secret",
            503,
            unavailable,
            "client",
        ),
    ] {
        let shown = String::from_utf8_lossy(&instead).into_owned();
        issuer.change(|published| published.gives_instead = Some(instead));
        let folder = write(&setup(&issuer, &upstream, &endpoint(&issuer)), secret);
        let front = Front::start_in(folder).await;
        let before = upstream.connections();
        assert_eq!(
            status(front.address, &issuer.token(&key, "a")).await,
            wanted,
            "{shown}"
        );
        let line = front
            .line(|line| line["identity"]["reason"] == reason)
            .await;
        assert_eq!(line["error"], "token_exchange", "{line}");
        assert!(!line.to_string().contains("a secret of yours"), "{line}");
        assert_eq!(upstream.connections(), before, "{shown}");
        let state = state_of(&front).await;
        let trouble = &state["exchange"]["gateways"]["last_error"];
        assert_eq!(
            trouble["code"].as_str().unwrap_or_default(),
            code,
            "{state}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_down_closes_and_comes_back() {
    let (upstream, key) = (echo().await, Key::new());
    // Callers' issuer is another one, and is up.
    let (callers, mut issuer) = (Issuer::start(&[&key]).await, Issuer::start(&[]).await);
    let exchange = format!("{}max_age = \"1s\"", endpoint(&issuer));
    let front = start(&callers, &upstream, &exchange).await;
    let own = callers.token(&key, "a");
    assert_eq!(status(front.address, &own).await, 200);
    issuer.stop().await;
    becomes(front.address, &own, 503).await;
    issuer.start_again().await;
    becomes(front.address, &own, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_refuse_is_not_exchanged() {
    let (upstream, key) = (echo().await, Key::new());
    let issuer = Issuer::start(&[&key]).await;
    let front = start(&issuer, &upstream, &endpoint(&issuer)).await;
    let own = issuer.token(&key, "a");
    let request = format!(
        "GET /orders/1?q=attack HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {own}\r\n\r\n"
    );
    let answer = raw(front.address, request.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 403);
    assert!(exchanges(&issuer).is_empty());
}

#[test]
fn keys_of_the_table_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    pki::write(folder.path());
    std::fs::write(folder.path().join("rules.conf"), RULES).unwrap();
    std::fs::write(folder.path().join("exchange.secret"), "s").unwrap();
    let set = json!({ "keys": [Key::new().public()] });
    std::fs::write(folder.path().join("idp.json"), set.to_string()).unwrap();
    let client = "client_id = \"door\"\nclient_secret = \"exchange.secret\"\ntrust = \"onprem\"\n";
    let endpoint = "endpoint = \"https://idp.test/token\"\n";
    let issuer = "issuer = \"https://idp.test/\"\n";
    let more = |more: &str| format!("{client}{endpoint}{more}");
    for (keys, route, said) in [
        (more(""), EXCHANGED, ""),
        (
            client.to_owned(),
            EXCHANGED,
            "needs an \"issuer\" or an \"endpoint\"",
        ),
        (more(issuer), EXCHANGED, "\"endpoint\" names it too"),
        (
            format!("{client}issuer = \"https://idp.test/?a\""),
            EXCHANGED,
            "must have no \"?\"",
        ),
        (
            more("").replace("https", "http"),
            EXCHANGED,
            "must be \"https://\"",
        ),
        (
            more("").replace("\"exchange.secret\"", "\"gone\""),
            EXCHANGED,
            "gone",
        ),
        (
            more("").replace("trust = \"onprem\"\n", ""),
            EXCHANGED,
            "needs a trust bundle",
        ),
        (more("max_age = \"2h\""), EXCHANGED, "is 1s to 1h"),
        (more("scope = [\"a b\"]"), EXCHANGED, "without a blank"),
        (
            more(""),
            "forward_identity = \"exchanged\"",
            "needs \"exchange\"",
        ),
        (
            more(""),
            "forward_identity = \"claims\"\nexchange = \"gateways\"",
            "only beside forward_identity = \"exchanged\"",
        ),
        (
            more(""),
            "forward_identity = \"exchanged\"\nexchange = \"gateway\"",
            "there is no exchange \"gateway\"",
        ),
    ] {
        let found = problems(folder.path(), "corp", route, &keys);
        assert!(found.contains(said), "{keys} {route}: {found}");
        assert_eq!(found.is_empty(), said.is_empty(), "{found}");
    }
    // Its callers have nothing to exchange.
    let partners = "[identity.partners]\nclient_ca = \"onprem\"\n";
    let keys = format!("{}{partners}", more(""));
    let found = problems(folder.path(), "partners", EXCHANGED, &keys);
    assert!(
        found.contains("\"partners\" is client certificates"),
        "{found}"
    );
}

/// The errors of a configuration with this exchange, and these keys of its route.
fn problems(folder: &Path, identity: &str, route: &str, exchange: &str) -> String {
    let setup = Setup {
        servers: vec!["127.0.0.1:1".parse().unwrap()],
        route: format!("paths = [\"/\"]\nmethods = [\"GET\"]\nidentity = \"{identity}\"\n{route}"),
        more: format!(
            "[identity.corp]\nissuer = \"https://idp.test\"\naudiences = [\"a\"]\njwks = \"file:idp.json\"\n[exchange.gateways]\n{exchange}\n"
        ),
        ..Setup::default()
    };
    let file = folder.join("drawbridge.toml");
    std::fs::write(&file, setup.text()).unwrap();
    let found = drawbridge::config::load(&file).err().unwrap_or_default();
    let found: Vec<String> = found.iter().map(|found| found.render(false)).collect();
    found.join("\n")
}
