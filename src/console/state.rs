//! What the console has at hand, and a request of somebody who is logged in.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::answer::Cookie;
use super::api::Api;
use super::attempts::{Attempts, Failure};
use super::audit::Audit;
use super::client::{Client, Connection};
use super::feed::Feed;
use super::history::History;
use super::openid::OpenId;
use super::sessions::{Identity, Sessions};
use super::tokens::Tokens;
use crate::admin::{Actions, Fields, Router};
use crate::config::ConsoleSettings;
use crate::live::Live;
use crate::telemetry::Metrics;

/// What each request has at hand.
pub(super) struct ConsoleState {
    pub(super) settings: ConsoleSettings,
    pub(super) router: Arc<Router>,
    /// For the certificates, which a reload replaces.
    pub(super) live: Arc<Live>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) tokens: Arc<Tokens>,
    pub(super) attempts: Attempts,
    pub(super) metrics: Arc<Metrics>,
    pub(super) history: Arc<History>,
    pub(super) audit: Arc<Audit>,
    pub(super) feed: Feed,
    pub(super) actions: Actions,
    /// None without randomness when it began.
    pub(super) openid: Option<OpenId>,
}

/// A request of somebody who is logged in.
pub(super) struct Asked<'r> {
    pub(super) console: &'r ConsoleState,
    pub(super) api: Api,
    pub(super) identity: &'r Identity,
    /// What the `*` of the path stand for.
    pub(super) segments: Vec<&'r str>,
    pub(super) query: Fields<'r>,
    pub(super) form: Fields<'r>,
}

impl<'r> Asked<'r> {
    /// What the only `*` of the path stands for.
    pub(super) fn segment(&self) -> &'r str {
        self.segments.first().copied().unwrap_or_default()
    }
}

impl ConsoleState {
    /// The cookie of its sessions.
    pub(super) fn cookie(&self) -> Cookie {
        match self.settings.has_tls {
            true => Cookie::Secure,
            false => Cookie::Plain,
        }
    }

    /// Who sends a request on this connection now; None if a reload has changed who may connect.
    pub(super) fn client(&self, connection: &Connection) -> Option<Client> {
        let snapshot = self.live.pin();
        connection.client(&snapshot.config)
    }

    /// Whether a session that was found on this connection goes on there. Unlike a request, asking does not prolong it.
    pub(super) fn goes_on(&self, session: &str, connection: &Connection) -> bool {
        let identity = self.sessions.alive(session);
        let client = self.client(connection);
        identity
            .zip(client)
            .is_some_and(|(identity, client)| client.may_use(&identity))
    }

    /// Records an action in the audit, on a thread that may wait for the disk.
    pub(super) fn record(&self, identity: &Identity, action: &str, outcome: &str) {
        let (audit, identity) = (Arc::clone(&self.audit), identity.clone());
        let (action, outcome) = (action.to_owned(), outcome.to_owned());
        // Nobody waits for it: what was done is done.
        drop(spawn_blocking(move || {
            audit.record(&identity, &action, &outcome);
        }));
    }

    /// Counts a login that failed, and records it unless there were too many. Whether there were too many from there.
    pub(super) fn record_failure(
        &self,
        peer: SocketAddr,
        action: &'static str,
        outcome: &str,
    ) -> bool {
        let failure = self.attempts.failed(peer.ip());
        if failure != Failure::Counted {
            return failure == Failure::TooMany;
        }
        let (audit, outcome) = (Arc::clone(&self.audit), outcome.to_owned());
        drop(spawn_blocking(move || {
            audit.record_failure(peer, action, &outcome);
        }));
        false
    }
}
