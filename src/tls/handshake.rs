//! Why a handshake with a client failed: the one place that translates OpenSSL's codes for listeners.

use openssl::ssl::Error;

use super::openssl_codes::reasons;
use super::reason;
use super::verify::Verdict;

/// Why a handshake failed. The codes are stable, the same in logs and metrics; a new one goes to the end, because
/// metrics are counted by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The client showed no certificate, and one is required.
    NoCertificate,
    /// The client's certificate is revoked.
    Revoked,
    /// The client's certificate leads to none of the CAs that are asked for.
    UnknownCa,
    /// The client's certificate has expired or is not valid yet.
    Expired,
    /// The client's certificate is not for client authentication.
    WrongUsage,
    /// A revocation list is missing or outdated.
    NoList,
    /// Something else is wrong with the client's certificate.
    Certificate,
    /// The client asked for an unknown name, or for none.
    UnknownName,
    /// No TLS version in common.
    Version,
    /// No cipher, group or signature in common.
    Cipher,
    /// Neither h2 nor http/1.1 was offered.
    Alpn,
    /// The client does not speak TLS.
    NotTls,
    /// The client does not take our certificate.
    Distrusted,
    /// The client closed the connection.
    Closed,
    /// It took longer than `handshake_timeout`.
    Timeout,
    /// Something else, in OpenSSL's words.
    Other,
}

impl Reason {
    /// In the order of their indexes.
    pub const ALL: [Self; 16] = [
        Self::NoCertificate,
        Self::Revoked,
        Self::UnknownCa,
        Self::Expired,
        Self::WrongUsage,
        Self::NoList,
        Self::Certificate,
        Self::UnknownName,
        Self::Version,
        Self::Cipher,
        Self::Alpn,
        Self::NotTls,
        Self::Distrusted,
        Self::Closed,
        Self::Timeout,
        Self::Other,
    ];

    /// The stable code, for logs and metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::Revoked => "revoked",
            Self::UnknownCa => "unknown_ca",
            Self::Expired => "expired",
            Self::WrongUsage => "wrong_usage",
            Self::NoList => "no_list",
            Self::Certificate => "certificate",
            Self::UnknownName => "unknown_name",
            Self::Version => "version",
            Self::Cipher => "cipher",
            Self::Alpn => "alpn",
            Self::NotTls => "not_tls",
            Self::Distrusted => "distrusted",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Other => "other",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NoCertificate => "the client shows no certificate",
            Self::Revoked => "the client's certificate is revoked",
            Self::UnknownCa => "the client's certificate is signed by no CA that is asked for",
            Self::Expired => "the client's certificate is out of date",
            Self::WrongUsage => "the client's certificate is not for clients",
            Self::NoList => "a CA of the client's certificate has no current revocation list",
            Self::Certificate => "the client's certificate is not taken",
            Self::UnknownName => "the client asks for no name of this listener",
            Self::Version => "no TLS version in common",
            Self::Cipher => "no cipher, group or signature in common",
            Self::Alpn => "the client offers neither h2 nor http/1.1",
            Self::NotTls => "the client does not speak TLS",
            Self::Distrusted => "the client does not take our certificate",
            Self::Closed => "the client closed the connection",
            Self::Timeout => "not done within handshake_timeout",
            Self::Other => "the handshake failed",
        }
    }
}

/// A handshake that failed.
#[derive(Debug)]
pub struct Failed {
    /// Why it failed.
    pub reason: Reason,
    /// Details beside the reason; they may contain text that the client chose.
    pub detail: Option<String>,
}

impl From<Reason> for Failed {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            detail: None,
        }
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// The most characters of a detail.
        const MOST: usize = 200;
        f.write_str(self.reason.words())?;
        let Some(detail) = &self.detail else {
            return Ok(());
        };
        let bounded: String = detail.chars().take(MOST).collect();
        // Escaped, because the client chooses its certificate's subject and must not forge log lines with it.
        write!(f, ": {}", bounded.escape_debug())
    }
}

impl Failed {
    /// Translates OpenSSL's error. `verdict` is that on the client's certificate, if it showed one.
    #[must_use]
    pub fn of(error: &Error, verdict: Option<&Verdict>) -> Self {
        // Without an error of OpenSSL the transport failed.
        let Some(stack) = error.ssl_error() else {
            return Reason::Closed.into();
        };
        let reason = reasons(stack).into_iter().find_map(of_code);
        let reason = reason.unwrap_or(Reason::Other);
        match (reason, verdict) {
            // OpenSSL only says that the verification failed; the verdict knows why.
            (Reason::Certificate, Some(verdict)) => Self::of_verdict(verdict),
            (Reason::Other, _) => Self {
                reason,
                detail: Some(stack.to_string()),
            },
            (reason, _) => reason.into(),
        }
    }

    fn of_verdict(verdict: &Verdict) -> Self {
        let result = verdict.result;
        let of = verdict.refused.as_ref();
        let subject = of.map_or_else(String::new, |c| reason::name_text(c.subject_name()));
        Self {
            reason: of_result(result.as_raw()),
            detail: Some(format!("{} (\"{subject}\")", result.error_string())),
        }
    }
}

/// The codes are those of include/openssl/sslerr.h. An alert that the client sent is 1000 plus its number (RFC 8446,
/// 6).
fn of_code(code: i32) -> Option<Reason> {
    Some(match code {
        // PEER_DID_NOT_RETURN_A_CERTIFICATE
        199 => Reason::NoCertificate,
        // CERTIFICATE_VERIFY_FAILED
        134 => Reason::Certificate,
        // CALLBACK_FAILED: only the callback that chooses the certificate by name fails
        234 => Reason::UnknownName,
        // NO_PROTOCOLS_AVAILABLE, UNKNOWN_PROTOCOL, UNSUPPORTED_PROTOCOL, UNSUPPORTED_SSL_VERSION,
        // INAPPROPRIATE_FALLBACK, VERSION_TOO_LOW, protocol_version
        191 | 252 | 258 | 259 | 373 | 396 | 1070 => Reason::Version,
        // NO_SUITABLE_KEY_SHARE, NO_SUITABLE_SIGNATURE_ALGORITHM, NO_CIPHERS_SPECIFIED, NO_SHARED_CIPHER,
        // NO_SUITABLE_GROUPS, NO_SUITABLE_DIGEST_ALGORITHM, NO_SHARED_GROUPS, insufficient_security
        101 | 118 | 183 | 193 | 295 | 297 | 410 | 1071 => Reason::Cipher,
        // NO_APPLICATION_PROTOCOL
        235 => Reason::Alpn,
        // HTTPS_PROXY_REQUEST, HTTP_REQUEST, PACKET_LENGTH_TOO_LONG, WRONG_VERSION_NUMBER, BAD_RECORD_TYPE
        155 | 156 | 198 | 267 | 443 => Reason::NotTls,
        // bad_certificate to certificate_unknown, unknown_ca, access_denied, bad_certificate_status_response
        1042..=1046 | 1048 | 1049 | 1113 => Reason::Distrusted,
        // UNEXPECTED_EOF_WHILE_READING, close_notify, user_canceled
        294 | 1000 | 1090 => Reason::Closed,
        _ => return None,
    })
}

/// The results are those of include/openssl/x509_vfy.h.
fn of_result(result: i32) -> Reason {
    match result {
        // UNABLE_TO_GET_ISSUER_CERT, CERT_SIGNATURE_FAILURE, DEPTH_ZERO_SELF_SIGNED_CERT to
        // UNABLE_TO_VERIFY_LEAF_SIGNATURE, CERT_UNTRUSTED
        2 | 7 | 18..=21 | 27 => Reason::UnknownCa,
        // CERT_NOT_YET_VALID, CERT_HAS_EXPIRED
        9 | 10 => Reason::Expired,
        // CERT_REVOKED
        23 => Reason::Revoked,
        // INVALID_PURPOSE
        26 => Reason::WrongUsage,
        // UNABLE_TO_GET_CRL, CRL_SIGNATURE_FAILURE, CRL_NOT_YET_VALID, CRL_HAS_EXPIRED, UNABLE_TO_GET_CRL_ISSUER
        3 | 8 | 11 | 12 | 33 => Reason::NoList,
        _ => Reason::Certificate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_their_indexes_and_codes_of_their_own() {
        let mut codes = std::collections::HashSet::new();
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason:?}");
            assert!(codes.insert(reason.code()), "{reason:?}");
        }
        assert_eq!(Reason::ALL.last(), Some(&Reason::Other));
    }

    #[test]
    fn a_clients_words_are_bounded_and_escaped() {
        let failed = Failed {
            reason: Reason::Revoked,
            detail: Some(format!("a\n\u{1b}[1m{}", "x".repeat(1000))),
        };
        let text = failed.to_string();
        assert!(
            text.len() < 300 && text.contains("a\\n\\u{1b}[1m"),
            "{text}"
        );
    }
}
