//! `drawbridge diff`: what a change of the configuration makes reachable.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::error::CommandError;
use super::exit;
use super::front_door::{FrontDoor, FrontDoorError, Location};
use super::output::Output;
use crate::config::{self, AdminAddress};
use crate::exposure::{Surface, SurfaceChange, diff};

/// Say what becomes reachable from one configuration to another
///
/// `+` becomes reachable, `-` stops being reachable, `~` is reached in another way. NEW alone is compared
/// with the running front door, which --config or --admin finds.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge diff main.toml branch.toml
  drawbridge diff --config /etc/drawbridge/drawbridge.toml drawbridge.toml
  drawbridge diff branch.toml                        what it would change of the running one

Exit codes:
  0  nothing becomes reachable that has no owner
  1  something does
  2  wrong usage, or a configuration cannot be loaded")]
pub struct Args {
    /// OLD.toml and NEW.toml; or NEW.toml alone, to compare it with the running front door
    #[arg(value_name = "FILE", required = true, num_args = 1..=2)]
    pub files: Vec<PathBuf>,
    /// The configuration that the running front door runs from; it says where its admin address is
    #[arg(short, long, value_name = "FILE", conflicts_with = "admin")]
    pub config: Option<PathBuf>,
    /// The running front door's admin address
    #[arg(long, value_name = "ADDRESS", value_parser = AdminAddress::parse)]
    pub admin: Option<AdminAddress>,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub output: Output,
}

#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let running = args.config.is_some() || args.admin.is_some();
    let surfaces = match (&args.files[..], running) {
        ([old, new], false) => load(old).and_then(|old| Ok((old, load(new)?))),
        ([new], _) => ask(args).and_then(|old| Ok((old, load(new)?))),
        _ => Err(problem("with --config or --admin, name NEW alone")),
    };
    let changes = surfaces.and_then(|(old, new)| diff(&old, &new).map_err(problem));
    match changes {
        Ok(changes) => {
            // A reader that hung up has seen what it wanted; the exit code still counts.
            let _ = show(&changes, args.output);
            exit::success_if(!changes.iter().any(|change| change.unowned))
        }
        Err(error) => error.report_as(args.output, exit::USAGE),
    }
}

fn problem(why: impl Display) -> CommandError {
    CommandError::Problem(format!("diff: {why}"))
}

fn load(path: &Path) -> Result<Surface, CommandError> {
    match config::load(path) {
        Ok(loaded) => Ok(Surface::of(&loaded.config)),
        Err(found) => Err(CommandError::Diagnostics(found)),
    }
}

/// What the running front door makes reachable.
fn ask(args: &Args) -> Result<Surface, CommandError> {
    let front = FrontDoor {
        at: Location {
            config: args.config.clone(),
            admin: args.admin.clone(),
        },
        admin_token_file: None,
    };
    let body = front.request("GET", "/surface", &[]).map_err(problem)?;
    serde_json::from_slice(&body).map_err(|error| problem(FrontDoorError::InvalidAnswer(error)))
}

fn show(changes: &[SurfaceChange], output: Output) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match output {
        Output::Human if changes.is_empty() => {
            writeln!(out, "nothing changes in what is reachable")
        }
        Output::Human => changes
            .iter()
            .try_for_each(|change| writeln!(out, "{change}")),
        Output::Json => {
            let unowned = changes.iter().any(|change| change.unowned);
            let report = json!({ "unowned": unowned, "changes": changes });
            writeln!(out, "{report:#}")
        }
    }
}
