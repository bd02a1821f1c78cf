//! A Content-Encoding in the first line, an encoded body behind it: never more out than the limits say.

use waf::internals::body::content_coding::{Limits, decode};

pub fn run(data: &[u8]) {
    let end = data.iter().position(|&b| b == b'\n').unwrap_or(0);
    let (coding, body) = data.split_at(end);
    let limits = Limits {
        output: 100_000,
        ratio: 200,
    };
    if let Ok(plain) = decode(coding, body, &limits) {
        assert!(plain.len() <= limits.output.max(body.len()));
    }
}
