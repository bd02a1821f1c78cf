//! Many reloads, good and broken, while clients ask: nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::front::RULES;
use crate::world::{NAMES, World};
use support::client::{self, Http2, h2_request, read_answer};
use support::pki::{CORP, OLD, ServerTls, leaf};
use support::upstream::{Behaviour, Upstream};

/// `RELOADS` in the environment says another number.
const RELOADS: usize = if cfg!(debug_assertions) { 120 } else { 1000 };

#[derive(Default)]
struct Tally {
    asked: AtomicUsize,
    /// That came back over a WebSocket.
    frames: AtomicUsize,
    stop: AtomicBool,
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_notices_reloads() {
    let reloads = std::env::var("RELOADS").map_or(RELOADS, |n| n.parse().unwrap());
    let sockets = ServerTls::new(leaf(&CORP, "orders.corp.test"));
    let sockets = Upstream::start(sockets, Behaviour::WebSocket).await;
    let more = format!(
        r#"
[upstreams.sockets]
servers = ["{}"]
tls = {{ server_name = "orders.corp.test", trust = "onprem" }}
[[routes]]
name = "sockets"
hosts = ["api.test"]
paths = ["/sockets/"]
stream = "websocket"
listeners = ["public"]
upstream = "sockets"
policy = "default"
"#,
        sockets.address
    );
    let mut world = World::start_with(Behaviour::Echo, &more).await;
    let address = world.front.address;
    let begun = Instant::now();
    let tally = Arc::new(Tally::default());
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(tokio::spawn(ask_h1(address, Arc::clone(&tally))));
        clients.push(tokio::spawn(ask_h2(address, Arc::clone(&tally))));
        clients.push(tokio::spawn(ask_websocket(address, Arc::clone(&tally))));
    }
    let mut settled = 0;
    for round in 0..reloads {
        change(&mut world, round).await;
        if round == reloads / 3 {
            settled = resident();
        }
    }
    let after = resident();
    tally.stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    assert!(
        tally.asked.load(Ordering::SeqCst) > reloads,
        "there was a load"
    );
    let frames = tally.frames.load(Ordering::SeqCst);
    assert!(frames > reloads / 2, "there were WebSocket frames");
    println!(
        "{reloads} reloads in {:?}, {} requests, {frames} frames, {settled} -> {after} pages",
        begun.elapsed(),
        tally.asked.load(Ordering::SeqCst)
    );
    assert!(
        after <= settled + settled / 10,
        "{settled} pages after the first third, {after} at the end"
    );
    world.front.stopped().await;
}

/// One change and its reload, with what must come of it.
async fn change(world: &mut World, round: usize) {
    let good = match round % 8 {
        0 => {
            world.rotate(NAMES);
            true
        }
        1 => {
            world.write("front.key", "no key");
            false
        }
        2 => {
            world.rotate(NAMES);
            world.write("rules.conf", RULES.replace("assault", "attack"));
            true
        }
        3 => {
            world.write("rules.conf", "SecRule");
            false
        }
        4 => {
            world.write("rules.conf", RULES.replace("attack", "assault"));
            let both = [
                CORP.certificate_pem().unwrap(),
                OLD.certificate_pem().unwrap(),
            ];
            world.write("corp-ca.pem", both.concat());
            true
        }
        5 => {
            world.write("corp-ca.pem", "no authority");
            false
        }
        6 => {
            world.write("corp-ca.pem", CORP.certificate_pem().unwrap());
            world.setup.route =
                format!("paths = [\"/orders/\", \"/r{round}/\"]\nmethods = [\"GET\"]");
            world.write_setup();
            true
        }
        _ => {
            world.write("drawbridge.toml", "listeners = 3");
            let refused = world.reload().await.0;
            assert_eq!(refused, 422);
            world.write_setup();
            true
        }
    };
    let (status, said) = world.reload().await;
    assert_eq!(status == 200, good, "round {round}: {said}");
}

/// One connection over all reloads, and many that live for one request.
async fn ask_h1(address: std::net::SocketAddr, tally: Arc<Tally>) {
    let mut kept = client::connect(address, Some("api.test"), b"")
        .await
        .unwrap();
    let mut buffer = Vec::new();
    while !tally.stop.load(Ordering::SeqCst) {
        kept.write_all(b"GET /orders/1 HTTP/1.1\r\nHost: api.test\r\n\r\n")
            .await
            .unwrap();
        let answer = read_answer(&mut kept, &mut buffer, false).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(client::get(address, "/orders/2").await.status, 200);
        tally.asked.fetch_add(2, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn ask_h2(address: std::net::SocketAddr, tally: Arc<Tally>) {
    let mut kept = Http2::connect(address, "api.test").await;
    while !tally.stop.load(Ordering::SeqCst) {
        let request = h2_request("GET", "https://api.test/orders/1")
            .body(())
            .unwrap();
        assert_eq!(kept.request(request, None).await.status, 200);
        tally.asked.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Two that are opened once: one before all reloads, and one after the other.
async fn ask_websocket(address: std::net::SocketAddr, tally: Arc<Tally>) {
    const FRAME: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    let open = async || {
        let mut stream = client::connect(address, Some("api.test"), b"")
            .await
            .unwrap();
        let head = b"GET /sockets/1 HTTP/1.1\r\nHost: api.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let answer = read_answer(&mut stream, &mut Vec::new(), false).await;
        assert_eq!(answer.unwrap().status, 101);
        stream
    };
    let echoes = async |stream: &mut client::Tls| {
        stream.write_all(FRAME).await.unwrap();
        let mut back = [0; FRAME.len()];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(back, FRAME);
        tally.frames.fetch_add(1, Ordering::SeqCst);
    };
    let mut kept = open().await;
    while !tally.stop.load(Ordering::SeqCst) {
        let mut short = open().await;
        for _ in 0..4 {
            echoes(&mut kept).await;
            echoes(&mut short).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Pages of this process that are in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse().unwrap()
}
