//! HTTP/1.1 for the admin API: one request for each connection, everything bounded.
//!
//! The head is parsed with the same strict parser as the heads of clients. A browser must not reach this API, not even
//! through a page that makes it connect to loopback: see [`Access`] and [`parse`].
//!
//! Nothing here depends on the listeners or the routes, so the API answers while clients get nothing.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were found in the same list"
)]

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::timeout;

use super::router::{Method, Request, Response, Router};
use super::slots::{ConnectionSlots, Slot, Stage};
use crate::config::{Admin, AdminAddress, Token};
use crate::supervision::{Ended, supervise};
use crate::unix_socket;
use http_strict::{BodyFraming, Head, HeadLimits, split_port};

/// Bytes. Our own requests are far smaller; the limits keep a local process from filling the memory.
const MAX_HEAD: usize = 16 * 1024;
const MAX_BODY: usize = 64 * 1024;
/// How long a client may take to send its request, and again to read the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to send the head alone.
const HEAD_TIMEOUT: Duration = Duration::from_secs(3);

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
    slots.spawn(move |slot| async move { serve(stream, &router, &access, caller, slot).await });
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
        serve(stream, &router, &Access::Owner, caller, slot).await;
    });
    Ok(())
}

/// Who may send a request.
enum Access {
    /// The owner of the unix socket: its mode lets nobody else connect.
    Owner,
    /// Over TCP, the Host field must name our address or localhost. Otherwise a web page could make its own name
    /// resolve to loopback (DNS rebinding) and read our answers. A POST needs the token; without a configured token
    /// every POST is refused.
    Tcp { token: Option<Token>, own: IpAddr },
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    router: &Router,
    access: &Access,
    caller: String,
    slot: Slot,
) {
    let response = match timeout(TIMEOUT, read_request(&mut stream, access, caller)).await {
        Ok(Ok(Some(request))) => {
            slot.set_stage(Stage::Answering);
            // No deadline: a reload may take longer than `TIMEOUT` and has a deadline of its own.
            router.answer(request).await
        }
        Ok(Ok(None)) => return,
        Ok(Err(response)) => response,
        Err(_) => Response::error(408, "the request took too long"),
    };
    slot.set_stage(Stage::WritingAnswer);
    // A client that is gone needs no answer.
    let _ = timeout(TIMEOUT, write_response(&mut stream, &response)).await;
}

/// None if the client closed the connection before its request was complete.
async fn read_request<S: AsyncRead + Unpin>(
    stream: &mut S,
    access: &Access,
    caller: String,
) -> Result<Option<Request>, Response> {
    let late = |_| Response::error(408, "the head took too long");
    let read = timeout(HEAD_TIMEOUT, read_head(stream)).await;
    let Some((mut raw, end)) = read.map_err(late)?? else {
        return Ok(None);
    };
    let limits = HeadLimits {
        head: MAX_HEAD,
        line: MAX_HEAD,
        headers: 64,
    };
    // The body, or a part of it, may have arrived with the head.
    let mut body = raw.split_off(end);
    let head = Head::parse_within(&raw, &limits)
        .map_err(|error| Response::error(error.status, &error.reason))?;
    // The caller is authorized before its body is read, so a stranger cannot make us hold 64 KiB for it.
    let mut request = parse(&raw, &head, access, caller)?;
    let length = match head.body {
        BodyFraming::None => 0,
        BodyFraming::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
        // No client of ours sends chunks, and a decoder is one more thing to attack.
        BodyFraming::Chunked => return Err(Response::error(411, "send a Content-Length")),
    };
    if length > MAX_BODY {
        return Err(Response::error(413, "the body is too large"));
    }
    while body.len() < length {
        match stream.read_buf(&mut body).await {
            Ok(1..) => {}
            _ => return Ok(None),
        }
    }
    // More bytes would be a second request, and a connection has one.
    body.truncate(length);
    request.body = body;
    Ok(Some(request))
}

/// The received bytes, and the length of the head in them. None if the client closed the connection first.
async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
) -> Result<Option<(Vec<u8>, usize)>, Response> {
    let mut raw = Vec::new();
    let mut scanned = 0;
    loop {
        // The blank line may be split between two reads, so the last three bytes are searched again. The others are
        // not: a client that sends single bytes would otherwise cost quadratic time.
        let from = scanned.min(raw.len());
        if let Some(at) = memchr::memmem::find(&raw[from..], b"\r\n\r\n") {
            return Ok(Some((raw, from + at + 4)));
        }
        scanned = raw.len().saturating_sub(3);
        if raw.len() > MAX_HEAD {
            return Err(Response::error(431, "the head is too large"));
        }
        match stream.read_buf(&mut raw).await {
            Ok(1..) => {}
            _ => return Ok(None),
        }
    }
}

fn parse(raw: &[u8], head: &Head, access: &Access, caller: String) -> Result<Request, Response> {
    let method = match &raw[head.method.clone()] {
        b"GET" => Method::Get,
        b"POST" => Method::Post,
        _ => return Err(Response::error(405, "use GET or POST")),
    };
    let bearer = head
        .headers
        .iter()
        .find(|(name, _)| raw[name.clone()].eq_ignore_ascii_case(b"authorization"))
        .and_then(|(_, value)| raw[value.clone()].strip_prefix(b"Bearer "));
    // A browser adds one of these if a page makes it connect here, and the page cannot remove it. Our tools send none.
    let from_page = head.headers.iter().any(|(name, _)| {
        let name = &raw[name.clone()];
        name.eq_ignore_ascii_case(b"origin") || name.eq_ignore_ascii_case(b"sec-fetch-site")
    });
    if from_page {
        return Err(Response::error(403, "this API does not answer browsers"));
    }
    // No host name leads to a unix socket, so only TCP needs this.
    if let Access::Tcp { own, .. } = access {
        let hosts = head
            .headers
            .iter()
            .filter(|(name, _)| raw[name.clone()].eq_ignore_ascii_case(b"host"))
            .map(|(_, value)| &raw[value.clone()]);
        check_host(*own, hosts)?;
    }
    let denial = authorize(access, bearer).err();
    if let (Method::Post, Some(denial)) = (method, &denial) {
        return Err(denial.clone());
    }
    let target = std::str::from_utf8(&raw[head.target.clone()])
        .ok()
        .filter(|target| target.starts_with('/'))
        .ok_or_else(|| Response::error(400, "the target is not a path"))?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Ok(Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        accept: accepted(raw, head),
        rest: String::new(),
        body: Vec::new(),
        caller,
        denial,
    })
}

/// The values of the Accept fields, as a list.
fn accepted(raw: &[u8], head: &Head) -> String {
    let fields = head.headers.iter();
    let fields = fields.filter(|(name, _)| raw[name.clone()].eq_ignore_ascii_case(b"accept"));
    let values = fields.map(|(_, value)| String::from_utf8_lossy(&raw[value.clone()]));
    values.collect::<Vec<_>>().join(",")
}

fn check_host<'h>(own: IpAddr, hosts: impl Iterator<Item = &'h [u8]>) -> Result<(), Response> {
    let mut count = 0;
    for host in hosts {
        count += 1;
        if !names_us(own, host) {
            let words = format!("this API answers only for the host localhost or {own}");
            return Err(Response::error(421, &words));
        }
    }
    match count {
        // RFC 9112, 3.2: a request without a Host field, or with several, is answered 400.
        1 => Ok(()),
        _ => Err(Response::error(400, "send one Host field")),
    }
}

/// Whether the Host field names this machine. The port does not matter: it differs if a tunnel forwards to us.
fn names_us(own: IpAddr, host: &[u8]) -> bool {
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

fn authorize(access: &Access, bearer: Option<&[u8]>) -> Result<(), Response> {
    match (access, bearer) {
        (Access::Owner, _) => Ok(()),
        (
            Access::Tcp {
                token: Some(token), ..
            },
            Some(given),
        ) if token.is(given) => Ok(()),
        // `Token::is` above compares in constant time, so the answers do not reveal how much of a guess is right.
        (Access::Tcp { token: Some(_), .. }, _) => {
            let words = "send the token of admin_token_file: Authorization: Bearer TOKEN";
            Err(Response::error(401, words))
        }
        (Access::Tcp { token: None, .. }, _) => {
            let words = "over TCP, requests that change something or show what clients sent need an admin_token_file in the configuration";
            Err(Response::error(403, words))
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
        // A browser that gets this all the same must neither store it nor guess another type.
        "HTTP/1.1 {} {reason}\r\ncontent-type: {}\r\ncontent-length: {}\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n",
        response.status,
        response.content_type,
        response.body.len(),
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&response.body).await?;
    stream.shutdown().await
}
