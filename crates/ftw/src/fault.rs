//! What is wrong with a stage of a test file or an overrides file that is YAML of the right form.

use std::fmt;

use super::request::TemplateError;

/// Why a stage cannot be played or its outcome not be judged. Whoever wrote the file erred.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum StageFault {
    /// It has not one input and one output.
    Form,
    /// It sets this key, which go-ftw follows and we do not.
    Unsupported(&'static str),
    /// It has both `data` and `encoded_request`.
    DataAndRequest,
    /// The value of this key is not base64.
    NotBase64(&'static str),
    /// Its `data` holds a template that cannot be rendered.
    Template(TemplateError),
    /// A pattern for the log or the response cannot be compiled.
    Pattern {
        /// The pattern as it was written.
        pattern: String,
        /// Why not.
        error: regex::Error,
    },
    /// It is `isolated` and does not expect exactly one rule.
    Isolated,
}

impl fmt::Display for StageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("a stage is an input and an output"),
            Self::Unsupported(key) => {
                write!(f, "{key} is not supported: write the request out")
            }
            Self::DataAndRequest => f.write_str("data and encoded_request exclude each other"),
            Self::NotBase64(key) => write!(f, "{key} is not base64"),
            Self::Template(error) => error.fmt(f),
            Self::Pattern { pattern, error } => {
                write!(f, "/{pattern}/ is not a regular expression: {error}")
            }
            Self::Isolated => f.write_str("isolated needs exactly one of expect_ids"),
        }
    }
}

impl std::error::Error for StageFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Template(error) => Some(error),
            Self::Pattern { error, .. } => Some(error),
            Self::Form
            | Self::Unsupported(_)
            | Self::DataAndRequest
            | Self::NotBase64(_)
            | Self::Isolated => None,
        }
    }
}
