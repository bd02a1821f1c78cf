//! Targets: which values of a transaction a rule looks at.

use std::sync::{Arc, OnceLock};

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
    Regex(Arc<NamePattern>),
    /// A `TX` name that is known at load.
    Slot(u32),
}

impl Select {
    pub(crate) fn matches(&self, key: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Key(k) => k.eq_ignore_ascii_case(key),
            Self::Regex(r) => r.matches(key),
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
    /// The list's only target, where that is one `TX` variable.
    pub only_slot: Option<OnlySlot>,
}

/// `TX:name` or `&TX:name` alone: the commonest list of all, told apart so that it costs a look and no list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OnlySlot {
    pub slot: u32,
    pub count: bool,
}

impl OnlySlot {
    pub(crate) fn of(targets: &[Target]) -> Option<Self> {
        match targets {
            [
                Target {
                    select: Select::Slot(slot),
                    exclude: false,
                    count,
                    ..
                },
            ] => Some(Self {
                slot: *slot,
                count: *count,
            }),
            _ => None,
        }
    }
}

/// `/regex/` over names.
#[derive(Debug)]
pub(crate) struct NamePattern {
    pattern: Pattern,
    /// The rule set's own `TX` names that it fits, found out once.
    slots: OnceLock<Box<[u32]>>,
}

impl NamePattern {
    pub(crate) fn new(pattern: Pattern) -> Self {
        Self {
            pattern,
            slots: OnceLock::new(),
        }
    }

    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        // One that gives up selects: more is inspected, not less.
        self.pattern.is_match(name).unwrap_or(true)
    }

    /// Which of these names it fits; they must be the same at every call.
    pub(crate) fn slots<'n>(&self, names: impl Iterator<Item = &'n str>) -> &[u32] {
        self.slots.get_or_init(|| {
            let fits = (0..)
                .zip(names)
                .filter(|(_, name)| self.matches(name.as_bytes()));
            fits.map(|(slot, _)| slot).collect()
        })
    }

    pub(crate) fn source(&self) -> Option<&str> {
        self.pattern.source()
    }
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
