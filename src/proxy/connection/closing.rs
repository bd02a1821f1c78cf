//! How a connection ends without losing what was sent.

use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Ready when the listener has been closing for `time`, counted from this call at the earliest.
pub(super) async fn closed_for(closing: &mut watch::Receiver<bool>, time: Duration) {
    // An error says that the sender is gone, which is a shutdown too.
    let _ = closing.wait_for(|closing| *closing).await;
    sleep(time).await;
}

/// Closes our side and reads on for a moment. Closing with unread bytes would send a reset, which can destroy what we
/// sent before the client reads it (RFC 9112, 9.6).
pub(super) async fn linger(mut stream: Stream) {
    // Both bounds keep a client from holding the connection open by sending on.
    const FORGOTTEN: usize = 1 << 20;
    const TIME: Duration = Duration::from_secs(2);
    let closing = async {
        // Errors mean that the client is gone, which is as good.
        let _ = stream.flush().await;
        let _ = AsyncWriteExt::shutdown(&mut stream).await;
        let mut sink = vec![0; 16 * 1024];
        let mut left = FORGOTTEN;
        while let Ok(read @ 1..) = stream.read(&mut sink).await {
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
        }
    };
    let _ = timeout(TIME, closing).await;
}
