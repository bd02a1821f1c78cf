//! A progress bar on a terminal; nothing if standard error is not a terminal.
//!
//! Tests run on several threads, so the state is one atomic: each cell is drawn by the thread that fills it.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

const WIDTH: usize = 40;

#[derive(Debug)]
pub(super) struct Progress {
    total: usize,
    /// How many cells are drawn; [`usize::MAX`] if there is no terminal.
    drawn: AtomicUsize,
}

impl Progress {
    pub(super) fn new(total: usize) -> Self {
        let drawn = if io::stderr().is_terminal() {
            0
        } else {
            usize::MAX
        };
        Self {
            // `update` divides by it.
            total: total.max(1),
            drawn: AtomicUsize::new(drawn),
        }
    }

    /// Records how many are done, and draws when that fills another cell.
    pub(super) fn update(&self, done: usize) {
        let cells = done * WIDTH / self.total;
        // Of several threads at one cell, one sees the smaller number, and only that one draws.
        if self.drawn.fetch_max(cells, Ordering::Relaxed) < cells {
            let (full, empty) = ("#".repeat(cells), " ".repeat(WIDTH.saturating_sub(cells)));
            // Nobody depends on the bar, so the tests go on without it.
            let _ = write!(
                io::stderr().lock(),
                "\r[{full}{empty}] {done}/{}",
                self.total
            );
        }
    }

    /// Removes the bar.
    pub(super) fn clear(&self) {
        if self.drawn.load(Ordering::Relaxed) != usize::MAX {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}
