//! A progress bar on a terminal, and nothing elsewhere.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

const WIDTH: usize = 40;

#[derive(Debug)]
pub struct Progress {
    total: usize,
    /// Cells that are drawn; [`usize::MAX`] where there is no terminal.
    drawn: AtomicUsize,
}

impl Progress {
    #[must_use]
    pub fn new(total: usize) -> Self {
        let drawn = if io::stderr().is_terminal() {
            0
        } else {
            usize::MAX
        };
        Self {
            total: total.max(1),
            drawn: AtomicUsize::new(drawn),
        }
    }

    /// Says how many are done; draws when that fills another cell.
    pub fn tell(&self, done: usize) {
        let cells = done * WIDTH / self.total;
        if self.drawn.fetch_max(cells, Ordering::Relaxed) < cells {
            let (full, empty) = ("#".repeat(cells), " ".repeat(WIDTH.saturating_sub(cells)));
            let _ = write!(
                io::stderr().lock(),
                "\r[{full}{empty}] {done}/{}",
                self.total
            );
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if self.drawn.load(Ordering::Relaxed) != usize::MAX {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}
