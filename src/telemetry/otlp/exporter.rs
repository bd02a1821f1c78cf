//! Takes records from requests and sends them in batches. One thread for each signal waits for the collector; nobody
//! else does.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use http::header::RETRY_AFTER;
use tokio::runtime::Handle;

use super::context::{Incoming, TraceContext};
use super::encode;
use super::health::{OtlpMetrics, Signal, SignalMetrics};
use super::record::{LogRecord, SpanRecord};
use super::settings::OtlpSettings;
use crate::bounded_queue::{BoundedQueue, Next, QueueReader, bounded_queue};
use crate::outbound::{Client, Fault};

/// The most requests or lines that wait, and the most bytes of them.
const MOST_WAITING: usize = 8192;
const MOST_BYTES: usize = 16 << 20;
/// How long a batch gathers, and how large it gets at most.
const GATHER: Duration = Duration::from_secs(1);
const MOST_BATCH: usize = 512;
/// How often a batch is sent at most, and the pauses between.
const MOST_TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, also if the collector asks for a longer one: what waits meanwhile is bounded.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The pause after a panic.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// The way to the collector. Without settings it does nothing.
#[derive(Debug)]
pub struct Otlp {
    shared: Arc<Shared>,
    client: Client,
    /// Made when there are settings for the first time.
    queues: OnceLock<Queues>,
}

#[derive(Debug)]
struct Queues {
    traces: BoundedQueue<Vec<SpanRecord>>,
    logs: BoundedQueue<LogRecord>,
}

#[derive(Debug)]
struct Shared {
    settings: ArcSwapOption<OtlpSettings>,
    metrics: Arc<OtlpMetrics>,
    closing: Mutex<bool>,
    /// Wakes a pause when `closing` is set.
    wake: Condvar,
}

/// What the threads of all signals do alike.
trait Kind: Send + 'static {
    type Item: Send + 'static;
    const SIGNAL: Signal;
    fn encode(batch: Vec<Self::Item>, settings: &OtlpSettings) -> Vec<u8>;
    /// How many spans or lines.
    fn count(batch: &[Self::Item]) -> u64;
    /// How many of them the collector did not take although it said yes.
    fn rejected(answer: &[u8]) -> u64;
}

struct Traces;
struct Logs;

impl Kind for Traces {
    type Item = Vec<SpanRecord>;
    const SIGNAL: Signal = Signal::Traces;

    fn encode(batch: Vec<Self::Item>, settings: &OtlpSettings) -> Vec<u8> {
        encode::spans(batch, settings)
    }

    fn count(batch: &[Self::Item]) -> u64 {
        batch.iter().map(|spans| spans.len() as u64).sum()
    }

    fn rejected(answer: &[u8]) -> u64 {
        encode::rejected_spans(answer)
    }
}

impl Kind for Logs {
    type Item = LogRecord;
    const SIGNAL: Signal = Signal::Logs;

    fn encode(batch: Vec<Self::Item>, settings: &OtlpSettings) -> Vec<u8> {
        encode::logs(batch, settings)
    }

    fn count(batch: &[Self::Item]) -> u64 {
        batch.len() as u64
    }

    fn rejected(answer: &[u8]) -> u64 {
        encode::rejected_logs(answer)
    }
}

impl Otlp {
    /// Exchanges run on this runtime, which serves no requests.
    #[must_use]
    pub fn new(runtime: Handle, metrics: Arc<OtlpMetrics>) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings: ArcSwapOption::empty(),
                metrics,
                closing: Mutex::new(false),
                wake: Condvar::new(),
            }),
            client: Client::new(runtime),
            queues: OnceLock::new(),
        }
    }

    /// Goes on under these settings.
    ///
    /// # Errors
    /// The threads cannot be started.
    pub fn follow(&self, settings: Option<Arc<OtlpSettings>>) -> io::Result<()> {
        // A front door without a collector has no threads for it.
        if settings.is_some() && self.queues.get().is_none() {
            let queues = Queues {
                traces: self.start::<Traces>()?,
                logs: self.start::<Logs>()?,
            };
            // Reloads come one after the other, so nobody set it meanwhile.
            let _ = self.queues.set(queues);
        }
        // A destination keeps a connection, which goes on where nothing changed.
        if *self.shared.settings.load() != settings {
            self.shared.settings.store(settings);
        }
        Ok(())
    }

    /// The context of a request; None if no traces are made. `incoming` is asked only if it counts.
    pub fn context(
        &self,
        trusted: bool,
        incoming: impl FnOnce() -> Option<Incoming>,
    ) -> Option<TraceContext> {
        let settings = self.shared.settings.load();
        settings.as_deref()?.context(trusted, incoming)
    }

    /// Queues the spans of a request; drops and counts them if the queue is full.
    pub fn send_spans(&self, spans: Vec<SpanRecord>) {
        // There never were settings, so no request had a context.
        let Some(queues) = self.queues.get() else {
            return;
        };
        let (count, bytes) = (
            spans.len() as u64,
            spans.iter().map(SpanRecord::bytes).sum(),
        );
        if !queues.traces.offer(spans, bytes) {
            let metrics = self.shared.metrics.of(Signal::Traces);
            metrics.dropped_queue.add(count);
        }
    }

    /// Queues a line; drops and counts it if the queue is full.
    pub fn send_line(&self, line: LogRecord) {
        let bytes = size_of::<LogRecord>() + line.line.len();
        let queued = self
            .queues
            .get()
            .map(|queues| queues.logs.offer(line, bytes));
        if queued != Some(true) {
            self.shared.metrics.of(Signal::Logs).dropped_queue.count();
        }
    }

    /// Sends what waits, until `deadline` at longest. Nothing is tried a second time any more.
    pub fn close(&self, deadline: Instant) {
        // First, so that a thread in a pause comes to the end of its queue.
        *lock(&self.shared.closing) = true;
        self.shared.wake.notify_all();
        if let Some(queues) = self.queues.get() {
            queues.traces.close(deadline);
            queues.logs.close(deadline);
        }
    }

    fn start<K: Kind>(&self) -> io::Result<BoundedQueue<K::Item>> {
        let (queue, reader) = bounded_queue(MOST_WAITING, MOST_BYTES);
        let worker = Worker::<K> {
            reader,
            shared: Arc::clone(&self.shared),
            client: self.client.clone(),
        };
        // One for each signal, so that trouble with the one does not hold up the other.
        thread::Builder::new()
            .name(format!("otlp-{}", K::SIGNAL.name()))
            .spawn(move || {
                while catch_unwind(AssertUnwindSafe(|| worker.run())).is_err() {
                    // The batch was counted as lost; the queue is whole. The pause limits a loop of panics.
                    thread::sleep(AFTER_PANIC);
                }
            })?;
        Ok(queue)
    }
}

struct Worker<K: Kind> {
    reader: QueueReader<K::Item>,
    shared: Arc<Shared>,
    client: Client,
}

impl<K: Kind> Worker<K> {
    fn run(&self) {
        while let Some(first) = self.reader.next() {
            let (batch, ended) = self.gather(first);
            self.export(batch);
            if ended {
                return;
            }
        }
    }

    /// A batch, and whether the thread must end after it.
    fn gather(&self, first: K::Item) -> (Vec<K::Item>, bool) {
        let mut batch = vec![first];
        let until = Instant::now() + GATHER;
        while batch.len() < MOST_BATCH {
            match self.reader.next_until(until) {
                Next::Item(item) => batch.push(item),
                Next::Nothing => return (batch, false),
                Next::End => return (batch, true),
            }
        }
        (batch, false)
    }

    fn export(&self, batch: Vec<K::Item>) {
        let count = K::count(&batch);
        let metrics = self.shared.metrics.of(K::SIGNAL);
        let unsettled = Unsettled { count, metrics };
        // For each batch, so that a reload counts from the next one on.
        let settings = self.shared.settings.load_full();
        let there = settings
            .as_deref()
            .and_then(|settings| Some((settings, settings.destination(K::SIGNAL)?)));
        // Switched off by a reload since.
        let Some((settings, to)) = there else {
            return;
        };
        // Encoded once, and shared by all tries.
        let body = bytes::Bytes::from(K::encode(batch, settings));
        for tries in 1.. {
            let request = settings.request(body.clone());
            let error = match self.client.send_blocking(to, request) {
                Ok(answer) => {
                    // The collector may claim more than it got.
                    unsettled.taken_but(K::rejected(&answer.body).min(count));
                    return self.shared.metrics.succeeded(K::SIGNAL);
                }
                Err(error) => error,
            };
            self.shared.metrics.failed(K::SIGNAL, &error);
            // At the end nobody waits for another try: `close` has a deadline.
            let pause = pause(tries, &error.fault);
            if pause.is_none_or(|pause| self.shared.is_closed_within(pause)) {
                return;
            }
        }
    }
}

/// A batch that the collector has not taken. However the work on it ends, also by a panic, it is counted.
struct Unsettled<'m> {
    count: u64,
    metrics: &'m SignalMetrics,
}

impl Unsettled<'_> {
    /// The collector took it, but for so many.
    fn taken_but(mut self, rejected: u64) {
        self.metrics.sent.add(self.count - rejected);
        self.metrics.dropped_rejected.add(rejected);
        self.count = 0;
    }
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        self.metrics.dropped_unsent.add(self.count);
    }
}

/// How long to wait before the next try; None if there is none. Only some statuses may be tried again (OTLP, "Failures").
fn pause(tries: u32, fault: &Fault) -> Option<Duration> {
    if tries >= MOST_TRIES || !fault.is_transient() {
        return None;
    }
    let asked = match fault {
        Fault::Status(answer) => answer
            .field(&RETRY_AFTER)
            .and_then(|text| text.parse().ok()),
        _ => None,
    };
    let doubled = FIRST_PAUSE * 2_u32.pow(tries - 1);
    let pause = asked.map_or(doubled, Duration::from_secs);
    // Not all front doors at the same moment.
    Some(pause.min(LONGEST_PAUSE).mul_f64(jitter()))
}

/// 0.8 to 1.2.
fn jitter() -> f64 {
    let [byte, ..] = super::SpanId::random().0;
    0.8 + 0.4 * f64::from(byte) / 255.0
}

impl Shared {
    /// Waits; true if this is the end.
    fn is_closed_within(&self, pause: Duration) -> bool {
        let closing = lock(&self.closing);
        let waited = self
            .wake
            .wait_timeout_while(closing, pause, |closing| !*closing);
        let (closing, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *closing
    }
}

fn lock(closing: &Mutex<bool>) -> std::sync::MutexGuard<'_, bool> {
    // A flag is whole at every moment.
    closing.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;
    use crate::outbound::{Destination, Response, Settings};

    fn status(status: u16, retry_after: Option<&'static str>) -> Fault {
        let mut fields = HeaderMap::new();
        if let Some(text) = retry_after {
            fields.insert(RETRY_AFTER, HeaderValue::from_static(text));
        }
        Fault::Status(Box::new(Response {
            status: StatusCode::from_u16(status).unwrap(),
            fields,
            body: bytes::Bytes::new(),
        }))
    }

    struct Broken;

    impl Kind for Broken {
        type Item = u64;
        const SIGNAL: Signal = Signal::Traces;

        fn encode(_: Vec<u64>, _: &OtlpSettings) -> Vec<u8> {
            panic!("a fault of our own")
        }

        fn count(batch: &[u64]) -> u64 {
            batch.iter().sum()
        }

        fn rejected(_: &[u8]) -> u64 {
            0
        }
    }

    #[tokio::test]
    async fn a_batch_that_a_panic_ends_is_counted() {
        let to = Settings {
            trust: None,
            allow_http: true,
            proxy: None,
            dns_servers: Vec::new(),
            limits: crate::outbound::Limits::default(),
        };
        let to = Arc::new(Destination::new("http://127.0.0.1:1/", Arc::new(to)).unwrap());
        let settings = OtlpSettings {
            traces: Some(Arc::clone(&to)),
            logs: to,
            authorization: None,
            sample: 1.0,
            continues: super::super::Continue::Never,
            service: String::new(),
            host: String::new(),
        };
        let metrics = Arc::<OtlpMetrics>::default();
        let otlp = Otlp::new(Handle::current(), Arc::clone(&metrics));
        otlp.shared.settings.store(Some(Arc::new(settings)));
        let (_queue, reader) = bounded_queue(1, 1);
        let worker = Worker::<Broken> {
            reader,
            shared: Arc::clone(&otlp.shared),
            client: otlp.client.clone(),
        };
        let ended = catch_unwind(AssertUnwindSafe(|| worker.export(vec![3, 4])));
        assert!(ended.is_err());
        assert_eq!(metrics.of(Signal::Traces).dropped_unsent.value(), 7);
    }

    #[test]
    fn what_may_be_sent_again_is_sent_again_after_a_bounded_pause() {
        for (tries, fault, expected) in [
            (1, status(503, None), Some(1)),
            (3, status(429, None), Some(4)),
            (1, status(503, Some("7")), Some(7)),
            (1, status(503, Some("0")), Some(0)),
            (1, status(503, Some("86400")), Some(30)),
            (
                1,
                status(503, Some("Sun, 06 Nov 1994 08:49:37 GMT")),
                Some(1),
            ),
            (1, Fault::Closed(String::new()), Some(1)),
            (MOST_TRIES, status(503, None), None),
            (1, status(400, None), None),
            (1, status(500, None), None),
            (1, Fault::Malformed(String::new()), None),
        ] {
            let pause = pause(tries, &fault);
            let seconds = pause.map(|pause| pause.as_secs_f64());
            let fits = match (seconds, expected) {
                (Some(seconds), Some(expected)) => {
                    let expected = f64::from(expected);
                    (0.8 * expected..=1.2 * expected).contains(&seconds)
                }
                (None, None) => true,
                _ => false,
            };
            assert!(fits, "{tries} {fault}: {seconds:?} {expected:?}");
        }
    }
}
