//! A running process gives its listening sockets to its successor.
//!
//! It is the very same sockets that go on: who waits in their backlog waits on, and there is no moment
//! at which nobody listens. The running one waits at a unix socket in `state_dir`. Its successor comes
//! with everything else ready, takes the sockets, begins to accept and says so. Only then the running
//! one lets go and drains; until then nothing has changed for it, and whatever goes wrong leaves it
//! serving.

mod wire;

use std::fmt;
use std::fs;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use crate::supervision::{Ended, supervise};

/// In `state_dir`.
const SOCKET: &str = "handover.sock";
const VERSION: u32 = 1;
/// For each thing that the other side has to say.
const PATIENCE: Duration = Duration::from_secs(10);
/// From the sockets to the word that they are accepted from.
const OPENING: Duration = Duration::from_secs(60);

/// The first word of the one who takes over.
#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    version: u32,
}

#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    /// As many descriptors follow, and one more where there is an admin address.
    Sockets {
        listeners: Vec<Place>,
        admin: Option<String>,
    },
    Refused(String),
}

/// What a socket is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub listener: String,
    /// As the configuration has it; the port may be 0.
    pub written: SocketAddr,
}

/// It accepts, and on what.
#[derive(Debug, Serialize, Deserialize)]
struct Accepting {
    admin: bool,
}

/// The last word of the one who lets go.
#[derive(Debug, Serialize, Deserialize)]
struct Released;

/// Why nothing was taken over; the running process goes on as before.
#[derive(Debug)]
pub enum TakeError {
    /// There is no `state_dir` to meet in.
    NoFolder,
    /// Nobody waits there.
    NobodyWaits {
        path: PathBuf,
        source: io::Error,
    },
    Refused(String),
    Broken(io::Error),
}

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFolder => write!(
                f,
                "the configuration has no \"state_dir\", in which a running front door could wait for --upgrade"
            ),
            Self::NobodyWaits { path, source } => write!(
                f,
                "nothing waits for a hand-over at {} ({source}): no front door runs with this state_dir. Start it without --upgrade",
                path.display()
            ),
            Self::Refused(why) => write!(f, "the running front door hands nothing over: {why}"),
            Self::Broken(error) => write!(
                f,
                "the hand-over broke off ({error}); the running front door goes on"
            ),
        }
    }
}

impl std::error::Error for TakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoFolder | Self::Refused(_) => None,
            Self::NobodyWaits { source, .. } | Self::Broken(source) => Some(source),
        }
    }
}

/// What a successor got. Dropped before [`Promise::accepting`], nothing has happened.
#[derive(Debug)]
pub struct Inheritance {
    pub sockets: Vec<(Place, TcpListener)>,
    /// Its address as the configuration has it, and its socket.
    pub admin: Option<(String, OwnedFd)>,
    pub promise: Promise,
}

/// Asks the process that waits in this folder for its sockets. Blocks.
///
/// # Errors
/// Nothing waits there, or it does not hand over.
pub fn take(state_dir: Option<&Path>) -> Result<Inheritance, TakeError> {
    let path = state_dir.ok_or(TakeError::NoFolder)?.join(SOCKET);
    let stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(source) => return Err(TakeError::NobodyWaits { path, source }),
    };
    receive_all(stream).map_err(TakeError::Broken)?
}

fn receive_all(stream: UnixStream) -> io::Result<Result<Inheritance, TakeError>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    wire::send(&stream, &Hello { version: VERSION })?;
    let (places, admin) = match wire::receive(&stream)? {
        Reply::Sockets { listeners, admin } => (listeners, admin),
        Reply::Refused(why) => return Ok(Err(TakeError::Refused(why))),
    };
    let mut sockets = Vec::new();
    for place in places {
        let socket = TcpListener::from(wire::receive_descriptor(&stream)?);
        sockets.push((place, socket));
    }
    let admin = match admin {
        Some(address) => Some((address, wire::receive_descriptor(&stream)?)),
        None => None,
    };
    Ok(Ok(Inheritance {
        sockets,
        admin,
        promise: Promise(stream),
    }))
}

/// A successor that has yet to say that it accepts.
#[derive(Debug)]
pub struct Promise(UnixStream);

impl Promise {
    /// Says that the sockets are accepted from, and waits until the other process has let go of them.
    /// `admin`: the admin socket was taken as well. Blocks.
    ///
    /// # Errors
    /// The other process did not let go: it goes on, and this one must not.
    pub fn accepting(self, admin: bool) -> Result<(), TakeError> {
        let said = wire::send(&self.0, &Accepting { admin });
        let released = said.and_then(|()| wire::receive::<Released>(&self.0));
        released.map(|_| ()).map_err(TakeError::Broken)
    }
}

/// What is handed over.
#[derive(Debug, Default)]
pub struct Offer {
    pub sockets: Vec<(Place, OwnedFd)>,
    pub admin: Option<(String, OwnedFd)>,
}

/// Somebody who wants to take over.
#[derive(Debug)]
pub struct Ask {
    stream: UnixStream,
    pub pid: Option<i32>,
}

/// A successor that accepts, and waits to be the only one.
#[derive(Debug)]
pub struct Successor {
    stream: UnixStream,
    pub pid: Option<i32>,
    /// It has the admin socket too.
    pub admin: bool,
}

/// Ends a hand-over that another thread is busy with.
#[derive(Debug)]
pub struct GivingUp(Option<UnixStream>);

impl GivingUp {
    pub fn now(&self) {
        // Closed already is as good.
        let _ = self
            .0
            .as_ref()
            .map(|stream| stream.shutdown(Shutdown::Both));
    }
}

impl Ask {
    #[must_use]
    pub fn giving_up(&self) -> GivingUp {
        GivingUp(self.stream.try_clone().ok())
    }

    /// Hands over and waits until the other side accepts. Blocks.
    ///
    /// # Errors
    /// It does not: nothing has changed.
    pub fn give(self, offer: Offer) -> io::Result<Successor> {
        let (places, sockets): (Vec<_>, Vec<_>) = offer.sockets.into_iter().unzip();
        let (address, admin) = offer.admin.unzip();
        let reply = Reply::Sockets {
            listeners: places,
            admin: address,
        };
        wire::send(&self.stream, &reply)?;
        for socket in sockets.iter().chain(&admin) {
            wire::send_descriptor(&self.stream, socket.as_fd())?;
        }
        self.stream.set_read_timeout(Some(OPENING))?;
        let Accepting { admin } = wire::receive(&self.stream)?;
        Ok(Successor {
            stream: self.stream,
            pid: self.pid,
            admin,
        })
    }
}

impl Successor {
    /// The last word; after it this process accepts nothing more.
    ///
    /// # Errors
    /// The successor is gone: nothing has changed.
    pub fn release(self) -> io::Result<()> {
        wire::send(&self.stream, &Released)
    }
}

/// Waits for a successor until it is dropped.
#[derive(Debug)]
pub struct Waiting {
    task: tokio::task::JoinHandle<()>,
    path: PathBuf,
}

impl Waiting {
    /// In this folder; whoever waited there before does no longer. Only the same user, or root, may ask.
    ///
    /// # Errors
    /// The socket cannot be bound.
    pub fn start(state_dir: &Path, asks: mpsc::Sender<Ask>) -> io::Result<Self> {
        let path = state_dir.join(SOCKET);
        let hidden = state_dir.join(format!("{SOCKET}.{}", std::process::id()));
        // What a process of the same number left.
        let _ = fs::remove_file(&hidden);
        let listener = UnixListener::bind(&hidden)?;
        fs::set_permissions(&hidden, fs::Permissions::from_mode(0o600))?;
        fs::rename(&hidden, &path)?;
        Ok(Self {
            task: tokio::spawn(async move {
                supervise("waiting for a successor", || answer(&listener, &asks)).await;
            }),
            path,
        })
    }

    /// Whether a living process waits in this folder.
    #[must_use]
    pub fn somebody(state_dir: &Path) -> bool {
        UnixStream::connect(state_dir.join(SOCKET)).is_ok()
    }

    /// Somebody else waits there now.
    pub fn leave(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.task.abort();
        // An empty path cannot be removed, and gone already is as good.
        let _ = fs::remove_file(&self.path);
    }
}

async fn answer(listener: &UnixListener, asks: &mpsc::Sender<Ask>) -> Ended {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => return Ended::Failed(format!("it cannot accept: {error}")),
        };
        let peer = stream.peer_cred().ok();
        let own = rustix::process::geteuid().as_raw();
        let allowed = peer.is_some_and(|peer| peer.uid() == own || peer.uid() == 0);
        let Ok(stream) = stream.into_std() else {
            continue;
        };
        let pid = peer.and_then(|peer| peer.pid());
        let asks = asks.clone();
        // A stranger who says nothing keeps nobody else waiting.
        tokio::task::spawn_blocking(move || greet(stream, pid, allowed, &asks));
    }
}

fn greet(stream: UnixStream, pid: Option<i32>, allowed: bool, asks: &mpsc::Sender<Ask>) {
    let hello = || {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        wire::receive::<Hello>(&stream)
    };
    let refused = match hello() {
        // Somebody who only looked whether anybody is there.
        Err(_) => return,
        Ok(_) if !allowed => "it runs as another user".to_owned(),
        Ok(Hello { version }) if version != VERSION => {
            format!("it speaks version {VERSION} of the hand-over, not {version}")
        }
        Ok(_) => match stream.try_clone() {
            Ok(clone) => {
                let ask = Ask { stream: clone, pid };
                match asks.try_send(ask) {
                    Ok(()) => return,
                    Err(_) => "it hands over to somebody else, or is closing".to_owned(),
                }
            }
            Err(error) => error.to_string(),
        },
    };
    // Who is gone has no use for it.
    let _ = wire::send(&stream, &Reply::Refused(refused));
}
