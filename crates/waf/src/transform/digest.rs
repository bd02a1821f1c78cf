//! `md5`, `sha1` and `length`: a few bytes for a whole value.

use md5::{Digest, Md5};
use sha1::Sha1;

use crate::steps::{self, STEP};

pub(super) fn md5(input: &[u8], out: &mut Vec<u8>) -> bool {
    put(&digest::<Md5>(input), input, out)
}

pub(super) fn sha1(input: &[u8], out: &mut Vec<u8>) -> bool {
    put(&digest::<Sha1>(input), input, out)
}

fn digest<D: Digest>(input: &[u8]) -> Vec<u8> {
    let mut digest = D::new();
    for piece in input.chunks(STEP) {
        // The digest is wrong then; the engine discards the result.
        if steps::work(piece.len()).is_err() {
            break;
        }
        digest.update(piece);
    }
    digest.finalize().to_vec()
}

pub(super) fn length(input: &[u8], out: &mut Vec<u8>) -> bool {
    put(input.len().to_string().as_bytes(), input, out)
}

fn put(result: &[u8], input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(result);
    result != input
}
