//! Rules that test what each step of their chain leaves (`multiMatch`).

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use super::clauses::Need;
use super::decoded::Decoded;
use super::head::{Head, LinkPlace};
use super::literals;
use crate::byteset::ByteSet;
use crate::rule::ChainId;
use crate::transform::{LiteralEffect, Transformation};

/// A rule that tests what each step of its chain leaves (`multiMatch`).
#[derive(Debug)]
pub(crate) struct AtSteps {
    pub bit: u16,
    pub link: LinkPlace,
    /// What it needs of a tested value.
    pub need: Need,
    /// The chain of each step.
    pub nodes: Box<[ChainId]>,
    /// What it needs of a value that is decoded in one of the steps.
    pub decoded: Option<Decoded>,
    /// Bytes that every tested value holds, as [`literals::core`] finds them.
    core: Option<Box<[u8]>>,
    steps: Steps,
}

/// Each with its own triggers.
pub(super) type Steps = Box<[(Transformation, ByteSet)]>;

impl AtSteps {
    pub(super) fn of(bit: u16, head: &Head<'_>) -> Self {
        Self {
            bit,
            link: head.place,
            need: head.need_of_tested.clone(),
            nodes: head.nodes.clone(),
            decoded: Decoded::of(head),
            core: head.literals().and_then(|all| literals::core(&all)),
            steps: steps_of(head),
        }
    }

    /// Whether the value lacks bytes that every match needs and that no step makes.
    pub(crate) fn lacks_core(&self, value: &[u8], present: &ByteSet) -> bool {
        let Some((core, &first)) = self.core.as_ref().and_then(|c| Some((c, c.first()?))) else {
            return false;
        };
        let mut present = *present;
        for (step, triggers) in &self.steps {
            if !triggers.intersects(&present) {
                continue;
            }
            // The step may make these bytes, so nothing is known.
            if step.effect_on_literals(&present) == LiteralEffect::Any {
                return false;
            }
            present = step.may_leave(present);
        }
        !memchr::memchr_iter(first, value).any(|at| value[at..].starts_with(core))
    }
}

pub(super) fn steps_of(head: &Head<'_>) -> Steps {
    head.steps.iter().map(|s| (*s, s.triggers())).collect()
}
