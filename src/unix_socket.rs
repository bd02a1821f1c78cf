//! Binds a unix socket to which only its owner can connect: the admin API and the hand-over socket give full control of
//! the process, and both rely on the mode of the file alone.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_longest_path_leaves_room_for_the_hidden_name() {
        // The largest process id of Linux.
        let hidden = Path::new(&"x".repeat(MOST_PATH)).with_extension("4194304");
        std::os::unix::net::SocketAddr::from_pathname(hidden).unwrap();
    }

    #[tokio::test]
    async fn only_the_owner_can_connect_and_no_other_name_is_left() {
        let folder =
            std::env::temp_dir().join(format!("drawbridge-unix-socket-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
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
        let mut names: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["admin.sock", "taken"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
