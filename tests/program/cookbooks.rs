//! The commands of the cookbook pages, run from the first to the last as a reader would.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use regex::Regex;
use support::ports;

/// A fenced block of a page, and what the page shows of its output.
struct Step {
    commands: String,
    shown: Vec<String>,
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let fences: Vec<&str> = page.split("\n```").collect();
    for fence in fences.iter().skip(1).step_by(2) {
        let (language, text) = fence.split_once('\n').unwrap();
        match language {
            "sh" => steps.push(Step {
                commands: text.to_owned(),
                shown: Vec::new(),
            }),
            "text" => steps.last_mut().unwrap().shown = text.lines().map(str::to_owned).collect(),
            other => panic!("a block of {other}"),
        }
    }
    steps
}

/// The page with ports that are free here in place of its own, and what became of 8443.
fn with_free_ports(page: &str) -> (String, String) {
    let ports = ["8443", "8444", "9443"].map(|port| (port, ports::free().port().to_string()));
    let of = |known: &str| {
        let mut ports = ports.iter();
        ports.find(|(port, _)| *port == known).unwrap().1.clone()
    };
    // In one pass: a free port may hold the digits of another.
    let port = Regex::new(r"\b(8443|8444|9443)\b").unwrap();
    let moved = port.replace_all(page, |found: &regex::Captures<'_>| of(&found[1]));
    (moved.into_owned(), of("8443"))
}

fn run(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    let page = std::fs::read_to_string(file).unwrap();
    let (page, listener) = with_free_ports(&page);
    let steps = steps(&page);
    assert!(steps.len() > 3);
    // What `init` writes has the port of the page.
    let init = Regex::new("(?m)^drawbridge init .*$").unwrap();
    let mut script = "set -eu\nexec 2>&1\ntrap 'kill $(jobs -p) 2> killed.log' EXIT\n".to_owned();
    for (number, step) in steps.iter().enumerate() {
        let commands = &step.commands;
        let moved = format!("$0\nsed -i 's/8443/{listener}/' front/drawbridge.toml");
        let commands = init.replace_all(commands, moved.as_str());
        write!(script, "echo '@@ {number}'\n{commands}\n").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_drawbridge"));
    let paths = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let output = Command::new("timeout")
        .args(["--kill-after=5", "120", "bash", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", paths)
        .env_remove("DRAWBRIDGE_CONFIG")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    for (number, step) in steps.iter().enumerate() {
        let begin = format!("@@ {number}\n");
        let (_, own) = said
            .split_once(&begin)
            .unwrap_or_else(|| panic!("step {number} did not begin:\n{said}"));
        let own = own.split("@@ ").next().unwrap();
        for line in &step.shown {
            let pattern = regex::escape(line).replace('…', ".*");
            let pattern = Regex::new(&pattern).unwrap();
            assert!(pattern.is_match(own), "step {number}: {line}\n{said}");
        }
    }
    assert!(output.status.success(), "{said}");
}

#[test]
fn a_gateway_behind_a_private_ca() {
    run("cookbook-private-ca.md");
}

#[test]
fn one_api_for_two_sides() {
    run("cookbook-two-sides.md");
}
