mod edges;
mod properties;
mod steps;

use super::{Transformation, UnicodeMap};

/// The value after the transformation.
fn transformed(by: Transformation, input: &[u8], map: Option<&UnicodeMap>) -> Vec<u8> {
    let mut out = Vec::new();
    if by.apply(input, &mut out, map) {
        assert_ne!(out, input, "{by:?} says changed");
        out
    } else {
        input.to_vec()
    }
}
