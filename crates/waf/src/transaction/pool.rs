//! Buffers that a finished transaction leaves to the next one on its thread, so that an ordinary transaction allocates
//! little.
//!
//! Buffers in the pool are empty. Those that a large request made larger than [`LARGEST`] are freed instead.

use std::cell::RefCell;

use super::context::ContextBuffers;
use super::matcher::Matcher;

/// As many transactions as a thread usually has open at once; beyond that, buffers are freed.
const MOST: usize = 16;
/// Bytes. Larger buffers are freed: one large body must not hold memory for as long as the thread lives.
const LARGEST: usize = 128 * 1024;

thread_local! {
    static FREE: RefCell<Vec<Buffers>> = const { RefCell::new(Vec::new()) };
}

/// Empty, with room.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    pub context: ContextBuffers,
    pub matcher: Matcher,
}

impl Buffers {
    pub(super) fn take() -> Self {
        let free = FREE.try_with(|free| free.try_borrow_mut().ok()?.pop());
        free.ok().flatten().unwrap_or_default()
    }

    /// Keeps them for another transaction, emptied.
    pub(super) fn leave(mut self) {
        if self.context.capacity() > LARGEST || self.matcher.capacity() > LARGEST {
            return;
        }
        self.context.clear();
        self.matcher.clear();
        // A thread that is ending has destroyed its pool already; then the buffers are freed.
        let _ = FREE.try_with(|free| {
            if let Ok(mut free) = free.try_borrow_mut()
                && free.len() < MOST
            {
                free.push(self);
            }
        });
    }
}
