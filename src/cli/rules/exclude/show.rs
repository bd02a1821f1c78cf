//! Shows proposals and their proofs as text and as JSON.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::super::escape::show_short;
use super::Done;
use crate::cli::output::print_json;
use crate::exclusion::{Candidate, Proof, Tally};

/// Attacks and requests that are named; the others are counted.
const NAMED: usize = 5;

pub(super) fn human(done: &Done) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let proposals = &done.proposals;
    writeln!(
        out,
        "blocked by rule {}; exclusions for {}",
        proposals.stopped_by,
        proposals.scope.words()
    )?;
    for note in &done.notes {
        writeln!(out, "note: left out: {note}")?;
    }
    let classes: Vec<&str> = proposals
        .classes()
        .iter()
        .map(|class| class.name())
        .collect();
    for (number, (candidate, proof)) in (1..).zip(&proposals.candidates) {
        let state = match proof.holds() {
            true if done.taken == Some(number - 1) => "  holds, taken",
            true => "  holds",
            false => "  DOES NOT HOLD",
        };
        writeln!(out, "\n{number}  {}{state}", candidate.kind.words())?;
        show_candidate(&mut out, candidate, proof, &classes.join(", "))?;
    }
    match (&done.written, &done.files) {
        (Some(written), None) => {
            writeln!(
                out,
                "\nnothing is written without --write; it would be:\n\n{}",
                written.seclang
            )?;
        }
        (_, Some((file, tests))) => {
            writeln!(
                out,
                "\nwritten to {}, its tests to {}",
                file.display(),
                tests.display()
            )?;
        }
        (None, None) => writeln!(out, "\nno proposal that holds: nothing is written")?,
    }
    out.flush()
}

fn show_candidate(
    out: &mut impl Write,
    candidate: &Candidate,
    proof: &Proof,
    classes: &str,
) -> io::Result<()> {
    for control in &candidate.controls {
        writeln!(out, "   {control}")?;
    }
    let passes = if proof.passes {
        "the request"
    } else {
        "nothing: the request is still blocked"
    };
    writeln!(out, "   passes    {passes}")?;
    stays(out, &proof.beside, "attacks beside it and elsewhere")?;
    stays(
        out,
        &proof.other_classes,
        "attacks of other classes in the same place",
    )?;
    let opened = &proof.own_classes;
    let share = opened.passing.len() * 100 / opened.tried.max(1);
    let classes = if classes.is_empty() {
        "its own class"
    } else {
        classes
    };
    writeln!(
        out,
        "   opens     {} of {} attacks of {classes} in the same place ({share} %)",
        opened.passing.len(),
        opened.tried
    )?;
    list(out, &opened.passing)?;
    let recorded = &proof.recorded;
    if recorded.total > 0 {
        writeln!(
            out,
            "   recorded  {} requests: {} pass as intended, {} are judged otherwise",
            recorded.total,
            recorded.intended.len(),
            recorded.unintended.len()
        )?;
        for name in recorded.unintended.iter().take(NAMED) {
            writeln!(out, "             otherwise: {name}")?;
        }
    }
    let (before, after) = proof.time;
    writeln!(
        out,
        "   costs     {} us a harmless request, {} us without it (both with all proposals loaded)",
        after.as_micros(),
        before.as_micros()
    )?;
    if !candidate.is_portable {
        writeln!(
            out,
            "   note      ModSecurity reads these names otherwise; Drawbridge and Coraza do not"
        )?;
    }
    Ok(())
}

/// What is still blocked, and what is not.
fn stays(out: &mut impl Write, tally: &Tally, what: &str) -> io::Result<()> {
    let blocked = tally.tried - tally.passing.len();
    writeln!(out, "   blocked   {blocked} of {} {what}", tally.tried)?;
    list(out, &tally.passing)
}

fn list(out: &mut impl Write, passing: &[(String, String)]) -> io::Result<()> {
    for (place, attack) in passing.iter().take(NAMED) {
        writeln!(
            out,
            "             passes in {}: {}",
            show_short(place.as_bytes(), 80),
            show_short(attack.as_bytes(), 80)
        )?;
    }
    if let Some(more) = passing.len().checked_sub(NAMED).filter(|&more| more > 0) {
        writeln!(out, "             and {more} more")?;
    }
    Ok(())
}

pub(super) fn json(done: &Done) -> io::Result<()> {
    let tally = |tally: &Tally| {
        let passing = tally.passing.iter();
        let passing: Vec<Value> = passing
            .map(|(place, attack)| json!({"place": place, "attack": attack}))
            .collect();
        json!({"tried": tally.tried, "passing": passing})
    };
    let proposals: Vec<Value> = done
        .proposals
        .candidates
        .iter()
        .map(|(candidate, proof)| {
            json!({
                "kind": candidate.kind.words(),
                "rules": candidate.rules,
                "controls": candidate.controls,
                "portable": candidate.is_portable,
                "holds": proof.holds(),
                "passes": proof.passes,
                "beside": tally(&proof.beside),
                "other_classes": tally(&proof.other_classes),
                "own_classes": tally(&proof.own_classes),
                "recorded": {
                    "total": proof.recorded.total,
                    "intended": proof.recorded.intended,
                    "unintended": proof.recorded.unintended,
                },
                "microseconds": {"without": proof.time.0.as_micros(), "with": proof.time.1.as_micros()},
            })
        })
        .collect();
    print_json(&json!({
        "ok": done.taken.is_some(),
        "blocked_by": done.proposals.stopped_by,
        "scope": done.proposals.scope.words(),
        "proposals": proposals,
        "taken": done.taken.map(|at| at + 1),
        "seclang": done.written.as_ref().map(|written| &written.seclang),
        "tests": done.written.as_ref().map(|written| &written.tests),
        "files": done.files.as_ref().map(|(file, tests)| [file, tests]),
        "notes": done.notes,
    }))
}
