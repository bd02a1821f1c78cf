//! `drawbridge rules shadow`: what the shadow of a policy would change, and the edit that takes it over.

#![allow(
    clippy::indexing_slicing,
    reason = "a key that JSON lacks is null, and indices were found in the same list"
)]

mod show;
mod unified;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap_complete::engine::ArgValueCompleter;
use serde_json::{Value, json};

use crate::cli::config_file;
use crate::cli::error::{CommandError, shown_or_reported};
use crate::cli::front_door::FrontDoor;
use crate::cli::output::{Output, print_json};
use crate::config::{self, NamedKind, Promotion, PromotionError};

/// Show what the shadow of a policy would change in the running front door
///
/// A policy's `shadow` is a second rule set that sees a sample of the requests after they were answered and changes
/// nothing. The counts are those of the present rules of both since this process began. With --promote no front door is
/// asked: the edit of the configuration that makes the shadow's rules the policy's is printed as a diff. Nothing is
/// written.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge rules shadow
  drawbridge rules shadow --policy shop --output json
  drawbridge events list --verdict shadow                   the requests whose verdict would change
  drawbridge rules shadow --policy shop --promote | patch -p0

Exit codes:
  0  shown
  1  no front door answers, or there is no such policy, no such shadow or no such edit
  2  wrong usage")]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    front: FrontDoor,
    /// The policy [default: every one with a shadow; with --promote the only one]
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(config_file::policies))]
    policy: Option<String>,
    /// Print the edit that makes the shadow's rules the policy's
    #[arg(long, conflicts_with_all = ["admin", "admin_token_file"])]
    promote: bool,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(in crate::cli) fn run(args: &Args) -> ExitCode {
    match args.promote {
        true => promote(args),
        false => report(args),
    }
}

fn report(args: &Args) -> ExitCode {
    let report = match fetch(args) {
        Ok(report) => report,
        Err(error) => return error.report(args.output),
    };
    let shown = match args.output {
        Output::Human => io::stdout().write_all(show::human(&report).as_bytes()),
        Output::Json => print_json(&report),
    };
    shown_or_reported(shown, args.output)
}

/// The answer of `GET /rules/shadow`, of the named policy alone if one is named.
fn fetch(args: &Args) -> Result<Value, CommandError> {
    let mut report: Value = args.front.ask("GET", "/rules/shadow")?;
    let Some(name) = &args.policy else {
        return Ok(report);
    };
    if let Some(shadows) = report["shadows"].as_array_mut() {
        shadows.retain(|shadow| shadow["policy"] == json!(name));
        // A mistyped name must not look like a shadow that changes nothing.
        if shadows.is_empty() {
            let problem = format!("the front door has no policy {name:?} with a shadow");
            return Err(CommandError::Problem(problem));
        }
    }
    Ok(report)
}

fn promote(args: &Args) -> ExitCode {
    let promotion = match find_promotion(args) {
        Ok(promotion) => promotion,
        Err(error) => return error.report(args.output),
    };
    let path = promotion.path.display().to_string();
    let diff = unified::diff(&path, &promotion.before, &promotion.after);
    let shown = match args.output {
        Output::Human => io::stdout().write_all(diff.as_bytes()),
        Output::Json => print_json(&json!({ "ok": true, "file": path, "diff": diff })),
    };
    // On standard error, because `patch` reads standard output.
    if args.output == Output::Human {
        eprintln!(
            "nothing was written; after the edit, `drawbridge check` runs the exclusions' tests under these rules"
        );
    }
    shown_or_reported(shown, args.output)
}

fn find_promotion(args: &Args) -> Result<Promotion, CommandError> {
    let file = config_file::find(args.front.at.config.as_deref());
    let file = file.map_err(CommandError::because)?;
    let name = match &args.policy {
        Some(name) => name.clone(),
        None => only_policy(&file)?,
    };
    let promoted = config::promote_shadow(&file, &name).map_err(CommandError::Diagnostics)?;
    promoted.map_err(|error| {
        let file = file.display();
        CommandError::Problem(match error {
            PromotionError::NoPolicy => format!("{file}: there is no policy {name:?}"),
            PromotionError::NoShadow => format!("{file}: policy {name:?} has no shadow"),
            PromotionError::ByHand(keys) => format!(
                "{file}: policy {name:?} is written in a way that this verb cannot edit; write in place of \"shadow\":\n{keys}"
            ),
        })
    })
}

fn only_policy(file: &Path) -> Result<String, CommandError> {
    let mut names = config::names_in(file, NamedKind::Policy);
    // `pop` comes first, so an empty list means that there was exactly one.
    match (names.pop(), names.is_empty()) {
        (Some(only), true) => Ok(only),
        _ => Err(CommandError::Problem(
            "name the policy with --policy NAME".to_owned(),
        )),
    }
}
