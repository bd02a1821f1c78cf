//! `md5`, `sha1` and `length`: a few bytes for a whole value.

use md5::{Digest, Md5};
use sha1::Sha1;

pub(super) fn md5(input: &[u8], out: &mut Vec<u8>) -> bool {
    put(&Md5::digest(input), input, out)
}

pub(super) fn sha1(input: &[u8], out: &mut Vec<u8>) -> bool {
    put(&Sha1::digest(input), input, out)
}

pub(super) fn length(input: &[u8], out: &mut Vec<u8>) -> bool {
    put(input.len().to_string().as_bytes(), input, out)
}

fn put(result: &[u8], input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(result);
    result != input
}
