//! Counts the bytes that parsers look at, so that their work ends when the time does, and so that tests can prove it
//! linear without a clock.

use crate::steps;

/// Counts bytes that are about to be looked at.
#[inline]
pub(super) fn add(bytes: usize) {
    note(bytes);
    // Parsers ask `is_over` at places where they can stop; the error adds nothing.
    let _ = steps::work(bytes);
}

/// The same for bytes that are counted elsewhere, or are too few to count.
#[cfg(not(test))]
#[inline]
pub(super) fn note(_bytes: usize) {}

/// Whether the work must end here.
#[inline]
pub(super) fn is_over() -> bool {
    steps::is_over()
}

/// Why it ended.
pub(super) const OUT_OF_TIME: &str = "no time left";

#[cfg(test)]
thread_local! {
    static BYTES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
pub(super) fn note(bytes: usize) {
    BYTES.set(BYTES.get() + bytes);
}

/// Asserts that `run` looks at each byte of `unit` over and over at most `times` times, and at no
/// more than twice as many bytes of an input of twice the length.
#[cfg(test)]
pub(super) fn assert_linear(start: &str, unit: &str, times: usize, run: impl Fn(&[u8])) {
    let work = |length: usize| {
        let body = format!("{start}{}", unit.repeat(length / unit.len()));
        BYTES.set(0);
        run(body.as_bytes());
        (BYTES.get(), body.len())
    };
    let ((one, length), (two, _)) = (work(1 << 20), work(2 << 20));
    assert!(one <= times * length, "{unit:?}: {one} of {length}");
    assert!(two <= one * 2 + 4096, "{unit:?}: {one}, {two}");
}
