//! The threads where long inspections run.
//!
//! A worker serves many connections, so it must not spend seconds on one of them. A transaction that has much to look
//! at goes to one of these threads for a phase and comes back with its result, while the worker serves others. They are
//! few, and the workers have a higher priority. Large transactions have threads of their own, so that a merely long one
//! does not wait for them.

use std::fmt;
use std::io;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;
use tracing::dispatcher;

use crate::proxy::shared::refusal::{Refusal, RefusalKind};
use crate::proxy::shared::refusal_code::RefusalCode;

/// A phase with fewer bytes runs on its worker: handing it over would cost more than it saves.
pub(crate) const LONG: usize = 8 * 1024;
/// A phase with more bytes goes to the threads for large transactions.
const LARGE: usize = 256 * 1024;
/// How many transactions may wait for a thread. The memory for bodies bounds what they hold.
const MOST_WAITING: usize = 256;
/// How long a transaction waits before it is refused.
const PATIENCE: Duration = Duration::from_secs(30);
/// The threads' niceness, on a scale from -20 to 19 where the workers have 0.
const NICENESS: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

/// Both groups of threads. When this is dropped, each thread finishes its job and ends.
#[derive(Debug)]
pub(crate) struct InspectionThreads {
    long: ThreadGroup,
    large: ThreadGroup,
}

struct ThreadGroup {
    /// One permit for each thread.
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    jobs: mpsc::Sender<Job>,
}

/// A thread that is free for one job.
#[derive(Debug)]
pub(crate) struct ReservedThread {
    permit: OwnedSemaphorePermit,
    jobs: mpsc::Sender<Job>,
}

/// A job that was given to a thread. If this is dropped before the result is there, the job is asked to give up.
#[derive(Debug)]
pub(crate) struct PendingInspection<T> {
    result: oneshot::Receiver<T>,
    given_up: Arc<AtomicBool>,
}

impl InspectionThreads {
    /// # Errors
    /// There are no more threads.
    pub(crate) fn start() -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        Ok(Self {
            long: ThreadGroup::start("inspect", processors)?,
            // Half as many, so that large transactions cannot take every processor from the others.
            large: ThreadGroup::start("inspect-large", processors.div_ceil(2))?,
        })
    }

    /// Waits for a thread for a transaction of this many bytes.
    ///
    /// # Errors
    /// Too many wait already, or it took too long.
    pub(crate) async fn place(&self, bytes: usize) -> Result<ReservedThread, Refusal> {
        let lane = self.lane(bytes);
        let _waits = WaitCount::begin(&lane.waiting).ok_or_else(busy)?;
        match timeout(PATIENCE, lane.place()).await {
            Ok(Some(place)) => Ok(place),
            Ok(None) | Err(_) => Err(busy()),
        }
    }

    /// The same for a transaction that must be finished, however long that takes: phase 5 and the audit record must not
    /// be lost to a busy front door.
    pub(crate) async fn place_at_last(&self, bytes: usize) -> Option<ReservedThread> {
        self.lane(bytes).place().await
    }

    fn lane(&self, bytes: usize) -> &ThreadGroup {
        if bytes > LARGE {
            &self.large
        } else {
            &self.long
        }
    }
}

impl ThreadGroup {
    fn start(name: &str, threads: usize) -> io::Result<Self> {
        let (jobs, coming) = mpsc::channel::<Job>();
        let coming = Arc::new(Mutex::new(coming));
        // The thread logs to where its creator does.
        let log = dispatcher::get_default(Clone::clone);
        for number in 0..threads {
            let (log, coming) = (log.clone(), Arc::clone(&coming));
            thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || {
                    let _log = dispatcher::set_default(&log);
                    run(&coming);
                })?;
        }
        Ok(Self {
            places: Arc::new(Semaphore::new(threads)),
            waiting: AtomicUsize::new(0),
            jobs,
        })
    }

    /// None only if the semaphore was closed, which nothing does.
    async fn place(&self) -> Option<ReservedThread> {
        let permit = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let jobs = self.jobs.clone();
        Some(ReservedThread { permit, jobs })
    }
}

/// Runs one job after the other, until nobody can send one.
fn run(coming: &Mutex<mpsc::Receiver<Job>>) {
    // Without it these threads share the processors evenly with the workers.
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!("long inspections run at the same priority as everything else: {error}");
    }
    loop {
        // The lock is held while this thread waits, so the others wait for the lock. It is released before the job
        // runs.
        let job = coming.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The panic hook logs it; the waiting request gets an error, because the result is never sent. The thread must
        // survive.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

impl ReservedThread {
    /// Has the thread do the work.
    pub(crate) fn begin<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> PendingInspection<T> {
        let (done, result) = oneshot::channel();
        let given_up = Arc::new(AtomicBool::new(false));
        let (permit, heard) = (self.permit, Arc::clone(&given_up));
        let job = move || {
            // Released by the job and not by the request: a cancelled request must not free a thread that is still
            // busy.
            let _permit = permit;
            // The request may have been cancelled while the job was in the queue.
            if !heard.load(Ordering::Relaxed) {
                // An error means that nobody waits any more.
                let _ = done.send(waf::until_given_up(heard, work));
            }
        };
        // An error means that the threads are gone; the result then never comes, which `back` reports.
        let _ = self.jobs.send(Box::new(job));
        PendingInspection { result, given_up }
    }
}

impl<T> PendingInspection<T> {
    /// # Errors
    /// The work panicked.
    pub(crate) async fn back(&mut self) -> Result<T, Refusal> {
        let result = (&mut self.result).await;
        result.map_err(|_| {
            Refusal::page(500, RefusalCode::Internal).because("the inspection panicked")
        })
    }
}

impl<T> Drop for PendingInspection<T> {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}

fn busy() -> Refusal {
    Refusal::page(503, RefusalCode::InspectionBusy)
        .because("too many long inspections wait already")
        .with(RefusalKind::RetryAfter(1))
}

/// A waiting transaction, counted until dropped, also if its request is cancelled.
struct WaitCount<'l>(&'l AtomicUsize);

impl<'l> WaitCount<'l> {
    /// None if too many wait.
    fn begin(waiting: &'l AtomicUsize) -> Option<Self> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let this = Self(waiting);
        (before < MOST_WAITING).then_some(this)
    }
}

impl Drop for WaitCount<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for ThreadGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("free", &self.places.available_permits())
            .field("waiting", &self.waiting.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of_each() -> InspectionThreads {
        InspectionThreads {
            long: ThreadGroup::start("test", 1).unwrap(),
            large: ThreadGroup::start("test-large", 1).unwrap(),
        }
    }

    /// A job that goes on until it is asked to end.
    async fn occupy(
        inspections: &InspectionThreads,
        bytes: usize,
    ) -> (mpsc::Sender<()>, PendingInspection<()>) {
        let (end, ended) = mpsc::channel();
        let place = inspections.place(bytes).await.unwrap();
        let away = place.begin(move || {
            let _ = ended.recv();
        });
        (end, away)
    }

    #[tokio::test]
    async fn large_ones_hold_nobody_up_and_a_panic_takes_no_thread_away() {
        let inspections = one_of_each();
        let (end, mut large) = occupy(&inspections, LARGE + 1).await;
        for round in 0..3 {
            let place = inspections.place(LONG).await.unwrap();
            let panicked = place.begin(|| panic!("one job's")).back().await;
            assert_eq!(panicked.unwrap_err().code, RefusalCode::Internal);
            let place = inspections.place(LONG).await.unwrap();
            assert_eq!(place.begin(move || round).back().await.unwrap(), round);
        }
        drop(end);
        large.back().await.unwrap();
    }

    #[tokio::test]
    async fn who_leaves_leaves_no_place_behind() {
        let inspections = one_of_each();
        let (end, running) = occupy(&inspections, LONG).await;
        let waiting = inspections.place(LONG);
        tokio::select! {
            biased;
            _ = waiting => panic!("the only thread is busy"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(inspections.long.waiting.load(Ordering::Relaxed), 0);
        drop(running);
        drop(end);
        inspections.place(LONG).await.unwrap();
    }

    #[tokio::test]
    async fn more_than_may_wait_are_refused_at_once() {
        let inspections = one_of_each();
        let (_end, _running) = occupy(&inspections, LONG).await;
        inspections
            .long
            .waiting
            .store(MOST_WAITING, Ordering::Relaxed);
        let refused = inspections.place(LONG).await.unwrap_err();
        assert_eq!(
            (refused.status, refused.code),
            (503, RefusalCode::InspectionBusy)
        );
    }

    #[tokio::test]
    async fn a_job_that_nobody_waits_for_is_not_begun() {
        let inspections = one_of_each();
        let place = inspections.place(LONG).await.unwrap();
        let (begun, was_begun) = mpsc::channel::<()>();
        // The thread is kept from its job until that has been given up.
        let (end, ended) = mpsc::channel::<()>();
        let blocker: Job = Box::new(move || {
            let _ = ended.recv();
        });
        inspections.long.jobs.send(blocker).unwrap();
        drop(place.begin(move || begun.send(()).unwrap()));
        drop(end);
        inspections.place(LONG).await.unwrap();
        assert!(was_begun.recv().is_err());
    }
}
