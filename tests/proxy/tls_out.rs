//! The upstream is who it should be, or gets nothing; and the log says why.

use openssl::ssl::SslVersion;
use tokio::net::TcpListener;

use crate::front::{Front, Setup, logged};
use crate::requests::echo;
use support::client::{Answer, get};
use support::pki::{self, CORP, OLD, ServerTls};
use support::ports;
use support::upstream::{Behaviour, Upstream};

async fn failing(upstream: &Upstream, code: &str, words: &str) {
    let front = Front::start(&Setup::to(upstream)).await;
    let answer = get(front.address, "/orders/1").await;
    neutral(&answer);
    let line = front.line_of(answer.header("x-request-id").unwrap()).await;
    assert_eq!(line["status"], 502);
    assert_eq!(line["error"], code, "{line}");
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.contains(words), "{reason}");
    logged(&format!("upstream orders {}: {reason}", upstream.address)).await;
    assert_eq!(upstream.requests(), 0, "no byte of a request was sent");
}

/// A 502 tells the client nothing but its id.
fn neutral(answer: &Answer) {
    assert_eq!(answer.status, 502);
    let text = answer.text().to_ascii_lowercase();
    for word in [
        "corp",
        "certificate",
        "127.0.0.1",
        "tls",
        "orders",
        "refused",
    ] {
        assert!(!text.contains(word), "{text}");
    }
}

async fn server(tls: ServerTls) -> Upstream {
    Upstream::start(tls, Behaviour::Echo).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_ca() {
    let upstream = server(ServerTls::new(pki::leaf(&OLD, "orders.corp.test"))).await;
    let words = "certificate not trusted: unable to get local issuer certificate \
        (issuer \"CN=Old Corp CA\"; trust bundle \"onprem\" has \"CN=Corp CA 2026\")";
    failing(&upstream, "untrusted", words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name() {
    let upstream = server(ServerTls::new(pki::leaf(&CORP, "billing.corp.test"))).await;
    let words = "certificate does not name orders.corp.test (it names \"billing.corp.test\")";
    failing(&upstream, "name_mismatch", words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_common_name_is_no_name() {
    let issued = pki::common_name(&CORP, "orders.corp.test");
    let upstream = server(ServerTls::new(issued)).await;
    let words = "it has no subjectAltName (\"orders.corp.test (common name only)\")";
    failing(&upstream, "common_name_only", words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intermediate_is_missing() {
    let issued = pki::incomplete(&CORP, "orders.corp.test");
    let upstream = server(ServerTls::new(issued)).await;
    let words = "the intermediate \"CN=Corp Issuing CA\" that signed \"CN=orders.corp.test\"";
    failing(&upstream, "missing_intermediate", words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired() {
    let upstream = server(ServerTls::new(pki::expired(&CORP, "orders.corp.test"))).await;
    failing(&upstream, "expired", "certificate expired at 20").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_version() {
    let upstream = server(ServerTls {
        newest: Some(SslVersion::TLS1_1),
        ..ServerTls::new(pki::leaf(&CORP, "orders.corp.test"))
    })
    .await;
    failing(&upstream, "tls_version", "TLS 1.2 is the least").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_wants_a_client_certificate() {
    let tls = || ServerTls {
        client_ca: Some(CORP.clone()),
        ..ServerTls::new(pki::leaf(&CORP, "orders.corp.test"))
    };
    let upstream = server(tls()).await;
    failing(&upstream, "client_certificate", "client certificate").await;

    let upstream = server(tls()).await;
    let setup = Setup {
        tls: "{ server_name = \"orders.corp.test\", trust = \"onprem\", client_certificate = \
            { chain = \"client.pem\", key = \"client.key\" } }"
            .to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    assert_eq!(get(front.address, "/orders/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens_and_the_next_server_is_asked() {
    let address = ports::free();
    let front = Front::start(&Setup::servers(&[address])).await;
    let answer = get(front.address, "/orders/").await;
    neutral(&answer);
    let line = front.line_of(answer.header("x-request-id").unwrap()).await;
    assert_eq!(line["error"], "refused");

    let upstream = echo().await;
    let setup = Setup {
        servers: vec![address, upstream.address],
        upstream: "attempts = 2".to_owned(),
        ..Setup::default()
    };
    let front = Front::start(&setup).await;
    for _ in 0..4 {
        assert_eq!(get(front.address, "/orders/").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_take_turns() {
    let (one, two) = (echo().await, echo().await);
    let front = Front::start(&Setup::servers(&[one.address, two.address])).await;
    for _ in 0..6 {
        assert_eq!(get(front.address, "/orders/").await.status, 200);
    }
    assert_eq!((one.requests(), two.requests()), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_text_instead_of_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (mut tcp, _) = listener.accept().await.unwrap();
            let _ = tcp.read(&mut [0; 512]).await;
            let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let front = Front::start(&Setup::servers(&[address])).await;
    let answer = get(front.address, "/orders/").await;
    neutral(&answer);
    let line = front.line_of(answer.header("x-request-id").unwrap()).await;
    assert_eq!(line["error"], "protocol", "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_closes_in_the_middle_of_its_answer() {
    let issued = pki::leaf(&CORP, "orders.corp.test");
    let upstream = Upstream::start(ServerTls::new(issued), Behaviour::CloseMidBody).await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let answer = get(front.address, "/orders/").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body, b"half of it",
        "and no more, so the client sees that it is cut"
    );
    let line = front.line(|_| true).await;
    assert_eq!(line["error"], "closed", "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_in_time() {
    let issued = pki::leaf(&CORP, "orders.corp.test");
    let upstream = Upstream::start(ServerTls::new(issued), Behaviour::Silent).await;
    let setup = Setup {
        upstream: "read_timeout = \"200ms\"".to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    let answer = get(front.address, "/orders/").await;
    neutral(&answer);
    let line = front.line_of(answer.header("x-request-id").unwrap()).await;
    assert_eq!(line["error"], "timeout");
    assert_eq!(upstream.requests(), 1, "what was sent is not sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_with_different_trust_share_no_connection() {
    let upstream = echo().await;
    let setup = Setup {
        more: format!(
            r#"
[trust.old]
ca = ["old-ca.pem"]
[upstreams.same]
servers = ["{0}"]
tls = {{ server_name = "orders.corp.test", trust = "onprem" }}
[upstreams.strange]
servers = ["{0}"]
tls = {{ server_name = "orders.corp.test", trust = "old" }}
[[routes]]
name = "strange"
hosts = ["api.test"]
paths = ["/strange/"]
listeners = ["public"]
upstream = "strange"
policy = "default"
[[routes]]
name = "same"
hosts = ["api.test"]
paths = ["/same/"]
listeners = ["public"]
upstream = "same"
policy = "default"
"#,
            upstream.address
        ),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    assert_eq!(get(front.address, "/orders/").await.status, 200);
    assert_eq!(upstream.connections(), 1);
    // A connection that is verified for the first is there, idle; the second must not get it.
    for _ in 0..3 {
        assert_eq!(get(front.address, "/strange/").await.status, 502);
    }
    assert_eq!(upstream.requests(), 1);
    assert_eq!(get(front.address, "/orders/").await.status, 200);
    assert_eq!(upstream.requests(), 2);
}
