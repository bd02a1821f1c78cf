//! `drawbridge check`: everything that is wrong with a configuration, at once.

#![allow(
    clippy::indexing_slicing,
    reason = "a member that JSON lacks is null, and one that is set is added"
)]

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::config_file::ConfigFile;
use super::error::CommandError;
use super::exit;
use super::output::{Output, check_report, print_diagnostics, print_json, summary};
use crate::config;
use crate::exposure::{ShadowedPath, Surface, shadowed_paths};
use seclang::diagnostic::Diagnostic;

/// Check a configuration, its rules and its certificates; name every problem with its place
///
/// Exits 0 if the front door can run from it (there may be warnings), 1 if not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// How to show what was found
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let path = match args.config.find() {
        Ok(path) => path,
        Err(error) => return CommandError::because(error).report(args.output),
    };
    let (found, shadowed) = match config::load(&path) {
        Ok(loaded) => (
            loaded.warnings,
            shadowed_paths(&Surface::of(&loaded.config)),
        ),
        // Without a valid configuration there are no routes to compare.
        Err(found) => (found, Ok(Vec::new())),
    };
    let shadowed = match shadowed {
        Ok(shadowed) => shadowed,
        Err(error) => {
            return CommandError::Problem(format!("check: {error}")).report(args.output);
        }
    };
    let shown = match args.output {
        Output::Human => show_human(&found, &shadowed, &path),
        Output::Json => {
            let mut report = check_report(&found);
            // Keys of the JSON are an interface and do not follow the names in the code.
            report["kept_back"] = json!(shadowed);
            print_json(&report)
        }
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    let _ = shown;
    exit::success_if(!found.iter().any(Diagnostic::is_error))
}

fn show_human(found: &[Diagnostic], shadowed: &[ShadowedPath], path: &Path) -> io::Result<()> {
    print_diagnostics(found)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{}: {}", path.display(), summary(found))?;
    shadowed.iter().try_for_each(|path| writeln!(out, "{path}"))
}
