//! Waiting for what must come, without a look at how long it takes.

use std::time::{Duration, Instant};

/// Asks again and again; None after a minute: a machine may be busy, and a test that passes never waits so long.
pub async fn wait<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask() {
            return Some(found);
        }
        if begun.elapsed() > Duration::from_secs(60) {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
