//! Any bytes: no panic, and a head that passes has the parts it says it has.

use http_strict::{BodyFraming, Head, decode_chunked};

pub fn run(raw: &[u8]) {
    let Ok(head) = Head::parse(raw) else {
        return;
    };
    let bytes = &raw[..head.length];
    assert!(bytes.ends_with(b"\r\n\r\n"));
    let lines = bytes.iter().filter(|&&b| b == b'\n').count();
    let returns = bytes.iter().filter(|&&b| b == b'\r').count();
    assert_eq!(
        (lines, returns),
        (head.headers.len() + 2, head.headers.len() + 2)
    );
    assert!(!bytes.contains(&0));
    let named = |name: &[u8]| {
        let same = |n: &std::ops::Range<usize>| raw[n.clone()].eq_ignore_ascii_case(name);
        head.headers.iter().filter(|(n, _)| same(n)).count()
    };
    let framed = named(b"content-length") + named(b"transfer-encoding");
    assert_eq!(framed, usize::from(head.body != BodyFraming::None));
    assert_eq!(named(b"host"), usize::from(head.host.is_some()));
    if head.body == BodyFraming::Chunked {
        let rest = &raw[head.length..];
        if let Ok(body) = decode_chunked(rest) {
            assert!(body.len() < rest.len());
        }
    }
}
