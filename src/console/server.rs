//! The socket of the console, and what each request has at hand.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep};

use super::audit::Audit;
use super::feed::Feed;
use super::history::{History, STEP};
use super::routes;
use super::sessions::Sessions;
use super::state::ConsoleState;
use crate::admin::{ConnectionSlots, Router, serve};
use crate::config::ConsoleSettings;
use crate::supervision::{Ended, supervise};
use crate::telemetry::{AccessLog, Metrics};

/// How long the console waits before it tries again to bind its address.
const PAUSE: Duration = Duration::from_secs(1);

/// What the console shows comes from these.
pub struct ConsoleSources {
    /// The admin API, with all of its routes.
    pub router: Arc<Router>,
    /// The logins.
    pub sessions: Arc<Sessions>,
    /// The counters, for what was counted over time.
    pub metrics: Arc<Metrics>,
    /// The folder for the audit.
    pub state_dir: Option<std::path::PathBuf>,
}

/// A running console. It answers until this is dropped.
#[derive(Debug)]
pub struct Console {
    tasks: [JoinHandle<()>; 2],
}

impl Console {
    /// Begins to answer at the configured address. While it cannot be bound, as while the previous process still has it,
    /// the front door serves without its console, and the log says so.
    #[must_use]
    pub fn start(settings: &ConsoleSettings, sources: ConsoleSources, access: &AccessLog) -> Self {
        let console = Arc::new(ConsoleState {
            settings: settings.clone(),
            router: sources.router,
            sessions: sources.sessions,
            metrics: sources.metrics,
            history: History::default(),
            audit: Arc::new(Audit::new(sources.state_dir)),
            feed: Feed::new(access.feed().clone()),
        });
        let sampled = Arc::clone(&console);
        let sampler = supervise("history of the console", move || {
            sample(Arc::clone(&sampled))
        });
        let server = supervise("console", move || listen(Arc::clone(&console)));
        Self {
            tasks: [tokio::spawn(sampler), tokio::spawn(server)],
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn sample(console: Arc<ConsoleState>) -> Ended {
    let mut step = interval(STEP);
    loop {
        step.tick().await;
        console.history.take(&console.metrics);
    }
}

async fn listen(console: Arc<ConsoleState>) -> Ended {
    let listener = bind(console.settings.bind).await;
    let slots = Arc::new(ConnectionSlots::default());
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => accept(&console, stream, peer, &slots),
            // Without free descriptors, accepting fails at once; the pause keeps this loop from spinning.
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn bind(address: SocketAddr) -> TcpListener {
    let mut failed = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                tracing::info!(target: "console", "the console answers at http://{address}/");
                return listener;
            }
            Err(error) if !std::mem::replace(&mut failed, true) => warn_unbound(address, &error),
            Err(_) => {}
        }
        sleep(PAUSE).await;
    }
}

fn warn_unbound(address: SocketAddr, error: &io::Error) {
    tracing::warn!(target: "console", "there is no console yet: cannot bind {address}: {error}");
}

fn accept(
    console: &Arc<ConsoleState>,
    stream: TcpStream,
    peer: SocketAddr,
    slots: &Arc<ConnectionSlots>,
) {
    let own = stream
        .local_addr()
        .map_or(console.settings.bind.ip(), |own| own.ip());
    let own: IpAddr = own.to_canonical();
    let console = Arc::clone(console);
    slots.spawn(move |slot| {
        let handler = move |request: http::Request<Incoming>| {
            let console = Arc::clone(&console);
            async move { routes::answer(&console, request, own, peer).await }
        };
        serve(stream, slot, handler)
    });
}
