//! Counts the bytes that are looked at, in tests only. Time could not prove that the work is linear.

#[cfg(test)]
use std::cell::Cell;

#[cfg(test)]
thread_local! {
    static LOOKED_AT: Cell<usize> = const { Cell::new(0) };
}

/// Counts bytes that are looked at, some of them perhaps again.
#[inline]
pub(super) fn look_at(bytes: usize) {
    #[cfg(test)]
    LOOKED_AT.set(LOOKED_AT.get() + bytes);
    #[cfg(not(test))]
    let _ = bytes;
}

/// How many bytes this thread looked at since the last call.
#[cfg(test)]
pub(super) fn take() -> usize {
    LOOKED_AT.take()
}
