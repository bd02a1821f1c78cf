//! `@rx`: regular expressions, compiled as ModSecurity v2 does (a dot matches all bytes, `$` matches only at the very
//! end).
//!
//! Most patterns run in linear time. Look-around and back-references need backtracking, which is limited in steps and
//! in the length of the value. A search that reaches a limit is an error, never "no match".

use std::ops::Range;
use std::time::Duration;

use super::pcre::{self, Engine, PatternOptions, Translation};
use super::stepped::{CACHE_LIMIT, End, Memory, PROGRAM_LIMIT, Stepped};
use super::{Captures, CompileError, Limit};
use crate::steps::{self, STEP};

/// Steps of backtracking in one value, for a pattern whose repetitions are bounded.
const BACKTRACK_LIMIT: usize = 1_000_000;

/// The same for a pattern that can repeat without bound: each step may scan the whole rest of the value.
const UNBOUNDED_LIMIT: usize = 100_000;

/// The longest value for such a pattern, in bytes.
const UNBOUNDED_LENGTH: usize = 16 * 1024;

/// The most time that a search which cannot be interrupted takes for a byte. Measured with a large pattern of which all
/// states are walked, and for each step of one that backtracks.
const SEARCHED: Duration = Duration::from_nanos(100);

/// The number of groups that rules can see: TX.0 to TX.9.
const GROUPS: usize = 10;

/// A compiled regular expression in PCRE's syntax over bytes.
#[derive(Debug)]
pub struct Pattern {
    source: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// `^.*$`: the dot matches all bytes, so it matches every value whole, without a search.
    Whole(regex::bytes::Regex),
    Linear {
        regex: regex::bytes::Regex,
        /// For values longer than a step, which must be interruptible.
        stepped: Stepped,
    },
    Backtracking {
        regex: Box<fancy_regex::Regex>,
        length: usize,
    },
}

impl Pattern {
    /// # Errors
    /// What PCRE would refuse, what needs more than bytes (Unicode properties), and recursion.
    pub fn compile(pattern: &[u8], options: PatternOptions) -> Result<Self, CompileError> {
        let translation = pcre::translate(pattern, options).map_err(|e| CompileError {
            message: e.message,
            help: None,
            at: Some(e.at),
        })?;
        let memory = Memory {
            program: PROGRAM_LIMIT,
            cache: CACHE_LIMIT,
        };
        let mut compiled = Self::of_translation(translation, memory)?;
        // Rules write it to capture a whole value.
        if pattern == b"^.*$"
            && options == PatternOptions::default()
            && let Kind::Linear { regex, .. } = compiled.kind
        {
            compiled.kind = Kind::Whole(regex);
        }
        Ok(compiled)
    }

    /// # Errors
    /// The pattern is too large.
    pub(super) fn of_translation(
        translation: Translation,
        memory: Memory,
    ) -> Result<Self, CompileError> {
        let source = translation.source;
        let kind = match translation.engine {
            Engine::Linear => Kind::Linear {
                regex: regex::bytes::RegexBuilder::new(&source)
                    .size_limit(memory.program)
                    .dfa_size_limit(memory.cache)
                    .build()
                    .map_err(|e| refused(&e))?,
                stepped: Stepped::new(memory),
            },
            Engine::Backtracking => {
                let (steps, length) = if translation.unbounded {
                    (UNBOUNDED_LIMIT, UNBOUNDED_LENGTH)
                } else {
                    // The steps alone bound the work, however long the value.
                    (BACKTRACK_LIMIT, usize::MAX)
                };
                let regex = fancy_regex::RegexBuilder::new(&source)
                    .bytes_mode(fancy_regex::BytesMode::Ascii)
                    .unicode_mode(false)
                    .backtrack_limit(steps)
                    .delegate_size_limit(memory.program)
                    .delegate_dfa_size_limit(memory.cache)
                    .build()
                    .map_err(|e| refused(&e))?;
                Kind::Backtracking {
                    regex: Box::new(regex),
                    length,
                }
            }
        };
        Ok(Self { source, kind })
    }

    /// The pattern in the syntax of `regex::bytes`, flags included; None for one that needs backtracking.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        matches!(self.kind, Kind::Linear { .. } | Kind::Whole(_)).then_some(self.source.as_str())
    }

    /// Whether it matches every value, and all of it.
    #[must_use]
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.kind, Kind::Whole(_))
    }

    /// Whether it occurs in the value.
    ///
    /// # Errors
    /// A backtracking pattern reached its limit, or there is no time left.
    pub fn is_match(&self, value: &[u8]) -> Result<bool, Limit> {
        match &self.kind {
            Kind::Whole(_) => Ok(true),
            Kind::Linear { regex, stepped } => {
                if value.len() > STEP {
                    return self.is_in_long(regex, stepped, value);
                }
                Ok(regex.is_match(value))
            }
            Kind::Backtracking { regex, length } => {
                guard(value, *length)?;
                regex.is_match(value).map_err(|_| Limit::Backtracking)
            }
        }
    }

    fn is_in_long(
        &self,
        regex: &regex::bytes::Regex,
        stepped: &Stepped,
        value: &[u8],
    ) -> Result<bool, Limit> {
        match stepped.find(&self.source, value, End::Earliest) {
            Ok(found) => Ok(found.is_some()),
            Err(Some(limit)) => Err(limit),
            Err(None) => {
                may_search(value.len())?;
                Ok(regex.is_match(value))
            }
        }
    }

    /// The first occurrence that begins at `start` or after; what is before `start` is still looked at by
    /// `^`, `\b` and look-behinds.
    ///
    /// # Errors
    /// A backtracking pattern reached its limit.
    pub fn find_at(&self, value: &[u8], start: usize) -> Result<Option<Range<usize>>, Limit> {
        if start > value.len() {
            return Ok(None);
        }
        match &self.kind {
            Kind::Linear { regex, .. } | Kind::Whole(regex) => {
                may_search(value.len() - start)?;
                Ok(regex.find_at(value, start).map(|m| m.range()))
            }
            Kind::Backtracking { regex, length } => {
                guard(value, *length)?;
                let input = fancy_regex::RegexInput::new(value).from_pos(start);
                regex
                    .find_input(input)
                    .map(|found| found.map(|m| m.range()))
                    .map_err(|_| Limit::Backtracking)
            }
        }
    }

    /// The first occurrence, if it ends among the first `most` bytes.
    ///
    /// # Errors
    /// A backtracking pattern reached its limit.
    pub(super) fn find_among(
        &self,
        value: &[u8],
        most: usize,
    ) -> Result<Option<Range<usize>>, Limit> {
        if value.len() > STEP {
            // A search that cannot be interrupted runs only where it ends early: it must not use up the time of the
            // rules behind.
            let end = match &self.kind {
                Kind::Linear { stepped, .. } => stepped.find(&self.source, value, End::OfMatch),
                Kind::Whole(_) | Kind::Backtracking { .. } => return Ok(None),
            };
            return match (end, &self.kind) {
                (Ok(Some(end)), Kind::Linear { regex, .. }) if end <= most => {
                    Ok(regex.find(value).map(|found| found.range()))
                }
                (Err(Some(limit)), _) => Err(limit),
                _ => Ok(None),
            };
        }
        let found = self.find_at(value, 0)?;
        Ok(found.filter(|found| found.end <= most))
    }

    /// As [`Pattern::is_match`], and what its groups held.
    ///
    /// # Errors
    /// A backtracking pattern reached its limit.
    pub fn captures(&self, value: &[u8], captures: &mut Captures) -> Result<bool, Limit> {
        match &self.kind {
            Kind::Whole(_) => {
                captures.clear();
                captures.push(Some(0..value.len()));
                Ok(true)
            }
            Kind::Linear { regex, stepped } => {
                // Most values do not match. A search without groups is much faster and answers that.
                if value.len() > STEP {
                    match stepped.find(&self.source, value, End::OfMatch) {
                        Ok(None) => return Ok(false),
                        // A search with groups ends where the match ends.
                        Ok(Some(end)) => may_search(end)?,
                        Err(Some(limit)) => return Err(limit),
                        Err(None) => may_search(value.len())?,
                    }
                } else if !regex.is_match(value) {
                    return Ok(false);
                }
                let Some(found) = regex.captures(value) else {
                    return Ok(false);
                };
                fill(captures, found.iter().map(|g| g.map(|m| m.range())));
                Ok(true)
            }
            Kind::Backtracking { regex, length } => {
                guard(value, *length)?;
                let found = regex.captures(value).map_err(|_| Limit::Backtracking)?;
                let Some(found) = found else {
                    return Ok(false);
                };
                fill(captures, found.iter().map(|g| g.map(|m| m.range())));
                Ok(true)
            }
        }
    }
}

/// Whether there is time for a search of so many bytes or steps that cannot be interrupted. If not, it is not begun.
fn may_search(length: usize) -> Result<(), Limit> {
    match length > STEP {
        true => may_take(SEARCHED, length),
        false => Ok(()),
    }
}

/// Whether there is time for `count` times `cost`.
pub(super) fn may_take(cost: Duration, count: usize) -> Result<(), Limit> {
    let cost = cost.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
    if steps::exceeds(cost) {
        return Err(steps::give_up().into());
    }
    Ok(())
}

impl Pattern {
    /// `@rxGlobal`: as [`Pattern::is_match`], and what the groups of every occurrence held, one occurrence after the
    /// other, as far as captures go.
    ///
    /// # Errors
    /// A backtracking pattern reached its limit.
    pub(super) fn captures_of_all(
        &self,
        value: &[u8],
        captures: &mut Captures,
    ) -> Result<bool, Limit> {
        let (mut start, mut matched) = (0, false);
        let mut groups = Vec::new();
        // Rules cannot see further groups, so the search ends with them.
        // An empty match may stand behind the last byte.
        while start <= value.len() && groups.len() < GROUPS {
            let before = groups.len();
            may_search(value.len() - start)?;
            match &self.kind {
                Kind::Linear { regex, .. } | Kind::Whole(regex) => {
                    let found = regex.captures_at(value, start);
                    let found = found.iter().flat_map(|found| found.iter());
                    groups.extend(found.map(|g| g.map(|m| m.range())));
                }
                Kind::Backtracking { regex, length } => {
                    guard(value, *length)?;
                    let input = fancy_regex::RegexInput::new(value).from_pos(start);
                    let found = regex.captures_input(input);
                    let found = found.map_err(|_| Limit::Backtracking)?;
                    let found = found.iter().flat_map(|found| found.iter());
                    groups.extend(found.map(|g| g.map(|m| m.range())));
                }
            }
            let Some(whole) = groups.get(before).cloned().flatten() else {
                break;
            };
            matched = true;
            // After an empty match one byte further, or the loop would find it again for ever.
            start = whole.end + usize::from(whole.is_empty());
        }
        if matched {
            fill(captures, groups.into_iter());
        }
        Ok(matched)
    }
}

fn fill(captures: &mut Captures, groups: impl Iterator<Item = Option<Range<usize>>>) {
    captures.clear();
    for group in groups.take(GROUPS) {
        captures.push(group);
    }
    captures.drop_absent_end();
}

fn guard(value: &[u8], length: usize) -> Result<(), Limit> {
    if value.len() > length {
        return Err(Limit::Length {
            length: value.len(),
            limit: length,
        });
    }
    // The limit of steps bounds a search in a longer value.
    may_search(value.len().min(BACKTRACK_LIMIT))
}

fn refused(error: &dyn std::fmt::Display) -> CompileError {
    CompileError {
        message: format!("the pattern cannot be compiled: {error}"),
        help: None,
        at: None,
    }
}
