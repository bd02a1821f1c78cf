//! Diagnostics, on stderr. A line is written when it is made; only what one thread says in one breath leaves together,
//! in one system call.

use std::cell::RefCell;
use std::io::{self, Write};
use std::marker::PhantomData;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that are held are written when there are so many bytes of them.
const MOST: usize = 64 * 1024;

thread_local! {
    static HELD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Writes what is said, or holds it where [`together`] is at work.
#[derive(Debug, Clone, Copy)]
pub struct Stderr;

/// Holds this thread's lines until it is dropped.
#[derive(Debug)]
pub struct Together {
    outermost: bool,
    /// The lines are of the thread that holds them.
    _stays: PhantomData<*const ()>,
}

/// For a few lines that follow each other without a wait.
#[must_use]
pub fn together() -> Together {
    let outermost = HELD.with_borrow_mut(|held| {
        let outermost = held.is_none();
        held.get_or_insert_default();
        outermost
    });
    Together {
        outermost,
        _stays: PhantomData,
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        if !self.outermost {
            return;
        }
        let held = HELD.take().unwrap_or_default();
        if !held.is_empty() {
            // Where stderr is gone nobody is left to be told.
            let _ = io::stderr().write_all(&held);
        }
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        HELD.with_borrow_mut(|held| {
            let Some(held) = held else {
                return io::stderr().write(bytes);
            };
            held.extend_from_slice(bytes);
            if held.len() > MOST {
                io::stderr().write_all(held)?;
                held.clear();
            }
            Ok(bytes.len())
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        // Nothing is kept past a breath.
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Stderr {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Option<Vec<u8>> {
        HELD.with_borrow(Clone::clone)
    }

    #[test]
    fn lines_leave_with_the_outermost() {
        assert_eq!(held(), None);
        let outer = together();
        Stderr.write_all(b"one\n").unwrap();
        let inner = together();
        Stderr.write_all(b"two\n").unwrap();
        drop(inner);
        assert_eq!(held().as_deref(), Some(&b"one\ntwo\n"[..]));
        drop(outer);
        assert_eq!(held(), None);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let _together = together();
        Stderr.write_all(&[b'\n'; MOST]).unwrap();
        assert_eq!(held().map(|h| h.len()), Some(MOST));
        Stderr.write_all(b"\n").unwrap();
        assert_eq!(held().map(|h| h.len()), Some(0));
    }
}
