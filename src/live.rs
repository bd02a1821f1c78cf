//! The [`Snapshot`] that a request is pinned to.
//!
//! A snapshot is built beside the one that serves, checked by a handshake with itself, and replaced as a whole. It
//! never changes, except for new ticket keys, so a request sees one configuration from its first byte to its last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use openssl::error::ErrorStack;
use openssl::ssl::SslAcceptor;

use crate::config::{Config, ConsoleTls, Listener, ListenerKind, SniPolicy, Unit};
use crate::tls::acceptor::{NewAcceptor, acceptor};
use crate::tls::rehearsal::{self, RehearsalError};
use crate::tls::{CertifiedKey, ClientCas};
use crate::upstream::{Pool, Pools};

/// A configuration, and the acceptors and pools made from it.
pub struct Snapshot {
    /// The configuration.
    pub config: Config,
    /// The number of this snapshot; it grows with each one in this process.
    pub generation: u64,
    /// By the name of the listener, for those with TLS. Swapped in place to renew ticket keys. Two snapshots in which
    /// all TLS of a listener is the same share its slot, so that both have the new keys.
    acceptors: Acceptors,
    /// The console's, if it has TLS. No session resumes with it, so it has no ticket keys.
    console_acceptor: Option<Arc<SslAcceptor>>,
    /// The servers of each upstream.
    pub pools: Pools,
}

type Acceptors = BTreeMap<String, Arc<ArcSwap<SslAcceptor>>>;

/// Why a listener or the console cannot run although its configuration is valid.
#[derive(Debug)]
pub struct SnapshotError {
    /// The listener, or the console.
    pub unit: Unit,
    /// What went wrong with it.
    pub cause: SnapshotCause,
}

/// What went wrong with a listener.
#[derive(Debug)]
pub enum SnapshotCause {
    /// OpenSSL does not take its certificates or its TLS settings.
    Acceptor(ErrorStack),
    /// A handshake with it fails.
    Handshake(RehearsalError),
}

impl std::fmt::Display for SnapshotCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Acceptor(error) => write!(f, "OpenSSL does not take it: {error}"),
            Self::Handshake(error) => error.fmt(f),
        }
    }
}

impl std::fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.unit, self.cause)
    }
}

impl std::error::Error for SnapshotError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            SnapshotCause::Acceptor(error) => Some(error),
            SnapshotCause::Handshake(error) => Some(error),
        }
    }
}

impl Snapshot {
    /// The first snapshot of a process.
    ///
    /// # Errors
    /// A listener cannot run.
    pub fn new(config: Config) -> Result<Self, SnapshotError> {
        let mut acceptors = Acceptors::new();
        for listener in &config.listeners {
            if let Some(made) = acceptor_of(listener, None)? {
                let slot = Arc::new(ArcSwap::from_pointee(made));
                acceptors.insert(listener.name.clone(), slot);
            }
        }
        let console = config.console_tls.as_ref().map(console_acceptor_of);
        let console = console.transpose()?.map(Arc::new);
        Ok(Self::assemble(
            config,
            acceptors,
            console,
            &Pools::default(),
        ))
    }

    /// The snapshot that follows `previous`. A listener that cannot run as configured goes on as it was. It is left out
    /// if it did not run before, or if it would let in clients that the new configuration refuses. What is made of the
    /// same as before is taken over, not made anew.
    #[must_use]
    pub fn next(mut config: Config, previous: &Self) -> (Self, Vec<SnapshotError>) {
        let mut acceptors = Acceptors::new();
        let mut refused = Vec::new();
        for listener in &mut config.listeners {
            let name = listener.name.clone();
            let running = previous.listener(&name).zip(previous.acceptors.get(&name));
            if let Some((old, slot)) = running
                && has_same_tls(old, listener)
            {
                acceptors.insert(name, Arc::clone(slot));
                continue;
            }
            let known = running.map(|(_, slot)| slot.load_full());
            match acceptor_of(listener, known.as_deref()) {
                Ok(Some(made)) => {
                    acceptors.insert(name, Arc::new(ArcSwap::from_pointee(made)));
                }
                Ok(None) => {}
                Err(error) => {
                    if let Some((old, slot)) = running
                        // Fail closed: an old listener that asks for fewer certificates must not go on under a
                        // configuration that demands more.
                        && asks_for_the_same_clients(old, listener)
                    {
                        *listener = Arc::clone(old);
                        acceptors.insert(name, Arc::clone(slot));
                    }
                    refused.push(error);
                }
            }
        }
        // Without an acceptor a TLS listener cannot serve.
        config.listeners.retain(|listener| {
            matches!(listener.kind, ListenerKind::Redirect { .. })
                || acceptors.contains_key(&listener.name)
        });
        let console = next_console(&mut config, previous, &mut refused);
        let next = Self::assemble(config, acceptors, console, &previous.pools);
        (next, refused)
    }

    fn assemble(
        config: Config,
        acceptors: Acceptors,
        console_acceptor: Option<Arc<SslAcceptor>>,
        running: &Pools,
    ) -> Self {
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        let pools = Pools::new(&config.upstreams, running);
        Self {
            config,
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
            acceptors,
            console_acceptor,
            pools,
        }
    }

    /// The listener of this name.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        self.config.listeners.iter().find(|l| l.name == name)
    }

    /// The acceptor of the listener of this name; None for one without TLS.
    #[must_use]
    pub fn acceptor(&self, listener: &str) -> Option<Arc<SslAcceptor>> {
        Some(self.acceptors.get(listener)?.load_full())
    }

    /// The acceptor of the console; None if it has no TLS, or cannot run.
    #[must_use]
    pub fn console_acceptor(&self) -> Option<&Arc<SslAcceptor>> {
        self.console_acceptor.as_ref()
    }

    /// Makes new acceptors, and with them new keys of session tickets, so that a key that is stolen later does not
    /// decrypt recorded sessions. Returns an error for each listener that keeps its acceptor, because OpenSSL refuses
    /// its settings now.
    #[must_use]
    pub fn rotate_tickets(&self) -> Vec<SnapshotError> {
        let mut failed = Vec::new();
        for listener in &self.config.listeners {
            let Some(slot) = self.acceptors.get(&listener.name) else {
                continue;
            };
            // Nothing is taken over: the contexts hold the keys.
            match acceptor_of(listener, None) {
                Ok(Some(made)) => slot.store(Arc::new(made)),
                Ok(None) => {}
                Err(error) => failed.push(error),
            }
        }
        failed
    }

    /// The servers of the upstream of this name.
    #[must_use]
    pub fn pool(&self, upstream: &str) -> Option<&Arc<Pool>> {
        self.pools.get(upstream)
    }
}

/// Whether the running listener lets in no client that the next one would refuse.
fn asks_for_the_same_clients(running: &Listener, next: &Listener) -> bool {
    match (&running.kind, &next.kind) {
        (
            ListenerKind::Tls {
                certificates: old,
                sni: old_sni,
                settings: old_settings,
            },
            ListenerKind::Tls {
                certificates,
                sni,
                settings,
            },
        ) => {
            let asked = ClientCas::new(certificates, *sni, settings);
            ClientCas::new(old, *old_sni, old_settings).keep(&asked)
        }
        _ => false,
    }
}

/// Whether no client could tell two listeners of the same name apart by a handshake.
fn has_same_tls(running: &Listener, next: &Listener) -> bool {
    let parts = |listener: &Listener| match &listener.kind {
        ListenerKind::Tls {
            certificates,
            sni,
            settings,
        } => {
            let certificates: Vec<_> = certificates.iter().map(|c| c.digest).collect();
            Some((certificates, *sni, settings.identity()))
        }
        ListenerKind::Redirect { .. } => None,
    };
    parts(next).is_some_and(|next| parts(running) == Some(next))
}

/// None for a listener without TLS. `running` is the acceptor that serves now.
fn acceptor_of(
    listener: &Listener,
    running: Option<&SslAcceptor>,
) -> Result<Option<SslAcceptor>, SnapshotError> {
    let ListenerKind::Tls {
        certificates,
        sni,
        settings,
    } = &listener.kind
    else {
        return Ok(None);
    };
    let made = acceptor(&listener.name, certificates, *sni, settings, running);
    let tried = try_out(made, certificates);
    tried.map(Some).map_err(|cause| SnapshotError {
        unit: Unit::Listener(listener.name.clone()),
        cause,
    })
}

fn console_acceptor_of(tls: &ConsoleTls) -> Result<SslAcceptor, SnapshotError> {
    let ConsoleTls {
        certificates,
        settings,
        ..
    } = tls;
    // Whoever asks for it by its address gets a certificate too; the Host field is checked against a list.
    let made = acceptor(CONSOLE, certificates, SniPolicy::Any, settings, None);
    try_out(made, certificates).map_err(|cause| SnapshotError {
        unit: Unit::Console,
        cause,
    })
}

fn try_out(
    made: Result<NewAcceptor, ErrorStack>,
    certificates: &[Arc<CertifiedKey>],
) -> Result<SslAcceptor, SnapshotCause> {
    let made = made.map_err(SnapshotCause::Acceptor)?;
    // OpenSSL accepts some settings with which no client can make a handshake.
    rehearsal::handshakes(&made.acceptor, &made.untried, certificates)
        .map_err(SnapshotCause::Handshake)?;
    Ok(made.acceptor)
}

/// The acceptor of the console that follows `previous`. If it cannot run as configured, it goes on as it was, unless it
/// would let in clients that the new configuration refuses.
fn next_console(
    config: &mut Config,
    previous: &Snapshot,
    refused: &mut Vec<SnapshotError>,
) -> Option<Arc<SslAcceptor>> {
    let tls = config.console_tls.as_mut()?;
    match console_acceptor_of(tls) {
        Ok(made) => Some(Arc::new(made)),
        Err(error) => {
            refused.push(error);
            let running = previous.config.console_tls.as_ref()?;
            let clients = |tls: &ConsoleTls| tls.settings.client_ca.as_ref().map(|ca| ca.digest);
            let stays = clients(running) == clients(tls);
            // The configuration must name the certificates that are served, as lists of them do.
            tls.certificates.clone_from(&running.certificates);
            previous.console_acceptor.clone().filter(|_| stays)
        }
    }
}

/// The name of the console's sessions. No listener can have it.
const CONSOLE: &str = "[console]";

/// The current snapshot.
pub struct Live(ArcSwap<Snapshot>);

impl Live {
    /// Serves this snapshot first.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self(ArcSwap::from_pointee(snapshot))
    }

    /// The snapshot to pin a request to.
    #[must_use]
    pub fn pin(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// New requests use `next` from now on. Must be called in a tokio runtime.
    pub fn swap(&self, next: Snapshot) {
        let old = self.0.load_full();
        let next = Arc::new(next);
        self.0.store(Arc::clone(&next));
        next.pools.start();
        // Requests that are pinned to the old snapshot still use its pools; only their tasks end. Pools that `next`
        // took over keep theirs.
        old.pools.stop(Some(&next.pools));
    }
}

#[cfg(test)]
mod tests;
