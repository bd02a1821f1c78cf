//! The body of an answer, bounded before it is stored.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::broken::broken;
use super::error::{Fault, Part};
use super::settings::Limits;

/// The whole body, if it is not larger than `limits` allow.
pub(super) async fn collect(mut body: Incoming, limits: &Limits) -> Result<Bytes, Fault> {
    let limit = limits.body_bytes;
    let too_large = || Fault::TooLarge {
        part: Part::Body,
        limit,
    };
    // What it says in Content-Length, before a byte of it was read.
    let least = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if least > limit {
        return Err(too_large());
    }
    // By now within the limit, so a server's promise cannot fill the memory.
    let mut whole = BytesMut::with_capacity(least);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error, limits))?;
        // Trailers are dropped: nobody here reads them.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if whole.len() + data.len() > limit {
            return Err(too_large());
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}
