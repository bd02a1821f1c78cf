//! Tokens that are taken once.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::front::{Front, RULES, Setup};
use crate::issuers::status;
use crate::requests::echo;
use crate::tokens::Issuer;
use support::client::{connect, raw, read_answer};
use support::upstream::Upstream;

async fn start(upstream: &Upstream, issuer: &Issuer, extra: &str) -> Front {
    let setup = Setup {
        route: "paths = [\"/orders/\"]\nmethods = [\"GET\"]\nidentity = \"corp\"\nrequire = { scope = [\"orders.read\"] }"
            .to_owned(),
        more: Issuer::table(extra),
        ..Setup::to(upstream)
    };
    let folder = setup.write(RULES);
    issuer.publish(&folder);
    Front::start_in(folder).await
}

async fn refused(front: &Front, token: &str, expected: u16, reason: &str) {
    assert_eq!(status(front.address, token).await, expected, "{reason}");
    let line = front.line(|line| line["identity"]["reason"] == reason);
    assert_eq!(line.await["status"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_taken_once_and_must_have_an_id() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let front = start(&upstream, &issuer, "once = true").await;
    let first = issuer.token(json!({ "jti": "1" }));
    assert_eq!(status(front.address, &first).await, 200);
    refused(&front, &first, 401, "replayed").await;
    // Another token with the same id is the same token to its issuer.
    let same = issuer.token(json!({ "jti": "1", "sub": "ben" }));
    refused(&front, &same, 401, "replayed").await;
    refused(
        &front,
        &issuer.token(json!({ "jti": Value::Null })),
        401,
        "id_missing",
    )
    .await;
    let stranger = Issuer::new().token(json!({ "jti": "2" }));
    refused(&front, &stranger, 401, "key_unknown").await;
    let poor = issuer.token(json!({ "jti": "2", "scope": "else" }));
    refused(&front, &poor, 403, "insufficient_scope").await;
    // Neither of the two has used it up.
    assert_eq!(
        status(front.address, &issuer.token(json!({ "jti": "2" }))).await,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_requests_at_the_same_time_one_is_taken() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let front = start(&upstream, &issuer, "once = true").await;
    let token = issuer.token(json!({ "jti": "1" }));
    let all = crate::issuers::futures((0..30).map(|_| status(front.address, &token))).await;
    assert_eq!(
        all.iter().filter(|status| **status == 200).count(),
        1,
        "{all:?}"
    );
    assert_eq!(
        all.iter().filter(|status| **status == 401).count(),
        29,
        "{all:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_sent_again_is_a_second_one() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let front = start(&upstream, &issuer, "once = true").await;
    let token = issuer.token(json!({ "jti": "1" }));
    assert_eq!(again(front.address, &token).await, [200, 401]);
}

/// The same request twice on one connection.
async fn again(address: SocketAddr, token: &str) -> [u16; 2] {
    let mut stream = connect(address, Some("api.test"), b"").await.unwrap();
    let mut buffer = Vec::new();
    let request = format!(
        "GET /orders/1 HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let mut statuses = [0; 2];
    for status in &mut statuses {
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream, &mut buffer, false).await;
        *status = answer.unwrap().status;
    }
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_no_token_is_taken_and_none_is_forgotten() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let front = start(&upstream, &issuer, "once = true\nonce_most = 2").await;
    let tokens: Vec<String> = (0..3)
        .map(|n| issuer.token(json!({ "jti": n.to_string() })))
        .collect();
    assert_eq!(status(front.address, &tokens[0]).await, 200);
    assert_eq!(status(front.address, &tokens[1]).await, 200);
    refused(&front, &tokens[2], 503, "replay_memory_full").await;
    refused(&front, &tokens[0], 401, "replayed").await;
    let request = format!(
        "GET /orders/1 HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {}\r\n\r\n",
        tokens[2]
    );
    let answer = raw(front.address, request.as_bytes()).await.unwrap();
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}
