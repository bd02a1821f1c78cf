//! What pages of other origins may ask for and read.

use drawbridge::admin::client::call;
use drawbridge::config::AdminAddress;
use serde_json::json;

use crate::front::{Front, RULES, Setup};
use crate::requests::echo;
use crate::tokens::Issuer;
use support::client::{Answer, Http2, h2_request, raw};
use support::pki::{self, CORP, ServerTls};
use support::upstream::{Behaviour, Upstream};

const APP: &str = "https://app.example.com";
const CORS: &str = "[cors.app]\norigins = [\"https://app.example.com\"]\nheaders = [\"Authorization\", \"Content-Type\"]\n\
                    expose = [\"X-Total\"]\ncredentials = true\n";

fn setup(upstream: &Upstream, keys: &str, more: &str) -> Setup {
    Setup {
        route: format!(
            "paths = [\"/orders/\"]\nmethods = [\"GET\", \"PUT\"]\ncors = \"app\"\n{keys}"
        ),
        more: format!("{CORS}{more}"),
        ..Setup::to(upstream)
    }
}

async fn ask(front: &Front, line: &str, fields: &str) -> Answer {
    let request = format!("{line} HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n");
    raw(front.address, request.as_bytes()).await.unwrap()
}

async fn preflight(front: &Front, origin: &str, method: &str, more: &str) -> Answer {
    let fields = format!("Origin: {origin}\r\nAccess-Control-Request-Method: {method}\r\n{more}");
    ask(front, "OPTIONS /orders/1", &fields).await
}

/// What a browser reads to decide whether a page may see the answer.
fn allowed(answer: &Answer) -> Option<&str> {
    answer.header("access-control-allow-origin")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_is_answered_at_the_door() {
    let upstream = echo().await;
    let front = Front::start(&setup(&upstream, "", "")).await;
    let headers = "Access-Control-Request-Headers: authorization,content-type\r\n";
    let answer = preflight(&front, APP, "PUT", headers).await;
    assert_eq!(answer.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", APP),
        ("access-control-allow-methods", "PUT"),
        (
            "access-control-allow-headers",
            "Authorization, Content-Type",
        ),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "600"),
        ("vary", "Origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let line = front.line_of(answer.header("x-request-id").unwrap()).await;
    assert_eq!(
        (&line["route"], &line["status"]),
        (&json!("orders"), &json!(204))
    );

    let mut h2 = Http2::connect(front.address, "api.test").await;
    let request = h2_request("OPTIONS", "https://api.test/orders/1")
        .header("origin", APP)
        .header("access-control-request-method", "GET");
    let answer = h2.request(request.body(()).unwrap(), None).await;
    assert_eq!((answer.status, allowed(&answer)), (204, Some(APP)));
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_for_what_is_not_listed_is_refused_and_says_why() {
    let upstream = echo().await;
    let front = Front::start(&setup(&upstream, "", "")).await;
    for (origin, method, more, status, reason) in [
        (
            "https://evil.test",
            "PUT",
            "",
            403,
            "cors app: the origin is not listed",
        ),
        ("null", "PUT", "", 403, "cors app: the origin is not listed"),
        (
            APP,
            "PUT",
            "Access-Control-Request-Headers: x-other\r\n",
            403,
            "cors app: the header field x-other is not listed",
        ),
        // The route takes neither DELETE nor OPTIONS.
        (APP, "DELETE", "", 405, ""),
    ] {
        let answer = preflight(&front, origin, method, more).await;
        assert_eq!(answer.status, status, "{origin} {method} {more}");
        assert_eq!(answer.header("access-control-allow-methods"), None);
        let line = front.line_of(answer.header("x-request-id").unwrap()).await;
        assert_eq!(line["reason"].as_str().unwrap_or_default(), reason);
    }
    // A request that only looks like a preflight is none.
    for fields in [
        "Access-Control-Request-Method: GET\r\n".to_owned(),
        format!("Origin: {APP}\r\n"),
        format!("Origin: {APP}\r\nOrigin: {APP}\r\nAccess-Control-Request-Method: GET\r\n"),
        format!(
            "Origin: {APP}\r\nAccess-Control-Request-Method: GET\r\nAccess-Control-Request-Method: PUT\r\n"
        ),
    ] {
        let answer = ask(&front, "OPTIONS /orders/1", &fields).await;
        assert_eq!(answer.status, 405, "{fields}");
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_origins_read_answers_and_the_gateway_has_no_say() {
    let issued = pki::leaf(&CORP, "orders.corp.test");
    let says = "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: https://evil.test\r\n\
                Access-Control-Allow-Credentials: true\r\nVary: Accept\r\nContent-Length: 2\r\n\r\nok";
    let behaviour = Behaviour::Raw(says.as_bytes().to_vec());
    let upstream = Upstream::start(ServerTls::new(issued), behaviour).await;
    let front = Front::start(&setup(&upstream, "", "")).await;
    for (origin, expected) in [
        (format!("Origin: {APP}\r\n"), Some(APP)),
        ("Origin: https://evil.test\r\n".to_owned(), None),
        (
            "Origin: https://app.example.com.evil.test\r\n".to_owned(),
            None,
        ),
        ("Origin: null\r\n".to_owned(), None),
        (String::new(), None),
    ] {
        let answer = ask(&front, "GET /orders/1", &origin).await;
        assert_eq!(
            (answer.status, allowed(&answer)),
            (200, expected),
            "{origin}"
        );
        let credentials = answer.header("access-control-allow-credentials");
        assert_eq!(credentials, expected.map(|_| "true"), "{origin}");
        let exposed = answer.header("access-control-expose-headers");
        assert_eq!(exposed, expected.map(|_| "X-Total"), "{origin}");
        // A cache must not give one origin's answer to another.
        let vary = answer
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("vary"));
        let vary: Vec<&str> = vary.map(|(_, value)| value.as_str()).collect();
        assert_eq!(vary, ["Accept", "Origin"], "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_sees_that_it_was_refused_but_not_what_is_off() {
    let upstream = echo().await;
    let issuer = Issuer::new();
    let more = format!(
        "{}[exposures.orders]\nroutes = [\"orders\"]\nlisteners = [\"public\"]\nowner = \"orders\"\noff = \"404\"\n",
        Issuer::table("")
    );
    let setup = Setup {
        top: "admin = \"admin.sock\"\nstate_dir = \"state\"".to_owned(),
        ..setup(&upstream, "identity = \"corp\"", &more)
    };
    let folder = setup.write(RULES);
    issuer.publish(&folder);
    let front = Front::start_in(folder).await;
    // A preflight has no token, and is answered all the same.
    assert_eq!(preflight(&front, APP, "GET", "").await.status, 204);
    let answer = ask(&front, "GET /orders/1", &format!("Origin: {APP}\r\n")).await;
    assert_eq!((answer.status, allowed(&answer)), (401, Some(APP)));
    let attack = preflight(&front, APP, "GET", "X-Early: attack\r\n").await;
    assert_eq!(attack.status, 403, "the rules see preflights");

    let address = AdminAddress::Unix(front.folder.join("admin.sock"));
    let switch = move || {
        call(
            &address,
            None,
            "POST",
            "/exposures/orders/off",
            br#"{"reason":"a test"}"#,
        )
    };
    let switched = tokio::task::spawn_blocking(switch).await.unwrap().unwrap();
    assert_eq!(switched.status, 200);
    let answer = ask(&front, "GET /orders/1", &format!("Origin: {APP}\r\n")).await;
    assert_eq!((answer.status, allowed(&answer)), (404, None));
    assert_eq!(answer.header("vary"), None);
    assert_eq!(preflight(&front, APP, "GET", "").await.status, 404);
    assert_eq!(upstream.requests(), 0);
}
