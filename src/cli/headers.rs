//! `drawbridge headers`: which header fields of a request the front door drops.
//!
//! The table is the one that the proxy uses, so this output cannot differ from what the proxy does.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::json;

use super::output::Output;
use crate::dropped_fields::{Dropped, FIELD_RULES, FieldRule, field_rule};

/// Say which header fields are dropped from whom, and why
///
/// Names are compared without case, and every separator of words counts as a dash: X_Real_IP and
/// X.Real.IP are X-Real-IP. Trusted proxies are those in the listener's `trusted_proxies`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge headers                                 the whole table
  drawbridge headers X-Forwarded-User Api_Key        what happens to these
  drawbridge headers --output json

Exit codes:
  0  as asked
  2  wrong usage")]
pub(super) struct Args {
    /// Fields to look up; without names, the whole table
    #[arg(value_name = "NAME")]
    pub(super) names: Vec<String>,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub(super) output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let rows: Vec<(&str, Option<&FieldRule>)> = match args.names.is_empty() {
        true => FIELD_RULES
            .iter()
            .map(|rule| (rule.name, Some(rule)))
            .collect(),
        false => {
            let names = args.names.iter();
            names
                .map(|name| (name.as_str(), field_rule(name.as_bytes())))
                .collect()
        }
    };
    // A reader that hung up has seen what it wanted.
    let _ = show(&rows, args.output);
    ExitCode::SUCCESS
}

fn show(rows: &[(&str, Option<&FieldRule>)], output: Output) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match output {
        Output::Human => {
            let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
            for (name, rule) in rows {
                let (from, why) = match rule {
                    Some(rule) => (rule.dropped.words(), rule.why),
                    None => ("nobody", "goes to the gateway as it came"),
                };
                // The longest of the words, so that the last column begins at one place.
                let column = Dropped::OtherSpellings.words().len();
                writeln!(out, "{name:width$}  dropped from {from:column$}  {why}")?;
            }
            Ok(())
        }
        Output::Json => {
            let fields = rows.iter().map(|(name, rule)| {
                json!({
                    "name": name,
                    "rule": rule.map(|rule| rule.name),
                    "dropped": rule.map(|rule| rule.dropped),
                    "why": rule.map(|rule| rule.why),
                })
            });
            let fields: Vec<_> = fields.collect();
            writeln!(out, "{:#}", json!({ "fields": fields }))
        }
    }
}
