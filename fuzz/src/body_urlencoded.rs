//! Arguments and cookies: never more bytes out than in.

use waf::internals::body::{cookies, urlencoded};

pub fn run(data: &[u8]) {
    let mut bytes = 0;
    let outcome = urlencoded::parse(data, b'&', 1000, &mut |name, value| {
        bytes += name.len() + value.len();
    });
    assert!(bytes <= data.len());
    assert!(!outcome.truncated || data.len() > 1000);

    for version in [cookies::Version::V0, cookies::Version::V1] {
        let mut count = 0;
        cookies::parse(data, version, &mut |name, _| {
            assert!(!name.is_empty());
            count += 1;
        });
        assert!(count <= data.len());
    }
}
