//! Runs every request through both rule sets, on all processors, and notes where they differ.
//!
//! What differs is noted as numbers only. The report reads such a request again, to explain it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::Sides;
use super::source::{NotReplayed, Recorded, Requests};
use crate::judgement::{DifferenceKind, Judgement, judge_request};
use crate::recorded::{Framing, Request};
use crate::review::chunks::{CHUNK, map_chunks};
use waf::RuleSet;

/// Bytes that a thread holds of requests, if one request alone is not larger.
const MOST_HELD: usize = 4 << 20;
/// With fewer requests than this the CPU time is measured over several rounds, since one would be mostly noise.
const ENOUGH: usize = 2000;
const MOST_ROUNDS: usize = 100;

/// What differs between two rule sets.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// How many requests there are.
    pub(crate) requests: usize,
    /// How many the rules did not see, because HTTP forbids them; the same under any rules.
    pub(crate) refused: usize,
    /// In the order of the requests.
    pub(crate) differences: Vec<Difference>,
    /// Requests with the same verdict and other matches.
    pub(crate) other_matches: usize,
    /// How many more times the candidate, and how many more times the live set, matched, by rule, in those requests.
    pub(crate) rules: BTreeMap<u64, (usize, usize)>,
    pub(crate) not_replayed: Vec<NotReplayed>,
    /// Of the processor, by candidate and live set.
    pub(crate) cpu: Pair<Duration>,
    /// How many requests it was spent on.
    pub(crate) measured: usize,
    /// What `--allow` names in vain.
    pub(crate) allowed_in_vain: Vec<String>,
}

/// The same of both rule sets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pair<T> {
    pub(crate) candidate: T,
    pub(crate) live: T,
}

/// A request that would be answered differently.
#[derive(Debug)]
pub(crate) struct Difference {
    /// Its place among the requests.
    pub(crate) at: usize,
    pub(crate) id: String,
    pub(crate) kind: DifferenceKind,
    /// The rules that make the difference; sorted.
    pub(crate) causes: Vec<u64>,
    /// `--allow` names it.
    pub(crate) allowed: bool,
}

impl Comparison {
    /// Compares all requests. Calls `done` with how many are done.
    pub(crate) fn of(
        sides: &Sides,
        requests: &dyn Requests,
        done: &(dyn Fn(usize) + Sync),
    ) -> Self {
        let total = requests.len();
        let rounds = (ENOUGH / total.max(1)).clamp(1, MOST_ROUNDS);
        let parts = map_chunks(total, done, |chunk| {
            compare_chunk(sides, requests, &chunk, rounds)
        });
        let mut whole = Self {
            requests: total,
            ..Self::default()
        };
        parts.into_iter().for_each(|part| whole.add(part));
        whole
    }

    fn add(&mut self, part: Self) {
        self.refused += part.refused;
        self.differences.extend(part.differences);
        self.other_matches += part.other_matches;
        for (rule, (more, fewer)) in part.rules {
            let count = self.rules.entry(rule).or_default();
            *count = (count.0 + more, count.1 + fewer);
        }
        self.not_replayed.extend(part.not_replayed);
        self.cpu.candidate += part.cpu.candidate;
        self.cpu.live += part.cpu.live;
        self.measured += part.measured;
    }

    /// Marks the differences that are meant: those of the requests that are named, and those of which every cause is.
    pub(crate) fn allow(&mut self, names: &[String]) {
        let rules: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
        let mut used = vec![false; names.len()];
        for difference in &mut self.differences {
            let named = |name: &String| is_called(&difference.id, name);
            let causes = &difference.causes;
            // A cause that nobody named is a change that nobody meant, also beside one that is allowed.
            let all_rules = !causes.is_empty() && causes.iter().all(|rule| rules.contains(rule));
            for (used, name) in used.iter_mut().zip(names) {
                // One cause of several was not named in vain, even where it alone allows nothing.
                let is_cause = name.parse().is_ok_and(|rule| causes.contains(&rule));
                *used |= named(name) || is_cause;
            }
            difference.allowed = all_rules || names.iter().any(named);
        }
        let unused = names.iter().zip(used).filter(|(_, used)| !used);
        self.allowed_in_vain = unused.map(|(name, _)| name.clone()).collect();
    }

    /// Whether nothing differs but what is allowed, and every request could be read.
    pub(crate) fn is_as_allowed(&self) -> bool {
        let unreadable = |found: &NotReplayed| matches!(found, NotReplayed::Unreadable(_));
        // A request that cannot be judged says nothing either way. A file that cannot be read may hide a difference.
        self.differences.iter().all(|difference| difference.allowed)
            && !self.not_replayed.iter().any(unreadable)
    }

    pub(crate) fn count(&self, kind: DifferenceKind) -> usize {
        let of_kind = self.differences.iter().filter(|d| d.kind == kind);
        of_kind.count()
    }
}

/// Whether a request is called so: by its whole id or by the last part of the path.
fn is_called(id: &str, name: &str) -> bool {
    id == name || id.rsplit('/').next() == Some(name)
}

fn compare_chunk(
    sides: &Sides,
    requests: &dyn Requests,
    chunk: &Range<usize>,
    rounds: usize,
) -> Comparison {
    let mut part = Comparison::default();
    let mut held: Vec<(usize, Recorded)> = Vec::with_capacity(CHUNK);
    let mut bytes = 0;
    // Which set runs first alternates: the second finds the requests in the processor's caches.
    let candidate_first = (chunk.start / CHUNK).is_multiple_of(2);
    for at in chunk.clone() {
        match requests.read(at) {
            Ok(recorded) if is_refused(&recorded.request) => part.refused += 1,
            Ok(recorded) => match sides.lack_claims_of(&recorded.request) {
                Some(why) => {
                    let id = recorded.id;
                    part.not_replayed
                        .push(NotReplayed::CannotBeJudged { id, why });
                }
                None => {
                    bytes += recorded.request.bytes();
                    held.push((at, recorded));
                }
            },
            Err(reason) => part.not_replayed.push(reason),
        }
        if bytes >= MOST_HELD {
            compare_held(sides, &held, candidate_first, rounds, &mut part);
            held.clear();
            bytes = 0;
        }
    }
    compare_held(sides, &held, candidate_first, rounds, &mut part);
    part
}

/// Whether the front door answers 400 or the like before any rule.
fn is_refused(request: &Request) -> bool {
    request.refusal().is_some() || request.framing() == Framing::Malformed
}

fn compare_held(
    sides: &Sides,
    held: &[(usize, Recorded)],
    candidate_first: bool,
    rounds: usize,
    part: &mut Comparison,
) {
    // The first of several rounds fills the caches and is not measured.
    let unmeasured = usize::from(rounds > 1);
    let mut verdicts = Pair::default();
    for round in 0..unmeasured + rounds {
        let (judgements, cpu) = judge_both(sides, held, candidate_first);
        // Every round has the same verdicts, because both sets run without a time budget.
        if round == 0 {
            verdicts = judgements;
        }
        if round >= unmeasured {
            part.cpu.candidate += cpu.candidate;
            part.cpu.live += cpu.live;
            part.measured += held.len();
        }
    }
    let verdicts = verdicts.candidate.iter().zip(&verdicts.live);
    for ((at, recorded), (candidate, live)) in held.iter().zip(verdicts) {
        part.note(*at, &recorded.id, candidate, live);
    }
}

fn judge_both(
    sides: &Sides,
    held: &[(usize, Recorded)],
    candidate_first: bool,
) -> (Pair<Vec<Judgement>>, Pair<Duration>) {
    let run = |rules| judge_all(rules, held);
    let (candidate, live) = match candidate_first {
        true => {
            let candidate = run(&sides.candidate);
            (candidate, run(&sides.live))
        }
        false => {
            let live = run(&sides.live);
            (run(&sides.candidate), live)
        }
    };
    let judgements = Pair {
        candidate: candidate.0,
        live: live.0,
    };
    let cpu = Pair {
        candidate: candidate.1,
        live: live.1,
    };
    (judgements, cpu)
}

/// What a rule set made of each request, and the processor's time for all of them.
fn judge_all(rules: &Arc<RuleSet>, held: &[(usize, Recorded)]) -> (Vec<Judgement>, Duration) {
    let begun = cpu_time();
    let requests = held.iter().map(|(_, recorded)| &recorded.request);
    let judgements = requests.map(|request| judge(rules, request)).collect();
    (judgements, cpu_time().saturating_sub(begun))
}

/// What this thread has had of a processor, so that other programs and threads do not count.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}

fn judge(rules: &Arc<RuleSet>, request: &Request) -> Judgement {
    // What HTTP forbids was left out before: both sets would say the same of it.
    let Some(mut transaction) = request.begin(rules, "replay") else {
        return Judgement::default();
    };
    judge_request(&mut transaction, request.body());
    Judgement::of(&transaction)
}

impl Comparison {
    fn note(&mut self, at: usize, id: &str, candidate: &Judgement, live: &Judgement) {
        let Some(kind) = DifferenceKind::between(candidate, live) else {
            return self.note_matches(candidate, live);
        };
        let causes = kind.causes(candidate, live);
        self.differences.push(Difference {
            at,
            id: id.to_owned(),
            kind,
            causes,
            allowed: false,
        });
    }

    /// Notes rules that only one matched, of a request with the same verdict.
    fn note_matches(&mut self, candidate: &Judgement, live: &Judgement) {
        // Nearly all requests end here, before each match is compared with each.
        if candidate.matches == live.matches {
            return;
        }
        let (more, fewer) = (
            candidate.matches_not_in(live),
            live.matches_not_in(candidate),
        );
        if more.is_empty() && fewer.is_empty() {
            return;
        }
        self.other_matches += 1;
        for found in more {
            self.rules.entry(found.rule).or_default().0 += 1;
        }
        for found in fewer {
            self.rules.entry(found.rule).or_default().1 += 1;
        }
    }
}
