//! A queue to one background thread that never makes a sender wait: bounded in items and bytes, and with an end that can
//! be waited for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The senders' side.
#[derive(Debug)]
pub(crate) struct BoundedQueue<T> {
    /// None asks the thread to end.
    items: SyncSender<Option<Entry<T>>>,
    most_bytes: usize,
    /// Bytes that wait.
    waiting: Arc<AtomicUsize>,
    /// Ends when the thread has ended.
    ended: Mutex<Receiver<()>>,
}

/// The thread's side. Whatever ends the thread drops this.
#[derive(Debug)]
pub(crate) struct QueueReader<T> {
    items: Receiver<Option<Entry<T>>>,
    waiting: Arc<AtomicUsize>,
    /// Fields are dropped in their order. This one comes after the queue: what is offered to a thread that counts as
    /// ended must fail, or it would be lost without a word.
    _alive: SyncSender<()>,
}

/// An item, and about how much memory it takes.
#[derive(Debug)]
struct Entry<T> {
    item: T,
    bytes: usize,
}

/// What a reader got.
#[derive(Debug)]
pub(crate) enum Next<T> {
    Item(T),
    /// Nothing waits.
    Nothing,
    /// The thread must end.
    End,
}

/// A queue for so many items and so many bytes.
pub(crate) fn bounded_queue<T>(
    most: usize,
    most_bytes: usize,
) -> (BoundedQueue<T>, QueueReader<T>) {
    let (items, received) = sync_channel(most);
    let (alive, ended) = sync_channel(0);
    let waiting = Arc::new(AtomicUsize::new(0));
    let queue = BoundedQueue {
        items,
        most_bytes,
        waiting: Arc::clone(&waiting),
        ended: Mutex::new(ended),
    };
    let reader = QueueReader {
        items: received,
        waiting,
        _alive: alive,
    };
    (queue, reader)
}

impl<T> BoundedQueue<T> {
    /// Queues an item, and says whether there was room. Never waits.
    pub(crate) fn offer(&self, item: T, bytes: usize) -> bool {
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        let queued = before + bytes <= self.most_bytes
            && self.items.try_send(Some(Entry { item, bytes })).is_ok();
        if !queued {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        }
        queued
    }

    /// Asks the thread to end after what waits, and waits for it until `deadline` at longest.
    pub(crate) fn close(&self, deadline: Instant) {
        let left = || deadline.saturating_duration_since(Instant::now());
        while let Err(TrySendError::Full(_)) = self.items.try_send(None) {
            if left().is_zero() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing is ever sent: an error says that the thread has ended, or that the time is over.
        let _ = ended.recv_timeout(left());
    }

    #[cfg(test)]
    pub(crate) fn bytes_waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl<T> QueueReader<T> {
    /// Waits for an item; None if the thread must end.
    pub(crate) fn next(&self) -> Option<T> {
        let received = self.items.recv().ok().flatten()?;
        Some(self.take(received))
    }

    /// Waits for an item until then.
    pub(crate) fn next_until(&self, until: Instant) -> Next<T> {
        let wait = until.saturating_duration_since(Instant::now());
        match self.items.recv_timeout(wait) {
            Ok(Some(received)) => Next::Item(self.take(received)),
            Err(RecvTimeoutError::Timeout) => Next::Nothing,
            Ok(None) | Err(RecvTimeoutError::Disconnected) => Next::End,
        }
    }

    /// An item that waits already.
    pub(crate) fn try_next(&self) -> Next<T> {
        match self.items.try_recv() {
            Ok(Some(received)) => Next::Item(self.take(received)),
            Err(TryRecvError::Empty) => Next::Nothing,
            Ok(None) | Err(TryRecvError::Disconnected) => Next::End,
        }
    }

    /// Gives its room back at once: a panic over the item must not keep it.
    fn take(&self, received: Entry<T>) -> T {
        self.waiting.fetch_sub(received.bytes, Ordering::Relaxed);
        received.item
    }
}
