//! Shows an explanation as text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::ops::Range;

use crate::cli::output::wants_colour;
use crate::counted::counted;
use crate::review::escape::{show as escaped, show_short};
use crate::review::explanation::{Exclusion, Explanation, RuleMatch, phase_name, severity_name};
use waf::Inspection;

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

pub(in crate::cli) fn write_human(
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
    for found in explanation
        .matches
        .iter()
        .filter(|m| all || m.is_relevant())
    {
        // Matches are in the order of the phases, so each phase gets one heading.
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
        None => format!("{}, {parser}", counted(received, "byte")),
        Some(why) => {
            let why = show_short(why.as_bytes(), 400);
            let received = counted(received, "byte");
            format!("{inspected} of {received}, {parser}; not inspected: {why}")
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
    // Updates of targets come by the hundred from one file of the CRS, removals one by one from a team's.
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
        let (rules, lines) = (counted(rules.len(), "rule"), changes.len());
        writeln!(
            out,
            "  {rules} changed  by {lines} lines of {file} (`rules list` names them)"
        )?;
    }
    Ok(())
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
        // The operator saw the transformed value, so its span is one of that.
        let shown = marked(&rule.transformed, rule.span.clone(), colour);
        let _ = writeln!(out, "    {word:9} {shown}");
    }
    if !rule.data.is_empty() {
        let _ = writeln!(out, "    data      {}", show_short(&rule.data, 300));
    }
    for change in found.changes.iter().filter(|change| change.is_score()) {
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

/// The value around the bytes that an operator found, which are marked.
pub(in crate::cli) fn marked(value: &[u8], span: Option<Range<usize>>, colour: bool) -> String {
    // A record on the disk may say anything.
    let span = span.filter(|span| span.start <= span.end && span.end <= value.len());
    let Some(span) = span else {
        return show_short(value, 2 * AROUND);
    };
    let (from, to) = (
        span.start.saturating_sub(AROUND),
        (span.end + AROUND).min(value.len()),
    );
    // Marks that a value rarely has, so that they are not taken for a part of it.
    let (open, close) = if colour {
        ("\x1b[7m", "\x1b[0m")
    } else {
        ("»", "«")
    };
    let part = |range: Range<usize>| value.get(range).unwrap_or_default();
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
