//! HTTP/1.1 for the API: one request a connection, everything bounded.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::timeout;

use super::places::{Place, Places, Stage};
use super::{Method, Request, Response, Router};
use crate::config::{Admin, AdminAddress, Token};
use crate::supervision::{Ended, supervise};
use http_strict::{BodyFraming, Head, HeadLimits, split_port};

const HEAD: usize = 16 * 1024;
const BODY: usize = 64 * 1024;
/// From the first byte to the end of the request, and again for the answer to be taken.
const TIME: Duration = Duration::from_secs(10);
/// For the head alone.
const HEAD_TIME: Duration = Duration::from_secs(3);

/// A bound address that answers until it is dropped.
#[derive(Debug)]
pub struct AdminSocket {
    task: tokio::task::JoinHandle<()>,
    bound: Arc<Bound>,
    socket_file: Option<PathBuf>,
    /// The real one, where port 0 was asked for.
    pub address: AdminAddress,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Binds and answers. A unix socket is for its owner only (mode 0600); a file of a socket where
/// nobody listens any more is replaced.
///
/// # Errors
/// The address cannot be bound.
pub async fn listen(admin: &Admin, router: Arc<Router>) -> io::Result<AdminSocket> {
    let (bound, address, socket_file) = match &admin.address {
        AdminAddress::Tcp(address) => {
            let listener = TcpListener::bind(address).await?;
            let real = listener.local_addr()?;
            (Bound::Tcp(listener), AdminAddress::Tcp(real), None)
        }
        AdminAddress::Unix(path) => {
            let listener = bind_unix(path)?;
            let file = Some(path.clone());
            (
                Bound::Unix(listener),
                AdminAddress::Unix(path.clone()),
                file,
            )
        }
    };
    Ok(AdminSocket::open(
        bound,
        address,
        socket_file,
        admin,
        router,
    ))
}

/// Answers at a socket that another process bound to this address.
///
/// # Errors
/// It is no such socket.
pub fn adopt(admin: &Admin, socket: OwnedFd, router: Arc<Router>) -> io::Result<AdminSocket> {
    let (bound, address, socket_file) = match &admin.address {
        AdminAddress::Tcp(_) => {
            let listener = std::net::TcpListener::from(socket);
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            let real = AdminAddress::Tcp(listener.local_addr()?);
            (Bound::Tcp(listener), real, None)
        }
        AdminAddress::Unix(path) => {
            let listener = std::os::unix::net::UnixListener::from(socket);
            listener.set_nonblocking(true)?;
            let listener = UnixListener::from_std(listener)?;
            let real = AdminAddress::Unix(path.clone());
            (Bound::Unix(listener), real, Some(path.clone()))
        }
    };
    Ok(AdminSocket::open(
        bound,
        address,
        socket_file,
        admin,
        router,
    ))
}

impl AdminSocket {
    fn open(
        bound: Bound,
        address: AdminAddress,
        socket_file: Option<PathBuf>,
        admin: &Admin,
        router: Arc<Router>,
    ) -> Self {
        let bound = Arc::new(bound);
        let task = tokio::spawn({
            let (bound, token) = (Arc::clone(&bound), admin.token.clone());
            async move {
                let begin = || accept(&bound, &router, token.as_ref());
                supervise("admin API", begin).await;
            }
        });
        Self {
            task,
            bound,
            socket_file,
            address,
        }
    }

    /// No longer accepts; the socket stays, for the process that adopted it.
    pub fn leave(mut self) {
        self.socket_file = None;
    }
}

impl AsFd for AdminSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self.bound.as_ref() {
            Bound::Tcp(listener) => listener.as_fd(),
            Bound::Unix(listener) => listener.as_fd(),
        }
    }
}

fn bind_unix(path: &PathBuf) -> io::Result<UnixListener> {
    if let Ok(metadata) = fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            let words = format!("{} is there and is no socket", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, words));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            let words = format!("another process answers on {}", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, words));
        }
        fs::remove_file(path)?;
    }
    // Bound under another name first: nobody can connect before the mode is set.
    let hidden = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&hidden);
    let listener = UnixListener::bind(&hidden)?;
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o600))?;
    fs::rename(&hidden, path)?;
    Ok(listener)
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(path) = &self.socket_file {
            // Gone already is as good.
            let _ = fs::remove_file(path);
        }
    }
}

async fn accept(bound: &Bound, router: &Arc<Router>, token: Option<&Token>) -> Ended {
    let places = Arc::new(Places::default());
    let mut failing = false;
    loop {
        let accepted = match bound {
            Bound::Tcp(listener) => accept_tcp(listener, router, token, &places).await,
            Bound::Unix(listener) => accept_unix(listener, router, &places).await,
        };
        match accepted {
            Ok(()) => failing = false,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!("the admin API cannot accept: {error}");
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn accept_tcp(
    listener: &TcpListener,
    router: &Arc<Router>,
    token: Option<&Token>,
    places: &Arc<Places>,
) -> io::Result<()> {
    let (stream, peer) = listener.accept().await?;
    let guard = Guard::Tcp {
        token: token.cloned(),
        own: stream.local_addr()?.ip().to_canonical(),
    };
    let (router, who) = (Arc::clone(router), peer.to_string());
    places.seat(move |place| async move { serve(stream, &router, &guard, who, place).await });
    Ok(())
}

async fn accept_unix(
    listener: &UnixListener,
    router: &Arc<Router>,
    places: &Arc<Places>,
) -> io::Result<()> {
    let (stream, _) = listener.accept().await?;
    let who = match stream.peer_cred() {
        Ok(peer) => format!("unix:uid={}", peer.uid()),
        Err(_) => "unix".to_owned(),
    };
    let router = Arc::clone(router);
    places
        .seat(move |place| async move { serve(stream, &router, &Guard::Owner, who, place).await });
    Ok(())
}

/// What lets a request through.
enum Guard {
    /// The socket's mode did.
    Owner,
    /// The name or address that it is sent to must be ours, or a page could have a name of its own resolve to us;
    /// a POST needs the bearer of the token, and is nobody's where there is none.
    Tcp { token: Option<Token>, own: IpAddr },
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    router: &Router,
    guard: &Guard,
    who: String,
    place: Place,
) {
    let response = match timeout(TIME, read_request(&mut stream, guard, who)).await {
        Ok(Ok(Some(request))) => {
            place.is_at(Stage::Waiting);
            router.answer(request).await
        }
        Ok(Ok(None)) => return,
        Ok(Err(response)) => response,
        Err(_) => Response::problem(408, "the request took too long"),
    };
    place.is_at(Stage::Taking);
    // A client that is gone has no use for the answer.
    let _ = timeout(TIME, write_response(&mut stream, &response)).await;
}

/// None where the client closed before it asked.
async fn read_request<S: AsyncRead + Unpin>(
    stream: &mut S,
    guard: &Guard,
    who: String,
) -> Result<Option<Request>, Response> {
    let late = |_| Response::problem(408, "the head took too long");
    let read = timeout(HEAD_TIME, read_head(stream)).await;
    let Some((mut raw, end)) = read.map_err(late)?? else {
        return Ok(None);
    };
    let limits = HeadLimits {
        head: HEAD,
        line: HEAD,
        headers: 64,
    };
    let mut body = raw.split_off(end);
    let head = Head::parse_within(&raw, &limits)
        .map_err(|error| Response::problem(error.status, &error.reason))?;
    let mut request = parse(&raw, &head, guard, who)?;
    let length = match head.body {
        BodyFraming::None => 0,
        BodyFraming::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
        BodyFraming::Chunked => return Err(Response::problem(411, "send a Content-Length")),
    };
    if length > BODY {
        return Err(Response::problem(413, "the body is too large"));
    }
    while body.len() < length {
        match stream.read_buf(&mut body).await {
            Ok(1..) => {}
            _ => return Ok(None),
        }
    }
    body.truncate(length);
    request.body = body;
    Ok(Some(request))
}

/// What came, and where the head in it ends.
async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
) -> Result<Option<(Vec<u8>, usize)>, Response> {
    let mut raw = Vec::new();
    let mut scanned = 0;
    loop {
        let from = scanned.min(raw.len());
        if let Some(at) = memchr::memmem::find(&raw[from..], b"\r\n\r\n") {
            return Ok(Some((raw, from + at + 4)));
        }
        scanned = raw.len().saturating_sub(3);
        if raw.len() > HEAD {
            return Err(Response::problem(431, "the head is too large"));
        }
        match stream.read_buf(&mut raw).await {
            Ok(1..) => {}
            _ => return Ok(None),
        }
    }
}

fn parse(raw: &[u8], head: &Head, guard: &Guard, who: String) -> Result<Request, Response> {
    let method = match &raw[head.method.clone()] {
        b"GET" => Method::Get,
        b"POST" => Method::Post,
        _ => return Err(Response::problem(405, "use GET or POST")),
    };
    let bearer = head
        .headers
        .iter()
        .find(|(name, _)| raw[name.clone()].eq_ignore_ascii_case(b"authorization"))
        .and_then(|(_, value)| raw[value.clone()].strip_prefix(b"Bearer "));
    // A browser that was lured here sends one of these; no tool of ours does.
    let from_page = head.headers.iter().any(|(name, _)| {
        let name = &raw[name.clone()];
        name.eq_ignore_ascii_case(b"origin") || name.eq_ignore_ascii_case(b"sec-fetch-site")
    });
    if from_page {
        return Err(Response::problem(403, "not for browsers"));
    }
    if let Guard::Tcp { own, .. } = guard {
        let hosts = head
            .headers
            .iter()
            .filter(|(name, _)| raw[name.clone()].eq_ignore_ascii_case(b"host"))
            .map(|(_, value)| &raw[value.clone()]);
        sent_to(*own, hosts)?;
    }
    if method == Method::Post {
        allow(guard, bearer)?;
    }
    let target = std::str::from_utf8(&raw[head.target.clone()])
        .ok()
        .filter(|target| target.starts_with('/'))
        .ok_or_else(|| Response::problem(400, "the target is no path"))?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Ok(Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        rest: String::new(),
        body: Vec::new(),
        who,
    })
}

fn sent_to<'h>(own: IpAddr, hosts: impl Iterator<Item = &'h [u8]>) -> Result<(), Response> {
    let mut count = 0;
    for host in hosts {
        count += 1;
        if !is_own(own, host) {
            let words = format!("this answers to the host localhost or {own} alone");
            return Err(Response::problem(421, &words));
        }
    }
    match count {
        1 => Ok(()),
        _ => Err(Response::problem(400, "send one Host field")),
    }
}

/// Whatever the port, which differs where it is forwarded.
fn is_own(own: IpAddr, host: &[u8]) -> bool {
    let Some((name, _)) = split_port(host) else {
        return false;
    };
    if name.eq_ignore_ascii_case(b"localhost") {
        return true;
    }
    let text = std::str::from_utf8(name).unwrap_or_default();
    let literal = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let address = literal.unwrap_or(text).parse::<IpAddr>();
    address.is_ok_and(|address| address.to_canonical() == own)
}

fn allow(guard: &Guard, bearer: Option<&[u8]>) -> Result<(), Response> {
    match (guard, bearer) {
        (Guard::Owner, _) => Ok(()),
        (
            Guard::Tcp {
                token: Some(token), ..
            },
            Some(given),
        ) if token.is(given) => Ok(()),
        (Guard::Tcp { token: Some(_), .. }, _) => {
            let words = "send the token of admin_token_file: Authorization: Bearer TOKEN";
            Err(Response::problem(401, words))
        }
        (Guard::Tcp { token: None, .. }, _) => {
            let words = "over TCP nothing can be changed without admin_token_file";
            Err(Response::problem(403, words))
        }
    }
}

async fn write_response<S: AsyncWrite + Unpin>(
    stream: &mut S,
    response: &Response,
) -> io::Result<()> {
    let reason = http::StatusCode::from_u16(response.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("");
    let head = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: {}\r\ncontent-length: {}\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n",
        response.status,
        response.content_type,
        response.body.len(),
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&response.body).await?;
    stream.shutdown().await
}
