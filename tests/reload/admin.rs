//! The admin API over TCP, and what it tells of traffic.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::front::{Front, RULES, Setup};
use crate::world::until;
use drawbridge::telemetry::families;
use support::client;
use support::pki::{self, CORP, ServerTls, leaf};
use support::ports;
use support::upstream::{Behaviour, Steering, Upstream};

const TOKEN: &str = "Tok-3n.of-this_test";

struct Api(SocketAddr);

impl Api {
    async fn ask(&self, head: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.0).await.unwrap();
        let request =
            head.replace('\n', "\r\n") + "\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }

    async fn metrics(&self) -> String {
        self.ask("GET /metrics HTTP/1.1").await.1
    }
}

async fn start(servers: &Upstream, more: &str) -> (Front, Api) {
    let admin = ports::free();
    let setup = Setup {
        top: format!("admin = \"{admin}\"\nadmin_token_file = \"token\""),
        upstream: more.to_owned(),
        ..Setup::to(servers)
    };
    let folder = setup.write(RULES);
    std::fs::write(folder.join("token"), TOKEN).unwrap();
    std::fs::write(folder.join("route.key"), ROUTE_KEY).unwrap();
    (Front::start_in(folder).await, Api(admin))
}

const ROUTE_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_a_change_needs_the_token() {
    let tls = ServerTls::new(leaf(&CORP, "orders.corp.test"));
    let upstream = Upstream::start(tls, Behaviour::Echo).await;
    let affinity = "affinity = { cookie = \"route\", key_file = \"route.key\" }";
    let (front, api) = start(&upstream, affinity).await;
    let with = |token: &str| format!("POST /reload HTTP/1.1\nAuthorization: {token}");
    for (head, status) in [
        ("POST /reload HTTP/1.1".to_owned(), 401),
        (with("Bearer "), 401),
        (with("Bearer Tok-3n.of-this_tesT"), 401),
        (with("Bearer Tok-3n.of-this_tes"), 401),
        (with("Bearer Tok-3n.of-this_test2"), 401),
        (with("Basic Tok-3n.of-this_test"), 401),
        ("POST /exposures/public/off HTTP/1.1".to_owned(), 401),
        // Nobody without a token sees what clients sent.
        ("GET /events/list HTTP/1.1".to_owned(), 401),
        ("GET /events/show/x HTTP/1.1".to_owned(), 401),
        (
            format!("GET /events/top?by=rule HTTP/1.1\nAuthorization: Bearer {TOKEN}"),
            404,
        ),
        // Nobody without a token learns what exists.
        ("POST /nothing HTTP/1.1".to_owned(), 401),
        (with(&format!("Bearer {TOKEN}\nAuthorization: x")), 401),
        (with(&format!("Bearer {TOKEN}")), 200),
        // A scheme is the same in any case.
        (
            format!("GET /events/top?by=rule HTTP/1.1\nAuthorization: bearer {TOKEN}"),
            404,
        ),
        (
            format!("GET /reload HTTP/1.1\nAuthorization: Bearer {TOKEN}"),
            405,
        ),
        (
            format!("DELETE /reload HTTP/1.1\nAuthorization: Bearer {TOKEN}"),
            405,
        ),
        (
            format!(
                "POST /reload HTTP/1.1\nAuthorization: Bearer {TOKEN}\nOrigin: http://localhost"
            ),
            403,
        ),
        ("GET /status HTTP/1.1".to_owned(), 200),
        ("GET /livez HTTP/1.1".to_owned(), 200),
    ] {
        let (got, answer) = api.ask(&head).await;
        assert_eq!(got, status, "{head}: {answer}");
    }
    let status = api.ask("GET /status HTTP/1.1").await.1;
    assert!(
        status.contains("\"attempts\":1"),
        "one of them reloaded: {status}"
    );

    // What is secret: the token, the keys' files, line by line.
    let mut secrets = vec![TOKEN.to_owned(), ROUTE_KEY.to_owned()];
    for key in ["front.key", "client.key"] {
        let pem = std::fs::read_to_string(front.folder.join(key)).unwrap();
        secrets.extend(pem.lines().map(str::to_owned));
    }
    for path in [
        "/status",
        "/metrics",
        "/readyz?verbose",
        "/exposures",
        "/nothing",
    ] {
        let answer = api.ask(&format!("GET {path} HTTP/1.1")).await.1;
        let told = secrets
            .iter()
            .find(|secret| answer.contains(secret.as_str()));
        assert_eq!(told, None, "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_and_upstreams_are_counted() {
    let steering = Steering::new();
    let tls = ServerTls::new(leaf(&CORP, "orders.corp.test"));
    let upstream = Upstream::start(tls, Behaviour::Steered(Arc::clone(&steering))).await;
    let more = "max_connections = 1\nmax_pending = 1\npending_timeout = \"20s\"\n\
        health = { path = \"/healthz\", interval = \"100ms\", timeout = \"90ms\", healthy = 1, unhealthy = 1 }";
    let (front, api) = start(&upstream, more).await;
    let server = upstream.address;
    let has = async |lines: &[&str]| {
        let metrics = api.metrics().await;
        lines.iter().all(|line| metrics.lines().any(|l| l == *line))
    };
    assert_eq!(client::get(front.address, "/orders/1").await.status, 200);
    assert_eq!(
        client::get(front.address, "/orders/1?a=attack")
            .await
            .status,
        403
    );
    assert_eq!(
        client::get(front.address, "/orders/1?a=attack")
            .await
            .status,
        403
    );
    assert_eq!(client::get(front.address, "/else").await.status, 404);
    until("they are counted", async || {
        has(&[
            "drawbridge_listener_requests_total{listener=\"public\",route=\"orders\",code_class=\"2xx\"} 1",
            "drawbridge_listener_requests_total{listener=\"public\",route=\"orders\",code_class=\"4xx\"} 2",
            "drawbridge_listener_requests_total{listener=\"public\",route=\"-\",code_class=\"4xx\"} 1",
            "drawbridge_waf_requests_total{policy=\"default\",action=\"pass\"} 1",
            "drawbridge_waf_requests_total{policy=\"default\",action=\"block\"} 2",
            "drawbridge_waf_rule_matches_total{policy=\"default\",rule_id=\"1\"} 2",
            "drawbridge_waf_rule_blocks_total{policy=\"default\",rule_id=\"1\"} 2",
            "drawbridge_waf_route_rule_blocks_total{policy=\"default\",route=\"orders\",rule_id=\"1\"} 2",
            "drawbridge_listener_request_duration_seconds_count{listener=\"public\",route=\"orders\"} 3",
            "drawbridge_listener_request_duration_seconds_count{listener=\"public\",route=\"-\"} 1",
            "drawbridge_listener_waf_duration_seconds_count{listener=\"public\",route=\"orders\"} 3",
            "drawbridge_listener_upstream_duration_seconds_count{listener=\"public\",route=\"orders\"} 1",
            "drawbridge_listener_request_body_bytes_bucket{listener=\"public\",route=\"orders\",le=\"0.0\"} 3",
            "drawbridge_listener_response_body_bytes_count{listener=\"public\",route=\"orders\"} 3",
            "drawbridge_upstream_request_duration_seconds_count{upstream=\"orders\"} 1",
            "drawbridge_metrics_uncounted_total{family=\"drawbridge_listener_requests_total\"} 0",
            "drawbridge_upstream_requests_total{upstream=\"orders\",code_class=\"2xx\"} 1",
            "drawbridge_upstream_failures_total{upstream=\"orders\",reason=\"untrusted\"} 0",
            &format!("drawbridge_upstream_server_up{{upstream=\"orders\",server=\"{server}\"}} 1"),
            &format!("drawbridge_upstream_server_ejected{{upstream=\"orders\",server=\"{server}\"}} 0"),
            "drawbridge_upstream_ejections_total{upstream=\"orders\"} 0",
        ])
        .await
    })
    .await;

    let hold = steering.hold.write().await;
    let address = front.address;
    let ask = || tokio::spawn(async move { client::get(address, "/orders/2").await.status });
    let first = ask();
    until("one is under way", async || {
        has(&[
            "drawbridge_upstream_requests_in_flight{upstream=\"orders\"} 1",
            &format!("drawbridge_upstream_server_requests_in_flight{{upstream=\"orders\",server=\"{server}\"}} 1"),
        ])
        .await
    })
    .await;
    let second = ask();
    until("one waits", async || {
        has(&["drawbridge_upstream_requests_pending{upstream=\"orders\"} 1"]).await
    })
    .await;
    assert_eq!(ask().await.unwrap(), 503);
    until("one was turned away", async || {
        has(&["drawbridge_upstream_refused_total{upstream=\"orders\",reason=\"upstream_full\"} 1"])
            .await
    })
    .await;
    drop(hold);
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (200, 200));

    steering.health.store(500, Ordering::SeqCst);
    until("it is down", async || {
        has(&[&format!(
            "drawbridge_upstream_server_up{{upstream=\"orders\",server=\"{server}\"}} 0"
        )])
        .await
    })
    .await;
    let status = api.ask("GET /status HTTP/1.1").await.1;
    let body = status.split_once("\r\n\r\n").unwrap().1;
    let status: serde_json::Value = serde_json::from_str(body).unwrap();
    let orders = &status["upstreams"][0];
    assert_eq!(orders["addresses"][0]["state"], "down", "{orders:#}");
    assert_eq!(
        orders["addresses"][0]["last_health_failure"]["code"], "status",
        "{orders:#}"
    );
    assert!(
        orders["health_check_failures"].as_u64() >= Some(1),
        "{orders:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_counted_by_their_code() {
    let tls = ServerTls::new(leaf(&pki::OLD, "orders.corp.test"));
    let upstream = Upstream::start(tls, Behaviour::Echo).await;
    let (front, api) = start(&upstream, "eject = { failures = 1, for = \"30s\" }").await;
    assert_eq!(client::get(front.address, "/orders/1").await.status, 502);
    until("its reason is counted", async || {
        let metrics = api.metrics().await;
        let line = "drawbridge_upstream_failures_total{upstream=\"orders\",reason=\"untrusted\"} 1";
        metrics.lines().any(|l| l == line)
    })
    .await;
    let status = api.ask("GET /status HTTP/1.1").await.1;
    assert!(
        status.contains("\"failures\":{\"untrusted\":1}"),
        "{status}"
    );
}

/// A page whose own name resolves to 127.0.0.1 reads nothing.
#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_it_answers_to_its_own_host_alone() {
    let tls = ServerTls::new(leaf(&CORP, "orders.corp.test"));
    let upstream = Upstream::start(tls, Behaviour::Echo).await;
    let affinity = "affinity = { cookie = \"route\", key_file = \"route.key\" }";
    let (_front, api) = start(&upstream, affinity).await;
    let port = api.0.port();
    for (host, expected) in [
        ("localhost", 200),
        ("LocalHost:1234", 200),
        ("127.0.0.1", 200),
        (&format!("127.0.0.1:{port}"), 200),
        ("[::ffff:127.0.0.1]", 200),
        ("evil.example", 421),
        (&format!("evil.example:{port}"), 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("localhost.", 421),
        ("127.0.0.2", 421),
        ("[::1]", 421),
        ("192.0.2.1", 421),
        ("0.0.0.0", 421),
        ("2130706433", 421),
        ("0x7f.1", 421),
        ("user@localhost", 421),
    ] {
        for path in ["/status", "/metrics", "/exposures", "/livez"] {
            let mut stream = TcpStream::connect(api.0).await.unwrap();
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let status = answer.split(' ').nth(1).and_then(|s| s.parse::<u16>().ok());
            // What is no Host at all is refused as HTTP forbids it.
            let expected = if host.contains('@') { 400 } else { expected };
            assert_eq!(status, Some(expected), "{host} {path}: {answer}");
        }
    }
    for head in [
        "GET /status HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET /status HTTP/1.0\r\nConnection: close\r\n\r\n",
        "GET /status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        "GET http://evil.example/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(api.0).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).and_then(|s| s.parse::<u16>().ok());
        assert_eq!(status, Some(400), "{head}: {answer}");
    }
}

/// Whoever connects and says nothing, or little, keeps nobody else from asking.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_hold_nobody_up() {
    let tls = ServerTls::new(leaf(&CORP, "orders.corp.test"));
    let upstream = Upstream::start(tls, Behaviour::Echo).await;
    let affinity = "affinity = { cookie = \"route\", key_file = \"route.key\" }";
    let (_front, api) = start(&upstream, affinity).await;
    let mut silent = Vec::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect(api.0).await.unwrap();
        if number % 2 == 1 {
            stream.write_all(b"GET /livez HTT").await.unwrap();
        }
        silent.push(stream);
        if number % 20 == 0 {
            assert_eq!(api.ask("GET /livez HTTP/1.1").await.0, 200);
        }
    }
    // The first ones were sent away long before their deadline, or this one could not be here.
    let mut first = silent.swap_remove(0);
    let mut none = Vec::new();
    let _ = first.read_to_end(&mut none).await;
    assert_eq!(none, b"");
    let with = format!("POST /reload HTTP/1.1\nAuthorization: Bearer {TOKEN}");
    assert_eq!(api.ask(&with).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_and_exemplars_are_shown() {
    let tls = ServerTls::new(leaf(&CORP, "orders.corp.test"));
    let upstream = Upstream::start(tls, Behaviour::Echo).await;
    let (front, api) = start(&upstream, "").await;
    assert_eq!(client::get(front.address, "/orders/1").await.status, 200);
    let line = front.line(|line| line["status"] == 200).await;
    let id = line["request_id"].as_str().unwrap();
    let (version, group) = (&line["tls"]["version"], &line["tls"]["group"]);
    let handshake = format!(
        "drawbridge_tls_handshakes_total{{listener=\"public\",version={version},group={group}}} 1\n"
    );
    let wanted = "GET /metrics HTTP/1.1\nAccept: application/openmetrics-text; version=1.0.0";
    let answer = api.ask(wanted).await.1;
    assert!(answer.contains(&handshake), "{handshake}: {answer}");
    let head = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(answer.contains(head), "{answer}");
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    let exemplar = format!("# {{request_id=\"{id}\"}} ");
    for name in [
        "listener_request",
        "listener_waf",
        "listener_upstream",
        "upstream_request",
    ] {
        let begin = format!("drawbridge_{name}_duration_seconds_bucket{{");
        let mut buckets = answer.lines().filter(|line| line.starts_with(&begin));
        assert!(
            buckets.any(|line| line.contains(&exemplar)),
            "{name}: {answer}"
        );
    }
    assert!(!api.metrics().await.contains(id));
}

/// What `/metrics` writes is the registry, and so docs/metrics.md.
#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_in_the_registry() {
    let tls = ServerTls::new(leaf(&CORP, "orders.corp.test"));
    let upstream = Upstream::start(tls, Behaviour::Echo).await;
    let affinity = "affinity = { cookie = \"route\", key_file = \"route.key\" }";
    let (_front, api) = start(&upstream, affinity).await;
    let text = api.metrics().await;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut written: Vec<String> = types.map(str::to_owned).collect();
    written.sort_unstable();
    let registry = families::all().map(|family| format!("{} {}", family.name, family.kind.name()));
    let mut registered: Vec<String> = registry.collect();
    registered.sort_unstable();
    assert_eq!(written, registered);
    for value in [
        "process_open_fds ",
        "process_resident_memory_bytes ",
        "process_max_fds ",
    ] {
        let found = text.lines().find_map(|line| line.strip_prefix(value));
        assert!(found.unwrap().parse::<u64>().unwrap() > 0, "{value}");
    }
    assert!(text.contains("drawbridge_build_info{version=\""), "{text}");
    until("the watcher is counted once it runs", async || {
        let text = api.metrics().await;
        text.contains("drawbridge_task_restarts_total{task=\"watcher of files\"} 0")
    })
    .await;
}
