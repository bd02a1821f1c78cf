//! Accepts the connections of one socket, and gives each to a worker. A connection over a limit is closed before its
//! handshake, which is the expensive part.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::redirect;
use super::workers::Workers;
use crate::config::{Listener, ListenerKind};
use crate::proxy::connection::tls;
use crate::proxy::shared::admission::Admission;
use crate::proxy::shared::connection::ConnectionGuard;
use crate::proxy::shared::front::Front;
use crate::proxy::shared::socket;
use crate::supervision::Ended;

/// What accepting needs to know of one socket.
pub(super) struct Acceptor {
    pub front: Arc<Front>,
    pub workers: Workers,
    pub listener: Arc<Listener>,
    pub admission: Arc<Admission>,
    /// Every connection holds a clone.
    pub alive: mpsc::Sender<()>,
    /// True once the socket is to close.
    pub closing: watch::Receiver<bool>,
}

impl Acceptor {
    /// Accepts until the socket is to close.
    pub(super) async fn accept(&self, socket: &TcpListener) -> Ended {
        let mut closing = self.closing.clone();
        let mut logged: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                biased;
                // An error says that the sender is gone, which is a shutdown too.
                _ = closing.wait_for(|closing| *closing) => return Ended::Over,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((tcp, client)) => self.admit(tcp, client),
                Err(error) => {
                    // Out of descriptors, or a connection that was gone before it was accepted. Logged once a second,
                    // since it fails again at once for as long as it lasts.
                    if logged.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
                        logged = Some(Instant::now());
                        tracing::warn!(listener = self.listener.name, "cannot accept: {error}");
                    }
                    // A socket with a waiting connection stays ready, so without a pause this would take a whole
                    // processor.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    fn admit(&self, tcp: TcpStream, client: SocketAddr) {
        let metrics = &self.front.metrics;
        let live = self.front.live.pin();
        // The current settings; the acceptor's own are those of when the socket was opened.
        let listener = live.listener(&self.listener.name).unwrap_or(&self.listener);
        let Some(admitted) = self.admission.admit(client.ip(), &listener.limits) else {
            metrics.connections_refused.count();
            return;
        };
        let guard =
            ConnectionGuard::new(metrics, admitted, self.alive.clone(), self.closing.clone());
        let front = Arc::clone(&self.front);
        let listener = Arc::clone(listener);
        // The connection moves from this thread's reactor to the worker's. An error means that it is gone.
        let Ok(tcp) = tcp.into_std() else { return };
        self.workers.serve(|proxy| async move {
            let Ok(tcp) = TcpStream::from_std(tcp) else {
                return;
            };
            if socket::prepare(&tcp, listener.limits.idle_timeout).is_err() {
                return;
            }
            match listener.kind {
                ListenerKind::Tls { .. } => {
                    tls::serve(front, proxy, listener, tcp, client, guard).await;
                }
                ListenerKind::Redirect { .. } => {
                    redirect::serve(front, listener, tcp, client, &guard).await;
                    drop(guard);
                }
            }
        });
    }
}
