//! The syntax tree, and the sources it points into.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use std::path::{Path, PathBuf};

use crate::diagnostic::Location;

/// Index of a file in [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u32);

/// A file's path and text.
#[derive(Debug, Clone)]
pub struct Source {
    /// As it was named to the loader.
    pub path: PathBuf,
    /// Without a byte order mark.
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

    /// The file with this index.
    ///
    /// # Panics
    /// If `id` is of other [`Sources`].
    #[must_use]
    pub fn file(&self, id: SourceId) -> &Source {
        &self.files[id.0 as usize]
    }

    /// The path of the file with this index.
    ///
    /// # Panics
    /// If `id` is of other [`Sources`].
    #[must_use]
    pub fn path(&self, id: SourceId) -> &Path {
        &self.file(id).path
    }

    /// Every file in load order.
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
    /// The file.
    pub file: SourceId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
}

/// A piece of syntax and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The piece of syntax.
    pub node: T,
    /// Where it stands.
    pub span: Span,
}

/// One directive. `Include`s are already replaced by what they include.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directive {
    /// `SecRule TARGETS OPERATOR [ACTIONS]`
    Rule(RuleSyntax),
    /// `SecAction ACTIONS`
    Action {
        /// The actions, in order.
        actions: Vec<ActionSyntax>,
        /// The whole directive.
        span: Span,
    },
    /// `SecDefaultAction ACTIONS`
    DefaultAction {
        /// The actions, in order.
        actions: Vec<ActionSyntax>,
        /// The whole directive.
        span: Span,
    },
    /// `SecMarker NAME`
    Marker(Spanned<String>),
    /// `SecRuleUpdateActionById ID ACTIONS`
    UpdateAction {
        /// `ID` or `ID:OFFSET`, where the offset counts the rules of a chain.
        id: Spanned<String>,
        /// What replaces or is added to the actions of the rule.
        actions: Vec<ActionSyntax>,
        /// The whole directive.
        span: Span,
    },
    /// `SecRuleUpdateTargetById|ByTag|ByMsg WHAT TARGETS [REPLACED]`
    UpdateTarget {
        /// The directive's own name, in its canonical spelling.
        name: Spanned<String>,
        /// An id or a range of ids, or the regular expression for a tag or a message.
        what: Spanned<String>,
        /// The targets that are added or, with `!`, removed.
        targets: Vec<TargetSyntax>,
        /// The targets that they replace; empty if there is no third argument.
        replaced: Vec<TargetSyntax>,
        /// The whole directive.
        span: Span,
    },
    /// Everything else: the name, in its canonical spelling if it is known, and the arguments without quotes.
    Setting {
        /// The directive's name.
        name: Spanned<String>,
        /// Its arguments, in order.
        arguments: Vec<Spanned<String>>,
        /// The whole directive.
        span: Span,
    },
}

/// A `SecRule`. Source: ModSecurity v2 Reference Manual, "Configuration Directives", `SecRule`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSyntax {
    /// What the rule looks at.
    pub targets: Vec<TargetSyntax>,
    /// What it asks about each value.
    pub operator: OperatorSyntax,
    /// What it does; empty if it has no third argument.
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
    /// What follows the colon.
    pub selector: Option<Spanned<Selector>>,
    /// The whole target, `!` and `&` included.
    pub span: Span,
}

/// Which items of a collection a target means.
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
    /// `!`: the rule matches if the operator does not.
    pub negated: bool,
    /// Without the `@`, as written.
    pub name: Spanned<String>,
    /// Without the quotes and their escapes; may be empty.
    pub argument: Spanned<String>,
    /// The whole argument of the rule.
    pub span: Span,
}

/// `NAME` or `NAME:ARGUMENT`, without quotes around the argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionSyntax {
    /// As written; comparison is case-insensitive.
    pub name: Spanned<String>,
    /// None if nothing follows the name; an empty text for `''`.
    pub argument: Option<Spanned<String>>,
    /// Name and argument.
    pub span: Span,
}
