//! The limit on connections of the admin API.
//!
//! There are few slots, and a new connection always gets one: it takes the slot of the connection that made the least
//! progress, of these the oldest. So silent connections cannot keep anybody from `/livez` or from switching an exposure
//! off.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

/// The most connections at once. Each may hold a head and a body, and health checks need few.
const MAX_CONNECTIONS: usize = 32;

/// The progress of a connection, from the least to the most. The derived order decides who loses its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Its request has not arrived yet.
    ReadingRequest,
    /// The client reads the answer.
    WritingAnswer,
    /// A handler works on its request.
    Answering,
}

/// All slots.
#[derive(Debug, Default)]
pub(crate) struct ConnectionSlots {
    used: Mutex<UsedSlots>,
}

#[derive(Debug, Default)]
struct UsedSlots {
    next: u64,
    /// By number, which is the order in which the connections arrived.
    connections: BTreeMap<u64, (Stage, AbortHandle)>,
}

/// One connection's slot; freed when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    number: u64,
    slots: Arc<ConnectionSlots>,
}

impl ConnectionSlots {
    /// Runs a connection on a task of its own.
    pub(crate) fn spawn<F>(self: &Arc<Self>, connection: impl FnOnce(Slot) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut used = self.used();
        if used.connections.len() >= MAX_CONNECTIONS {
            let least = used
                .connections
                .iter()
                .min_by_key(|(number, (stage, _))| (*stage, **number));
            // A handler that works is aborted last. Switches run on a thread of their own and complete even then.
            if let Some(number) = least.map(|(number, _)| *number)
                && let Some((_, task)) = used.connections.remove(&number)
            {
                task.abort();
            }
        }
        let number = used.next;
        used.next += 1;
        let slot = Slot {
            number,
            slots: Arc::clone(self),
        };
        // The task cannot free its slot before the slot is recorded: freeing needs the lock that we hold.
        let task = tokio::spawn(connection(slot));
        used.connections
            .insert(number, (Stage::ReadingRequest, task.abort_handle()));
    }

    fn used(&self) -> MutexGuard<'_, UsedSlots> {
        // Entries are inserted and removed whole.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Records the progress of the connection.
    pub(super) fn set_stage(&self, stage: Stage) {
        if let Some((known, _)) = self.slots.used().connections.get_mut(&self.number) {
            *known = stage;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.used().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn a_new_connection_takes_the_slot_of_the_oldest_silent_one() {
        let slots = Arc::new(ConnectionSlots::default());
        let (ended, mut gone) = mpsc::unbounded_channel();
        struct SendOnDrop(usize, mpsc::UnboundedSender<usize>);
        impl Drop for SendOnDrop {
            fn drop(&mut self) {
                let _ = self.1.send(self.0);
            }
        }
        let spawn = |number: usize, stage| {
            let guard = SendOnDrop(number, ended.clone());
            slots.spawn(move |slot| async move {
                let _guard = guard;
                slot.set_stage(stage);
                std::future::pending::<()>().await;
            });
        };
        for number in 0..MAX_CONNECTIONS {
            let stage = match number {
                0 => Stage::Answering,
                1 => Stage::WritingAnswer,
                _ => Stage::ReadingRequest,
            };
            spawn(number, stage);
            tokio::task::yield_now().await;
        }
        let expected = (2..MAX_CONNECTIONS).chain([1, 0]);
        for (more, expected) in expected.enumerate() {
            spawn(MAX_CONNECTIONS + more, Stage::Answering);
            assert_eq!(gone.recv().await, Some(expected));
            assert_eq!(slots.used().connections.len(), MAX_CONNECTIONS);
        }
    }
}
