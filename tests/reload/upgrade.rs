//! One process takes over from another, and no client notices.

use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use drawbridge::admin::client::{Answer, call};
use drawbridge::config::AdminAddress;
use tokio::io::AsyncWriteExt;

use crate::front::{RULES, Setup};
use crate::process::{Process, signal};
use crate::world::until;
use support::client::{self, Http2, h2_request, read_answer};
use support::pki::{CORP, ServerTls, leaf};
use support::ports;
use support::upstream::{Behaviour, Upstream};

struct Installation {
    folder: PathBuf,
    setup: Setup,
    _upstream: Upstream,
}

impl Drop for Installation {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Installation {
    async fn new(top: &str) -> Self {
        let tls = ServerTls::new(leaf(&CORP, "orders.corp.test"));
        let upstream = Upstream::start(tls, Behaviour::Echo).await;
        let setup = Setup {
            top: top.to_owned(),
            more: "[exposures.outside]\nroutes = [\"orders\"]\nlisteners = [\"public\"]\nowner = \"us\"\n"
                .to_owned(),
            ..Setup::to(&upstream)
        };
        Self {
            folder: setup.write(RULES),
            setup,
            _upstream: upstream,
        }
    }

    fn start(&self, arguments: &[&str]) -> Process {
        Process::start(&self.folder, arguments, None)
    }

    fn write(&self, setup: &Setup) {
        std::fs::write(self.folder.join("drawbridge.toml"), setup.text()).unwrap();
    }

    async fn ask(&self, method: &'static str, path: &str) -> Answer {
        let address = AdminAddress::Unix(self.folder.join("admin.sock"));
        let path = path.to_owned();
        let asked = tokio::task::spawn_blocking(move || call(&address, None, method, &path, b""));
        asked.await.unwrap().unwrap()
    }

    async fn serving_process(&self) -> u64 {
        let status = self.ask("GET", "/status").await;
        let status: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
        status["process"]["pid"].as_u64().unwrap()
    }
}

const KEPT: &str = "state_dir = \"state\"\nadmin = \"unix:admin.sock\"";

#[derive(Default)]
struct Tally {
    asked: AtomicUsize,
    /// Connections that were told to end.
    told: AtomicUsize,
    stop: AtomicBool,
}

impl Tally {
    async fn more(&self) {
        let before = self.asked.load(Ordering::SeqCst);
        until("clients go on", async || {
            self.asked.load(Ordering::SeqCst) > before + 50
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_takes_over_under_load() {
    let installation = Installation::new(KEPT).await;
    let mut running = installation.start(&[]);
    let address = running.address().await;
    let tally = Arc::new(Tally::default());
    let clients = [
        tokio::spawn(ask_h1(address, Arc::clone(&tally))),
        tokio::spawn(ask_h1(address, Arc::clone(&tally))),
        tokio::spawn(ask_h2(address, Arc::clone(&tally))),
        tokio::spawn(ask_h2(address, Arc::clone(&tally))),
    ];
    tally.more().await;
    for round in 0..3 {
        let told = tally.told.load(Ordering::SeqCst);
        let successor = installation.start(&["--upgrade"]);
        assert_eq!(successor.address().await, address, "port 0 as well");
        assert_eq!(running.ended().await, Some(0), "round {round}");
        assert!(
            tally.told.load(Ordering::SeqCst) >= told + 4,
            "who was connected was told"
        );
        assert_eq!(
            installation.serving_process().await,
            u64::from(successor.id())
        );
        tally.more().await;
        running = successor;
    }
    tally.stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    running.signal("-TERM");
    assert_eq!(running.ended().await, Some(0));
    assert!(!installation.folder.join("admin.sock").exists());
    assert!(!installation.folder.join("state/handover.sock").exists());
}

/// Both need the same port, so the second must not take IPv4 as well.
#[tokio::test(flavor = "multi_thread")]
async fn all_addresses_of_both_families_are_taken_and_handed_over() {
    let installation = Installation::new(KEPT).await;
    let port = ports::free().port();
    let text = installation.setup.text();
    let both = format!("bind = [\"0.0.0.0:{port}\", \"[::]:{port}\"]");
    let text = text.replace("bind = [\"127.0.0.1:0\"]", &both);
    std::fs::write(installation.folder.join("drawbridge.toml"), text).unwrap();
    let ask_both = async || {
        for ip in ["127.0.0.1", "[::1]"] {
            let address = format!("{ip}:{port}").parse().unwrap();
            assert_eq!(client::get(address, "/orders/1").await.status, 200, "{ip}");
        }
    };
    let first = installation.start(&[]);
    first.address().await;
    ask_both().await;
    let successor = installation.start(&["--upgrade"]);
    successor.address().await;
    assert_eq!(first.ended().await, Some(0));
    ask_both().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_anybody_to_take_over_from_it_is_refused() {
    for (top, words) in [
        (KEPT, "no front door waits for a hand-over at"),
        ("", "the configuration has no \"state_dir\""),
    ] {
        let installation = Installation::new(top).await;
        let process = installation.start(&["--upgrade"]);
        let said = Arc::clone(process.heard());
        assert_eq!(process.ended().await, Some(1), "{words}");
        until(words, async || said.lock().unwrap().contains(words)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_cannot_open_changes_nothing() {
    let installation = Installation::new(KEPT).await;
    let running = installation.start(&[]);
    let address = running.address().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let second = format!(
        "[listeners.second]\nbind = [\"{}\"]\ncertificates = [{{ chain = \"front.pem\", key = \"front.key\" }}]\n",
        taken.local_addr().unwrap()
    );
    let mut setup = Setup {
        top: installation.setup.top.clone(),
        servers: installation.setup.servers.clone(),
        listeners: "\"public\", \"second\"".to_owned(),
        more: installation.setup.more.clone() + &second,
        ..Setup::default()
    };
    // One that is wrong in itself, and one that fails with the sockets in its hands.
    setup.mode = "sometimes";
    for words in ["sometimes", "cannot listen on"] {
        installation.write(&setup);
        setup.mode = "block";
        let successor = installation.start(&["--upgrade"]);
        let said = Arc::clone(successor.heard());
        assert_eq!(successor.ended().await, Some(1), "{words}");
        until(words, async || said.lock().unwrap().contains(words)).await;
        assert_eq!(client::get(address, "/orders/1").await.status, 200);
        assert_eq!(
            installation.serving_process().await,
            u64::from(running.id())
        );
    }
    until("it can be switched again", async || {
        installation
            .ask("POST", "/exposures/outside/off")
            .await
            .status
            == 200
    })
    .await;
    assert_eq!(client::get(address, "/orders/1").await.status, 503);

    // The next one finds the way free, and what is off.
    drop(taken);
    let successor = installation.start(&["--upgrade"]);
    assert_eq!(successor.address().await, address);
    assert_eq!(running.ended().await, Some(0));
    assert_eq!(client::get(address, "/orders/1").await.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_starts_the_successor_and_systemd_is_told() {
    let admin = ports::free();
    let top = format!("state_dir = \"state\"\nadmin = \"{admin}\"\nadmin_token_file = \"token\"");
    let installation = Installation::new(&top).await;
    std::fs::write(installation.folder.join("token"), "a-token-of-this-test").unwrap();
    let notify = installation.folder.join("notify");
    let systemd = UnixDatagram::bind(&notify).unwrap();
    let timeout = Some(Duration::from_secs(20));
    systemd.set_read_timeout(timeout).unwrap();
    let told = || {
        let mut buffer = [0; 512];
        let length = systemd.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let running = Process::start(&installation.folder, &[], Some(&notify));
    let address = running.address().await;
    assert_eq!(told(), "READY=1");
    running.signal("-USR2");
    let main = told();
    let main: u32 = main.strip_prefix("MAINPID=").unwrap().parse().unwrap();
    let _ended = Ended(main);
    assert_ne!(main, running.id());
    assert_eq!(told(), "READY=1");
    assert_eq!(running.ended().await, Some(0));
    assert_eq!(client::get(address, "/orders/1").await.status, 200);
    assert_eq!(process_at(&admin).await, u64::from(main));
    signal(main, "-TERM");
    assert_eq!(told(), "STOPPING=1", "and nothing of the one before");
    until("it is gone", async || {
        !Path::new(&format!("/proc/{main}/fd/0")).exists()
    })
    .await;
}

/// A process that is no child of this one.
struct Ended(u32);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill")
            .args(["-KILL", &self.0.to_string()])
            .stderr(std::process::Stdio::null())
            .status();
    }
}

async fn process_at(admin: &SocketAddr) -> u64 {
    let address = AdminAddress::Tcp(*admin);
    let asked = tokio::task::spawn_blocking(move || call(&address, None, "GET", "/status", b""));
    let status = asked.await.unwrap().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
    status["process"]["pid"].as_u64().unwrap()
}

/// A connection that is kept until its end is told, and connections for one request each.
async fn ask_h1(address: SocketAddr, tally: Arc<Tally>) {
    while !tally.stop.load(Ordering::SeqCst) {
        let mut kept = client::connect(address, Some("api.test"), b"")
            .await
            .unwrap();
        let mut buffer = Vec::new();
        while !tally.stop.load(Ordering::SeqCst) {
            let request = b"GET /orders/1 HTTP/1.1\r\nHost: api.test\r\n\r\n";
            kept.write_all(request).await.unwrap();
            let answer = read_answer(&mut kept, &mut buffer, false).await.unwrap();
            assert_eq!(answer.status, 200);
            assert_eq!(client::get(address, "/orders/2").await.status, 200);
            tally.asked.fetch_add(2, Ordering::SeqCst);
            if answer.header("connection") == Some("close") {
                tally.told.fetch_add(1, Ordering::SeqCst);
                break;
            }
        }
    }
}

async fn ask_h2(address: SocketAddr, tally: Arc<Tally>) {
    while !tally.stop.load(Ordering::SeqCst) {
        let mut kept = Http2::connect(address, "api.test").await;
        while !tally.stop.load(Ordering::SeqCst) {
            let request = h2_request("GET", "https://api.test/orders/1")
                .body(())
                .unwrap();
            // What was sent is answered; what is not sent any more was told first.
            match kept.try_request(request).await {
                Ok(answer) => assert_eq!(answer.status, 200),
                Err(error) => {
                    assert!(
                        error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR),
                        "{error}"
                    );
                    tally.told.fetch_add(1, Ordering::SeqCst);
                    break;
                }
            }
            tally.asked.fetch_add(1, Ordering::SeqCst);
        }
    }
}
