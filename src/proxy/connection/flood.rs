//! HTTP/2 frames that cost the client nothing and cost us an answer or some work. An honest client sends few of them; a
//! client that sends many is disconnected (ENHANCE_YOUR_CALM).

use std::time::Instant;

/// So many at once, and so many a second after that.
const BURST: u32 = 1000;
const RATE: u32 = 100;
/// A client may pay for each frame of an answer with updates of two windows, and a stream begins with some.
const EARNED: u32 = 4;

/// What a client may still send.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u32,
    filled: Instant,
}

/// What it sent too much of.
pub(super) fn name(kind: u8) -> &'static str {
    match kind {
        1 | 9 => "HEADERS",
        2 => "PRIORITY",
        4 => "SETTINGS",
        6 => "PING",
        7 => "GOAWAY",
        8 => "WINDOW_UPDATE",
        _ => "unknown",
    }
}

impl Allowance {
    #[must_use]
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            filled: now,
        }
    }

    /// We sent a frame of an answer.
    pub(super) fn earn(&mut self) {
        self.left = (self.left + EARNED).min(10 * BURST);
    }

    /// A frame of this kind came. False where it is one too many.
    pub(super) fn spend(&mut self, kind: u8, now: impl FnOnce() -> Instant) -> bool {
        // DATA, HEADERS, RST_STREAM, PUSH_PROMISE and CONTINUATION have limits elsewhere.
        if matches!(kind, 0 | 1 | 3 | 5 | 9) {
            return true;
        }
        if self.left == 0 {
            let now = now();
            let millis = now.saturating_duration_since(self.filled).as_millis();
            let earned = millis * u128::from(RATE) / 1000;
            self.left = u32::try_from(earned).unwrap_or(BURST).min(BURST);
            if self.left == 0 {
                return false;
            }
            self.filled = now;
        }
        self.left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const PING: u8 = 6;

    /// How many of these come through, one every `step`, of so many.
    fn passed(allowance: &mut Allowance, begun: Instant, step: Duration, most: u32) -> u32 {
        (0..most)
            .find(|n| !allowance.spend(PING, || begun + step * *n))
            .unwrap_or(most)
    }

    #[test]
    fn a_flood_is_told_from_many() {
        let begun = Instant::now();
        let flood = passed(
            &mut Allowance::new(begun),
            begun,
            Duration::from_micros(100),
            100_000,
        );
        assert!((BURST..BURST + 200).contains(&flood), "{flood}");
        let steady = passed(
            &mut Allowance::new(begun),
            begun,
            Duration::from_millis(11),
            100_000,
        );
        assert_eq!(steady, 100_000);
        let mut allowance = Allowance::new(begun);
        assert!((0..100_000).all(|_| allowance.spend(1, || begun)));
    }

    #[test]
    fn what_is_answered_may_be_acknowledged() {
        let begun = Instant::now();
        let mut allowance = Allowance::new(begun);
        for _ in 0..100_000 {
            allowance.earn();
            assert!(allowance.spend(8, || begun) && allowance.spend(8, || begun));
        }
    }
}
