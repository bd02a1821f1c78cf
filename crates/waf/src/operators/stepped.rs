//! Searches long values for a pattern, in steps that can end.
//!
//! The `regex` crate searches a value in one go, and if its fast paths give up on a hostile value, it walks all states
//! for each byte. This drives only the lazily built automaton, byte by byte: it is linear, it ends when there is no
//! time left, and it never falls back to something slower.

use std::sync::{Mutex, OnceLock, PoisonError};

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind, nfa::thompson};

use super::Limit;
use crate::steps;

/// The most memory that a pattern may take, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Its compiled program. A pattern that backtracks has several, one for each of its parts that need no backtracking.
    pub program: usize,
    /// Each of its lazily built automata.
    pub cache: usize,
}

/// The most memory that one compiled pattern may take, in bytes. The largest of the CRS takes half a megabyte.
pub(super) const PROGRAM_LIMIT: usize = 16 << 20;

/// The most memory a pattern's lazily built automaton may take in each thread, in bytes.
pub(super) const CACHE_LIMIT: usize = 1 << 20;

/// Bytes between two looks at the clock. A state that was not seen before costs a microsecond.
const PIECE: usize = 2 * 1024;
/// The cost of a byte compared with other work.
const WEIGHT: usize = 8;

/// The automaton of a pattern, built when the first long value arrives: most patterns never see one.
#[derive(Debug)]
pub(super) struct Stepped {
    memory: Memory,
    /// None for a pattern that has no such automaton.
    automaton: OnceLock<Option<Box<Automaton>>>,
}

#[derive(Debug)]
struct Automaton {
    dfa: DFA,
    /// The states that an earlier search found. A search takes the cache out, so that no thread waits for another; a
    /// second one at the same time begins with an empty cache.
    cache: Mutex<Option<Cache>>,
}

/// Which end is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The first place that is the end of a match.
    Earliest,
    /// Where the match ends that a search with groups would give.
    OfMatch,
}

impl Stepped {
    pub(super) fn new(memory: Memory) -> Self {
        Self {
            memory,
            automaton: OnceLock::new(),
        }
    }

    /// Where a match ends; None if there is none. `Err(None)`: the pattern cannot be searched for like this.
    pub(super) fn find(
        &self,
        source: &str,
        value: &[u8],
        end: End,
    ) -> Result<Option<usize>, Option<Limit>> {
        let automaton = self
            .automaton
            .get_or_init(|| Automaton::new(source, self.memory).map(Box::new));
        let automaton = automaton.as_ref().ok_or(None)?;
        let mut cache = automaton.take_cache();
        let found = automaton.find(&mut cache, value, end);
        automaton.keep_cache(cache);
        found
    }
}

impl Automaton {
    /// In the syntax of `regex::bytes`.
    fn new(source: &str, memory: Memory) -> Option<Self> {
        let dfa = DFA::builder()
            .configure(
                DFA::config()
                    .match_kind(MatchKind::LeftmostFirst)
                    .cache_capacity(memory.cache)
                    // A very large pattern needs more than the limit; then the cache has the least size that works,
                    // instead of an error.
                    .skip_cache_capacity_check(true),
            )
            .syntax(syntax::Config::new().utf8(false))
            .thompson(
                thompson::Config::new()
                    .utf8(false)
                    .nfa_size_limit(Some(memory.program)),
            )
            .build(source)
            .ok()?;
        Some(Self {
            dfa,
            cache: Mutex::new(None),
        })
    }

    fn take_cache(&self) -> Cache {
        let kept = self
            .cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        kept.unwrap_or_else(|| self.dfa.create_cache())
    }

    fn keep_cache(&self, cache: Cache) {
        *self.cache.lock().unwrap_or_else(PoisonError::into_inner) = Some(cache);
    }

    fn find(
        &self,
        cache: &mut Cache,
        value: &[u8],
        wanted: End,
    ) -> Result<Option<usize>, Option<Limit>> {
        // Neither of the two causes of an error can occur: a Unicode word boundary is refused when the automaton is
        // built, and a full cache is emptied, because no limit on that is set.
        let stuck = |_| None;
        let dfa = &self.dfa;
        let mut state = dfa
            .start_state_forward(cache, &Input::new(value))
            .map_err(|_| None)?;
        let mut last = None;
        for (number, piece) in value.chunks(PIECE).enumerate() {
            steps::work(WEIGHT * piece.len()).map_err(|_| Some(Limit::Time))?;
            for (at, &byte) in piece.iter().enumerate() {
                state = dfa.next_state(cache, state, byte).map_err(stuck)?;
                if !state.is_tagged() {
                    continue;
                }
                if state.is_match() {
                    // The automaton reports a match one byte after its end.
                    last = Some(number * PIECE + at);
                    if wanted == End::Earliest {
                        return Ok(last);
                    }
                } else if state.is_dead() {
                    return Ok(last);
                } else if state.is_quit() {
                    return Err(None);
                }
            }
        }
        state = dfa.next_eoi_state(cache, state).map_err(stuck)?;
        if state.is_match() {
            last = Some(value.len());
        }
        Ok(last)
    }
}
