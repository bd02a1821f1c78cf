//! The generic cell rate algorithm in whole nanoseconds, without a clock of its own.
//!
//! A bucket is one number: the time at which it is full again. What a bucket owes is the time until then. A request adds
//! the time in which the rate makes room for one more, and passes if that leaves no more owed than a burst. Every division
//! rounds up, so a bucket never admits more than `burst + rate * time`.

use super::settings::Rate;

/// However much a bucket owes, it never owes more than this or a whole burst: nobody is shut out for longer.
const LONGEST_DEBT: u64 = 24 * 3600 * 1_000_000_000;

/// The arithmetic of a rate and a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gcra {
    rate: Rate,
    burst: u64,
    /// What one more costs.
    one: u64,
    /// What a whole burst costs.
    window: u64,
}

/// What a bucket says at a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// Whether there is room for one more.
    pub(super) has_room: bool,
    /// For how many more there is room.
    pub(super) remaining: u64,
    /// Nanoseconds until there is room for one more.
    pub(super) wait: u64,
    /// Nanoseconds until it is full again.
    pub(super) owed: u64,
}

impl Gcra {
    pub(super) fn new(rate: Rate, burst: u64) -> Self {
        let one = rate.period().div_ceil(rate.count.max(1));
        Self {
            rate,
            burst,
            one,
            window: one.saturating_mul(burst),
        }
    }

    pub(super) fn burst(&self) -> u64 {
        self.burst
    }

    pub(super) fn one(&self) -> u64 {
        self.one
    }

    pub(super) fn window(&self) -> u64 {
        self.window
    }

    /// The time that so many cost.
    fn time(&self, amount: u64) -> u64 {
        let period = u128::from(self.rate.period());
        let time = (u128::from(amount) * period).div_ceil(u128::from(self.rate.count.max(1)));
        u64::try_from(time).unwrap_or(u64::MAX)
    }

    /// `full` is the time at which the bucket is full again; in the past for one that is.
    pub(super) fn standing(&self, full: u64, now: u64) -> Standing {
        let owed = full.saturating_sub(now);
        let room = self.window.saturating_sub(owed);
        Standing {
            has_room: room >= self.one,
            remaining: room / self.one.max(1),
            wait: self.one.saturating_sub(room),
            owed,
        }
    }

    /// The bucket after one more; None if there is no room.
    pub(super) fn take(&self, full: u64, now: u64) -> Option<u64> {
        let has_room = self.standing(full, now).has_room;
        has_room.then(|| full.max(now).saturating_add(self.one))
    }

    /// The bucket after so many more, room or not.
    pub(super) fn charge(&self, full: u64, now: u64, amount: u64) -> u64 {
        let after = full.max(now).saturating_add(self.time(amount));
        let most = self.window.max(LONGEST_DEBT);
        after.min(now.saturating_add(most)).max(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn gcra(rate: &str, burst: u64) -> Gcra {
        Gcra::new(rate.parse().unwrap(), burst)
    }

    #[test]
    fn a_burst_passes_at_once_and_then_one_in_each_interval() {
        let gcra = gcra("2/s", 3);
        let (mut full, now) = (0, 10 * SECOND);
        for left in [2, 1, 0] {
            full = gcra.take(full, now).unwrap();
            assert_eq!(gcra.standing(full, now).remaining, left);
        }
        assert_eq!(gcra.take(full, now), None);
        assert_eq!(gcra.standing(full, now).wait, SECOND / 2);
        assert_eq!(gcra.take(full, now + SECOND / 2 - 1), None);
        full = gcra.take(full, now + SECOND / 2).unwrap();
        assert_eq!(gcra.take(full, now + SECOND / 2), None);
        assert_eq!(gcra.standing(full, now + 100 * SECOND).remaining, 3);
    }

    /// What a pseudorandom client gets in any order of requests and pauses, against the bound in whole numbers.
    #[test]
    fn never_more_than_the_burst_and_the_rate_by_the_time() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |most: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % most
        };
        for rate in [
            "1/s",
            "3/s",
            "7/m",
            "1000/s",
            "999983/s",
            "700000000/s",
            "11/h",
        ] {
            for burst in [1, 2, 5, 100] {
                let gcra = gcra(rate, burst);
                let (count, period) = (gcra.rate.count, gcra.rate.period());
                let begun = random(1 << 40);
                let (mut now, mut full, mut passed) = (begun, 0, 0_u64);
                for _ in 0..2000 {
                    now += random(3) * random(2 * gcra.one + 1);
                    if let Some(next) = gcra.take(full, now) {
                        full = next;
                        passed += 1;
                    }
                    let in_time = u128::from(now - begun) * u128::from(count);
                    let most = u128::from(burst) + in_time / u128::from(period);
                    assert!(
                        u128::from(passed) <= most,
                        "{rate} {burst}: {passed} > {most}"
                    );
                }
                assert!(passed >= burst, "{rate} {burst}: {passed}");
            }
        }
    }

    #[test]
    fn a_charge_may_owe_more_than_a_burst_but_not_for_ever() {
        let gcra = gcra("10/s", 10);
        let full = gcra.charge(0, SECOND, 100);
        assert_eq!(full, 11 * SECOND);
        assert!(!gcra.standing(full, 10 * SECOND).has_room);
        assert!(gcra.standing(full, 10 * SECOND + SECOND / 10).has_room);
        let full = gcra.charge(full, SECOND, u64::MAX);
        assert_eq!(full, SECOND + LONGEST_DEBT);
        assert_eq!(gcra.charge(full, SECOND, 1), full);
    }
}
