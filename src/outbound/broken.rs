//! What an error of hyper means. Nothing here decides on its text.

use std::error::Error;
use std::io;

use super::error::{Fault, Part};
use super::settings::Limits;
use crate::tls::DialFault;

/// Whether the connection ended before a byte of an answer came.
pub(super) fn is_gone(error: &hyper::Error) -> bool {
    error.is_canceled()
        || error.is_closed()
        || error.is_incomplete_message()
        // A reset says the same as a close.
        || io_of(error).is_some()
}

/// The fault behind an error of hyper.
pub(super) fn broken(error: &hyper::Error, limits: &Limits) -> Fault {
    // First, because for hyper this is an error of parsing as well.
    if error.is_parse_too_large() {
        return Fault::TooLarge {
            part: Part::Head,
            limit: limits.head_bytes,
        };
    }
    // hyper's own words name the step that failed; those below them name the cause.
    let words = error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string);
    if error.is_parse() {
        return Fault::Malformed(words);
    }
    if error.is_user() {
        return Fault::Internal(words);
    }
    match io_of(error) {
        Some(io) => match (DialFault::of_io(io), io.kind()) {
            // hyper reports wrong chunks like this.
            (DialFault::Other, io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => {
                Fault::Malformed(words)
            }
            (DialFault::Other, _) => Fault::Closed(words),
            (fault, _) => Fault::Tls { fault, why: words },
        },
        None => Fault::Closed(words),
    }
}

fn io_of(error: &hyper::Error) -> Option<&io::Error> {
    // OpenSSL's error is inside of one of these, below hyper's own.
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io);
        }
        source = error.source();
    }
    None
}
