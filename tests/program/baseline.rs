//! The project's own rules on whole requests: every attack is refused, and nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::{env, fs};

use ftw::{self, InProcess, Overrides};
use tempfile::TempDir;

use support::materials;
use waf::{EngineMode, RuleSet};

/// Passes the request rules; its answer is what leaks, and the baseline does not look at answers.
const LEAKS_IN_ITS_ANSWER: &str = "resp_sql_leak";
/// The one attack among the kinds of requests that are measured.
const MEASURED_ATTACK: &str = "g_attack";

#[test]
fn every_rule_passes_its_tests() {
    let rules = rules(EngineMode::DetectionOnly);
    let files = ftw::load(&files_in(&manifest("rules/tests"), "yaml")).unwrap();
    let report = ftw::run(
        &InProcess::new(rules),
        &files,
        &Overrides::default(),
        &|_| {},
    );
    let failed: Vec<String> = report
        .tests
        .iter()
        .filter(|test| !test.passed())
        .map(|test| format!("{}: {}: {}", test.id, test.description, failures(test)))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_rule_has_a_test_file() {
    let tested: Vec<String> = files_in(&manifest("rules/tests"), "yaml")
        .iter()
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let untested: Vec<u64> = rules(EngineMode::On)
        .summaries()
        .filter(|rule| !rule.message.is_empty())
        .map(|rule| rule.id)
        .filter(|id| !tested.contains(&id.to_string()))
        .collect();
    assert!(untested.is_empty(), "{untested:?}");
}

#[test]
fn benchmark_requests_get_the_verdict_they_deserve() {
    let Some(mix) = benchmark_mix() else { return };
    let player = InProcess::new(rules(EngineMode::On));
    let mut seen = 0;
    for (folder, attacks) in [("mix", false), ("mix/check", true)] {
        for path in files_in(&mix.path().join(folder), "http") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let outcome = player.send(&fs::read(&path).unwrap(), &name);
            let refused = (attacks && name != LEAKS_IN_ITS_ANSWER) || name == MEASURED_ATTACK;
            let status = if refused { 403 } else { 200 };
            assert_eq!(outcome.status, Some(status), "{name}: {outcome:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, 17);
}

/// What people send all day and a careless rule takes for an attack.
#[test]
fn ordinary_requests_pass() {
    let player = InProcess::new(rules(EngineMode::On));
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
    let get = |target: &str| {
        format!(
            "GET {target} HTTP/1.1\r\nHost: a.example\r\nUser-Agent: {agent}\r\nAccept: */*\r\nCookie: session=9f2b6c1d4e8a7035b1c2d3e4f5a60718; lang=en-GB\r\n\r\n"
        )
    };
    let post = |content_type: &str, body: &str| {
        format!(
            "POST /orders/ HTTP/1.1\r\nHost: a.example\r\nUser-Agent: {agent}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let json = |body: &str| post("application/json; charset=utf-8", body);
    let requests = [
        get("/orders/1"),
        get("/orders/?from=2026-01-01T00:00:00%2B01:00&sort=-created&fields=id,total"),
        get("/orders/?name=O%27Brien+%26+Sons&city=K%C3%B6ln"),
        get("/orders/?q=%22running+shoes%22+-trail+size:42"),
        get("/orders/?next=https%3A%2F%2Fshop.example%2Fcart%3Fitem%3D1%26qty%3D2"),
        get("/orders/?filter[status]=open&filter[total][gte]=100"),
        get("/orders/?token=eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"),
        json(r#"{"note": "Select two from the list; if one is sold out, drop it and update me."}"#),
        json(r#"{"note": "Price < 50 EUR and > 20 EUR, R&D pays (50/50)."}"#),
        json(r#"{"note": "It's 5 o'clock -- time to order #42 or #43; thanks & bye"}"#),
        json(
            r#"{"note": "Our script for the echo test: cat, dog, mouse; then find a nice host."}"#,
        ),
        json(r#"{"path": "C:\\Users\\jo\\Documents\\order.pdf", "share": "\\\\files\\orders"}"#),
        json(
            r#"{"query": "query { order(id: 1) { lines { sku qty } } }", "variables": {"id": 1}}"#,
        ),
        json(
            r##"{"markdown": "# Title\n\n* one\n* two\n\n`code` and [link](https://a.example/x)"}"##,
        ),
        json(r#"{"empty": {}, "list": [], "null": null, "text": "", "number": -1.5e10}"#),
        post(
            "application/x-www-form-urlencoded",
            "a=1&b=&c&note=10%25+off%3B+see+you&amount=%E2%82%AC+5",
        ),
        post("text/plain", "Please select the union of both lists."),
        post(
            "application/xml",
            "<?xml version=\"1.0\"?><order id=\"1\"><note>fish &amp; chips</note></order>",
        ),
        post("application/octet-stream", "\u{0}\u{1}binary"),
    ];
    for request in requests {
        let outcome = player.send(request.as_bytes(), "ordinary");
        assert_eq!(outcome.status, Some(200), "{request}\n{outcome:?}");
    }
}

fn failures(test: &ftw::TestResult) -> String {
    let stages = test.stages.iter();
    stages
        .map(|stage| format!("{:?}, logged: {:?}", stage.failures, stage.outcome.ids))
        .collect()
}

fn rules(mode: EngineMode) -> Arc<RuleSet> {
    let path = manifest("rules/baseline/baseline.conf");
    RuleSet::builder()
        .engine(mode)
        .file(path)
        .build()
        .unwrap_or_else(|problems| panic!("{:#?}", problems.0))
}

/// The benchmark's requests, written anew where it and Python are there.
fn benchmark_mix() -> Option<TempDir> {
    let script = materials::shared("bench")?.join("mix.py");
    let folder = tempfile::tempdir().unwrap();
    let written = script.is_file()
        && Command::new("python3")
            .arg(&script)
            .env("BENCH_WORK", folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
    if !written {
        let needs = format!("needs python3 and {}", script.display());
        assert!(env::var_os("CI").is_none(), "CI {needs}");
        materials::skip(&needs);
    }
    written.then_some(folder)
}

fn files_in(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

fn manifest(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}
