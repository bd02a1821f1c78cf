//! Spreads requests over the processors, some at a time.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::parallel;

/// Requests that a thread takes at once.
pub(super) const CHUNK: usize = 32;

/// What `work` makes of each chunk of `0..total`, in their order. Calls `done` with how many requests are done.
pub(super) fn map_chunks<R: Send>(
    total: usize,
    done: &(dyn Fn(usize) + Sync),
    work: impl Fn(Range<usize>) -> R + Sync,
) -> Vec<R> {
    let starts = (0..total).step_by(CHUNK);
    let chunks: Vec<Range<usize>> = starts.map(|at| at..(at + CHUNK).min(total)).collect();
    // Threads finish chunks in any order, so the number of requests is counted and not the last place.
    let finished = AtomicUsize::new(0);
    parallel::map(&chunks, |chunk| {
        let made = work(chunk.clone());
        let count = chunk.len();
        done(finished.fetch_add(count, Ordering::Relaxed) + count);
        made
    })
}
