//! The filter of one phase, with rows as wide as its rules need.

use super::head::{Head, LinkPlace};
use super::row::WORDS;
use super::table::Filter;
use crate::rule::{Chains, Rule};

const SINGLE: usize = 1;
const NARROW: usize = 2;
const MEDIUM: usize = 4;

/// The prefilter of one phase.
#[derive(Debug)]
pub(crate) enum PhaseFilter {
    Single(Box<Filter<SINGLE>>),
    Narrow(Box<Filter<NARROW>>),
    Medium(Box<Filter<MEDIUM>>),
    Wide(Box<Filter<WORDS>>),
}

impl PhaseFilter {
    /// For these rules; None if there is nothing to filter. Rules that are too many for it always run.
    pub(crate) fn build<'r>(
        rules: impl Iterator<Item = (u32, &'r Rule)>,
        chains: &Chains,
    ) -> Option<Self> {
        let heads: Vec<Head<'r>> = rules
            .filter_map(|(index, rule)| Head::of(index, rule, chains))
            .take(WORDS * 64)
            .collect();
        match heads.len().div_ceil(64) {
            0 => None,
            SINGLE => Some(Self::Single(Box::new(Filter::of(&heads)))),
            NARROW => Some(Self::Narrow(Box::new(Filter::of(&heads)))),
            3..=MEDIUM => Some(Self::Medium(Box::new(Filter::of(&heads)))),
            _ => Some(Self::Wide(Box::new(Filter::of(&heads)))),
        }
    }

    /// The link of each bit.
    pub(crate) fn links(&self) -> &[LinkPlace] {
        match self {
            Self::Single(filter) => &filter.links,
            Self::Narrow(filter) => &filter.links,
            Self::Medium(filter) => &filter.links,
            Self::Wide(filter) => &filter.links,
        }
    }

    /// Bytes of memory it holds.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::Single(filter) => filter.memory(),
            Self::Narrow(filter) => filter.memory(),
            Self::Medium(filter) => filter.memory(),
            Self::Wide(filter) => filter.memory(),
        }
    }
}
