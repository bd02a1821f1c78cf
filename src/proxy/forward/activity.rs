//! Notes when something of a stream last went either way, so that a silent stream can be ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;

/// All clones belong to the same stream.
#[derive(Debug, Clone)]
pub(crate) struct Activity {
    begun: Instant,
    /// Milliseconds after `begun`, or [`WRITING`].
    last: Arc<AtomicU64>,
}

/// A write to the client is under way; it has its own deadline.
const WRITING: u64 = u64::MAX;

/// The stream counts as active until this is dropped.
#[derive(Debug)]
pub(crate) struct Writing(Activity);

impl Activity {
    /// Begins now.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            last: Arc::default(),
        }
    }

    pub(crate) fn now(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(WRITING - 1);
        self.last.store(now, Ordering::Relaxed);
    }

    #[must_use]
    pub(crate) fn writing(&self) -> Writing {
        self.last.store(WRITING, Ordering::Relaxed);
        Writing(self.clone())
    }

    /// Ready when nothing has happened for `limit`. It sleeps until the earliest possible end, so activity itself sets
    /// no timer.
    pub(crate) async fn ends_for(&self, limit: Duration) {
        loop {
            let left = match self.last.load(Ordering::Relaxed) {
                WRITING => limit,
                last => {
                    let silent = self.begun.elapsed();
                    limit.saturating_sub(silent.saturating_sub(Duration::from_millis(last)))
                }
            };
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    #[tokio::test]
    async fn it_ends_only_where_nothing_happens() {
        let limit = Duration::from_millis(300);
        let activity = Activity::new();
        let ended = activity.ends_for(limit);
        tokio::pin!(ended);
        let written = activity.writing();
        let early = timeout(3 * limit, &mut ended).await;
        assert!(early.is_err(), "while something is written");
        drop(written);
        timeout(20 * limit, &mut ended).await.unwrap();
    }
}
