//! How verbs show their results: the two forms of output, and problems of files in both.
//!
//! The lowest file of the command line; every verb imports it.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::counted::counted;
use crate::review::error::problems_json;
use seclang::diagnostic::Diagnostic;

/// The form of a verb's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// Text; each problem on standard error, with its line and a caret
    Human,
    /// One JSON object on standard output
    Json,
}

/// Whether a stream is a terminal that wants colours (<https://no-color.org>).
pub(super) fn wants_colour(stream: &impl IsTerminal) -> bool {
    // The convention counts an empty variable as unset.
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && stream.is_terminal()
}

/// Writes each diagnostic to standard error.
pub(super) fn print_diagnostics(found: &[Diagnostic]) -> io::Result<()> {
    // Standard output may be a pipe while somebody reads the problems on a terminal.
    let colour = wants_colour(&io::stderr());
    let mut err = io::stderr().lock();
    found
        .iter()
        .try_for_each(|diagnostic| err.write_all(diagnostic.render(colour).as_bytes()))
}

/// `ok`, or how many errors and warnings there are.
pub(super) fn summary(found: &[Diagnostic]) -> String {
    let (errors, warnings) = count(found);
    match (errors, warnings) {
        (0, 0) => "ok".to_owned(),
        (0, _) => format!("ok, {}", counted(warnings, "warning")),
        (_, 0) => counted(errors, "error"),
        _ => format!(
            "{}, {}",
            counted(errors, "error"),
            counted(warnings, "warning")
        ),
    }
}

/// The report of a check: `ok`, `errors`, `warnings` and `problems`.
pub(super) fn check_report(found: &[Diagnostic]) -> Value {
    let (errors, warnings) = count(found);
    json!({
        // Warnings do not keep a front door from starting.
        "ok": errors == 0,
        "errors": errors,
        "warnings": warnings,
        "problems": problems_json(found),
    })
}

/// Writes a value to standard output, over several lines.
pub(super) fn print_json(value: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)
}

fn count(found: &[Diagnostic]) -> (usize, usize) {
    let errors = found.iter().filter(|d| d.is_error()).count();
    (errors, found.len() - errors)
}
