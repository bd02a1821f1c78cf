//! Access lines in the "combined" format of Apache and nginx, which every log analyser reads.
//!
//! Invariant: a line is printable ASCII, and a quote or a backslash of a value never ends a field.

use std::fmt::Write;

use super::{AccessRecord, masked_text};
use crate::time::rfc3339;

/// `CLIENT - - [TIME] "METHOD PATH PROTOCOL" STATUS BYTES "REFERER" "USER-AGENT"`, without a line feed.
pub(super) fn line(record: &AccessRecord<'_>) -> String {
    let request = format!("{} {} {}", record.method, record.path, record.protocol);
    let field = |value: Option<&[u8]>| match value {
        Some(value) => escaped(&masked_text(value)),
        None => "-".to_owned(),
    };
    format!(
        "{} - - [{}] \"{}\" {} {} \"{}\" \"{}\"",
        record.client.ip(),
        time(&rfc3339(record.time)),
        escaped(&request),
        record.status,
        record.bytes_out,
        field(record.referer),
        field(record.user_agent),
    )
}

/// `2026-11-29T15:04:05.678Z` as `29/Nov/2026:15:04:05 +0000`.
fn time(rfc3339: &str) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let part = |from: usize, to: usize| rfc3339.get(from..to).unwrap_or_default();
    let month = part(5, 7).parse::<usize>().unwrap_or(1);
    let month = MONTHS.get(month.saturating_sub(1)).unwrap_or(&"Jan");
    format!(
        "{}/{month}/{}:{} +0000",
        part(8, 10),
        part(0, 4),
        part(11, 19)
    )
}

/// As Apache does it: quotes and backslashes after a backslash, all that is not printable ASCII as `\xhh`.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' '..=b'~' => out.push(char::from(byte)),
            byte => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out
}
