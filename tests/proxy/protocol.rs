//! What HTTP asks of a proxy, and what strangers try with it.

use tokio::io::AsyncWriteExt;

use crate::front::{Front, Setup, wait};
use crate::requests::echo;
use support::client::{Http2, connect, get, h2_request, raw, read_answer};
use support::pki::{self, CORP, ServerTls};
use support::upstream::{Behaviour, Upstream};

async fn behaving(behaviour: Behaviour) -> Upstream {
    let issued = pki::leaf(&CORP, "orders.corp.test");
    Upstream::start(ServerTls::new(issued), behaviour).await
}

/// A route for all methods.
fn all_methods(upstream: &Upstream) -> Setup {
    Setup {
        route: "paths = [\"/orders/\"]".to_owned(),
        ..Setup::to(upstream)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_keep_the_connection_in_step() {
    for (method, answer, status) in [
        ("HEAD", "200 OK\r\nContent-Length: 10\r\n\r\n", 200),
        ("HEAD", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200),
        ("GET", "204 No Content\r\nX-Upstream: yes\r\n\r\n", 204),
        (
            "GET",
            "304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 10\r\n\r\n",
            304,
        ),
        ("GET", "200 OK\r\nContent-Length: 0\r\n\r\n", 200),
        (
            "GET",
            "103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            200,
        ),
        (
            "POST",
            "100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
            201,
        ),
    ] {
        let upstream = behaving(Behaviour::Raw(format!("HTTP/1.1 {answer}").into())).await;
        let front = Front::start(&all_methods(&upstream)).await;
        let mut stream = connect(front.address, Some("api.test"), b"").await.unwrap();
        let mut buffer = Vec::new();
        let request =
            format!("{method} /orders/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n");
        for _ in 0..2 {
            stream.write_all(request.as_bytes()).await.unwrap();
            let got = read_answer(&mut stream, &mut buffer, method == "HEAD")
                .await
                .unwrap();
            assert_eq!((got.status, got.text().as_str()), (status, ""), "{answer}");
        }
        assert!(buffer.is_empty(), "{answer}: {}", buffer.escape_ascii());
        let mut h2 = Http2::connect(front.address, "api.test").await;
        for _ in 0..2 {
            let request = h2_request(method, "https://api.test/orders/");
            let got = h2.request(request.body(()).unwrap(), None).await;
            assert_eq!((got.status, got.text().as_str()), (status, ""), "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_and_trace_are_never_passed_on() {
    let upstream = echo().await;
    let front = Front::start(&all_methods(&upstream)).await;
    let mut h2 = Http2::connect(front.address, "api.test").await;
    let request = "TRACE /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n";
    let over_h1 = raw(front.address, request.as_bytes()).await.unwrap();
    let request = h2_request("TRACE", "https://api.test/orders/");
    let over_h2 = h2.request(request.body(()).unwrap(), None).await;
    for answer in [over_h1, over_h2] {
        assert_eq!(answer.status, 405);
        let allow = answer.header("allow").unwrap();
        assert!(allow.contains("GET") && allow.contains("DELETE"), "{allow}");
        assert!(
            !allow.contains("TRACE") && !allow.contains("CONNECT"),
            "{allow}"
        );
    }
    let request = http::Request::builder()
        .method("CONNECT")
        .uri("api.test:443")
        .body(())
        .unwrap();
    let mut ready = h2.send.clone().ready().await.unwrap();
    let (response, _stream) = ready.send_request(request, false).unwrap();
    if let Ok(answer) = response.await {
        assert!(answer.status().is_client_error(), "{answer:?}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_stream_is_upgraded() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    for upgrade in ["websocket", "h2c", "TLS/1.0"] {
        let request = format!(
            "GET /orders/ HTTP/1.1\r\nHost: api.test\r\nConnection: Upgrade, HTTP2-Settings\r\n\
             Upgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        );
        let answer = raw(front.address, request.as_bytes()).await.unwrap();
        assert_eq!(answer.status, 200, "{upgrade}");
        let got = answer.text().to_ascii_lowercase();
        assert!(
            !got.contains("upgrade") && !got.contains("http2-settings"),
            "{got}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_reaches_the_access_log() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let target = "/orders/?page=2&api_key=s3cr3t-1&password=s3cr3t-2";
    let answer = get(front.address, target).await;
    assert_eq!(answer.json()["line"], format!("GET {target} HTTP/1.1"));
    let line = front.line(|line| line["status"] == 200).await;
    let path = line["path"].as_str().unwrap();
    assert!(path.starts_with("/orders/?page=2&api_key=***"), "{path}");
    assert!(!line.to_string().contains("s3cr3t"), "{line}");
    // Also where the rules stop it.
    let answer = get(front.address, "/orders/?a=attack&access_token=s3cr3t-3").await;
    assert_eq!(answer.status, 403);
    let line = front.line_of(answer.header("x-request-id").unwrap()).await;
    assert!(!line.to_string().contains("s3cr3t"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_the_same_in_every_spelling() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    for (host, status) in [
        ("api.test", 200),
        ("API.Test", 200),
        ("api.test:443", 200),
        ("api.test:8443", 200),
        ("api.test.", 200),
        ("other.test", 421),
        ("api.test.other.test", 421),
        ("api.test@other.test", 400),
        ("api.test, other.test", 400),
        ("api.test:x", 400),
        ("127.0.0.1", 421),
        ("[::1]", 421),
    ] {
        let request = format!("GET /orders/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = raw(front.address, request.as_bytes()).await.unwrap();
        assert_eq!(answer.status, status, "{host}");
    }
    let request = "GET https://api.test/orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n";
    let answer = raw(front.address, request.as_bytes()).await.unwrap();
    assert_eq!(answer.json()["line"], "GET /orders/ HTTP/1.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_be_slow_over_http2_no_more_than_over_http1() {
    let upstream = echo().await;
    let setup = Setup {
        listener: "limits = { body_timeout = \"400ms\" }".to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    let h2 = Http2::connect(front.address, "api.test").await;
    let mut ready = h2.send.clone().ready().await.unwrap();
    let request = h2_request("POST", "https://api.test/orders/");
    let (response, mut stream) = ready
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    let trickling = tokio::spawn(async move {
        while stream.send_data("x".into(), false).is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    assert_eq!(response.await.unwrap().status(), 408);
    trickling.abort();
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_out_a_field_that_another_must_see() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let request = "POST /orders/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n\
        Connection: Host, Content-Length, X-Forwarded-For, X-Request-Id, Forwarded\r\n\
        X_Request_Id: theirs\r\nX_Forwarded_For: 203.0.113.1\r\n\r\nabc";
    let answer = raw(front.address, request.as_bytes()).await.unwrap();
    let echo = answer.json();
    assert_eq!(echo["length"], 3);
    let fields = echo["headers"].to_string().to_ascii_lowercase();
    for there in [
        "host: api.test",
        "x-forwarded-for: 127.0.0.1",
        "x-request-id: 0",
        "forwarded: for=",
    ] {
        assert!(fields.contains(there), "{there}: {fields}");
    }
    assert!(
        !fields.contains("theirs") && !fields.contains("203.0.113.1"),
        "{fields}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_fields_are_431() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let fields = "a: b\r\n".repeat(5000);
    let request = format!("GET /orders/ HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n");
    let answer = raw(front.address, request.as_bytes()).await.unwrap();
    assert_eq!(answer.status, 431);
    let mut h2 = Http2::connect(front.address, "api.test").await;
    let mut request = h2_request("GET", "https://api.test/orders/");
    for _ in 0..1000 {
        request = request.header("a", "b");
    }
    let answer = h2.request(request.body(()).unwrap(), None).await;
    assert_eq!(answer.status, 431);
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn held_memory_is_given_back_however_a_request_ends() {
    let upstream = echo().await;
    let mut setup = Setup::to(&upstream);
    setup.listener = "limits = { body_timeout = \"500ms\" }".to_owned();
    setup.policy = "request_body_limit = 1000000".to_owned();
    setup.more = format!(
        "[limits]\nbody_memory = \"1MiB\"\n\
         [upstreams.gone]\nservers = [\"{}\"]\nconnect_timeout = \"1s\"\n\
         tls = {{ server_name = \"another.corp.test\", trust = \"onprem\" }}\n\
         [[routes]]\nname = \"gone\"\nhosts = [\"api.test\"]\npaths = [\"/gone/\"]\n\
         listeners = [\"public\"]\nupstream = \"gone\"\npolicy = \"default\"",
        upstream.address
    );
    let front = Front::start(&setup).await;
    let body = "x".repeat(900_000);
    let post = |path: &str, fields: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n\r\n{body}")
    };
    let whole = "Content-Length: 900000";
    let longer = "Content-Length: 900001";
    let chunked = "Transfer-Encoding: chunked";
    let in_chunk = |rest: &str| {
        let head = format!("POST /orders/ HTTP/1.1\r\nHost: api.test\r\n{chunked}\r\n\r\n");
        format!("{head}{:x}\r\n{body}\r\n{rest}", body.len())
    };
    let too_much = in_chunk(&format!(
        "{:x}\r\n{}\r\n0\r\n\r\n",
        200_000,
        "y".repeat(200_000)
    ));
    for (request, status) in [
        (post("/orders/", whole), Some(200)),
        (post("/orders/?a=attack", whole), Some(403)),
        (post("/orders/x%2fy", whole), Some(400)),
        (post("/gone/", whole), Some(502)),
        (post("/orders/", longer), Some(408)),
        (too_much, Some(413)),
        (in_chunk("zz\r\n"), Some(400)),
        // Goes away in the middle.
        (post("/orders/", longer), None),
        (post("/orders/", whole), Some(200)),
    ] {
        let mut stream = connect(front.address, Some("api.test"), b"").await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        if let Some(status) = status {
            let answer = read_answer(&mut stream, &mut Vec::new(), false).await;
            assert_eq!(answer.unwrap().status, status, "{}", &request[..60]);
        }
        drop(stream);
        let over = wait(|| (front.metrics.requests_in_flight.value() == 0).then_some(())).await;
        assert!(over.is_some(), "{}", &request[..60]);
    }
    assert_eq!(front.metrics.body_memory_refusals.value(), 0);
}

/// On a kept connection, which takes the request and closes: it may have been acted on.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_is_repeated_only_where_it_is_safe() {
    for (method, body, last, repeated) in [
        ("GET", "", "", true),
        ("HEAD", "", "", true),
        ("OPTIONS", "", "", true),
        ("POST", "", "", false),
        ("POST", "a=b", "", false),
        ("PUT", "", "", false),
        ("DELETE", "", "", false),
        ("PATCH", "", "", false),
        ("SEARCH", "", "", false),
        ("GET", "a=b", "", false),
        ("OPTIONS", "a=b", "", false),
        ("GET", "", "H", false),
        ("GET", "", "HTTP/1.1 200 OK\r\nContent-Le", false),
        ("GET", "", "HTTP/1.1 100 Continue\r\n\r\n", false),
    ] {
        let what = format!("{method} {body:?} {last:?}");
        let upstream = behaving(Behaviour::Once(last.as_bytes())).await;
        let front = Front::start(&all_methods(&upstream)).await;
        // One connection, so that both requests are served by the thread that keeps the gateway's.
        let mut stream = connect(front.address, Some("api.test"), b"").await.unwrap();
        let mut ask = async |method: &str, body: &str| {
            let request = format!(
                "{method} /orders/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let answer = read_answer(&mut stream, &mut Vec::new(), method == "HEAD").await;
            answer.unwrap().status
        };
        assert_eq!(ask("POST", "a=b").await, 200, "{what}");
        assert_eq!(
            (upstream.requests(), upstream.connections()),
            (1, 1),
            "{what}"
        );
        let expected = if repeated { 200 } else { 502 };
        assert_eq!(ask(method, body).await, expected, "{what}");
        let times = usize::from(repeated);
        assert_eq!(upstream.requests(), 2 + times, "{what}");
        assert_eq!(upstream.connections(), 1 + times, "{what}");
    }
}

/// A new connection that took the request and closed is no stale one.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_new_connection_nothing_is_repeated() {
    for last in ["", "HTTP/1.1 200"] {
        for method in ["GET", "HEAD", "POST"] {
            let one = behaving(Behaviour::Raw(last.into())).await;
            let two = behaving(Behaviour::Raw(last.into())).await;
            let setup = Setup {
                route: "paths = [\"/orders/\"]".to_owned(),
                ..Setup::servers(&[one.address, two.address])
            };
            let front = Front::start(&setup).await;
            let request = format!(
                "{method} /orders/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n"
            );
            let mut stream = connect(front.address, Some("api.test"), b"").await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let answer = read_answer(&mut stream, &mut Vec::new(), method == "HEAD").await;
            assert_eq!(answer.unwrap().status, 502, "{method}");
            assert_eq!(one.requests() + two.requests(), 1, "{method} {last:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_closed_is_not_used() {
    // It does not say that it closes, but does.
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let upstream = behaving(Behaviour::Raw(answer.to_vec())).await;
    let front = Front::start(&Setup::to(&upstream)).await;
    for _ in 0..10 {
        let request = "POST /orders/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n\r\nabc";
        let answer = raw(front.address, request.as_bytes()).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
    assert_eq!(upstream.connections(), 10);
}
