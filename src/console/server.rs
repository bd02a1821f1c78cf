//! The socket of the console, and what each request has at hand.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::{HeaderValue, Version};
use hyper::body::Incoming;
use openssl::ssl::Ssl;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{interval, sleep, timeout};
use tokio_openssl::SslStream;

use super::attempts::Attempts;
use super::audit::Audit;
use super::client::{Connection, Handshake};
use super::feed::Feed;
use super::history::{History, STEP};
use super::logins::Logins;
use super::openid::OpenId;
use super::routes;
use super::state::ConsoleState;
use crate::admin::{Actions, ConnectionSlots, Protocol, Router, Slot, serve};
use crate::config::ConsoleSettings;
use crate::live::Live;
use crate::outbound;
use crate::supervision::{Ended, supervise};
use crate::telemetry::{AccessLog, Metrics};

/// How long the console waits before it tries again to bind its address.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What the console shows comes from these.
pub struct ConsoleSources {
    /// The admin API, with all of its routes.
    pub router: Arc<Router>,
    /// The snapshots, for the certificates.
    pub live: Arc<Live>,
    /// Who may use it.
    pub logins: Logins,
    /// The counters, for what was counted over time.
    pub metrics: Arc<Metrics>,
    /// The folder for the audit.
    pub state_dir: Option<std::path::PathBuf>,
}

/// A running console. It answers until this is dropped.
#[derive(Debug)]
pub struct Console {
    tasks: [JoinHandle<()>; 2],
    history: Arc<History>,
}

impl Console {
    /// Begins to answer at the configured address. While it cannot be bound, as while the previous process still has it,
    /// the front door serves without its console, and the log says so.
    #[must_use]
    pub fn start(settings: &ConsoleSettings, sources: ConsoleSources, access: &AccessLog) -> Self {
        let console = Arc::new(ConsoleState {
            settings: settings.clone(),
            router: sources.router,
            live: sources.live,
            sessions: sources.logins.sessions,
            tokens: sources.logins.tokens,
            attempts: Attempts::default(),
            metrics: sources.metrics,
            history: Arc::new(History::open(sources.state_dir.as_deref())),
            audit: Arc::new(Audit::new(sources.state_dir)),
            feed: Feed::new(access.feed().clone()),
            actions: Actions::default(),
            openid: start_openid(),
        });
        // The end may abort the tasks at any point, so the last save is not theirs.
        let history = Arc::clone(&console.history);
        let sampled = Arc::clone(&console);
        let sampler = supervise("history of the console", move || {
            sample(Arc::clone(&sampled))
        });
        let server = supervise("console", move || listen(Arc::clone(&console)));
        Self {
            tasks: [tokio::spawn(sampler), tokio::spawn(server)],
            history,
        }
    }
}

fn start_openid() -> Option<OpenId> {
    // This runtime serves no client of the listeners.
    let client = outbound::Client::new(Handle::current());
    match OpenId::new(client) {
        Ok(openid) => Some(openid),
        Err(error) => {
            tracing::warn!(target: "console", "nobody can log in by OpenID Connect: no randomness: {error}");
            None
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        // The process ends, so nothing waits for the disk but that end.
        self.history.save();
    }
}

async fn sample(console: Arc<ConsoleState>) -> Ended {
    let mut step = interval(STEP);
    loop {
        step.tick().await;
        if console.history.take(&console.metrics) {
            let history = Arc::clone(&console.history);
            // Nobody waits for it; the next one comes in 5 minutes.
            let _ = spawn_blocking(move || history.save()).await;
        }
        save_tokens(&console).await;
    }
}

/// The file then says when a token was last used, to a minute, and lacks those that were revoked while the disk was full.
async fn save_tokens(console: &ConsoleState) {
    let tokens = Arc::clone(&console.tokens);
    if let Ok(Err(error)) = spawn_blocking(move || tokens.save_due()).await {
        tracing::warn!(target: "console", "the tokens are not saved: {error}");
    }
}

async fn listen(console: Arc<ConsoleState>) -> Ended {
    let listener = bind(&console.settings).await;
    let slots = Arc::new(ConnectionSlots::default());
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => accept(&console, stream, peer, &slots),
            // Without free descriptors, accepting fails at once; the pause keeps this loop from spinning.
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn bind(settings: &ConsoleSettings) -> TcpListener {
    let address = settings.bind;
    let scheme = if settings.has_tls { "https" } else { "http" };
    let mut failed = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                tracing::info!(target: "console", "the console answers at {scheme}://{address}/");
                return listener;
            }
            // One line of the log is enough, however long another process has the address.
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
    // `bind` may be 0.0.0.0; only the socket knows the address that the Host field may name.
    let own = stream.local_addr().map(|own| own.ip());
    let connection = Connection {
        own: own.unwrap_or(console.settings.bind.ip()).to_canonical(),
        peer,
        handshake: None,
    };
    let console = Arc::clone(console);
    slots.spawn(move |slot| async move {
        match console.settings.has_tls {
            false => serve_client(console, stream, Protocol::Http1, connection, slot).await,
            true => serve_tls(console, stream, connection, slot).await,
        }
    });
}

/// Makes the handshake and serves. A client that does not succeed learns why from its own TLS.
async fn serve_tls(
    console: Arc<ConsoleState>,
    stream: TcpStream,
    mut connection: Connection,
    slot: Slot,
) {
    let snapshot = console.live.pin();
    // A reload that cannot run its TLS leaves none, rather than one that lets in others.
    let (Some(acceptor), Some(tls)) = (
        snapshot.console_acceptor(),
        snapshot.config.console_tls.as_ref(),
    ) else {
        return;
    };
    let stream = Ssl::new(acceptor.context()).and_then(|ssl| SslStream::new(ssl, stream));
    let Ok(mut stream) = stream else { return };
    // A client that stays silent here would hold one of the few slots.
    let shaken = timeout(HANDSHAKE, Pin::new(&mut stream).accept()).await;
    let Ok(Ok(())) = shaken else { return };
    connection.handshake = Some(Handshake::of(stream.ssl(), tls));
    let protocol = match stream.ssl().selected_alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        // A client without ALPN knows no HTTP/2.
        _ => Protocol::Http1,
    };
    // A connection may live for hours and must not keep an old snapshot.
    drop(snapshot);
    serve_client(console, stream, protocol, connection, slot).await;
}

async fn serve_client<S>(
    console: Arc<ConsoleState>,
    stream: S,
    protocol: Protocol,
    connection: Connection,
    slot: Slot,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = Arc::new(connection);
    let handler = move |request: http::Request<Incoming>| {
        let (console, connection) = (Arc::clone(&console), Arc::clone(&connection));
        async move { routes::answer(&console, with_host(request), &connection).await }
    };
    serve(stream, protocol, slot, handler).await;
}

/// HTTP/2 has the host in `:authority`, which decides there (RFC 9113, 8.3.1).
fn with_host(mut request: http::Request<Incoming>) -> http::Request<Incoming> {
    if request.version() == Version::HTTP_2
        && let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    request
}
