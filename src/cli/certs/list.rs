//! `drawbridge certs list`: every certificate that the front door depends on.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use super::super::config_file::ConfigFile;
use super::super::error::CommandError;
use super::super::offline::{block_on, load};
use super::super::output::Output;
use crate::config::Config;
use crate::tls::inventory::{self, Entry};
use crate::upstream::diagnose::examine_all;
use crate::upstream::{Failure, Pool};

const EXAMPLES: &str = "\
Examples:
  drawbridge certs list
  drawbridge certs list --offline --output json

Exit codes:
  0  every certificate is valid for at least a day, and the proxy would use every backend
  1  a certificate expires within a day or has expired, or the proxy would refuse a backend";

/// Every certificate that the front door depends on, the next to expire first
///
/// Its own leaves and intermediates, each CA of each trust bundle and client certificates, each with its
/// file; and what each backend presents when it is dialled. Warns 30, 14, 7 and 1 days before the end.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// Do not dial the backends
    #[arg(long)]
    offline: bool,
    /// How to show them
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

/// A backend that the proxy would not use.
struct RefusedServer {
    upstream: String,
    server: String,
    failure: Failure,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let config = match load(&args.config) {
        Ok(config) => config,
        Err(failure) => return failure.report(args.output),
    };
    let mut entries = config.certificate_inventory();
    let mut refused = Vec::new();
    if !args.offline {
        match block_on(dial(&config)) {
            Ok((presented, failed)) => {
                entries.extend(presented);
                refused = failed;
            }
            Err(error) => return CommandError::because(error).report(args.output),
        }
    }
    // The next to expire first, since that is what somebody looks for.
    entries.sort_by_key(|entry| entry.certificate.not_after_timestamp);
    let shown = match args.output {
        Output::Human => show_human(&entries, &refused),
        Output::Json => show_json(&entries, &refused),
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    let _ = shown;
    // The earlier warnings are shown, but only the last day and an expired certificate fail a script.
    let ends = entries.iter().any(|e| matches!(e.warning, Some(0 | 1)));
    match ends || !refused.is_empty() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

async fn dial(config: &Config) -> (Vec<Entry>, Vec<RefusedServer>) {
    let (mut entries, mut refused) = (Vec::new(), Vec::new());
    for upstream in config.upstreams.values() {
        // The pool of the proxy, so that addresses and verdicts are those of the proxy.
        let pool = Pool::new(upstream, Arc::default());
        for (server, found) in examine_all(&pool).await {
            // Also that of a refused server: the certificate may be the reason.
            if let Some(presented) = found.presented {
                let owner = format!("{}/{server}", upstream.name);
                entries.extend(inventory::presented(&owner, &presented.chain));
            }
            if let Some(failure) = found.failure {
                refused.push(RefusedServer {
                    upstream: upstream.name.clone(),
                    server,
                    failure,
                });
            }
        }
    }
    (entries, refused)
}

fn show_human(entries: &[Entry], refused: &[RefusedServer]) -> io::Result<()> {
    let mut text = String::new();
    for entry in entries {
        let facts = &entry.certificate;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:>5} days  {}  {}",
            facts.days_left,
            entry.kind.label(),
            entry.owner
        );
        let _ = writeln!(text, "             subject {}", facts.subject);
        let _ = writeln!(text, "             issuer  {}", facts.issuer);
        if !facts.names.is_empty() {
            let _ = writeln!(text, "             names   {}", facts.names.join(", "));
        }
        let _ = writeln!(
            text,
            "             key     {}, until {}",
            facts.key, facts.not_after
        );
        if let Some(file) = &entry.file {
            let _ = writeln!(text, "             file    {}", file.display());
        }
    }
    io::stdout().lock().write_all(text.as_bytes())?;
    let mut err = io::stderr().lock();
    for entry in entries {
        if let Some(days) = entry.warning {
            let urgency = match days {
                0 => "has expired".to_owned(),
                1 => "ends within a day".to_owned(),
                days => format!("ends within {days} days"),
            };
            writeln!(
                err,
                "warning: {} {} {urgency}: {}, {}{}",
                entry.kind.label(),
                entry.name,
                entry.certificate.not_after,
                entry.certificate.days_text(),
                file_text(entry)
            )?;
        }
    }
    for refused in refused {
        writeln!(
            err,
            "warning: upstream {} {}: {}: {}",
            refused.upstream,
            refused.server,
            refused.failure.cause.code(),
            refused.failure.words
        )?;
    }
    Ok(())
}

fn file_text(entry: &Entry) -> String {
    let file = entry.file.as_deref();
    file.map_or_else(String::new, |file| format!(", {}", file.display()))
}

fn show_json(entries: &[Entry], refused: &[RefusedServer]) -> io::Result<()> {
    let refused: Vec<_> = refused
        .iter()
        .map(|refused| {
            json!({
                "upstream": refused.upstream,
                "server": refused.server,
                "code": refused.failure.cause.code(),
                "reason": refused.failure.words,
            })
        })
        .collect();
    let report = json!({ "certificates": entries, "refused": refused });
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &report)?;
    writeln!(out)
}
