//! Takes events from requests without ever making one wait: a bounded queue, and a thread that masks and writes.
//!
//! What does not fit the queue, or cannot be written, is dropped and counted.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::draft::Draft;
use super::folder::FOLDER;
use super::settings::{EventSettings, PayloadForm};
use super::store::{Batch, Store};
use crate::bounded_queue::{BoundedQueue, Next, QueueReader, bounded_queue};
use crate::telemetry::EventMetrics;

/// Events that may wait, and their bytes.
const MOST_WAITING: usize = 4096;
/// See [`MOST_WAITING`].
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// Bytes that are written at once.
const BATCH: usize = 1024 * 1024;
/// How often the writer looks for what is too old.
const TICK: Duration = Duration::from_secs(60);
/// The writer's niceness, on a scale from -20 to 19 where the threads that serve have 0: a flood of events must not take
/// their processor.
const NICENESS: i32 = 10;
/// How long the writer leaves a disk alone that has failed.
const RETRY: Duration = Duration::from_secs(1);

/// Keeps events of one front door.
#[derive(Debug)]
pub struct Recorder {
    queue: BoundedQueue<Box<Draft>>,
    settings: EventSettings,
    metrics: Arc<EventMetrics>,
}

impl Recorder {
    /// Recovers what a killed process left below this `state_dir`, and starts the writer.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        state_dir: &Path,
        settings: &EventSettings,
        metrics: Arc<EventMetrics>,
    ) -> io::Result<Self> {
        let store = Store::new(
            &state_dir.join(FOLDER),
            &settings.replica,
            settings.max_bytes,
            settings.max_age,
        );
        Self::start_with(store, settings, metrics)
    }

    fn start_with(
        store: Store,
        settings: &EventSettings,
        metrics: Arc<EventMetrics>,
    ) -> io::Result<Self> {
        let (queue, drafts) = bounded_queue(MOST_WAITING, MOST_BYTES);
        let mut writer = Writer {
            store,
            drafts,
            metrics: Arc::clone(&metrics),
            form: settings.payload.clone(),
            failed: None,
        };
        thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || writer.run())?;
        Ok(Self {
            queue,
            settings: settings.clone(),
            metrics,
        })
    }

    /// Whether a request that nothing else keeps is one of the sample.
    #[must_use]
    pub fn samples(&self, request_id: &str) -> bool {
        is_sampled(request_id, self.settings.sample)
    }

    /// How many bytes of a body are kept.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.settings.body_bytes
    }

    /// Queues an event; drops and counts it if too many wait. Never waits.
    pub fn keep(&self, draft: Draft) {
        let bytes = draft.bytes();
        if !self.queue.offer(Box::new(draft), bytes) {
            self.metrics.dropped_queue.count();
        }
    }

    /// Writes what waits and seals the segment, until `deadline` at longest.
    pub fn close(&self, deadline: Instant) {
        self.queue.close(deadline);
    }
}

/// Whether a request is one of a sample of this part, from 0 to 1. Its id decides, so that the answer is the same whoever
/// asks.
#[must_use]
pub fn is_sampled(request_id: &str, part: f64) -> bool {
    let Ok(id) = Uuid::parse_str(request_id) else {
        return false;
    };
    // The last bits of a UUID of version 7 are random; before them there may be a counter.
    let [.., a, b, c, d] = *id.as_bytes();
    let drawn = f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0);
    drawn < part
}

struct Writer {
    store: Store,
    drafts: QueueReader<Box<Draft>>,
    metrics: Arc<EventMetrics>,
    form: PayloadForm,
    /// When the last write failed.
    failed: Option<Instant>,
}

impl Writer {
    /// Until the recorder closes.
    fn run(&mut self) {
        // On Linux this is the priority of the thread that calls.
        if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
            tracing::warn!(target: "events", "events are written at the priority of everything else: {error}");
        }
        // On this thread: a folder with many segments must not hold up the start of the front door.
        if catch_unwind(AssertUnwindSafe(|| self.store.recover())).is_err() {
            tracing::error!(target: "events", "what an earlier process left was not recovered");
        }
        // A panic must not end the recording of all other requests.
        while catch_unwind(AssertUnwindSafe(|| self.write_all())).is_err() {
            self.metrics.dropped_internal.count();
        }
    }

    fn write_all(&mut self) {
        let mut tick = Instant::now() + TICK;
        loop {
            let open = match self.drafts.next_until(tick) {
                Next::Item(first) => self.write_with(first),
                Next::Nothing => true,
                Next::End => false,
            };
            if !open {
                // A sealed segment needs no recovery at the next start.
                self.store.seal();
                return;
            }
            if Instant::now() >= tick {
                self.store.tick();
                tick = Instant::now() + TICK;
            }
        }
    }

    /// Writes an event and those that wait behind it. False if the recorder closes.
    fn write_with(&mut self, first: Box<Draft>) -> bool {
        let mut batch = Batch::default();
        self.add(&mut batch, first);
        let mut open = true;
        // Under load one write takes many events; a single one is written at once.
        while batch.bytes() < BATCH {
            match self.drafts.try_next() {
                Next::Item(next) => self.add(&mut batch, next),
                Next::Nothing => break,
                Next::End => {
                    open = false;
                    break;
                }
            }
        }
        self.write(&batch);
        open
    }

    fn add(&self, batch: &mut Batch, draft: Box<Draft>) {
        let time = draft.summary.time;
        let event = draft.into_event(&self.form).ok();
        let record = event.and_then(|event| event.encode().ok());
        // What was not sealed or encoded must not be written in another form.
        let added = record.is_some_and(|(summary, rest)| batch.add(time, &summary, &rest));
        if !added {
            self.metrics.dropped_internal.count();
        }
    }

    fn write(&mut self, batch: &Batch) {
        // A broken disk can take seconds to fail, and the queue would fill meanwhile.
        let waits = self.failed.is_some_and(|at| at.elapsed() < RETRY);
        let written = match waits {
            true => Err(None),
            false => self.store.write(batch).map_err(Some),
        };
        match written {
            Ok(()) => {
                self.metrics.kept.add(batch.count);
                if self.failed.take().is_some() {
                    tracing::info!(target: "events", "events are written again");
                }
            }
            Err(error) => {
                self.metrics.dropped_disk.add(batch.count);
                let Some(error) = error else { return };
                // One message for each outage: the metric has the number.
                if self.failed.replace(Instant::now()).is_none() {
                    tracing::error!(target: "events", "events cannot be written and are dropped: {error}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::sync::Mutex;
    use std::sync::mpsc::sync_channel;

    use tempfile::TempDir;

    use super::super::event::tests::event;
    use super::super::{find, store};
    use super::*;

    fn settings(sample: f64) -> EventSettings {
        EventSettings {
            sample,
            max_bytes: 1 << 24,
            max_age: Duration::from_secs(3600),
            body_bytes: 100,
            payload: PayloadForm::Masked,
            replica: "a".to_owned(),
        }
    }

    fn draft(body: usize) -> Draft {
        let now = crate::time::milliseconds(std::time::SystemTime::now());
        let event = event(now);
        Draft {
            summary: event.summary,
            details: event.details,
            head: event.head,
            body: vec![b'a'; body],
            sanitised: Vec::new(),
            secrets: Vec::new(),
        }
    }

    fn recorder(opener: Option<store::Opener>) -> (Recorder, TempDir, Arc<EventMetrics>) {
        let state_dir = tempfile::tempdir().unwrap();
        let metrics = Arc::new(EventMetrics::default());
        let settings = settings(0.25);
        let mut store = Store::new(
            &state_dir.path().join(FOLDER),
            "a",
            1 << 24,
            settings.max_age,
        );
        if let Some(opener) = opener {
            store = store.with_opener(opener);
        }
        let recorder = Recorder::start_with(store, &settings, Arc::clone(&metrics));
        (recorder.unwrap(), state_dir, metrics)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn events_are_on_the_disk_after_the_close() {
        let (recorder, state_dir, metrics) = recorder(None);
        for _ in 0..100 {
            recorder.keep(draft(10));
        }
        recorder.close(soon());
        let found = find(state_dir.path(), 0, |_| true).unwrap();
        assert_eq!((found.events.len(), metrics.kept.value()), (100, 100));
        assert_eq!(recorder.queue.bytes_waiting(), 0);
    }

    #[test]
    fn a_full_disk_drops_and_counts() {
        let full = |_: &Path| OpenOptions::new().read(true).write(true).open("/dev/full");
        let (recorder, _state_dir, metrics) = recorder(Some(Box::new(full)));
        for _ in 0..100 {
            recorder.keep(draft(10));
        }
        recorder.close(soon());
        assert_eq!(
            (metrics.dropped_disk.value(), metrics.kept.value()),
            (100, 0)
        );
    }

    /// The disk hangs: nobody waits for it, and the queue does not grow without end.
    #[test]
    fn a_full_queue_drops_and_counts() {
        let (go, hang) = sync_channel::<()>(0);
        let hang = Mutex::new(hang);
        let opener = move |path: &Path| {
            let _ = hang.lock().unwrap().recv();
            File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(path)
        };
        let (recorder, _state_dir, metrics) = recorder(Some(Box::new(opener)));
        let large = 1 << 20;
        for _ in 0..100 {
            recorder.keep(draft(large));
        }
        // The first is in the writer's hands, and no more than these wait.
        let fit = (MOST_BYTES / large) as u64 + 1;
        assert!(metrics.dropped_queue.value() >= 100 - fit);
        for _ in 0..2 * MOST_WAITING {
            recorder.keep(draft(1));
        }
        assert!(metrics.dropped_queue.value() >= MOST_WAITING as u64);
        let dropped = metrics.dropped_queue.value();
        drop(go);
        recorder.close(soon());
        assert_eq!(
            metrics.kept.value() + dropped,
            100 + 2 * MOST_WAITING as u64
        );
    }

    #[test]
    fn the_sample_is_as_large_as_the_settings_say() {
        let (recorder, _state_dir, _) = recorder(None);
        let sampled = |recorder: &Recorder| {
            let ids = (0..4000).map(|_| Uuid::now_v7().to_string());
            ids.filter(|id| recorder.samples(id)).count()
        };
        let part = sampled(&recorder);
        assert!((800..1200).contains(&part), "{part} of 4000");
        recorder.close(soon());
        for (sample, expected) in [(0.0, 0), (1.0, 4000)] {
            let recorder = Recorder {
                settings: settings(sample),
                ..self::recorder(None).0
            };
            assert_eq!(sampled(&recorder), expected);
            recorder.close(soon());
        }
    }
}
