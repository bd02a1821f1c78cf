//! The codes in OpenSSL's errors. Decisions are made on these numbers, which OpenSSL keeps stable, and never on
//! the words beside them.

use std::io;

use openssl::error::ErrorStack;
use openssl::ssl::Error;

/// ERR_LIB_SSL of include/openssl/err.h
const SSL_LIBRARY: i32 = 20;

/// The reason codes of the SSL library (include/openssl/sslerr.h), the oldest first. An alert that the other side sent
/// is 1000 plus its number (RFC 8446, 6).
pub(super) fn reasons(stack: &ErrorStack) -> Vec<i32> {
    let errors = stack.errors().iter();
    let ours = errors.filter(|error| error.library_code() == SSL_LIBRARY);
    ours.map(openssl::error::Error::reason_code).collect()
}

/// The reason codes in an I/O error of a TLS stream; empty if the transport failed.
pub(super) fn reasons_of_io(error: &io::Error) -> Vec<i32> {
    let Some(inner) = error.get_ref() else {
        return Vec::new();
    };
    match inner.downcast_ref::<Error>() {
        Some(inner) => inner.ssl_error().map(reasons).unwrap_or_default(),
        // The h2 crate keeps only the text of an error.
        None => reasons_in_text(&inner.to_string()),
    }
}

/// Reads the packed codes in a text that the openssl crate wrote: `error:0A00045C:SSL routines:...`.
fn reasons_in_text(text: &str) -> Vec<i32> {
    const DIGITS: usize = 8;
    let packed = text.split("error:").skip(1).filter_map(|rest| {
        let digits = rest.get(..DIGITS)?;
        i32::from_str_radix(digits, 16).ok()
    });
    // ERR_GET_LIB and ERR_GET_REASON of include/openssl/err.h
    let ours = packed.filter(|code| code >> 23 & 0xff == SSL_LIBRARY);
    ours.map(|code| code & 0x7f_ffff).collect()
}
