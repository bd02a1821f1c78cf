//! Waiting for a client, with a deadline.

use std::time::Instant;

use pingora::time::{Elapsed, fast_timeout::fast_timeout};

/// What comes before the deadline, or at most some 10 ms after it. For what a client does with every request: a
/// timer of the reactor would be set and taken back by a system call each.
///
/// # Errors
/// The deadline passed.
pub(crate) async fn before<T>(
    deadline: Instant,
    future: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let left = deadline.saturating_duration_since(Instant::now());
    fast_timeout(left, future).await
}
