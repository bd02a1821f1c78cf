//! The commands of docs/questions.md answer their questions.

use std::path::Path;
use std::process::Command;

use crate::front::{Front, Setup};
use crate::world::{World, until};
use support::materials::project;
use support::pki::{CORP, ServerTls, leaf};
use support::upstream::{Behaviour, Upstream};

/// The heading and the command of each question.
fn questions() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(project().join("docs/questions.md")).unwrap();
    let sections = text.split("\n## ").skip(1);
    let questions = sections.map(|section| {
        let (title, rest) = section.split_once('\n').unwrap();
        let (_, block) = rest.split_once("```sh\n").unwrap();
        let (command, _) = block.split_once("\n```").unwrap();
        assert!(!command.contains('\n'), "{title} has more than one line");
        (title.to_owned(), command.to_owned())
    });
    questions.collect()
}

/// Runs a command of the document beside the configuration; None if it fails.
fn run(folder: &Path, command: &str) -> Option<String> {
    let binary = Path::new(env!("CARGO_BIN_EXE_drawbridge"));
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", binary.parent().unwrap().display());
    let command = command.replace("/run/drawbridge/admin.sock", "admin.sock");
    let ran = Command::new("sh")
        .args(["-c", &command])
        .current_dir(folder)
        .env("PATH", path)
        .env_remove("DRAWBRIDGE_CONFIG")
        .output()
        .unwrap();
    println!("{command}: {}", String::from_utf8_lossy(&ran.stderr));
    let out = String::from_utf8(ran.stdout).unwrap();
    ran.status.success().then_some(out)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_question_has_a_command() {
    let tls = ServerTls::new(leaf(&CORP, "orders.corp.test"));
    let upstream = Upstream::start(tls, Behaviour::Echo).await;
    let setup = Setup {
        top: "admin = \"admin.sock\"\nstate_dir = \"state\"".to_owned(),
        more: "[events]\nsample = 0.0".to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    let world = World {
        front,
        setup,
        upstream,
    };
    assert_eq!(world.status_of("/orders/1").await, 200);
    assert_eq!(world.status_of("/orders/1?a=attack").await, 403);
    let expected = [
        ("Who attacks", "127.0.0.1"),
        ("Which rule hits honest clients on which route", "an attack"),
        (
            "Which API is slow, and where",
            "ms drawbridge_listener_upstream_duration_seconds_sum{listener=\"public\",route=\"orders\"}",
        ),
        ("Which gateway fails, and why", "orders"),
        ("Which certificate ends when", "front.pem"),
    ];
    let questions = questions();
    let titles: Vec<&str> = questions.iter().map(|(title, _)| &**title).collect();
    assert_eq!(titles, expected.map(|(title, _)| title));
    let dashboard = std::fs::read_to_string(project().join("packaging/grafana/questions.json"));
    let dashboard = dashboard.unwrap();
    for ((title, command), (_, answer)) in questions.iter().zip(expected) {
        assert!(
            dashboard.contains(&format!("\"title\": \"{title}\"")),
            "{title} has no panel"
        );
        let folder = world.front.folder.clone();
        until(title, async || {
            let (folder, command) = (folder.clone(), command.clone());
            let ran = tokio::task::spawn_blocking(move || run(&folder, &command));
            ran.await.unwrap().is_some_and(|out| out.contains(answer))
        })
        .await;
    }
}
