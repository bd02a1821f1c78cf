//! Receives a request's body and holds it until it is complete: bounded in size, time, rate and memory. Each bound
//! stops another way to keep memory busy for little effort.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use pingora::protocols::http::ServerSession;
use tokio::time::timeout;

use crate::config::ListenerLimits;
use crate::proxy::shared::body_memory::Reservation;
use crate::proxy::shared::deadline;
use crate::proxy::shared::received::Received;
use crate::proxy::shared::refusal::Refusal;
use crate::proxy::shared::refusal_code::RefusalCode;
use http_strict::BodyFraming;

/// How many bytes a refused request may still send before its answer, so that the connection can be reused.
const DRAINED: usize = 64 * 1024;
/// How long it may take for that.
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// Reads the whole body.
///
/// # Errors
/// 413, 408, 503, or 400 where it broke off.
pub(super) async fn hold(
    session: &mut ServerSession,
    received: &Received,
    limit: usize,
    limits: &ListenerLimits,
    reservation: &mut Reservation,
) -> Result<Bytes, Refusal> {
    if let BodyFraming::Length(length) = received.framing()
        && usize::try_from(length).map_or(true, |length| length > limit)
    {
        // Before a byte is read, and before `100 Continue` invites the client to send it.
        return Err(too_large(limit));
    }
    if session.is_body_done() {
        return Ok(Bytes::new());
    }
    if received.expects_continue() {
        session.write_continue_response().await.map_err(broken)?;
    }
    let mut pace = BodyPace::new(limits);
    let mut held = HeldBody::Nothing;
    loop {
        let read = deadline::before(pace.deadline(), session.read_request_body()).await;
        let chunk = match read {
            Err(_) => return Err(Refusal::page(408, RefusalCode::BodyTooSlow)),
            Ok(Err(error)) => return Err(broken(error)),
            Ok(Ok(None)) => return Ok(held.whole()),
            Ok(Ok(Some(chunk))) => chunk,
        };
        // A chunked body has no announced length, so the limit is checked as it grows.
        pace.received += chunk.len();
        if pace.received > limit {
            return Err(too_large(limit));
        }
        if reservation.grow(chunk.len()).is_err() {
            return Err(Refusal::out_of_memory());
        }
        held.push(chunk, received.framing());
    }
}

/// Reads and discards the rest of a small body. False if its end was not reached.
pub(super) async fn drain(session: &mut ServerSession) -> bool {
    let mut left = DRAINED;
    let reading = async {
        loop {
            match session.read_request_body().await {
                Ok(None) => return true,
                Ok(Some(chunk)) if chunk.len() <= left => left -= chunk.len(),
                Ok(Some(_)) | Err(_) => return false,
            }
        }
    };
    // A slow rest is not waited for.
    timeout(DRAIN_TIME, reading).await.unwrap_or(false)
}

fn too_large(limit: usize) -> Refusal {
    Refusal::page(413, RefusalCode::BodyTooLarge).because(format!("more than {limit} bytes"))
}

#[allow(clippy::needless_pass_by_value)] // the shape `map_err` wants
fn broken(error: Box<pingora::Error>) -> Refusal {
    Refusal::page(400, RefusalCode::BodyBroken).because(error.to_string())
}

/// Decides by when the next bytes must come.
struct BodyPace {
    start: Instant,
    received: usize,
    total: Duration,
    rate: u64,
    grace: Duration,
}

impl BodyPace {
    fn new(limits: &ListenerLimits) -> Self {
        Self {
            start: Instant::now(),
            received: 0,
            total: limits.body_timeout,
            rate: limits.body_min_rate,
            grace: limits.body_rate_grace,
        }
    }

    /// When the average rate will be too low or the whole takes too long. A deadline for each read alone would let a
    /// client send a byte at a time for ever.
    fn deadline(&self) -> Instant {
        let earned = match self.rate {
            0 => self.total,
            rate => Duration::from_secs_f64(self.received as f64 / rate as f64),
        };
        self.start + self.total.min(earned.max(self.grace))
    }
}

/// The body so far. A single chunk is kept without a copy; several are joined.
enum HeldBody {
    Nothing,
    One(Bytes),
    Many(BytesMut),
}

impl HeldBody {
    fn push(&mut self, chunk: Bytes, framing: BodyFraming) {
        *self = match std::mem::replace(self, Self::Nothing) {
            Self::Nothing => Self::One(chunk),
            Self::One(first) => {
                let expected = match framing {
                    // Grown from there on: a length that is only claimed must not cost memory.
                    BodyFraming::Length(length) => {
                        usize::try_from(length).unwrap_or(0).min(1 << 20)
                    }
                    _ => 0,
                };
                let size = expected.max(first.len() + chunk.len());
                let mut many = BytesMut::with_capacity(size);
                many.extend_from_slice(&first);
                many.extend_from_slice(&chunk);
                Self::Many(many)
            }
            Self::Many(mut many) => {
                many.extend_from_slice(&chunk);
                Self::Many(many)
            }
        };
    }

    fn whole(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(chunk) => chunk,
            Self::Many(many) => many.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_follows_the_rate() {
        let mut pace = BodyPace {
            start: Instant::now(),
            received: 0,
            total: Duration::from_secs(60),
            rate: 100,
            grace: Duration::from_secs(5),
        };
        assert_eq!(pace.deadline() - pace.start, Duration::from_secs(5));
        pace.received = 1_000;
        assert_eq!(pace.deadline() - pace.start, Duration::from_secs(10));
        pace.received = 1_000_000;
        assert_eq!(pace.deadline() - pace.start, Duration::from_secs(60));
        pace.rate = 0;
        assert_eq!(pace.deadline() - pace.start, Duration::from_secs(60));
    }

    #[test]
    fn chunks_are_joined() {
        let mut held = HeldBody::Nothing;
        for chunk in [&b"ab"[..], b"c", b"def"] {
            held.push(Bytes::copy_from_slice(chunk), BodyFraming::Chunked);
        }
        assert_eq!(held.whole(), &b"abcdef"[..]);
    }
}
