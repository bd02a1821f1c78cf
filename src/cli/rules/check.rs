//! `drawbridge rules check`: everything that is wrong with rule files, at once.

use std::process::ExitCode;

use super::source::{add, tell};
use crate::cli::output::{Output, check_report, print_json, summary};
use seclang::diagnostic::Diagnostic;
use waf::{Problems, RuleSet};

/// Check rule files; name every problem with its place
///
/// Exits 0 if they can be loaded (there may be warnings), 1 if not.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Rule files or globs, loaded in the order given
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    /// How to show what was found
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub output: Output,
}

#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let built = args.files.iter().fold(RuleSet::builder(), add).build();
    let (found, count) = match built {
        Ok(rules) => (rules.warnings().to_vec(), Some(rules.summaries().count())),
        Err(Problems(found)) => (found, None),
    };
    match args.output {
        Output::Human => {
            tell(&found);
            let rules = count.map(|n| format!("{n} rules: ")).unwrap_or_default();
            println!("{rules}{}", summary(&found));
        }
        // A reader that hung up has seen what it wanted; the exit code still counts.
        Output::Json => drop(print_json(&check_report(&found))),
    }
    match found.iter().any(Diagnostic::is_error) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}
