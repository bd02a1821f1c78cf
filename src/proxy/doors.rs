//! The bound sockets: they follow the configuration, and a removed one drains.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};

use super::admission::Admission;
use super::connection::Open;
use super::server::{Bound, Front, ServeError};
use super::workers::Workers;
use super::{connection, redirect, socket};
use crate::config::{Config, Listener, ListenerKind};
use crate::handover::Place;
use crate::supervision::{Ended, supervise};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// All open doors.
pub struct Doors {
    front: Arc<Front>,
    workers: Workers,
    open: Vec<OpenDoor>,
    /// Of the process before this one, until the first plan is followed.
    inherited: Vec<(Place, Arc<TcpListener>)>,
    /// Connections in all and per address, by listener; it outlives a reload.
    admissions: BTreeMap<String, Arc<Admission>>,
    alive: mpsc::Sender<()>,
}

struct OpenDoor {
    seat: Seat,
    socket: Arc<TcpListener>,
    close: watch::Sender<bool>,
}

/// A socket that is bound, and for which listener. It accepts only once it is part of [`Doors`].
pub struct Seat {
    listener: Arc<Listener>,
    /// As it is written; the port may be 0.
    written: SocketAddr,
}

/// What will be open, bound already.
pub struct Plan(Vec<(Seat, Arc<TcpListener>)>);

impl Doors {
    /// Every connection holds a clone of `alive`.
    pub fn new(front: Arc<Front>, workers: Workers, alive: mpsc::Sender<()>) -> Self {
        Self {
            front,
            workers,
            open: Vec::new(),
            inherited: Vec::new(),
            admissions: BTreeMap::new(),
            alive,
        }
    }

    /// Sockets that another process bound; what the first plan does not use is closed.
    ///
    /// # Errors
    /// Something that came is no listening socket of that address.
    pub fn inherit(&mut self, sockets: Vec<(Place, std::net::TcpListener)>) -> io::Result<()> {
        for (place, socket) in sockets {
            let real = socket.local_addr()?;
            let (written, any_port) = (place.written, place.written.port() == 0);
            if real.ip() != written.ip() || !(any_port || real.port() == written.port()) {
                let words = format!("the socket of listener {} is {real}", place.listener);
                return Err(io::Error::new(io::ErrorKind::InvalidData, words));
            }
            socket.set_nonblocking(true)?;
            let socket = TcpListener::from_std(socket)?;
            self.inherited.push((place, Arc::new(socket)));
        }
        Ok(())
    }

    /// All that are open, for another process.
    ///
    /// # Errors
    /// There are no more descriptors.
    pub fn sockets_to_give(&self) -> io::Result<Vec<(Place, OwnedFd)>> {
        let give = |door: &OpenDoor| {
            let place = Place {
                listener: door.seat.listener.name.clone(),
                written: door.seat.written,
            };
            Ok((place, door.socket.as_fd().try_clone_to_owned()?))
        };
        self.open.iter().map(give).collect()
    }

    /// Binds what is not bound yet. A listener that cannot be bound stays where it is; why comes back.
    pub fn plan(&self, config: &Config) -> (Plan, Vec<(String, ServeError)>) {
        let mut seats: Vec<(Seat, Arc<TcpListener>)> = Vec::new();
        let mut failed = Vec::new();
        for listener in &config.listeners {
            match self.sockets(listener, &seats) {
                Ok(sockets) => seats.extend(sockets),
                Err(error) => {
                    seats.extend(self.as_before(listener));
                    failed.push((listener.name.clone(), error));
                }
            }
        }
        (Plan(seats), failed)
    }

    /// For which listener, as what, and the socket.
    fn bound(&self) -> impl Iterator<Item = (&str, SocketAddr, &Arc<TcpListener>)> {
        let open = self.open.iter().map(|door| {
            let OpenDoor { seat, socket, .. } = door;
            (seat.listener.name.as_str(), seat.written, socket)
        });
        let inherited = self.inherited.iter();
        open.chain(inherited.map(|(place, s)| (place.listener.as_str(), place.written, s)))
    }

    fn sockets(
        &self,
        listener: &Arc<Listener>,
        taken: &[(Seat, Arc<TcpListener>)],
    ) -> Result<Vec<(Seat, Arc<TcpListener>)>, ServeError> {
        let mut sockets: Vec<(Seat, Arc<TcpListener>)> = Vec::new();
        for written in &listener.bind {
            let free = |(name, at, socket): &(&str, SocketAddr, &Arc<TcpListener>)| {
                let fits = at == written && (written.port() != 0 || *name == listener.name);
                let used = |(_, used): &(Seat, Arc<TcpListener>)| Arc::ptr_eq(used, socket);
                fits && !taken.iter().chain(&sockets).any(used)
            };
            let socket = match self.bound().find(free) {
                Some((.., socket)) => Arc::clone(socket),
                None => Arc::new(bind(*written)?),
            };
            let seat = Seat {
                listener: Arc::clone(listener),
                written: *written,
            };
            sockets.push((seat, socket));
        }
        Ok(sockets)
    }

    fn as_before(&self, listener: &Arc<Listener>) -> Vec<(Seat, Arc<TcpListener>)> {
        let own = |door: &&OpenDoor| door.seat.listener.name == listener.name;
        let seat = |door: &OpenDoor| {
            let seat = Seat {
                listener: Arc::clone(listener),
                written: door.seat.written,
            };
            (seat, Arc::clone(&door.socket))
        };
        self.open.iter().filter(own).map(seat).collect()
    }

    /// Opens what is new and closes what is gone: its connections are told to end.
    pub fn follow(&mut self, plan: Plan) -> Bound {
        let before = std::mem::take(&mut self.open);
        self.inherited.clear();
        let mut bound = Bound::default();
        let mut kept = Vec::new();
        for (seat, socket) in plan.0 {
            let real = socket.local_addr().unwrap_or(seat.written);
            let addresses = bound.0.entry(seat.listener.name.clone()).or_default();
            addresses.push(real);
            let same = |door: &OpenDoor| {
                Arc::ptr_eq(&door.socket, &socket) && door.seat.listener.name == seat.listener.name
            };
            match before.iter().position(same) {
                Some(index) => {
                    kept.push(index);
                    let close = before[index].close.clone();
                    self.open.push(OpenDoor {
                        seat,
                        socket,
                        close,
                    });
                }
                None => self.add(seat, socket),
            }
        }
        for (index, door) in before.into_iter().enumerate() {
            if !kept.contains(&index) {
                // No receiver is left only where nothing is left to close.
                let _ = door.close.send(true);
            }
        }
        let named = |name: &String| {
            self.open
                .iter()
                .any(|door| door.seat.listener.name == *name)
        };
        self.admissions.retain(|name, _| named(name));
        bound
    }

    pub fn close(&mut self) {
        for door in self.open.drain(..) {
            let _ = door.close.send(true);
        }
    }

    fn add(&mut self, seat: Seat, socket: Arc<TcpListener>) {
        let (close, closing) = watch::channel(false);
        let admission = self.admissions.entry(seat.listener.name.clone());
        let door = Door {
            front: Arc::clone(&self.front),
            workers: self.workers.clone(),
            listener: Arc::clone(&seat.listener),
            admission: Arc::clone(admission.or_default()),
            alive: self.alive.clone(),
            closing,
        };
        tokio::spawn({
            let socket = Arc::clone(&socket);
            async move { supervise("accepting connections", || door.accept(&socket)).await }
        });
        self.open.push(OpenDoor {
            seat,
            socket,
            close,
        });
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let bind = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|source| ServeError::Bind { address, source })
}

/// One bound socket.
struct Door {
    front: Arc<Front>,
    workers: Workers,
    listener: Arc<Listener>,
    admission: Arc<Admission>,
    alive: mpsc::Sender<()>,
    closing: watch::Receiver<bool>,
}

impl Door {
    async fn accept(&self, socket: &TcpListener) -> Ended {
        let mut closing = self.closing.clone();
        let mut told: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                biased;
                // An error says that the sender is gone, which is a shutdown too.
                _ = closing.wait_for(|closing| *closing) => return Ended::Over,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((tcp, client)) => self.let_in(tcp, client),
                Err(error) => {
                    // Out of descriptors, or a connection that was gone before it was accepted. Said once a second,
                    // since it fails again at once for as long as it lasts.
                    if told.is_none_or(|told| told.elapsed() > Duration::from_secs(1)) {
                        told = Some(Instant::now());
                        tracing::warn!(listener = self.listener.name, "cannot accept: {error}");
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    fn let_in(&self, tcp: TcpStream, client: SocketAddr) {
        let metrics = &self.front.metrics;
        let live = self.front.live.pin();
        let listener = live.listener(&self.listener.name).unwrap_or(&self.listener);
        let Some(admitted) = self.admission.admit(client.ip(), &listener.limits) else {
            metrics.connections_refused.count();
            return;
        };
        let open = Open::new(metrics, admitted, self.alive.clone(), self.closing.clone());
        let front = Arc::clone(&self.front);
        let listener = Arc::clone(listener);
        // Not of this thread's reactor any more; an error is a connection that is gone.
        let Ok(tcp) = tcp.into_std() else { return };
        self.workers.serve(|worker| async move {
            let Ok(tcp) = TcpStream::from_std(tcp) else {
                return;
            };
            if socket::prepare(&tcp, listener.limits.idle_timeout).is_err() {
                return;
            }
            match listener.kind {
                ListenerKind::Tls { .. } => {
                    connection::serve_tls(front, worker, listener, tcp, client, open).await;
                }
                ListenerKind::Redirect { .. } => {
                    redirect::serve(front, listener, tcp, client, &open).await;
                    drop(open);
                }
            }
        });
    }
}
