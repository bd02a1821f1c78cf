//! Any bytes as a gateway's head: no panic, one length at most, and words that are short.

use http_strict::{check_response, explain_response_head, switches_to_websocket};

pub fn run(raw: &[u8]) {
    let words = explain_response_head(raw, 256);
    assert!(
        words.is_ascii() && !words.is_empty() && words.len() < 400,
        "{words}"
    );
    let Some((&[version, first, second], lines)) = raw.split_first_chunk() else {
        return;
    };
    let status = u16::from_be_bytes([first % 3, second]);
    let fields = || {
        lines.split(|&b| b == b'\n').filter_map(|line| {
            let colon = line.iter().position(|&b| b == b':')?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        })
    };
    let named = |name: &[u8]| {
        let fields = fields().filter(move |(n, _)| n.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value).collect::<Vec<_>>()
    };
    let switches = switches_to_websocket(fields());
    assert!(!switches || named(b"upgrade").len() == 1);
    let Ok(length) = check_response(status, version.is_multiple_of(2), fields()) else {
        return;
    };
    assert!((100..600).contains(&status));
    let (codings, lengths) = (named(b"transfer-encoding"), named(b"content-length"));
    assert!(codings.is_empty() || lengths.is_empty());
    assert!(codings.iter().all(|c| c.eq_ignore_ascii_case(b"chunked")) && codings.len() < 2);
    assert_eq!(length.is_some(), !lengths.is_empty());
    for element in lengths.iter().flat_map(|l| l.split(|&b| b == b',')) {
        let number = std::str::from_utf8(element.trim_ascii())
            .unwrap()
            .parse::<u64>();
        assert_eq!(number.ok(), length);
    }
}
