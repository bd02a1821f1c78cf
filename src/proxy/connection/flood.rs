//! Limits HTTP/2 frames that cost the client nothing and cost us an answer or some work (CVE-2019-9512, -9513, -9515).
//! An honest client sends few of them; a client that sends many is disconnected (ENHANCE_YOUR_CALM).

use std::time::Instant;

/// So many frames at once, and so many a second after that.
const BURST: u32 = 1000;
const RATE: u32 = 100;
/// How many frames a client may send for each frame of an answer: it acknowledges DATA with updates of two windows, and
/// a stream begins with some.
const EARNED: u32 = 4;

/// How many frames a client may still send.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u32,
    filled: Instant,
}

/// The name of a type of frame, for the log.
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

    /// Called for each frame of an answer that we send.
    pub(super) fn earn(&mut self) {
        // Capped: a long download must not save up for a flood.
        self.left = (self.left + EARNED).min(10 * BURST);
    }

    /// Called for each frame that came. False if it is one too many.
    pub(super) fn spend(&mut self, kind: u8, now: impl FnOnce() -> Instant) -> bool {
        // These have other limits: the body's, the streams', the h2 crate's count of resets, and that of header blocks.
        if matches!(kind, 0 | 1 | 3 | 5 | 9) {
            return true;
        }
        if self.left == 0 {
            // The clock is read only when the allowance is used up, since this runs for every frame.
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
