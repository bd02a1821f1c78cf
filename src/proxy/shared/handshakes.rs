//! Failed handshakes: each is counted, and a bounded number of them is logged.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::telemetry::Metrics;
use crate::tls::handshake::Failed;

/// Lines in a window: enough to see what happens, too few to fill a disk. Anybody can cause failed handshakes.
const MOST_LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);
/// The most characters of a server name (RFC 1035, 2.3.4).
const LONGEST_NAME: usize = 255;

/// Decides which failed handshakes are logged. There is one for all listeners.
#[derive(Debug, Default)]
pub(crate) struct HandshakeLog(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    /// Lines in this window.
    logged: u32,
    /// Handshakes that were not logged since their number was logged last.
    left_out: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum LogDecision {
    Log,
    LeaveOut,
    /// The first one that is left out: the caller must log their number later.
    BeginToLeaveOut,
}

impl HandshakeLog {
    /// Counts a failed handshake, and logs it unless too many were logged. `sni` is the name the client asked for.
    pub(crate) fn failed(
        self: &Arc<Self>,
        metrics: &Metrics,
        listener: &str,
        client: SocketAddr,
        sni: Option<&str>,
        failed: &Failed,
    ) {
        metrics.tls_handshake_failures.count();
        metrics.handshake_failures.count(failed.reason as usize);
        let turn = self.turn(Instant::now());
        if turn == LogDecision::Log {
            let name: String = sni.unwrap_or("-").chars().take(LONGEST_NAME).collect();
            tracing::info!(
                target: "tls",
                reason = failed.reason.code(),
                listener,
                // Escaped, because the client chose it and must not forge log lines.
                sni = %name.escape_debug(),
                %client,
                "handshake refused: {failed}"
            );
        }
        if turn == LogDecision::BeginToLeaveOut {
            let handshakes = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(WINDOW).await;
                let count = handshakes.take_left_out();
                tracing::warn!(
                    target: "tls",
                    count,
                    "further handshakes were refused and not logged one by one"
                );
            });
        }
    }

    fn turn(&self, now: Instant) -> LogDecision {
        let mut window = self.lock();
        let over = |began: Instant| now.saturating_duration_since(began) >= WINDOW;
        if window.began.is_none_or(over) {
            window.began = Some(now);
            window.logged = 0;
        }
        if window.logged < MOST_LINES {
            window.logged += 1;
            return LogDecision::Log;
        }
        window.left_out += 1;
        match window.left_out {
            1 => LogDecision::BeginToLeaveOut,
            _ => LogDecision::LeaveOut,
        }
    }

    fn take_left_out(&self) -> u64 {
        std::mem::take(&mut self.lock().left_out)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Window> {
        // A poisoned lock is used all the same: the numbers are valid at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_a_most_and_what_is_left_out_is_counted() {
        let handshakes = HandshakeLog::default();
        let now = Instant::now();
        for _ in 0..MOST_LINES {
            assert_eq!(handshakes.turn(now), LogDecision::Log);
        }
        assert_eq!(handshakes.turn(now), LogDecision::BeginToLeaveOut);
        assert_eq!(handshakes.turn(now), LogDecision::LeaveOut);
        assert_eq!(handshakes.turn(now + WINDOW), LogDecision::Log);
        assert_eq!(handshakes.take_left_out(), 2);
        assert_eq!(handshakes.take_left_out(), 0);
    }
}
