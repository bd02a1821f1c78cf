//! No spelling steps from an exposed path to another; what passes arrives as it was sent.

use crate::client::{Http2, get, h2_request};
use crate::front::{Front, Setup};
use crate::requests::echo;

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_steps_out() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let mut h2 = Http2::connect(front.address, "api.test").await;
    for path in [
        "/orders/../internal/",
        "/orders/./../internal/",
        "/orders/..",
        "/orders/.",
        "/orders/%2e%2e/internal/",
        "/orders/%2E%2E/internal/",
        "/orders/.%2e/internal/",
        "/orders/%2e./internal/",
        "/orders/..;/internal/",
        "/orders/..;a=b/internal/",
        "/orders/.;/x",
        "/orders/%2e%2e;/internal/",
        "/orders/..%3b/internal/",
        "/orders/..%2finternal/",
        "/orders%2f..%2finternal/",
        "/orders/%2f/x",
        "/orders/..%5cinternal/",
        "/orders/%5c..%5cinternal/",
        "/orders/a%00b",
        "/orders/%252e%252e/internal/",
        "/orders/%c0%ae%c0%ae/internal/",
        "/orders/%e0%80%ae%e0%80%ae/internal/",
        "/orders/..%c0%afinternal/",
        "/orders/%ef%bc%8e%ef%bc%8e/internal/",
        "/orders/..%20/internal/",
        "/orders/%09../internal/",
        "/./orders/../internal/",
        "/%2e%2e/orders/",
    ] {
        let answer = get(front.address, path).await;
        assert_eq!(answer.status, 400, "{path}");
        let request = h2_request("GET", &format!("https://api.test{path}"));
        let answer = h2.request(request.body(()).unwrap(), None).await;
        assert_eq!(answer.status, 400, "h2 {path}");
    }
    for path in [
        "/orders/..\\internal/",
        "\\orders\\..\\internal\\",
        "orders/x",
    ] {
        let answer = get(front.address, path).await;
        assert_eq!(answer.status, 400, "{path}");
    }
    for path in [
        "//orders/x",
        "/Orders/x",
        "/orders;/x",
        "/%6frders%2fx/",
        "/internal/",
    ] {
        let answer = get(front.address, path).await;
        assert!(
            [400, 404].contains(&answer.status),
            "{path}: {}",
            answer.status
        );
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_see_a_refused_path() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let answer = get(front.address, "/orders/../internal/").await;
    let line = front.line_of(answer.header("x-request-id").unwrap()).await;
    assert_eq!(line["waf"]["rules"], serde_json::json!([5]));
    assert_eq!(line["route"], "orders");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_arrives_byte_for_byte() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    for target in [
        "/orders/",
        "/orders/a%20b?c=d%2fe&f=..",
        "/orders/%41%7e?x",
        "/order%73/x",
        "/orders/a//b",
        "/orders/a;v=1/b",
        "/orders/...",
        "/orders/.hidden",
        "/orders/%C3%A9",
        "/orders/\"{|}^?a={b}|^`",
        "/orders/'()*!$&,@:",
        "/orders/?%zz%",
    ] {
        let answer = get(front.address, target).await;
        assert_eq!(answer.status, 200, "{target}");
        let line = answer.json()["line"]
            .as_str()
            .unwrap()
            .replace("\\\"", "\"");
        assert_eq!(line.replace("\\'", "'"), format!("GET {target} HTTP/1.1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn encoded_slashes_pass_where_the_route_says_so() {
    let upstream = echo().await;
    let setup = Setup {
        route: "paths = [\"/orders/\"]\nencoded_slashes = \"pass\"".to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    let answer = get(front.address, "/orders/a%2fb").await;
    assert_eq!(answer.json()["line"], "GET /orders/a%2fb HTTP/1.1");
    for path in [
        "/orders/a%2f..%2fb",
        "/orders/a%5cb",
        "/orders/..%2finternal",
    ] {
        assert_eq!(get(front.address, path).await.status, 400, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_uri_are_encoded_and_nothing_else() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    for (target, arrives) in [
        ("/orders/<b>?c=<d>%20", "/orders/%3Cb%3E?c=%3Cd%3E%20"),
        ("/orders/`{`?`\"", "/orders/%60{%60?`%22"),
    ] {
        let answer = get(front.address, target).await;
        assert_eq!(answer.json()["line"], format!("GET {arrives} HTTP/1.1"));
    }
}
