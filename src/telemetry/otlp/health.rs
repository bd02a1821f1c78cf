//! How sending goes: for `/status`, the log and the metrics.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::outbound::FetchError;
use crate::telemetry::metrics::{Counter, Table};

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Lines of logs.
    Logs,
}

/// The counters of all signals.
#[derive(Debug, Default)]
pub struct OtlpMetrics {
    traces: SignalMetrics,
    logs: SignalMetrics,
    /// Tries that failed, by signal and code.
    pub failures: Table<&'static str, Counter>,
}

/// The counters of a signal, in spans or lines.
#[derive(Debug, Default)]
pub struct SignalMetrics {
    /// The collector took them.
    pub sent: Counter,
    /// Too many waited already.
    pub dropped_queue: Counter,
    /// The collector did not take them, however often they were sent.
    pub dropped_unsent: Counter,
    /// The collector took the rest of their batch.
    pub dropped_rejected: Counter,
    health: Mutex<SignalHealth>,
}

/// How sending a signal goes.
#[derive(Debug, Clone, Default)]
pub struct SignalHealth {
    /// When the collector last took something.
    pub sent_at: Option<SystemTime>,
    /// What is wrong; None if the last try went well.
    pub trouble: Option<Trouble>,
}

/// What is wrong with a collector.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// When the first try of a series failed.
    pub since: SystemTime,
    /// The code of the last failure.
    pub code: &'static str,
    /// The last failure in words.
    pub words: String,
    /// What to do.
    pub fix: &'static str,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Traces, Self::Logs];

    /// The name in metrics and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
        }
    }
}

impl OtlpMetrics {
    /// The counters of a signal.
    #[must_use]
    pub fn of(&self, signal: Signal) -> &SignalMetrics {
        match signal {
            Signal::Traces => &self.traces,
            Signal::Logs => &self.logs,
        }
    }

    pub(super) fn failed(&self, signal: Signal, error: &FetchError) {
        let code = error.fault.code();
        self.failures.with(signal.name(), &code, Counter::count);
        let mut health = self.of(signal).lock();
        let before = health.trouble.take();
        // One line for an outage, not one for each try.
        if before.is_none() {
            tracing::warn!(
                target: "otlp",
                code,
                "{} cannot be sent: {error}; {}",
                signal.name(),
                error.fault.fix()
            );
        }
        health.trouble = Some(Trouble {
            since: before.map_or_else(SystemTime::now, |before| before.since),
            code,
            words: error.to_string(),
            fix: error.fault.fix(),
        });
    }

    pub(super) fn succeeded(&self, signal: Signal) {
        let mut health = self.of(signal).lock();
        health.sent_at = Some(SystemTime::now());
        if health.trouble.take().is_some() {
            // Writing the line may take a while, and `/status` waits for this lock.
            drop(health);
            tracing::info!(target: "otlp", "{} are sent again", signal.name());
        }
    }
}

impl SignalMetrics {
    /// How sending goes.
    #[must_use]
    pub fn health(&self) -> SignalHealth {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, SignalHealth> {
        // Each statement leaves it whole.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
