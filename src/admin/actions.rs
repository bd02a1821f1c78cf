//! Actions that run to their end, also if the client that asked for them goes away: of an action that ends half way nobody
//! could say what it did, and no audit would have it.
//!
//! Invariant: their number is bounded, since a client that left no longer bounds them by its connection.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// Actions under way at once. Each needs a caller who may act, and they end by their own deadlines.
const MOST: usize = 64;

/// The actions that are under way.
#[derive(Debug)]
pub(crate) struct Actions(Arc<Semaphore>);

/// Why there is no outcome.
#[derive(Debug)]
pub(crate) enum NotRun {
    /// Too many are under way.
    TooMany,
    /// A fault of our own ended it.
    Fault(JoinError),
}

impl Default for Actions {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl Actions {
    /// Waits for the action, which goes on if nobody waits any more.
    ///
    /// # Errors
    /// It did not begin, or did not come to its end.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        action: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, NotRun> {
        let Ok(place) = Arc::clone(&self.0).try_acquire_owned() else {
            return Err(NotRun::TooMany);
        };
        let task = tokio::spawn(async move {
            // The place is free again however the action ends.
            let _place = place;
            action.await
        });
        task.await.map_err(NotRun::Fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn actions_are_bounded_and_a_panic_is_an_answer() {
        let actions = Actions(Arc::new(Semaphore::new(1)));
        let (release, held) = tokio::sync::oneshot::channel::<()>();
        // Dropped at once, as by a client that leaves.
        let mut first = Box::pin(actions.run(held));
        assert!(futures_poll(first.as_mut()));
        drop(first);
        let refused = actions.run(async {}).await;
        assert!(matches!(refused, Err(NotRun::TooMany)));
        release.send(()).unwrap();
        while actions.0.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        let panicked: Result<(), NotRun> = actions.run(async { panic!("a fault") }).await;
        assert!(matches!(panicked, Err(NotRun::Fault(_))));
        assert!(actions.run(async {}).await.is_ok());
    }

    /// Polls once; whether it waits.
    fn futures_poll<F: Future + ?Sized>(future: std::pin::Pin<&mut F>) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        future.poll(&mut context).is_pending()
    }
}
