//! What is wrong with a certificate's files, or worth a warning.

use seclang::diagnostic::Severity;

/// A problem of a file, or a warning about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// An error keeps the file from being used.
    pub severity: Severity,
    /// Which file it is about.
    pub part: Part,
    /// What is wrong, with the file's path.
    pub message: String,
    /// What to do about it.
    pub help: Option<&'static str>,
}

/// Which of the files it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The chain of a certified key, or the file of a bundle.
    Chain,
    /// The key of a certified key.
    Key,
    /// The OCSP response of a certified key.
    Ocsp,
}

impl Finding {
    pub(super) fn error(part: Part, message: String, help: Option<&'static str>) -> Self {
        Self {
            severity: Severity::Error,
            part,
            message,
            help,
        }
    }

    pub(super) fn warning(part: Part, message: String, help: Option<&'static str>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(part, message, help)
        }
    }
}
