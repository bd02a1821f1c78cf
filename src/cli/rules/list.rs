//! `drawbridge rules list`: every rule that is loaded.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::source::RuleSource;
use crate::cli::output::Output;
use crate::counted::counted;
use crate::review::explanation::severity_name;
use waf::RuleSummary;

/// List the rules of a policy: id, phase, severity, paranoia level, file and line, message, and what changes them
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) source: RuleSource,
    /// How to show them
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub(super) output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let rules = match args.source.load() {
        Ok(rules) => rules,
        Err(failure) => return failure.report(args.output),
    };
    // Whoever looks for a rule must see that it is gone, and by which line.
    let removed = rules.removed().iter().cloned();
    let summaries: Vec<RuleSummary> = rules.summaries().chain(removed).collect();
    let shown = match args.output {
        Output::Human => show_table(&summaries),
        Output::Json => show_json(&summaries),
    };
    // A reader that hung up has seen what it wanted.
    drop(shown);
    ExitCode::SUCCESS
}

/// The paranoia level, which the CRS states in a tag such as `paranoia-level/2`.
pub(super) fn paranoia(rule: &RuleSummary) -> Option<u8> {
    rule.tags
        .iter()
        .find_map(|tag| tag.strip_prefix("paranoia-level/"))
        .and_then(|level| level.parse().ok())
}

fn show_table(rules: &[RuleSummary]) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    writeln!(
        out,
        "{:>8}  PH  {:9}  PL  {:50}  MESSAGE",
        "ID", "SEVERITY", "PLACE"
    )?;
    for rule in rules {
        let place = format!("{}:{}", rule.file.display(), rule.line);
        writeln!(
            out,
            "{:>8}  {:>2}  {:9}  {:>2}  {place:50}  {}",
            rule.id,
            rule.phase,
            rule.severity.map_or("-", severity_name),
            paranoia(rule).map_or("-".to_owned(), |level| level.to_string()),
            rule.message,
        )?;
        for place in &rule.changed_by {
            writeln!(out, "{:>8}  changed by {place}", "")?;
        }
        if let Some(place) = &rule.removed_by {
            writeln!(out, "{:>8}  removed by {place}", "")?;
        }
    }
    let removed = rules.iter().filter(|r| r.removed_by.is_some()).count();
    write!(out, "{}", counted(rules.len() - removed, "rule"))?;
    match removed {
        0 => writeln!(out)?,
        removed => writeln!(out, ", {removed} removed")?,
    }
    out.flush()
}

fn show_json(rules: &[RuleSummary]) -> io::Result<()> {
    let rules: Vec<Value> = rules
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id,
                "phase": rule.phase,
                "severity": rule.severity.map(severity_name),
                "paranoia_level": paranoia(rule),
                "message": rule.message,
                "tags": rule.tags,
                "file": rule.file.to_string_lossy(),
                "line": rule.line,
                "changed_by": rule.changed_by,
                "removed_by": rule.removed_by,
            })
        })
        .collect();
    let mut out = io::BufWriter::new(io::stdout().lock());
    serde_json::to_writer_pretty(&mut out, &rules)?;
    writeln!(out)?;
    out.flush()
}
