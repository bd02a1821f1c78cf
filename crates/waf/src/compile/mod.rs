//! Syntax trees to [`RuleSet`]: resolves every name, compiles every pattern, and reports every problem at once.
//!
//! There are two passes: `program` collects drafts, because exclusions change the rules before them; `rules` then
//! compiles what is left.

pub(crate) mod action_names;
pub(super) mod actions;
mod advice;
mod controls;
mod exclusions;
mod noted;
mod program;
mod rule_draft;
mod rules;
pub(super) mod settings;
mod suggest;
mod targets;
mod unset;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use seclang::diagnostic::{Diagnostic, Location};
use seclang::{Sources, Span};

use super::body::xml::path::Path as XmlPath;
use super::macros::{Scope, Template};
use super::names::Names;
use super::rule::Chains;
use super::settings::Settings;
use super::variables::{TargetList, Text};
use noted::Noted;
use program::Program;

/// Collects problems with their places, and the exclusions. Compilation goes on after an error, so that one run shows
/// all of them.
pub(super) struct Report<'s> {
    pub sources: &'s Sources,
    pub diagnostics: Vec<Diagnostic>,
    exclusions: Vec<Noted>,
}

impl<'s> Report<'s> {
    pub(super) fn new(sources: &'s Sources, diagnostics: Vec<Diagnostic>) -> Self {
        Self {
            sources,
            diagnostics,
            exclusions: Vec::new(),
        }
    }
}

impl Report<'_> {
    fn error(&mut self, span: Span, message: impl Into<String>) {
        let at = self.sources.locate(span);
        self.diagnostics.push(Diagnostic::error(at, message));
    }

    fn error_with_help(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        let at = self.sources.locate(span);
        self.diagnostics
            .push(Diagnostic::error(at, message).with_help(help));
    }

    fn warning(&mut self, span: Span, message: impl Into<String>) {
        let at = self.sources.locate(span);
        self.diagnostics.push(Diagnostic::warning(at, message));
    }

    /// A name that does not exist, with the most likely intended name.
    fn unknown(&mut self, span: Span, message: String, help: Option<String>) {
        match help {
            Some(help) => self.error_with_help(span, message, help),
            None => self.error(span, message),
        }
    }

    fn warning_with_help(
        &mut self,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let at = self.sources.locate(span);
        let diagnostic = Diagnostic::warning(at, message).with_help(help);
        self.diagnostics.push(diagnostic);
    }

    /// Whether this stands in a plugin of the Core Rule Set: plugins are written for every set of rules, so their
    /// exclusions may well fit nothing.
    fn is_plugin(&self, span: Span) -> bool {
        let folder = self.sources.path(span.file).parent();
        folder
            .and_then(Path::file_name)
            // The CRS documents this folder, and no directive tells a plugin from other rules.
            .is_some_and(|name| name == "plugins")
    }

    fn locate(&self, span: Span) -> Location {
        self.sources.locate(span)
    }
}

/// What the rules of one set share: literals, names, chains, target lists. Equal ones are stored once, which is what
/// lets values and transformations be found once for many rules.
#[derive(Default)]
pub(super) struct Shared {
    pub literals: Text,
    pub names: Names,
    pub chains: Chains,
    /// Paths of `XML:...` targets, each once.
    pub xml_paths: Vec<Arc<XmlPath>>,
    /// The claims that macros name; an empty name is all of them.
    pub claims: Vec<Box<[u8]>>,
    lists: HashMap<String, Arc<TargetList>>,
    files: HashMap<seclang::SourceId, Arc<Path>>,
}

impl Shared {
    fn template(&mut self, text: &str) -> Result<Template, (std::ops::Range<usize>, String)> {
        let names = &mut self.names;
        let mut slot = |name: &str| names.intern(name);
        let template = Template::compile(
            text,
            &mut Scope {
                literals: &mut self.literals,
                slot: &mut slot,
            },
        )?;
        self.claims.extend(template.claims().map(Into::into));
        Ok(template)
    }
}

/// Compiles directives; problems go to `report`. `exclusions_run`: what directives exclude is excluded by each
/// transaction.
pub(super) fn compile(
    directives: Vec<seclang::Directive>,
    variables: &[(String, String)],
    read: &dyn Fn(&Path) -> std::io::Result<Vec<u8>>,
    exclusions_run: bool,
    report: &mut Report<'_>,
) -> rules::Compiled {
    let mut settings = Settings::default();
    let mut said = settings::Said::default();
    let mut program = Program::default();
    program.exclusions_run = exclusions_run;
    for directive in directives {
        program.take(directive, &mut settings, &mut said, read, report);
    }
    // A file may end inside a chain, which only then is known to lack its last rule.
    program.close_chain(report);
    rules::compile(program, settings, said, variables, read, report)
}
