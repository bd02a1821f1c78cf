//! A front door in this process, from a configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, Once};

use drawbridge::config;
use drawbridge::proxy::{BoundAddresses, serve};
use drawbridge::telemetry::{Counter, Metrics};
use serde_json::Value;
use tokio::sync::oneshot;

pub use support::setup::{RULES, Setup};
pub use support::wait::wait;

pub struct Front {
    pub address: SocketAddr,
    pub bound: BoundAddresses,
    pub metrics: Arc<Metrics>,
    pub folder: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
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

/// What was logged by anything in this process so far.
pub fn log() -> String {
    String::from_utf8_lossy(&LOG.lock().unwrap()).into_owned()
}

/// What was logged by anything in this process so far holds this text.
pub async fn logged(text: &str) {
    let found = wait(|| log().contains(text).then_some(())).await;
    assert!(found.is_some(), "{text} is not in {}", log());
}

/// Is counted at least so often; what an answer counts may be so after it has come.
pub async fn counts(counter: &Counter, least: u64) {
    let counted = wait(|| (counter.value() >= least).then_some(())).await;
    assert!(counted.is_some(), "{} of {least}", counter.value());
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
