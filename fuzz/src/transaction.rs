//! Any bytes as a request and its response: no panic, bounded records, and `finish` is reached.
//!
//! Over the rules of `everything.conf`, and over the CRS where `CRS_DIR` names its folder.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use ftw;
use waf::{EngineMode, RuleSet, Transaction};

static RULES: LazyLock<Vec<Arc<RuleSet>>> = LazyLock::new(|| {
    let everything = RuleSet::builder()
        .engine(EngineMode::On)
        .front_door()
        .text("everything.conf", include_str!("../everything.conf"));
    let crs = std::env::var_os("CRS_DIR").map(|dir| ftw::crs_rules(Path::new(&dir)));
    let build = |builder: waf::RuleSetBuilder| builder.build().expect("the rules load");
    [everything].into_iter().chain(crs).map(build).collect()
});

const TYPES: [&[u8]; 6] = [
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=X",
    b"application/json",
    b"text/xml",
    b"text/plain",
    b"multipart/form-data; boundary=\"X\"",
];

/// The first byte chooses the body's type and whether the method has one; the rest are parts divided by 0xFF:
/// target, a header's value, cookies, body, response header, response body.
fn play(rules: &Arc<RuleSet>, input: &[u8]) -> Transaction {
    let (&choice, rest) = input.split_first().unwrap_or((&0, &[]));
    let mut parts = rest
        .splitn(6, |&b| b == 0xff)
        .chain(std::iter::repeat(&[][..]));
    let mut next = || parts.next().unwrap_or_default();
    let (target, value, cookies, body) = (next(), next(), next(), next());
    let (answer, response) = (next(), next());
    let client: SocketAddr = ([192, 0, 2, 7], 40_000).into();
    let server: SocketAddr = ([127, 0, 0, 1], 443).into();
    let mut t = Transaction::new(Arc::clone(rules), client, server, "fuzz");
    let line = [b"POST ", target, b" HTTP/1.1"].concat();
    t.request_line(&line, b"POST", target, b"HTTP/1.1");
    t.request_header(b"Host", b"example.test");
    t.request_header(b"User-Agent", value);
    t.request_header(b"Cookie", cookies);
    t.request_header(b"Content-Type", TYPES[usize::from(choice) % TYPES.len()]);
    if choice & 0x80 != 0 {
        t.request_header(b"Content-Encoding", b"gzip");
    }
    let _ = t
        .request_headers_done()
        .or_else(|| t.request_body(body))
        .or_else(|| {
            let headers: [(&[u8], &[u8]); 2] =
                [(b"Content-Type", b"text/html"), (b"X-Answer", answer)];
            t.response_headers(200, b"HTTP/1.1", headers)
        })
        .or_else(|| t.response_body(response, true));
    t.finish();
    t
}

pub fn run(input: &[u8]) {
    for (number, rules) in RULES.iter().enumerate() {
        let t = play(rules, input);
        assert!(t.matched_rules().len() < 1200);
        assert!(t.matched_rules().iter().all(|m| m.log_line.is_ascii()));
        assert!(number > 0 || t.tx("finished").is_some());
        let again = play(rules, input);
        assert_eq!(again.interruption(), t.interruption());
    }
}
