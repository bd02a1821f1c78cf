//! The caps on requests in flight and on requests that wait.

use std::sync::Arc;

use drawbridge::upstream::AdmissionReason;
use tokio::task::JoinHandle;

use super::{front, get_owned, line, pools, steered};
use crate::front::{Front, wait};
use support::client::{Answer, get};
use support::upstream::Steering;

/// A request that its server, held back, has got and does not answer.
async fn in_flight(front: &Front, steering: &Steering) -> JoinHandle<Answer> {
    let asked = tokio::spawn(get_owned(front.address));
    wait(|| (steering.asked() == 1).then_some(()))
        .await
        .unwrap();
    asked
}

/// The access line of an answer that says there is no room, and when to come again.
async fn turned_away(front: &Front, answer: &Answer) -> serde_json::Value {
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    line(front, answer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_caps_the_answer_is_a_clear_503() {
    let (server, steering) = steered().await;
    let keys = format!(
        "servers = [\"{}\"]\nmax_connections = 1\nmax_pending = 1\npending_timeout = \"1h\"",
        server.address
    );
    let front = front(&keys).await;
    let held = steering.hold.write().await;
    let first = in_flight(&front, &steering).await;
    let mut second = tokio::spawn(get_owned(front.address));
    let mut third = tokio::spawn(get_owned(front.address));
    // One of them waits, the other is one too many.
    let (turned, waits) = tokio::select! {
        turned = &mut second => (turned.unwrap(), third),
        turned = &mut third => (turned.unwrap(), second),
    };
    let line = turned_away(&front, &turned).await;
    assert_eq!(line["error"], "upstream_full");
    assert_eq!(
        line["reason"],
        "upstream u: max_connections 1 are in flight and max_pending 1 wait"
    );
    assert_eq!(steering.asked(), 1);
    drop(held);
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(waits.await.unwrap().status, 200);
    for _ in 0..5 {
        assert_eq!(get(front.address, "/u/").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_too_long_is_told() {
    let (server, steering) = steered().await;
    let keys = format!(
        "servers = [\"{}\"]\nmax_connections = 1\nmax_pending = 5\npending_timeout = \"50ms\"",
        server.address
    );
    let front = front(&keys).await;
    let held = steering.hold.write().await;
    let first = in_flight(&front, &steering).await;
    let turned = get(front.address, "/u/").await;
    assert_eq!(
        turned_away(&front, &turned).await["error"],
        "upstream_pending_timeout"
    );
    drop(held);
    assert_eq!(first.await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_and_what_is_in_flight_is_counted() {
    let pools = pools(
        "servers = [\"127.0.0.1:1\"]\nmax_connections = 1\nmax_pending = 1\npending_timeout = \"1h\"",
    );
    let pool = Arc::clone(pools.get("u").unwrap());
    let first = pool.admit().await.unwrap();
    let second = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.admit().await }
    });
    let metrics = &pool.metrics;
    wait(|| (metrics.pending.value() == 1).then_some(()))
        .await
        .unwrap();
    assert_eq!(
        pool.admit().await.unwrap_err().reason,
        AdmissionReason::Full
    );
    assert_eq!(
        (metrics.in_flight.value(), metrics.refused_full.value()),
        (1, 1)
    );
    drop(first);
    let second = second.await.unwrap().unwrap();
    assert_eq!((metrics.in_flight.value(), metrics.pending.value()), (1, 0));
    drop(second);
    assert_eq!(metrics.in_flight.value(), 0);
}
