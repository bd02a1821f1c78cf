//! Targets of logs that stall, fail or are gone hold nobody up and end nothing.

use std::fs::OpenOptions;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use drawbridge::admin::client::{Answer, call};
use drawbridge::config::{AccessFormat, AdminAddress};

use crate::front::{RULES, Setup};
use crate::process::signal;
use crate::world::until;
use support::client::{self, get};
use support::pki::{CORP, ServerTls, leaf};
use support::ports;
use support::upstream::{Behaviour, Upstream};

/// A front door whose stderr and stdout the test chooses, so that it cannot be asked where it listens.
struct FrontProcess {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
    _upstream: Upstream,
}

impl Drop for FrontProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl FrontProcess {
    async fn open(stdout: Stdio, stderr: Stdio, change: impl Fn(String) -> String) -> Self {
        let tls = ServerTls::new(leaf(&CORP, "orders.corp.test"));
        let upstream = Upstream::start(tls, Behaviour::Echo).await;
        let address = ports::free();
        let setup = Setup {
            top: "admin = \"unix:admin.sock\"\nstate_dir = \"state\"".to_owned(),
            port: address.port(),
            ..Setup::to(&upstream)
        };
        let folder = setup.write(RULES);
        let text = change(setup.text());
        std::fs::write(folder.join("drawbridge.toml"), text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_drawbridge"))
            .args(["run", "--config"])
            .arg(folder.join("drawbridge.toml"))
            .env("RUST_LOG", "info")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn();
        let mut running = Self {
            child: child.unwrap(),
            folder,
            address,
            _upstream: upstream,
        };
        until("it listens", async || {
            assert_eq!(running.child.try_wait().unwrap(), None, "it ended");
            running.try_ask("GET", "/livez").await.is_some()
        })
        .await;
        running
    }

    async fn try_ask(&self, method: &'static str, path: &'static str) -> Option<Answer> {
        let address = AdminAddress::Unix(self.folder.join("admin.sock"));
        let asked = tokio::task::spawn_blocking(move || call(&address, None, method, path, b""));
        asked.await.unwrap().ok()
    }

    async fn metric(&self, name: &str) -> u64 {
        let text = self.try_ask("GET", "/metrics").await.unwrap().text();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name}: {text}"))
            .trim()
            .parse()
            .unwrap()
    }

    async fn status(&self) -> serde_json::Value {
        serde_json::from_slice(&self.try_ask("GET", "/status").await.unwrap().body).unwrap()
    }

    /// Attacks that each say a few hundred bytes, over connections that are kept.
    async fn attack(&self, times: usize) {
        let mut connection = client::Http2::connect(self.address, "api.test").await;
        for _ in 0..times {
            let uri = format!("https://api.test/orders/?q=attack-{}", "x".repeat(400));
            let request = client::h2_request("GET", &uri).body(()).unwrap();
            assert_eq!(connection.request(request, None).await.status, 403);
        }
    }

    async fn reload_changes_it(&self) {
        let before = self.status().await["reload"]["attempts"].as_u64().unwrap();
        signal(self.child.id(), "-HUP");
        until("it reloads", async || {
            self.status().await["reload"]["attempts"].as_u64() > Some(before)
        })
        .await;
    }

    async fn ends_well(&mut self) {
        signal(self.child.id(), "-TERM");
        let mut ended = None;
        until("it ends", async || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        })
        .await;
        assert_eq!(ended.unwrap().code(), Some(0));
    }
}

fn full() -> Stdio {
    OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_stderr_holds_nobody_up() {
    let mut running = FrontProcess::open(Stdio::null(), Stdio::piped(), |text| text).await;
    let mut unread = running.child.stderr.take().unwrap();
    // More than a pipe holds, and than the queue does.
    let (mut attacks, mut dropped) = (0, 0);
    while dropped == 0 && attacks < 20_000 {
        running.attack(500).await;
        attacks += 500;
        dropped = running
            .metric("drawbridge_diagnostics_lines_dropped_total")
            .await;
    }
    assert!(dropped > 0, "no line was dropped of {attacks} attacks");
    assert_eq!(get(running.address, "/orders/1").await.status, 200);
    running.reload_changes_it().await;

    // Who reads again gets whole lines, and is told what was dropped.
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        unread.read_to_string(&mut text).map(|_| text)
    });
    let before = dropped;
    until("it catches up", async || {
        running.attack(1).await;
        let now = running
            .metric("drawbridge_diagnostics_lines_dropped_total")
            .await;
        now == std::mem::replace(&mut dropped, now)
    })
    .await;
    assert!(dropped >= before);
    running.ends_well().await;
    let text = reading.join().unwrap().unwrap();
    let mut lines = text.lines().skip_while(|line| !line.starts_with("20"));
    let torn = lines.find(|line| !line.starts_with("20"));
    assert_eq!(torn, None, "every line begins with its time");
    let told: u64 = text
        .lines()
        .filter_map(|line| {
            line.split_once("stderr: ")?
                .1
                .split_once(" lines were dropped")
        })
        .map(|(count, _)| count.parse::<u64>().unwrap())
        .sum();
    assert_eq!(told, dropped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stderr_that_is_gone_or_full_ends_nothing() {
    for gone in [true, false] {
        let stderr = if gone { Stdio::piped() } else { full() };
        let mut running = FrontProcess::open(Stdio::null(), stderr, |text| text).await;
        drop(running.child.stderr.take());
        running.attack(3).await;
        running.reload_changes_it().await;
        running.attack(3).await;
        let failures = running
            .metric("drawbridge_diagnostics_write_failures_total")
            .await;
        assert!(failures > 0);
        // Its successor inherits the same stderr, and warns when it starts that a route has no owner.
        let first = running.status().await["process"]["pid"].clone();
        signal(running.child.id(), "-USR2");
        until("a successor has taken over", async || {
            match running.try_ask("GET", "/status").await {
                Some(answer) => {
                    let status: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                    status["process"]["pid"] != first
                }
                None => false,
            }
        })
        .await;
        assert_eq!(get(running.address, "/orders/1").await.status, 200);
        let successor = running.status().await["process"]["pid"].as_u64().unwrap();
        signal(u32::try_from(successor).unwrap(), "-TERM");
        let mut ended = None;
        until("the first one ended", async || {
            ended = running.child.try_wait().unwrap();
            ended.is_some()
        })
        .await;
        assert_eq!(ended.unwrap().code(), Some(0));
        let process = PathBuf::from(format!("/proc/{successor}/stat"));
        let lives = || std::fs::read_to_string(&process).is_ok_and(|stat| !stat.contains(") Z "));
        until("the successor ended", async || !lives()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_stdout_does_not_keep_it_from_ending() {
    let to_stdout = |text: String| {
        text.replace(
            "access = \"access.log\"",
            "access = \"stdout\"\naudit = \"stdout\"",
        )
    };
    let mut running = FrontProcess::open(Stdio::piped(), Stdio::null(), to_stdout).await;
    let _unread = running.child.stdout.take();
    // Each leaves an access line of more than 500 bytes, and a pipe holds 64 KiB.
    running.attack(400).await;
    assert_eq!(get(running.address, "/orders/1").await.status, 200);
    running.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_on_a_full_disk_is_counted() {
    let full = |text: String| {
        text.replace(
            "access = \"access.log\"",
            "access = \"/dev/full\"\naudit = \"/dev/full\"",
        )
    };
    let mut running = FrontProcess::open(Stdio::null(), Stdio::null(), full).await;
    running.attack(3).await;
    until("failures are counted", async || {
        running
            .metric("drawbridge_access_write_failures_total")
            .await
            > 0
    })
    .await;
    running.reload_changes_it().await;
    running.ends_well().await;
}

/// A FIFO that nobody reads is told at the start, and not waited for.
#[test]
fn a_log_that_is_a_fifo_without_a_reader_is_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = make_fifo(folder.path(), "log");
    let metrics = std::sync::Arc::default();
    let sink = drawbridge::config::LogSink::File(fifo.clone());
    let error =
        drawbridge::telemetry::AccessLog::open(&sink, AccessFormat::Json, metrics).unwrap_err();
    assert!(error.to_string().contains("nobody reads"), "{error}");
    let _reader = OpenOptions::new()
        .read(true)
        .custom_flags(0o4000)
        .open(&fifo);
    let metrics = std::sync::Arc::default();
    drawbridge::telemetry::AccessLog::open(&sink, AccessFormat::Json, metrics).unwrap();
}

fn make_fifo(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_stderr_does_not_keep_it_from_ending() {
    let mut running = FrontProcess::open(Stdio::null(), Stdio::piped(), |text| text).await;
    let _unread = running.child.stderr.take();
    // Each says more than 400 bytes, and a pipe holds 64 KiB.
    running.attack(400).await;
    running.reload_changes_it().await;
    assert_eq!(get(running.address, "/orders/1").await.status, 200);
    running.ends_well().await;
}
