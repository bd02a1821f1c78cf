//! Exposures as operators use them: the real proxy, switched through its admin socket by the real
//! command line.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::front::{self, Front, Setup};
use support::client::{self, Answer, connect, get, raw, read_answer};
use support::pki::{self, CORP, ServerTls};
use support::upstream::{Behaviour, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn off_is_off_there_and_nowhere_else() {
    let state_folder = StateFolder::new();
    let upstream = server(Behaviour::Echo).await;
    let front = Front::start(&state_folder.setup(&upstream, "")).await;
    let internal = front.bound.address("internal").unwrap();
    assert_eq!(get(front.address, "/orders/").await.status, 200);
    assert_eq!(
        state_folder.said(&["status"]),
        "internal on  owner platform\npublic on  owner ingress\n"
    );

    // A connection that was open before, and whose next request comes after.
    let mut kept = connect(front.address, Some("api.test"), b"").await.unwrap();
    let request = b"GET /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n";
    kept.write_all(request).await.unwrap();
    let mut buffer = Vec::new();
    assert_eq!(
        read_answer(&mut kept, &mut buffer, false)
            .await
            .unwrap()
            .status,
        200
    );

    let before = upstream.requests();
    let said = state_folder.said(&[
        "off",
        "public",
        "--for",
        "2h",
        "--reason",
        "token leak",
        "--prove",
    ]);
    let mut lines = said.lines();
    let first = lines.next().unwrap();
    assert!(
        first.starts_with("public off  owner ingress, since "),
        "{said}"
    );
    assert!(
        first.contains(", by unix:uid=") && first.ends_with(", reason token leak"),
        "{said}"
    );
    let proof = lines.next().unwrap();
    assert!(
        proof.contains("HTTP/1.1 503 Service Unavailable, Retry-After 7"),
        "{said}"
    );
    assert!(
        proof.contains("GET https://api.test/orders/ at 127.0.0.1:"),
        "{said}"
    );
    assert!(
        proof.contains("certificate not verified: "),
        "no CA of this machine is the tests' own: {said}"
    );
    assert_eq!(lines.next(), None, "one pair, one call: {said}");

    kept.write_all(request).await.unwrap();
    assert_eq!(
        read_answer(&mut kept, &mut buffer, false)
            .await
            .unwrap()
            .status,
        503
    );
    let refused = get(front.address, "/orders/").await;
    assert_eq!(refused.status, 503);
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((7100..=7200).contains(&after), "{after}");
    assert!(!refused.text().contains("leak"), "nothing is told outside");
    assert_eq!(upstream.requests(), before, "nothing reached the upstream");
    assert_eq!(get(internal, "/orders/").await.status, 200);
    let line = front.line(|line| line["status"] == 503).await;
    assert_eq!(line["error"], "exposure_off");
    assert_eq!(line["route"], "orders");

    let said = state_folder.said(&["on", "public", "--reason", "new tokens", "--prove"]);
    assert!(said.starts_with("public on  owner ingress\n"), "{said}");
    assert!(said.contains("HTTP/1.1 200"), "{said}");
    assert_eq!(get(front.address, "/orders/").await.status, 200);

    let audit = state_folder.audit();
    let of = |index: usize, key: &str| audit[index][key].as_str().map(str::to_owned);
    assert_eq!(audit.len(), 2, "{audit:?}");
    assert_eq!(of(0, "action").as_deref(), Some("off"));
    assert_eq!(of(0, "reason").as_deref(), Some("token leak"));
    assert!(of(0, "by").unwrap().starts_with("unix:uid="));
    assert!(of(0, "time").is_some() && of(0, "until").is_some());
    assert_eq!(of(1, "action").as_deref(), Some("on"));
    assert_eq!(of(1, "reason").as_deref(), Some("new tokens"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_survives_a_restart_and_reverts_at_its_time() {
    let state_folder = StateFolder::new();
    let upstream = server(Behaviour::Echo).await;
    let setup = state_folder.setup(&upstream, "");
    let mut front = Front::start(&setup).await;
    state_folder.said(&["off", "public"]);
    front.stopped().await;
    let mut front = Front::start(&setup).await;
    assert_eq!(get(front.address, "/orders/").await.status, 503);
    assert!(
        state_folder
            .said(&["status"])
            .contains("public off  owner ingress, since ")
    );

    state_folder.said(&["off", "public", "--for", "1s"]);
    assert_eq!(get(front.address, "/orders/").await.status, 503);
    until_status(front.address, 200).await;
    let reverted = front::wait(|| {
        state_folder
            .audit()
            .into_iter()
            .find(|line| line["by"] == "timer")
    });
    assert_eq!(reverted.await.unwrap()["action"], "on");

    // The other way round, and with nobody there to see the time pass.
    state_folder.said(&["on", "public", "--for", "1s"]);
    // The switch goes by the wall clock: by then its second is over.
    let end = SystemTime::now() + Duration::from_secs(1);
    front.stopped().await;
    let over = front::wait(|| (SystemTime::now() > end).then_some(()));
    assert!(over.await.is_some());
    let front = Front::start(&setup).await;
    assert_eq!(get(front.address, "/orders/").await.status, 503);
    assert!(state_folder.said(&["status"]).contains("by timer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn not_found_is_what_an_unknown_path_is() {
    let state_folder = StateFolder::new();
    let upstream = server(Behaviour::Echo).await;
    let front = Front::start(&state_folder.setup(&upstream, "off = \"404\"")).await;
    assert!(
        state_folder
            .said(&["off", "public", "--for", "2h", "--prove"])
            .contains("404 Not Found")
    );
    for request in [
        "GET {} HTTP/1.1\r\nHost: api.test\r\n\r\n",
        "HEAD {} HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n",
        "DELETE {} HTTP/1.1\r\nHost: api.test\r\n\r\n",
        "GET {}?a=attack HTTP/1.1\r\nHost: api.test\r\nAccept: text/html\r\n\r\n",
        "GET {}%2e%2e/ HTTP/1.1\r\nHost: api.test\r\n\r\n",
        "POST {} HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n\r\nabc",
        "GET {} HTTP/1.1\r\nHost: api.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ] {
        let head = request.starts_with("HEAD");
        let seen = async |path: &str| {
            let mut stream = connect(front.address, Some("api.test"), b"").await.unwrap();
            let request = request.replace("{}", path);
            stream.write_all(request.as_bytes()).await.unwrap();
            let answer = read_answer(&mut stream, &mut Vec::new(), head)
                .await
                .unwrap();
            without_id(answer)
        };
        assert_eq!(seen("/orders/").await, seen("/nobody/").await, "{request}");
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_is_closed() {
    let state_folder = StateFolder::new();
    let upstream = server(Behaviour::Echo).await;
    let front = Front::start(&state_folder.setup(&upstream, "off = \"close\"")).await;
    let said = state_folder.said(&["off", "public", "--prove"]);
    assert!(said.contains("closed without an answer"), "{said}");
    let request = b"GET /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n";
    assert!(raw(front.address, request).await.is_none());
    let unknown = get(front.address, "/nobody/").await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_are_closed() {
    let state_folder = StateFolder::new();
    let upstream = server(Behaviour::WebSocket).await;
    let setup = Setup {
        route: "paths = [\"/orders/\"]\nstream = \"websocket\"".to_owned(),
        ..state_folder.setup(&upstream, "")
    };
    let front = Front::start(&setup).await;
    let mut outside = websocket(front.address).await;
    let mut inside = websocket(front.bound.address("internal").unwrap()).await;
    state_folder.said(&["off", "public"]);
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(30), outside.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the stream is still open");
    assert_eq!(rest, b"");
    inside.write_all(b"\x89\x80\x01\x02\x03\x04").await.unwrap();
    let mut back = [0; 6];
    inside.read_exact(&mut back).await.unwrap();
    let line = front.line(|line| line["listener"] == "public").await;
    assert_eq!(line["status"], 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said() {
    let state_folder = StateFolder::new();
    let nobody = state_folder.expose(&["status"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        text(&nobody.stderr).contains("no front door answers at unix:"),
        "{nobody:?}"
    );

    let upstream = server(Behaviour::Echo).await;
    let front = Front::start(&state_folder.setup(&upstream, "")).await;
    for (arguments, code, part) in [
        (
            &["off", "publc"][..],
            1,
            "there is no exposure \"publc\"; there are: internal, public",
        ),
        (&["off", "../x"], 1, "is not a name"),
        (
            &["off", "public", "--until", "2020-01-01T00:00:00Z"],
            1,
            "is in the past",
        ),
        (
            &["off", "public", "--until", "tomorrow"],
            2,
            "2026-11-21T18:00:00Z",
        ),
        (
            &["off", "public", "--for", "2 hours"],
            2,
            "is not a duration",
        ),
        (
            &[
                "off",
                "public",
                "--for",
                "2h",
                "--until",
                "2030-01-01T00:00:00Z",
            ],
            2,
            "cannot be used",
        ),
        (&["off"], 2, "NAME"),
    ] {
        let output = state_folder.expose(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    assert!(state_folder.audit().is_empty());
    assert_eq!(get(front.address, "/orders/").await.status, 200);
    let shown = state_folder.expose(&["status", "--output", "json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown[1]["name"], "public");
    assert_eq!(shown[1]["state"], "on");
    assert_eq!(shown[1]["pairs"][0]["address"], front.address.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_stops_what_nobody_owns() {
    let state_folder = StateFolder::new();
    let upstream = server(Behaviour::Echo).await;
    let setup = state_folder.setup(&upstream, "");
    let front = Front::start(&setup).await;
    let old = front.folder.join("drawbridge.toml");
    let new = front.folder.join("new.toml");
    let text_of_old = fs::read_to_string(&old).unwrap();
    let admin = state_folder.admin();
    let diff = |files: &[&std::path::Path]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
        command.arg("diff").args(files);
        if files.len() == 1 {
            command.args(["--admin", &admin]);
        }
        command.output().unwrap()
    };
    for (from, to, code, expected) in [
        ("", "", 0, "nothing changes in what is reachable\n"),
        (
            "\"GET\", \"POST\"",
            "\"GET\"",
            0,
            "- internal: POST /orders/* -> orders, policy default, host api.test\n\
             - public: POST /orders/* -> orders, policy default, host api.test\n",
        ),
        (
            "[exposures.public]",
            "[[routes]]\nname = \"admin\"\nhosts = [\"api.test\"]\npaths = [\"/admin/\"]\nmethods = [\"GET\"]\n\
             listeners = [\"public\"]\nupstream = \"orders\"\npolicy = \"default\"\n[exposures.public]",
            1,
            "+ public: GET,HEAD /admin/* -> orders, policy default, host api.test, no owner\n",
        ),
    ] {
        fs::write(&new, text_of_old.replace(from, to)).unwrap();
        for files in [&[old.as_path(), &new][..], &[new.as_path()]] {
            let output = diff(files);
            assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
            assert_eq!(output.status.code(), Some(code), "{files:?}");
        }
    }
    fs::write(&new, "[listners.x]").unwrap();
    let output = diff(&[&old, &new]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("listners"));
}

/// A wider route that is on gives no way to what is off.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_off_is_not_reached_by_another_spelling() {
    let state_folder = StateFolder::new();
    let upstream = server(Behaviour::Echo).await;
    let mut setup = state_folder.setup(&upstream, "");
    for path in ["/orders/secret", "/orders/admin/"] {
        let name = path.trim_matches('/').replace('/', "-");
        setup.more += &format!(
            "[[routes]]\nname = \"{name}\"\nhosts = [\"api.test\"]\npaths = [\"{path}\"]\n\
             listeners = [\"public\"]\nupstream = \"orders\"\npolicy = \"default\"\n\
             [exposures.{name}]\nroutes = [\"{name}\"]\nlisteners = [\"public\"]\nowner = \"x\"\n"
        );
    }
    let front = Front::start(&setup).await;
    assert_eq!(get(front.address, "/orders/secret").await.status, 200);
    for name in ["orders-secret", "orders-admin"] {
        state_folder.said(&["off", name, "--reason", "test"]);
    }
    let before = upstream.requests();
    for (path, status) in [
        ("/orders/secret", 503),
        ("/orders/%73ecret", 503),
        ("/orders/admin", 503),
        ("/orders/admin/x", 503),
        ("/orders/secret%3fa", 400),
        ("/orders/secret%23", 400),
        ("/orders/SECRET", 400),
        ("/orders/secret/", 400),
        ("/orders/%2561dmin", 400),
        ("/orders/%20admin", 400),
        ("/orders/ADMIN/x", 400),
        (
            "/orders/%ef%bd%93%ef%bd%85%ef%bd%83%ef%bd%92%ef%bd%85%ef%bd%94",
            400,
        ),
    ] {
        assert_eq!(get(front.address, path).await.status, status, "{path}");
    }
    assert_eq!(upstream.requests(), before);
    for path in ["/orders/secrets", "/orders/OTHER", "/orders/x%3fa"] {
        assert_eq!(get(front.address, path).await.status, 200, "{path}");
    }
}

async fn server(behaviour: Behaviour) -> Upstream {
    let issued = pki::leaf(&CORP, "orders.corp.test");
    Upstream::start(ServerTls::new(issued), behaviour).await
}

async fn websocket(address: SocketAddr) -> client::Tls {
    let mut stream = connect(address, Some("api.test"), b"").await.unwrap();
    let head = "GET /orders/ HTTP/1.1\r\nHost: api.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_answer(&mut stream, &mut Vec::new(), false).await;
    assert_eq!(answer.unwrap().status, 101);
    stream
}

async fn until_status(address: SocketAddr, status: u16) {
    let begun = Instant::now();
    while get(address, "/orders/").await.status != status {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "still not {status}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Everything of an answer that is not new in each.
fn without_id(answer: Answer) -> (u16, Vec<(String, String)>, String) {
    let id = answer.header("x-request-id").unwrap().to_owned();
    let body = answer.text().replace(&id, "ID");
    let headers = answer.headers.into_iter();
    let headers = headers.filter(|(name, _)| !name.eq_ignore_ascii_case("date"));
    let headers = headers.map(|(name, value)| (name, value.replace(&id, "ID")));
    (answer.status, headers.collect(), body)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The folder of an admin socket and of the switches' state, for several front doors in turn.
struct StateFolder(TempDir);

impl StateFolder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn admin(&self) -> String {
        format!("unix:{}/admin.sock", self.0.path().display())
    }

    /// One route, outside and inside.
    fn setup(&self, upstream: &Upstream, public: &str) -> Setup {
        Setup {
            top: format!(
                "admin = \"{}\"\nstate_dir = \"{}/state\"",
                self.admin(),
                self.0.path().display()
            ),
            listeners: "\"public\", \"internal\"".to_owned(),
            more: format!(
                r#"
[listeners.internal]
bind = ["127.0.0.1:0"]
certificates = [{{ chain = "front.pem", key = "front.key" }}]
[exposures.public]
routes = ["orders"]
listeners = ["public"]
owner = "ingress"
{public}
[exposures.internal]
routes = ["orders"]
listeners = ["internal"]
owner = "platform"
"#
            ),
            ..Setup::to(upstream)
        }
    }

    fn expose(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_drawbridge"))
            .arg("expose")
            .args(arguments)
            .args(["--admin", &self.admin()])
            .output()
            .unwrap()
    }

    /// What it printed; it must end well.
    fn said(&self, arguments: &[&str]) -> String {
        let output = self.expose(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    fn audit(&self) -> Vec<Value> {
        let file = self.0.path().join("state/exposure-audit.jsonl");
        let lines = fs::read_to_string(file).unwrap_or_default();
        lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}
