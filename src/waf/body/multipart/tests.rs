use super::super::mutate::mutations;
use super::*;

const TYPE: &[u8] = b"multipart/form-data; boundary=b";

fn read(body: &str) -> Multipart<'_> {
    parse(TYPE, body.as_bytes(), &Limits::default())
}
