//! `drawbridge events`: finds and shows the requests that front doors kept.
//!
//! It reads the folder of the configuration, without the front door, and while front doors write to it.

mod export;
mod filter;
mod list;
mod show;
mod top;

use std::process::ExitCode;

use clap::Subcommand;

use super::config_file::ConfigFile;
use super::error::CommandError;
use super::offline::state_dir;
use crate::events::Event;
use crate::review::events::{event_of, shadow_event_of};

const EXAMPLES: &str = "\
Examples:
  drawbridge events list --since 2h --verdict block  what was blocked in the last two hours
  drawbridge events list --rule 942100 --route shop  where a rule matched
  drawbridge events list --subject anna               what one caller sent
  drawbridge events top --by argument --since 7d     which arguments rules match most
  drawbridge events show 01970c2e-...                one request: what matched where, and what became of it
  drawbridge events export 01970c2e-... | drawbridge rules explain -
                                                     the same request under today's rules";

/// Show the requests that were kept: blocked ones, those that would have been, and a sample
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true, after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::Args),
    Show(show::Args),
    Top(top::Args),
    Export(export::Args),
}

pub(super) fn run(args: &Args) -> ExitCode {
    match &args.verb {
        Verb::List(args) => list::run(args),
        Verb::Show(args) => show::run(args),
        Verb::Top(args) => top::run(args),
        Verb::Export(args) => export::run(args),
    }
}

fn read_event(config: &ConfigFile, id: &str) -> Result<Event, CommandError> {
    Ok(event_of(&state_dir(config)?, id)?)
}

/// The event that the shadow of its policy made of a request.
fn read_shadow_event(config: &ConfigFile, id: &str) -> Result<Event, CommandError> {
    Ok(shadow_event_of(&state_dir(config)?, id)?)
}
