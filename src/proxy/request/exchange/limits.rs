//! Asks the limits of the listener, the route and the policy, each as early as its key is known.

use std::sync::{Arc, LazyLock};

use tokio::sync::Semaphore;

use super::{Exchange, Outcome};
use crate::config::Route;
use crate::limits::{Action, End, Facts, Limit, LimitRefusal, now};
use crate::proxy::shared::refusal::{Refusal, RefusalKind};
use crate::proxy::shared::refusal_code::RefusalCode;
use crate::route::normalize_host;

/// Requests that tarpits hold at once, of all limits. Each holds a connection or a stream, and its head.
const MOST_HELD: usize = 1000;

static HELD: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(MOST_HELD));

impl Exchange {
    /// Asks the limits of the listener, also for a request that no route takes.
    pub(super) async fn ask_listener_limits(
        &mut self,
        route: Option<&Route>,
    ) -> Result<(), Refusal> {
        let listener = Arc::clone(&self.listener);
        let limits = listener.rate_limits.iter();
        let asked = self.ask_limits(limits.filter(|limit| !limit.needs_caller()), route);
        self.refuse_limited(asked).await
    }

    /// Asks the limits of the route and its policy whose keys are known by the head.
    pub(super) async fn ask_route_limits(&mut self, route: &Route) -> Result<(), Refusal> {
        let limits = route.rate_limits.iter().chain(&route.policy.rate_limits);
        let asked = self.ask_limits(limits.filter(|limit| !limit.needs_caller()), Some(route));
        self.refuse_limited(asked).await
    }

    /// Asks the limits whose keys have a claim of the caller.
    pub(super) async fn ask_caller_limits(&mut self, route: &Route) -> Result<(), Refusal> {
        let listener = Arc::clone(&self.listener);
        let limits = listener.rate_limits.iter();
        let limits = limits
            .chain(&route.rate_limits)
            .chain(&route.policy.rate_limits);
        let asked = self.ask_limits(limits.filter(|limit| limit.needs_caller()), Some(route));
        self.refuse_limited(asked).await
    }

    fn ask_limits<'l>(
        &mut self,
        limits: impl Iterator<Item = &'l Arc<Limit>>,
        route: Option<&Route>,
    ) -> Result<(), LimitRefusal> {
        let mut limits = limits.peekable();
        // Most requests end here where no limit is configured.
        if limits.peek().is_none() {
            return Ok(());
        }
        let host = self.received.host().and_then(normalize_host);
        let facts = Facts {
            client: self.client.ip(),
            route: route.map(|route| route.name.as_str()),
            host: host.as_deref(),
            head: &self.received,
            caller: self.identity.caller.as_ref(),
        };
        self.charges.ask(limits, &facts, now())
    }

    async fn refuse_limited(&self, asked: Result<(), LimitRefusal>) -> Result<(), Refusal> {
        match asked {
            Ok(()) => Ok(()),
            Err(refused) => Err(self.limited(refused).await),
        }
    }

    async fn limited(&self, refused: LimitRefusal) -> Refusal {
        if refused.action == Action::Tarpit
            // A full tarpit must not become the way to fill the memory.
            && let Ok(_held) = HELD.try_acquire()
        {
            let mut closing = self.connection.guard.closing.clone();
            tokio::select! {
                () = tokio::time::sleep(refused.delay) => {}
                // An error means that nobody will say so any more.
                _ = closing.wait_for(|closing| *closing) => {}
            }
        }
        let status = match refused.action {
            Action::Block => 403,
            Action::Log | Action::TooMany | Action::Tarpit | Action::Close => 429,
        };
        let kind = match refused.action {
            Action::Close => RefusalKind::Drop,
            Action::Block => RefusalKind::Page,
            Action::Log | Action::TooMany | Action::Tarpit => RefusalKind::Limited {
                retry_after: refused.retry_after,
                fields: Box::new(refused.fields),
            },
        };
        Refusal::page(status, RefusalCode::RateLimited)
            .because(format!("limit {}", refused.limit))
            .with(kind)
    }

    /// Counts what the request turned out to be.
    pub(super) fn settle_limits(&self, outcome: &Outcome) {
        if self.charges.is_empty() {
            return;
        }
        let is_blocked = self
            .inspector
            .as_ref()
            .is_some_and(|inspector| inspector.blocked);
        let end = End {
            status: outcome.status,
            is_blocked,
            bytes: outcome.bytes_in.saturating_add(outcome.bytes_out),
            cost: self.waf_time(),
        };
        self.charges.settle(&end, now());
    }
}
