//! Segments on a real disk: kills, full disks, other processes.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

use super::event::tests::event;
use super::folder;
use super::store::{Batch, Store};
use super::{NewestQuery, find, find_by_id, find_newest};
use crate::time::milliseconds;

/// A folder that is removed at the end.
struct State(TempDir);

impl State {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn events(&self) -> PathBuf {
        self.0.path().join(folder::FOLDER)
    }

    fn store(&self, replica: &str) -> Store {
        Store::new(&self.events(), replica, MAX_BYTES, DAY)
    }

    /// The times of all events, in order.
    fn times(&self) -> Vec<u64> {
        let found = find(self.0.path(), 0, |_| true).unwrap();
        assert!(found.problems.is_empty(), "{:?}", found.problems);
        found
            .events
            .iter()
            .map(|place| place.summary.time)
            .collect()
    }

    fn files(&self) -> Vec<String> {
        let files = folder::list(&self.events()).unwrap().into_iter();
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        files.map(|file| name(file.path)).collect()
    }
}

const MAX_BYTES: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn batch(times: impl IntoIterator<Item = u64>) -> Batch {
    let mut batch = Batch::default();
    for time in times {
        let (summary, rest) = event(time).encode().unwrap();
        assert!(batch.add(time, &summary, &rest));
    }
    batch
}

fn now() -> u64 {
    milliseconds(SystemTime::now())
}

#[test]
fn what_is_written_is_found_at_once_and_after_the_segment_has_its_name() {
    let state = State::new();
    assert_eq!(state.times(), [0; 0], "there is no folder yet");
    let (mut a, mut b) = (state.store("a"), state.store("b"));
    let now = now();
    a.write(&batch([now + 2, now])).unwrap();
    b.write(&batch([now + 1])).unwrap();
    assert_eq!(state.times(), [now, now + 1, now + 2]);
    assert!(state.files().iter().all(|name| name.starts_with("open-")));
    let found_before = find(state.0.path(), 0, |_| true).unwrap().events;
    let modes = ["events", "events/a"].map(|folder| {
        fs::metadata(state.0.path().join(folder))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    });
    assert_eq!(modes, [0o700; 2]);
    a.seal();
    assert_eq!(state.times(), [now, now + 1, now + 2]);
    let sealed = &state.files()[0];
    assert!(
        sealed.starts_with(&format!("{now}-{}-", now + 2)),
        "{sealed}"
    );
    let file = fs::metadata(state.events().join("a").join(sealed)).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    let event_before = found_before[0].read().unwrap();
    assert_eq!(
        event_before,
        Some(event(now)),
        "under the new name of its segment"
    );
    let since = find(state.0.path(), now + 1, |summary| summary.time != now + 2);
    assert_eq!(since.unwrap().events.len(), 1);
    let places = find_by_id(state.0.path(), &format!("id-{}", now + 2))
        .unwrap()
        .events;
    assert_eq!(places[0].read().unwrap(), Some(event(now + 2)));
    assert!(
        find_by_id(state.0.path(), "id-1")
            .unwrap()
            .events
            .is_empty()
    );
}

/// A kill can end a write at any byte.
#[test]
fn the_next_start_cuts_what_a_killed_process_left_torn() {
    let now = now();
    let whole = batch([now, now + 1]);
    let torn = batch([now + 2]);
    for cut in [0, 1, 15, 16, 17, 200, torn.bytes() - 1] {
        let state = State::new();
        let mut store = state.store("a");
        store.write(&whole).unwrap();
        let path = state.events().join("a").join(&state.files()[0]);
        // Another process of the same name starts while this one runs: it leaves the segment alone.
        state.store("a").recover();
        assert!(path.exists());
        drop(store);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        let mut bytes = Vec::new();
        let (summary, rest) = event(now + 2).encode().unwrap();
        assert!(super::segment::append(&mut bytes, &summary, &rest));
        file.write_all(&bytes[..cut]).unwrap();
        assert_eq!(state.times(), [now, now + 1], "{cut}");
        let mut store = state.store("a");
        store.recover();
        assert!(state.files()[0].starts_with(&format!("{now}-{}-", now + 1)));
        store.write(&batch([now + 3])).unwrap();
        assert_eq!(state.times(), [now, now + 1, now + 3], "{cut}");
    }
}

#[test]
fn a_segment_without_a_record_leaves_nothing() {
    let state = State::new();
    let folder = state.events().join("a");
    folder::create(&folder).unwrap();
    for bytes in [&b""[..], b"DB", super::segment::MAGIC, b"something else"] {
        fs::write(folder.join("open-1.events"), bytes).unwrap();
        state.store("a").recover();
        assert_eq!(state.files(), [""; 0]);
    }
    fs::write(folder.join("1-2-x.events"), "DBEVENT\x01damaged").unwrap();
    let found = find(state.0.path(), 0, |_| true).unwrap();
    assert!(found.problems[0].contains("7 bytes at its end are damaged"));
}

#[test]
fn the_oldest_are_dropped_first_and_what_is_too_old() {
    let state = State::new();
    let mut store = state.store("a");
    let first = now();
    let mut time = first;
    // About four times of what is kept.
    for _ in 0..100 {
        store.write(&batch(time..time + 100)).unwrap();
        time += 100;
    }
    let bytes: u64 = folder::list(&state.events())
        .unwrap()
        .iter()
        .map(|file| file.bytes)
        .sum();
    assert!(bytes <= MAX_BYTES, "{bytes}");
    assert!(bytes > MAX_BYTES * 3 / 4, "{bytes}");
    let times = state.times();
    assert!(times[0] > first, "the oldest are gone");
    let kept = times.len() as u64;
    assert_eq!(
        times,
        (time - kept..time).collect::<Vec<_>>(),
        "and no other"
    );
    // A record of long ago, as after a week without requests.
    let mut old = state.store("b");
    old.write(&batch([first - 86_400_001])).unwrap();
    old.seal();
    assert_eq!(state.times().len() as u64, kept);
}

#[test]
fn a_full_disk_loses_what_does_not_fit_and_nothing_else() {
    let state = State::new();
    let full = |_: &Path| OpenOptions::new().read(true).write(true).open("/dev/full");
    let mut store = state.store("a").with_opener(Box::new(full));
    let error = store.write(&batch([1])).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(state.times(), [0; 0]);
    // Files of this process end after some KiB, in the middle of a write.
    let (limited, own) = (State::new(), std::env::current_exe().unwrap());
    let script = "trap '' XFSZ; ulimit -f 6; exec \"$0\" --exact events::tests::a_kill_at_any_moment_loses_only_what_was_not_written --nocapture";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(own)
        .env(VICTIM, limited.0.path())
        .env(ROUNDS, "30")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let written: Vec<u64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("wrote ")?.parse().ok())
        .collect();
    assert!(text.contains("lost "), "{text}");
    assert_eq!(limited.times().last(), written.last(), "{text}");
    let file = &folder::list(&limited.events()).unwrap()[0];
    let bytes = fs::read(&file.path).unwrap();
    assert_eq!(super::segment::good_end(&bytes), bytes.len());
}

/// The environment variable that makes the test below the process that is killed.
const VICTIM: &str = "DRAWBRIDGE_TEST_EVENTS";
/// How often it writes at most.
const ROUNDS: &str = "DRAWBRIDGE_TEST_EVENTS_ROUNDS";
/// The victim's times are small numbers, and nothing may count as too old.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

#[test]
fn a_kill_at_any_moment_loses_only_what_was_not_written() {
    if let Some(folder) = std::env::var_os(VICTIM) {
        write_until_killed(Path::new(&folder));
    }
    for round in 0..10u64 {
        let state = State::new();
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "events::tests::a_kill_at_any_moment_loses_only_what_was_not_written",
                "--nocapture",
            ])
            .env(VICTIM, state.0.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut written = 0;
        // Kills after a number of records that differs in each round; the kill itself meets the writer anywhere.
        for line in lines {
            let line = line.unwrap();
            if let Some(time) = line.strip_prefix("wrote ") {
                written = time.parse().unwrap();
            }
            if written > 200 + round * 371 {
                victim.kill().unwrap();
                break;
            }
        }
        victim.wait().unwrap();
        Store::new(&state.events(), "a", 64 << 20, CENTURY).recover();
        let times = state.times();
        let last = *times.last().unwrap();
        assert!(last >= written, "{last} of {written}");
        assert_eq!(times, (1..=last).collect::<Vec<_>>());
        assert!(state.files().iter().all(|name| !name.starts_with("open-")));
    }
}

fn write_until_killed(folder: &Path) -> ! {
    let rounds = std::env::var(ROUNDS).map_or(u64::MAX, |rounds| rounds.parse().unwrap());
    let mut store = Store::new(&folder.join(folder::FOLDER), "a", 64 << 20, CENTURY);
    let mut time = 1;
    for round in 0..rounds {
        let count = 1 + round % 7;
        match store.write(&batch(time..time + count)) {
            Ok(()) => println!("wrote {}", time + count - 1),
            Err(error) => println!("lost {error}"),
        }
        time += count;
        if rounds == u64::MAX && round % 5 == 0 {
            store.seal();
        }
    }
    std::process::exit(0)
}

#[test]
fn the_newest_are_the_end_of_all_whichever_segment_has_them() {
    let state = State::new();
    let begin = now() - 1_000_000;
    // Segments overlap: a long request is written after shorter ones that came later.
    for (replica, step) in [("a", 7), ("b", 5), ("c", 3)] {
        let mut store = Store::new(&state.events(), replica, 16 * 2000, DAY);
        for at in 0..60 {
            let time = begin + at * step * 100 + (at % 4) * 900;
            store.write(&batch([time])).unwrap();
        }
    }
    assert!(state.files().len() > 10, "{:?}", state.files());
    let all = state.times();
    for most in [0, 1, 2, 17, 100, all.len(), 1000] {
        for since in [0, begin + 9_000, begin + 50_000] {
            let query = NewestQuery {
                since,
                most,
                needles: Vec::new(),
            };
            let (found, more) = find_newest(state.0.path(), &query, |_| true).unwrap();
            let fitting: Vec<u64> = all.iter().copied().filter(|time| *time >= since).collect();
            let times: Vec<u64> = found
                .events
                .iter()
                .map(|place| place.summary.time)
                .collect();
            let earlier = fitting.len().saturating_sub(most);
            assert_eq!(times, fitting[earlier..], "{most} since {since}");
            assert_eq!(more, earlier > 0, "{most} since {since}");
        }
    }
}

/// So many events over 30 days; `EVENTS=1000000 cargo test --lib events::tests::many -- --nocapture` says how long the
/// command line waits for a million.
#[test]
fn many_events_are_found_by_the_segments_that_can_hold_them() {
    let count: u64 = std::env::var("EVENTS").map_or(20_000, |count| count.parse().unwrap());
    let state = State::new();
    let mut store = Store::new(&state.events(), "a", count * 700, 31 * DAY);
    let month = 30 * u64::try_from(DAY.as_millis()).unwrap();
    let first = now() - month;
    let time_of = |at: u64| first + at * month / count;
    let id_of = |at: u64| {
        let random = [&[0, 0][..], &at.to_be_bytes()].concat();
        let random = random.first_chunk().unwrap();
        uuid::Builder::from_unix_timestamp_millis(time_of(at), random)
            .into_uuid()
            .to_string()
    };
    for begin in (0..count).step_by(1000) {
        let mut batch = Batch::default();
        for at in begin..(begin + 1000).min(count) {
            let mut event = event(time_of(at));
            event.summary.request_id = id_of(at);
            let (summary, rest) = event.encode().unwrap();
            assert!(batch.add(event.summary.time, &summary, &rest));
        }
        store.write(&batch).unwrap();
    }
    let segments = folder::list(&state.events()).unwrap();
    let bytes: u64 = segments.iter().map(|file| file.bytes).sum();
    println!(
        "{count} events in {} segments, {bytes} bytes",
        segments.len()
    );
    assert!(segments.len() > 8, "{}", segments.len());
    let hour = now() - 3_600_000;
    assert!(segments.iter().filter(|file| file.reaches(hour)).count() <= 2);
    let timed = |what: &str, found: super::Found, expected: usize, begun: Instant| {
        println!(
            "{what}: {} events in {:?}",
            found.events.len(),
            begun.elapsed()
        );
        assert_eq!(found.events.len(), expected, "{what}");
    };
    let expected = (0..count).filter(|at| time_of(*at) >= hour).count();
    let begun = Instant::now();
    timed(
        "list --since 1h",
        find(state.0.path(), hour, |_| true).unwrap(),
        expected,
        begun,
    );
    for at in [0, count / 2, count - 1] {
        let begun = Instant::now();
        timed(
            "show",
            find_by_id(state.0.path(), &id_of(at)).unwrap(),
            1,
            begun,
        );
    }
    let begun = Instant::now();
    timed(
        "show of none",
        find_by_id(state.0.path(), &id_of(count + 1)).unwrap(),
        0,
        begun,
    );
    let query = |needle: &str| NewestQuery {
        since: 0,
        most: 100,
        needles: vec![vec![needle.to_owned()]],
    };
    let begun = Instant::now();
    let (found, more) = find_newest(state.0.path(), &query(""), |_| true).unwrap();
    assert!(more);
    timed("the newest 100", found, 100, begun);
    let begun = Instant::now();
    let rare = id_of(7);
    let is_rare = |summary: &super::Summary| summary.request_id == rare;
    let (found, more) = find_newest(state.0.path(), &query(&rare), is_rare).unwrap();
    assert!(!more);
    timed("the newest that are rare", found, 1, begun);
    let begun = Instant::now();
    let all = usize::try_from(count).unwrap();
    timed(
        "list",
        find(state.0.path(), 0, |_| true).unwrap(),
        all,
        begun,
    );
}
