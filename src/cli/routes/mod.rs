//! `drawbridge routes`: what a route does, as the configuration says it.
//!
//! It answers from the data that the front door runs on, so that it cannot say anything else than what happens.

mod report;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use self::report::RouteReport;
use super::config_file::{self, ConfigFile};
use super::error::{CommandError, shown_or_reported};
use super::offline::load;
use super::output::{Output, print_json};
use crate::config::Config;
use crate::exposure::Surface;

/// Show what routes do: who may call what, what inspects it, and what the gateway learns of the caller
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Show(ShowArgs),
}

/// Show one route, or a line for each
///
/// Hosts, paths, methods, listeners with their exposures and what they demand of callers, the policy, the upstream, and the
/// header fields that say who is calling: in which spellings they are removed from clients' requests, and which ones the
/// gateway gets. `drawbridge headers` lists the other fields that are removed, `drawbridge expose status` says what is on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge routes show
  drawbridge routes show orders
  drawbridge routes show orders --output json

Exit codes:
  0  shown
  1  there is no such route, or the configuration cannot be used
  2  wrong usage")]
struct ShowArgs {
    /// The name of a route; without one, a line for each route
    #[arg(value_name = "ROUTE", add = clap_complete::engine::ArgValueCompleter::new(config_file::routes))]
    route: Option<String>,
    #[command(flatten)]
    config: ConfigFile,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let Verb::Show(args) = &args.verb;
    show(args).unwrap_or_else(|error| error.report(args.output))
}

fn show(args: &ShowArgs) -> Result<ExitCode, CommandError> {
    let config = load(&args.config)?;
    let reports = reports(&config);
    let shown = match &args.route {
        Some(name) => {
            let found = reports.iter().find(|report| report.name() == name);
            let found = found.ok_or_else(|| unknown(name, &reports))?;
            match args.output {
                Output::Human => found.write(&mut io::stdout().lock()),
                Output::Json => print_json(&json!({ "ok": true, "route": found.to_json() })),
            }
        }
        None => match args.output {
            Output::Human => list(&reports),
            Output::Json => {
                let routes: Vec<_> = reports.iter().map(RouteReport::to_json).collect();
                print_json(&json!({ "ok": true, "routes": routes }))
            }
        },
    };
    Ok(shown_or_reported(shown, args.output))
}

fn reports(config: &Config) -> Vec<RouteReport<'_>> {
    let surface = Surface::of(config);
    let routes = config.routes.iter().zip(surface.routes);
    routes
        .map(|((_, route), surface)| RouteReport::new(config, route, surface))
        .collect()
}

fn unknown(name: &str, reports: &[RouteReport<'_>]) -> String {
    let known: Vec<&str> = reports.iter().map(RouteReport::name).collect();
    format!(
        "there is no route {name:?}; there are: {}",
        known.join(", ")
    )
}

fn list(reports: &[RouteReport<'_>]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    reports
        .iter()
        .try_for_each(|report| writeln!(out, "{}", report.line()))
}
