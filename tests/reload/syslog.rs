//! Logs that go to a syslog receiver: a real rsyslog, one with TLS, and one that is not there.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::front::{Front, RULES, Setup, logged};
use crate::world::until;
use support::client;
use support::materials;
use support::pki::{CORP, PUBLIC, ServerTls, leaf};
use support::ports;
use support::upstream::{Behaviour, Upstream};

/// A front door whose `[log]` says this.
async fn start(log: &str) -> (Front, Upstream) {
    let tls = ServerTls::new(leaf(&CORP, "orders.corp.test"));
    let upstream = Upstream::start(tls, Behaviour::Echo).await;
    let setup = Setup::to(&upstream);
    let folder = setup.write(&format!("{RULES}\nSecAuditEngine RelevantOnly\n"));
    let text = setup.text().replace("access = \"access.log\"", log);
    fs::write(folder.join("drawbridge.toml"), text).unwrap();
    (Front::start_in(folder).await, upstream)
}

/// Values that would begin a line of their own, or end a message, if they were written as they came.
const HOSTILE: &[u8] = b"GET /orders/1?a=attack&b=%0d%0a<13>1%20-%20evil&c=\"\\ HTTP/1.1\r\n\
    Host: api.test\r\nUser-Agent: \"\\ 5 <13> \xe2\x80\xa8evil\xc2\x85evil\r\nReferer: https://a.test/\"\\x\r\n\r\n";

struct Rsyslog {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Rsyslog {
    /// It writes each message as its application, its MSGID and its content.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let address = ports::free();
        let config = format!(
            r#"global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imtcp")
template(name="shown" type="string" string="%app-name% %msgid% %procid% %syslogseverity-text% %msg%\n")
ruleset(name="all") {{ action(type="omfile" file="{folder}/out" template="shown") }}
input(type="imtcp" address="{ip}" port="{port}" ruleset="all")
"#,
            folder = folder.display(),
            ip = address.ip(),
            port = address.port(),
        );
        fs::write(folder.join("rsyslog.conf"), config).unwrap();
        let program = ["/usr/sbin/rsyslogd", "/sbin/rsyslogd"];
        let program = program.into_iter().find(|path| fs::exists(path).unwrap());
        let child = Command::new(program.unwrap_or("rsyslogd"))
            .args(["-n", "-f"])
            .arg(folder.join("rsyslog.conf"))
            .arg("-i")
            .arg(folder.join("pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            address,
            folder,
        }
    }

    fn received(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("out")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_takes_access_lines_and_audit_records() {
    if !materials::tool("rsyslogd") {
        return;
    }
    let rsyslog = Rsyslog::start();
    let target = format!("syslog+tcp://{}", rsyslog.address);
    let log = format!("access = \"{target}\"\naudit = \"{target}\"\nformat = \"ecs\"");
    let (front, _upstream) = start(&log).await;
    assert_eq!(client::get(front.address, "/orders/1").await.status, 200);
    let answer = client::raw(front.address, HOSTILE).await.unwrap();
    assert_eq!(answer.status, 403, "{}", answer.text());
    until("all are there", async || rsyslog.received().len() >= 3).await;
    let process = std::process::id().to_string();
    let mut kinds = Vec::new();
    for line in rsyslog.received() {
        let fields: Vec<&str> = line.splitn(5, ' ').collect();
        assert_eq!(fields[0], "drawbridge", "{line}");
        assert_eq!((fields[2], fields[3]), (&*process, "info"), "{line}");
        let content: Value = serde_json::from_str(fields[4]).unwrap();
        if fields[1] == "access" && content["http"]["response"]["status_code"] == 403 {
            let agent = content["user_agent"]["original"].as_str().unwrap();
            assert_eq!(agent, "\"\\ 5 <13> \u{2028}evil\u{85}evil");
        }
        kinds.push(fields[1].to_owned());
    }
    kinds.sort_unstable();
    assert_eq!(kinds, ["access", "access", "audit"]);
}

/// A receiver with this certificate; what it has got so far.
fn tls_receiver(tls: &ServerTls) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let got: Arc<Mutex<Vec<u8>>> = Arc::default();
    let (acceptor, sink) = (tls.acceptor(), Arc::clone(&got));
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            let Ok(mut session) = acceptor.accept(tcp.unwrap()) else {
                continue;
            };
            let mut part = [0; 4096];
            while let Ok(count @ 1..) = session.read(&mut part) {
                sink.lock().unwrap().extend_from_slice(&part[..count]);
            }
        }
    });
    (address, got)
}

/// The contents of messages, each of which is as long as it says.
fn contents(mut frames: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(space) = frames.iter().position(|byte| *byte == b' ') {
        let length = std::str::from_utf8(&frames[..space]).unwrap();
        let length: usize = length.parse().unwrap();
        let Some(message) = frames.get(space + 1..space + 1 + length) else {
            break;
        };
        let message = String::from_utf8(message.to_vec()).unwrap();
        found.push(message.splitn(8, ' ').nth(7).unwrap().to_owned());
        frames = &frames[space + 1 + length..];
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_receiver_is_verified() {
    let (address, got) = tls_receiver(&ServerTls::new(leaf(&CORP, "localhost")));
    let target = format!("syslog+tls://localhost:{}", address.port());
    let log = format!("access = \"{target}\"\nsyslog_trust = \"onprem\"\nformat = \"combined\"");
    let (front, _upstream) = start(&log).await;
    client::raw(front.address, HOSTILE).await.unwrap();
    until("the line is there", async || {
        !contents(&got.lock().unwrap()).is_empty()
    })
    .await;
    let lines = contents(&got.lock().unwrap());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("127.0.0.1 - - ["), "{lines:?}");
    let end = "\"https://a.test/\\\"\\\\x\" \"\\\"\\\\ 5 <13> \\xe2\\x80\\xa8evil\\xc2\\x85evil\"";
    assert!(lines[0].ends_with(end), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_of_another_name_or_authority_gets_nothing() {
    for tls in [leaf(&PUBLIC, "localhost"), leaf(&CORP, "other.test")] {
        let (address, got) = tls_receiver(&ServerTls::new(tls));
        let target = format!("syslog+tls://localhost:{}", address.port());
        let log = format!("access = \"{target}\"\nsyslog_trust = \"onprem\"");
        let (front, _upstream) = start(&log).await;
        assert_eq!(client::get(front.address, "/orders/1").await.status, 200);
        crate::front::counts(&front.metrics.access_log.write_failures, 2).await;
        logged(&format!("syslog at localhost:{}: ", address.port())).await;
        assert_eq!(got.lock().unwrap().len(), 0);
    }
}

/// Reads one message of each connection and closes it.
fn impatient_receiver(tls: Option<&ServerTls>) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    fn read_one(mut from: impl Read) -> Vec<u8> {
        let mut got = Vec::new();
        let mut part = [0; 4096];
        while contents(&got).is_empty() {
            match from.read(&mut part) {
                Ok(count @ 1..) => got.extend_from_slice(&part[..count]),
                _ => break,
            }
        }
        got
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let got: Arc<Mutex<Vec<u8>>> = Arc::default();
    let (acceptor, sink) = (tls.map(ServerTls::acceptor), Arc::clone(&got));
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            let tcp = tcp.unwrap();
            // The connection is closed when this returns, and only then the test can see the message.
            let read = match &acceptor {
                None => read_one(tcp),
                Some(acceptor) => acceptor.accept(tcp).map_or(Vec::new(), read_one),
            };
            sink.lock().unwrap().extend(read);
        }
    });
    (address, got)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_after_the_receiver_closed_is_not_lost() {
    let tls = ServerTls::new(leaf(&CORP, "localhost"));
    for (scheme, tls, trust) in [
        ("tcp", None, ""),
        ("tls", Some(&tls), "\nsyslog_trust = \"onprem\""),
    ] {
        let (address, got) = impatient_receiver(tls);
        let target = format!("syslog+{scheme}://localhost:{}", address.port());
        let (front, _upstream) = start(&format!("access = \"{target}\"{trust}")).await;
        for number in 1..=3 {
            let path = format!("/orders/{number}");
            assert_eq!(client::get(front.address, &path).await.status, 200);
            until("the line is there", async || {
                contents(&got.lock().unwrap()).len() == number
            })
            .await;
        }
        assert_eq!(front.metrics.access_log.dropped.value(), 0);
    }
}

/// Asks until lines are dropped; each has more than 6,000 bytes. Returns how many requests were answered.
async fn ask_until_lines_are_dropped(front: &Front, most: usize) -> usize {
    let mut connection = client::Http2::connect(front.address, "api.test").await;
    let long = "x".repeat(6000);
    let mut sent = 0;
    while front.metrics.access_log.dropped.value() == 0 {
        let uri = format!("https://api.test/orders/{sent}?a={long}");
        let request = client::h2_request("GET", &uri).body(()).unwrap();
        assert_eq!(connection.request(request, None).await.status, 200);
        sent += 1;
        assert!(sent < most, "nothing was dropped");
    }
    sent
}

/// The kernel accepts its connections and fills its buffers, and nobody reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_reads_nothing_delays_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let log = format!("access = \"syslog+tcp://{address}\"");
    let (front, _upstream) = start(&log).await;
    ask_until_lines_are_dropped(&front, 10_000).await;
}

/// Requests go on without a receiver; what does not fit into the queue is counted; what fits arrives once it is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_not_there_delays_nothing() {
    let address = ports::free();
    let log = format!("access = \"syslog+tcp://{address}\"");
    let (front, _upstream) = start(&log).await;
    let sent = ask_until_lines_are_dropped(&front, 2000).await;
    let listener = TcpListener::bind(address).unwrap();
    let got: Arc<Mutex<Vec<u8>>> = Arc::default();
    let sink = Arc::clone(&got);
    std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut part = vec![0; 65536];
        while let Ok(count @ 1..) = tcp.read(&mut part) {
            sink.lock().unwrap().extend_from_slice(&part[..count]);
        }
    });
    let expected = |lines: &BTreeSet<String>| {
        let dropped = usize::try_from(front.metrics.access_log.dropped.value()).unwrap();
        lines.len() == sent - dropped
    };
    until("what waited is there", async || {
        let lines: BTreeSet<String> = contents(&got.lock().unwrap()).into_iter().collect();
        expected(&lines)
    })
    .await;
}
