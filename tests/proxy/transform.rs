//! What routes answer themselves, and what routes and listeners change in header fields.

use serde_json::{Value, json};

use crate::front::{Front, RULES, Setup};
use crate::requests::echo;
use crate::tokens::Issuer;
use support::client::{Answer, Http2, get, h2_request, raw};
use support::upstream::Upstream;

const PATHS: &str = "paths = [\"/orders/\"]\nmethods = [\"GET\", \"POST\"]\n";

/// A further route, with what it answers.
fn route(name: &str, keys: &str) -> String {
    format!(
        "[[routes]]\nname = \"{name}\"\nhosts = [\"api.test\"]\npaths = [\"/{name}/\"]\n\
         listeners = [\"public\"]\npolicy = \"default\"\n{keys}\n"
    )
}

async fn ask(front: &Front, target: &str, fields: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n");
    raw(front.address, request.as_bytes()).await.unwrap()
}

fn at_route(upstream: &Upstream, keys: &str) -> Setup {
    Setup {
        route: format!("{PATHS}{keys}"),
        ..Setup::to(upstream)
    }
}

/// The values that the gateway got of a field, in whatever spelling.
fn got(echo: &Value, name: &str) -> Vec<String> {
    let fields = echo["headers"].as_array().unwrap().iter();
    let fields = fields.filter_map(|field| field.as_str().unwrap().split_once(": "));
    let named = fields.filter(|(known, _)| known.replace('_', "-").eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_leads_where_it_says_and_nobody_else_is_asked() {
    let upstream = echo().await;
    let front = Front::start(&Setup {
        more: route(
            "old",
            "redirect = { to = \"https://api.test/new/{below}?{query}\" }",
        ) + &route("moved", "redirect = { to = \"/{below}\", status = 302 }"),
        ..Setup::to(&upstream)
    })
    .await;
    let answer = get(front.address, "/old/a%20b?x=1").await;
    assert_eq!(answer.status, 308);
    assert_eq!(
        answer.header("location"),
        Some("https://api.test/new/a%20b?x=1")
    );
    assert_eq!(answer.header("content-length"), Some("0"));
    let line = front.line_of(answer.header("x-request-id").unwrap()).await;
    assert_eq!(
        (&line["route"], &line["status"]),
        (&json!("old"), &json!(308))
    );
    assert_eq!(
        (&line["error"], &line["upstream"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(line["waf"]["verdict"], "pass");

    let answer = get(front.address, "/old/").await;
    assert_eq!(answer.header("location"), Some("https://api.test/new/"));
    let answer = get(front.address, "/moved/x").await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (302, Some("/x"))
    );
    // The client's own path would begin another host.
    let answer = get(front.address, "/moved//evil.test/").await;
    assert_eq!((answer.status, answer.header("location")), (400, None));
    let line = front
        .line(|line| line["path"] == "/moved//evil.test/")
        .await;
    assert_eq!(line["error"], "unredirectable");
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_paths_are_checked_before_an_answer_of_our_own() {
    let upstream = echo().await;
    let front = Front::start(&Setup {
        more: route("old", "redirect = { to = \"/orders/{below}\" }"),
        ..Setup::to(&upstream)
    })
    .await;
    for (target, status) in [
        ("/old/?q=attack", 403),
        ("/old/%2e%2e/orders/", 400),
        ("/old/a%2fb", 400),
        ("/old/x", 308),
    ] {
        assert_eq!(get(front.address, target).await.status, status, "{target}");
    }
    let post = "POST /old/ HTTP/1.1\r\nHost: api.test\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                Content-Length: 8\r\n\r\na=attack";
    let answer = raw(front.address, post.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_answer_is_what_is_written() {
    let upstream = echo().await;
    let setup = Setup {
        more: route(
            "gone",
            "respond = { status = 410, body = \"gone\\n\", headers = { X-Route = \"{route} on {listener}\" } }\n\
             response_headers = { set = { Cache-Control = \"no-store\" } }",
        ) + &route("empty", "respond = { status = 204 }"),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    let answer = get(front.address, "/gone/").await;
    assert_eq!((answer.status, answer.text().as_str()), (410, "gone\n"));
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(answer.header("x-route"), Some("gone on public"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let answer = get(front.address, "/empty/").await;
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (204, None)
    );

    let mut h2 = Http2::connect(front.address, "api.test").await;
    let get = h2_request("GET", "https://api.test/gone/")
        .body(())
        .unwrap();
    let answer = h2.request(get, None).await;
    assert_eq!((answer.status, answer.text().as_str()), (410, "gone\n"));
    let head = h2_request("HEAD", "https://api.test/gone/")
        .body(())
        .unwrap();
    let answer = h2.request(head, None).await;
    assert_eq!((answer.status, answer.text().as_str()), (410, ""));
    assert_eq!(answer.header("content-length"), Some("5"));
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_takes_requests_after_answers_of_our_own() {
    let upstream = echo().await;
    let front = Front::start(&Setup {
        more: route("gone", "respond = { status = 410, body = \"gone\" }"),
        ..Setup::to(&upstream)
    })
    .await;
    let post = "POST /gone/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n\r\nabc";
    let head = "HEAD /gone/ HTTP/1.1\r\nHost: api.test\r\n\r\n";
    let last = "GET /orders/ HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n";
    let mut stream = support::client::connect(front.address, Some("api.test"), b"")
        .await
        .unwrap();
    let mut buffer = Vec::new();
    for (request, status, is_head) in [(post, 410, false), (head, 410, true), (last, 200, false)] {
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())
            .await
            .unwrap();
        let answer = support::client::read_answer(&mut stream, &mut buffer, is_head).await;
        assert_eq!(answer.unwrap().status, status, "{request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_gets_the_fields_that_are_set_and_no_other_spelling() {
    let upstream = echo().await;
    let keys = "path_regex = '/orders/(?<id>[0-9]*)'\n\
                request_headers = { set = { X-Env = \"prod\", X-Order = \"{path.id}\", X-User = \"{claim.sub}\" }, \
                add = { X-Tag = \"front\" }, remove = [\"X-Debug\"] }";
    let front = Front::start(&Setup {
        listener: "request_headers = { set = { X-Client = \"{client}\", X-Env = \"listener\" } }"
            .to_owned(),
        ..at_route(&upstream, keys)
    })
    .await;
    let fields = "X-Env: theirs\r\nx_env: theirs\r\nX-User: admin\r\nX_User: admin\r\nX-Tag: theirs\r\n\
                  X-Debug: 1\r\nX_Debug: 1\r\nX-Client: 203.0.113.9\r\n";
    let answer = ask(&front, "/orders/12", fields).await;
    assert_eq!(answer.status, 200);
    let echo = answer.json();
    for (name, values) in [
        ("X-Env", &["prod"][..]),
        ("X-Order", &["12"]),
        ("X-Client", &["127.0.0.1"]),
        ("X-Tag", &["theirs", "front"]),
        // Nobody is asked who is calling, so nobody is.
        ("X-User", &[]),
        ("X-Debug", &[]),
    ] {
        assert_eq!(got(&echo, name), values, "{name}: {echo}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_reach_the_gateway_in_fields_that_no_client_can_split() {
    let upstream = echo().await;
    let issuer = Issuer::new();
    let keys = "identity = \"corp\"\nrequest_headers = { set = { X-User = \"{claim.sub}\", X-Note = \"{claim.note}\" } }";
    let setup = Setup {
        more: Issuer::table(""),
        ..at_route(&upstream, keys)
    };
    let folder = setup.write(RULES);
    issuer.publish(&folder);
    let front = Front::start_in(folder).await;
    let token = issuer.token(json!({ "note": "j\r\nX-Admin: 1" }));
    let answer = ask(
        &front,
        "/orders/",
        &format!("Authorization: Bearer {token}\r\n"),
    )
    .await;
    let echo = answer.json();
    assert_eq!(got(&echo, "X-User"), ["anna"]);
    assert_eq!(got(&echo, "X-Note"), ["j%0D%0AX-Admin: 1"]);
    assert!(got(&echo, "X-Admin").is_empty(), "{echo}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_get_the_fields_that_are_set() {
    let upstream = echo().await;
    let keys =
        "response_headers = { set = { X-Frame-Options = \"DENY\" }, remove = [\"Content-Type\"] }";
    let front = Front::start(&Setup {
        listener: "response_headers = { set = { Strict-Transport-Security = \"max-age=60\", X-Frame-Options = \"SAMEORIGIN\" } }".to_owned(),
        ..at_route(&upstream, keys)
    })
    .await;
    let answer = get(front.address, "/orders/").await;
    assert_eq!(answer.status, 200);
    for (name, value) in [
        ("strict-transport-security", Some("max-age=60")),
        ("x-frame-options", Some("DENY")),
        ("content-type", None),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    // A refusal is the listener's: no route could be told from it.
    for target in ["/orders/?q=attack", "/nowhere"] {
        let answer = get(front.address, target).await;
        assert!(matches!(answer.status, 403 | 404), "{target}");
        assert_eq!(
            answer.header("strict-transport-security"),
            Some("max-age=60")
        );
        assert_eq!(answer.header("x-frame-options"), Some("SAMEORIGIN"));
        assert!(answer.header("content-type").is_some(), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_answers_and_of_gateways_have_the_fields_of_the_listener() {
    let listener = "response_headers = { set = { X-Front = \"{request_id}\" } }".to_owned();
    let upstream = echo().await;
    let rules = format!(
        "{RULES}\nSecRule RESPONSE_STATUS \"@streq 200\" \"id:90,phase:3,deny,status:403\"\n"
    );
    let front = Front::start_with(
        &Setup {
            listener: listener.clone(),
            ..Setup::to(&upstream)
        },
        &rules,
    )
    .await;
    let refused = get(front.address, "/orders/").await;
    let dead = Front::start(&Setup {
        listener,
        ..Setup::servers(&["127.0.0.1:1".parse().unwrap()])
    })
    .await;
    let failed = get(dead.address, "/orders/").await;
    for (answer, status) in [(refused, 403), (failed, 502)] {
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("x-front"), answer.header("x-request-id"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_do_not_match_do_not_exist() {
    let upstream = echo().await;
    let front = Front::start(&at_route(&upstream, "path_regex = '/orders/[0-9]+'")).await;
    for (target, status) in [
        ("/orders/12", 200),
        ("/orders/%31", 200),
        ("/orders/x", 404),
        ("/orders/", 404),
        ("/orders/12/", 404),
        ("/orders/12;x", 404),
    ] {
        assert_eq!(get(front.address, target).await.status, status, "{target}");
    }
    // Nor do other methods there: no 405 may tell.
    let put = b"PUT /orders/x HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(raw(front.address, put).await.unwrap().status, 404);
    let put = b"PUT /orders/1 HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(raw(front.address, put).await.unwrap().status, 405);
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_is_asked_for_the_rewritten_path_and_the_rules_saw_the_clients() {
    let upstream = echo().await;
    let keys = "rewrite = { path = \"/attack/v2/{below}\", query = \"{query}&by=front\" }";
    let front = Front::start(&at_route(&upstream, keys)).await;
    for (target, line) in [
        (
            "/orders/a%20b?x=1",
            "GET /attack/v2/a%20b?x=1&by=front HTTP/1.1",
        ),
        ("/orders", "GET /attack/v2/?by=front HTTP/1.1"),
    ] {
        let answer = get(front.address, target).await;
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.json()["line"], line, "{target}");
    }
    assert_eq!(get(front.address, "/orders/?q=attack").await.status, 403);
    let line = front.line(|line| line["path"] == "/orders/a%20b?x=1").await;
    assert_eq!(line["status"], 200);
    for target in ["/orders/%2e%2e/x", "/orders/a%2fb", "/orders/..%5cx"] {
        assert_eq!(get(front.address, target).await.status, 400, "{target}");
    }
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrite_that_makes_a_step_to_another_path_is_400() {
    let upstream = echo().await;
    let keys =
        "path_regex = '/orders/(?<dots>[^/]*)'\nrewrite = { path = \"/v2/.{path.dots}/secret\" }";
    let front = Front::start(&at_route(&upstream, keys)).await;
    assert_eq!(get(front.address, "/orders/a").await.status, 200);
    // Neither the client's path nor the written one has a dot segment.
    let answer = get(front.address, "/orders/;x").await;
    assert_eq!(answer.status, 400);
    let line = front.line_of(answer.header("x-request-id").unwrap()).await;
    assert_eq!(line["error"], "dot_segment");
    assert_eq!(
        line["reason"],
        "after the rewrite: a dot segment in the path"
    );
    assert_eq!(upstream.requests(), 1);
}
