//! Targets: which values of a transaction a rule looks at.

use std::sync::Arc;

use crate::waf::operators::rx::Pattern;

use super::{Shape, Variable};

/// One target of a rule, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub variable: Variable,
    pub select: Select,
    /// `!`: removes what earlier targets selected.
    pub exclude: bool,
    /// `&`: yields the number of values instead of the values.
    pub count: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Select {
    All,
    /// Compared without regard to ASCII case.
    Key(Box<[u8]>),
    Regex(Arc<Pattern>),
    /// A `TX` name that is known at load.
    Slot(u32),
}

impl Select {
    pub(crate) fn matches(&self, key: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Key(k) => k.eq_ignore_ascii_case(key),
            // A selector that gives up selects: more is inspected, not less.
            Self::Regex(r) => r.is_match(key).unwrap_or(true),
            Self::Slot(_) => false,
        }
    }
}

/// All targets of a rule link; equal lists are shared.
#[derive(Debug)]
pub(crate) struct TargetList {
    /// Unique in the rule set.
    pub id: u32,
    pub targets: Box<[Target]>,
    /// Whether its values stay the same while a phase runs.
    pub stable: bool,
}

impl Target {
    /// Whether this (exclusion) covers a value selected through `variable` under `key`.
    pub(crate) fn covers(&self, variable: Variable, key: Option<&[u8]>, text: &[u8]) -> bool {
        if self.variable != variable {
            return false;
        }
        match (&self.select, variable.shape(), key) {
            (Select::All, _, _) => true,
            (select, Shape::Names, _) => select.matches(text),
            (select, _, Some(key)) => select.matches(key),
            (_, _, None) => false,
        }
    }
}
