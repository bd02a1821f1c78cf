//! `drawbridge demo` as a person uses it: its curl lines are run as they are printed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

/// curl's exit code for a certificate that it does not trust.
const CERTIFICATE_REFUSED: i32 = 60;

#[test]
fn printed_requests_do_what_they_say() {
    let dir = Scratch::new("drawbridge demo's test");
    let demo = Demo::start(dir.0.path());
    assert_eq!(demo.requests.len(), 5, "{:#?}", demo.requests);

    for (request, status) in demo.requests.iter().zip(["200", "403", "403", "404"]) {
        let answer = shell(&format!("{request} -s -o /dev/null -w '%{{http_code}}'"));
        assert_eq!(
            String::from_utf8_lossy(&answer.stdout),
            status,
            "{request}: {}",
            String::from_utf8_lossy(&answer.stderr)
        );
    }
    let direct = shell(&format!("{} -sS", demo.requests[4]));
    assert_eq!(direct.status.code(), Some(CERTIFICATE_REFUSED));

    let answer = shell(&format!("{} -s --no-include", demo.requests[0]));
    let echo: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(echo["gateway"], "orders");
    assert_eq!(echo["method"], "GET");
    assert_eq!(echo["path"], "/orders/1");

    // The same gateway answers whoever trusts the private CA.
    let bundle = dir.0.path().join("certs/onprem-ca.pem");
    let trusted = format!("{} -s --cacert '{}'", demo.requests[4], bundle.display());
    // The folder's name has an apostrophe in it.
    let trusted = trusted.replace("demo's", r"demo'\''s");
    assert!(shell(&trusted).status.success(), "{trusted}");

    demo.interrupt();
}

#[test]
fn folder_is_used_again() {
    let dir = Scratch::new("drawbridge-demo-again");
    let demo = Demo::start(dir.0.path());
    assert!(demo.said.contains("made now"), "{}", demo.said);
    demo.interrupt();
    let read = |file: &str| fs::read(dir.0.path().join(file)).unwrap();
    let before = (read("certs/public-ca.pem"), read("certs/onprem-ca.pem"));

    let demo = Demo::start(dir.0.path());
    assert!(demo.said.contains("still valid"), "{}", demo.said);
    let answer = shell(&format!(
        "{} -s -o /dev/null -w '%{{http_code}}'",
        demo.requests[0]
    ));
    assert_eq!(answer.stdout, b"200");
    demo.interrupt();
    assert_eq!(
        before,
        (read("certs/public-ca.pem"), read("certs/onprem-ca.pem"))
    );
}

#[test]
fn written_configuration_passes_check() {
    let dir = Scratch::new("drawbridge-demo-check");
    let demo = Demo::start(dir.0.path());
    let check = Command::new(env!("CARGO_BIN_EXE_drawbridge"))
        .args(["check", "--config"])
        .arg(dir.0.path().join("drawbridge.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success(), "{said}");
    assert!(!said.contains("warning"), "{said}");
    demo.interrupt();
}

pub(crate) struct Demo {
    process: Child,
    /// What it printed, its last request included.
    pub(crate) said: String,
    /// The curl lines.
    pub(crate) requests: Vec<String>,
    /// Kept, so that the reader goes on and the pipe never fills.
    lines: Receiver<String>,
}

impl Demo {
    pub(crate) fn start(dir: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_drawbridge"))
            .args(["demo", "--bind", "127.0.0.1:0", "--dir"])
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                // All is read until the end, also when nobody listens any more.
                let _ = sender.send(line.unwrap());
            }
        });
        let mut said = String::new();
        let mut requests = Vec::new();
        for line in &lines {
            said = said + &line + "\n";
            if line.trim_start().starts_with("curl ") {
                requests.push(line.trim().to_owned());
            }
            if requests.len() == 5 {
                break;
            }
        }
        Self {
            process,
            said,
            requests,
            lines,
        }
    }

    /// The next line that has this text, without the blanks around it.
    pub(crate) fn line_with(&self, text: &str) -> String {
        let line = self.lines.iter().find(|line| line.contains(text));
        line.expect(text).trim().to_owned()
    }

    /// Ctrl-C; it must end well.
    pub(crate) fn interrupt(mut self) {
        shell(&format!("kill -INT {}", self.process.id()));
        let status = self.process.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{status}");
    }
}

/// A failed test leaves no process behind.
impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A folder that is removed at the end.
pub(crate) struct Scratch(pub(crate) TempDir);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        Self(tempfile::Builder::new().prefix(name).tempdir().unwrap())
    }
}

/// Runs a line as a person's shell would, without the proxy they may have set.
pub(crate) fn shell(line: &str) -> Output {
    Command::new("sh")
        .args(["-c", line])
        .env("NO_PROXY", "*")
        .output()
        .unwrap()
}
