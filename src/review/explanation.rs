//! Runs a request through the phases and records what happened.
//!
//! The phases run as in the proxy, so that the verdict is the proxy's.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

mod json;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::escape::show_short;
use crate::recorded::{Request, with_crlf};
use waf::{
    EngineMode, Inspection, InterruptionKind, MatchedRule, Phase, RuleSet, SEVERITIES, TraceKind,
    Transaction,
};

/// Values with their names, which are like `COLLECTION:name`.
pub(crate) type NamedValues = Vec<(Vec<u8>, Vec<u8>)>;

/// What the rules did with a request.
#[derive(Debug)]
pub(crate) struct Explanation {
    /// The request line as received.
    pub(crate) line: Vec<u8>,
    /// What the rules may do: block, only detect, or nothing.
    pub(crate) engine: EngineMode,
    /// The rules that matched, in order.
    pub(crate) matches: Vec<RuleMatch>,
    /// The rules and targets that were excluded.
    pub(crate) exclusions: Vec<Exclusion>,
    /// What the rules decided.
    pub(crate) verdict: Verdict,
    /// How the request's body was inspected; None if HTTP forbids the request, so that the rules did not see it.
    pub(crate) body: Option<Inspection>,
    /// The variables that the user asked for, each with its values.
    pub(crate) variables: Vec<(String, NamedValues)>,
    /// Where the request was read differently from the file.
    pub(crate) notes: Vec<String>,
}

/// A rule that matched.
#[derive(Debug)]
pub(crate) struct RuleMatch {
    pub(crate) rule: MatchedRule,
    pub(crate) changes: Vec<VariableChange>,
}

/// A variable `tx.NAME` that a rule changed.
#[derive(Debug)]
pub(crate) struct VariableChange {
    pub(crate) name: Vec<u8>,
    pub(crate) before: Option<Vec<u8>>,
    pub(crate) after: Option<Vec<u8>>,
}

/// Rules that were removed or changed, or that do not look at a target.
#[derive(Debug)]
pub(crate) struct Exclusion {
    /// `file:line` of what excluded them.
    pub(crate) by: String,
    /// The rule whose `ctl` it was; 0 for a directive.
    pub(crate) by_rule: u64,
    pub(crate) rule_ids: Vec<u64>,
    pub(crate) target: Option<String>,
    /// A directive changed the rules; otherwise it removed rules or targets.
    pub(crate) changes: bool,
}

#[derive(Debug)]
pub(crate) struct Verdict {
    /// `pass`, `deny`, `drop`, `redirect`, or `refuse` for what HTTP forbids.
    pub(crate) action: &'static str,
    pub(crate) status: Option<u16>,
    pub(crate) rule_id: Option<u64>,
    pub(crate) phase: Option<u8>,
    pub(crate) reason: String,
}

/// Why a request cannot be explained. The user erred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExplainError {
    /// The response lacks this part.
    Response(&'static str),
    /// There is no variable of this name.
    NoVariable(String),
}

impl fmt::Display for ExplainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response(part) => write!(f, "the response has no {part}"),
            Self::NoVariable(name) => write!(f, "there is no variable {name:?}"),
        }
    }
}

impl std::error::Error for ExplainError {}

/// Runs the request, and the raw response if there is one, through these rules. `names` are the variables to show.
///
/// # Errors
/// The response cannot be read, or a variable does not exist.
pub(crate) fn explain(
    rules: &Arc<RuleSet>,
    request: &Request,
    response: Option<Vec<u8>>,
    names: &[String],
) -> Result<Explanation, ExplainError> {
    let mut notes = request.notes().to_vec();
    notes.extend(request.lacks_claims_for(rules));
    let response = response
        .map(|raw| Response::parse(with_crlf(raw, "response", &mut notes)))
        .transpose()?;
    // These are the values of a request that HTTP forbids, so that no rule sees it.
    let mut explanation = Explanation {
        line: request.line().to_vec(),
        engine: rules.engine(),
        matches: Vec::new(),
        exclusions: Vec::new(),
        verdict: Verdict {
            action: "refuse",
            status: None,
            rule_id: None,
            phase: None,
            reason: String::new(),
        },
        body: None,
        variables: Vec::new(),
        notes,
    };
    if let Some(error) = request.refusal() {
        explanation.verdict.status = Some(error.status);
        explanation.verdict.reason = format!("before the rules: {error}");
    }
    if let Some(mut transaction) = request.begin(rules, "explain") {
        transaction.record_trace();
        // The user has the request, so masking its secrets would hide only what the user wants to see.
        transaction.unmask();
        run(&mut transaction, request.body(), response.as_ref());
        explanation.matches = matches(&transaction);
        explanation.exclusions = exclusions(rules, &transaction);
        explanation.verdict = verdict(&transaction);
        explanation.body = Some(transaction.request_inspection());
        explanation.variables = variables(&mut transaction, names)?;
    }
    Ok(explanation)
}

fn run(transaction: &mut Transaction, body: &[u8], response: Option<&Response>) {
    // As in the proxy: after an interruption only the logging phase runs.
    let mut stopped = transaction.request_headers_done().is_some();
    stopped = stopped || transaction.request_body(body).is_some();
    if let Some(response) = response.filter(|_| !stopped) {
        let headers = response
            .headers
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()));
        let ended = transaction
            .response_headers(response.status, b"HTTP/1.1", headers)
            .is_some();
        if !ended {
            let limit = transaction.response_body_limit();
            // Like the proxy, which holds back no more of an answer than `SecResponseBodyLimit`.
            let held = match transaction.wants_response_body() {
                true => response.body.len().min(limit),
                false => 0,
            };
            transaction.response_body(&response.body[..held], held == response.body.len());
        }
    }
    transaction.finish();
}

fn matches(transaction: &Transaction) -> Vec<RuleMatch> {
    let records = transaction.matched_rules();
    let mut matches: Vec<RuleMatch> = records
        .iter()
        .map(|rule| RuleMatch {
            rule: rule.clone(),
            changes: Vec::new(),
        })
        .collect();
    for event in transaction.trace_events() {
        let Some(found) = matches
            .get_mut(event.match_index)
            // A chain may set variables and then not match. It leaves no record, and the index is another rule's.
            .filter(|found| found.rule.rule_id == event.rule_id)
        else {
            continue;
        };
        if let TraceKind::Set {
            name,
            before,
            after,
        } = &event.kind
        {
            found.changes.push(VariableChange {
                name: name.clone(),
                before: before.clone(),
                after: after.clone(),
            });
        }
    }
    matches
}

/// The exclusions by `ctl` at run time, then those by directives: one for each excluding line.
fn exclusions(rules: &RuleSet, transaction: &Transaction) -> Vec<Exclusion> {
    let places: BTreeMap<u64, String> = rules
        .summaries()
        .map(|rule| (rule.id, format!("{}:{}", rule.file.display(), rule.line)))
        .collect();
    let at_run_time = transaction
        .trace_events()
        .iter()
        .filter_map(|event| match &event.kind {
            TraceKind::Set { .. } => None,
            TraceKind::Excluded { rule_ids, target } => Some(Exclusion {
                by: places.get(&event.rule_id).cloned().unwrap_or_default(),
                by_rule: event.rule_id,
                rule_ids: rule_ids.clone(),
                target: target.clone(),
                changes: false,
            }),
        });
    // One line can change hundreds of rules and is shown once, so rules are gathered by line.
    let mut at_load: BTreeMap<(String, bool), Vec<u64>> = BTreeMap::new();
    let mut record = |place: &String, changes, id| {
        at_load
            .entry((place.clone(), changes))
            .or_default()
            .push(id);
    };
    for rule in rules.summaries() {
        for place in &rule.changed_by {
            record(place, true, rule.id);
        }
    }
    for rule in rules.removed() {
        if let Some(place) = &rule.removed_by {
            record(place, false, rule.id);
        }
    }
    let at_load = at_load
        .into_iter()
        .map(|((by, changes), rule_ids)| Exclusion {
            by,
            by_rule: 0,
            rule_ids,
            target: None,
            changes,
        });
    at_run_time.chain(at_load).collect()
}

fn verdict(transaction: &Transaction) -> Verdict {
    let Some(interruption) = transaction.interruption() else {
        return Verdict {
            action: "pass",
            status: None,
            rule_id: None,
            phase: None,
            reason: match transaction.rules().engine() {
                EngineMode::On => "no rule stopped it".to_owned(),
                mode => format!("the rules may not stop anything: the engine is {mode:?}"),
            },
        };
    };
    let by = match interruption.rule_id {
        0 => "the engine".to_owned(),
        id => format!("rule {id}"),
    };
    Verdict {
        action: match interruption.kind {
            InterruptionKind::Deny => "deny",
            InterruptionKind::Drop => "drop",
            InterruptionKind::Redirect(_) => "redirect",
        },
        status: Some(interruption.status),
        rule_id: Some(interruption.rule_id),
        phase: Some(interruption.phase as u8),
        reason: match why_uninspected(transaction, interruption.phase)
            // The engine refuses what was not inspected; a rule has a reason of its own.
            .filter(|_| interruption.rule_id == 0)
        {
            Some(why) => format!(
                "by {by} in phase {}: not inspected: {why}",
                interruption.phase as u8
            ),
            None => format!("by {by} in phase {}", interruption.phase as u8),
        },
    }
}

/// Why the rules did not see the body that was judged in this phase completely.
fn why_uninspected(transaction: &Transaction, phase: Phase) -> Option<String> {
    let judged = match phase {
        Phase::RequestHeaders | Phase::RequestBody => transaction.request_inspection(),
        Phase::ResponseHeaders | Phase::ResponseBody | Phase::Logging => {
            transaction.response_inspection()
        }
    };
    let reason = judged.reason;
    reason.map(|reason| show_short(reason.as_bytes(), 400))
}

fn variables(
    transaction: &mut Transaction,
    names: &[String],
) -> Result<Vec<(String, NamedValues)>, ExplainError> {
    names
        .iter()
        // `--vars TX,` ends with an empty name.
        .filter(|name| !name.is_empty())
        .map(|name| {
            let (variable, key) = match name.split_once(':') {
                Some((variable, key)) => (variable, Some(key)),
                None => (name.as_str(), None),
            };
            let values = transaction
                .variable(variable)
                .ok_or_else(|| ExplainError::NoVariable(variable.to_owned()))?;
            let wanted = |shown: &[u8]| {
                // The name of an argument may have colons too; only the first one ends the collection.
                let own = shown.splitn(2, |&b| b == b':').nth(1).unwrap_or_default();
                key.is_none_or(|key| own.eq_ignore_ascii_case(key.as_bytes()))
            };
            let values = values
                .into_iter()
                .filter(|(shown, _)| wanted(shown))
                .collect();
            Ok((name.to_ascii_uppercase(), values))
        })
        .collect()
}

struct Response {
    status: u16,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

impl Response {
    /// A status line, headers and a body, taken as it is.
    fn parse(raw: Vec<u8>) -> Result<Self, ExplainError> {
        let end = memchr::memmem::find(&raw, b"\r\n\r\n")
            .ok_or(ExplainError::Response("empty line after its head"))?;
        let mut lines = raw[..end].split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
        let status = lines
            .next()
            .filter(|line| line.starts_with(b"HTTP/"))
            .and_then(|line| line.split(|&b| b == b' ').nth(1))
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
            .filter(|status| (100..600).contains(status))
            .ok_or(ExplainError::Response("status line"))?;
        let headers = lines
            .map(|line| {
                let colon = memchr::memchr(b':', line)
                    .ok_or(ExplainError::Response("colon in a header"))?;
                Ok((
                    line[..colon].to_vec(),
                    line[colon + 1..].trim_ascii().to_vec(),
                ))
            })
            .collect::<Result<_, ExplainError>>()?;
        Ok(Self {
            status,
            headers,
            body: raw[end + 4..].to_vec(),
        })
    }
}

/// The name of a severity of ModSecurity, from 0 (emergency) to 7 (debug).
pub(crate) fn severity_name(severity: u8) -> &'static str {
    SEVERITIES[usize::from(severity.min(7))]
}

/// The number and name of a phase.
pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::RequestHeaders => "phase 1: request headers",
        Phase::RequestBody => "phase 2: request body",
        Phase::ResponseHeaders => "phase 3: response headers",
        Phase::ResponseBody => "phase 4: response body",
        Phase::Logging => "phase 5: logging",
    }
}
