//! Binds a unix socket to which only its owner can connect: the admin API and the hand-over socket give full control of
//! the process, and both rely on the mode of the file alone. Connects to such a socket within a time.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use tokio::net::UnixListener;

/// The most bytes of a path that [`bind_private`] takes, whatever the process id is.
pub(crate) const MOST_PATH: usize = 99;

/// Binds a socket at `path` with mode 0600 and replaces any file of that name. Needs a tokio runtime.
///
/// The socket gets its name only after its mode is set, so no other user can connect at any moment. A process that
/// listened at that name keeps its socket, but new clients no longer reach it.
///
/// # Errors
/// The socket cannot be bound, or the mode or the name cannot be set; then nothing has changed at `path`.
pub(crate) fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let hidden = path.with_extension(std::process::id().to_string());
    // A process that had the same number may have left its socket.
    let _ = fs::remove_file(&hidden);
    // bind(2) sets the mode from the umask, which is one value for the whole process. Changing it would race with other
    // threads, so the file gets its mode under a name that no client knows.
    let listener = UnixListener::bind(&hidden)?;
    let named = fs::set_permissions(&hidden, fs::Permissions::from_mode(0o600))
        .and_then(|()| fs::rename(&hidden, path));
    if let Err(error) = named {
        // The error that matters is the first one.
        let _ = fs::remove_file(&hidden);
        return Err(error);
    }
    Ok(listener)
}

/// How long [`is_in_use`] waits for a process that accepts nothing.
const PROBE: Duration = Duration::from_secs(1);

/// Connects to the socket at `path` within `most`, which also bounds each write. A process that is stopped accepts
/// nothing, and once its backlog is full, the kernel would let a client wait for ever.
///
/// # Errors
/// Nobody listens there; or with [`io::ErrorKind::TimedOut`], a process listens and accepts nothing.
pub(crate) fn connect(path: &Path, most: Duration) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // connect(2) of a unix socket waits as long as a write may take.
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(most))?;
    match rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address)) {
        Ok(()) => Ok(UnixStream::from(socket)),
        Err(Errno::AGAIN) => Err(silent()),
        Err(error) => Err(error.into()),
    }
}

/// Whether a process listens at `path`, also one that is stopped.
pub(crate) fn is_in_use(path: &Path) -> bool {
    match connect(path, PROBE) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::TimedOut,
    }
}

/// The error in place of one of a read, a write or a connection that was not done in time.
pub(crate) fn in_time(error: io::Error) -> io::Error {
    match error.kind() {
        // What the kernel says when a timeout of the socket ends: "Resource temporarily unavailable".
        io::ErrorKind::WouldBlock => silent(),
        _ => error,
    }
}

fn silent() -> io::Error {
    let words = "the process that listens there does not answer: continue it (kill -CONT) if it is stopped, or restart it";
    io::Error::new(io::ErrorKind::TimedOut, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_accepts_nothing_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full.sock");
        assert_eq!(
            connect(&path, PROBE).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        let socket = socket.unwrap();
        rustix::net::bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&socket, 0).unwrap();
        // The backlog of 0 has room for one.
        let waiting = connect(&path, PROBE).unwrap();
        let error = connect(&path, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("kill -CONT"), "{error}");
        assert!(is_in_use(&path), "it lives");
        drop((waiting, socket));
        assert!(!is_in_use(&path));
    }

    #[test]
    fn the_longest_path_leaves_room_for_the_hidden_name() {
        // The largest process id of Linux.
        let hidden = Path::new(&"x".repeat(MOST_PATH)).with_extension("4194304");
        std::os::unix::net::SocketAddr::from_pathname(hidden).unwrap();
    }

    #[tokio::test]
    async fn only_the_owner_can_connect_and_no_other_name_is_left() {
        let made = tempfile::tempdir().unwrap();
        let folder = made.path();
        let path = folder.join("admin.sock");
        let first = bind_private(&path).unwrap();
        let second = bind_private(&path).unwrap();
        drop(first);
        UnixStream::connect(&path).unwrap();
        second.accept().await.unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // A folder that is not empty cannot be replaced.
        fs::create_dir_all(folder.join("taken/full")).unwrap();
        assert!(bind_private(&folder.join("taken")).is_err());
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["admin.sock", "taken"]);
    }
}
