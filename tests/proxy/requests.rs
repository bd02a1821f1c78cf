//! Which requests go on, which do not, and what everybody is told.

use serde_json::Value;

use crate::front::{Front, Setup, counts, logged};
use support::client::{Http2, connect, get, h2_request, raw, read_answer};
use support::pki::{self, CORP, ServerTls};
use support::ports;
use support::upstream::{Behaviour, Upstream};
use tokio::io::AsyncWriteExt;

pub async fn echo() -> Upstream {
    let issued = pki::leaf(&CORP, "orders.corp.test");
    Upstream::start(ServerTls::new(issued), Behaviour::Echo).await
}

fn has(echo: &Value, field: &str) -> bool {
    let headers = echo["headers"].as_array().unwrap();
    headers.iter().any(|h| h.as_str().unwrap() == field)
}

fn names(echo: &Value) -> String {
    echo["headers"].to_string().to_ascii_lowercase()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exposed_path_is_answered_and_logged() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let answer = raw(
        front.address,
        b"GET /orders/1?a=b HTTP/1.1\r\nHost: api.test\r\nX-CasE: kept\r\nX-Request-Id: theirs\r\n\
          X-Forwarded-For: 203.0.113.1\r\nX-Forwarded-Proto: gopher\r\nForwarded: for=evil\r\n\
          Connection: X-Hop\r\nX-Hop: 1\r\nTE: gzip\r\n\r\n",
    )
    .await
    .unwrap();
    assert_eq!(answer.status, 200);
    let echo = answer.json();
    assert_eq!(echo["line"], "GET /orders/1?a=b HTTP/1.1");
    for field in [
        "Host: api.test",
        "X-CasE: kept",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: api.test",
    ] {
        assert!(has(&echo, field), "{field}: {echo}");
    }
    for gone in ["theirs", "203.0.113.1", "gopher", "evil", "x-hop", "te: "] {
        assert!(!names(&echo).contains(gone), "{gone}: {echo}");
    }
    let line = front.line(|line| line["path"] == "/orders/1?a=b").await;
    assert_eq!(line["status"], 200);
    assert_eq!(line["route"], "orders");
    assert_eq!(line["listener"], "public");
    assert_eq!(line["host"], "api.test");
    assert_eq!(line["tls"]["version"], "TLSv1.3");
    assert_eq!(line["tls"]["sni"], "api.test");
    assert_eq!(line["upstream"]["server"], upstream.address.to_string());
    assert_eq!(line["waf"]["verdict"], "pass");
    let id = line["request_id"].as_str().unwrap();
    assert!(has(&echo, &format!("X-Request-Id: {id}")), "{echo}");
    assert_eq!(id.as_bytes()[14], b'7', "a UUIDv7: {id}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_exposed_never_reaches_the_upstream() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    for (request, status, error) in [
        (
            "GET /internal/ HTTP/1.1\r\nHost: api.test\r\n\r\n",
            404,
            "no_route",
        ),
        (
            "GET /order HTTP/1.1\r\nHost: api.test\r\n\r\n",
            404,
            "no_route",
        ),
        (
            "GET /ordersx/ HTTP/1.1\r\nHost: api.test\r\n\r\n",
            404,
            "no_route",
        ),
        (
            "DELETE /orders/1 HTTP/1.1\r\nHost: api.test\r\n\r\n",
            405,
            "method_not_allowed",
        ),
        (
            "CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n",
            400,
            "",
        ),
        (
            "GET /orders/1 HTTP/1.1\r\nHost: other.test\r\n\r\n",
            421,
            "misdirected",
        ),
        (
            "GET /orders/?a=an+attack HTTP/1.1\r\nHost: api.test\r\n\r\n",
            403,
            "waf",
        ),
        (
            "GET /orders/ HTTP/1.1\r\nHost: api.test\r\nX-Early: attack\r\n\r\n",
            403,
            "waf",
        ),
        (
            "POST /orders/ HTTP/1.1\r\nHost: api.test\r\nContent-Type: application/json\r\n\
             Content-Length: 14\r\n\r\n{\"a\":\"attack\"}",
            403,
            "waf",
        ),
    ] {
        let answer = raw(front.address, request.as_bytes()).await.unwrap();
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(
            answer.header("cache-control"),
            Some("no-store"),
            "{request}"
        );
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert!(answer.text().contains(&id), "{request}");
        let line = front.line_of(&id).await;
        assert_eq!(line["status"], status);
        if !error.is_empty() {
            assert_eq!(line["error"], error, "{request}");
        }
        if status == 405 {
            assert_eq!(answer.header("allow"), Some("GET, HEAD, POST"));
        }
    }
    assert_eq!(upstream.connections(), 0);
    counts(&front.metrics.waf_blocked, 3).await;
    assert_eq!(front.metrics.waf_blocked.value(), 3);
    logged("[id \"1\"]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_over_http2() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let mut h2 = Http2::connect(front.address, "api.test").await;
    let ask = |method, path: &str| h2_request(method, &format!("https://api.test{path}"));
    for (request, body, status) in [
        (ask("GET", "/orders/?a=attack"), None, 403),
        (ask("GET", "/internal/"), None, 404),
        (ask("DELETE", "/orders/1"), None, 405),
        (h2_request("GET", "https://other.test/orders/"), None, 421),
        (
            ask("POST", "/orders/").header("content-type", "application/json"),
            Some(&b"{\"a\":\"attack\"}"[..]),
            403,
        ),
    ] {
        let answer = h2.request(request.body(()).unwrap(), body).await;
        assert_eq!(answer.status, status);
        assert!(answer.header("x-request-id").is_some());
    }
    assert_eq!(upstream.connections(), 0);
    let request = ask("GET", "/orders/1?a=b")
        .header("cookie", "a=1")
        .header("cookie", "b=2");
    let answer = h2.request(request.body(()).unwrap(), None).await;
    assert_eq!(answer.status, 200);
    let echo = answer.json();
    assert_eq!(echo["line"], "GET /orders/1?a=b HTTP/1.1");
    assert!(has(&echo, "cookie: a=1; b=2"), "{echo}");
    assert!(has(&echo, "Host: api.test"), "{echo}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxys_word_is_extended() {
    let upstream = echo().await;
    let setup = Setup {
        listener: "trusted_proxies = [\"127.0.0.0/8\"]".to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    let request = "GET /orders/ HTTP/1.1\r\nHost: api.test\r\nX-Forwarded-For: 203.0.113.1, 127.0.0.9\r\n\r\n";
    let echo = raw(front.address, request.as_bytes()).await.unwrap().json();
    assert!(
        has(&echo, "X-Forwarded-For: 203.0.113.1, 127.0.0.9, 127.0.0.1"),
        "{echo}"
    );
    let line = front.line(|_| true).await;
    assert_eq!(line["client"], "203.0.113.1:0");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_html_for_people() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let request = "GET /x HTTP/1.1\r\nHost: api.test\r\nAccept: text/html\r\n\r\n";
    let answer = raw(front.address, request.as_bytes()).await.unwrap();
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(get(front.address, "/x").await.json()["status"], 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_may_drop_and_redirect() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let ask =
        |field: &str| format!("GET /orders/ HTTP/1.1\r\nHost: api.test\r\n{field}: yes\r\n\r\n");
    assert!(raw(front.address, ask("X-Drop").as_bytes()).await.is_none());
    let line = front.line(|line| line["status"] == 0).await;
    assert_eq!(line["reason"], "rule 3 in phase 1");
    let answer = raw(front.address, ask("X-Redirect").as_bytes())
        .await
        .unwrap();
    assert_eq!(answer.status, 302);
    assert_eq!(answer.header("location"), Some("https://else.test/"));
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn detection_lets_pass_and_says_so() {
    let upstream = echo().await;
    let setup = Setup {
        mode: "detect",
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    assert_eq!(get(front.address, "/orders/?a=attack").await.status, 200);
    let line = front.line(|_| true).await;
    assert_eq!(line["waf"]["verdict"], "match");
    assert_eq!(line["waf"]["rules"], serde_json::json!([1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_serves_many_requests_also_pipelined() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let mut stream = connect(front.address, Some("api.test"), b"").await.unwrap();
    let mut buffer = Vec::new();
    let requests = "GET /orders/1 HTTP/1.1\r\nHost: api.test\r\n\r\n\
        POST /orders/2 HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n\r\nabc\
        GET /nowhere HTTP/1.1\r\nHost: api.test\r\n\r\n\
        GET /orders/4 HTTP/1.1\r\nHost: api.test\r\n\r\n";
    stream.write_all(requests.as_bytes()).await.unwrap();
    for (status, target) in [
        (200, "/orders/1"),
        (200, "/orders/2"),
        (404, ""),
        (200, "/orders/4"),
    ] {
        let answer = read_answer(&mut stream, &mut buffer, false).await.unwrap();
        assert_eq!(answer.status, status, "{target}");
        assert!(answer.text().contains(target));
    }
    assert_eq!(
        upstream.connections(),
        1,
        "the upstream's connection is kept"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plain_listener_only_says_where_https_is() {
    use tokio::io::AsyncReadExt;
    let upstream = echo().await;
    let setup = Setup {
        port: ports::free().port(),
        more: "[listeners.plain]\nbind = [\"127.0.0.1:0\"]\nredirect_to_https = \"public\""
            .to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    let plain = front.bound.address("plain").unwrap();
    let port = front.address.port();
    for (request, first, location) in [
        (
            "GET /orders/1?a HTTP/1.1\r\nHost: api.test:80\r\n\r\n",
            "HTTP/1.1 308 Permanent Redirect",
            Some(format!("Location: https://api.test:{port}/orders/1?a\r\n")),
        ),
        (
            "GET / HTTP/1.1\r\nHost: stranger.test\r\n\r\n",
            "HTTP/1.1 404 Not Found",
            None,
        ),
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request", None),
    ] {
        let mut tcp = tokio::net::TcpStream::connect(plain).await.unwrap();
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(first), "{answer}");
        assert!(answer.contains("\r\nDate: "), "{answer}");
        match location {
            Some(location) => assert!(answer.contains(&location), "{answer}"),
            None => assert!(!answer.contains("Location"), "{answer}"),
        }
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_finish_after_the_door_closes() {
    let issued = pki::leaf(&CORP, "orders.corp.test");
    let upstream = Upstream::start(ServerTls::new(issued), Behaviour::Events(20)).await;
    let mut front = Front::start(&Setup::to(&upstream)).await;
    let mut stream = connect(front.address, Some("api.test"), b"").await.unwrap();
    let request = "GET /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let reached = crate::front::wait(|| (upstream.requests() == 1).then_some(())).await;
    assert!(reached.is_some());
    front.begin_stop();
    let answer = read_answer(&mut stream, &mut Vec::new(), false)
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("data: 19"), "{}", answer.text());
    front.stopped().await;
    assert!(connect(front.address, Some("api.test"), b"").await.is_err());
}
