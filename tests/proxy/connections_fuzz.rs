//! Whole connections: what clients and gateways send is cut, joined and bent at random, over HTTP/1.1 and HTTP/2.
//! No panic, nothing in flight afterwards, no descriptor left. The same bytes at every run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::front::{Front, Setup, wait};
use support::client::{connect, get};
use support::gateway::{Connected, Gateway};

/// Connections of clients, in all, where `FUZZ_CONNECTIONS` says no other number.
const ROUNDS: u64 = 600;
const AT_ONCE: u64 = 12;
/// Longer than what a client sends takes; less than the front door waits for more.
const PATIENCE: Duration = Duration::from_millis(150);

const REQUESTS: &[&[u8]] = &[
    b"GET /orders/a HTTP/1.1\r\nHost: api.test\r\n\r\n",
    b"HEAD /orders/a HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n",
    b"POST /orders/b HTTP/1.1\r\nHost: api.test\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /orders/c HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nA: b\r\n\r\n",
    b"POST /orders/d HTTP/1.1\r\nHost: api.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /orders/e HTTP/1.0\r\nHost: api.test\r\nConnection: keep-alive\r\n\r\n",
    b"GET /ws/a HTTP/1.1\r\nHost: api.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
    b"GET /orders/f HTTP/1.1\r\nHost: api.test\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
    b"GET /sse/a HTTP/1.1\r\nHost: api.test\r\nAccept: text/event-stream\r\n\r\n",
    b"POST /sse/b HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"POST /sse/c HTTP/1.1\r\nHost: api.test\r\nContent-Length: 30000\r\n\r\nshort",
];
const ANSWERS: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;a\r\nabc\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
    b"HTTP/1.0 200 OK\r\n\r\nold",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x05hello",
    b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n",
];
/// Frames of HTTP/2, as a client sends them: GET and POST with literal fields, and all other kinds.
const FRAMES: &[&[u8]] = &[
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\xff\xff",
    b"\0\0\0\x04\x01\0\0\0\0",
    // :method GET, :scheme https, :path /orders/, :authority api.test; the same with POST and END_HEADERS alone.
    b"\0\0\x16\x01\x05\0\0\0\x01\x82\x87\x04\x08/orders/\x01\x08api.test",
    b"\0\0\x16\x01\x04\0\0\0\x03\x83\x87\x04\x08/orders/\x01\x08api.test",
    b"\0\0\x12\x01\x04\0\0\0\x05\x83\x87\x04\x04/rpc\x01\x08api.test",
    b"\0\0\x13\x01\x05\0\0\0\x07\x82\x87\x04\x05/sse/\x01\x08api.test",
    b"\0\0\x05\0\x01\0\0\0\x03hello",
    b"\0\0\x05\0\0\0\0\0\x05\0\0\0\0\0",
    b"\0\0\x04\x03\0\0\0\0\x03\0\0\0\x08",
    b"\0\0\x04\x08\0\0\0\0\0\0\0\xff\xff",
    b"\0\0\x08\x06\0\0\0\0\0abcdefgh",
    b"\0\0\x05\x02\0\0\0\0\x09\0\0\0\0\x10",
    b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"\0\0\x03\x0b\0\0\0\0\0abc",
];
/// The same of a gateway: a head, a body, trailers, and what ends it.
const GATEWAY_FRAMES: &[&[u8]] = &[
    b"\0\0\0\x04\0\0\0\0\0",
    b"\0\0\0\x04\x01\0\0\0\0",
    b"\0\0\x01\x01\x04\0\0\0\x01\x88",
    b"\0\0\x01\x01\x05\0\0\0\x01\x88",
    b"\0\0\x06\x01\x04\0\0\0\x01\x08\x03103\x88",
    b"\0\0\x05\0\x01\0\0\0\x01hello",
    b"\0\0\x0f\x01\x05\0\0\0\x01\0\x0bgrpc-status\x010",
    b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\0",
    b"\0\0\x04\x08\0\0\0\0\0\0\0\xff\xff",
    b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0",
];
const TOKENS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\0",
    b" ",
    b":",
    b",",
    b"0\r\n\r\n",
    b"ffffffff\r\n",
    b"-1",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Upgrade: websocket\r\n",
    b"Expect: 100-continue\r\n",
    b"HTTP/1.1 101 X\r\n\r\n",
    b"HTTP/1.1 199 X\r\n\r\n",
    b"99999999999999999999",
    b"\xff\xff\xff",
];

/// xorshift64
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    /// Some of these in a row, bent in up to two places.
    fn bent(&mut self, first: &[u8], from: &[&[u8]]) -> Vec<u8> {
        let mut bytes = first.to_vec();
        for _ in 0..=self.below(4) {
            bytes.extend_from_slice(from[self.below(from.len())]);
        }
        for _ in 0..self.below(3) {
            let at = first.len().min(bytes.len()) + self.below(bytes.len() - first.len() + 1);
            let end = (at + self.below(12)).min(bytes.len());
            match self.below(5) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let piece = bytes[at..end].repeat(1 + self.below(50));
                    drop(bytes.splice(at..at, piece));
                }
                3 => bytes.truncate(at),
                _ => drop(bytes.splice(at..end, TOKENS[self.below(TOKENS.len())].iter().copied())),
            }
        }
        bytes
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Says something bent to whatever it is asked, then waits, closes or breaks off.
async fn gateway(h2: bool) -> Gateway {
    let count = Arc::new(AtomicU64::new(0));
    Gateway::speaking(h2, move |mut connected: Connected| {
        let mut random = Random::new(1_000_000 + count.fetch_add(1, Ordering::SeqCst));
        async move {
            loop {
                let mut asked = [0; 4096];
                match timeout(Duration::from_secs(3), connected.stream.read(&mut asked)).await {
                    Ok(Ok(1..)) => {}
                    _ => return,
                }
                let says = match h2 {
                    true => random.bent(GATEWAY_FRAMES[0], &GATEWAY_FRAMES[1..]),
                    false => random.bent(b"", ANSWERS),
                };
                if !connected.send(&says).await {
                    return;
                }
                match random.below(4) {
                    0 => return connected.cut().await,
                    1 => {
                        let _ = connected.stream.shutdown().await;
                        return;
                    }
                    _ => {}
                }
            }
        }
    })
    .await
}

async fn client(front: std::net::SocketAddr, round: u64) {
    let mut random = Random::new(round);
    let h2 = round.is_multiple_of(3);
    let alpn: &[u8] = if h2 { b"\x02h2" } else { b"" };
    let Ok(mut stream) = connect(front, Some("api.test"), alpn).await else {
        return;
    };
    let says = match h2 {
        true => random.bent(FRAMES[0], &FRAMES[1..]),
        false => random.bent(b"", REQUESTS),
    };
    let size = [1 + random.below(64), says.len().max(1)][random.below(2)];
    for piece in says.chunks(size) {
        if stream.write_all(piece).await.is_err() {
            return;
        }
    }
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    if random.below(2) == 0 {
        let _ = timeout(PATIENCE, stream.shutdown()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_panics_and_nothing_is_left() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        usual(panic);
    }));
    let (h1, rpc) = (gateway(false).await, gateway(true).await);
    let limits = "limits = { head_timeout = \"1s\", body_timeout = \"1s\", idle_timeout = \"1s\" }";
    let upstream = "read_timeout = \"1s\"\nwrite_timeout = \"1s\"\nidle_timeout = \"1s\"";
    let route = |path: &str, upstream: &str, kind: &str| {
        let name = path.trim_end_matches('/');
        format!(
            "[[routes]]\nname = \"{name}\"\nhosts = [\"api.test\"]\npaths = [\"/{path}\"]\nstream = \"{kind}\"\n\
             methods = [\"GET\", \"POST\"]\nlisteners = [\"public\"]\nupstream = \"{upstream}\"\npolicy = \"default\"\n"
        )
    };
    let setup = Setup {
        listener: limits.to_owned(),
        upstream: upstream.to_owned(),
        route: "paths = [\"/orders/\"]\nmethods = [\"GET\", \"HEAD\", \"POST\"]".to_owned(),
        more: format!(
            "[upstreams.rpc]\nservers = [\"{}\"]\ntls = {{ server_name = \"orders.corp.test\", trust = \"onprem\" }}\n{upstream}\n{}{}{}",
            rpc.address,
            route("sse/", "orders", "sse"),
            route("ws/", "orders", "websocket"),
            route("rpc", "rpc", "grpc"),
        ),
        ..Setup::servers(&[h1.address])
    };
    let front = Front::start(&setup).await;
    get(front.address, "/nowhere/").await;
    sleep(Duration::from_millis(100)).await;
    let before = descriptors();
    let rounds = std::env::var("FUZZ_CONNECTIONS").ok();
    let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let mut round = 0;
    while round < rounds {
        let clients = (round..round + AT_ONCE).map(|round| client(front.address, round));
        let clients: Vec<_> = clients.map(tokio::spawn).collect();
        for client in clients {
            client.await.unwrap();
        }
        round += AT_ONCE;
    }
    let metrics = Arc::clone(&front.metrics);
    let left = || {
        (
            metrics.requests_in_flight.value(),
            metrics.connections_open.value(),
        )
    };
    let ended = wait(|| (left() == (0, 0)).then_some(())).await;
    assert!(
        ended.is_some(),
        "requests and connections left: {:?}",
        left()
    );
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "panics");
    assert!(
        h1.connections() > 50 && rpc.connections() > 0,
        "they are asked"
    );
    // Other tests of the same process have descriptors of their own.
    if std::env::var_os("NEXTEST").is_some() {
        let closed = wait(|| (descriptors() <= before).then_some(())).await;
        assert!(
            closed.is_some(),
            "{before} descriptors became {}",
            descriptors()
        );
    }
    let answer = get(front.address, "/nowhere/").await;
    assert_eq!(answer.status, 404);
}
