//! `drawbridge diff`: what a change of the configuration makes reachable.
//!
//! Made for pipelines: exit code 1 stops a change that makes something reachable that nobody owns.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::error::CommandError;
use super::exit;
use super::front_door::{FrontDoor, Location};
use super::output::Output;
use crate::config::{self, AdminAddress};
use crate::exposure::{Surface, SurfaceChange, diff};

/// Say what becomes reachable from one configuration to another
///
/// `+` becomes reachable, `-` is no longer reachable, `~` is reached in another way. NEW alone is compared
/// with the running front door, which --config or --admin names.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge diff main.toml branch.toml
  drawbridge diff --config /etc/drawbridge/drawbridge.toml drawbridge.toml
  drawbridge diff branch.toml                        what it would change in the running front door

Exit codes:
  0  nothing becomes reachable without an owner
  1  something becomes reachable without an owner
  2  wrong usage, or a configuration cannot be loaded")]
pub(super) struct Args {
    /// OLD.toml and NEW.toml; or NEW.toml alone, to compare it with the running front door
    #[arg(value_name = "FILE", required = true, num_args = 1..=2)]
    pub(super) files: Vec<PathBuf>,
    /// The configuration that the running front door runs from; it names the admin address
    #[arg(short, long, value_name = "FILE", conflicts_with = "admin")]
    pub(super) config: Option<PathBuf>,
    /// The running front door's admin address
    #[arg(long, value_name = "ADDRESS", value_parser = AdminAddress::parse)]
    pub(super) admin: Option<AdminAddress>,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub(super) output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let running = args.config.is_some() || args.admin.is_some();
    let surfaces = match (&args.files[..], running) {
        ([old, new], false) => load(old).and_then(|old| Ok((old, load(new)?))),
        // One file, with or without the location of the front door: compare it with the running configuration.
        ([new], _) => running_surface(args).and_then(|old| Ok((old, load(new)?))),
        // A comparison of two files has no place for a third configuration.
        _ => Err(problem("with --config or --admin, name only NEW")),
    };
    let changes = surfaces.and_then(|(old, new)| diff(&old, &new).map_err(problem));
    match changes {
        Ok(changes) => {
            // A reader that hung up has seen what it wanted; the exit code still counts.
            let _ = show(&changes, args.output);
            exit::success_if(!changes.iter().any(|change| change.unowned))
        }
        // 1 would say that something becomes reachable.
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
fn running_surface(args: &Args) -> Result<Surface, CommandError> {
    let front = FrontDoor {
        at: Location {
            config: args.config.clone(),
            admin: args.admin.clone(),
        },
        // `/surface` is a GET, which needs no token.
        admin_token_file: None,
    };
    front.ask("GET", "/surface").map_err(problem)
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
