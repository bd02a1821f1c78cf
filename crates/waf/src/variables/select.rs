//! Targets: which values of a transaction a rule looks at.

use std::sync::{Arc, OnceLock};

use crate::operators::Limit;
use crate::operators::rx::Pattern;
use crate::prefilter::required_literals;

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
    /// A path into an XML document: its place among the rule set's.
    Path(u32),
}

impl Select {
    pub(crate) fn matches(&self, key: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Key(k) => k.eq_ignore_ascii_case(key),
            Self::Regex(r) => r.matches(key),
            // Their values are found by an index and never compared by name.
            Self::Slot(_) | Self::Path(_) => false,
        }
    }

    /// The same for an exclusion. A pattern that reaches a limit excludes nothing: otherwise a client could get out of
    /// a rule.
    fn surely_matches(&self, key: &[u8]) -> bool {
        match self {
            Self::Regex(r) => r.surely_matches(key),
            other => other.matches(key),
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
    /// The list's only target, if that is one `TX` variable.
    pub only_slot: Option<OnlySlot>,
}

/// `TX:name` or `&TX:name` alone: the most frequent list. It gets a fast path that makes no list of values.
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

/// Bytes. Longer names are searched with the pattern.
const SHORT_NAME: usize = 128;
/// Literals of a pattern that are looked for first.
const MOST_LITERALS: usize = 4;

/// `/regex/` over names.
#[derive(Debug)]
pub(crate) struct NamePattern {
    /// Every name that it matches begins like this, whatever the case of ASCII letters. Most names fail here, without a
    /// search.
    prefix: Box<[u8]>,
    /// The prefix is the whole pattern.
    plain: bool,
    /// One of these occurs in every name that it matches, in whatever case; none if nothing is known.
    needs: Box<[Box<[u8]>]>,
    pattern: Pattern,
    /// The `TX` names of the rule set that it matches, found once.
    slots: OnceLock<Box<[u32]>>,
}

impl NamePattern {
    /// `pattern` is what `text` says, without regard to ASCII case.
    pub(crate) fn new(pattern: Pattern, text: &str) -> Self {
        let (prefix, rest) = plain_prefix(text);
        Self {
            prefix: prefix.as_bytes().into(),
            plain: rest.is_empty(),
            needs: literals_of(&pattern),
            pattern,
            slots: OnceLock::new(),
        }
    }

    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        // A pattern that reaches a limit selects the name: more is inspected, not less.
        self.fits(name).unwrap_or(true)
    }

    fn surely_matches(&self, name: &[u8]) -> bool {
        self.fits(name).unwrap_or(false)
    }

    fn fits(&self, name: &[u8]) -> Result<bool, Limit> {
        let begins = name
            .get(..self.prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(&self.prefix));
        match begins {
            true if self.plain => Ok(true),
            true if !self.may_match(name) => Ok(false),
            true => self.pattern.is_match(name),
            false => Ok(false),
        }
    }

    /// Whether the name holds what the pattern needs. Cheaper than the pattern for a short name.
    fn may_match(&self, name: &[u8]) -> bool {
        let holds = |literal: &[u8]| {
            let first = literal.first().copied().unwrap_or_default();
            let (lower, upper) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
            memchr::memchr2_iter(lower, upper, name).any(|at| {
                let place = name.get(at..at + literal.len());
                place.is_some_and(|place| place.eq_ignore_ascii_case(literal))
            })
        };
        let is_known = !self.needs.is_empty() && name.len() <= SHORT_NAME;
        !is_known || self.needs.iter().any(|literal| holds(literal))
    }

    /// Which of these names it matches; they must be the same at every call.
    pub(crate) fn slots<'n>(&self, names: impl Iterator<Item = &'n str>) -> &[u32] {
        self.slots.get_or_init(|| {
            let fits = (0..)
                .zip(names)
                .filter(|(_, name)| self.matches(name.as_bytes()));
            fits.map(|(slot, _)| slot).collect()
        })
    }

    /// Whether it matches the names that begin like this, and no others.
    pub(crate) fn is_prefix(&self, start: &[u8]) -> bool {
        self.plain && self.prefix.eq_ignore_ascii_case(start)
    }

    pub(crate) fn source(&self) -> Option<&str> {
        self.pattern.source()
    }
}

/// The literals of which one occurs in every match, if they are few.
fn literals_of(pattern: &Pattern) -> Box<[Box<[u8]>]> {
    let found = pattern.source().and_then(required_literals);
    let few = found.filter(|all| all.len() <= MOST_LITERALS && all.iter().all(|l| !l.is_empty()));
    let all = few.unwrap_or_default();
    all.into_iter().map(Vec::into_boxed_slice).collect()
}

/// The plain text with which an anchored pattern begins, and the rest; all of the pattern is rest if there is no such
/// text.
fn plain_prefix(text: &str) -> (&str, &str) {
    // With alternatives the anchor applies to the first one only.
    let Some(anchored) = text.strip_prefix('^').filter(|rest| !rest.contains('|')) else {
        return ("", text);
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':');
    let end = anchored.find(|c| !is_plain(c)).unwrap_or(anchored.len());
    match anchored[end..].chars().next() {
        // A quantifier applies to the last character, which then need not be there.
        Some('?' | '*' | '+' | '{') => anchored.split_at(end.saturating_sub(1)),
        _ => anchored.split_at(end),
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
            // A value of such a collection is a name itself and stands under no key.
            (select, Shape::Names, _) => select.surely_matches(text),
            (select, _, Some(key)) => select.surely_matches(key),
            // A value without a name can only be excluded by its bare variable.
            (_, _, None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::PatternOptions;

    #[test]
    fn a_prefix_changes_nothing() {
        let options = PatternOptions {
            ignore_case: true,
            ..PatternOptions::default()
        };
        for (text, prefix) in [
            ("^_pk_ref", "_pk_ref"),
            ("^_ga(?:_\\w+)?$", "_ga"),
            ("^ab*", "a"),
            ("^a{2}", ""),
            ("^ab|c", ""),
            ("^", ""),
            ("", ""),
            ("a_", ""),
            ("^a:b-1$", "a:b-1"),
            ("^a.c", "a"),
            ("MULTI_NAMES_*", ""),
            ("^a.*(?:[xX]first|second).", ""),
        ] {
            let plain = Pattern::compile(text.as_bytes(), options).unwrap();
            let compiled = Pattern::compile(text.as_bytes(), options).unwrap();
            let pattern = NamePattern::new(compiled, text);
            assert_eq!(&*pattern.prefix, prefix.as_bytes(), "{text}");
            for name in [
                "",
                "a",
                "A",
                "ab",
                "abb",
                "aa",
                "AAc",
                "c",
                "xc",
                "_ga",
                "_GA_1",
                "_gax",
                "_pk_ref.1",
                "_PK_REF",
                "x_pk_ref",
                "a_",
                "b",
                "a:b-1",
                "A:B-1x",
                "a\nc",
                "multi_name",
                "x_Multi_namesmulti_names",
                "mmulti_nameS__",
                "a-xFIRST",
                "AXfirsT_",
                "a second!",
            ] {
                let expected = plain.is_match(name.as_bytes()).unwrap();
                assert_eq!(
                    pattern.matches(name.as_bytes()),
                    expected,
                    "{text} {name:?}"
                );
            }
        }
    }
}
