//! Counts the bytes that the parsers look at, so that tests can show their work to be linear without a
//! clock. Outside tests it is nothing.

#[cfg(not(test))]
#[inline]
pub(super) fn add(_bytes: usize) {}

#[cfg(test)]
thread_local! {
    static BYTES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
pub(super) fn add(bytes: usize) {
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
