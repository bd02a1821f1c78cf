//! What matched, for logs and audit records: which rules, on which values, and which of their bytes may be shown.
//!
//! Nothing leaves this module unmasked unless the policy says so, and the records of one transaction are bounded.

mod known_secrets;
mod log_line;
mod matched_rule;
mod secrets;
mod trace;

pub use matched_rule::MatchedRule;
pub use secrets::mask_known;
pub(crate) use secrets::{Secrets, secret_values};
pub use trace::{TraceEvent, TraceKind};

use std::ops::Range;

use super::context::Context;
use super::matcher::Matcher;
use super::state::{Entry, Name};
use crate::macros::Template;
use crate::rule::{Disruptive, Rule, RuleSelection, Test};
use crate::ruleset::RuleSet;
use crate::variables::{Slice, Target, Value};
use matched_rule::Source;
use secrets::MOST_BYTES;
use trace::Trace;

/// Matches of one rule that are recorded; the others are only counted. A client chooses how many arguments match.
const MOST_PER_RULE: usize = 16;
/// Matches of one transaction that are recorded.
const MOST_PER_TRANSACTION: usize = 1024;

/// The matches of one transaction.
#[derive(Debug)]
pub(crate) struct Matches {
    records: Vec<MatchedRule>,
    /// Matches beyond what is recorded.
    unrecorded: u64,
    /// A rule with `auditlog` matched: `RelevantOnly` writes the record.
    audit_relevant: bool,
    secrets: Secrets,
    trace: Trace,
}

impl Matches {
    pub(crate) fn new(rules: &RuleSet) -> Self {
        Self {
            records: Vec::new(),
            unrecorded: 0,
            audit_relevant: false,
            secrets: Secrets::new(rules.masks()),
            trace: Trace::default(),
        }
    }

    /// What was recorded, in order.
    pub(crate) fn records(&self) -> &[MatchedRule] {
        &self.records
    }

    /// How many matches were counted but not recorded.
    pub(crate) fn unrecorded(&self) -> u64 {
        self.unrecorded
    }

    /// Whether a rule matched that makes its transaction relevant.
    pub(crate) fn is_audit_relevant(&self) -> bool {
        self.audit_relevant
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    pub(crate) fn secrets_mut(&mut self) -> &mut Secrets {
        &mut self.secrets
    }

    #[inline]
    pub(crate) fn trace(&self) -> &Trace {
        &self.trace
    }

    pub(crate) fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// Notes whether the transaction is relevant to the audit log for this rule's match.
    #[inline]
    pub(crate) fn note_relevance(&mut self, rule: &Rule) {
        // A rule that blocks makes its transaction relevant, also where it says `nolog`.
        let told = rule.log || rule.disruptive != Disruptive::Pass;
        self.audit_relevant |= rule.audit_log && told;
    }

    /// A rule matched to its last link. `matched` is the value that did, transformed, and as it was received.
    pub(crate) fn record(
        &mut self,
        rules: &RuleSet,
        context: &mut Context,
        rule: &Rule,
        matched: Option<(Value, Slice)>,
        interrupting: bool,
    ) {
        // Matches of one rule follow each other, so the count ends at the first match of another rule.
        let of_rule = self
            .records
            .iter()
            .rev()
            .take_while(|m| m.rule_id == rule.id)
            .count();
        // An interrupting match is always recorded: it explains the refusal.
        if !interrupting && (of_rule >= MOST_PER_RULE || self.records.len() >= MOST_PER_TRANSACTION)
        {
            self.unrecorded += 1;
            return;
        }
        // Before any text is written: it finds the secrets among what matched so far.
        self.secrets.mark_matched(context);
        let about = &rule.about;
        let test = rule.links.last().and_then(|l| l.test.as_ref());
        let mut pieces = |template: Option<&Template>| {
            template.map_or_else(Vec::new, |t| context.pieces(rules, t))
        };
        let mut source = Source {
            message: pieces(about.message.as_ref()),
            data: pieces(about.data.as_ref()),
            tags: about.tags.iter().map(|t| pieces(Some(t))).collect(),
            version: pieces(about.version.as_ref()),
            revision: pieces(about.revision.as_ref()),
            status: rule.status.unwrap_or(403),
            ..Source::default()
        };
        if let Some((value, received)) = matched {
            (source.received, source.transformed) = (received, value.text);
            source.variable = Some(context.push_name(value));
            source.found = test.and_then(|test| found(rules, context, test, value.text));
        }
        let mut record = MatchedRule {
            rule_id: rule.id,
            phase: rule.phase,
            variable: Vec::new(),
            value: Vec::new(),
            transformed: Vec::new(),
            span: None,
            message: Vec::new(),
            data: Vec::new(),
            severity: about.severity,
            tags: Vec::new(),
            operator: test.map_or_else(
                || "Unconditional match in SecAction".to_owned(),
                |t| t.written.to_string(),
            ),
            log_line: Vec::new(),
            logged: rule.log,
            interrupting,
            file: about.file.to_path_buf(),
            line: about.line,
            version: Vec::new(),
            revision: Vec::new(),
            maturity: about.maturity,
            accuracy: about.accuracy,
            source,
        };
        self.secrets.write_record(context, &mut record);
        self.records.push(record);
    }

    /// Traces what `setvar` is about to set `name` to.
    pub(crate) fn trace_set(
        &mut self,
        rules: &RuleSet,
        context: &Context,
        name: Name,
        after: Entry,
    ) {
        if !self.trace.is_on() {
            return;
        }
        let tx = context.state().tx();
        let kind = TraceKind::Set {
            name: context.text().at(tx.name_text(name, rules)).to_vec(),
            before: context.entry_bytes(tx.entry(name)),
            after: context.entry_bytes(after),
        };
        self.push_event(rules, context, kind);
    }

    /// Traces what `ctl` excludes.
    pub(crate) fn trace_excluded(
        &mut self,
        rules: &RuleSet,
        context: &Context,
        selection: &RuleSelection,
        target: Option<&Target>,
    ) {
        if self.trace.is_on() {
            let kind = trace::excluded(rules, selection, target);
            self.push_event(rules, context, kind);
        }
    }

    fn push_event(&mut self, rules: &RuleSet, context: &Context, kind: TraceKind) {
        let rule = context.state().matching().rule();
        let rule = rule.and_then(|at| rules.rules.get(at as usize));
        self.trace.push(TraceEvent {
            rule_id: rule.map_or(0, |rule| rule.id),
            match_index: self.records.len(),
            kind,
        });
    }

    /// Masks what a `sanitise...` action named after a rule had matched it.
    pub(crate) fn mask_late(&mut self, rules: &RuleSet, context: &mut Context, matcher: &Matcher) {
        if self.secrets.mark_late(rules, context, matcher) {
            // Each is written again from its source: its text may show what is secret only now.
            for record in &mut self.records {
                self.secrets.mark_source(context, record);
                self.secrets.write_record(context, record);
            }
        }
    }
}

/// Where in the matching value the test found something. A negated one matches because there is nothing.
fn found(
    rules: &RuleSet,
    context: &mut Context,
    test: &Test,
    value: Slice,
) -> Option<Range<usize>> {
    if test.negated {
        return None;
    }
    let argument = context.expand(rules, &test.argument);
    let text = context.text();
    test.operator
        .span(text.at(argument), text.at(value), MOST_BYTES)
}
