//! Names that a name server of our own answers, with the TTL that a test wants.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

use crate::balancing::pools;
use crate::front::{capture_logs, logged, wait};

/// What it says of every name.
#[derive(Debug, Clone, Copy)]
enum Says {
    Address {
        last: u8,
        ttl: u32,
    },
    /// SERVFAIL
    Fails,
    /// NXDOMAIN
    Nothing,
}

#[derive(Debug)]
struct State {
    says: Says,
    asked: usize,
}

struct NameServer {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl NameServer {
    async fn start(says: Says) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { says, asked: 0 }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut query).await {
                let answer = answer(&query[..length], &mut shared.lock().unwrap());
                socket.send_to(&answer, client).await.unwrap();
            }
        });
        Self { port, state }
    }

    fn say(&self, says: Says) {
        self.state.lock().unwrap().says = says;
    }

    fn asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }

    /// The keys of an upstream that asks it.
    fn keys(&self, host: &str) -> String {
        let port = self.port;
        format!(
            "servers = [\"{host}:443\"]\ndns_refresh = \"1h\"\n[dns]\nservers = [\"127.0.0.1:{port}\"]"
        )
    }
}

/// RFC 1035, 4.1: the head, the question as it came, and what there is to say to it.
fn answer(query: &[u8], state: &mut State) -> Vec<u8> {
    const A: [u8; 2] = [0, 1];
    let name = query[12..].iter().position(|&b| b == 0).unwrap() + 13;
    let question = &query[12..name + 4];
    let kind = &query[name..name + 2];
    let (code, records) = match state.says {
        Says::Address { .. } => (0, u8::from(kind == A)),
        Says::Fails => (2, 0),
        Says::Nothing => (3, 0),
    };
    state.asked += usize::from(kind == A);
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1, 0, records, 0, 0, 0, 0]);
    answer.extend(question);
    if let (Says::Address { last, ttl }, 1) = (state.says, records) {
        answer.extend([0xc0, 12, 0, 1, 0, 1]);
        answer.extend(ttl.to_be_bytes());
        answer.extend([0, 4, 127, 0, 0, last]);
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_asked_for_again_when_its_ttl_is_over() {
    capture_logs();
    let server = NameServer::start(Says::Address { last: 2, ttl: 0 }).await;
    let pools = pools(&server.keys("gateway.test"));
    let pool = pools.get("u").unwrap();
    let is_at = async |last: u8| {
        let expected = [IpAddr::from(Ipv4Addr::new(127, 0, 0, last))];
        let is = || {
            let servers = pool.servers();
            let addresses = servers.iter().map(|server| server.address.ip());
            addresses.eq(expected).then_some(())
        };
        assert!(wait(is).await.is_some(), "{:?}", pool.locate().await);
    };
    pool.start();
    is_at(2).await;
    server.say(Says::Address { last: 3, ttl: 1 });
    is_at(3).await;

    // Where it fails, the last addresses are kept, and it is asked again.
    server.say(Says::Fails);
    logged("upstream u: the name gateway.test does not resolve").await;
    assert_eq!(pool.servers().len(), 1);
    server.say(Says::Address { last: 4, ttl: 3600 });
    is_at(4).await;

    // Nobody asks before its time; whoever wants to know now does.
    let asked = server.asked();
    server.say(Says::Address { last: 5, ttl: 3600 });
    pool.resolve().await;
    is_at(5).await;
    assert_eq!(server.asked(), asked + 1);
    pool.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_hosts_goes_before_the_name_server() {
    let server = NameServer::start(Says::Nothing).await;
    let pools = pools(&server.keys("localhost"));
    let pool = pools.get("u").unwrap();
    pool.resolve().await;
    let servers = pool.servers();
    assert!(!servers.is_empty());
    assert!(
        servers
            .iter()
            .all(|server| server.address.ip().is_loopback())
    );
    assert_eq!(server.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_knows_has_no_address() {
    let server = NameServer::start(Says::Nothing).await;
    let pools = pools(&server.keys("gateway.test"));
    let located = pools.get("u").unwrap().locate().await;
    let failure = located[0].1.as_ref().unwrap_err();
    assert!(
        failure
            .to_string()
            .contains("gateway.test does not resolve"),
        "{failure}"
    );
    assert!(
        server.asked() > 0,
        "the system's resolver is not asked instead"
    );
}
