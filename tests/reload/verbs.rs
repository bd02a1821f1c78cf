//! What the verbs that speak to a running front door find, say and exit with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::process::Process;
use crate::world::{World, until};
use support::{client, ports};

const TWO_EXPOSURES: &str = r#"
[exposures.public]
routes = ["orders"]
listeners = ["public"]
owner = "ingress"
[upstreams.spare]
servers = ["127.0.0.1:1"]
tls = { server_name = "orders.corp.test", trust = "onprem" }
[[routes]]
name = "spare"
hosts = ["other.test"]
paths = ["/"]
listeners = ["public"]
upstream = "spare"
policy = "default"
[exposures.spare]
routes = ["spare"]
listeners = ["public"]
owner = "ingress"
"#;

async fn world() -> World {
    World::start_with(support::upstream::Behaviour::Echo, TWO_EXPOSURES).await
}

/// Runs a verb in this folder, whose configuration nothing names.
pub async fn verb(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("DRAWBRIDGE_CONFIG");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let Output {
        status,
        stdout,
        stderr,
    } = output.await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[tokio::test]
async fn a_token_of_the_configuration_that_is_not_accepted_is_told() {
    let mut world = world().await;
    let admin = ports::free();
    let top = format!("admin = \"{admin}\"\nadmin_token_file = \"token\"");
    world.setup.top = top;
    world.write("token", "a-token-of-enough-characters");
    world.write_setup();
    let process = Process::start(&world.front.folder, &[], None);
    process.address().await;
    let folder = &world.front.folder;
    let (code, _, told) = verb(folder, &["reload"]).await;
    assert_eq!(code, Some(0), "{told}");
    world.write("token", "another-of-enough-characters");
    let (code, _, told) = verb(folder, &["reload"]).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains("does not hold the front door's admin token"),
        "{told}"
    );
    assert!(told.contains("drawbridge.toml"), "{told}");
    let admin = admin.to_string();
    let (code, _, told) = verb(folder, &["reload", "--admin", &admin]).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains("name the file with --admin-token-file"),
        "{told}"
    );
}

#[tokio::test]
async fn reload_waits_and_says_what_was_refused() {
    let world = world().await;
    let folder = &world.front.folder;
    let (code, said, _) = verb(folder, &["reload"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("reloaded, generation "), "{said}");

    world.write("front.pem", "no certificate");
    let (code, _, told) = verb(folder, &["reload"]).await;
    assert_eq!(code, Some(1));
    assert!(told.contains("\nrefused: "), "{told}");
    assert!(told.contains("front.pem"), "{told}");
    let (code, said, _) = verb(folder, &["reload", "--output", "json"]).await;
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &report["ok"]), (Some(1), &Value::Bool(false)));
    assert!(report["refused"][0]["unit"].is_string(), "{said}");
}

#[tokio::test]
async fn status_names_what_serves() {
    let world = world().await;
    let folder = &world.front.folder;
    let (code, said, told) = verb(folder, &["status"]).await;
    assert_eq!(code, Some(0), "{said}{told}");
    for part in [
        ": ready\n",
        "listener   public  tls",
        "upstream   orders",
        "policy     default",
        "exposure   public  on  owner ingress",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (_, said, _) = verb(folder, &["status", "--output", "json"]).await;
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["ready"], true);
    assert_eq!(report["exposures"][0]["name"], "public");
}

#[tokio::test]
async fn several_exposures_are_switched_at_once() {
    let world = world().await;
    let folder = &world.front.folder;
    let states = async || {
        let (_, said, _) = verb(folder, &["expose", "status", "--output", "json"]).await;
        let report: Value = serde_json::from_str(&said).unwrap();
        let all = report.as_array().unwrap().iter();
        all.map(|e| e["state"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (code, said, told) = verb(folder, &["expose", "off", "public", "spare"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(said.lines().count(), 2, "{said}");
    assert_eq!(states().await, ["off", "off"]);
    let (code, ..) = verb(folder, &["expose", "on", "--all"]).await;
    assert_eq!(code, Some(0));
    assert_eq!(states().await, ["on", "on"]);
    // The one that is there is off, whatever the other is.
    let (code, _, told) = verb(folder, &["expose", "off", "pblic", "spare"]).await;
    assert_eq!(code, Some(1));
    assert!(told.contains("there is no exposure \"pblic\""), "{told}");
    assert_eq!(states().await, ["on", "off"]);
}

/// In an emergency nobody may believe that everything is off while nothing is.
#[tokio::test]
async fn without_exposures_all_of_them_cannot_be_switched() {
    let world = World::start_with(support::upstream::Behaviour::Echo, "").await;
    for word in ["off", "on"] {
        let arguments = ["expose", word, "--all"];
        let (code, _, told) = verb(&world.front.folder, &arguments).await;
        assert_eq!(code, Some(1), "{word}: {told}");
        assert!(told.contains("names no exposure"), "{told}");
    }
}

#[tokio::test]
async fn doctor_examines_all_upstreams() {
    let world = world().await;
    let folder = &world.front.folder;
    let all = ["doctor", "upstream", "--all", "--output", "json"];
    let (code, said, _) = verb(folder, &all).await;
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &report["ok"]), (Some(1), &Value::Bool(false)));
    let each = report["upstreams"].as_array().unwrap();
    let oks: Vec<_> = each.iter().map(|u| (&u["upstream"], &u["ok"])).collect();
    assert_eq!(
        oks,
        [
            (&Value::from("orders"), &Value::Bool(true)),
            (&Value::from("spare"), &Value::Bool(false))
        ]
    );
    let (_, said, _) = verb(folder, &["doctor", "upstream", "orders", "spare"]).await;
    assert!(
        said.contains("upstream orders") && said.contains("upstream spare"),
        "{said}"
    );
}

/// The folders that systemd makes stand in for `state_dir` and `admin`.
#[tokio::test]
async fn a_service_needs_no_folders_in_its_configuration() {
    let world = world().await;
    let folder = world.front.folder.clone();
    let made = |name: &str| -> PathBuf {
        let path = folder.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let (state, runtime) = (made("lib"), made("run"));
    let text = fs::read_to_string(folder.join("drawbridge.toml")).unwrap();
    let text = text.replace("admin = \"admin.sock\"", "");
    fs::write(made("service").join("drawbridge.toml"), text).unwrap();
    for file in ["front.pem", "front.key", "corp-ca.pem", "rules.conf"] {
        fs::copy(folder.join(file), folder.join("service").join(file)).unwrap();
    }
    let environment = [
        ("STATE_DIRECTORY", state.as_os_str()),
        ("RUNTIME_DIRECTORY", runtime.as_os_str()),
    ];
    let service = folder.join("service");
    let process = Process::start_with(&service, &[], &environment);
    process.address().await;
    until("its admin socket is there", async || {
        runtime.join("admin.sock").exists()
    })
    .await;
    assert!(state.join("handover.sock").exists());
    let mut reload = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
    reload.arg("reload").current_dir(&service).envs(environment);
    let output = reload.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    process.signal("-TERM");
    assert_eq!(process.ended().await, Some(0));
    drop(world);
}

#[tokio::test]
async fn healthcheck_says_whether_it_serves() {
    let mut world = world().await;
    let folder = world.front.folder.clone();
    let (code, said, told) = verb(&folder, &["healthcheck"]).await;
    assert_eq!((code, said.as_str()), (Some(0), "ready\n"), "{told}");
    // A refused reload does not take it out of service.
    world.write("front.pem", "no certificate");
    verb(&folder, &["reload"]).await;
    let (code, said, _) = verb(&folder, &["healthcheck", "--output", "json"]).await;
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &report["ok"]), (Some(0), &Value::Bool(true)));

    // While the body of a request is missing, the front door waits for it.
    let unfinished = b"POST /orders/1 HTTP/1.1\r\nHost: api.test\r\nContent-Length: 5\r\n\r\n";
    let client = client::connect(world.front.address, Some("api.test"), b"").await;
    let mut client = client.unwrap();
    client.write_all(unfinished).await.unwrap();
    let is_held = || world.front.metrics.requests_in_flight.value() == 1;
    until("the request is there", async || is_held()).await;
    world.front.begin_stop();
    let mut said = String::new();
    until("it is not ready", async || {
        let (code, ready, _) = verb(&folder, &["healthcheck"]).await;
        said = ready;
        code == Some(1)
    })
    .await;
    assert!(said.starts_with("not ready: shutdown failed"), "{said}");
    let (code, said, told) = verb(&folder, &["healthcheck", "--live"]).await;
    assert_eq!((code, said.as_str()), (Some(0), "live\n"), "{told}");
    client.write_all(b"hello").await.unwrap();
    world.front.stopped().await;
}

/// One that accepts and says nothing, and one that is something else.
#[tokio::test]
async fn healthcheck_ends_in_time_and_sends_no_token() {
    let made = tempfile::tempdir().unwrap();
    let folder = made.path();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let setup = format!("admin = \"{at}\"\nadmin_token_file = \"token\"\n");
    fs::write(folder.join("drawbridge.toml"), setup).unwrap();
    fs::write(folder.join("token"), "a-token-of-enough-characters").unwrap();
    let asked = std::thread::spawn(move || {
        let (mut silent, _) = listener.accept().unwrap();
        let mut head = [0; 1024];
        let length = std::io::Read::read(&mut silent, &mut head).unwrap();
        // The answer never comes, and the connection stays.
        let (mut other, _) = listener.accept().unwrap();
        // What is unread when it closes would reset the connection.
        let _ = std::io::Read::read(&mut other, &mut [0; 1024]).unwrap();
        let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        std::io::Write::write_all(&mut other, answer).unwrap();
        (
            String::from_utf8_lossy(&head[..length]).into_owned(),
            silent,
        )
    });
    let (code, _, told) = verb(folder, &["healthcheck", "--timeout", "1s"]).await;
    assert_eq!(code, Some(1));
    assert!(told.contains("no answer within 1 s"), "{told}");
    let (code, _, told) = verb(folder, &["healthcheck", "--admin", &at]).await;
    assert_eq!(code, Some(1));
    assert!(told.contains("404"), "{told}");
    let (head, _silent) = asked.join().unwrap();
    assert!(head.starts_with("GET /readyz"), "{head}");
    assert!(!head.contains("a-token"), "{head}");
}
