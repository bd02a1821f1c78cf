//! The header fields that tell browsers to be careful, as one set with a name.

use std::fmt;

use super::field::{FieldEdit, FieldName};

/// Fields that answers get together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityHeaders {
    /// The name of its table.
    pub name: String,
    /// Whether they replace what the gateway says of the same. HSTS always does.
    pub replace: bool,
    /// The fields with their values.
    pub fields: Vec<(SecurityField, String)>,
}

/// A field of such a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecurityField {
    /// `Strict-Transport-Security` (RFC 6797)
    Hsts,
    /// `Content-Security-Policy` (CSP level 3)
    Csp,
    /// `Content-Security-Policy-Report-Only`
    CspReportOnly,
    /// `X-Content-Type-Options` (Fetch standard, 3.6)
    Nosniff,
    /// `X-Frame-Options` (HTML standard, 7.6)
    Frame,
    /// `Referrer-Policy`
    Referrer,
    /// `Permissions-Policy`
    Permissions,
    /// `Cross-Origin-Opener-Policy`
    Opener,
    /// `Cross-Origin-Embedder-Policy`
    Embedder,
    /// `Cross-Origin-Resource-Policy`
    Resource,
}

/// How long browsers insist on TLS for the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hsts {
    /// From 0, which ends it.
    pub days: u32,
    /// Also for all subdomains.
    pub subdomains: bool,
    /// Whether browsers may have it built in.
    pub preload: bool,
}

/// Why a text is no `Content-Security-Policy`, or surely not the one that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CspError {
    /// There is no such directive.
    Unknown(String),
    /// Browsers ignore all but the first of these.
    Twice(String),
}

/// The directives of CSP level 3 and of the documents that add to it.
pub const CSP_DIRECTIVES: [&str; 28] = [
    "base-uri",
    "block-all-mixed-content",
    "child-src",
    "connect-src",
    "default-src",
    "fenced-frame-src",
    "font-src",
    "form-action",
    "frame-ancestors",
    "frame-src",
    "img-src",
    "manifest-src",
    "media-src",
    "object-src",
    "plugin-types",
    "prefetch-src",
    "report-to",
    "report-uri",
    "require-trusted-types-for",
    "sandbox",
    "script-src",
    "script-src-attr",
    "script-src-elem",
    "style-src",
    "style-src-attr",
    "style-src-elem",
    "trusted-types",
    "upgrade-insecure-requests",
];

impl fmt::Display for CspError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "CSP has no directive \"{name}\""),
            Self::Twice(name) => write!(
                f,
                "the directive \"{name}\" stands twice, and browsers use the first alone"
            ),
        }
    }
}

impl std::error::Error for CspError {}

impl SecurityField {
    fn name(self) -> &'static str {
        match self {
            Self::Hsts => "Strict-Transport-Security",
            Self::Csp => "Content-Security-Policy",
            Self::CspReportOnly => "Content-Security-Policy-Report-Only",
            Self::Nosniff => "X-Content-Type-Options",
            Self::Frame => "X-Frame-Options",
            Self::Referrer => "Referrer-Policy",
            Self::Permissions => "Permissions-Policy",
            Self::Opener => "Cross-Origin-Opener-Policy",
            Self::Embedder => "Cross-Origin-Embedder-Policy",
            Self::Resource => "Cross-Origin-Resource-Policy",
        }
    }
}

impl Hsts {
    /// The value of the field.
    #[must_use]
    pub fn value(self) -> String {
        let seconds = u64::from(self.days) * 86_400;
        let subdomains = if self.subdomains {
            "; includeSubDomains"
        } else {
            ""
        };
        let preload = if self.preload { "; preload" } else { "" };
        format!("max-age={seconds}{subdomains}{preload}")
    }
}

impl SecurityHeaders {
    /// Changes an answer.
    pub fn change_answer(&self, edits: &mut Vec<FieldEdit>) {
        edits.extend(self.fields.iter().map(|(field, value)| {
            let name = FieldName::known(field.name());
            let value = value.as_bytes().to_vec();
            // Only the front door knows how long its own TLS stays.
            match self.replace || *field == SecurityField::Hsts {
                true => FieldEdit::Set(name, value),
                false => FieldEdit::SetIfMissing(name, value),
            }
        }));
    }
}

impl fmt::Display for SecurityHeaders {
    /// As `routes show` has it: `strict (Strict-Transport-Security, Content-Security-Policy)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<&str> = self.fields.iter().map(|(field, _)| field.name()).collect();
        write!(f, "{} ({})", self.name, fields.join(", "))
    }
}

/// # Errors
/// A directive is not known, or stands twice.
pub fn check_csp(text: &str) -> Result<(), CspError> {
    let mut seen: Vec<String> = Vec::new();
    for directive in text.split(';') {
        let Some(name) = directive.split_ascii_whitespace().next() else {
            continue;
        };
        let name = name.to_ascii_lowercase();
        if !CSP_DIRECTIVES.contains(&name.as_str()) {
            return Err(CspError::Unknown(name));
        }
        if seen.contains(&name) {
            return Err(CspError::Twice(name));
        }
        seen.push(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hsts_is_in_seconds() {
        let hsts = |days, subdomains, preload| Hsts {
            days,
            subdomains,
            preload,
        };
        assert_eq!(hsts(1, false, false).value(), "max-age=86400");
        assert_eq!(
            hsts(365, true, true).value(),
            "max-age=31536000; includeSubDomains; preload"
        );
        assert_eq!(hsts(0, false, false).value(), "max-age=0");
    }

    #[test]
    fn directives_of_csp_are_known() {
        for text in [
            "default-src 'none'; frame-ancestors 'none'",
            "Default-Src 'self';; upgrade-insecure-requests;",
        ] {
            assert_eq!(check_csp(text), Ok(()), "{text}");
        }
        let unknown = CspError::Unknown("defaultsrc".to_owned());
        assert_eq!(check_csp("defaultsrc 'none'"), Err(unknown));
        let twice = CspError::Twice("img-src".to_owned());
        assert_eq!(check_csp("img-src a; IMG-SRC b"), Err(twice));
    }

    #[test]
    fn only_hsts_replaces_what_a_gateway_says_where_the_set_does_not() {
        let mut set = SecurityHeaders {
            name: "api".to_owned(),
            replace: false,
            fields: vec![
                (SecurityField::Hsts, "max-age=1".to_owned()),
                (SecurityField::Nosniff, "nosniff".to_owned()),
            ],
        };
        let mut edits = Vec::new();
        set.change_answer(&mut edits);
        assert!(matches!(
            edits.as_slice(),
            [FieldEdit::Set(..), FieldEdit::SetIfMissing(..)]
        ));
        set.replace = true;
        edits.clear();
        set.change_answer(&mut edits);
        assert!(
            edits
                .iter()
                .all(|edit| matches!(edit, FieldEdit::Set(_, _)))
        );
        assert_eq!(
            set.to_string(),
            "api (Strict-Transport-Security, X-Content-Type-Options)"
        );
    }
}
