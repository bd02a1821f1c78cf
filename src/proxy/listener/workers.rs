//! The threads that serve connections.
//!
//! Each has a reactor and upstream connections of its own, and a connection stays on the thread that it was given
//! to. So no thread wakes another for a request, which would cost a quarter of the CPU with a shared reactor. Long work
//! (the access log, reloads, the admin API) runs on other threads.

use std::fmt;
use std::future::Future;
use std::io;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pingora::proxy::http_proxy;
use pingora::server::configuration::ServerConf;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tracing::dispatcher;

use crate::proxy::forward::Proxy;
use crate::proxy::forward::hooks::Forward;

/// The most idle connections to upstreams, over all upstreams and threads.
const UPSTREAM_POOL: usize = 1024;
/// Pingora's own limit of tries; our `attempts` and repeats are below it.
const MOST_TRIES: usize = 16;

/// All workers. They end with their connections when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Workers {
    workers: Arc<[Arc<Worker>]>,
    /// Nothing is sent on it; dropping it ends the threads.
    _alive: watch::Sender<()>,
}

/// One thread.
struct Worker {
    runtime: Handle,
    proxy: Arc<Proxy>,
    connections: AtomicUsize,
}

impl Workers {
    /// One for each processor that this process may use.
    ///
    /// # Errors
    /// There are no more threads or descriptors.
    pub(crate) fn start() -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, NonZero::get);
        let (alive, ended) = watch::channel(());
        let workers: io::Result<Vec<_>> = (0..count)
            .map(|number| Worker::start(number, UPSTREAM_POOL.div_ceil(count), ended.clone()))
            .collect();
        Ok(Self {
            workers: workers?.into(),
            _alive: alive,
        })
    }

    /// Gives a connection to the worker with the fewest connections, which serves it through its own proxy.
    pub(crate) fn serve<F>(&self, connection: impl FnOnce(Arc<Proxy>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let fewest = self.workers.iter().min_by_key(|w| w.connections());
        let Some(worker) = fewest else { return };
        // Counted here and not in the task, so that many connections at once do not all go to the same worker.
        let counted = ConnectionCount::new(Arc::clone(worker));
        let connection = connection(Arc::clone(&worker.proxy));
        worker.runtime.spawn(async move {
            let _counted = counted;
            connection.await;
        });
    }
}

impl Worker {
    fn start(number: usize, pool: usize, mut ended: watch::Receiver<()>) -> io::Result<Arc<Self>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let conf = ServerConf {
            upstream_keepalive_pool_size: pool,
            max_retries: MOST_TRIES,
            threads: 1,
            ..ServerConf::default()
        };
        let worker = Arc::new(Self {
            runtime: runtime.handle().clone(),
            proxy: Arc::new(http_proxy(&Arc::new(conf), Forward)),
            connections: AtomicUsize::new(0),
        });
        // The thread logs to where its creator does.
        let log = dispatcher::get_default(Clone::clone);
        thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                let _log = dispatcher::set_default(&log);
                // Nothing is ever sent; an error means that the sender is gone. A panic here is one of the runtime and
                // not of a task: the connections go on when the thread does.
                let mut wait = || runtime.block_on(ended.changed());
                while catch_unwind(AssertUnwindSafe(&mut wait)).is_err() {
                    tracing::error!("the thread of worker {number} panicked and goes on");
                }
                // A normal drop would wait for blocking tasks.
                runtime.shutdown_background();
            })?;
        Ok(worker)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

/// A connection that its worker counts.
struct ConnectionCount(Arc<Worker>);

impl ConnectionCount {
    fn new(worker: Arc<Worker>) -> Self {
        worker.connections.fetch_add(1, Ordering::Relaxed);
        Self(worker)
    }
}

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn connections_are_spread_and_end_with_their_workers() {
        let workers = Workers::start().unwrap();
        let all = Arc::clone(&workers.workers);
        let mut gone = Vec::new();
        for _ in 0..3 * all.len() {
            let (held, released) = oneshot::channel::<()>();
            gone.push(released);
            workers.serve(|_| async move {
                let _held = held;
                std::future::pending::<()>().await;
            });
        }
        assert!(
            all.iter().all(|worker| worker.connections() == 3),
            "{all:?}"
        );
        drop(workers);
        for released in gone {
            assert!(released.await.is_err());
        }
    }
}
