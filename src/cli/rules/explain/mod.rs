//! `drawbridge rules explain`: what the rules make of one request, and why.

mod play;
mod show;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use self::play::Explanation;
use super::source::Source;
use crate::cli::check::Output;
use crate::cli::failure::Failure;

/// Explain what the rules make of a request: what matched where, the scores, what was excluded, the verdict
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A raw HTTP request in a file, or - for standard input
    #[arg(value_name = "REQUEST")]
    pub request: PathBuf,
    #[command(flatten)]
    pub source: Source,
    /// A raw HTTP response to go with it; without one the response's phases do not run
    #[arg(long, value_name = "FILE")]
    pub response: Option<PathBuf>,
    /// Variables to show as they are at the end, e.g. TX,ARGS or TX:score
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub vars: Vec<String>,
    /// Show silent rules (nolog) that match, too
    #[arg(long)]
    pub all: bool,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub output: Output,
}

#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let explanation = match explain(args) {
        Ok(explanation) => explanation,
        Err(failure) => return tell(&failure, args.output),
    };
    let shown = match args.output {
        Output::Human => show::human(&explanation, args.all),
        Output::Json => show::json(&explanation, args.all),
    };
    // A reader that hung up has seen what it wanted.
    drop(shown);
    ExitCode::SUCCESS
}

fn explain(args: &Args) -> Result<Explanation, Failure> {
    let request = read(&args.request)?;
    let response = args.response.as_deref().map(read).transpose()?;
    let rules = args.source.load()?;
    Ok(play::explain(&rules, request, response, &args.vars)?)
}

/// Who reads the JSON finds a verdict in any case: here that there is none.
fn tell(failure: &Failure, output: Output) -> ExitCode {
    if output == Output::Human {
        return failure.tell(output);
    }
    let mut report = failure.to_json();
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

/// What is read of a request or a response.
const MOST: u64 = 128 * 1024 * 1024;

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => io::stdin().lock().take(MOST).read_to_end(&mut bytes),
        false => std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut bytes)),
    };
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}
