//! Says how much of a body a gateway takes now. While pingora writes a body that a gateway does not read, it reads no
//! answer either, and an early answer (such as 413) would be lost. So pingora is given only as much as fits into the
//! socket's buffer, and reads the answer while we wait for room.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_send_buffer_size;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::yield_now;

use crate::proxy::shared::deadline;

/// The smallest piece in bytes. A body of this size is not paced.
pub(super) const SMALLEST: usize = 4 * 1024;
const LARGEST: usize = 32 * 1024;

/// The room in the socket's buffer to a gateway.
#[derive(Debug, Default)]
pub(super) struct SendWindow {
    /// None if there is always room.
    socket: Option<Arc<OwnedFd>>,
    /// The socket in our reactor, once we had to wait for it.
    watched: Option<TcpStream>,
    /// How often to yield until the last piece is written: pingora passes it on in the same task.
    turns: u8,
    /// How long there may be no room.
    patience: Duration,
    /// When `patience` ends; None while nothing is waited for.
    until: Option<Instant>,
}

impl SendWindow {
    /// Without a socket there is always room.
    #[must_use]
    pub(super) fn on(socket: Option<Arc<OwnedFd>>, patience: Duration) -> Self {
        Self {
            socket,
            patience,
            ..Self::default()
        }
    }

    /// Waits for room and returns how many bytes may be written now. Safe to cancel.
    ///
    /// There was no room for as long as `patience`.
    pub(super) async fn wait(&mut self) -> Result<usize, Full> {
        let Some(socket) = &self.socket else {
            return Ok(LARGEST);
        };
        while self.turns > 0 {
            // Counted before it yields, so that a wait that is cancelled again and again makes progress too.
            self.turns -= 1;
            yield_now().await;
        }
        while !has_room(socket) {
            if self.watched.is_none() {
                self.watched = watched(socket).ok();
            }
            let Some(watched) = &self.watched else { break };
            let until = *self
                .until
                .get_or_insert_with(|| Instant::now() + self.patience);
            match deadline::before(until, watched.writable()).await {
                Ok(Ok(())) => {}
                // The reactor is gone, which means that this task ends.
                Ok(Err(_)) => break,
                Err(_) => return Err(Full),
            }
            // Clears tokio's readiness if there is no room after all; otherwise `writable` would be ready at once, for
            // ever.
            let _ = watched.try_io(Interest::WRITABLE, || match has_room(socket) {
                true => Ok(()),
                false => Err(io::ErrorKind::WouldBlock.into()),
            });
        }
        // Linux reports a socket as writable if a third of its buffer is free. What was passed on and is not written
        // yet must fit into that as well.
        self.turns = 2;
        self.until = None;
        let buffer = socket_send_buffer_size(socket).unwrap_or(0);
        Ok((buffer / 12).clamp(SMALLEST, LARGEST))
    }
}

/// The gateway took nothing in time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// A descriptor of its own, because a reactor watches a descriptor only once and pingora watches the other one.
fn watched(socket: &OwnedFd) -> io::Result<TcpStream> {
    TcpStream::from_std(std::net::TcpStream::from(socket.try_clone()?))
}

/// Whether there is room. An error counts as room: the write will report it.
fn has_room(socket: &impl AsFd) -> bool {
    let mut asked = [PollFd::new(socket, PollFlags::OUT)];
    !matches!(poll(&mut asked, Some(&Timespec::default())), Ok(0))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn room_comes_when_the_other_side_reads() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        let socket = Arc::new(ours.as_fd().try_clone_to_owned().unwrap());
        let mut room = SendWindow::on(Some(Arc::clone(&socket)), Duration::from_secs(60));
        assert!((SMALLEST..=LARGEST).contains(&room.wait().await.unwrap()));
        ours.set_nonblocking(true).unwrap();
        while ours.write(&[0; 4096]).is_ok() {}
        {
            let mut waiting = std::pin::pin!(room.wait());
            let soon = tokio::time::timeout(Duration::from_millis(50), &mut waiting);
            assert!(soon.await.is_err(), "there is no room");
            let mut impatient = SendWindow::on(Some(socket), Duration::from_millis(1));
            assert_eq!(impatient.wait().await, Err(Full));
            let reading =
                std::thread::spawn(move || while let Ok(1..) = theirs.read(&mut [0; 65536]) {});
            waiting.await.unwrap();
            drop(reading);
        }
        assert_eq!(SendWindow::default().wait().await, Ok(LARGEST));
    }
}
