//! `@rx` with macros: patterns that are expanded and compiled when they are evaluated.
//!
//! Clients may choose parts of the text. So a pattern is measured before it is compiled, compiled only if there is time
//! for it, and the patterns that a rule keeps share one bound of memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use regex_automata::nfa::thompson::{self, NFA};
use regex_automata::util::syntax;

use super::Limit;
use super::pcre::{self, Engine, PatternOptions, Translation};
use super::rx::{Pattern, may_take};
use super::stepped::Memory;
use crate::steps;

/// Patterns that are kept for one rule; the oldest goes first.
const MOST_KEPT: usize = 64;

/// Bytes that all patterns kept for one rule may take, as [`Size`] reckons them.
const MOST_BYTES: usize = 16 << 20;

/// Bytes that one pattern may take.
const LARGEST: usize = 8 << 20;

/// The longest text, in bytes.
const LONGEST: usize = 16 * 1024;

/// The program and the automata of a pattern that needs no backtracking.
const LINEAR: Memory = Memory {
    program: 1 << 20,
    cache: 128 << 10,
};

/// The same for each part of a pattern that backtracks.
const BACKTRACKING: Memory = Memory {
    program: 64 << 10,
    cache: 32 << 10,
};

/// Bytes of the smallest state of a program.
const STATE: usize = 24;

/// The time to translate and measure a byte of a pattern, and to compile a state of it. Measured.
const MEASURED: Duration = Duration::from_micros(2);
const COMPILED: Duration = Duration::from_micros(2);

/// The patterns of one rule.
#[derive(Debug, Default)]
pub struct ExpandedPatterns {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The most recently compiled last.
    patterns: VecDeque<Expanded>,
    /// Of all patterns.
    bytes: usize,
}

#[derive(Debug)]
struct Expanded {
    text: Box<[u8]>,
    /// None if the text is no pattern: that is remembered too, so that a client cannot make the same text be compiled
    /// again and again.
    pattern: Option<Arc<Pattern>>,
    bytes: usize,
}

/// How large a pattern is when it is compiled.
#[derive(Debug, Clone, Copy)]
struct Size {
    states: usize,
    /// The program in both directions, and what one thread needs to search with it.
    bytes: usize,
}

impl ExpandedPatterns {
    /// The compiled pattern.
    ///
    /// # Errors
    /// It is too large or no regular expression: the values in it come from outside. Or there is no time to compile it.
    pub fn pattern(&self, text: &[u8]) -> Result<Arc<Pattern>, Limit> {
        if text.len() > LONGEST {
            return Err(Limit::ExpandedPattern);
        }
        if let Some(found) = self.kept().find(text) {
            return found.ok_or(Limit::ExpandedPattern);
        }
        // Compiled without the lock: other threads must not wait for it. Two threads may compile the same text; that is
        // harmless.
        let compiled = compile(text)?;
        let bytes = text.len() + compiled.as_ref().map_or(0, |(_, size)| size.bytes);
        let pattern = compiled.map(|(pattern, _)| Arc::new(pattern));
        self.kept().keep(Expanded {
            text: text.into(),
            pattern: pattern.clone(),
            bytes,
        });
        pattern.ok_or(Limit::ExpandedPattern)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn find(&self, text: &[u8]) -> Option<Option<Arc<Pattern>>> {
        let mut patterns = self.patterns.iter();
        let known = patterns.find(|known| *known.text == *text)?;
        Some(known.pattern.clone())
    }

    fn keep(&mut self, new: Expanded) {
        while self.patterns.len() >= MOST_KEPT || self.bytes + new.bytes > MOST_BYTES {
            let Some(oldest) = self.patterns.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes;
        }
        self.bytes += new.bytes;
        self.patterns.push_back(new);
    }
}

/// The compiled pattern with its size; None if the text is no pattern, or one that is too large.
///
/// # Errors
/// There is no time for it.
fn compile(text: &[u8]) -> Result<Option<(Pattern, Size)>, Limit> {
    steps::look()?;
    may_take(MEASURED, text.len())?;
    let Ok(translation) = pcre::translate(text, PatternOptions::default()) else {
        return Ok(None);
    };
    let (size, memory) = match translation.engine {
        Engine::Linear => (Size::of_linear(&translation), LINEAR),
        Engine::Backtracking => (Some(Size::of_backtracking(&translation)), BACKTRACKING),
    };
    let Some(size) = size.filter(|size| size.bytes <= LARGEST) else {
        return Ok(None);
    };
    may_take(COMPILED, size.states)?;
    let pattern = Pattern::of_translation(translation, memory).ok();
    Ok(pattern.map(|pattern| (pattern, size)))
}

impl Size {
    /// None if it is larger than a program may be.
    fn of_linear(translation: &Translation) -> Option<Self> {
        let program = NFA::compiler()
            .syntax(syntax::Config::new().utf8(false))
            .configure(
                thompson::Config::new()
                    .utf8(false)
                    .nfa_size_limit(Some(LINEAR.program)),
            )
            .build(&translation.source)
            .ok()?;
        let (states, slots) = (program.states().len(), program.group_info().slot_len());
        Some(Self {
            states,
            // The `regex` crate searches forwards and backwards, each with an automaton of its own; `Stepped` has a
            // third.
            bytes: 2 * program.memory_usage() + working_memory(states, slots) + 3 * LINEAR.cache,
        })
    }

    /// Reckoned from the text, rather too high: each byte is a few states, and only a counted repetition makes more of
    /// them, up to the limit of a part's program.
    fn of_backtracking(translation: &Translation) -> Self {
        let count = |byte: u8| translation.source.bytes().filter(|&b| b == byte).count();
        let (repetitions, groups) = (count(b'{'), count(b'(') + 1);
        let states = 4 * translation.source.len() + repetitions * (BACKTRACKING.program / STATE);
        Self {
            states,
            bytes: 2 * STATE * states + working_memory(states, 2 * groups) + 2 * BACKTRACKING.cache,
        }
    }
}

/// What a search of a program takes in each thread: two lists of its states, each with the slots of all groups. With
/// thousands of groups that is far more than the program itself.
fn working_memory(states: usize, slots: usize) -> usize {
    2 * states
        .saturating_mul(slots.saturating_add(2))
        .saturating_mul(size_of::<usize>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patterns_of_a_rule_take_bounded_memory() {
        let patterns = ExpandedPatterns::default();
        for number in 0..200 {
            // Of the largest that are accepted.
            let text = format!("(?:[ab]{{100}}){{120}}{number}");
            assert!(patterns.pattern(text.as_bytes()).is_ok(), "{text}");
            let kept = patterns.kept();
            assert!(kept.bytes <= MOST_BYTES, "{} bytes", kept.bytes);
            let sum: usize = kept.patterns.iter().map(|p| p.bytes).sum();
            assert_eq!(kept.bytes, sum);
        }
        assert!((2..MOST_KEPT).contains(&patterns.kept().patterns.len()));
        for number in 0..200 {
            assert!(patterns.pattern(format!("^{number}$").as_bytes()).is_ok());
        }
        let small = patterns.kept().patterns.len();
        assert!(small > 32, "small patterns keep their places: {small}");
    }

    #[test]
    fn a_pattern_that_is_too_large_is_refused() {
        let patterns = ExpandedPatterns::default();
        for text in [
            "(?:[ab]{1000}){100}".to_owned(),
            "(a|)".repeat(2000),
            "(?:(?=[ab]{999})c|){9}".repeat(100),
            format!("(?=a){}", "(a|[bc])".repeat(1000)),
        ] {
            for _ in 0..2 {
                let refused = patterns.pattern(text.as_bytes());
                assert_eq!(refused.err(), Some(Limit::ExpandedPattern), "{text}");
            }
        }
        let many: Vec<String> = (0..500).map(|n| format!("host-{n}\\.example")).collect();
        for text in [
            format!("^(?:{})$", many.join("|")),
            r"^(?!0)(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?<!\.0)$".to_owned(),
        ] {
            assert!(patterns.pattern(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn nothing_is_compiled_without_time() {
        let patterns = ExpandedPatterns::default();
        for limit in [
            steps::Limit::Looks(0),
            steps::Limit::Time(Duration::ZERO),
            steps::Limit::Time(Duration::from_micros(500)),
        ] {
            let text = "(?:[ab]{100}){100}";
            let (found, _) = steps::within(limit, || patterns.pattern(text.as_bytes()).err());
            assert_eq!(found, Some(Limit::Time), "{limit:?}");
            assert!(patterns.kept().patterns.is_empty(), "it is tried again");
        }
    }
}
