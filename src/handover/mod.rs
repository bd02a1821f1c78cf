//! Hands the listening sockets of a running process over to its successor.
//!
//! The successor gets the very same sockets: clients in their backlogs keep waiting, and there is no moment at which
//! nobody listens. The running process waits on a unix socket in `state_dir`. The successor connects when everything
//! else is ready, takes the sockets, starts to accept and reports that. Only then the running process stops accepting
//! and drains. Until then nothing changes for it, so it serves on, whatever fails.
//!
//! Two versions of the program exchange these messages, so fields and variants keep their names.

mod wire;

use std::fmt;
use std::fs;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use crate::supervision::{Ended, supervise};
use crate::unix_socket;

/// The name of the unix socket in `state_dir`.
const SOCKET: &str = "handover.sock";
/// The version of the messages; another one is refused.
const VERSION: u32 = 1;
/// How long one side waits for a message of the other.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a successor may take from getting the sockets to accepting on them.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(60);

/// The first message of the successor.
#[derive(Debug, Serialize, Deserialize)]
struct TakeoverMessage {
    version: u32,
}

/// The answer of the running process.
#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    /// One descriptor follows for each listener, and one more if there is an admin address.
    Sockets {
        listeners: Vec<ListenerAddress>,
        admin: Option<String>,
    },
    Refused(String),
}

/// The listener and address that a socket belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerAddress {
    /// The listener's name.
    pub listener: String,
    /// The address in the configuration; its port may be 0.
    pub written: SocketAddr,
}

/// The second message of the successor: it accepts connections.
#[derive(Debug, Serialize, Deserialize)]
struct Accepting {
    /// Also on the admin socket.
    admin: bool,
}

/// The last message of the running process: it no longer accepts.
#[derive(Debug, Serialize, Deserialize)]
struct Released;

/// Why nothing was taken over. The running process goes on as before.
#[derive(Debug)]
pub enum TakeoverError {
    /// The configuration has no `state_dir`, in which the two processes meet.
    NoStateDir,
    /// No process waits for a successor in `state_dir`.
    NoRunningProcess {
        /// Where it would wait.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The running process refuses, with its reason.
    Refused(String),
    /// The running process does not answer, or the connection to it failed.
    Interrupted(io::Error),
}

impl fmt::Display for TakeoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStateDir => f.write_str(
                "the configuration has no \"state_dir\", which --upgrade needs to find the running front door",
            ),
            Self::NoRunningProcess { path, source } => write!(
                f,
                "no front door waits for a hand-over at {} ({source}). Start this one without --upgrade",
                path.display()
            ),
            Self::Refused(why) => {
                write!(f, "the running front door refuses the hand-over: {why}")
            }
            Self::Interrupted(error) => write!(
                f,
                "the hand-over was interrupted ({error}); the running front door goes on"
            ),
        }
    }
}

impl std::error::Error for TakeoverError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoStateDir | Self::Refused(_) => None,
            Self::NoRunningProcess { source, .. } | Self::Interrupted(source) => Some(source),
        }
    }
}

/// The sockets that a successor got. If they are dropped before [`PendingTakeover::confirm`], nothing has happened.
#[derive(Debug)]
pub struct InheritedSockets {
    /// The listening sockets.
    pub sockets: Vec<(ListenerAddress, TcpListener)>,
    /// The admin address in the running process's configuration, and its socket.
    pub admin: Option<(String, OwnedFd)>,
    /// Finishes the hand-over.
    pub pending: PendingTakeover,
}

/// Asks the process that waits in this folder for its sockets. Blocks.
///
/// # Errors
/// No process waits there, or it does not hand over.
pub fn take_over(state_dir: Option<&Path>) -> Result<InheritedSockets, TakeoverError> {
    let path = state_dir.ok_or(TakeoverError::NoStateDir)?.join(SOCKET);
    let stream = match unix_socket::connect(&path, MESSAGE_TIMEOUT) {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            return Err(TakeoverError::Interrupted(error));
        }
        Err(source) => return Err(TakeoverError::NoRunningProcess { path, source }),
    };
    receive_all(stream).map_err(|error| TakeoverError::Interrupted(unix_socket::in_time(error)))?
}

fn receive_all(stream: UnixStream) -> io::Result<Result<InheritedSockets, TakeoverError>> {
    stream.set_read_timeout(Some(MESSAGE_TIMEOUT))?;
    stream.set_write_timeout(Some(MESSAGE_TIMEOUT))?;
    wire::send(&stream, &TakeoverMessage { version: VERSION })?;
    let (addresses, admin) = match wire::receive(&stream)? {
        Reply::Sockets { listeners, admin } => (listeners, admin),
        Reply::Refused(why) => return Ok(Err(TakeoverError::Refused(why))),
    };
    let mut sockets = Vec::new();
    // Descriptors carry no names; their order is that of the addresses.
    for address in addresses {
        let socket = TcpListener::from(wire::receive_descriptor(&stream)?);
        sockets.push((address, socket));
    }
    let admin = match admin {
        Some(address) => Some((address, wire::receive_descriptor(&stream)?)),
        None => None,
    };
    Ok(Ok(InheritedSockets {
        sockets,
        admin,
        pending: PendingTakeover(stream),
    }))
}

/// A hand-over that the successor has not confirmed yet.
#[derive(Debug)]
pub struct PendingTakeover(UnixStream);

impl PendingTakeover {
    /// Reports that this process accepts, and waits until the other one no longer does. `admin`: this process took over
    /// the admin socket too. Blocks.
    ///
    /// # Errors
    /// The other process did not answer, so it goes on accepting, and this one must stop.
    pub fn confirm(self, admin: bool) -> Result<(), TakeoverError> {
        let said = wire::send(&self.0, &Accepting { admin });
        let released = said.and_then(|()| wire::receive::<Released>(&self.0));
        released.map(|_| ()).map_err(TakeoverError::Interrupted)
    }
}

/// The sockets that the running process hands over.
#[derive(Debug, Default)]
pub struct OfferedSockets {
    /// The listening sockets.
    pub sockets: Vec<(ListenerAddress, OwnedFd)>,
    /// The admin address in the configuration, and its socket.
    pub admin: Option<(String, OwnedFd)>,
}

/// A process that asks for the sockets.
#[derive(Debug)]
pub struct HandoverRequest {
    stream: UnixStream,
    /// Its process id, if the system knows it.
    pub pid: Option<i32>,
}

/// A successor that accepts, and waits until this process no longer does.
#[derive(Debug)]
pub struct Successor {
    stream: UnixStream,
    /// Its process id, if the system knows it.
    pub pid: Option<i32>,
    /// Whether it accepts on the admin socket too.
    pub admin: bool,
}

/// Cancels a hand-over that runs on another thread.
#[derive(Debug)]
pub struct HandoverCanceller(Option<UnixStream>);

impl HandoverCanceller {
    /// Makes the other thread fail at once.
    pub fn cancel(&self) {
        // An error means that the connection is closed already.
        let _ = self
            .0
            .as_ref()
            .map(|stream| stream.shutdown(Shutdown::Both));
    }
}

impl HandoverRequest {
    /// What cancels [`HandoverRequest::hand_over`].
    #[must_use]
    pub fn canceller(&self) -> HandoverCanceller {
        HandoverCanceller(self.stream.try_clone().ok())
    }

    /// Sends the sockets and waits until the successor accepts. Blocks.
    ///
    /// # Errors
    /// The successor does not accept; nothing has changed.
    pub fn hand_over(self, offer: OfferedSockets) -> io::Result<Successor> {
        let (addresses, sockets): (Vec<_>, Vec<_>) = offer.sockets.into_iter().unzip();
        let (admin_address, admin) = offer.admin.unzip();
        let reply = Reply::Sockets {
            listeners: addresses,
            admin: admin_address,
        };
        // Before the descriptors, because it says how many of them follow.
        wire::send(&self.stream, &reply)?;
        for socket in sockets.iter().chain(&admin) {
            wire::send_descriptor(&self.stream, socket.as_fd())?;
        }
        // The successor starts its listeners now, which takes longer than a message.
        self.stream.set_read_timeout(Some(ACCEPT_TIMEOUT))?;
        let Accepting { admin } = wire::receive(&self.stream)?;
        Ok(Successor {
            stream: self.stream,
            pid: self.pid,
            admin,
        })
    }
}

impl Successor {
    /// Says that this process no longer accepts.
    ///
    /// # Errors
    /// The successor is gone; nothing has changed.
    pub fn release(self) -> io::Result<()> {
        wire::send(&self.stream, &Released)
    }
}

/// Waits for a successor until it is dropped.
#[derive(Debug)]
pub struct HandoverListener {
    task: tokio::task::JoinHandle<()>,
    path: PathBuf,
}

impl HandoverListener {
    /// Waits in this directory, and replaces any process that waits there. Only processes of the same user or of root
    /// can ask.
    ///
    /// # Errors
    /// The socket cannot be bound.
    pub fn bind(state_dir: &Path, requests: mpsc::Sender<HandoverRequest>) -> io::Result<Self> {
        let path = state_dir.join(SOCKET);
        let listener = unix_socket::bind_private(&path)?;
        Ok(Self {
            task: tokio::spawn(async move {
                let accept = || accept_requests(&listener, &requests);
                supervise("waiting for a successor", accept).await;
            }),
            path,
        })
    }

    /// Whether a living process waits in this folder.
    #[must_use]
    pub fn is_taken(state_dir: &Path) -> bool {
        unix_socket::is_in_use(&state_dir.join(SOCKET))
    }

    /// Stops waiting and leaves the socket file, which now belongs to the successor.
    pub fn release(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for HandoverListener {
    fn drop(&mut self) {
        self.task.abort();
        // An empty path cannot be removed; a missing file is as good as a removed one.
        let _ = fs::remove_file(&self.path);
    }
}

async fn accept_requests(
    listener: &UnixListener,
    requests: &mpsc::Sender<HandoverRequest>,
) -> Ended {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => return Ended::Failed(format!("it cannot accept connections: {error}")),
        };
        let peer = stream.peer_cred().ok();
        // The mode of the socket file keeps others out, but somebody may change it. Nobody can forge the user that the
        // kernel reports.
        let own = rustix::process::geteuid().as_raw();
        let allowed = peer.is_some_and(|peer| peer.uid() == own || peer.uid() == 0);
        // An error is a connection that is gone.
        let Ok(stream) = stream.into_std() else {
            continue;
        };
        let pid = peer.and_then(|peer| peer.pid());
        let requests = requests.clone();
        // On a thread of its own, because a process that sends nothing must not keep others waiting.
        tokio::task::spawn_blocking(move || receive_request(stream, pid, allowed, &requests));
    }
}

fn receive_request(
    stream: UnixStream,
    pid: Option<i32>,
    allowed: bool,
    requests: &mpsc::Sender<HandoverRequest>,
) {
    let message = || {
        // It comes from tokio, which made it non-blocking.
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(MESSAGE_TIMEOUT))?;
        stream.set_write_timeout(Some(MESSAGE_TIMEOUT))?;
        wire::receive::<TakeoverMessage>(&stream)
    };
    let refused = match message() {
        // An error is usually a process that only checked whether anybody waits here (`is_taken`); it expects no
        // answer.
        Err(_) => return,
        Ok(_) if !allowed => "it runs as another user".to_owned(),
        Ok(TakeoverMessage { version }) if version != VERSION => {
            format!("it speaks version {VERSION} of the hand-over, not {version}")
        }
        Ok(_) => match stream.try_clone() {
            Ok(clone) => {
                let request = HandoverRequest { stream: clone, pid };
                // Not `send`: a second successor is refused at once and does not wait for the first.
                match requests.try_send(request) {
                    Ok(()) => return,
                    Err(_) => "it hands over to another process, or is closing".to_owned(),
                }
            }
            Err(error) => error.to_string(),
        },
    };
    // If the other process is gone, it needs no answer.
    let _ = wire::send(&stream, &Reply::Refused(refused));
}
