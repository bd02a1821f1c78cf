//! From a blocked request to exclusions that were tried.

use std::fmt;
use std::sync::Arc;

use waf::{EngineMode, RuleSet};

use super::attacks::Class;
use super::candidates::{Candidate, Kind, Variants, needs};
use super::credentials::without_credentials;
use super::proof::{Probe, Probes, Proof, Question, places};
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
    /// Narrowest first, each with what was found out of it.
    pub candidates: Vec<(Candidate, Proof)>,
    /// The request as it may be written to a file: without credentials, if it shows the same without them.
    pub(super) event: Request,
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
    let stopped_by = match trial.run(event, &[]).stopped_by {
        None => return Err(ProposeError::Passes),
        Some(0) => return Err(ProposeError::NotByRules),
        Some(rule) => rule,
    };
    let candidates = variants.candidates(&trial, event);
    let Some(narrowest) = candidates.first() else {
        let mut matched: Vec<u64> = detected.matches.iter().map(|m| m.rule_id).collect();
        matched.sort_unstable();
        matched.dedup();
        return Err(ProposeError::NoCandidate { only, matched });
    };
    let shown = written_event(&trial, event, narrowest);
    let probes = Probes::find(&trial, &shown, &narrowest.needs);
    let proven = candidates.into_iter().map(|candidate| {
        let proof = probes.prove(&trial, event, &candidate, recorded);
        (candidate, proof)
    });
    Ok(Proposals {
        stopped_by,
        scope,
        candidates: proven.collect(),
        event: shown,
        probes,
    })
}

/// The event without credentials if it is judged in the same way without them, else as it is.
fn written_event(trial: &Trial, event: &Request, candidate: &Candidate) -> Request {
    let bare = without_credentials(event, &places(event, &candidate.needs));
    let is_same = !trial.run(&bare, &[]).passes() && trial.run(&bare, &candidate.gates).passes();
    if is_same { bare } else { event.clone() }
}

impl Proposals {
    /// The one to write: the narrowest that holds, but one for any number if the numbers in a name are an accident.
    #[must_use]
    pub fn recommended(&self) -> Option<usize> {
        let holds = |kind: Option<Kind>| {
            self.candidates
                .iter()
                .position(|(c, proof)| proof.holds() && kind.is_none_or(|kind| c.kind == kind))
        };
        let first = holds(None)?;
        let is_argument = self
            .candidates
            .get(first)
            .is_some_and(|(c, _)| c.kind == Kind::Argument);
        Some(match is_argument {
            true => holds(Some(Kind::Numbered)).unwrap_or(first),
            false => first,
        })
    }

    /// The requests that show what the exclusion does: each of another kind, and stopped with it too.
    pub(super) fn shown_stopped(&self, candidate: usize) -> Vec<&Probe> {
        let kind = self.candidates.get(candidate).map(|(c, _)| c.kind);
        let mut shown: Vec<&Probe> = Vec::new();
        for probe in &self.probes.probes {
            let class = |probe: &Probe| match probe.question {
                Question::Same(class) => Some(class),
                _ => None,
            };
            let is_new = match probe.question {
                Question::Beside { like } => {
                    let is_same = like && kind > Some(Kind::Argument);
                    let is_beside = |s: &&Probe| matches!(s.question, Question::Beside { .. });
                    !is_same && !shown.iter().any(is_beside)
                }
                Question::Elsewhere => true,
                Question::Same(own) => {
                    !self.probes.is_own(own) && !shown.iter().any(|s| class(s) == Some(own))
                }
            };
            if is_new {
                shown.push(probe);
            }
        }
        shown
    }

    /// The classes of attack that the rules are for.
    #[must_use]
    pub fn classes(&self) -> Vec<Class> {
        let mut classes: Vec<Class> = super::attacks::corpus()
            .map(|attack| attack.class)
            .collect();
        classes.dedup();
        classes.retain(|&class| self.probes.is_own(class));
        classes
    }
}
