//! `drawbridge rules explain`: what the rules do with one request, and why.

#![allow(
    clippy::indexing_slicing,
    reason = "a report is an object, which takes any key"
)]

pub(super) mod show;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::source::RuleSource;
use crate::cli::error::CommandError;
use crate::cli::output::{Output, print_json};
use crate::recorded::{MOST_BYTES, Request};
use crate::review::explanation::{Explanation, explain};

/// Explain what the rules do with a request: which rule matched where, the scores, the exclusions, the verdict
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A raw HTTP request in a file, or - for standard input
    #[arg(value_name = "REQUEST")]
    pub(super) request: PathBuf,
    #[command(flatten)]
    pub(super) source: RuleSource,
    /// The raw HTTP response to this request; without one, the phases of the response do not run
    #[arg(long, value_name = "FILE")]
    pub(super) response: Option<PathBuf>,
    /// Variables whose values at the end are shown, e.g. TX,ARGS or TX:score
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(super) vars: Vec<String>,
    /// Also show silent rules (nolog) that match
    #[arg(long)]
    pub(super) all: bool,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub(super) output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let explanation = match run_explain(args) {
        Ok(explanation) => explanation,
        Err(error) => return report(&error, args.output),
    };
    let shown = match args.output {
        Output::Human => show::human(&explanation, args.all),
        Output::Json => print_json(&explanation.to_json(args.all)),
    };
    // A reader that hung up has seen what it wanted.
    drop(shown);
    ExitCode::SUCCESS
}

fn run_explain(args: &Args) -> Result<Explanation, CommandError> {
    // Before the rules, which take a second to compile: a mistyped name must not wait for that.
    let request = read(&args.request)?;
    let response = args.response.as_deref().map(read).transpose()?;
    let rules = args.source.load()?;
    let request = Request::from_file(request);
    explain(&rules, &request, response, &args.vars).map_err(CommandError::because)
}

/// Reports a failure. The JSON has a verdict in any case, so that scripts need not test for one.
fn report(error: &CommandError, output: Output) -> ExitCode {
    if output == Output::Human {
        return error.report(output);
    }
    let mut report = error.to_json();
    report["verdict"] = json!({
        "action": "error",
        "status": null,
        "rule_id": null,
        "reason": report["error"],
    });
    report["matches"] = json!([]);
    // A reader that hung up has seen what it wanted; the exit code still counts.
    let _ = writeln!(io::stdout(), "{report:#}");
    ExitCode::FAILURE
}

/// The bytes of a message in a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => io::stdin().lock().take(MOST_BYTES).read_to_end(&mut bytes),
        false => {
            std::fs::File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes))
        }
    };
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => Err(CommandError::Problem(format!(
            "{}: {error}",
            path.display()
        ))),
    }
}
