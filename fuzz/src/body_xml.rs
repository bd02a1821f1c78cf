//! XML: no more text out than twice what went in, and an error lies in the body.

use waf::internals::body::xml::{Limits, parse};

pub fn run(data: &[u8]) {
    let xml = parse(data, &Limits::default());
    let attributes: usize = xml.attributes.iter().map(Vec::len).sum();
    // ISO 8859-1 doubles in UTF-8; the text behind an error repeats at most one element's values.
    assert!(xml.text.len() + attributes <= data.len() * 4);
    if let Some(error) = xml.error {
        assert!(error.offset <= data.len());
    }
}
