//! Rules that set a `TX` variable for each of their values and then look for all of them in a list.
//!
//! The CRS looks for the names of header fields in this way. Nearly always none is in the list, and nothing reads the
//! variables afterwards. Such a rule is recognised at load, so that a transaction can look into the list first, and set
//! the variables only when something reads them.

use super::{Chains, Change, Effect, Place, Rule, Test};
use crate::macros::{Macro, Part, Template};
use crate::names::{CAPTURE_SLOTS, Names};
use crate::operators::Operator;
use crate::transform::Transformation;
use crate::variables::{Select, Slice, Target, Text, Variable};

/// What such a rule does with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listing {
    /// The name of its variable is this and the value.
    pub name: Slice,
    /// The variable holds the value between these two.
    pub before: Slice,
    pub after: Slice,
    /// Values are in lower case.
    pub lower: bool,
    /// The `TX` variable with the list.
    pub list: u32,
}

impl Listing {
    /// None for any other rule.
    pub(crate) fn of(rule: &Rule, literals: &Text, names: &Names, chains: &Chains) -> Option<Self> {
        let [first, second] = &*rule.links else {
            return None;
        };
        let lower = takes_values(first.test.as_ref()?, chains)?;
        let [
            Effect::SetVariable {
                place: Place::Named(Template::Parts(name)),
                change: Change::Set(Template::Parts(value)),
            },
        ] = &*first.effects
        else {
            return None;
        };
        // `TX:0` is the whole value, as the first link captures it.
        let [Part::Literal(name), Part::Macro(Macro::Tx(0))] = &**name else {
            return None;
        };
        let [
            Part::Literal(before),
            Part::Macro(Macro::Tx(0)),
            Part::Literal(after),
        ] = &**value
        else {
            return None;
        };
        let list = looks_up(second.test.as_ref()?, literals.at(*name))?;
        // A variable that rules spell out has a slot, from which it can be read at any time.
        let begins = |known: &str| begin_alike(known.as_bytes(), literals.at(*name));
        (!names.iter().any(begins)).then_some(Self {
            name: *name,
            before: *before,
            after: *after,
            lower,
            list,
        })
    }
}

/// Whether one of two names begins with the other, whatever the case of ASCII letters.
pub(crate) fn begin_alike(one: &[u8], other: &[u8]) -> bool {
    let both = one.len().min(other.len());
    let starts = one.get(..both).zip(other.get(..both));
    starts.is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
}

/// Whether values are taken in lower case; None if the test does anything but capture whole values.
fn takes_values(test: &Test, chains: &Chains) -> Option<bool> {
    let is_whole = matches!(&test.operator, Operator::Rx(pattern) if pattern.is_whole());
    let takes = is_whole && test.capture && !test.negated && !test.multi_match;
    if !takes || !test.targets.stable {
        return None;
    }
    match *chains.steps(test.chain) {
        [] => Some(false),
        [(_, Transformation::Lowercase)] => Some(true),
        _ => None,
    }
}

/// The `TX` variable with the list in which the variables of this `name` are looked for; None if the test does anything
/// else.
fn looks_up(test: &Test, name: &[u8]) -> Option<u32> {
    let is_plain = test.chain == 0 && !test.negated && !test.multi_match && !test.capture;
    let [
        Target {
            variable: Variable::Tx,
            select: Select::Regex(pattern),
            exclude: false,
            count: false,
        },
    ] = &*test.targets.targets
    else {
        return None;
    };
    let Template::Parts(argument) = &test.argument else {
        return None;
    };
    let [Part::Macro(Macro::Tx(list))] = **argument else {
        return None;
    };
    let looks = matches!(test.operator, Operator::Within)
        && is_plain
        // It must select all of these variables and no other.
        && pattern.is_prefix(name)
        // The first slots are captures, which change with each value.
        && list as usize >= CAPTURE_SLOTS;
    looks.then_some(list)
}
