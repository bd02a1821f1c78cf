//! `drawbridge check`: everything that is wrong with a configuration, at once.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::config_file::ConfigFile;
use super::failure::Failure;
use crate::config;
use crate::exposure::{self, ShadowedPath, Surface};
use seclang::diagnostic::{Diagnostic, Severity};

/// Check a configuration, its rules and its certificates; name every problem with its place
///
/// Exits 0 if it can be run (there may be warnings), 1 if not.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub config: ConfigFile,
    /// How to show what was found
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Each problem on standard error, with its line and a caret
    Human,
    /// One JSON object on standard output
    Json,
}

#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let path = match args.config.find() {
        Ok(path) => path,
        Err(problem) => return Failure::from(problem).tell(args.output),
    };
    let (found, shadowed) = match config::load(&path) {
        Ok(loaded) => (
            loaded.warnings,
            exposure::shadowed_paths(&Surface::of(&loaded.config)),
        ),
        Err(found) => (found, Ok(Vec::new())),
    };
    let shadowed = match shadowed {
        Ok(shadowed) => shadowed,
        Err(why) => return Failure::Problem(format!("check: {why}")).tell(args.output),
    };
    let shown = match args.output {
        Output::Human => show_human(&found, &shadowed, &path),
        Output::Json => show_json_with(&found, Some(&shadowed)),
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    let _ = shown;
    match found.iter().any(Diagnostic::is_error) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// Whether standard error is a terminal that wants colours (<https://no-color.org>).
#[must_use]
pub fn wants_colour() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && io::stderr().is_terminal()
}

fn show_human(found: &[Diagnostic], shadowed: &[ShadowedPath], path: &Path) -> io::Result<()> {
    let colour = wants_colour();
    let mut err = io::stderr().lock();
    for diagnostic in found {
        err.write_all(diagnostic.render(colour).as_bytes())?;
    }
    drop(err);
    let line = summary(found);
    let mut out = io::stdout().lock();
    writeln!(out, "{}: {line}", path.display())?;
    shadowed.iter().try_for_each(|path| writeln!(out, "{path}"))
}

pub(super) fn summary(found: &[Diagnostic]) -> String {
    let (errors, warnings) = count(found);
    let plural = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    };
    match (errors, warnings) {
        (0, 0) => "ok".to_owned(),
        (0, _) => format!("ok, {}", plural(warnings, "warning")),
        (_, 0) => plural(errors, "error"),
        _ => format!(
            "{}, {}",
            plural(errors, "error"),
            plural(warnings, "warning")
        ),
    }
}

pub(super) fn show_json(found: &[Diagnostic]) -> io::Result<()> {
    show_json_with(found, None)
}

/// With what narrower routes keep from a listener, where that was looked at.
fn show_json_with(found: &[Diagnostic], shadowed: Option<&[ShadowedPath]>) -> io::Result<()> {
    let (errors, warnings) = count(found);
    let mut report = json!({
        "ok": errors == 0,
        "errors": errors,
        "warnings": warnings,
        "problems": problems_json(found),
    });
    if let Some(shadowed) = shadowed {
        report["kept_back"] = json!(shadowed);
    }
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &report)?;
    writeln!(out)
}

/// An array of the problems, each with its place.
pub(super) fn problems_json(found: &[Diagnostic]) -> Value {
    found.iter().map(to_json).collect()
}

fn to_json(diagnostic: &Diagnostic) -> Value {
    let at = &diagnostic.location;
    json!({
        "severity": match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "file": at.path.to_string_lossy(),
        "line": at.line,
        "column": at.column,
        "width": at.width,
        "text": at.text,
        "message": diagnostic.message,
        "help": diagnostic.help,
    })
}

fn count(found: &[Diagnostic]) -> (usize, usize) {
    let errors = found.iter().filter(|d| d.is_error()).count();
    (errors, found.len() - errors)
}
