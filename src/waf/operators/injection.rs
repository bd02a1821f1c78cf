//! `@detectSQLi` and `@detectXSS`.

use super::Captures;

/// Whether libinjection takes the value for SQL injection. Captures the fingerprint.
#[must_use]
pub fn detect_sqli(value: &[u8], captures: Option<&mut Captures>) -> bool {
    let found = libinjectionrs::detect_sqli(value);
    if !found.is_injection() {
        return false;
    }
    if let Some(captures) = captures {
        captures.clear();
        let fingerprint = found.fingerprint.as_ref();
        captures.push_bytes(fingerprint.map_or(b"", |f| f.as_str().as_bytes()));
    }
    true
}

/// Whether libinjection takes the value for cross-site scripting. Captures the value.
#[must_use]
pub fn detect_xss(value: &[u8], captures: Option<&mut Captures>) -> bool {
    if !libinjectionrs::detect_xss(value).is_injection() {
        return false;
    }
    if let Some(captures) = captures {
        captures.clear();
        captures.push_range(0..value.len());
    }
    true
}
