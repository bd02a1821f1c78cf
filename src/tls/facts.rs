//! What a certificate says of itself, as text and numbers for logs, metrics and the admin API.

use std::time::{SystemTime, UNIX_EPOCH};

use openssl::x509::X509Ref;
use serde::Serialize;

use super::reason;
use crate::counted::counted;

const DAY: i64 = 24 * 60 * 60;

/// One certificate, as people ask about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateFacts {
    /// The subject, in the form of RFC 4514.
    pub subject: String,
    /// The issuer, likewise.
    pub issuer: String,
    /// See [`reason::names`].
    pub names: Vec<String>,
    /// The kind and size of the key.
    pub key: String,
    /// UTC.
    pub not_before: String,
    /// The end of its validity, for people.
    pub not_after: String,
    /// Seconds since 1970.
    pub not_after_timestamp: i64,
    /// Whole days; negative once it has expired.
    pub days_left: i64,
}

impl CertificateFacts {
    /// Reads them.
    #[must_use]
    pub fn of(certificate: &X509Ref) -> Self {
        let not_after = reason::unix_time(certificate.not_after()).unwrap_or_default();
        Self {
            subject: reason::name_text(certificate.subject_name()),
            issuer: reason::name_text(certificate.issuer_name()),
            names: reason::names(certificate),
            key: reason::key_text(certificate),
            not_before: reason::time_text(certificate.not_before()),
            not_after: reason::time_text(certificate.not_after()),
            not_after_timestamp: not_after,
            days_left: (not_after - now()).div_euclid(DAY),
        }
    }

    /// Negative once it has expired.
    #[must_use]
    pub fn seconds_left(&self) -> i64 {
        self.not_after_timestamp - now()
    }

    /// `expired 3 days ago`, `5 days left`
    #[must_use]
    pub fn days_text(&self) -> String {
        match self.days_left {
            left @ 0.. => format!("{} left", counted(left, "day")),
            past => format!("expired {} ago", counted(-past, "day")),
        }
    }
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    // Half of the range, so that differences to it do not overflow.
    elapsed.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX / 2))
}
