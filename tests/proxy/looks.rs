//! What refusals look like, and what browsers are told.

use std::fs;

use drawbridge::admin::client::call;
use drawbridge::config::AdminAddress;
use serde_json::{Value, json};

use crate::front::{Front, RULES, Setup};
use crate::requests::echo;
use support::client::{Answer, Http2, get, h2_request, raw};
use support::pki::{self, CORP, ServerTls};
use support::upstream::{Behaviour, Upstream};

const HTML: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
const TABLES: &str = r#"
[error_pages.house]
html = { default = "house.html", 404 = "404.html", 5xx = "5xx.html" }
json = { 403 = "403.json" }
[error_pages.orders]
html = { waf = "waf.html", exposure_off = "off.html" }
"#;
const FILES: [(&str, &str); 6] = [
    (
        "house.html",
        "<style>a{b:c}</style>house {{status}} {{title}} {{request_id}}",
    ),
    ("404.html", "nothing there"),
    ("5xx.html", "sorry {{status}}"),
    ("waf.html", "blocked {{request_id}}"),
    ("off.html", "orders rest"),
    (
        "403.json",
        r#"{"type": "https://errors.test/403", "title": "{{title}}", "status": {{status}}, "instance": "{{request_id}}"}"#,
    ),
];

async fn ask(front: &Front, target: &str, fields: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n");
    raw(front.address, request.as_bytes()).await.unwrap()
}

async fn start(setup: Setup) -> Front {
    let folder = setup.write(RULES);
    for (name, text) in FILES {
        fs::write(folder.join(name), text).unwrap();
    }
    Front::start_in(folder).await
}

fn with_pages(upstream: &Upstream, more: &str) -> Setup {
    Setup {
        listener: "error_pages = \"house\"".to_owned(),
        route: "paths = [\"/orders/\"]\nerror_pages = \"orders\"".to_owned(),
        more: format!("{TABLES}{more}"),
        ..Setup::to(upstream)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_look_as_it_is_written_and_by_accept() {
    let upstream = echo().await;
    let front = start(with_pages(&upstream, "")).await;
    let html = ask(&front, "/orders/?q=attack", HTML).await;
    assert_eq!(html.status, 403);
    assert_eq!(
        html.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let id = html.header("x-request-id").unwrap().to_owned();
    assert_eq!(html.text(), format!("blocked {id}"));
    assert_eq!(html.header("cache-control"), Some("no-store"));

    let answer = ask(&front, "/orders/?q=attack", "Accept: application/json\r\n").await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let id = answer.header("x-request-id").unwrap();
    assert_eq!(
        answer.json(),
        json!({"type": "https://errors.test/403", "title": "Forbidden", "status": 403, "instance": id})
    );
    // No page of JSON is written for it: the program has one.
    let answer = ask(&front, "/nowhere", "").await;
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let id = answer.header("x-request-id").unwrap();
    assert_eq!(
        answer.json(),
        json!({"type": "about:blank", "title": "Not Found", "status": 404, "request_id": id})
    );
    assert_eq!(ask(&front, "/nowhere", HTML).await.text(), "nothing there");
    // A path that no route could have.
    let answer = ask(&front, "/%2e%2e/", HTML).await;
    assert!(
        answer.text().contains("house 400 Bad Request"),
        "{}",
        answer.text()
    );

    let mut h2 = Http2::connect(front.address, "api.test").await;
    let request = h2_request("GET", "https://api.test/orders/?q=attack")
        .header("accept", "text/html")
        .body(())
        .unwrap();
    let answer = h2.request(request, None).await;
    assert!(answer.text().starts_with("blocked "), "{}", answer.text());
    let head = "HEAD /orders/?q=attack HTTP/1.1\r\nHost: api.test\r\nAccept: text/html\r\nConnection: close\r\n\r\n";
    let answer = raw(front.address, head.as_bytes()).await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (403, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_fail_and_heads_that_are_none_have_pages_too() {
    let dead = Setup {
        servers: vec!["127.0.0.1:1".parse().unwrap()],
        ..with_pages(&echo().await, "")
    };
    let front = start(dead).await;
    let answer = ask(&front, "/orders/", HTML).await;
    assert_eq!((answer.status, answer.text().as_str()), (502, "sorry 502"));
    // What stands in for a head that cannot be read has no Accept, so it is for a program.
    let answer = raw(front.address, b"GET /orders/ HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["title"], "Bad Request");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_off_looks_like_what_was_never_there() {
    let upstream = echo().await;
    let more = "[exposures.public]\nroutes = [\"orders\"]\nlisteners = [\"public\"]\nowner = \"i\"\noff = \"404\"\n";
    let setup = with_pages(&upstream, more);
    let front = start(Setup {
        top: "admin = \"admin.sock\"\nstate_dir = \"state\"".to_owned(),
        ..setup
    })
    .await;
    assert_eq!(ask(&front, "/orders/", HTML).await.status, 200);
    let address = AdminAddress::Unix(front.folder.join("admin.sock"));
    let off = tokio::task::spawn_blocking(move || {
        call(
            &address,
            None,
            "POST",
            "/exposures/public/off",
            br#"{"reason": "t"}"#,
        )
    });
    assert_eq!(off.await.unwrap().unwrap().status, 200);
    for accept in [HTML, ""] {
        let same = |answer: Answer| {
            let mut json: Value = serde_json::from_str(&answer.text()).unwrap_or_default();
            if let Some(object) = json.as_object_mut() {
                object.remove("request_id");
            }
            let text = if json.is_null() {
                answer.text()
            } else {
                String::new()
            };
            let fields: Vec<_> = answer
                .headers
                .iter()
                .map(|(name, _)| name.clone())
                .collect();
            (answer.status, text, json, fields)
        };
        let off = same(ask(&front, "/orders/", accept).await);
        let never = same(ask(&front, "/never/", accept).await);
        assert_eq!(off, never);
        assert_eq!(off.0, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_told_by_every_answer() {
    let said =
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Security-Policy: img-src 'self'\r\n\
                 Strict-Transport-Security: max-age=1\r\n\r\n";
    let tls = ServerTls::new(pki::leaf(&CORP, "orders.corp.test"));
    let upstream = Upstream::start(tls, Behaviour::Raw(said.to_vec())).await;
    let tables = "[security_headers.house]\nhsts = { days = 365, subdomains = true }\nframe = \"deny\"\n\
                  csp = \"default-src 'none'\"\n\
                  [security_headers.orders]\nreplace = false\nhsts = { days = 1 }\ncsp = \"default-src 'self'\"\nnosniff = false\n";
    let front = Front::start(&Setup {
        listener: "security_headers = \"house\"".to_owned(),
        route: "paths = [\"/orders/\"]\nsecurity_headers = \"orders\"\n\
                response_headers = { set = { X-Frame-Options = \"SAMEORIGIN\" } }"
            .to_owned(),
        more: format!(
            "{tables}[[routes]]\nname = \"gone\"\nhosts = [\"api.test\"]\npaths = [\"/gone\"]\nlisteners = [\"public\"]\n\
             policy = \"default\"\nrespond = {{ status = 410 }}\n"
        ),
        ..Setup::to(&upstream)
    })
    .await;
    let hsts = "strict-transport-security";
    let csp = "content-security-policy";
    for target in ["/orders/?q=attack", "/nowhere", "/gone"] {
        let answer = get(front.address, target).await;
        for (name, value) in [
            (hsts, "max-age=31536000; includeSubDomains"),
            (csp, "default-src 'none'"),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{target} {name}");
        }
    }
    let answer = get(front.address, "/orders/").await;
    assert_eq!(answer.status, 200);
    for (name, value) in [
        // The front door alone knows how long its TLS stays.
        (hsts, Some("max-age=86400")),
        (csp, Some("img-src 'self'")),
        ("x-frame-options", Some("SAMEORIGIN")),
        ("x-content-type-options", None),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    let own = answer
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(csp));
    assert_eq!(own.count(), 1);
}
