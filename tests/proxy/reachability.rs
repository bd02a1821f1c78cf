//! What a listener can reach is what the most specific routes say.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::front::{Front, RULES, Setup};
use crate::requests::echo;
use support::client::{Answer, Http2, connect, h2_request, read_answer};
use support::upstream::Upstream;

const INTERNAL: &str = r#"
[listeners.internal]
bind = ["127.0.0.1:0"]
certificates = [{ chain = "front.pem", key = "front.key" }]
"#;

fn route(name: &str, path: &str, more: &str) -> String {
    format!(
        "[[routes]]\nname = \"{name}\"\nhosts = [\"api.test\"]\npaths = [\"{path}\"]\nupstream = \"orders\"\n\
        policy = \"default\"\n{more}\n"
    )
}

/// `/orders/` outside and inside, `/orders/admin/` and `/orders/secret` inside only.
fn setup(upstream: &Upstream) -> Setup {
    let inside = "listeners = [\"internal\"]";
    Setup {
        listeners: "\"public\", \"internal\"".to_owned(),
        more: [
            INTERNAL.to_owned(),
            route("admin", "/orders/admin/", inside),
            route("secret", "/orders/secret", inside),
            route(
                "read",
                "/read/",
                "listeners = [\"public\"]\nmethods = [\"GET\"]",
            ),
            route(
                "no-head",
                "/strict/",
                "listeners = [\"public\"]\nmethods = [\"GET\"]\nhead = \"refuse\"",
            ),
        ]
        .concat(),
        ..Setup::to(upstream)
    }
}

async fn ask(address: SocketAddr, method: &str, path: &str) -> Answer {
    let mut stream = connect(address, Some("api.test"), b"").await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: api.test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = read_answer(&mut stream, &mut Vec::new(), method == "HEAD").await;
    answer.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_inside_is_not_reached_through_a_wider_one() {
    let upstream = echo().await;
    let front = Front::start(&setup(&upstream)).await;
    let internal = front.bound.address("internal").unwrap();
    let mut h2 = Http2::connect(front.address, "api.test").await;
    for path in [
        "/orders/admin/users",
        "/orders/admin/",
        "/orders/admin",
        "/orders/%61dmin/users",
        "/orders/secret",
        "/orders/secre%74",
    ] {
        assert_eq!(ask(front.address, "GET", path).await.status, 404, "{path}");
        let request = h2_request("GET", &format!("https://api.test{path}"));
        let over_h2 = h2.request(request.body(()).unwrap(), None).await;
        assert_eq!(over_h2.status, 404, "h2 {path}");
    }
    // What a lenient gateway takes for the same.
    for path in [
        "/orders/secret%3fa",
        "/orders/secret%23",
        "/orders/SECRET",
        "/orders/Secret/",
        "/orders/secret/",
        "/orders/secret;a",
        "/orders/%2561dmin",
        "/orders/%2561dmin/users",
        "/orders/%20admin",
        "/orders/admin%20/users",
        "/orders/ADMIN/users",
        "/orders/%ef%bd%93ecret",
        "/orders/%EF%BC%B3ECRET",
        "/orders/%ef%bd%81dmin/users",
        "/orders/..%3f/admin",
    ] {
        assert_eq!(ask(front.address, "GET", path).await.status, 400, "{path}");
    }
    assert_eq!(upstream.requests(), 0);
    for path in [
        "/orders/",
        "/orders",
        "/orders/other%3fa",
        "/orders/OTHER",
        "/orders/secrets",
    ] {
        assert_eq!(ask(front.address, "GET", path).await.status, 200, "{path}");
    }
    for path in ["/orders/admin/users", "/orders/admin", "/orders/secret"] {
        assert_eq!(
            ask(internal, "GET", path).await.status,
            200,
            "internal {path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_goes_where_get_goes() {
    let upstream = echo().await;
    let front = Front::start(&setup(&upstream)).await;
    let line = |answer: &Answer| answer.header("x-request-id").map(str::to_owned);
    assert_eq!(ask(front.address, "GET", "/read/").await.status, 200);
    let posted = ask(front.address, "POST", "/read/").await;
    assert_eq!(
        (posted.status, posted.header("allow")),
        (405, Some("GET, HEAD"))
    );
    let refused = ask(front.address, "HEAD", "/strict/").await;
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, Some("GET"))
    );
    assert!(line(&refused).is_some());
    let mut h2 = Http2::connect(front.address, "api.test").await;
    let request = h2_request("HEAD", "https://api.test/read/");
    assert_eq!(
        h2.request(request.body(()).unwrap(), None).await.status,
        200
    );
    assert_eq!(ask(front.address, "HEAD", "/read/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_reports_shadowed_paths_and_diff_what_is_uncovered() {
    let upstream = echo().await;
    let folder = setup(&upstream).write(RULES);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
        let output = command
            .current_dir(&folder)
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let told = run(&["check", "--config", "drawbridge.toml"]);
    let expected = "public: /orders/admin/*, host api.test, returns 404: route admin is more specific and not on public; otherwise route orders would serve it";
    assert!(told.contains(expected), "{told}");
    let json = run(&["check", "--config", "drawbridge.toml", "--output", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["kept_back"][0]["by"], serde_json::json!(["admin"]));

    let text = std::fs::read_to_string(folder.join("drawbridge.toml")).unwrap();
    let wide = text.replace("\"/orders/admin/\"", "\"/orders/other/\"");
    std::fs::write(folder.join("new.toml"), wide).unwrap();
    let told = run(&["diff", "drawbridge.toml", "new.toml"]);
    assert!(
        told.contains("+ public: GET,HEAD,POST /orders/admin/* -> orders")
            && told.contains("; route admin shadowed it before"),
        "{told}"
    );
    std::fs::write(
        folder.join("bad.toml"),
        text.replace("methods = [\"GET\"]\nhead", "methods = [\"POST\"]\nhead"),
    )
    .unwrap();
    let told = run(&["check", "--config", "bad.toml", "--output", "json"]);
    assert!(
        told.contains("head = \\\"refuse\\\" has an effect only if"),
        "{told}"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}
