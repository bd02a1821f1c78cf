//! `drawbridge rules check`: everything that is wrong with rule files, at once.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::cli::exit;
use crate::cli::output::{Output, check_report, print_diagnostics, print_json, summary};
use crate::counted::counted;
use crate::review::replay::add_rules;
use seclang::diagnostic::Diagnostic;
use waf::{Problems, RuleSet};

/// Check rule files; name every problem with its place
///
/// Exits 0 if they can be loaded (there may be warnings), 1 if not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Rule files or globs, loaded in the order given
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<String>,
    /// How to show what was found
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub(super) output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let built = args
        .files
        .iter()
        .fold(RuleSet::builder(), add_rules)
        .build();
    let (found, count) = match built {
        Ok(rules) => (rules.warnings().to_vec(), Some(rules.summaries().count())),
        Err(Problems(found)) => (found, None),
    };
    match args.output {
        Output::Human => {
            // A reader that hung up has seen what it wanted.
            let _ = print_diagnostics(&found);
            let rules = count
                .map(|n| format!("{}: ", counted(n, "rule")))
                .unwrap_or_default();
            let _ = writeln!(io::stdout(), "{rules}{}", summary(&found));
        }
        // A reader that hung up has seen what it wanted; the exit code still counts.
        Output::Json => drop(print_json(&check_report(&found))),
    }
    exit::success_if(!found.iter().any(Diagnostic::is_error))
}
