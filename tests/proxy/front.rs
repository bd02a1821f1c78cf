//! A front door in this process, from a configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Once};
use std::time::{Duration, Instant};

use drawbridge::config;
use drawbridge::proxy::{BoundAddresses, serve};
use drawbridge::telemetry::{Counter, Metrics};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::pki;
use crate::upstream::Upstream;

pub struct Front {
    pub address: SocketAddr,
    pub bound: BoundAddresses,
    pub metrics: Arc<Metrics>,
    pub folder: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
}

/// What a configuration says beside what all of them do.
#[derive(Default)]
pub struct Setup {
    /// Top-level keys.
    pub top: String,
    /// Of the listener `public`; 0 is any.
    pub port: u16,
    /// Of the listener `public`: further entries of its certificates, each with a comma.
    pub certificates: String,
    /// Of the listener `public`.
    pub listener: String,
    /// Of the policy `default`, without `mode`.
    pub policy: String,
    pub mode: &'static str,
    /// Of the upstream `orders`: its servers and TLS.
    pub servers: Vec<SocketAddr>,
    pub tls: String,
    pub upstream: String,
    /// Of the route.
    pub route: String,
    /// The names of the route's listeners, in quotes; `public` alone where empty.
    pub listeners: String,
    /// Further tables.
    pub more: String,
}

/// The rules of the tests.
pub const RULES: &str = r#"
SecRule ARGS "@contains attack" "id:1,phase:2,deny,status:403,log,msg:'an attack'"
SecRule REQUEST_HEADERS:X-Early "@streq attack" "id:2,phase:1,deny,status:403,log,msg:'early'"
SecRule REQUEST_HEADERS:X-Drop "@streq yes" "id:3,phase:1,drop,log,msg:'dropped'"
SecRule REQUEST_HEADERS:X-Redirect "@streq yes" "id:4,phase:1,redirect:https://else.test/,status:302,log,msg:'redirected'"
SecRule REQUEST_URI "@contains .." "id:5,phase:1,pass,log,msg:'dots'"
SecRule RESPONSE_HEADERS:X-Secret "@streq yes" "id:6,phase:3,deny,status:403,log,msg:'secret head'"
SecRule RESPONSE_BODY "@contains secret" "id:7,phase:4,deny,status:403,log,msg:'secret body'"
"#;

impl Setup {
    /// One upstream, signed by the corporate CA, taken for what it should be.
    pub fn to(upstream: &Upstream) -> Self {
        Self {
            servers: vec![upstream.address],
            ..Self::default()
        }
    }

    pub fn servers(servers: &[SocketAddr]) -> Self {
        Self {
            servers: servers.to_vec(),
            ..Self::default()
        }
    }

    /// A folder of its own with everything that is needed to run it.
    pub fn write(&self, rules: &str) -> PathBuf {
        let folder = temporary();
        pki::write(&folder);
        std::fs::write(folder.join("rules.conf"), rules).unwrap();
        std::fs::write(folder.join("drawbridge.toml"), self.text()).unwrap();
        folder
    }

    pub fn text(&self) -> String {
        let or = |text: &str, default: &'static str| match text {
            "" => default.to_owned(),
            text => text.to_owned(),
        };
        let servers: Vec<String> = self.servers.iter().map(|s| format!("\"{s}\"")).collect();
        format!(
            r#"
{shutdown}
{top}
[listeners.public]
bind = ["127.0.0.1:{port}"]
certificates = [{{ chain = "front.pem", key = "front.key" }}{certificates}]
{listener}
[log]
access = "access.log"
[trust.onprem]
ca = ["corp-ca.pem"]
[upstreams.orders]
servers = [{servers}]
tls = {tls}
{upstream}
[policies.default]
mode = "{mode}"
rules = ["rules.conf"]
{policy}
[[routes]]
name = "orders"
hosts = ["api.test"]
{route}
listeners = [{listeners}]
upstream = "orders"
policy = "default"
{more}
"#,
            shutdown = match self.top.contains("shutdown_timeout") {
                true => "",
                false => "shutdown_timeout = \"5s\"",
            },
            top = self.top,
            listeners = or(&self.listeners, "\"public\""),
            port = self.port,
            certificates = self.certificates,
            listener = self.listener,
            servers = servers.join(", "),
            tls = or(
                &self.tls,
                r#"{ server_name = "orders.corp.test", trust = "onprem" }"#
            ),
            upstream = self.upstream,
            mode = or(self.mode, "block"),
            policy = self.policy,
            route = or(
                &self.route,
                "paths = [\"/orders/\"]\nmethods = [\"GET\", \"POST\"]"
            ),
            more = self.more,
        )
    }
}

impl Front {
    pub async fn start(setup: &Setup) -> Self {
        Self::start_with(setup, RULES).await
    }

    pub async fn start_with(setup: &Setup, rules: &str) -> Self {
        Self::start_in(setup.write(rules)).await
    }

    /// From what is in this folder.
    pub async fn start_in(folder: PathBuf) -> Self {
        capture_logs();
        let file = folder.join("drawbridge.toml");
        let loaded = config::load(&file).unwrap_or_else(|found| {
            let found: Vec<String> = found.iter().map(|d| d.render(false)).collect();
            panic!("{}", found.join("\n"));
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel();
        let served = tokio::spawn(async move {
            let ready = |bound: &BoundAddresses, metrics: &Arc<Metrics>| {
                let _ = ready.send((bound.clone(), Arc::clone(metrics)));
            };
            let stopped = async {
                let _ = stopped.await;
            };
            serve(loaded.config, ready, stopped).await.unwrap();
        });
        let (bound, metrics) = is_ready.await.unwrap();
        Self {
            address: bound.address("public").unwrap(),
            bound,
            metrics,
            folder,
            stop: Some(stop),
            served: Some(served),
        }
    }

    pub fn begin_stop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }

    pub async fn stopped(&mut self) {
        self.begin_stop();
        self.served.take().unwrap().await.unwrap();
    }

    /// The first access line that this is true of, once it is there.
    pub async fn line(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let file = self.folder.join("access.log");
        let found = wait(|| {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            text.lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .find(|line| wanted(line))
        });
        found
            .await
            .unwrap_or_else(|| panic!("no such access line: {:?}", std::fs::read_to_string(&file)))
    }

    pub async fn line_of(&self, id: &str) -> Value {
        self.line(|line| line["request_id"] == id).await
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some(served) = &self.served {
            served.abort();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What was logged by anything in this process so far holds this text.
pub async fn logged(text: &str) {
    let has = || {
        LOG.lock()
            .unwrap()
            .windows(text.len())
            .any(|w| w == text.as_bytes())
    };
    let found = wait(|| has().then_some(())).await;
    assert!(
        found.is_some(),
        "{text} is not in {}",
        String::from_utf8_lossy(&LOG.lock().unwrap())
    );
}

/// Is counted at least so often; what an answer counts may be so after it has come.
pub async fn counts(counter: &Counter, least: u64) {
    let counted = wait(|| (counter.value() >= least).then_some(())).await;
    assert!(counted.is_some(), "{} of {least}", counter.value());
}

/// Asks again and again; None after ten seconds.
pub async fn wait<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask() {
            return Some(found);
        }
        if begun.elapsed() > Duration::from_secs(10) {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

static LOG: LazyLock<Mutex<Vec<u8>>> = LazyLock::new(Mutex::default);

pub fn capture_logs() {
    struct Into;
    impl std::io::Write for Into {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            LOG.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(|| Into)
            .init();
    });
}

fn temporary() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::SeqCst);
    let name = format!("drawbridge-proxy-{}-{count}", std::process::id());
    std::env::temp_dir().join(name)
}
