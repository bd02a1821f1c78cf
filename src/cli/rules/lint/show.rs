//! Shows findings as `check` shows problems.

use std::io::{self, Write};

use crate::cli::output::print_diagnostics;
use crate::counted::counted;
use crate::exclusion::lint::Finding;
use crate::review::escape::show_short;
use crate::review::lint::LintReport;
use seclang::diagnostic::Diagnostic;

pub(super) fn human(report: &LintReport) -> io::Result<()> {
    let found: Vec<Diagnostic> = report.findings.iter().map(Finding::diagnostic).collect();
    print_diagnostics(&found)?;
    let mut out = io::stdout().lock();
    for note in &report.notes {
        writeln!(out, "note: {note}")?;
    }
    let looked = &report.looked;
    if looked.not_judged > 0 {
        let why = looked.why.as_deref().unwrap_or_default();
        writeln!(
            out,
            "not judged: {}, the first because {}",
            counted(looked.not_judged, "recorded request"),
            show_short(why.as_bytes(), 300)
        )?;
    }
    let evidence = match looked.evidence.requests {
        0 => "no request was recorded, so nothing is known of their use".to_owned(),
        _ => looked.evidence.words(),
    };
    writeln!(
        out,
        "policy {:?}: {}, {evidence}: {}",
        report.policy,
        counted(report.exclusions, "exclusion"),
        match report.findings.len() {
            0 => "ok".to_owned(),
            count => counted(count, "finding"),
        }
    )
}
