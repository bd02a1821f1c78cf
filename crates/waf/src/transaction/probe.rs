//! Which rules ordinary requests reach.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Transaction;
use super::watch::Watch;
use crate::rule::RuleSelection;
use crate::ruleset::RuleSet;
use crate::settings::EngineMode;

/// One request for each body processor, because rules branch by method and Content-Type.
const REQUESTS: [(&[u8], &[u8], &[u8]); 5] = [
    (b"GET", b"", b""),
    (b"POST", b"application/x-www-form-urlencoded", b"a=b"),
    (b"POST", b"application/json", b"{\"a\":\"b\"}"),
    (b"POST", b"text/xml", b"<a b=\"c\">d</a>"),
    (
        b"POST",
        b"multipart/form-data; boundary=b",
        b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--b--\r\n",
    ),
];

/// Runs a few harmless requests and returns the rules that were not jumped over.
pub(crate) fn probe(rules: &Arc<RuleSet>) -> RuleSelection {
    let mut reached = RuleSelection::default();
    for (method, media, body) in REQUESTS {
        // TEST-NET-1 (RFC 5737): no list of trusted or blocked clients has a reason to hold it.
        let address = SocketAddr::from(([192, 0, 2, 1], 1024));
        let mut transaction = Transaction::new(Arc::clone(rules), address, address, "probe");
        // No rule may end a probe before its last phase.
        let state = transaction.context.state_mut();
        state.set_mode(EngineMode::DetectionOnly);
        transaction.watch = Some(Box::new(Watch::Probe(RuleSelection::default())));
        transaction.request_line(
            &[method, b" /a?b=c HTTP/1.1"].concat(),
            method,
            b"/a?b=c",
            b"HTTP/1.1",
        );
        let length = body.len().to_string();
        let headers: [(&[u8], &[u8]); 6] = [
            (b"Host", b"www.example.com"),
            (b"User-Agent", b"Mozilla/5.0"),
            (b"Accept", b"*/*"),
            (b"Cookie", b"a=b"),
            (b"Content-Type", media),
            (b"Content-Length", length.as_bytes()),
        ];
        // A request without a body has neither a type nor a length.
        let count = if media.is_empty() { 4 } else { 6 };
        for (name, value) in headers.iter().take(count) {
            transaction.request_header(name, value);
        }
        transaction.request_headers_done();
        transaction.request_body(body);
        transaction.response_headers(
            200,
            b"HTTP/1.1",
            [(&b"Content-Type"[..], &b"text/html"[..])],
        );
        transaction.response_body(b"<p>a</p>", true);
        transaction.finish();
        if let Some(Watch::Probe(its)) = transaction.watch.take().map(|watch| *watch) {
            reached.extend(&its);
        }
    }
    reached
}
