//! Limits by key. Their rates are so low that no time which a test takes makes room for another request.

use drawbridge::admin::client::call;
use drawbridge::config::AdminAddress;
use serde_json::{Value, json};

use crate::front::{Front, RULES, Setup};
use crate::requests::echo;
use crate::tokens::Issuer;
use support::client::{Answer, Http2, connect, get, h2_request, raw};
use support::upstream::Upstream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PATHS: &str = "paths = [\"/orders/\"]\nmethods = [\"GET\", \"POST\"]\n";

fn at_route(upstream: &Upstream, limit: &str) -> Setup {
    Setup {
        top: "admin = \"admin.sock\"".to_owned(),
        route: format!("{PATHS}rate_limits = [\"it\"]"),
        more: format!("[limits.it]\n{limit}\n"),
        ..Setup::to(upstream)
    }
}

async fn ask(front: &Front, target: &str, fields: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n");
    raw(front.address, request.as_bytes()).await.unwrap()
}

/// What the admin API answers.
async fn admin(front: &Front, path: &'static str) -> String {
    let address = AdminAddress::Unix(front.folder.join("admin.sock"));
    let asked = move || call(&address, None, "GET", path, b"");
    let answer = tokio::task::spawn_blocking(asked).await.unwrap().unwrap();
    String::from_utf8(answer.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_after_a_burst_is_429_and_says_when_to_come_back() {
    let upstream = echo().await;
    let front = Front::start(&at_route(&upstream, "rate = \"2/h\"\nburst = 3")).await;
    for _ in 0..3 {
        let answer = get(front.address, "/orders/").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("ratelimit"), None, "nobody asked for it");
    }
    let asked = upstream.requests();
    let answer = ask(&front, "/orders/", "Accept: text/html\r\n").await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("retry-after"), Some("1800"));
    assert_eq!(answer.header("ratelimit-policy"), Some("\"it\";q=3;w=5400"));
    assert_eq!(answer.header("ratelimit"), Some("\"it\";r=0;t=5400"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.text().contains("<h1>429 Too Many Requests</h1>"));
    assert_eq!(upstream.requests(), asked);
    let line = front.line_of(answer.header("x-request-id").unwrap()).await;
    assert_eq!(
        (&line["error"], &line["reason"], &line["route"]),
        (&json!("rate_limited"), &json!("limit it"), &json!("orders"))
    );
    let json = get(front.address, "/orders/").await.json();
    assert_eq!(json["title"], "Too Many Requests");
    let metrics = admin(&front, "/metrics").await;
    for (outcome, count) in [("passed", 3), ("refused", 2), ("would_refuse", 0)] {
        let line = format!(
            "drawbridge_limit_requests_total{{limit=\"it\",outcome=\"{outcome}\"}} {count}\n"
        );
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    assert!(metrics.contains("drawbridge_limit_keys_evicted_total{limit=\"it\"} 0\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_http2_share_the_bucket_of_their_client() {
    let upstream = echo().await;
    let limit = "rate = \"2/h\"\nburst = 3\ntell = true";
    let front = Front::start(&at_route(&upstream, limit)).await;
    let mut h2 = Http2::connect(front.address, "api.test").await;
    let mut statuses = Vec::new();
    for left in [2, 1, 0] {
        let request = h2_request("GET", "https://api.test/orders/")
            .body(())
            .unwrap();
        let answer = h2.request(request, None).await;
        statuses.push(answer.status);
        let standing = answer.header("ratelimit").unwrap();
        assert!(
            standing.starts_with(&format!("\"it\";r={left};t=")),
            "{standing}"
        );
        assert_eq!(answer.header("ratelimit-policy"), Some("\"it\";q=3;w=5400"));
    }
    assert_eq!(statuses, [200, 200, 200]);
    let request = h2_request("POST", "https://api.test/orders/")
        .body(())
        .unwrap();
    let answer = h2.request(request, Some(b"a=attack")).await;
    assert_eq!(answer.status, 429, "before the rules");
    assert_eq!(answer.header("retry-after"), Some("1800"));
    assert_eq!(
        get(front.address, "/orders/").await.status,
        429,
        "also over HTTP/1.1"
    );
}

/// Requests that differ in what the key does not name share a bucket; whoever sends no value shares one with all who do so.
#[tokio::test(flavor = "multi_thread")]
async fn each_value_of_a_key_has_its_own_bucket() {
    /// A target, header fields, and the status of the answer.
    type Asked = (&'static str, &'static str, u16);
    let upstream = echo().await;
    let requests: [(&str, &[Asked]); 3] = [
        (
            "key = [\"header:X-Key\", \"route\"]",
            &[
                ("/orders/", "X-Key: a\r\n", 200),
                ("/orders/2", "x-key: a\r\n", 429),
                ("/orders/", "X-Key: b\r\n", 200),
                ("/orders/", "", 200),
                ("/orders/", "X-Key: c\r\nX-Key: d\r\n", 429),
                ("/orders/", "X-Key:\r\n", 429),
            ],
        ),
        (
            "key = [\"cookie:sid\"]",
            &[
                ("/orders/", "Cookie: a=b; sid=x\r\n", 200),
                ("/orders/", "Cookie: sid=x\r\n", 429),
                ("/orders/", "Cookie: sid=y\r\n", 200),
                ("/orders/", "Cookie: sid=y; sid=z\r\n", 200),
                ("/orders/", "", 429),
            ],
        ),
        (
            "key = [\"query:key\", \"host\"]",
            &[
                ("/orders/?key=ab", "", 200),
                ("/orders/?a=1&k%65y=%61b", "", 429),
                ("/orders/?key=c", "", 200),
                ("/orders/?key=c&key=d", "", 200),
                ("/orders/", "", 429),
            ],
        ),
    ];
    for (key, requests) in requests {
        let limit = format!("rate = \"1/h\"\n{key}");
        let front = Front::start(&at_route(&upstream, &limit)).await;
        for (target, fields, status) in requests {
            let answer = ask(&front, target, fields).await;
            assert_eq!(answer.status, *status, "{key}: {target} {fields}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_limits_what_no_route_takes_and_all_limits_are_asked() {
    let upstream = echo().await;
    let setup = Setup {
        listener: "rate_limits = [\"everybody\"]".to_owned(),
        policy: "rate_limits = [\"policy\", \"everybody\"]".to_owned(),
        route: format!("{PATHS}rate_limits = [\"policy\"]"),
        more: "[limits.everybody]\nrate = \"1/h\"\nburst = 5\n\
               [limits.policy]\nrate = \"1/h\"\nburst = 2\nkey = [\"route\"]\n"
            .to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    for (path, status, limit) in [
        ("/orders/", 200, ""),
        ("/orders/", 200, ""),
        // What one refuses counts in no other.
        ("/orders/", 429, "limit policy"),
        ("/orders/", 429, "limit policy"),
        ("/none", 404, ""),
        ("/none", 404, ""),
        ("/none", 404, ""),
        ("/none", 429, "limit everybody"),
        ("/orders/", 429, "limit everybody"),
    ] {
        let answer = get(front.address, path).await;
        assert_eq!(answer.status, status, "{path}");
        if status == 429 {
            let line = front.line_of(answer.header("x-request-id").unwrap()).await;
            assert_eq!(line["reason"], limit);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_is_off_does_not_show_that_it_has_a_limit() {
    let upstream = echo().await;
    let setup = at_route(&upstream, "rate = \"1/h\"");
    let setup = Setup {
        more: format!(
            "{}[exposures.shop]\nowner = \"us\"\nroutes = [\"orders\"]\nlisteners = [\"public\"]\noff = \"404\"\n",
            setup.more
        ),
        top: format!("{}\nstate_dir = \"state\"", setup.top),
        ..setup
    };
    let front = Front::start(&setup).await;
    let address = AdminAddress::Unix(front.folder.join("admin.sock"));
    let body = br#"{"reason":"a test"}"#;
    let switch = move || call(&address, None, "POST", "/exposures/shop/off", body);
    let switched = tokio::task::spawn_blocking(switch).await.unwrap().unwrap();
    assert_eq!(
        switched.status,
        200,
        "{:?}",
        String::from_utf8(switched.body)
    );
    for _ in 0..3 {
        assert_eq!(get(front.address, "/orders/").await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_have_their_own_buckets_once_they_are_known() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let setup = Setup {
        listener: "rate_limits = [\"it\"]".to_owned(),
        route: format!("{PATHS}identity = \"corp\"\nidentity_mode = \"optional\""),
        more: format!(
            "{}[limits.it]\nrate = \"1/h\"\nkey = [\"identity:sub\"]\n",
            Issuer::table("")
        ),
        ..Setup::to(&upstream)
    };
    let folder = setup.write(RULES);
    issuer.publish(&folder);
    let front = Front::start_in(folder).await;
    let bearer = |claims: Value| format!("Authorization: Bearer {}\r\n", issuer.token(claims));
    for (fields, status) in [
        (bearer(json!({})), 200),
        (bearer(json!({ "jti": "another" })), 429),
        (bearer(json!({ "sub": "berta" })), 200),
        // A bad token is refused for itself, and uses up nobody's room.
        (bearer(json!({ "sub": "carl", "exp": 1 })), 401),
        (bearer(json!({ "sub": "carl" })), 200),
        (String::new(), 200),
        (String::new(), 429),
    ] {
        let answer = ask(&front, "/orders/", &fields).await;
        assert_eq!(answer.status, status, "{fields}");
    }
}

/// The request that makes a bucket full passes; the next does not, whatever it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_requests_turn_out_to_be_refuses_the_next() {
    let upstream = echo().await;
    for (count, harmless, counted, status) in [
        ("blocked", "/orders/?a=b", "/orders/?a=attack", 403),
        ("status:405", "/orders/", "DELETE", 405),
        ("bytes", "", "/orders/", 200),
        ("cost", "", "/orders/", 200),
    ] {
        let limit = format!("rate = \"1/h\"\ncount = \"{count}\"");
        let front = Front::start(&at_route(&upstream, &limit)).await;
        let ask = async |target: &str| match target {
            "DELETE" => raw(
                front.address,
                b"DELETE /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n",
            )
            .await
            .unwrap(),
            target => get(front.address, target).await,
        };
        for _ in 0..3 {
            if !harmless.is_empty() {
                assert_eq!(ask(harmless).await.status, 200, "{count}");
            }
        }
        let answer = ask(counted).await;
        assert_eq!(answer.status, status, "{count}");
        // It is counted when it has ended, which its line shows.
        front.line(|line| line["status"] == status).await;
        assert_eq!(ask("/orders/").await.status, 429, "{count}");
        assert_eq!(ask("/orders/").await.status, 429, "{count}: still");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_are_403_a_closed_connection_a_late_429_and_nothing() {
    let upstream = echo().await;
    for (action, status) in [
        ("action = \"block\"", Some(403)),
        ("action = \"close\"", None),
        ("action = \"tarpit\"\ndelay = \"1ms\"", Some(429)),
        ("action = \"log\"", Some(200)),
    ] {
        let limit = format!("rate = \"1/h\"\n{action}");
        let front = Front::start(&at_route(&upstream, &limit)).await;
        assert_eq!(get(front.address, "/orders/").await.status, 200);
        let mut stream = connect(front.address, Some("api.test"), b"").await.unwrap();
        let request = b"GET /orders/ HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let got = answer
            .split(' ')
            .nth(1)
            .map(|status| status.parse().unwrap());
        assert_eq!(got, status, "{action}");
        assert_eq!(
            answer.contains("Retry-After"),
            status == Some(429),
            "{action}"
        );
        let is_refused = status != Some(200);
        let line = front
            .line(|line| (line["error"] == "rate_limited") == is_refused)
            .await;
        assert_eq!(line["reason"] == "limit it", is_refused, "{action}: {line}");
        let metrics = admin(&front, "/metrics").await;
        let outcome = if is_refused {
            "refused"
        } else {
            "would_refuse"
        };
        let counted =
            format!("drawbridge_limit_requests_total{{limit=\"it\",outcome=\"{outcome}\"}} 1\n");
        assert!(metrics.contains(&counted), "{action}: {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_near_a_limit_is_shown_without_secrets() {
    let upstream = echo().await;
    let limit = "rate = \"1/h\"\nburst = 4\nkey = [\"client\", \"header:X-Key\"]";
    let front = Front::start(&at_route(&upstream, limit)).await;
    for key in ["hunter2", "hunter2", "hunter2", "hunter3"] {
        let fields = format!("X-Key: {key}\r\n");
        assert_eq!(ask(&front, "/orders/", &fields).await.status, 200);
    }
    let text = admin(&front, "/limits/top?limit=it").await;
    assert!(!text.contains("hunter"), "{text}");
    let top: Value = serde_json::from_str(&text).unwrap();
    let limit = &top["limits"][0];
    assert_eq!(
        (&limit["keys_in_use"], &limit["passed"]),
        (&json!(2), &json!(4))
    );
    let first = &limit["top"][0];
    assert_eq!(first["key"], "127.0.0.1, header:x-key sha256:f52fbd32b2b3");
    assert_eq!(
        (&first["used_percent"], &first["remaining"]),
        (&json!(75), &json!(1))
    );
    assert_eq!(limit["top"][1]["key"], Value::Null, "far from its limit");
    let status: Value = serde_json::from_str(&admin(&front, "/status").await).unwrap();
    assert_eq!(status["limits"][0]["name"], "it");
}
