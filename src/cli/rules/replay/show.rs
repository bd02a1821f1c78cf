//! Shows what a replay found, as text.

use std::io::{self, Write};

use super::super::explain::show::rule;
use crate::cli::output::{print_diagnostics, wants_colour};
use crate::judgement::DifferenceKind;
use crate::review::escape::show_short;
use crate::review::explanation::Verdict;
use crate::review::replay::Sides;
use crate::review::replay::compare::{Comparison, Difference};
use crate::review::replay::report::{
    change, explain_both, matches_only_in, not_judged, unreadable,
};
use crate::review::replay::source::Requests;
use seclang::diagnostic::Diagnostic;

/// How many differences are explained where nobody asks for all.
const EXPLAINED: usize = 25;
/// How many rules, and requests that cannot be judged, are named.
const NAMED: usize = 8;

pub(super) fn human(
    comparison: &Comparison,
    sides: &Sides,
    requests: &dyn Requests,
    all: bool,
) -> io::Result<()> {
    let problems: Vec<Diagnostic> = unreadable(comparison).cloned().collect();
    print_diagnostics(&problems)?;
    let colour = wants_colour(&io::stdout());
    let mut out = io::BufWriter::new(io::stdout().lock());
    writeln!(out, "{}", summary(comparison))?;
    remarks(&mut out, comparison)?;
    let shown = match all {
        true => comparison.differences.len(),
        false => EXPLAINED,
    };
    for difference in comparison.differences.iter().take(shown) {
        explain_in_words(&mut out, difference, sides, requests, colour)?;
    }
    let left = comparison.differences.len().saturating_sub(shown);
    if left > 0 {
        writeln!(
            out,
            "\n{} more differences: --all explains them",
            grouped(left)
        )?;
    }
    out.flush()
}

/// `12,480 requests: 3 newly blocked, 0 newly allowed, CPU a request +4 %`
fn summary(comparison: &Comparison) -> String {
    let count = |kind| grouped(comparison.count(kind));
    let mut parts = vec![
        format!("{} newly blocked", count(DifferenceKind::NewlyBlocked)),
        format!("{} newly allowed", count(DifferenceKind::NewlyAllowed)),
    ];
    if comparison.count(DifferenceKind::AnsweredDifferently) > 0 {
        let count = count(DifferenceKind::AnsweredDifferently);
        parts.push(format!("{count} blocked with another answer"));
    }
    if !comparison.not_replayed.is_empty() {
        parts.push(format!(
            "{} not judged",
            grouped(comparison.not_replayed.len())
        ));
    }
    parts.push(match change(comparison) {
        Some(percent) => format!("CPU a request {percent:+.0} %"),
        None => "CPU not measured".to_owned(),
    });
    let plural = if comparison.requests == 1 { "" } else { "s" };
    format!(
        "{} request{plural}: {}",
        grouped(comparison.requests),
        parts.join(", ")
    )
}

/// What does not change the verdict on the candidate, and what could not be judged.
fn remarks(out: &mut impl Write, comparison: &Comparison) -> io::Result<()> {
    let allowed = comparison.differences.iter().filter(|d| d.allowed).count();
    if allowed > 0 {
        writeln!(
            out,
            "--allow names {} of these differences",
            grouped(allowed)
        )?;
    }
    for name in &comparison.allowed_in_vain {
        writeln!(
            out,
            "--allow {}: nothing differs there",
            show_short(name.as_bytes(), 200)
        )?;
    }
    if comparison.other_matches > 0 {
        let mut rules: Vec<_> = comparison.rules.iter().collect();
        // Only the first are named, so those with the most changes come first.
        rules.sort_by_key(|(_, (more, fewer))| std::cmp::Reverse(more + fewer));
        let named = rules
            .iter()
            .take(NAMED)
            .map(|(rule, (more, fewer))| match (more, fewer) {
                (more, 0) => format!("{rule} {} more", times(*more)),
                (0, fewer) => format!("{rule} {} less", times(*fewer)),
                (more, fewer) => {
                    format!("{rule} {} more and {} less", times(*more), times(*fewer))
                }
            });
        let mut named: Vec<String> = named.collect();
        if rules.len() > NAMED {
            named.push(format!("{} more rules", rules.len() - NAMED));
        }
        let requests = grouped(comparison.other_matches);
        writeln!(
            out,
            "the same verdict with other matches: {requests} (rule {})",
            named.join(", ")
        )?;
    }
    if comparison.refused > 0 {
        let refused = grouped(comparison.refused);
        writeln!(
            out,
            "refused before any rule, because HTTP forbids them: {refused}"
        )?;
    }
    // Last and in every report: a replay of requests that it could not judge must not look like a clean one.
    let not_judged: Vec<_> = not_judged(comparison).collect();
    for (id, why) in not_judged.iter().take(NAMED) {
        writeln!(
            out,
            "cannot be judged: {}: {}",
            show_short(id.as_bytes(), 200),
            show_short(why.as_bytes(), 300)
        )?;
    }
    match not_judged.len().saturating_sub(NAMED) {
        0 => Ok(()),
        more => writeln!(out, "cannot be judged: {} more", grouped(more)),
    }
}

fn explain_in_words(
    out: &mut impl Write,
    difference: &Difference,
    sides: &Sides,
    requests: &dyn Requests,
    colour: bool,
) -> io::Result<()> {
    let allowed = if difference.allowed {
        "  (allowed)"
    } else {
        ""
    };
    let id = show_short(difference.id.as_bytes(), 200);
    writeln!(out, "\n{}: {id}{allowed}", kind_in_words(difference.kind))?;
    let Some(found) = explain_both(difference, sides, requests) else {
        return writeln!(out, "  it can no longer be read");
    };
    writeln!(out, "  {}", show_short(&found.live.line, 200))?;
    for note in &found.live.notes {
        writeln!(out, "  note: {}", show_short(note.as_bytes(), 300))?;
    }
    writeln!(
        out,
        "  live:      {}",
        verdict_in_words(&found.live.verdict)
    )?;
    writeln!(
        out,
        "  candidate: {}",
        verdict_in_words(&found.candidate.verdict)
    )?;
    for (side, matches) in [
        (
            "the candidate",
            matches_only_in(&found.candidate, &found.live),
        ),
        (
            "what is live",
            matches_only_in(&found.live, &found.candidate),
        ),
    ] {
        if !matches.is_empty() {
            writeln!(out, "  only {side} matches")?;
        }
        for found in matches {
            for line in rule(found, colour).lines() {
                writeln!(out, "  {line}")?;
            }
        }
    }
    Ok(())
}

fn verdict_in_words(verdict: &Verdict) -> String {
    let status = verdict.status.map(|s| format!(" {s}")).unwrap_or_default();
    let reason = show_short(verdict.reason.as_bytes(), 400);
    format!("{}{status}, {reason}", verdict.action)
}

fn kind_in_words(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::NewlyBlocked => "newly blocked",
        DifferenceKind::NewlyAllowed => "newly allowed",
        DifferenceKind::AnsweredDifferently => "blocked with another answer",
    }
}

fn times(count: usize) -> String {
    match count {
        1 => "once".to_owned(),
        _ => format!("{} times", grouped(count)),
    }
}

/// A number with a comma between thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
