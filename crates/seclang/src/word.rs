//! The units of the parser: arguments of a directive, and problems whose line and column are not looked up yet.

use super::ast::{Span, Spanned};
use super::pieced::Pieced;
use crate::diagnostic::Severity;

/// A problem before its line and column are looked up.
#[derive(Debug)]
pub(super) struct Fault {
    pub severity: Severity,
    pub span: Span,
    pub message: String,
    pub help: Option<String>,
}

/// One argument without its quotes.
#[derive(Debug)]
pub(super) struct Word {
    pub value: Pieced,
    /// Without the quotes, unless nothing is between them.
    pub span: Span,
}

impl Word {
    pub(super) fn spanned(&self) -> Spanned<String> {
        Spanned {
            node: self.value.text().to_owned(),
            span: self.span,
        }
    }
}

impl Fault {
    pub(super) fn new(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            span,
            message: message.into(),
            help: None,
        }
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Made a warning.
    pub(super) fn warn(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }
}
