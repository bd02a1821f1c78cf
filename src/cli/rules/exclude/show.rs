//! Shows proposals and their proofs as text.

use std::io::{self, Write};

use crate::counted::counted;
use crate::exclusion::{Candidate, Extent, Proof};
use crate::review::escape::show_short;
use crate::review::exclude::{Excluded, JudgedBy};

/// Attacks and requests that are named; the others are counted.
const NAMED: usize = 5;

pub(super) fn human(done: &Excluded) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let proposals = &done.proposals;
    writeln!(
        out,
        "blocked by rule {}{}; exclusions for {}",
        proposals.stopped_by,
        match done.judged_by {
            JudgedBy::Policy => "",
            JudgedBy::Shadow => " of the shadow",
        },
        proposals.scope.words()
    )?;
    for note in &done.notes {
        writeln!(out, "note: {note}")?;
    }
    for (number, (candidate, proof)) in (1..).zip(&proposals.candidates) {
        // Also what does not hold is shown, with what it opens: it is what somebody would have written by hand.
        let state = match proof.holds() {
            true if done.taken == Some(number - 1) => "  holds, taken",
            true => "  holds",
            false => "  DOES NOT HOLD",
        };
        writeln!(out, "\n{number}  {}{state}", candidate.kind.words())?;
        show_candidate(&mut out, candidate, proof)?;
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

fn show_candidate(out: &mut impl Write, candidate: &Candidate, proof: &Proof) -> io::Result<()> {
    for control in &candidate.controls {
        writeln!(out, "   {control}")?;
    }
    let passes = if proof.passes {
        "the request"
    } else {
        "nothing: the request is still blocked"
    };
    writeln!(out, "   passes    {passes}")?;
    let beside = &proof.beside;
    writeln!(
        out,
        "   blocked   {} of {} attacks beside it and elsewhere",
        beside.tried - beside.passing.len(),
        beside.tried
    )?;
    list(out, &beside.passing)?;
    show_opened(out, proof)?;
    let recorded = &proof.recorded;
    if recorded.total > 0 {
        writeln!(
            out,
            "   recorded  {}: {} pass as intended, {} are judged otherwise",
            counted(recorded.total, "request"),
            recorded.intended.len(),
            recorded.unintended.len()
        )?;
        for (what, names) in [
            ("passes", &recorded.intended),
            ("otherwise", &recorded.unintended),
        ] {
            for name in names.iter().take(NAMED) {
                writeln!(out, "             {what}: {name}")?;
            }
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
            "   note      ModSecurity reads these names otherwise or not at all; Drawbridge and Coraza read them"
        )?;
    }
    Ok(())
}

/// What attacks in the place of the false positive become, class by class.
fn show_opened(out: &mut impl Write, proof: &Proof) -> io::Result<()> {
    let (mut blocked, mut tried) = (0, 0);
    for opened in &proof.in_place {
        let (tally, class) = (&opened.tally, opened.class.name());
        let word = match (opened.is_own, tally.extent()) {
            // The last line sums these up: among a dozen classes, those that open must stand out.
            (false, Extent::Nothing) => {
                blocked += 1;
                tried += tally.tried;
                continue;
            }
            (true, _) => "opens     its own class, ",
            (false, Extent::Part) => "OPENS     beyond its own class, ",
            (false, Extent::All) => "OPENS ALL beyond its own class, ",
        };
        let passing = tally.passing.len();
        let of = tally.tried;
        writeln!(
            out,
            "   {word}{class}: {passing} of {of} attacks in the same place pass"
        )?;
        list(out, &tally.passing)?;
    }
    for place in &proof.untried {
        writeln!(
            out,
            "   UNTRIED   no attack could be tried in {}",
            show_short(place.as_bytes(), 80)
        )?;
    }
    writeln!(
        out,
        "   blocked   {tried} of {tried} attacks of {blocked} other classes in the same place"
    )
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
