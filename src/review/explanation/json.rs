//! An explanation as JSON, and which of its parts matter.

use serde_json::{Map, Value, json};

use super::{Explanation, RuleMatch, VariableChange, Verdict, severity_name};
use crate::review::escape::{json_span, json_text};

impl Explanation {
    /// `all`: also the silent rules that matched.
    pub(crate) fn to_json(&self, all: bool) -> Value {
        let matches: Vec<Value> = self
            .matches
            .iter()
            .filter(|m| all || m.is_relevant())
            .map(RuleMatch::to_json)
            .collect();
        let exclusions: Vec<Value> = self
            .exclusions
            .iter()
            .map(|e| json!({"by": e.by, "by_rule_id": e.by_rule, "rule_ids": e.rule_ids, "target": e.target, "change": if e.changes { "changed" } else { "removed" }}))
            .collect();
        let variables: Map<String, Value> = self
            .variables
            .iter()
            .map(|(name, values)| {
                let values = values
                    .iter()
                    .map(
                        |(name, value)| json!({"name": json_text(name), "value": json_text(value)}),
                    )
                    .collect();
                (name.clone(), Value::Array(values))
            })
            .collect();
        json!({
            "request": json_text(&self.line),
            "engine": format!("{:?}", self.engine),
            "verdict": self.verdict.to_json(),
            "body": self.body.as_ref().map(|body| json!({
                "received": body.received,
                "inspected": body.inspected,
                "parser": body.parser.unwrap_or("none"),
                "reason": body.reason.as_ref().map(|reason| json_text(reason.as_bytes())),
            })),
            "matches": matches,
            "exclusions": exclusions,
            "variables": variables,
            "notes": self.notes,
        })
    }
}

impl Verdict {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "action": self.action,
            "status": self.status,
            "rule_id": self.rule_id,
            "phase": self.phase,
            "reason": self.reason,
        })
    }
}

impl RuleMatch {
    /// Whether a rule logs, ends the transaction or changes a score. Others only set variables for later rules.
    pub(crate) fn is_relevant(&self) -> bool {
        self.rule.logged
            || self.rule.interrupting
            || self.changes.iter().any(VariableChange::is_score)
    }

    pub(crate) fn to_json(&self) -> Value {
        let rule = &self.rule;
        let tags: Vec<String> = rule.tags.iter().map(|tag| json_text(tag)).collect();
        let changes: Vec<Value> = self
            .changes
            .iter()
            .map(|change| {
                let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(json_text);
                json!({"name": json_text(&change.name), "before": text(&change.before), "after": text(&change.after)})
            })
            .collect();
        json!({
            "rule_id": rule.rule_id,
            "phase": rule.phase as u8,
            "variable": json_text(&rule.variable),
            "value": json_text(&rule.value),
            "transformed": json_text(&rule.transformed),
            "span": rule.span.as_ref().map(|span| json_span(&rule.transformed, span)),
            "message": json_text(&rule.message),
            "data": json_text(&rule.data),
            "severity": rule.severity.map(severity_name),
            "tags": tags,
            "operator": rule.operator,
            "logged": rule.logged,
            "interrupting": rule.interrupting,
            "file": rule.file.to_string_lossy(),
            "line": rule.line,
            "changes": changes,
        })
    }
}

impl VariableChange {
    /// Whether a score rose or fell. Setting it for the first time is no change of it.
    pub(crate) fn is_score(&self) -> bool {
        // Names of TX have no case, and the CRS has this word in the name of each score.
        let is_name =
            |name: &[u8]| memchr::memmem::find(&name.to_ascii_lowercase(), b"score").is_some();
        let number = |bytes: &Option<Vec<u8>>| {
            std::str::from_utf8(bytes.as_deref()?)
                .ok()?
                .parse::<i64>()
                .ok()
        };
        is_name(&self.name)
            && number(&self.before).is_some()
            && number(&self.after).is_some()
            && self.before != self.after
    }
}
