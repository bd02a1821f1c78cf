//! What a gateway may say in the head of an answer. What two readers could read in two ways is 502, and the log says why.

use std::sync::Arc;

use crate::front::{Front, Setup, wait};
use support::client::{Http2, connect, h2_request, raw, read_answer};
use support::gateway::{Gateway, all_bytes, text};
use tokio::io::AsyncWriteExt;

const GET: &[u8] = b"GET /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n";
const CLOSE: &[u8] = b"GET /orders/ HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n";

fn setup(gateway: &Gateway, stream: &str) -> Setup {
    let stream = match stream {
        "" => String::new(),
        kind => format!("stream = \"{kind}\""),
    };
    Setup {
        route: format!("paths = [\"/orders/\"]\nmethods = [\"GET\", \"POST\", \"HEAD\"]\n{stream}"),
        ..Setup::servers(&[gateway.address])
    }
}

/// A gateway that answers with the bytes that the test sets, behind a front door.
struct ScriptedGateway {
    _gateway: Gateway,
    front: Front,
    says: Arc<std::sync::Mutex<Vec<u8>>>,
}

impl ScriptedGateway {
    async fn start(close: bool) -> Self {
        let says = Arc::new(std::sync::Mutex::new(Vec::new()));
        let said = Arc::clone(&says);
        let gateway = Gateway::start(move |mut connected| {
            let said = Arc::clone(&said);
            async move {
                while connected.request().await.is_some() {
                    let bytes = said.lock().unwrap().clone();
                    if !connected.send(&bytes).await {
                        return;
                    }
                    if close {
                        return connected.close().await;
                    }
                }
            }
        })
        .await;
        let front = Front::start(&setup(&gateway, "")).await;
        Self {
            _gateway: gateway,
            front,
            says,
        }
    }

    fn say(&self, bytes: &str) {
        *self.says.lock().unwrap() = bytes.as_bytes().to_vec();
    }

    /// Over HTTP/1.1 and HTTP/2: status, body and the fields that frame it.
    async fn get(&self) -> [(u16, String, Vec<String>); 2] {
        let h1 = raw(self.front.address, GET).await.unwrap();
        let mut h2 = Http2::connect(self.front.address, "api.test").await;
        let request = h2_request("GET", "https://api.test/orders/");
        let h2 = h2.request(request.body(()).unwrap(), None).await;
        [h1, h2].map(|answer| {
            let framing = answer.headers.iter().filter(|(name, _)| {
                let name = name.to_ascii_lowercase();
                ["content-length", "upgrade", "keep-alive", "x-hop"].contains(&name.as_str())
            });
            let framing = framing.map(|(n, v)| format!("{}: {v}", n.to_ascii_lowercase()));
            let framing = framing.collect();
            match answer.header("transfer-encoding") {
                Some("chunked") => {
                    let body = http_strict::decode_chunked(&answer.body).unwrap();
                    (answer.status, String::from_utf8(body).unwrap(), framing)
                }
                _ => (answer.status, answer.text(), framing),
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_one_meaning_is_passed_on_with_it() {
    let told = ScriptedGateway::start(true).await;
    let one = vec!["content-length: 2".to_owned()];
    for (said, status, body, framing) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            200,
            "ok",
            &one,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
            200,
            "ok",
            &one,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 02\r\ncontent-length: 2\r\n\r\nok",
            200,
            "ok",
            &one,
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
            200,
            "ok",
            &one,
        ),
        ("HTTP/1.0 200 OK\r\n\r\nok", 200, "ok", &vec![]),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            200,
            "ok",
            &vec![],
        ),
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            204,
            "",
            &vec![],
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
            304,
            "",
            &vec![],
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 2, 2\r\n\r\n",
            304,
            "",
            &one,
        ),
        (
            "HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade, X-Hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nok",
            200,
            "ok",
            &one,
        ),
        (
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok",
            426,
            "ok",
            &one,
        ),
        (
            "HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
            200,
            "ok",
            &one,
        ),
    ] {
        told.say(said);
        for (h, (got_status, got_body, got_framing)) in ["h1", "h2"].iter().zip(told.get().await) {
            let unframed: Vec<_> = got_framing
                .into_iter()
                .filter(|f| f != "content-length: 0" || !framing.is_empty())
                .collect();
            assert_eq!((got_status, &*got_body), (status, body), "{h} {said:?}");
            assert_eq!(&unframed, framing, "{h} {said:?}");
        }
        let (bytes, _) = all_bytes(told.front.address, CLOSE).await;
        assert!(
            bytes.starts_with(b"HTTP/1.1 "),
            "{said:?}: {}",
            text(&bytes)
        );
        if status == 304 || status == 204 {
            assert!(
                !text(&bytes)
                    .to_ascii_lowercase()
                    .contains("transfer-encoding"),
                "{}",
                text(&bytes)
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_several_meanings_is_502_and_named() {
    let told = ScriptedGateway::start(true).await;
    let many = format!(
        "HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n",
        "A: b\r\n".repeat(260)
    );
    let chunks = "\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    for (said, why) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
            "Content-Length",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok!",
            "Content-Length",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
            "Content-Length",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok",
            "Content-Length",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
            "Content-Length",
        ),
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
            "204 must not have",
        ),
        (
            &format!("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked{chunks}"),
            "204 must not have",
        ),
        (
            &format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked{chunks}"
            ),
            "several Transfer-Encoding",
        ),
        (
            &format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked{chunks}"
            ),
            "several Transfer-Encoding",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
            "Transfer-Encoding is identity",
        ),
        (
            &format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked{chunks}"),
            "Transfer-Encoding is gzip, chunked",
        ),
        (
            &format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked{chunks}"),
            "Transfer-Encoding is chunked, chunked",
        ),
        (
            &format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked{chunks}"),
            "Transfer-Encoding is xchunked",
        ),
        (
            &format!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked{chunks}"),
            "HTTP/1.0 does not know",
        ),
        (
            "HTTP/1.1 700 Odd\r\nContent-Length: 0\r\n\r\n",
            "status 700",
        ),
        (&many, "more than 256 fields"),
        (
            "HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n",
            "NUL in field X-A",
        ),
        (
            "HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 0\r\n\r\n",
            "a bare CR in field X-A",
        ),
        (
            "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
            "field 1 has no colon",
        ),
        (
            "HTTP/1.1 200 OK\r\n: none\r\nContent-Length: 0\r\n\r\n",
            "field 1 has no name",
        ),
        (
            "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
            "no status of three digits",
        ),
        (
            "HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
            "it begins with HTTP/2 200 OK",
        ),
        ("<html>no head</html>\r\n\r\n", "it begins with <html>"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "it begins with SSH-2.0"),
    ] {
        told.say(said);
        for (h, (status, ..)) in ["h1", "h2"].iter().zip(told.get().await) {
            assert_eq!(status, 502, "{h} {said:?}");
        }
        let line = told
            .front
            .line(|line| line["reason"].as_str().is_some_and(|r| r.contains(why)))
            .await;
        assert_eq!(line["error"], "protocol", "{said:?}: {line}");
    }
}

/// Both fields are there: pingora drops the length, as RFC 9112, 6.3, says, and there is one meaning left.
#[tokio::test(flavor = "multi_thread")]
async fn a_coding_outranks_a_length() {
    let told = ScriptedGateway::start(true).await;
    for fields in [
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 100",
    ] {
        told.say(&format!(
            "HTTP/1.1 200 OK\r\n{fields}\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        ));
        for (status, body, framing) in told.get().await {
            assert!(
                status == 502 || (status, &*body) == (200, "ok"),
                "{status} {body}"
            );
            assert!(
                framing
                    .iter()
                    .all(|f| f != "content-length: 1" && f != "content-length: 100"),
                "{framing:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_answer_keeps_its_length_and_loses_its_coding() {
    let told = ScriptedGateway::start(false).await;
    for (fields, length) in [
        ("Content-Length: 7, 7", Some("7")),
        ("Transfer-Encoding: chunked", None),
    ] {
        told.say(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"));
        let mut stream = connect(told.front.address, Some("api.test"), b"")
            .await
            .unwrap();
        let request = "HEAD /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream, &mut Vec::new(), true)
            .await
            .unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-length"), length);
        assert_eq!(answer.header("transfer-encoding"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unasked_change_of_protocols_is_502() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";
    let upgrade = |token: &str| {
        format!(
            "GET /orders/ HTTP/1.1\r\nHost: api.test\r\nUpgrade: {token}\r\nConnection: Upgrade\r\n\r\n"
        )
    };
    let post = "POST /orders/ HTTP/1.1\r\nHost: api.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 3\r\n\r\nabc";
    for stream in ["", "sse", "websocket"] {
        for (switch, only_websocket) in [
            (switch.to_owned(), false),
            (switch.replace("Upgrade: websocket\r\n", ""), true),
            (switch.replace("Upgrade: websocket", "Upgrade: h2c"), true),
            (switch.replace("HTTP/1.1 101", "HTTP/1.0 101"), true),
            (
                switch.replace("Connection: Upgrade", "Transfer-Encoding: chunked"),
                true,
            ),
        ] {
            let gateway = Gateway::saying(switch.clone(), false).await;
            let front = Front::start(&setup(&gateway, stream)).await;
            let mut requests = vec![
                String::from_utf8(GET.to_vec()).unwrap(),
                upgrade("h2c"),
                upgrade("foo/2"),
                "GET /orders/ HTTP/1.0\r\nHost: api.test\r\nUpgrade: websocket\r\n\r\n".to_owned(),
            ];
            if stream != "websocket" || only_websocket {
                requests.extend([upgrade("websocket"), upgrade("websocket, h2c")]);
            }
            if stream != "websocket" {
                requests.push(post.to_owned());
            }
            for (n, request) in requests.iter().enumerate() {
                let mut client = connect(front.address, Some("api.test"), b"").await.unwrap();
                // What is sent behind must reach nobody.
                let all = format!("{request}GET /internal/ HTTP/1.1\r\nHost: api.test\r\n\r\n");
                client.write_all(all.as_bytes()).await.unwrap();
                let answer = read_answer(&mut client, &mut Vec::new(), false).await;
                let answer = answer.unwrap_or_else(|| panic!("{stream} {request:?} {switch:?}"));
                assert_eq!(answer.status, 502, "{stream} {request:?} {switch:?}");
                assert!(!answer.text().contains("secret"));
                let id = answer.header("x-request-id").unwrap();
                let line = front.line_of(id).await;
                assert_eq!(line["error"], "protocol", "{n} {line}");
                assert!(line["reason"].as_str().unwrap().contains("101"), "{line}");
            }
            let h2 = h2_request("GET", "https://api.test/orders/")
                .body(())
                .unwrap();
            let answer = Http2::connect(front.address, "api.test")
                .await
                .request(h2, None)
                .await;
            assert_eq!(answer.status, 502);
            assert_eq!(
                gateway.connections(),
                requests.len() + 1,
                "none is used again"
            );
            let metrics = Arc::clone(&front.metrics);
            assert!(
                wait(|| (metrics.requests_in_flight.value() == 0).then_some(()))
                    .await
                    .is_some()
            );
        }
    }
}

/// The same of a gateway that speaks HTTP/2.
#[tokio::test(flavor = "multi_thread")]
async fn an_http2_gateway_is_checked_as_well() {
    let gateway = Gateway::speaking(true, |connected| async move {
        let mut connection = h2::server::handshake(connected.stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let mut response = http::Response::builder();
            let query = request.uri().query().unwrap_or_default().to_owned();
            for pair in query.split('&') {
                let (name, value) = pair.split_once('=').unwrap();
                response = match name {
                    "status" => response.status(value.parse::<u16>().unwrap()),
                    name => response.header(name, value.replace('+', " ")),
                };
            }
            if let Ok(mut body) = respond.send_response(response.body(()).unwrap(), false) {
                let _ = body.send_data(bytes::Bytes::from_static(b"ok"), true);
            }
        }
    })
    .await;
    let front = Front::start(&setup(&gateway, "grpc")).await;
    let mut client = Http2::connect(front.address, "api.test").await;
    for (query, status, lengths) in [
        ("content-length=2", 200, &["2"][..]),
        ("content-length=2&content-length=2", 200, &["2"]),
        ("content-length=2,+2", 502, &[]),
        ("content-length=2&content-length=3", 502, &[]),
        ("content-length=2,3", 502, &[]),
        ("content-length=%2B2", 502, &[]),
        ("content-length=3", 502, &[]),
        ("status=700", 502, &[]),
    ] {
        let request = h2_request("POST", &format!("https://api.test/orders/a?{query}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let answer = client.request(request.body(()).unwrap(), Some(b"x")).await;
        let got: Vec<&str> = answer
            .headers
            .iter()
            .filter(|(name, _)| name == "content-length")
            .map(|(_, value)| value.as_str())
            .collect();
        // A length that the body does not keep is told too late for a 502.
        let cut = query == "content-length=3" && answer.status == 200;
        assert!(answer.status == status || cut, "{query}: {}", answer.status);
        if status == 200 {
            assert_eq!(got, lengths, "{query}");
        } else if !cut {
            let id = answer.header("x-request-id").unwrap();
            let line = front.line_of(id).await;
            assert!(line["reason"].is_string(), "{query}: {line}");
        }
    }
}
