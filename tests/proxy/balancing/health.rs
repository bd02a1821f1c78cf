//! Health checks: who is down, why, and when it is up again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use drawbridge::upstream::{Availability, Cause};
use tokio::net::TcpListener;

use super::{front, line, nobody, pools, steered, until};
use crate::front::logged;
use support::client::get;
use support::pki::{self, CORP, OLD, ServerTls};
use support::upstream::{Behaviour, Steering, Upstream};

const HEALTH: &str =
    "health = { path = \"/healthz\", interval = \"50ms\", healthy = 2, unhealthy = 2 }";

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_status_takes_a_server_out_until_it_is_right_again() {
    let ((one, a), (two, _b)) = (steered().await, steered().await);
    a.health.store(503, Ordering::SeqCst);
    // A loaded machine must not make a check fail.
    let health = HEALTH.replace("50ms\"", "900ms\", status = [200, 204]");
    let keys = format!(
        "servers = [\"{}\", \"{}\"]\n{health}",
        one.address, two.address
    );
    let pools = pools(&keys);
    pools.start();
    let pool = pools.get("u").unwrap();
    until(pool, 0, Availability::Down).await;
    let complaint = pool.servers()[0].complaint().unwrap();
    assert_eq!(complaint.cause, Cause::Status);
    assert_eq!(
        complaint.words,
        "GET /healthz was answered 503, not 200 or 204"
    );
    for _ in 0..10 {
        let lease = pool.choose(&[], None).unwrap();
        assert_eq!(lease.server().address, two.address);
    }
    logged(&format!(
        "upstream u {} is down: 2 health checks",
        one.address
    ))
    .await;
    a.health.store(204, Ordering::SeqCst);
    until(pool, 0, Availability::Usable).await;
    logged(&format!("upstream u {} is up again", one.address)).await;
    assert_eq!(a.asked(), 0, "nothing but /healthz was asked for");
}

/// A server that takes no ALPN but `h2`, and no HTTP but that.
async fn h2_alone(status: Arc<AtomicU16>) -> SocketAddr {
    let mut tls = ServerTls::new(pki::leaf(&CORP, "orders.corp.test"));
    tls.h2 = true;
    let acceptor = tls.acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let ssl = openssl::ssl::Ssl::new(acceptor.context()).unwrap();
            let status = Arc::clone(&status);
            tokio::spawn(async move {
                let mut stream = tokio_openssl::SslStream::new(ssl, tcp).unwrap();
                std::pin::Pin::new(&mut stream).accept().await.unwrap();
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let asked = (request.uri().host(), request.uri().path());
                    let status = match asked {
                        (Some("orders.corp.test"), "/healthz") => status.load(Ordering::SeqCst),
                        _ => 404,
                    };
                    let head = http::Response::builder().status(status).body(()).unwrap();
                    let mut body = respond.send_response(head, false).unwrap();
                    body.send_data("{}".into(), true).unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_speaks_http_2_alone_is_asked_in_that() {
    let status = Arc::new(AtomicU16::new(503));
    let address = h2_alone(Arc::clone(&status)).await;
    // A loaded machine must not make a check fail.
    let health = HEALTH.replace("50ms\"", "900ms\"");
    let pools = pools(&format!("servers = [\"{address}\"]\n{health}"));
    pools.start();
    let pool = pools.get("u").unwrap();
    until(pool, 0, Availability::Down).await;
    let complaint = pool.servers()[0].complaint().unwrap();
    assert_eq!(complaint.cause, Cause::Status, "{complaint}");
    status.store(200, Ordering::SeqCst);
    until(pool, 0, Availability::Usable).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_certificate_is_not_healthy() {
    let steering = Steering::new();
    let serve = |listener, ca| {
        let tls = ServerTls::new(pki::leaf(ca, "orders.corp.test"));
        Upstream::on(listener, tls, Behaviour::Steered(Arc::clone(&steering)))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = serve(listener, &OLD);
    let keys = format!(
        "servers = [\"{address}\"]\n{}",
        HEALTH.replace("50ms", "900ms")
    );
    let pools = pools(&keys);
    pools.start();
    let pool = pools.get("u").unwrap();
    until(pool, 0, Availability::Down).await;
    let complaint = pool.servers()[0].complaint().unwrap();
    assert_eq!(complaint.cause, Cause::Untrusted);
    assert!(
        complaint.words.contains("issuer \"CN=Old Corp CA\""),
        "{complaint}"
    );
    let turned = pool.admit().await.unwrap_err();
    assert_eq!(turned.reason.code(), "no_server");
    assert!(turned.words.contains("CN=Old Corp CA"), "{turned:?}");
    assert_eq!(pool.metrics.refused_down.value(), 1);

    drop(server);
    let mut listener = None;
    while listener.is_none() {
        listener = TcpListener::bind(address).await.ok();
        tokio::task::yield_now().await;
    }
    let _server = serve(listener.unwrap(), &CORP);
    until(pool, 0, Availability::Usable).await;
    assert!(pool.admit().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_servers_down_the_answer_is_a_clear_503() {
    let closed = nobody().await;
    let keys = format!(
        "servers = [\"{closed}\"]\n{}",
        HEALTH.replace("50ms", "300ms")
    );
    let front = front(&keys).await;
    logged(&format!("upstream u {closed} is down")).await;
    let answer = get(front.address, "/u/").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
    let line = line(&front, &answer).await;
    assert_eq!(line["error"], "no_server");
    let reason = line["reason"].as_str().unwrap();
    assert!(
        reason.ends_with(&format!("({closed}: connection refused)")),
        "{reason}"
    );
}
