//! A login that a gateway binds to the connection is nobody else's.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use openssl::ssl::Ssl;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_openssl::SslStream;

use crate::front::{Front, Setup, wait};
use support::client::{Answer, Http2, Tls, connect, h2_request, read_answer};
use support::pki::{self, CORP, ServerTls};

/// Authenticates connections, as IIS does. Answers with the number of the connection and whose it is.
struct Gateway {
    address: SocketAddr,
    opened: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

impl Gateway {
    /// `offers` are the fields of its 401.
    async fn start(offers: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (opened, closed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let acceptor = ServerTls::new(pki::leaf(&CORP, "orders.corp.test")).acceptor();
        tokio::spawn({
            let (opened, closed) = (Arc::clone(&opened), Arc::clone(&closed));
            async move {
                while let Ok((tcp, _)) = listener.accept().await {
                    let number = opened.fetch_add(1, Ordering::SeqCst) + 1;
                    let (closed, ssl) = (Arc::clone(&closed), Ssl::new(acceptor.context()));
                    let mut stream = SslStream::new(ssl.unwrap(), tcp).unwrap();
                    tokio::spawn(async move {
                        if Pin::new(&mut stream).accept().await.is_ok() {
                            serve(&mut stream, number, offers).await;
                        }
                        closed.fetch_add(1, Ordering::SeqCst);
                    });
                }
            }
        });
        Self {
            address,
            opened,
            closed,
        }
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    async fn has_closed(&self, count: usize) {
        let closed = wait(|| (self.closed.load(Ordering::SeqCst) >= count).then_some(())).await;
        assert!(closed.is_some(), "{:?} of {count} closed", self.closed);
    }
}

async fn serve(stream: &mut SslStream<TcpStream>, number: usize, offers: &str) {
    let mut buffer = Vec::new();
    let mut who = None;
    loop {
        while !buffer.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let head = String::from_utf8(std::mem::take(&mut buffer)).unwrap();
        let login = head
            .lines()
            .find_map(|line| line.strip_prefix("Authorization: "));
        let login = login.or_else(|| head.lines().find_map(|l| l.strip_prefix("authorization: ")));
        let (status, fields) = match login {
            Some("NTLM negotiate") => {
                ("401 Who", "WWW-Authenticate: NTLM challenge\r\n".to_owned())
            }
            Some(login) if login.contains("proof-of-") => {
                who = login.split("proof-of-").nth(1).map(str::to_owned);
                ("200 OK", String::new())
            }
            _ if who.is_some() || head.contains("/orders/open") => ("200 OK", String::new()),
            _ => ("401 Who", offers.to_owned()),
        };
        let body = format!("{number} {}", who.as_deref().unwrap_or("nobody"));
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n{body}");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

const IIS: &str = "WWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM\r\n";

struct Client {
    stream: Tls,
    buffer: Vec<u8>,
}

impl Client {
    async fn new(front: &Front) -> Self {
        Self {
            stream: connect(front.address, Some("api.test"), b"").await.unwrap(),
            buffer: Vec::new(),
        }
    }

    async fn ask(&mut self, path: &str, fields: &str) -> Answer {
        let request = format!("GET /orders/{path} HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n");
        self.stream.write_all(request.as_bytes()).await.unwrap();
        read_answer(&mut self.stream, &mut self.buffer, false)
            .await
            .unwrap()
    }

    /// With both steps of the scheme; what it got.
    async fn log_in(&mut self, name: &str) -> String {
        let first = self.ask("me", "Authorization: NTLM negotiate\r\n").await;
        assert_eq!(first.header("www-authenticate"), Some("NTLM challenge"));
        let proof = format!("Authorization: NTLM proof-of-{name}\r\n");
        let got = self.ask("me", &proof).await.text();
        assert!(got.ends_with(&format!(" {name}")), "{got}");
        got
    }
}

async fn front_of(gateways: &[&Gateway], upstream: &str) -> Front {
    let servers: Vec<SocketAddr> = gateways.iter().map(|gateway| gateway.address).collect();
    let setup = Setup {
        upstream: upstream.to_owned(),
        ..Setup::servers(&servers)
    };
    Front::start(&setup).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_its_clients_alone_and_ends_with_it() {
    let gateway = Gateway::start(IIS).await;
    let front = front_of(&[&gateway], "").await;
    let mut alice = Client::new(&front).await;
    assert_eq!(alice.ask("me", "").await.status, 401);
    let hers = alice.log_in("alice").await;
    let mut others = Vec::new();
    for number in 0..8 {
        let mut other = Client::new(&front).await;
        let answer = other.ask("me", "").await;
        assert_eq!(answer.status, 401, "client {number}");
        assert!(answer.text().ends_with(" nobody"), "{}", answer.text());
        let offers = answer
            .headers
            .iter()
            .filter(|(name, _)| name == "www-authenticate" || name == "WWW-Authenticate");
        assert_eq!(offers.count(), 2);
        others.push(other);
    }
    assert_eq!(others[0].log_in("bob").await.split(' ').nth(1), Some("bob"));
    // Neither needs to say it again, and each stays on its connection.
    assert_eq!(alice.ask("me", "").await.text(), hers);
    assert!(others[0].ask("me", "").await.text().ends_with(" bob"));
    assert!(others[1].ask("me", "").await.text().ends_with(" nobody"));
    let closed = gateway.closed.load(Ordering::SeqCst);
    drop(alice);
    gateway.has_closed(closed + 1).await;
    drop(others);
    gateway.has_closed(gateway.opened()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_offered_it_serves_nobody_else() {
    for offers in [
        IIS,
        "WWW-Authenticate: Basic realm=\"a, b\", ntlm\r\n",
        "www-authenticate: nEGOTIATE\r\n",
        "Proxy-Authenticate: NTLM\r\n",
        "Persistent-Auth: true\r\n",
    ] {
        let gateway = Gateway::start(offers).await;
        let front = front_of(&[&gateway], "").await;
        let mut client = Client::new(&front).await;
        assert_eq!(client.ask("me", "").await.text(), "1 nobody", "{offers}");
        gateway.has_closed(1).await;
        // The client's next request has a connection that only it has, and keeps it.
        assert_eq!(client.ask("open", "").await.text(), "2 nobody", "{offers}");
        let mut other = Client::new(&front).await;
        assert_eq!(other.ask("open", "").await.text(), "3 nobody", "{offers}");
        assert_eq!(client.ask("open", "").await.text(), "2 nobody", "{offers}");
    }
    // What offers nothing of the kind is shared as ever, on the thread of both clients at least.
    let gateway = Gateway::start("WWW-Authenticate: Basic realm=\"NTLM\"\r\n").await;
    let front = front_of(&[&gateway], "").await;
    let mut client = Client::new(&front).await;
    for _ in 0..3 {
        assert_eq!(client.ask("me", "").await.text(), "1 nobody");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_multiplex_have_one_of_their_own() {
    let gateway = Gateway::start(IIS).await;
    let front = front_of(&[&gateway], "").await;
    let ask = async |client: &mut Http2, login: &str| {
        let request = h2_request("GET", "https://api.test/orders/me");
        let request = match login {
            "" => request,
            login => request.header("authorization", login),
        };
        client.request(request.body(()).unwrap(), None).await
    };
    let mut alice = Http2::connect(front.address, "api.test").await;
    let mut bob = Http2::connect(front.address, "api.test").await;
    assert_eq!(ask(&mut alice, "NTLM negotiate").await.status, 401);
    assert_eq!(ask(&mut bob, "NTLM negotiate").await.status, 401);
    let hers = ask(&mut alice, "NTLM proof-of-alice").await.text();
    let his = ask(&mut bob, "NTLM proof-of-bob").await.text();
    assert!(
        hers.ends_with(" alice") && his.ends_with(" bob"),
        "{hers} {his}"
    );
    let at_once = (0..20).map(|number| {
        let (client, expected) = match number % 2 {
            0 => (&alice, &hers),
            _ => (&bob, &his),
        };
        let mut client = Http2 {
            send: client.send.clone(),
        };
        async move { assert_eq!(&ask(&mut client, "").await.text(), expected) }
    });
    futures_of(at_once).await;
    let mut stranger = Http2::connect(front.address, "api.test").await;
    assert_eq!(ask(&mut stranger, "").await.status, 401);
    drop((alice, bob, stranger));
    gateway.has_closed(gateway.opened()).await;
}

/// Waits for all of them, which go on side by side.
async fn futures_of(all: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        all.retain_mut(|one| one.as_mut().poll(cx).is_pending());
        match all.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_stays_with_its_server_and_begins_apart() {
    let (one, two) = (Gateway::start(IIS).await, Gateway::start(IIS).await);
    let front = front_of(&[&one, &two], "").await;
    // Shared connections to each are kept, on the threads of all clients.
    let mut others = Vec::new();
    for _ in 0..8 {
        let mut other = Client::new(&front).await;
        for _ in 0..4 {
            assert_eq!(other.ask("open", "").await.status, 200);
        }
        others.push(other);
    }
    let mut client = Client::new(&front).await;
    let opened = one.opened() + two.opened();
    // Without being asked first: RFC 4559 clients that know the server do so.
    let hers = client
        .ask("me", "Authorization: Negotiate proof-of-carol\r\n")
        .await
        .text();
    assert_eq!(
        one.opened() + two.opened(),
        opened + 1,
        "not one that others had"
    );
    for _ in 0..6 {
        assert_eq!(client.ask("me", "").await.text(), hers);
    }
    for other in &mut others {
        assert_eq!(other.ask("me", "").await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_refused_where_the_configuration_says_so() {
    let refuse = "connection_auth = \"refuse\"";
    let gateway = Gateway::start(IIS).await;
    let front = front_of(&[&gateway], refuse).await;
    let mut client = Client::new(&front).await;
    let answer = client.ask("me", "Authorization: nTLM negotiate\r\n").await;
    assert_eq!(answer.status, 403);
    assert_eq!(gateway.opened(), 0);
    let line = front.line_of(answer.header("x-request-id").unwrap()).await;
    assert_eq!(line["error"], "connection_auth");
    // A 401 without a challenge that the client could take up is no answer.
    let answer = client.ask("me", "").await;
    assert_eq!(answer.status, 502);
    let line = front.line_of(answer.header("x-request-id").unwrap()).await;
    assert!(
        line["reason"].as_str().unwrap().contains("negotiate"),
        "{line}"
    );

    let gateway = Gateway::start(
        "WWW-Authenticate: NTLM, Basic realm=\"a\"\r\nWWW-Authenticate: Negotiate\r\n",
    )
    .await;
    let front = front_of(&[&gateway], refuse).await;
    let mut client = Client::new(&front).await;
    let answer = client.ask("me", "").await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"a\""));
    gateway.has_closed(1).await;
}
