//! JSON: names and values are bounded, and an error lies in the body.

use waf::internals::body::json;

pub fn run(data: &[u8]) {
    let (mut values, mut names) = (0, 0);
    let result = json::parse(data, 100, 10_000, &mut |name, value| {
        assert!(name.starts_with(b"json") && name.len() <= json::LONGEST_NAME);
        names += name.len();
        values += value.len();
    });
    assert!(values <= data.len());
    assert!(names <= data.len() * 32 + (1 << 20));
    if let Err(error) = result {
        assert!(error.offset <= data.len());
    }
}
