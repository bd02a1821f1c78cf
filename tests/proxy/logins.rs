//! Gateways that log connections in: nobody gets another's account.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::client::{Answer, Http2, Tls, connect, h2_request, read_answer};
use crate::front::{Front, Setup};
use crate::pki::{CORP, ServerTls, leaf};
use crate::upstream::{Behaviour, Upstream};

async fn gateway(scheme: &'static str) -> Upstream {
    let tls = ServerTls::new(leaf(&CORP, "orders.corp.test"));
    Upstream::start(tls, Behaviour::Login(scheme)).await
}

struct Client {
    stream: Tls,
    buffer: Vec<u8>,
}

impl Client {
    async fn connect(front: &Front) -> Self {
        let stream = connect(front.address, Some("api.test"), b"").await;
        Self {
            stream: stream.unwrap(),
            buffer: Vec::new(),
        }
    }

    async fn ask(&mut self, authorization: &str) -> Answer {
        let field = match authorization {
            "" => String::new(),
            credentials => format!("Authorization: {credentials}\r\n"),
        };
        let request = format!("GET /orders/me HTTP/1.1\r\nHost: api.test\r\n{field}\r\n");
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_answer(&mut self.stream, &mut self.buffer, false).await;
        answer.unwrap()
    }

    /// Both steps; then who the gateway takes it for.
    async fn log_in(&mut self, scheme: &str, name: &str) -> String {
        let challenged = self.ask(&format!("{scheme} hello")).await;
        assert_eq!(challenged.status, 401);
        let challenge = challenged.header("www-authenticate").unwrap();
        assert!(challenge.ends_with("challenge"), "{challenge}");
        let answer = self.ask(&format!("{scheme} proof-of-{name}")).await;
        assert_eq!(answer.status, 200);
        answer.text()
    }
}

#[tokio::test]
async fn a_login_is_its_own_clients_alone() {
    for scheme in ["NTLM", "Negotiate"] {
        let upstream = gateway(scheme).await;
        let front = Front::start(&Setup::to(&upstream)).await;
        let mut alice = Client::connect(&front).await;
        assert_eq!(alice.log_in(scheme, "alice").await, "alice");
        // It stays logged in, for her.
        assert_eq!(alice.ask("").await.text(), "alice");
        for _ in 0..4 {
            let mut stranger = Client::connect(&front).await;
            assert_eq!(stranger.ask("").await.status, 401);
            assert_eq!(stranger.ask("").await.status, 401);
        }
        let mut bob = Client::connect(&front).await;
        assert_eq!(bob.ask("").await.status, 401);
        assert_eq!(bob.log_in(scheme, "bob").await, "bob");
        assert_eq!(alice.ask("").await.text(), "alice");
        let mut h2 = Http2::connect(front.address, "api.test").await;
        let request = h2_request("GET", "https://api.test/orders/me")
            .body(())
            .unwrap();
        let answer = h2.request(request, None).await;
        assert_eq!(answer.status, 401);
    }
}

/// What an answer offers is enough: who asked without credentials has a gateway connection of its own too.
#[tokio::test]
async fn an_offer_ends_the_sharing_of_connections() {
    let upstream = gateway("NTLM").await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let mut first = Client::connect(&front).await;
    first.ask("").await;
    let before = upstream.connections();
    let mut others = Vec::new();
    for _ in 0..3 {
        let mut other = Client::connect(&front).await;
        other.ask("").await;
        other.ask("").await;
        others.push(other);
    }
    assert_eq!(upstream.connections(), before + 3);
}

#[tokio::test]
async fn its_gateway_connection_is_closed_with_the_clients() {
    let upstream = gateway("NTLM").await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let mut alice = Client::connect(&front).await;
    alice.log_in("NTLM", "alice").await;
    assert_eq!(upstream.open(), 1);
    drop(alice);
    tokio::time::timeout(Duration::from_secs(20), async {
        while upstream.open() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the gateway connection ends with the client's");
}

#[tokio::test]
async fn such_schemes_can_be_refused() {
    let upstream = gateway("NTLM").await;
    let setup = Setup {
        upstream: "connection_auth = \"refuse\"".to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    let mut client = Client::connect(&front).await;
    let offered = client.ask("").await;
    assert_eq!(offered.status, 401);
    assert_eq!(offered.header("www-authenticate"), None);
    let requests = upstream.requests();
    assert_eq!(client.ask("ntlm hello").await.status, 403);
    assert_eq!(upstream.requests(), requests);
    // Credentials of a request are no such scheme.
    assert_eq!(client.ask("Bearer NTLM").await.status, 401);
}
