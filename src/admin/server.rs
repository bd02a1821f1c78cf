//! The sockets of the admin API, and who connects to them.
//!
//! Nothing here depends on the listeners or the routes, so the API answers while clients get nothing.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use super::access::Access;
use super::connection::{AnswerBody, Protocol, read_body, serve, whole_body};
use super::router::{Response, Router};
use super::slots::{ConnectionSlots, Slot};
use crate::config::{Admin, AdminAddress, Token};
use crate::supervision::{Ended, supervise};
use crate::unix_socket;

/// A bound address. It answers requests until this is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    task: tokio::task::JoinHandle<()>,
    listener: Arc<AdminListener>,
    /// The file to remove at the end; None over TCP, and once another process owns it.
    socket_file: Option<PathBuf>,
    /// The real address, also if the configuration has port 0.
    pub address: AdminAddress,
}

#[derive(Debug)]
enum AdminListener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Binds the address and answers requests. Only the owner can connect to a unix socket (mode 0600). If the file is a
/// socket on which nobody listens any more, it is replaced.
///
/// # Errors
/// The address cannot be bound.
pub async fn listen(admin: &Admin, router: Arc<Router>) -> io::Result<AdminSocket> {
    let (listener, address) = match &admin.address {
        AdminAddress::Tcp(address) => {
            let listener = TcpListener::bind(address).await?;
            let real = listener.local_addr()?;
            (AdminListener::Tcp(listener), AdminAddress::Tcp(real))
        }
        AdminAddress::Unix(path) => (AdminListener::Unix(bind_unix(path)?), admin.address.clone()),
    };
    Ok(AdminSocket::open(listener, address, admin, router))
}

/// Answers requests on a socket that another process bound to this address and handed over.
///
/// # Errors
/// The descriptor is not such a socket.
pub fn adopt(admin: &Admin, socket: OwnedFd, router: Arc<Router>) -> io::Result<AdminSocket> {
    let (listener, address) = match &admin.address {
        AdminAddress::Tcp(_) => {
            let listener = std::net::TcpListener::from(socket);
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            let real = AdminAddress::Tcp(listener.local_addr()?);
            (AdminListener::Tcp(listener), real)
        }
        AdminAddress::Unix(_) => {
            let listener = std::os::unix::net::UnixListener::from(socket);
            listener.set_nonblocking(true)?;
            let listener = UnixListener::from_std(listener)?;
            (AdminListener::Unix(listener), admin.address.clone())
        }
    };
    Ok(AdminSocket::open(listener, address, admin, router))
}

impl AdminSocket {
    fn open(
        listener: AdminListener,
        address: AdminAddress,
        admin: &Admin,
        router: Arc<Router>,
    ) -> Self {
        let listener = Arc::new(listener);
        let socket_file = match &address {
            AdminAddress::Unix(path) => Some(path.clone()),
            AdminAddress::Tcp(_) => None,
        };
        let task = tokio::spawn({
            // The socket outlives a panic of the task, which begins again with it.
            let (listener, token) = (Arc::clone(&listener), admin.token.clone());
            async move {
                let begin = || accept(&listener, &router, token.as_ref());
                supervise("admin API", begin).await;
            }
        });
        Self {
            task,
            listener,
            socket_file,
            address,
        }
    }

    /// Stops accepting and leaves the socket's file to the process that adopted the socket.
    pub fn release(mut self) {
        self.socket_file = None;
    }
}

impl AsFd for AdminSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self.listener.as_ref() {
            AdminListener::Tcp(listener) => listener.as_fd(),
            AdminListener::Unix(listener) => listener.as_fd(),
        }
    }
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if let Ok(metadata) = fs::symlink_metadata(path) {
        // A mistyped path must not delete a file of the user.
        if !metadata.file_type().is_socket() {
            let words = format!("{} exists and is not a socket", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, words));
        }
        // The name of a running process is not taken: its callers would reach another front door without noticing.
        if unix_socket::is_in_use(path) {
            let words = format!("another process listens on {}", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, words));
        }
    }
    unix_socket::bind_private(path)
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(path) = &self.socket_file {
            // If the file is gone already, there is nothing to remove.
            let _ = fs::remove_file(path);
        }
    }
}

async fn accept(listener: &AdminListener, router: &Arc<Router>, token: Option<&Token>) -> Ended {
    let slots = Arc::new(ConnectionSlots::default());
    let mut failing = false;
    loop {
        let accepted = match listener {
            AdminListener::Tcp(listener) => accept_tcp(listener, router, token, &slots).await,
            AdminListener::Unix(listener) => accept_unix(listener, router, &slots).await,
        };
        match accepted {
            Ok(()) => failing = false,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!("the admin API cannot accept connections: {error}");
                }
                // Without free descriptors, accepting fails at once; the pause keeps this loop from spinning.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn accept_tcp(
    listener: &TcpListener,
    router: &Arc<Router>,
    token: Option<&Token>,
    slots: &Arc<ConnectionSlots>,
) -> io::Result<()> {
    let (stream, peer) = listener.accept().await?;
    let access = Access::Tcp {
        token: token.cloned(),
        // An IPv4 client of an IPv6 socket has a mapped address, which no Host field names.
        own: stream.local_addr()?.ip().to_canonical(),
    };
    let (router, caller) = (Arc::clone(router), peer.to_string());
    slots.spawn(move |slot| async move { serve_api(stream, router, access, caller, slot).await });
    Ok(())
}

async fn accept_unix(
    listener: &UnixListener,
    router: &Arc<Router>,
    slots: &Arc<ConnectionSlots>,
) -> io::Result<()> {
    let (stream, _) = listener.accept().await?;
    let caller = match stream.peer_cred() {
        Ok(peer) => format!("unix:uid={}", peer.uid()),
        // The audit then lacks the user; the mode of the socket already decided who may connect.
        Err(_) => "unix".to_owned(),
    };
    let router = Arc::clone(router);
    slots.spawn(move |slot| async move {
        serve_api(stream, router, Access::Owner, caller, slot).await;
    });
    Ok(())
}

async fn serve_api<S>(stream: S, router: Arc<Router>, access: Access, caller: String, slot: Slot)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let who = Arc::new((access, caller));
    let handler = |request| {
        let (router, who) = (Arc::clone(&router), Arc::clone(&who));
        async move {
            let (access, caller) = who.as_ref();
            let answered = answer(&router, access, caller, request).await;
            answered.unwrap_or_else(|refused| refused).into()
        }
    };
    serve(stream, Protocol::Http1, slot, handler).await;
}

async fn answer(
    router: &Arc<Router>,
    access: &Access,
    caller: &str,
    request: http::Request<Incoming>,
) -> Result<Response, Response> {
    let (head, body) = request.into_parts();
    let mut request = access.admit(&head, caller)?;
    request.body = read_body(body).await?;
    Ok(router.answer_to_its_end(request).await)
}

impl From<Response> for http::Response<AnswerBody> {
    fn from(response: Response) -> Self {
        let mut answer = Self::new(whole_body(response.body));
        // Our own status codes are valid.
        let status = StatusCode::from_u16(response.status);
        *answer.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // A browser that gets this all the same must neither store it nor guess another type.
        let headers = answer.headers_mut();
        let content_type = HeaderValue::from_static(response.content_type);
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let nosniff = HeaderValue::from_static("nosniff");
        headers.insert(X_CONTENT_TYPE_OPTIONS, nosniff);
        answer
    }
}
