//! What the verbs that speak to a running front door find, say and exit with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::process::Process;
use crate::world::{World, until};
use support::ports;

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
