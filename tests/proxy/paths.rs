//! No spelling steps from an exposed path to another; what passes arrives as it was sent.

use tokio::io::AsyncWriteExt;

use crate::front::{Front, Setup};
use crate::requests::echo;
use support::client::{Http2, connect, get, h2_request, read_answer};

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

/// What `http::Uri` cannot hold has no way through pingora: no form of target with a slash at its start is
/// kept in raw bytes where it is UTF-8.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_uri_are_encoded_and_nothing_else() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let mut stream = connect(front.address, Some("api.test"), b"").await.unwrap();
    let mut buffer = Vec::new();
    for byte in 0x21..=0xff_u8 {
        // The first four part a target or are refused in a path; a lone `%` is fine, but not before hex.
        if b"#?/\\\x7f".contains(&byte) {
            continue;
        }
        let target = |in_path: &[u8], in_query: &[u8]| {
            [
                b"/orders/a",
                in_path,
                b"z?",
                in_query,
                b"z=\xc3\xa9",
                in_query,
            ]
            .concat()
        };
        let request = [
            b"GET ",
            &*target(&[byte], &[byte]),
            b" HTTP/1.1\r\nHost: api.test\r\n\r\n",
        ];
        stream.write_all(&request.concat()).await.unwrap();
        let answer = read_answer(&mut stream, &mut buffer, false).await.unwrap();
        let encoded = |odd: &[u8]| match odd.contains(&byte) {
            true => format!("%{byte:02X}").into_bytes(),
            false => vec![byte],
        };
        let arrives = target(&encoded(b"<>`"), &encoded(b"<>\""));
        let expected = [b"GET ", &*arrives, b" HTTP/1.1"].concat();
        let expected = expected.escape_ascii().to_string();
        assert_eq!(answer.json()["line"], expected, "{byte:#x}");
    }
}
