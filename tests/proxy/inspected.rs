//! What counts as inspected, over real sockets: the client's answer, the gateway's connections and the access line.

use std::io::Write;

use tokio::io::AsyncWriteExt;

use crate::front::{Front, RULES, Setup, counts, wait};
use crate::requests::echo;
use support::client::{connect, raw, read_answer};
use support::pki::{self, CORP, ServerTls};
use support::upstream::{Behaviour, Upstream};

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    zlib.write_all(text).unwrap();
    zlib.finish().unwrap()
}

fn post(path: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: api.test\r\nContent-Length: {length}\r\n{fields}\r\n"
    );
    [head.as_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_are_there_twice_hide_nothing() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let coded = zlib(b"a=attack");
    for (index, (fields, body, status, parser)) in [
        (
            format!("{form}Content-Encoding: identity\r\nContent-Encoding: deflate\r\n"),
            &coded[..],
            403,
            "urlencoded",
        ),
        (
            format!("{form}Content-Type: text/plain\r\n"),
            b"a=1",
            400,
            "urlencoded",
        ),
        (form.to_owned(), b"a=1", 200, "urlencoded"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/orders/{index}");
        let answer = raw(front.address, &post(&path, &fields, body))
            .await
            .unwrap();
        assert_eq!(answer.status, status, "{fields}");
        let line = front.line(|line| line["path"] == path).await;
        assert_eq!(line["waf"]["body"]["parser"], parser, "{fields}");
        assert_eq!(line["body_inspected"], status != 400, "{fields}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_parser_is_what_the_policy_says() {
    let upstream = echo().await;
    let bytes = format!(
        "{RULES}SecRule REQUEST_BODY \"@contains attack\" \"id:9,phase:2,deny,status:403\""
    );
    for (policy, rules, attack, harmless, inspected) in [
        ("", &*bytes, 403, 200, true),
        ("", RULES, 200, 200, false),
        ("unparsed_bodies = \"block\"", &*bytes, 415, 415, false),
        ("unparsed_bodies = \"pass\"", &*bytes, 200, 200, false),
    ] {
        let mut setup = Setup::to(&upstream);
        setup.policy = policy.to_owned();
        let front = Front::start_with(&setup, rules).await;
        for (kind, fields) in [
            ("none", ""),
            ("unknown", "Content-Type: application/x-unknown\r\n"),
        ] {
            for (body, status) in [("q=attack", attack), ("q=1", harmless)] {
                let path = format!("/orders/{kind}/{status}/{}", body.len());
                let answer = raw(front.address, &post(&path, fields, body.as_bytes())).await;
                let answer = answer.unwrap();
                assert_eq!(answer.status, status, "{policy} {fields} {body}");
                let line = front.line(|line| line["path"] == path).await;
                assert_eq!(line["waf"]["body"]["parser"], "none", "{policy}");
                assert_eq!(line["body_inspected"], inspected, "{policy} {line}");
            }
        }
    }
}

/// Each body is a few KB as it comes and 300 KB as the rules hold it.
#[tokio::test(flavor = "multi_thread")]
async fn memory_for_bodies_counts_what_they_are_decoded_to() {
    let issued = pki::leaf(&CORP, "orders.corp.test");
    let upstream = Upstream::start(ServerTls::new(issued), Behaviour::Silent).await;
    let mut setup = Setup::to(&upstream);
    setup.more = "[limits]\nbody_memory = \"2MiB\"".to_owned();
    let front = Front::start(&setup).await;
    let text = format!("a={}", "x".repeat(300_000));
    let fields = "Content-Type: application/x-www-form-urlencoded\r\nContent-Encoding: deflate\r\n";
    // Not so small that it counts as a bomb.
    let body = zlib(&[text.as_bytes(), &noise(6000)].concat());
    let request = post("/orders/", fields, &body);
    let mut held = Vec::new();
    let mut refused = None;
    for _ in 0..20 {
        let mut stream = connect(front.address, Some("api.test"), b"").await.unwrap();
        let before = upstream.connections();
        stream.write_all(&request).await.unwrap();
        let settled = wait(|| {
            let refused = front.metrics.body_memory_refusals.value() > 0;
            (refused || upstream.connections() > before).then_some(refused)
        });
        if settled.await.unwrap() {
            let answer = read_answer(&mut stream, &mut Vec::new(), false).await;
            refused = Some(answer.unwrap().status);
            break;
        }
        held.push(stream);
    }
    assert_eq!(refused, Some(503));
    assert!(held.len() < 7, "{} bodies were held", held.len());
    counts(&front.metrics.body_memory_refusals, 1).await;
}

/// Bytes that no coding makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        b'a' + state.to_be_bytes()[0] % 26
    });
    bytes.take(length).collect()
}
