//! One thing that is wrong with an exclusion or a rule, and what to do about it.

use seclang::diagnostic::{Diagnostic, Location, Severity};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// It names no rule, or a target that none of its rules looks at.
    FitsNoRule,
    /// Its rule runs after every rule that it names.
    TooLate,
    /// It holds before all conditions of its chain do.
    AppliesEarly,
    /// It takes out what blocks, or prepares that.
    TouchesBlocking,
    /// Another exclusion does everything that it does.
    WrittenTwice,
    /// Nothing would have been different without it.
    NeverApplied,
    /// It excludes more than it was used for.
    WiderThanUsed,
    /// A rule that took much time and never matched.
    DearAndNeverMatched,
}

impl Code {
    /// Every code, in the order in which findings of one place are shown.
    pub const ALL: [Self; 8] = [
        Self::FitsNoRule,
        Self::TooLate,
        Self::AppliesEarly,
        Self::TouchesBlocking,
        Self::WrittenTwice,
        Self::NeverApplied,
        Self::WiderThanUsed,
        Self::DearAndNeverMatched,
    ];

    /// As output and documents have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FitsNoRule => "fits-no-rule",
            Self::TooLate => "too-late",
            Self::AppliesEarly => "applies-early",
            Self::TouchesBlocking => "touches-blocking",
            Self::WrittenTwice => "written-twice",
            Self::NeverApplied => "never-applied",
            Self::WiderThanUsed => "wider-than-used",
            Self::DearAndNeverMatched => "dear-and-never-matched",
        }
    }
}

/// Something that is wrong.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What it is.
    pub code: Code,
    /// How much it matters: an error leaves the policy without protection.
    pub severity: Severity,
    /// Where it is.
    pub at: Location,
    /// What it is, and how that is known.
    pub message: String,
    /// What to do.
    pub help: String,
    /// The team that answers for it, if it is known.
    pub owner: Option<String>,
    /// The other place, if there are two.
    pub other: Option<Other>,
    /// What to write in its place, if that is known: actions, directives or rules.
    pub instead: Vec<String>,
}

/// Another exclusion.
#[derive(Debug, Clone)]
pub struct Other {
    /// Where it is.
    pub at: Location,
    /// The team that answers for it, if it is known.
    pub owner: Option<String>,
}

impl Finding {
    pub(super) fn warning(code: Code, at: Location, message: String, help: &str) -> Self {
        Self {
            code,
            severity: Severity::Warning,
            at,
            message,
            help: help.to_owned(),
            owner: None,
            other: None,
            instead: Vec::new(),
        }
    }

    /// With its place and a caret, as `check` shows problems.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let message = format!("{}: {}", self.code.name(), self.message);
        let instead = self.instead.iter().flat_map(|text| text.lines());
        let instead: String = instead.map(|line| format!("\n    {line}")).collect();
        let found = match self.severity {
            Severity::Error => Diagnostic::error(self.at.clone(), message),
            Severity::Warning => Diagnostic::warning(self.at.clone(), message),
        };
        found.with_help(format!("{}{instead}", self.help))
    }
}
