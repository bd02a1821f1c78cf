//! The listening sockets. They follow the configuration; a removed one closes, and its connections drain.
//!
//! A reload has two steps, so that a listener that cannot be bound stays as it was: [`ListenerSet::plan`] binds, and
//! [`ListenerSet::follow`] opens and closes.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were found in the same list"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::net::sockopt::set_ipv6_v6only;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};

use super::acceptor::Acceptor;
use super::workers::Workers;
use crate::config::{Config, Listener};
use crate::handover::ListenerAddress;
use crate::proxy::shared::admission::Admission;
use crate::proxy::shared::front::{BoundAddresses, Front};
use crate::supervision::supervise;

/// How many connections may wait in the kernel to be accepted.
const BACKLOG: u32 = 1024;

/// All sockets that accept connections.
pub(crate) struct ListenerSet {
    front: Arc<Front>,
    workers: Workers,
    open: Vec<OpenSocket>,
    /// Sockets of the previous process; empty after the first plan was followed.
    inherited: Vec<(ListenerAddress, Arc<TcpListener>)>,
    /// The open connections of each listener, over all reloads.
    admissions: BTreeMap<String, Arc<Admission>>,
    alive: mpsc::Sender<()>,
}

/// A socket that accepts connections.
struct OpenSocket {
    bound: BoundSocket,
    close: watch::Sender<bool>,
}

/// A bound socket and its listener. It accepts only when it is part of a [`ListenerSet`].
#[derive(Clone)]
pub(super) struct BoundSocket {
    listener: Arc<Listener>,
    /// The address as the configuration has it; its port may be 0.
    written: SocketAddr,
    socket: Arc<TcpListener>,
}

/// The sockets that will accept connections. All are bound already.
pub(crate) struct SocketPlan(Vec<BoundSocket>);

/// An address cannot be bound.
#[derive(Debug)]
pub struct BindError {
    /// The address of the listener.
    pub address: SocketAddr,
    /// What the system answered.
    pub source: io::Error,
}

impl ListenerSet {
    /// Every connection holds a clone of `alive`.
    pub(crate) fn new(front: Arc<Front>, workers: Workers, alive: mpsc::Sender<()>) -> Self {
        Self {
            front,
            workers,
            open: Vec::new(),
            inherited: Vec::new(),
            admissions: BTreeMap::new(),
            alive,
        }
    }

    /// Takes over sockets that another process bound. Those that the first plan does not use are closed.
    ///
    /// # Errors
    /// One of them is no listening socket of its address.
    pub(crate) fn inherit(
        &mut self,
        sockets: Vec<(ListenerAddress, std::net::TcpListener)>,
    ) -> io::Result<()> {
        for (place, socket) in sockets {
            // A descriptor carries no name: one in a wrong place would expose a listener on another address.
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

    /// Copies of all open sockets, for another process.
    ///
    /// # Errors
    /// There are no more descriptors.
    pub(crate) fn sockets_to_give(&self) -> io::Result<Vec<(ListenerAddress, OwnedFd)>> {
        let give = |open: &OpenSocket| {
            let BoundSocket {
                listener,
                written,
                socket,
            } = &open.bound;
            let place = ListenerAddress {
                listener: listener.name.clone(),
                written: *written,
            };
            Ok((place, socket.as_fd().try_clone_to_owned()?))
        };
        self.open.iter().map(give).collect()
    }

    /// Binds the addresses that are not bound yet. A listener that cannot be bound keeps its sockets; the second value
    /// has its name and the reason.
    pub(crate) fn plan(&self, config: &Config) -> (SocketPlan, Vec<(String, BindError)>) {
        let mut planned: Vec<BoundSocket> = Vec::new();
        let mut failed = Vec::new();
        for listener in &config.listeners {
            match self.sockets(listener, &planned) {
                Ok(sockets) => planned.extend(sockets),
                Err(error) => {
                    planned.extend(self.unchanged(listener));
                    failed.push((listener.name.clone(), error));
                }
            }
        }
        (SocketPlan(planned), failed)
    }

    /// The listener's name, the written address and the socket of all that are bound.
    fn bound(&self) -> impl Iterator<Item = (&str, SocketAddr, &Arc<TcpListener>)> {
        let open = self.open.iter().map(|open| {
            let bound = &open.bound;
            (bound.listener.name.as_str(), bound.written, &bound.socket)
        });
        let inherited = self.inherited.iter();
        open.chain(inherited.map(|(place, s)| (place.listener.as_str(), place.written, s)))
    }

    fn sockets(
        &self,
        listener: &Arc<Listener>,
        taken: &[BoundSocket],
    ) -> Result<Vec<BoundSocket>, BindError> {
        let mut sockets: Vec<BoundSocket> = Vec::new();
        for written in &listener.bind {
            let free = |(name, at, socket): &(&str, SocketAddr, &Arc<TcpListener>)| {
                // With port 0 each listener has a port of its own, so the address alone does not identify a socket.
                let fits = at == written && (written.port() != 0 || *name == listener.name);
                // An address that is written twice with port 0 means two sockets.
                let used = |used: &BoundSocket| Arc::ptr_eq(&used.socket, socket);
                fits && !taken.iter().chain(&sockets).any(used)
            };
            let socket = match self.bound().find(free) {
                Some((.., socket)) => Arc::clone(socket),
                None => Arc::new(bind(*written)?),
            };
            sockets.push(BoundSocket {
                listener: Arc::clone(listener),
                written: *written,
                socket,
            });
        }
        Ok(sockets)
    }

    /// The open sockets of a listener, with its new settings.
    fn unchanged(&self, listener: &Arc<Listener>) -> Vec<BoundSocket> {
        let own = |open: &&OpenSocket| open.bound.listener.name == listener.name;
        let with_settings = |open: &OpenSocket| BoundSocket {
            listener: Arc::clone(listener),
            ..open.bound.clone()
        };
        self.open.iter().filter(own).map(with_settings).collect()
    }

    /// Opens the new sockets of the plan, and closes those it does not have: their connections are told to end.
    pub(crate) fn follow(&mut self, plan: SocketPlan) -> BoundAddresses {
        let before = std::mem::take(&mut self.open);
        // What the plan uses is held by the plan.
        self.inherited.clear();
        let mut addresses = BoundAddresses::default();
        let mut still_open = Vec::new();
        for bound in plan.0 {
            let name = &bound.listener.name;
            let real = bound.socket.local_addr().unwrap_or(bound.written);
            addresses.0.entry(name.clone()).or_default().push(real);
            let same = |open: &OpenSocket| {
                Arc::ptr_eq(&open.bound.socket, &bound.socket) && open.bound.listener.name == *name
            };
            match before.iter().position(same) {
                Some(index) => {
                    still_open.push(index);
                    let close = before[index].close.clone();
                    self.open.push(OpenSocket { bound, close });
                }
                None => self.open(bound),
            }
        }
        for (index, open) in before.into_iter().enumerate() {
            if !still_open.contains(&index) {
                // There is no receiver if nothing is left to close.
                let _ = open.close.send(true);
            }
        }
        let listens = |name: &String| self.open.iter().any(|o| o.bound.listener.name == *name);
        // After the sockets: the count of a listener that stays must survive, because its connections do.
        self.admissions.retain(|name, _| listens(name));
        addresses
    }

    /// Closes all sockets; their connections are told to end.
    pub(crate) fn close(&mut self) {
        for open in self.open.drain(..) {
            let _ = open.close.send(true);
        }
    }

    fn open(&mut self, bound: BoundSocket) {
        let (close, closing) = watch::channel(false);
        let admission = self.admissions.entry(bound.listener.name.clone());
        let acceptor = Acceptor {
            front: Arc::clone(&self.front),
            workers: self.workers.clone(),
            listener: Arc::clone(&bound.listener),
            admission: Arc::clone(admission.or_default()),
            alive: self.alive.clone(),
            closing,
        };
        tokio::spawn({
            let socket = Arc::clone(&bound.socket);
            async move { supervise("accepting connections", || acceptor.accept(&socket)).await }
        });
        self.open.push(OpenSocket { bound, close });
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, self.source)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    let bind = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // Without it a restart fails while connections of the previous process are in TIME_WAIT.
        socket.set_reuseaddr(true)?;
        if address.is_ipv6() {
            // Linux lets a socket on `[::]` take IPv4, too. Then none could have the same port on `0.0.0.0`, and IPv4
            // clients would come in by an address that was not written.
            set_ipv6_v6only(&socket, true)?;
        }
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|source| BindError { address, source })
}
