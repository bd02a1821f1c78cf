//! Inspections that take long: they hold up nobody but who asked for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::front::{Front, Setup, wait};
use crate::requests::echo;
use support::client::{Http2, connect, get, h2_request, raw, read_answer};
use support::pki::{self, CORP, ServerTls};
use support::upstream::{Behaviour, Upstream};

/// Rules that take long over what [`hostile`] sends.
fn slow_rules(variable: &str, phase: u8, count: usize) -> String {
    let rule =
        |id| format!("SecRule {variable} \"@detectSQLi\" \"id:{id},phase:{phase},pass,nolog\"\n");
    (1..=count).map(rule).collect()
}

/// A form of which every pair of bytes is a word to fold.
fn hostile(length: usize) -> Vec<u8> {
    post(&format!("a={}", "1<".repeat(length / 2)))
}

fn post(form: &str) -> Vec<u8> {
    let length = form.len();
    format!(
        "POST /orders/ HTTP/1.1\r\nHost: api.test\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {length}\r\n\r\n{form}"
    )
    .into_bytes()
}

/// More than there are workers, so that each would be taken.
fn enough() -> usize {
    2 * available_parallelism().map_or(1, std::num::NonZero::get) + 1
}

/// Clients that each send such a request, and how many of them got an answer.
async fn send_all(front: &Front, request: Vec<u8>) -> (JoinSet<()>, Arc<AtomicUsize>) {
    let (mut clients, answered) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
    let (sent, request) = (Arc::new(AtomicUsize::new(0)), Arc::new(request));
    for _ in 0..enough() {
        let address = front.address;
        let (request, sent, answered) = (
            Arc::clone(&request),
            Arc::clone(&sent),
            Arc::clone(&answered),
        );
        clients.spawn(async move {
            let mut stream = connect(address, Some("api.test"), b"").await.unwrap();
            stream.write_all(&request).await.unwrap();
            sent.fetch_add(1, Ordering::SeqCst);
            let _ = read_answer(&mut stream, &mut Vec::new(), false).await;
            answered.fetch_add(1, Ordering::SeqCst);
        });
    }
    let all = || (sent.load(Ordering::SeqCst) == enough()).then_some(());
    wait(all).await.expect("all are sent");
    (clients, answered)
}

/// Polite clients of every kind, on more connections than there are workers, get their answers.
async fn polite_ones_are_served(front: &Front) {
    for _ in 0..enough() {
        assert_eq!(get(front.address, "/orders/?a=1").await.status, 200);
        // Longer than what a worker inspects itself.
        let form = format!("a={}", "word ".repeat(4000));
        let answer = raw(front.address, &post(&form)).await.unwrap();
        assert_eq!(answer.status, 200);
        let mut h2 = Http2::connect(front.address, "api.test").await;
        let request = h2_request("GET", "https://api.test/orders/");
        let answer = h2.request(request.body(()).unwrap(), None).await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn polite_clients_are_served_while_large_bodies_are_inspected() {
    let upstream = echo().await;
    let front = Front::start_with(&Setup::to(&upstream), &slow_rules("ARGS", 2, 40)).await;
    let (clients, answered) = send_all(&front, hostile(4 << 20)).await;
    polite_ones_are_served(&front).await;
    assert_eq!(answered.load(Ordering::SeqCst), 0, "they still wait");
    drop(clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn polite_clients_are_served_while_long_heads_are_inspected() {
    let upstream = echo().await;
    let front = Front::start_with(&Setup::to(&upstream), &slow_rules("ARGS", 1, 800)).await;
    let target = "1<".repeat(24 * 1024 / 2).replace('<', "%3c");
    let request = format!("GET /orders/?a={target} HTTP/1.1\r\nHost: api.test\r\n\r\n");
    let (clients, answered) = send_all(&front, request.into_bytes()).await;
    for _ in 0..3 * enough() {
        assert_eq!(get(front.address, "/orders/?a=1").await.status, 200);
    }
    assert_eq!(answered.load(Ordering::SeqCst), 0, "they still wait");
    drop(clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn polite_clients_are_served_while_responses_are_inspected() {
    let rules = format!(
        "SecResponseBodyAccess On\nSecResponseBodyMimeType text/plain\nSecResponseBodyLimit 4000000\n\
         SecResponseBodyLimitAction ProcessPartial\n{}",
        slow_rules("RESPONSE_BODY", 4, 40)
    );
    let page = "1<".repeat(1 << 20);
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    );
    let issued = pki::leaf(&CORP, "orders.corp.test");
    let large = Upstream::start(ServerTls::new(issued), Behaviour::Raw(response.into())).await;
    let small = echo().await;
    let server = small.address;
    let setup = Setup {
        more: format!(
            "[upstreams.small]\nservers = [\"{server}\"]\n\
             tls = {{ server_name = \"orders.corp.test\", trust = \"onprem\" }}\n\
             [[routes]]\nname = \"small\"\nhosts = [\"api.test\"]\npaths = [\"/small/\"]\n\
             listeners = [\"public\"]\nupstream = \"small\"\npolicy = \"default\"\n"
        ),
        ..Setup::to(&large)
    };
    let front = Front::start_with(&setup, &rules).await;
    let request = b"GET /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n".to_vec();
    let (clients, answered) = send_all(&front, request).await;
    // Each has come to the phase that takes long when the gateway has answered it.
    let asked = || (large.connections() >= enough()).then_some(());
    wait(asked).await.expect("the gateway was asked");
    for _ in 0..3 * enough() {
        assert_eq!(get(front.address, "/small/").await.status, 200);
    }
    assert_eq!(answered.load(Ordering::SeqCst), 0, "they still wait");
    drop(clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_inspection_ends_with_its_budget() {
    let upstream = echo().await;
    let setup = Setup {
        policy: "waf_budget_ms = 50".to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start_with(&setup, &slow_rules("ARGS", 2, 40)).await;
    let answer = raw(front.address, &hostile(4 << 20)).await.unwrap();
    assert_eq!(answer.status, 503);
    let line = front.line_of(answer.header("x-request-id").unwrap()).await;
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.contains("waf_budget_ms"), "{reason}");
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_inspection_finds_and_tells_what_a_short_one_does() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    for length in [10, 100_000, 1_000_000] {
        let harmless = format!("a={}", "x".repeat(length));
        let answer = raw(front.address, &post(&harmless)).await.unwrap();
        assert_eq!(answer.status, 200, "{length}");
        let received = harmless.len();
        let line = front
            .line(|line| line["waf"]["body"]["received"] == received)
            .await;
        assert_eq!(line["body_inspected"], true);
        let attack = post(&format!("{harmless}&b=attack"));
        let answer = raw(front.address, &attack).await.unwrap();
        assert_eq!(answer.status, 403, "{length}");
        let line = front.line_of(answer.header("x-request-id").unwrap()).await;
        assert_eq!(line["reason"], "rule 1 in phase 2");
        assert_eq!(line["waf"]["rules"][0], 1);
        assert_eq!(line["waf"]["body"]["received"], harmless.len() + 9);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_clients_that_leave_or_are_cut_off() {
    let upstream = echo().await;
    let setup = Setup {
        policy: "waf_budget_ms = 300".to_owned(),
        ..Setup::to(&upstream)
    };
    let mut front = Front::start_with(&setup, &slow_rules("ARGS", 2, 40)).await;
    let (clients, _) = send_all(&front, hostile(1 << 20)).await;
    drop(clients);
    let gone = || (front.metrics.requests_in_flight.value() == 0).then_some(());
    wait(gone).await.expect("nothing is in flight");
    let closed = || (front.metrics.connections_open.value() == 0).then_some(());
    wait(closed).await.expect("no connection is open");
    assert_eq!(get(front.address, "/orders/?a=1").await.status, 200);
    front.stopped().await;
}
