//! What takes rules or their targets out, as the teams' own files write it: for tools that ask of what use it is.
//!
//! The exclusion packages of the Core Rule Set and its plugins are not listed: they are written for every server, so
//! that one without a use says nothing.

use std::fmt;

use seclang::Selector;
use seclang::diagnostic::Location;

use crate::operators::PatternOptions;
use crate::operators::rx::Pattern;
use crate::outcome::Phase;

/// An exclusion: a directive, or one `ctl` of a rule.
#[derive(Debug, Clone)]
pub struct Exclusion {
    /// Where it names the rules that it means.
    pub at: Location,
    /// As it is written, like `ctl:ruleRemoveById=942100` or `SecRuleRemoveById 942100`.
    pub written: String,
    /// What it does.
    pub kind: ExclusionKind,
    /// How it names rules.
    pub named_by: NamedBy,
    /// The rule whose `ctl` it is; None for a directive, which holds for every transaction.
    pub by: Option<ByRule>,
    /// The rules that it names, in load order. Among them are rules that a directive removed.
    pub rules: Vec<u64>,
    /// The targets that they do not look at; empty if it means the rules as a whole.
    pub targets: Vec<ExcludedTarget>,
    /// Those of `rules` for which it makes a difference: all, or those that look at one of the targets.
    pub concerned: Vec<u64>,
}

/// What an exclusion does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExclusionKind {
    /// The rules do not run.
    Rules,
    /// The rules do not look at the targets.
    Targets,
    /// The actions of the rule are others (`SecRuleUpdateActionById`).
    Actions,
    /// The rules stop nothing, or nothing runs (`ctl:ruleEngine`).
    Engine,
}

/// How an exclusion names rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// By their ids, or ranges of ids.
    Id,
    /// By a pattern for their tags.
    Tag,
    /// By a pattern for their messages.
    Message,
    /// It means all of them.
    All,
}

/// The rule that makes an exclusion while a transaction runs.
#[derive(Debug, Clone)]
pub struct ByRule {
    /// Its id.
    pub id: u64,
    /// Its phase.
    pub phase: Phase,
    /// What must hold before the exclusion does; empty if it always does.
    pub conditions: Vec<Condition>,
    /// Conditions of the same chain that come after it, and on which it does not depend.
    pub later_conditions: usize,
}

/// One link of a chain as its file writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What it looks at, like `REQUEST_FILENAME`.
    pub targets: String,
    /// `!` stands before the operator.
    pub is_negated: bool,
    /// In lower case, without `@`.
    pub operator: String,
    /// The operator's argument.
    pub argument: String,
    /// The transformations, those of the default included.
    pub transformations: Vec<String>,
}

/// A target that some rules do not look at.
#[derive(Debug, Clone)]
pub struct ExcludedTarget {
    /// The variable, in upper case.
    pub variable: String,
    /// Which of its values; None for all of them.
    pub selector: Option<Selector>,
    /// Whether one of the rules looks at such a value.
    pub is_looked_at: bool,
}

impl Exclusion {
    /// Whether everything that it does is done by `other` too, for every request.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let removes =
            |one: &Self| matches!(one.kind, ExclusionKind::Rules | ExclusionKind::Targets);
        let has_rules = self.rules.iter().all(|rule| other.rules.contains(rule));
        let has_target = |target| other.targets.iter().any(|own| own.covers(target));
        let has_targets = match (self.targets.is_empty(), other.targets.is_empty()) {
            // The other one takes out its rules as a whole.
            (_, true) => true,
            (true, false) => false,
            (false, false) => self.targets.iter().all(has_target),
        };
        let has_scope = match (&self.by, &other.by) {
            // A directive holds for every transaction.
            (_, None) => true,
            (None, Some(_)) => false,
            // The other one must hold as early, or this one keeps rules back before it.
            (Some(one), Some(other)) => one.phase >= other.phase && one.implies(other),
        };
        removes(self) && removes(other) && has_rules && has_targets && has_scope
    }
}

impl ByRule {
    /// Whether its conditions hold only where those of `other` do.
    fn implies(&self, other: &Self) -> bool {
        if self.conditions == other.conditions {
            return true;
        }
        // The same words about other links can mean different values in two chains.
        let is_free = |by: &Self| !by.conditions.iter().any(Condition::depends_on_others);
        let held = |wanted| self.conditions.iter().any(|own| own.implies(wanted));
        is_free(self) && is_free(other) && other.conditions.iter().all(held)
    }
}

impl Condition {
    /// Whether what it looks at depends on other links or rules.
    fn depends_on_others(&self) -> bool {
        let targets = self.targets.to_ascii_uppercase();
        // A name that merely holds these letters counts too: then less is said, and nothing wrong.
        targets.contains("MATCHED_") || targets.contains("TX")
    }

    fn implies(&self, other: &Self) -> bool {
        let is_plain = !self.is_negated && !other.is_negated;
        let begins = |operator: &str| matches!(operator, "streq" | "beginswith");
        let looks_at_the_same =
            self.targets == other.targets && self.transformations == other.transformations;
        // What a macro stands for is known only when it is expanded.
        let has_macro = self.argument.contains("%{") || other.argument.contains("%{");
        self == other
            || is_plain
                && !has_macro
                && looks_at_the_same
                && begins(&self.operator)
                && other.operator == "beginswith"
                // What is or begins with `/a/b` begins with `/a` as well.
                && self.argument.starts_with(&other.argument)
    }
}

impl ExcludedTarget {
    /// Whether it means every value that `other` means.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.variable == other.variable
            && match (&self.selector, &other.selector) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(own), Some(Selector::Name(name))) => selector_fits(own, name),
                // Of two patterns only equal ones are known to mean the same.
                (Some(own), Some(pattern)) => own == pattern,
            }
    }
}

impl fmt::Display for ExcludedTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.selector {
            None => f.write_str(&self.variable),
            Some(Selector::Name(name)) => write!(f, "{}:{name}", self.variable),
            Some(Selector::Regex(pattern)) => write!(f, "{}:/{pattern}/", self.variable),
        }
    }
}

/// Whether a selector means values of this name. A pattern that gives up means none, as for the exclusion itself.
pub(crate) fn selector_fits(selector: &Selector, name: &str) -> bool {
    match selector {
        Selector::Name(own) => own.eq_ignore_ascii_case(name),
        Selector::Regex(pattern) => {
            let options = PatternOptions {
                ignore_case: true,
                ..PatternOptions::default()
            };
            let pattern = Pattern::compile(pattern.as_bytes(), options);
            pattern.is_ok_and(|pattern| pattern.is_match(name.as_bytes()).unwrap_or(false))
        }
    }
}
