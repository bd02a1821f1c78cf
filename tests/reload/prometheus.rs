//! A real Prometheus scrapes a front door and evaluates every expression of the dashboards, rules and alerts.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::front::{Front, RULES, Setup};
use crate::world::until;
use support::client;
use support::materials::{self, project};
use support::pki::{CORP, ServerTls, leaf};
use support::ports;
use support::upstream::{Behaviour, Upstream};

/// A second route, whose gateway nobody started.
const MORE: &str = r#"
[events]
sample = 1.0
[upstreams.gone]
servers = ["127.0.0.1:1"]
tls = { server_name = "orders.corp.test", trust = "onprem" }
[[routes]]
name = "gone"
hosts = ["other.test"]
paths = ["/"]
listeners = ["public"]
upstream = "gone"
policy = "default"
identity = "corp"
identity_mode = "optional"
rate_limits = ["few"]
[limits.few]
rate = "1/h"
action = "log"
[identity.corp]
issuer = "https://idp.test"
audiences = ["gone"]
algorithms = ["HS256"]
secret = "idp.secret"
denied = "https://localhost:PORT/denied.txt"
trust = "onprem"
[signing]
issuer = "https://door.test"
[exposures.orders]
routes = ["orders"]
listeners = ["public"]
owner = "ingress"
"#;

/// What the traffic of the test does not bring about: an expression over these may have no value.
const NOT_PROVOKED: &[&str] = &[
    "drawbridge_config_refused",
    "drawbridge_exclusion_end_timestamp_seconds",
    "drawbridge_exclusion_hits_total",
    "drawbridge_shadow_requests_total",
    "drawbridge_shadow_rule_differences_total",
    "drawbridge_task_restarts_total",
    "drawbridge_upstream_refused_total",
];

struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Prometheus {
    fn start(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let rules = project().join("packaging/prometheus/rules.yaml");
        let rules = rules.canonicalize().unwrap();
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [\"{}\"]\n\
             scrape_configs:\n  - job_name: drawbridge\n    static_configs: [{{ targets: [\"{target}\"] }}]\n",
            rules.display()
        );
        fs::write(folder.join("prometheus.yml"), config).unwrap();
        let address = ports::free();
        let child = Command::new("prometheus")
            .arg(format!(
                "--config.file={}",
                folder.join("prometheus.yml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .args(["--enable-feature=exemplar-storage", "--log.level=error"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            address,
            folder,
        }
    }

    /// The `data` of an answer; None while Prometheus does not answer.
    async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Option<Value> {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        // An answer to HTTP/1.0 is not chunked and ends with its connection.
        let request = format!("GET {path}?{query} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let answer = String::from_utf8(answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let mut answer: Value = serde_json::from_str(body).ok()?;
        assert_eq!(answer["status"], "success", "{parameters:?}: {answer}");
        Some(answer["data"].take())
    }

    /// The values that an expression has now.
    async fn values(&self, expression: &str) -> Vec<Value> {
        let data = self.ask("/api/v1/query", &[("query", expression)]).await;
        let data = data.unwrap_or_default();
        data["result"].as_array().cloned().unwrap_or_default()
    }
}

async fn start_front(servers: &Upstream, issuer: &Upstream) -> (Front, SocketAddr) {
    let admin = ports::free();
    let setup = Setup {
        top: format!("admin = \"{admin}\"\nadmin_token_file = \"token\"\nstate_dir = \"state\""),
        policy: "cost_sample = 1".to_owned(),
        more: MORE.replace("PORT", &issuer.address.port().to_string()),
        ..Setup::to(servers)
    };
    let folder = setup.write(RULES);
    fs::write(folder.join("token"), "a-token-of-enough-characters").unwrap();
    fs::write(folder.join("idp.secret"), [b'a'; 32]).unwrap();
    (Front::start_in(folder).await, admin)
}

/// A request that passes, one with a body that the rules do not see, one that is blocked, one to a gateway that is gone.
async fn traffic(front: &Front) {
    assert_eq!(client::get(front.address, "/orders/1").await.status, 200);
    let attack = client::get(front.address, "/orders/1?a=attack").await;
    assert_eq!(attack.status, 403);
    let post = "POST /orders/1 HTTP/1.1\r\nHost: api.test\r\nContent-Length: 3\r\n\r\na=1";
    let answer = client::raw(front.address, post.as_bytes()).await;
    assert_eq!(answer.unwrap().status, 200);
    let mut gone = client::Http2::connect(front.address, "other.test").await;
    let request = client::h2_request("GET", "https://other.test/").body(());
    assert_eq!(gone.request(request.unwrap(), None).await.status, 502);
}

/// The expressions of all panels, with the name of their dashboard and panel.
fn panels() -> Vec<(String, String)> {
    let folder = project().join("packaging/grafana");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let name = format!("{}: {}", dashboard["title"], panel["title"]);
                let expression = target["expr"].as_str().unwrap();
                found.push((name, expression.replace("$__rate_interval", "1m")));
            }
        }
    }
    found
}

fn is_provoked(expression: &str) -> bool {
    let words: BTreeSet<&str> = expression
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    NOT_PROVOKED.iter().all(|name| !words.contains(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_evaluates_every_expression() {
    if !materials::tool("prometheus") {
        return;
    }
    let tls = ServerTls::new(leaf(&CORP, "orders.corp.test"));
    let upstream = Upstream::start(tls, Behaviour::Echo).await;
    let tls = ServerTls::new(leaf(&CORP, "localhost"));
    let denied = Behaviour::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsomebody\n".to_vec());
    let issuer = Upstream::start(tls, denied).await;
    let (front, admin) = start_front(&upstream, &issuer).await;
    let prometheus = Prometheus::start(admin);
    let expressions = panels();
    assert!(expressions.len() > 60, "{}", expressions.len());
    until("it scrapes", async || {
        !prometheus.values("drawbridge_build_info").await.is_empty()
    })
    .await;
    let mut without = Vec::new();
    until("every expression has a value", async || {
        traffic(&front).await;
        without.clear();
        for (name, expression) in &expressions {
            let values = prometheus.values(expression).await;
            if values.is_empty() && is_provoked(expression) {
                without.push(format!("{name}: {expression}"));
            }
        }
        // Shown by nextest where it never becomes so.
        println!("no value yet: {without:#?}");
        without.is_empty()
    })
    .await;
    rules_are_healthy(&prometheus, &front).await;
    exemplars_name_requests(&prometheus, &front).await;
    let lint = lint(admin).await;
    assert_eq!(lint, "");
}

/// Each rule of the file was evaluated without an error, and what is recorded has values.
async fn rules_are_healthy(prometheus: &Prometheus, front: &Front) {
    let mut states = String::new();
    until("every rule is evaluated", async || {
        traffic(front).await;
        let data = prometheus.ask("/api/v1/rules", &[]).await.unwrap();
        let groups = data["groups"].as_array().unwrap().iter();
        let rules: Vec<Value> = groups
            .flat_map(|group| group["rules"].as_array().unwrap().clone())
            .collect();
        assert!(rules.len() > 15, "{rules:#?}");
        states.clear();
        for rule in &rules {
            assert_ne!(rule["health"], "err", "{rule:#}");
            let name = rule["name"].as_str().unwrap();
            let records = rule["type"] == "recording";
            if rule["health"] != "ok" || records && prometheus.values(name).await.is_empty() {
                let _ = writeln!(states, "{name}: {}", rule["health"]);
            }
        }
        println!("not yet: {states}");
        states.is_empty()
    })
    .await;
}

/// The buckets of latencies name requests that the access log has.
async fn exemplars_name_requests(prometheus: &Prometheus, front: &Front) {
    let name = "drawbridge_listener_request_duration_seconds_bucket";
    let mut id = String::new();
    until("there are exemplars", async || {
        let (start, end) = ("2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z");
        let parameters = [("query", name), ("start", start), ("end", end)];
        let data = prometheus.ask("/api/v1/query_exemplars", &parameters).await;
        let data = data.unwrap_or_default();
        let found = &data[0]["exemplars"][0]["labels"]["request_id"];
        id = found.as_str().unwrap_or_default().to_owned();
        !id.is_empty()
    })
    .await;
    let line = front.line_of(&id).await;
    assert!(line["status"].as_u64().is_some(), "{line}");
}

/// What promtool finds wrong with the text of `/metrics`.
async fn lint(admin: SocketAddr) -> String {
    let mut stream = TcpStream::connect(admin).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let made = tempfile::tempdir().unwrap();
    let file = made.path().join("metrics");
    fs::write(&file, body).unwrap();
    let checked = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(fs::File::open(file).unwrap())
        .output()
        .unwrap();
    String::from_utf8_lossy(&checked.stderr).into_owned()
}
