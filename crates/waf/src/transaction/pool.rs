//! Buffers that one transaction leaves to the next of its thread, so that an ordinary one allocates little.

use std::cell::RefCell;

use super::context::ContextBuffers;
use super::matcher::Matcher;

/// As many as a thread has transactions open at once, most of the time.
const MOST: usize = 16;
/// What grew past this is given back: one large body must not be paid for ever after.
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
        // A thread that ends has no use for them.
        let _ = FREE.try_with(|free| {
            if let Ok(mut free) = free.try_borrow_mut()
                && free.len() < MOST
            {
                free.push(self);
            }
        });
    }
}
