//! The syntax tree, and the sources it points into.

use std::path::{Path, PathBuf};

use crate::diagnostic::Location;

/// Index of a file in [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u32);

/// A file's path and text.
#[derive(Debug, Clone)]
pub struct Source {
    pub path: PathBuf,
    pub text: String,
}

/// All files of one rule set, in load order.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Adds a file.
    ///
    /// # Panics
    /// Never in practice: a rule set has fewer than 2^32 files.
    pub fn add(&mut self, path: PathBuf, text: String) -> SourceId {
        let id = SourceId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(Source { path, text });
        id
    }

    #[must_use]
    pub fn file(&self, id: SourceId) -> &Source {
        &self.files[id.0 as usize]
    }

    #[must_use]
    pub fn path(&self, id: SourceId) -> &Path {
        &self.file(id).path
    }

    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        (0..).map(SourceId).zip(&self.files)
    }

    /// The line and column of a span.
    #[must_use]
    pub fn locate(&self, span: Span) -> Location {
        let file = self.file(span.file);
        Location::in_text(
            &file.path,
            &file.text,
            span.start as usize,
            span.end as usize,
        )
    }
}

/// Bytes `start..end` of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub file: SourceId,
    pub start: u32,
    pub end: u32,
}

/// A piece of syntax and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    pub node: T,
    pub span: Span,
}

/// One directive. `Include`s are already replaced by what they include.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directive {
    /// `SecRule TARGETS OPERATOR [ACTIONS]`
    Rule(RuleSyntax),
    /// `SecAction ACTIONS`
    Action {
        actions: Vec<ActionSyntax>,
        span: Span,
    },
    /// `SecDefaultAction ACTIONS`
    DefaultAction {
        actions: Vec<ActionSyntax>,
        span: Span,
    },
    /// `SecMarker NAME`
    Marker(Spanned<String>),
    /// `SecRuleUpdateActionById ID ACTIONS`
    UpdateAction {
        id: Spanned<String>,
        actions: Vec<ActionSyntax>,
        span: Span,
    },
    /// `SecRuleUpdateTargetById|ByTag|ByMsg WHAT TARGETS [REPLACED]`
    UpdateTarget {
        /// The directive's own name, in its canonical spelling.
        name: Spanned<String>,
        what: Spanned<String>,
        targets: Vec<TargetSyntax>,
        replaced: Vec<TargetSyntax>,
        span: Span,
    },
    /// Everything else: a name in its canonical spelling where it is known, and its arguments unquoted.
    Setting {
        name: Spanned<String>,
        arguments: Vec<Spanned<String>>,
        span: Span,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSyntax {
    pub targets: Vec<TargetSyntax>,
    pub operator: OperatorSyntax,
    pub actions: Vec<ActionSyntax>,
    /// The whole directive.
    pub span: Span,
}

/// `[!|&]VARIABLE[:SELECTOR]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSyntax {
    /// `!`: removes what was selected before it.
    pub exclude: bool,
    /// `&`: how many there are.
    pub count: bool,
    /// As written; comparison is case-insensitive.
    pub variable: Spanned<String>,
    pub selector: Option<Spanned<Selector>>,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// `ARGS:name`, also `ARGS:'name'`.
    Name(String),
    /// `ARGS:/regex/`, also `ARGS:'/regex/'`; without the slashes, `\/` undone.
    Regex(String),
}

/// `[!][@NAME] ARGUMENT`; without a name it is `rx`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorSyntax {
    pub negated: bool,
    /// Without the `@`, as written.
    pub name: Spanned<String>,
    /// As it reads after the quotes are undone; may be empty.
    pub argument: Spanned<String>,
    pub span: Span,
}

/// `NAME` or `NAME:ARGUMENT`; quotes around the argument are undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionSyntax {
    /// As written; comparison is case-insensitive.
    pub name: Spanned<String>,
    pub argument: Option<Spanned<String>>,
    pub span: Span,
}
