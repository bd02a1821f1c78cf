//! Random bytes for ids that every request needs.

use std::cell::RefCell;

/// How many are drawn at once: a system call for each id would cost too much.
const DRAWN: usize = 1024;

thread_local! {
    /// The random bytes, and how many of them are left.
    static DRAWN_BYTES: RefCell<([u8; DRAWN], usize)> = const { RefCell::new(([0; DRAWN], 0)) };
}

/// So many random bytes, each of which is given out once. None where OpenSSL has none to give.
pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    DRAWN_BYTES.with_borrow_mut(|(bytes, left)| {
        if *left < N {
            openssl::rand::rand_bytes(bytes).ok()?;
            *left = DRAWN;
        }
        // Taken from the end, so that `left` is also the index.
        *left = left.checked_sub(N)?;
        bytes.get(*left..)?.first_chunk().copied()
    })
}
