//! Long work in steps, between which it checks whether any time is left.
//!
//! A thread works on one transaction at a time. So the rest of the time is stored by thread, and loops deep in
//! operators, transformations and parsers can check it without a parameter. Without a limit a check costs one
//! subtraction.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes of work between two looks at the clock, which costs more than a few bytes of work.
pub(super) const STEP: usize = 16 * 1024;

/// There is no time left; the answer is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfTime;

/// When unfinished work ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Limit {
    #[default]
    None,
    Time(Duration),
    /// After so many looks at the clock. Tests prove with it where work can end, whatever the speed of the machine.
    Looks(u64),
}

#[derive(Debug, Clone, Copy)]
enum Clock {
    Unlimited,
    /// Until [`until_given_up`] says that nobody waits for the result.
    Watched,
    Until(Instant),
    Looks(u64),
    Over,
}

thread_local! {
    /// Bytes of work until the next look.
    static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    static CLOCK: Cell<Clock> = const { Cell::new(Clock::Unlimited) };
    static GIVEN_UP: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Counts bytes that are about to be worked on.
///
/// # Errors
/// The work must end here.
#[inline]
pub(super) fn work(bytes: usize) -> Result<(), OutOfTime> {
    match LEFT.get().checked_sub(bytes) {
        Some(left) => {
            LEFT.set(left);
            Ok(())
        }
        None => look_after(bytes),
    }
}

/// Looks at the clock.
///
/// # Errors
/// The work must end here.
pub(super) fn look() -> Result<(), OutOfTime> {
    look_after(0)
}

/// Looks at the clock, and counts these bytes of the next step.
#[cold]
fn look_after(bytes: usize) -> Result<(), OutOfTime> {
    let over = match CLOCK.get() {
        Clock::Unlimited => {
            LEFT.set(usize::MAX);
            return Ok(());
        }
        Clock::Watched => is_given_up(),
        Clock::Until(end) => Instant::now() >= end || is_given_up(),
        Clock::Looks(0) | Clock::Over => true,
        Clock::Looks(left) => {
            CLOCK.set(Clock::Looks(left - 1));
            false
        }
    };
    if over {
        CLOCK.set(Clock::Over);
        // Every later call must look again and end too.
        LEFT.set(0);
        return Err(OutOfTime);
    }
    LEFT.set(STEP.saturating_sub(bytes));
    Ok(())
}

/// Whether some work ended before it was done.
#[inline]
pub(super) fn is_over() -> bool {
    matches!(CLOCK.get(), Clock::Over)
}

/// Whether work can end before it is done.
pub(super) fn is_limited() -> bool {
    !matches!(CLOCK.get(), Clock::Unlimited)
}

/// Whether work that is expected to take `cost` would take longer than is left.
pub(super) fn exceeds(cost: Duration) -> bool {
    match CLOCK.get() {
        // None of these knows how much time is left.
        Clock::Unlimited | Clock::Watched | Clock::Looks(_) => false,
        Clock::Until(end) => end.saturating_duration_since(Instant::now()) < cost,
        Clock::Over => true,
    }
}

/// Ends the work, because the rest of it cannot be done in the time that is left.
pub(super) fn give_up() -> OutOfTime {
    CLOCK.set(Clock::Over);
    LEFT.set(0);
    OutOfTime
}

/// Does `work` under a limit. Also returns what is left of the limit.
pub(super) fn within<R>(limit: Limit, work: impl FnOnce() -> R) -> (R, Limit) {
    let watched = GIVEN_UP.with_borrow(Option::is_some);
    if limit == Limit::None && !watched {
        return (work(), limit);
    }
    let begun = Instant::now();
    // Restored by a guard, also after a panic: the thread goes on with other transactions.
    let _before = Before {
        clock: CLOCK.get(),
        left: LEFT.get(),
    };
    let clock = match limit {
        Limit::Time(time) => begun.checked_add(time).map(Clock::Until),
        Limit::Looks(looks) => Some(Clock::Looks(looks)),
        Limit::None => None,
    };
    // A time too long for the clock is no limit.
    let clock = clock.unwrap_or(if watched {
        Clock::Watched
    } else {
        Clock::Unlimited
    });
    CLOCK.set(clock);
    LEFT.set(match clock {
        Clock::Unlimited => usize::MAX,
        _ => STEP,
    });
    let result = work();
    let left = match (limit, CLOCK.get()) {
        (Limit::Time(time), _) => Limit::Time(time.saturating_sub(begun.elapsed())),
        (Limit::Looks(_), Clock::Looks(left)) => Limit::Looks(left),
        (Limit::Looks(_), _) => Limit::Looks(0),
        (Limit::None, _) => Limit::None,
    };
    (result, left)
}

/// Does `work`, which the engine ends soon after `given_up` is set, because nobody waits for the result any more.
pub fn until_given_up<R>(given_up: Arc<AtomicBool>, work: impl FnOnce() -> R) -> R {
    struct Forget;
    impl Drop for Forget {
        fn drop(&mut self) {
            GIVEN_UP.set(None);
        }
    }
    GIVEN_UP.set(Some(given_up));
    let _forget = Forget;
    work()
}

fn is_given_up() -> bool {
    // Relaxed: it only says that nobody waits, and nothing else is read because of it.
    GIVEN_UP.with_borrow(|flag| flag.as_ref().is_some_and(|f| f.load(Ordering::Relaxed)))
}

/// Restores the state before, even if the work panics.
struct Before {
    clock: Clock,
    left: usize,
}

impl Drop for Before {
    fn drop(&mut self) {
        CLOCK.set(self.clock);
        LEFT.set(self.left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many steps of work are done before they end; a hundred if they do not.
    fn steps_done() -> usize {
        (0..100).take_while(|_| work(STEP).is_ok()).count()
    }

    #[test]
    fn work_ends_when_its_looks_are_used_up() {
        assert_eq!(within(Limit::None, steps_done), (100, Limit::None));
        let (done, left) = within(Limit::Looks(3), || {
            let done = steps_done();
            assert!(is_over() && work(1).is_err());
            done
        });
        assert!((3..=5).contains(&done), "{done}");
        assert_eq!(left, Limit::Looks(0));
        let none = Limit::Time(Duration::ZERO);
        assert!(within(none, steps_done).0 <= 1);
        assert!(
            !is_limited() && !is_over(),
            "the next transaction has its own"
        );
        assert_eq!(steps_done(), 100);
    }

    #[test]
    fn work_that_nobody_waits_for_ends() {
        let given_up = Arc::new(AtomicBool::new(false));
        until_given_up(Arc::clone(&given_up), || {
            assert_eq!(within(Limit::None, steps_done).0, 100);
            given_up.store(true, Ordering::Relaxed);
            assert!(within(Limit::None, steps_done).0 <= 1);
            assert!(within(Limit::Time(Duration::MAX), steps_done).0 <= 1);
        });
        assert_eq!(within(Limit::None, steps_done).0, 100);
    }
}
