//! From a blocked request to an exclusion that is proven, and written if that is wanted.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use super::error::ReviewError;
use super::policy::{find_policy, has_no_rules};
use super::replay::source::{NotReplayed, Recorded, Requests};
use crate::config::{self, Config, Policy, PolicyMode};
use crate::events::{Event, Verdict};
use crate::exclusion::{
    Candidate, Proof, Proposals, Purpose, Tally, Written, free_id, parse, propose,
};
use crate::recorded::{Framing, Request};
use seclang::diagnostic::Diagnostic;
use seclang::files;
use waf::{EngineMode, RuleSet};

/// The tests of an exclusion hold the request a dozen times.
const MOST_BYTES: usize = 1024 * 1024;

/// A blocked request, and what is known of it.
#[derive(Debug)]
pub(crate) struct Blocked {
    request: Request,
    /// How the exclusion's comments name it.
    name: String,
    /// The policy that blocked it.
    policy: Option<String>,
    /// Not the policy blocked it, but its shadow would have.
    by_shadow: bool,
    /// What its record lacks.
    notes: Vec<String>,
}

/// What is wanted.
pub(crate) struct ExclusionRequest<'q> {
    pub(crate) blocked: Blocked,
    /// In place of the policy, or the shadow, that blocked it.
    pub(crate) policy: Option<&'q String>,
    /// Exclude only this rule.
    pub(crate) rule: Option<u64>,
    /// Requests whose verdicts must not change.
    pub(crate) recorded: Option<&'q dyn Requests>,
    pub(crate) purpose: Purpose,
    /// The number of the proposal that is taken instead of the recommended one, from 1.
    pub(crate) pick: Option<usize>,
    pub(crate) write: Option<WriteTo<'q>>,
}

/// The file of the policy's `exclusions` to which an exclusion is added.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WriteTo<'q> {
    First,
    Named(&'q Path),
}

/// Whose rules judge the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JudgedBy {
    Policy,
    /// The shadow of the policy.
    Shadow,
}

/// What was found, and what was done.
#[derive(Debug)]
pub(crate) struct Excluded {
    pub(crate) judged_by: JudgedBy,
    pub(crate) proposals: Proposals,
    /// The place of the proposal that was taken; None if none holds.
    pub(crate) taken: Option<usize>,
    pub(crate) written: Option<Written>,
    /// The files of the exclusion and of its tests, if they were written.
    pub(crate) files: Option<(PathBuf, PathBuf)>,
    pub(crate) notes: Vec<String>,
}

impl Blocked {
    /// # Errors
    /// Its record lacks something that rules must see, or no rule sees it.
    pub(crate) fn of_event(event: Event) -> Result<Self, ReviewError> {
        let name = event.summary.request_id.clone();
        let payload = &event.details.payload;
        let why = payload.why_not_judged();
        // Masked secrets are rarely what is blocked, and an exclusion that needs them is not found.
        let is_partial =
            payload.is_sealed || payload.body_left_out.is_some() || payload.body_cut > 0;
        if let Some(why) = why.as_ref().filter(|_| is_partial) {
            return Err(ReviewError::Problem(format!("{name}: {why}")));
        }
        Ok(Self {
            policy: event.summary.policy.clone(),
            by_shadow: is_blocked_by_shadow(&event),
            request: checked(Request::from_event(event), &name)?,
            name,
            notes: why.into_iter().collect(),
        })
    }

    /// A raw request from a file.
    ///
    /// # Errors
    /// It is not whole, or no rule sees it.
    pub(crate) fn of_file(bytes: Vec<u8>, name: String) -> Result<Self, ReviewError> {
        Ok(Self {
            request: checked(Request::from_file(bytes), &name)?,
            name,
            policy: None,
            by_shadow: false,
            notes: Vec::new(),
        })
    }
}

/// Whether the event says that the shadow stops the request. One that it would let pass was blocked by the policy.
fn is_blocked_by_shadow(event: &Event) -> bool {
    event.summary.verdict == Verdict::Shadow && event.details.blocked.is_some()
}

/// The request if rules can judge it.
fn checked(request: Request, name: &str) -> Result<Request, ReviewError> {
    let why = match (request.refusal(), request.framing()) {
        (Some(why), _) => format!("no rule sees this request: {why}"),
        (None, Framing::Whole) if request.bytes() > MOST_BYTES => format!(
            "the request has {} bytes; its exclusion's tests would hold it a dozen times, so at most {MOST_BYTES} are taken",
            request.bytes()
        ),
        (None, Framing::Whole) => return Ok(request),
        (None, _) => request.notes().join("; "),
    };
    Err(ReviewError::Problem(format!("{name}: {why}")))
}

/// Proposes exclusions for a blocked request, proves each, and writes one if that is wanted.
///
/// # Errors
/// There is nothing to exclude, the rules do not compile, or a file cannot be written.
pub(crate) fn exclude(
    config: &Config,
    wanted: ExclusionRequest<'_>,
) -> Result<Excluded, ReviewError> {
    let Blocked {
        request,
        name,
        policy,
        by_shadow,
        mut notes,
    } = wanted.blocked;
    // Whoever names a policy asks for its own rules.
    let by_shadow = by_shadow && wanted.policy.is_none();
    let policy = find_policy(config, wanted.policy.or(policy.as_ref()), None)?;
    let (judged_by, rules) = judging(policy, by_shadow, &mut notes)?;
    notes.extend(request.lacks_claims_for(rules));
    if judged_by == JudgedBy::Shadow && wanted.write.is_some() {
        return Err(not_for_the_shadow(policy));
    }
    // Before the proof, which takes seconds: a wrong name must not waste them.
    let file = wanted.write.map(|to| find_file(policy, to)).transpose()?;
    // All at once: every proposal is tried with each of them.
    let recorded = wanted
        .recorded
        .map(|source| read_all(source, rules, &mut notes));
    let compile = |mode, text: &str| compile(config, policy, rules, mode, text);
    let recorded = recorded.unwrap_or_default();
    let proposals =
        propose(&request, wanted.rule, &recorded, &compile).map_err(ReviewError::because)?;
    if proposals.keeps_credentials() {
        notes.push(
            "the tests hold what may be credentials: without them the request is judged otherwise"
                .to_owned(),
        );
    }
    let taken = take(&proposals, wanted.pick)?;
    // Whoever writes at the same time waits, and then sees the id that is taken here.
    let _lock = file.map(lock_folder).transpose()?;
    let id = free_id(ids(config)).ok_or_else(|| {
        ReviewError::Problem("all ids of exclusions are taken: remove some".to_owned())
    })?;
    let written = taken.and_then(|at| proposals.written(at, id, &wanted.purpose, &name));
    let files = match (&written, file) {
        (Some(written), Some(file)) => {
            let named =
                |error: io::Error| ReviewError::Problem(format!("{}: {error}", file.display()));
            let tests = written.append_to(file).map_err(named)?;
            Some((file.to_owned(), tests))
        }
        _ => None,
    };
    Ok(Excluded {
        judged_by,
        proposals,
        taken,
        written,
        files,
        notes,
    })
}

/// The rules that judge the request, and a note if they are not simply the policy's.
///
/// # Errors
/// The policy is off.
fn judging<'p>(
    policy: &'p Policy,
    by_shadow: bool,
    notes: &mut Vec<String>,
) -> Result<(JudgedBy, &'p Arc<RuleSet>), ReviewError> {
    let name = &policy.name;
    match (&policy.shadow, by_shadow) {
        (Some(shadow), true) => {
            notes.push(format!(
                "the shadow of policy {name:?} blocks this request, so the shadow's rules judge it; --policy {name} judges it by the policy's own"
            ));
            return Ok((JudgedBy::Shadow, &shadow.rules));
        }
        (None, true) => notes.push(format!(
            "a shadow blocked this request that policy {name:?} no longer has: the policy's own rules judge it"
        )),
        (_, false) => {}
    }
    let live = policy.rules.live().ok_or_else(|| has_no_rules(policy))?;
    Ok((JudgedBy::Policy, live))
}

/// The files of `exclusions` are loaded with the policy's own rules too, and a test that only holds with the shadow's
/// would refuse the policy at its next load.
fn not_for_the_shadow(policy: &Policy) -> ReviewError {
    ReviewError::Problem(format!(
        "the shadow's rules block this request, and a test of an exclusion for them can fail with those of policy {:?}, which loads the same exclusions: without --write it is shown; take the shadow over (rules shadow --promote), then write it",
        policy.name
    ))
}

/// The requests with their names. Those that cannot be used are noted.
fn read_all(
    source: &dyn Requests,
    rules: &RuleSet,
    notes: &mut Vec<String>,
) -> Vec<(String, Request)> {
    let mut requests = Vec::new();
    for at in 0..source.len() {
        match source.read(at) {
            Ok(Recorded { id, request }) => match request.lacks_claims_for(rules) {
                Some(why) => notes.push(format!("left out: {id}: {why}")),
                None => requests.push((id, request)),
            },
            Err(NotReplayed::Unreadable(why)) => notes.push(format!("left out: {why}")),
            Err(NotReplayed::CannotBeJudged { id, why }) => {
                notes.push(format!("left out: {id}: {why}"));
            }
        }
    }
    requests
}

impl JudgedBy {
    fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Shadow => "shadow",
        }
    }
}

impl Excluded {
    pub(crate) fn to_json(&self) -> Value {
        let tally = |tally: &Tally| {
            let passing = tally.passing.iter();
            let passing: Vec<Value> = passing
                .map(|(place, attack)| json!({"place": place, "attack": attack}))
                .collect();
            json!({"tried": tally.tried, "passing": passing})
        };
        let proposal = |(candidate, proof): &(Candidate, Proof)| {
            let in_place = proof.in_place.iter();
            let in_place: Vec<Value> = in_place
                .map(|opened| {
                    let (class, own) = (opened.class.name(), opened.is_own);
                    json!({"class": class, "own": own, "attacks": tally(&opened.tally)})
                })
                .collect();
            json!({
                "kind": candidate.kind.words(),
                "rules": candidate.rules,
                "controls": candidate.controls,
                "portable": candidate.is_portable,
                "holds": proof.holds(),
                "passes": proof.passes,
                "beside": tally(&proof.beside),
                "in_place": in_place,
                "opens_beyond_its_classes": proof.opens_beyond().name(),
                "untried": proof.untried,
                "recorded": {
                    "total": proof.recorded.total,
                    "intended": proof.recorded.intended,
                    "unintended": proof.recorded.unintended,
                },
                "microseconds": {"without": proof.time.0.as_micros(), "with": proof.time.1.as_micros()},
            })
        };
        let proposals = self.proposals.candidates.iter().map(proposal);
        let proposals: Vec<Value> = proposals.collect();
        json!({
            "ok": self.taken.is_some(),
            "judged_by": self.judged_by.name(),
            "blocked_by": self.proposals.stopped_by,
            "scope": self.proposals.scope.words(),
            "proposals": proposals,
            // As `--pick` and the text for people number them.
            "taken": self.taken.map(|at| at + 1),
            "seclang": self.written.as_ref().map(|written| &written.seclang),
            "tests": self.written.as_ref().map(|written| &written.tests),
            "files": self.files.as_ref().map(|(file, tests)| [file, tests]),
            "notes": self.notes,
        })
    }
}

fn compile(
    config: &Config,
    policy: &Policy,
    rules: &Arc<RuleSet>,
    mode: EngineMode,
    text: &str,
) -> Result<Arc<RuleSet>, ReviewError> {
    // The proof asks in its own modes, whatever the policy's is.
    let mode = match mode {
        EngineMode::On => PolicyMode::Block,
        EngineMode::DetectionOnly => PolicyMode::Detect,
        EngineMode::Off => PolicyMode::Off,
    };
    config::compile_with(config, rules, mode, text).map_err(|problems: Vec<Diagnostic>| {
        match problems.is_empty() {
            // No problem is named if the policy has no rules to compile.
            true => has_no_rules(policy),
            false => ReviewError::Diagnostics(problems),
        }
    })
}

/// The file that a new exclusion belongs into.
fn find_file<'p>(policy: &'p Policy, to: WriteTo<'_>) -> Result<&'p Path, ReviewError> {
    let files = &policy.exclusions;
    let name = &policy.name;
    let problem = |message: String| Err(ReviewError::Problem(message));
    let Some(first) = files.first() else {
        return problem(format!(
            "policy {name:?} has no file for exclusions: write exclusions = [\"rules/exclusions.conf\"] into [policies.{name}]"
        ));
    };
    let WriteTo::Named(named) = to else {
        return Ok(&first.path);
    };
    // The configuration resolved its paths, so the name that a user knows is the end of one.
    match files.iter().find(|file| file.path.ends_with(named)) {
        Some(file) => Ok(&file.path),
        None => problem(format!(
            "{} is none of the exclusions of policy {name:?}",
            named.display()
        )),
    }
}

/// The proposal to write: the one that was asked for if it holds, else the recommended one.
fn take(proposals: &Proposals, pick: Option<usize>) -> Result<Option<usize>, ReviewError> {
    let Some(number) = pick else {
        return Ok(proposals.recommended());
    };
    let picked = number
        .checked_sub(1)
        .and_then(|at| proposals.candidates.get(at));
    match picked {
        None => Err(ReviewError::Problem(format!(
            "there is no proposal {number}: there are {}",
            proposals.candidates.len()
        ))),
        // It is shown with what it opens, and not written.
        Some((_, proof)) => Ok(proof.holds().then(|| number - 1)),
    }
}

/// The ids of all rules of all policies, since they may share a file, and of exclusions that were written after the
/// configuration was loaded.
fn ids(config: &Config) -> impl Iterator<Item = u64> {
    let policies = config.policies.values();
    let files = policies.clone().flat_map(|policy| &policy.exclusions);
    let written = files.flat_map(|file| {
        // Before the first exclusion the file need not be there.
        let text = files::read_text(&file.path).unwrap_or_default();
        parse(&file.path, &text).0
    });
    let sets = policies.filter_map(|policy| policy.rules.live());
    let loaded = sets.flat_map(|rules| {
        // A removed rule keeps its id: logs and tests of both would name the same number.
        let removed = rules.removed().iter().map(|rule| rule.id);
        rules.summaries().map(|rule| rule.id).chain(removed)
    });
    loaded.chain(written.map(|entry| entry.id))
}

/// Keeps other writers out of the folder of this file until the lock is dropped.
fn lock_folder(path: &Path) -> Result<File, ReviewError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let lock = || {
        // The folder and not the file, which each writer replaces and which is not there before the first.
        let file = File::open(folder)?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    };
    lock().map_err(|error: io::Error| {
        ReviewError::Problem(format!("cannot lock {}: {error}", folder.display()))
    })
}
