//! Shows an explanation as text and as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::super::escape::{json_text, show as escaped, show_short};
use super::super::list::severity_name;
use crate::cli::output::{print_json, wants_colour};
use waf::Inspection;

use super::explanation::{Exclusion, Explanation, RuleMatch, VariableChange, Verdict, phase_name};

/// How many bytes are shown before and after the bytes that the operator found.
const AROUND: usize = 80;
/// How many rules of one exclusion are named; the others are counted. One directive can exclude hundreds.
const NAMED: usize = 8;

pub(super) fn human(explanation: &Explanation, all: bool) -> io::Result<()> {
    let colour = wants_colour(&io::stdout());
    let mut out = io::BufWriter::new(io::stdout().lock());
    write_human(&mut out, explanation, all, colour)?;
    out.flush()
}

pub(super) fn write_human(
    mut out: impl Write,
    explanation: &Explanation,
    all: bool,
    colour: bool,
) -> io::Result<()> {
    writeln!(out, "{}", show_short(&explanation.line, 200))?;
    for note in &explanation.notes {
        writeln!(out, "note: {note}")?;
    }
    let mut phase = None;
    for found in explanation.matches.iter().filter(|m| all || is_relevant(m)) {
        if phase.replace(found.rule.phase) != Some(found.rule.phase) {
            writeln!(out, "\n{}", phase_name(found.rule.phase))?;
        }
        out.write_all(rule(found, colour).as_bytes())?;
    }
    exclusions(&mut out, &explanation.exclusions)?;
    for (name, values) in &explanation.variables {
        writeln!(out, "\n{name}")?;
        for (name, value) in values {
            writeln!(out, "  {} = {}", escaped(name), show_short(value, 400))?;
        }
    }
    if let Some(body) = explanation.body.as_ref().filter(|b| b.received > 0) {
        writeln!(out, "\nbody: {}", body_in_words(body))?;
    }
    let verdict = &explanation.verdict;
    let status = verdict.status.map(|s| format!(" {s}")).unwrap_or_default();
    writeln!(
        out,
        "\nverdict: {}{status}, {}",
        verdict.action, verdict.reason
    )
}

/// How much of the body the rules saw, and which parser read it.
fn body_in_words(body: &Inspection) -> String {
    let parser = match body.parser {
        Some(parser) => format!("read as {parser}"),
        None => "no parser".to_owned(),
    };
    let (inspected, received) = (body.inspected, body.received);
    match &body.reason {
        None => format!("{received} bytes, {parser}"),
        Some(why) => {
            let why = show_short(why.as_bytes(), 400);
            format!("{inspected} of {received} bytes, {parser}; not inspected: {why}")
        }
    }
}

/// Writes first what was removed, line by line, then what was changed. A file with many changes gets one line.
fn exclusions(out: &mut impl Write, exclusions: &[Exclusion]) -> io::Result<()> {
    if exclusions.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nexcluded")?;
    for exclusion in exclusions.iter().filter(|e| !e.changes) {
        writeln!(out, "  {}", describe_exclusion(exclusion))?;
    }
    let mut files: BTreeMap<&str, Vec<&Exclusion>> = BTreeMap::new();
    for exclusion in exclusions.iter().filter(|e| e.changes) {
        let file = exclusion.by.rsplit_once(':').map_or("", |(file, _)| file);
        files.entry(file).or_default().push(exclusion);
    }
    for (file, changes) in files {
        if changes.len() <= NAMED {
            for change in changes {
                writeln!(out, "  {}", describe_exclusion(change))?;
            }
            continue;
        }
        let rules: BTreeSet<u64> = changes.iter().flat_map(|e| &e.rule_ids).copied().collect();
        let (rules, lines) = (rules.len(), changes.len());
        writeln!(
            out,
            "  {rules} rules changed  by {lines} lines of {file} (`rules list` names them)"
        )?;
    }
    Ok(())
}

/// Whether a rule logs, ends the transaction or changes a score. Others only set variables for later rules.
pub(crate) fn is_relevant(found: &RuleMatch) -> bool {
    found.rule.logged || found.rule.interrupting || found.changes.iter().any(is_score)
}

/// Whether a score rose or fell. Setting it for the first time is no change.
fn is_score(change: &VariableChange) -> bool {
    let is_name =
        |name: &[u8]| memchr::memmem::find(&name.to_ascii_lowercase(), b"score").is_some();
    let number = |bytes: &Option<Vec<u8>>| {
        std::str::from_utf8(bytes.as_deref()?)
            .ok()?
            .parse::<i64>()
            .ok()
    };
    is_name(&change.name)
        && number(&change.before).is_some()
        && number(&change.after).is_some()
        && change.before != change.after
}

pub(crate) fn rule(found: &RuleMatch, colour: bool) -> String {
    let rule = &found.rule;
    let mut out = String::new();
    let severity = rule.severity.map_or("", severity_name);
    let message = show_short(&rule.message, 200);
    let ends = if rule.interrupting {
        "  ends the transaction"
    } else {
        ""
    };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "  {} {severity:9} {message}{ends}", rule.rule_id);
    let _ = writeln!(out, "    at        {}:{}", rule.file.display(), rule.line);
    let _ = writeln!(
        out,
        "    operator  {}",
        // Operators are regular expressions, and users compare them with the file: their backslashes stay single.
        show_short(rule.operator.as_bytes(), 120).replace("\\\\", "\\")
    );
    if !rule.variable.is_empty() {
        let _ = writeln!(out, "    variable  {}", show_short(&rule.variable, 200));
        if rule.value != rule.transformed {
            let _ = writeln!(out, "    received  {}", show_short(&rule.value, 2 * AROUND));
        }
        let word = if rule.value == rule.transformed {
            "value"
        } else {
            "became"
        };
        let _ = writeln!(out, "    {word:9} {}", marked(found, colour));
    }
    if !rule.data.is_empty() {
        let _ = writeln!(out, "    data      {}", show_short(&rule.data, 300));
    }
    for change in found.changes.iter().filter(|change| is_score(change)) {
        let text = |bytes: &Option<Vec<u8>>| escaped(bytes.as_deref().unwrap_or_default());
        let (before, after) = (text(&change.before), text(&change.after));
        let _ = writeln!(
            out,
            "    score     {} {before} -> {after}",
            escaped(&change.name)
        );
    }
    out
}

/// The transformed value around what the operator found, which is marked.
fn marked(found: &RuleMatch, colour: bool) -> String {
    let value = found.rule.transformed.as_slice();
    let Some(span) = &found.span else {
        return show_short(value, 2 * AROUND);
    };
    let (from, to) = (
        span.start.saturating_sub(AROUND),
        (span.end + AROUND).min(value.len()),
    );
    let (open, close) = if colour {
        ("\x1b[7m", "\x1b[0m")
    } else {
        ("»", "«")
    };
    let part = |range: std::ops::Range<usize>| value.get(range).unwrap_or_default();
    format!(
        "{}{}{open}{}{close}{}{}",
        if from > 0 { "..." } else { "" },
        escaped(part(from..span.start)),
        show_short(part(span.clone()), 4 * AROUND),
        escaped(part(span.end..to)),
        if to < value.len() { "..." } else { "" },
    )
}

fn describe_exclusion(exclusion: &Exclusion) -> String {
    let mut named: Vec<String> = exclusion
        .rule_ids
        .iter()
        .take(NAMED)
        .map(u64::to_string)
        .collect();
    if exclusion.rule_ids.len() > NAMED {
        named.push(format!("{} more", exclusion.rule_ids.len() - NAMED));
    }
    let rules = match exclusion.rule_ids.len() {
        0 => "no rule".to_owned(),
        _ => named.join(", "),
    };
    let what = match &exclusion.target {
        Some(target) => format!("{} from {rules}", escaped(target.as_bytes())),
        None if exclusion.changes => format!("{rules} changed"),
        None => rules,
    };
    match exclusion.by_rule {
        0 => format!("{what}  by {}", exclusion.by),
        id => format!("{what}  by rule {id} at {}", exclusion.by),
    }
}

pub(super) fn json(explanation: &Explanation, all: bool) -> io::Result<()> {
    print_json(&to_json(explanation, all))
}

pub(super) fn to_json(explanation: &Explanation, all: bool) -> Value {
    let matches: Vec<Value> = explanation
        .matches
        .iter()
        .filter(|m| all || is_relevant(m))
        .map(json_match)
        .collect();
    let exclusions: Vec<Value> = explanation
        .exclusions
        .iter()
        .map(|e| json!({"by": e.by, "by_rule_id": e.by_rule, "rule_ids": e.rule_ids, "target": e.target, "change": if e.changes { "changed" } else { "removed" }}))
        .collect();
    let variables: Map<String, Value> = explanation
        .variables
        .iter()
        .map(|(name, values)| {
            let values = values
                .iter()
                .map(|(name, value)| json!({"name": json_text(name), "value": json_text(value)}))
                .collect();
            (name.clone(), Value::Array(values))
        })
        .collect();
    json!({
        "request": json_text(&explanation.line),
        "engine": format!("{:?}", explanation.engine),
        "verdict": json_verdict(&explanation.verdict),
        "body": explanation.body.as_ref().map(|body| json!({
            "received": body.received,
            "inspected": body.inspected,
            "parser": body.parser.unwrap_or("none"),
            "reason": body.reason.as_ref().map(|reason| json_text(reason.as_bytes())),
        })),
        "matches": matches,
        "exclusions": exclusions,
        "variables": variables,
        "notes": explanation.notes,
    })
}

pub(crate) fn json_verdict(verdict: &Verdict) -> Value {
    json!({
        "action": verdict.action,
        "status": verdict.status,
        "rule_id": verdict.rule_id,
        "phase": verdict.phase,
        "reason": verdict.reason,
    })
}

pub(crate) fn json_match(found: &RuleMatch) -> Value {
    let rule = &found.rule;
    let tags: Vec<String> = rule.tags.iter().map(|tag| json_text(tag)).collect();
    let changes: Vec<Value> = found
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
        "span": found.span.as_ref().map(|span| [span.start, span.end]),
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
