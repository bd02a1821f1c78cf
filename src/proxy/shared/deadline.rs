//! Waits for a client, with a deadline.

use std::time::Instant;

use pingora::time::{Elapsed, fast_timeout::fast_timeout};

/// The result of the future, if it comes before the deadline, or at most some 10 ms after it. For waits of every
/// request, since a timer of the reactor would cost system calls to set and to remove.
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
