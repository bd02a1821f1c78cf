//! `@detectSQLi` and `@detectXSS`: libinjection's verdicts.
//!
//! The crate `libinjectionrs` 0.1.1 was compared with the C library (LibInjection 3.10, the state after
//! 3.9.2) on the C library's own test files, on every string of the Core Rule Set's tests and on millions
//! of mutations of them. It is safe (no `unsafe`, no panic seen), but it is not equal:
//!
//! - SQL: `into outfile` in small letters is taken for harmless, and one byte that is not UTF-8 hides
//!   `sp_password`. Both are in its last step, which tells attacks from lookalikes; tokens and folding are
//!   equal but for rare inputs with NUL bytes. So the crate's tokenizer, folding and tables are used,
//!   and [`sqli`] takes the last step itself.
//! - HTML: it takes NUL for part of an attribute's name and event names only whole, where C takes NUL for a
//!   blank and looks for prefixes (`onload~`, `\0onclick=`). So [`html`] and [`xss`] are our own.
//!
//! Event names are those of LibInjection 3.10. 3.9.2, which ModSecurity v2 bundles, takes every attribute
//! that begins with `on` for an event, and so `online=yes` for an attack.

mod html;
mod sqli;
mod xss;

use super::Captures;

/// Whether libinjection takes the value for SQL injection. Captures the fingerprint.
#[must_use]
pub fn detect_sqli(value: &[u8], captures: Option<&mut Captures>) -> bool {
    // One word folds to one token that no fingerprint consists of.
    if value
        .iter()
        .all(|&b| b.is_ascii_alphanumeric() || b == b'_')
    {
        return false;
    }
    let Some(fingerprint) = sqli::fingerprint(value) else {
        return false;
    };
    if let Some(captures) = captures {
        captures.clear();
        captures.push_bytes(fingerprint.as_str().as_bytes());
    }
    true
}

/// Whether libinjection takes the value for cross-site scripting. Captures the value.
#[must_use]
pub fn detect_xss(value: &[u8], captures: Option<&mut Captures>) -> bool {
    if !xss::is_attack(value) {
        return false;
    }
    if let Some(captures) = captures {
        captures.clear();
        captures.push_range(0..value.len());
    }
    true
}
