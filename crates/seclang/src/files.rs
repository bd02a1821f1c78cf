//! Reads files that somebody else owns: only regular files, and never without end.
//!
//! A FIFO or a device in place of a file never ends, and a network file system that hangs blocks every reader. So
//! another thread reads, and is abandoned if it does not finish in time. The number of abandoned threads is bounded.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

/// No file is larger than this many bytes.
pub const MOST: u64 = 64 << 20;
/// How long one file may take.
const TIME: Duration = Duration::from_secs(10);
/// Abandoned threads; at this number nothing more is tried, because each keeps its stack.
const MOST_HANGING: usize = 64;
/// Pauses between two tries of the same file. They double: each try may cost one more thread.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Learns of a file that was read: its path, and its bytes if it could be read.
pub type Observer = Arc<dyn Fn(&Path, Option<&[u8]>) + Send + Sync>;

thread_local! {
    static OBSERVER: RefCell<Option<Observer>> = const { RefCell::new(None) };
}

/// Does `work`, and calls `observer` for each file that this thread reads meanwhile.
pub fn observe<T>(observer: Option<Observer>, work: impl FnOnce() -> T) -> T {
    /// Ends it also if `work` panics.
    struct Before(Option<Observer>);
    impl Drop for Before {
        fn drop(&mut self) {
            OBSERVER.set(self.0.take());
        }
    }
    let _before = Before(OBSERVER.replace(observer));
    work()
}

/// The observer of this thread, for threads that do a part of its work.
#[must_use]
pub fn observer() -> Option<Observer> {
    OBSERVER.with_borrow(Clone::clone)
}

/// All of a regular file, [`MOST`] bytes at most.
///
/// # Errors
/// It cannot be read, is no regular file, is too large, or takes too long.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let owned = path.to_owned();
    let read = in_time(path, TIME, move || read_now(&owned)).flatten();
    // On this thread, which has the observer; the one that reads has none.
    if let Some(observer) = observer() {
        observer(path, read.as_deref().ok());
    }
    read
}

/// The same as text.
///
/// # Errors
/// As [`read`]; or it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read(path)?;
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

fn read_now(path: &Path) -> io::Result<Vec<u8>> {
    // Without `O_NONBLOCK`, opening a FIFO waits for a writer.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let metadata = file.metadata()?;
    // On the open file, not on the path: what the path names may change in between.
    if !metadata.is_file() {
        return Err(irregular(metadata.file_type()));
    }
    if metadata.len() > MOST {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // The file may grow while it is read; one byte more than allowed shows that.
    file.take(MOST + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MOST {
        true => Err(too_large()),
        false => Ok(bytes),
    }
}

fn irregular(kind: std::fs::FileType) -> io::Error {
    if kind.is_dir() {
        return io::ErrorKind::IsADirectory.into();
    }
    io::Error::new(io::ErrorKind::InvalidInput, irregular_words(kind))
}

/// The reason why something that is neither a regular file nor a folder is not read.
pub fn irregular_words(kind: std::fs::FileType) -> String {
    let what = match kind {
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_char_device() || kind.is_block_device() => "a device",
        _ => "something else",
    };
    format!("it is {what}; only regular files are read")
}

fn too_large() -> io::Error {
    let words = format!("more than {} MiB", MOST >> 20);
    io::Error::new(io::ErrorKind::FileTooLarge, words)
}

type Job = Box<dyn FnOnce() + Send>;

/// Does `work` on another thread and waits for it, at most as long as `most`. Work that takes longer continues, and its
/// result is lost. The same work, which `what` identifies, is tried again only after a pause.
///
/// # Errors
/// It took too long now or before, it panicked, too much hangs already, or there is no thread.
pub fn in_time<T: Send + 'static>(
    what: &Path,
    most: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    static HELPERS: Helpers = Helpers::new();
    HELPERS.in_time(what, most, work)
}

/// Threads for work that may hang. A thread that has finished is used again.
struct Helpers {
    idle: Mutex<Vec<mpsc::Sender<Job>>>,
    hanging: Mutex<BTreeMap<PathBuf, Hanging>>,
}

/// The threads that were abandoned with one kind of work.
struct Hanging {
    threads: usize,
    tried: Instant,
    pause: Duration,
}

impl Helpers {
    const fn new() -> Self {
        Self {
            idle: Mutex::new(Vec::new()),
            hanging: Mutex::new(BTreeMap::new()),
        }
    }

    fn in_time<T: Send + 'static>(
        &'static self,
        what: &Path,
        most: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.may_try(what)?;
        let helper = match lock(&self.idle).pop() {
            Some(helper) => helper,
            None => start()?,
        };
        // With room for the result, so that an abandoned thread does not wait for its receiver.
        let (done, outcome) = mpsc::sync_channel(1);
        let left = Left {
            helpers: self,
            what: what.to_owned(),
            settled: Arc::default(),
        };
        let settled = Arc::clone(&left.settled);
        let job: Job = Box::new(move || {
            let left = left;
            let result = work();
            // Before the result is sent: whoever receives it may try the same work at once.
            drop(left);
            // The receiver may have given up.
            let _ = done.send(result);
        });
        // An idle thread ends only with its sender, so this does not happen.
        if helper.send(job).is_err() {
            return Err(io::Error::other("the thread that was to do it is gone"));
        }
        match outcome.recv_timeout(most) {
            Ok(result) => {
                lock(&self.idle).push(helper);
                Ok(result)
            }
            // Its thread is gone too, so `helper` does not go back to the idle ones.
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("it panicked")),
            // `helper` is the only sender, so that the thread ends when its work does.
            Err(RecvTimeoutError::Timeout) => {
                let mut hanging = lock(&self.hanging);
                // Unless it finished just now. Both sides swap under the lock, so exactly one of them is second.
                if !settled.swap(true, Ordering::SeqCst) {
                    let entry = hanging.entry(what.to_owned()).or_insert(Hanging {
                        threads: 0,
                        tried: Instant::now(),
                        // Doubled below to the first pause.
                        pause: FIRST_PAUSE / 2,
                    });
                    entry.threads += 1;
                    entry.tried = Instant::now();
                    entry.pause = (entry.pause * 2).min(LONGEST_PAUSE);
                }
                Err(timed_out(format!(
                    "it took longer than {} s: does the file system hang?",
                    most.as_secs()
                )))
            }
        }
    }

    fn may_try(&self, what: &Path) -> io::Result<()> {
        let hanging = lock(&self.hanging);
        if let Some(entry) = hanging.get(what)
            && entry.tried.elapsed() < entry.pause
        {
            return Err(timed_out("an earlier try hangs; it is tried again later"));
        }
        let threads: usize = hanging.values().map(|entry| entry.threads).sum();
        match threads < MOST_HANGING {
            true => Ok(()),
            false => Err(timed_out(format!("not tried, since {threads} others hang"))),
        }
    }
}

/// Work in progress; dropped when it ends, even by a panic.
struct Left {
    helpers: &'static Helpers,
    what: PathBuf,
    /// True once it has finished or was abandoned.
    settled: Arc<AtomicBool>,
}

impl Drop for Left {
    fn drop(&mut self) {
        let mut hanging = lock(&self.helpers.hanging);
        if !self.settled.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Some(entry) = hanging.get_mut(&self.what) {
            // An abandoned thread came back: the file system answers again, so the pause is forgotten with the last
            // one.
            entry.threads -= 1;
            if entry.threads == 0 {
                hanging.remove(&self.what);
            }
        }
    }
}

fn timed_out(words: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, words.into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks protect is never left half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start() -> io::Result<mpsc::Sender<Job>> {
    let (helper, jobs) = mpsc::channel::<Job>();
    thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || jobs.into_iter().for_each(|job| job()))?;
    Ok(helper)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    #[test]
    fn only_regular_files_are_read() {
        let made = tempfile::tempdir().unwrap();
        let folder = made.path();
        let path = |name: &str| folder.join(name);
        fs::write(path("file"), "text").unwrap();
        assert!(
            Command::new("mkfifo")
                .arg(path("fifo"))
                .status()
                .unwrap()
                .success()
        );
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        std::os::unix::fs::symlink("fifo", path("link")).unwrap();
        let sparse = fs::File::create(path("large")).unwrap();
        sparse.set_len(MOST + 1).unwrap();

        assert_eq!(read_text(&path("file")).unwrap(), "text");
        for (name, words) in [
            ("fifo", "it is a FIFO; only regular files are read"),
            ("link", "it is a FIFO; only regular files are read"),
            ("/dev/zero", "it is a device; only regular files are read"),
            ("large", "more than 64 MiB"),
        ] {
            let error = read(&path(name)).unwrap_err();
            assert_eq!(error.to_string(), words, "{name}");
        }
        // The system does not open it.
        assert!(read(&path("socket")).is_err());
        assert_eq!(
            read(folder).unwrap_err().kind(),
            io::ErrorKind::IsADirectory
        );
        assert_eq!(
            read(&path("absent")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn what_hangs_is_left_behind() {
        static HELPERS: Helpers = Helpers::new();
        let held = Arc::new(Mutex::new(()));
        let holding = lock(&held);
        let hang = |what: usize| {
            let held = Arc::clone(&held);
            let what = PathBuf::from(what.to_string());
            HELPERS.in_time(&what, Duration::from_millis(1), move || drop(held.lock()))
        };
        let ask = |what: &str| HELPERS.in_time(Path::new(what), Duration::from_secs(60), || 7);
        for what in 0..MOST_HANGING {
            let error = hang(what).unwrap_err().to_string();
            assert!(error.starts_with("it took longer"), "{error}");
            assert_eq!(ask("another").ok(), (what + 1 < MOST_HANGING).then_some(7));
        }
        let error = hang(0).unwrap_err().to_string();
        assert!(error.starts_with("an earlier try hangs"), "{error}");
        let error = ask("another").unwrap_err().to_string();
        assert!(error.starts_with("not tried"), "{error}");
        drop(holding);
        // They end, and there is place again.
        while !lock(&HELPERS.hanging).is_empty() {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(ask("0").unwrap(), 7);
        let panicked: io::Result<()> =
            HELPERS.in_time(Path::new("0"), Duration::from_secs(60), || {
                panic!("as it should")
            });
        assert_eq!(panicked.unwrap_err().to_string(), "it panicked");
        assert_eq!(ask("0").unwrap(), 7);
    }
}
