//! Many reloads, good and broken, while clients ask: nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::client::{self, Http2, h2_request, read_answer};
use crate::front::RULES;
use crate::pki::{CORP, OLD};
use crate::world::{NAMES, World};

const RELOADS: usize = if cfg!(debug_assertions) { 120 } else { 1000 };

#[derive(Default)]
struct Tally {
    asked: AtomicUsize,
    stop: AtomicBool,
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_notices_reloads() {
    let mut world = World::start().await;
    let address = world.front.address;
    let tally = Arc::new(Tally::default());
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(tokio::spawn(ask_h1(address, Arc::clone(&tally))));
        clients.push(tokio::spawn(ask_h2(address, Arc::clone(&tally))));
    }
    let mut settled = 0;
    for round in 0..RELOADS {
        change(&mut world, round).await;
        if round == RELOADS / 3 {
            settled = resident();
        }
    }
    let after = resident();
    tally.stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    assert!(
        tally.asked.load(Ordering::SeqCst) > RELOADS,
        "there was a load"
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

/// Pages of this process that are in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse().unwrap()
}
