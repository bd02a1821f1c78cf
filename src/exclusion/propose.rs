//! From a blocked request to exclusions that were tried.

use std::fmt;
use std::sync::Arc;

use waf::{EngineMode, RuleSet};

use super::candidates::{Candidate, Kind, Variants, needs};
use super::credentials::without_credentials;
use super::probes::{Probe, Probes, Question, places};
use super::proof::Proof;
use super::scope::Scope;
use super::trial::Trial;
use crate::recorded::Request;

/// Compiles the rules of a policy in this mode, with this text in the place of its exclusions.
pub type Compile<'c, E> = &'c dyn Fn(EngineMode, &str) -> Result<Arc<RuleSet>, E>;

/// What can be done about a blocked request.
#[derive(Debug)]
pub struct Proposals {
    /// The rule that stops it.
    pub stopped_by: u64,
    /// The requests that the exclusions are for.
    pub scope: Scope,
    /// Each with what was found out of it: those that hold first, then those that open nothing beyond their own class,
    /// then the narrowest.
    pub candidates: Vec<(Candidate, Proof)>,
    pub(super) probes: Probes,
}

/// Why there are no proposals.
#[derive(Debug)]
pub enum ProposeError<E> {
    /// No rule stops the request.
    Passes,
    /// The engine itself refuses it, for example because its body cannot be read.
    NotByRules,
    /// Only evaluation, or no rule that was asked for, stops it.
    NoCandidate {
        /// The rule that was asked for.
        only: Option<u64>,
        /// The rules that matched.
        matched: Vec<u64>,
    },
    /// Rules judge the request by its caller, whom the tests of an exclusion do not have.
    ByCaller,
    /// The rules cannot be compiled.
    Compile(E),
}

impl<E: fmt::Display> fmt::Display for ProposeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passes => f.write_str("this request is not blocked: there is nothing to exclude"),
            Self::NotByRules => f.write_str(
                "no rule blocks this request but the engine does, because it cannot inspect it: no exclusion changes that",
            ),
            Self::ByCaller => f.write_str(
                "rules judge this request by claims of its caller (IDENTITY), which the tests of an exclusion cannot hold: change those rules, or write the exclusion by hand",
            ),
            Self::NoCandidate { only, matched } => {
                let matched: Vec<String> = matched.iter().map(u64::to_string).collect();
                let matched = matched.join(", ");
                match only {
                    Some(rule) => write!(
                        f,
                        "the request would still be blocked without rule {rule}; these rules match it: {matched}"
                    ),
                    None => write!(
                        f,
                        "no exclusion lets this request pass; these rules match it: {matched}"
                    ),
                }
            }
            Self::Compile(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for ProposeError<E> {}

/// Finds the exclusions with which `event` passes, and tries each. `only`: of this rule. `recorded`: requests with
/// their names, whose verdicts must not change.
///
/// # Errors
/// Nothing stops the request, no exclusion helps, or the rules cannot be compiled.
pub fn propose<E>(
    event: &Request,
    only: Option<u64>,
    recorded: &[(String, Request)],
    compile: Compile<'_, E>,
) -> Result<Proposals, ProposeError<E>> {
    let compile = |mode, text: &str| {
        let rules = compile(mode, text).map_err(ProposeError::Compile)?;
        Ok::<_, ProposeError<E>>(Trial::new(rules))
    };
    // In detection nothing ends the request early, so that all rules have their say.
    let detected = compile(EngineMode::DetectionOnly, "")?.run(event, &[]);
    let scope = Scope::of(event);
    let variants = Variants::new(needs(event, &detected, only));
    let trial = compile(EngineMode::On, &variants.text(&scope))?;
    // Beside the policy's own exclusions, since the request was blocked while they held.
    let stopped_by = match trial.run_beside_others(event, &[]).stopped_by {
        None => return Err(ProposeError::Passes),
        Some(0) => return Err(ProposeError::NotByRules),
        Some(rule) => rule,
    };
    let candidates = variants.candidates(&trial, event);
    if candidates.is_empty() {
        let mut matched: Vec<u64> = detected.matches.iter().map(|m| m.rule_id).collect();
        matched.sort_unstable();
        matched.dedup();
        return Err(ProposeError::NoCandidate { only, matched });
    }
    let written = written_event(&trial, event, &candidates).ok_or(ProposeError::ByCaller)?;
    let probes = Probes::find(&trial, written, &candidates);
    let prove = |candidate: &Candidate| {
        let same_needs = |other: &&Candidate| other.needs == candidate.needs;
        let narrowest = candidates.iter().find(same_needs);
        let narrowest = narrowest.map_or(&[][..], |narrowest| &narrowest.gates);
        Proof::of(candidate, narrowest, &trial, event, &probes, recorded)
    };
    let proofs: Vec<Proof> = candidates.iter().map(prove).collect();
    let mut proven: Vec<(Candidate, Proof)> = candidates.into_iter().zip(proofs).collect();
    proven.sort_by_key(|(candidate, proof)| (!proof.holds(), proof.opens_beyond(), candidate.kind));
    Ok(Proposals {
        stopped_by,
        scope,
        candidates: proven,
        probes,
    })
}

/// The event without its caller, and without credentials if it is judged in the same way without them. None if it is judged
/// otherwise without its caller, since tests have none.
fn written_event(trial: &Trial, event: &Request, candidates: &[Candidate]) -> Option<Request> {
    let needs = candidates.iter().flat_map(|candidate| &candidate.needs);
    let anonymous = event.without_caller();
    // Tests go into version control, where a credential must not be.
    let bare = without_credentials(&anonymous, &places(event, needs));
    let passes = |request: &Request, gates: &[usize]| trial.run(request, gates).passes();
    let is_same = |written: &Request| {
        let mut gates = candidates
            .iter()
            .map(|c| c.gates.as_slice())
            // And without any exclusion, where both must be stopped.
            .chain([&[][..]]);
        gates.all(|gates| passes(written, gates) == passes(event, gates))
    };
    [bare, anonymous].into_iter().find(is_same)
}

impl Proposals {
    /// The one to write: the first that holds, but one for any number if the numbers in a name are an accident.
    #[must_use]
    pub fn recommended(&self) -> Option<usize> {
        let (first, proof) = self.candidates.first()?;
        let is_as_good = |(other, its): &(Candidate, Proof)| {
            other.kind == Kind::Numbered
                && other.rules == first.rules
                && its.holds()
                && its.opens_beyond() == proof.opens_beyond()
        };
        let numbered = self.candidates.iter().position(is_as_good);
        let numbered = numbered.filter(|_| first.kind == Kind::Argument);
        proof.holds().then(|| numbered.unwrap_or(0))
    }

    /// Whether the tests will hold what may be credentials, because the request is judged otherwise without them.
    #[must_use]
    pub fn keeps_credentials(&self) -> bool {
        let event = &self.probes.event;
        without_credentials(event, &[]).to_bytes() != event.to_bytes()
    }

    /// The requests that show what the exclusion does, each of another kind, and the rules that stop them with it too.
    pub(super) fn shown_stopped(&self, candidate: usize) -> Vec<(&Probe, u64)> {
        let Some((candidate, proof)) = self.candidates.get(candidate) else {
            return Vec::new();
        };
        let mut asked: Vec<Question> = Vec::new();
        let mut shown = Vec::new();
        for (at, probe) in self.probes.all.iter().enumerate() {
            let is_meant = match probe.question {
                Question::Beside { like } => like && candidate.kind > Kind::Argument,
                Question::Elsewhere => false,
                Question::InPlace(class) => candidate.is_for(class),
            };
            // The tests run at every load, so one of each kind has to do.
            let is_known = probe.question != Question::Elsewhere && asked.contains(&probe.question);
            if let Some(rule) = proof.stopped_by(at).filter(|_| !is_meant && !is_known) {
                asked.push(probe.question);
                shown.push((probe, rule));
            }
        }
        shown
    }
}
