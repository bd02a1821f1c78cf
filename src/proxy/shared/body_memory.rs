//! Limits the memory for bodies, over all requests.
//!
//! A request reserves bytes before it holds them, and gives them back when it ends. The limit comes with each
//! reservation, so that a reload can change it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes of bodies that are held, over all requests.
#[derive(Debug, Default)]
pub(crate) struct BodyMemory {
    used: AtomicUsize,
}

/// The part of one request; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    memory: Arc<BodyMemory>,
    limit: usize,
    bytes: usize,
}

/// The memory is used up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

impl BodyMemory {
    #[must_use]
    pub(crate) fn reserve(self: &Arc<Self>, limit: usize) -> Reservation {
        Reservation {
            memory: Arc::clone(self),
            limit,
            bytes: 0,
        }
    }

    #[cfg(test)]
    fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Reservation {
    /// How many bytes are left for all requests together.
    #[must_use]
    pub(crate) fn left(&self) -> usize {
        let used = self.memory.used.load(Ordering::Relaxed);
        self.limit.saturating_sub(used)
    }

    /// # Errors
    /// [`Exhausted`]: nothing was taken.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Exhausted> {
        // Added first and taken back if it was too much: two requests cannot both take the last bytes. Relaxed, because
        // no other data depends on this number.
        let before = self.memory.used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.limit {
            self.memory.used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Exhausted);
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_given_back() {
        let memory = Arc::new(BodyMemory::default());
        let mut one = memory.reserve(10);
        let mut two = memory.reserve(10);
        assert_eq!(one.grow(8), Ok(()));
        assert_eq!(two.grow(3), Err(Exhausted));
        assert_eq!((one.left(), two.left()), (2, 2));
        assert_eq!(two.grow(2), Ok(()));
        drop(one);
        assert_eq!(memory.used(), 2);
        assert_eq!(two.grow(8), Ok(()));
    }
}
