//! A Content-Type in the first line, a body behind it: parts lie in the body, in order, and nothing
//! behind an error goes unseen.

use waf::internals::body::multipart::{Limits, parse};

pub fn run(data: &[u8]) {
    let end = data.iter().position(|&b| b == b'\n').unwrap_or(0);
    let (content_type, body) = data.split_at(end);
    let found = parse(content_type, body, &Limits::default());
    let mut end = 0;
    for part in &found.parts {
        assert!(end <= part.content.start && part.content.start <= part.content.end);
        end = part.content.end;
    }
    assert!(end <= body.len());
    assert_eq!(found.error.is_some(), found.flags.error);
    if let Some(error) = found.error {
        assert!(error.offset <= body.len());
        assert!(error.offset == body.len() || end == body.len());
    }
}
