//! The places of the API's connections. There are few, and one more connection always gets in: it takes the place of
//! who has said nothing for longest, so that silent connections keep nobody from `/livez` or a switch.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

/// Connections at once.
const MOST: usize = 32;

/// How far a connection is; who is less far goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Its request is not there yet.
    Asking,
    /// It takes its answer.
    Taking,
    /// Its request is being answered.
    Waiting,
}

#[derive(Debug, Default)]
pub(super) struct Places {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// By number, which is the order in which they came.
    seats: BTreeMap<u64, (Stage, AbortHandle)>,
}

/// One connection's; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    places: Arc<Places>,
}

impl Places {
    /// Runs a connection on a task of its own.
    pub fn seat<F>(self: &Arc<Self>, connection: impl FnOnce(Place) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut taken = self.taken();
        if taken.seats.len() >= MOST {
            let least = taken
                .seats
                .iter()
                .min_by_key(|(number, (stage, _))| (*stage, **number));
            if let Some(number) = least.map(|(number, _)| *number)
                && let Some((_, task)) = taken.seats.remove(&number)
            {
                task.abort();
            }
        }
        let number = taken.next;
        taken.next += 1;
        let place = Place {
            number,
            places: Arc::clone(self),
        };
        // It cannot give its place back before it has one: that needs the lock.
        let task = tokio::spawn(connection(place));
        taken
            .seats
            .insert(number, (Stage::Asking, task.abort_handle()));
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Seats come and go whole.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub fn is_at(&self, stage: Stage) {
        if let Some((known, _)) = self.places.taken().seats.get_mut(&self.number) {
            *known = stage;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().seats.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn the_oldest_silent_one_makes_room() {
        let places = Arc::new(Places::default());
        let (ended, mut gone) = mpsc::unbounded_channel();
        struct Told(usize, mpsc::UnboundedSender<usize>);
        impl Drop for Told {
            fn drop(&mut self) {
                let _ = self.1.send(self.0);
            }
        }
        let seat = |number: usize, stage| {
            let told = Told(number, ended.clone());
            places.seat(move |place| async move {
                let _told = told;
                place.is_at(stage);
                std::future::pending().await
            });
        };
        for number in 0..MOST {
            let stage = match number {
                0 => Stage::Waiting,
                1 => Stage::Taking,
                _ => Stage::Asking,
            };
            seat(number, stage);
            tokio::task::yield_now().await;
        }
        let expected = (2..MOST).chain([1, 0]);
        for (more, expected) in expected.enumerate() {
            seat(MOST + more, Stage::Waiting);
            assert_eq!(gone.recv().await, Some(expected));
            assert_eq!(places.taken().seats.len(), MOST);
        }
    }
}
