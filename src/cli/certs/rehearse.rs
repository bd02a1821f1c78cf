//! `drawbridge certs rehearse`: tries a new CA bundle before it is used.
//!
//! A backend that cannot be reached counts as a failure, because the new bundle might break it.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap_complete::engine::ArgValueCompleter;

use super::super::config_file::{self, ConfigFile};
use super::super::error::CommandError;
use super::super::exit;
use super::super::offline::{block_on, load};
use super::super::output::{Output, print_json};
use crate::tls::TrustBundle;
use crate::upstream::rehearsed::{RehearsedBundle, TrustedWith};
use seclang::diagnostic::Severity;

const EXAMPLES: &str = "\
Examples:
  drawbridge certs rehearse --trust onprem new-ca.pem
  drawbridge certs rehearse --trust onprem old-ca.pem new-ca.pem     both, while the CA changes

Exit codes:
  0  every backend was reached, and the new bundle breaks none
  1  the new bundle breaks one (only the old bundle trusts it), one could not be reached, or no
     upstream uses the bundle";

/// Dial every backend of a trust bundle with the old and a new bundle
///
/// Says of each backend whether the old bundle trusts it, the new one, both or neither. Changes nothing
/// and sends no request.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The trust bundle that will change
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(config_file::trust_bundles))]
    trust: String,
    /// The files of the new bundle, which will replace the old one
    #[arg(required = true, value_name = "NEW.pem")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
    /// How to show what was found
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let config = match load(&args.config) {
        Ok(config) => config,
        Err(failure) => return failure.report(args.output),
    };
    if !config.trust.contains_key(&args.trust) {
        let known: Vec<_> = config.trust.keys().map(String::as_str).collect();
        let problem = format!(
            "there is no trust bundle {:?}; there are: {}",
            args.trust,
            known.join(", ")
        );
        return CommandError::because(problem).report(args.output);
    }
    let candidate = match candidate(args) {
        Ok(candidate) => candidate,
        Err(code) => return code,
    };
    let upstreams = config.upstreams.values();
    let rehearsed = block_on(RehearsedBundle::of(upstreams, &args.trust, &candidate));
    let rehearsed = match rehearsed {
        Ok(rehearsed) => rehearsed,
        Err(error) => return CommandError::because(error).report(args.output),
    };
    let shown = match args.output {
        Output::Human => io::stdout().write_all(human(&rehearsed).as_bytes()),
        Output::Json => print_json(&rehearsed.to_json()),
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    let _ = shown;
    // A rehearsal without a backend shows nothing, and most likely names the wrong bundle.
    let is_clean = rehearsed.breaks() == 0 && rehearsed.unreachable() == 0;
    exit::success_if(is_clean && !rehearsed.servers.is_empty())
}

/// The new bundle. If it cannot be used, reports why and returns the exit code.
fn candidate(args: &Args) -> Result<TrustBundle, ExitCode> {
    let mut findings = Vec::new();
    let bundle = TrustBundle::load(&args.trust, &args.files, &mut findings);
    // A script that asked for JSON gets the errors as JSON; warnings of a usable bundle go to standard error.
    if bundle.is_none() && args.output == Output::Json {
        let errors = findings.iter().map(|(_, finding)| &finding.message[..]);
        let problem = errors.collect::<Vec<_>>().join("; ");
        return Err(CommandError::because(problem).report(args.output));
    }
    for (_, finding) in findings {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        eprintln!("{severity}: {}", finding.message);
        if let Some(help) = finding.help {
            eprintln!("  help: {help}");
        }
    }
    bundle.ok_or(ExitCode::FAILURE)
}

fn human(rehearsed: &RehearsedBundle) -> String {
    let RehearsedBundle { trust, servers } = rehearsed;
    let (breaks, unreachable) = (rehearsed.breaks(), rehearsed.unreachable());
    let mut text = String::new();
    for server in servers {
        let verdict = server.trusted_with();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<11}  {}  {}",
            verdict.text(),
            server.upstream,
            server.server
        );
        let failures = match verdict {
            // One reason is enough, since it says nothing about either bundle.
            TrustedWith::Unreachable => [server.old.as_ref().or(server.new.as_ref()), None],
            _ => [server.old.as_ref(), server.new.as_ref()],
        };
        for (which, failure) in ["old", "new"].into_iter().zip(failures) {
            if let Some(failure) = failure {
                let which = match verdict {
                    TrustedWith::Unreachable => "",
                    _ if which == "old" => "old: ",
                    _ => "new: ",
                };
                let _ = writeln!(
                    text,
                    "             {which}{}: {}",
                    failure.cause.code(),
                    failure.words
                );
            }
        }
    }
    let reached = servers.len() - unreachable;
    let _ = match (servers.len(), breaks) {
        (0, _) => writeln!(text, "no upstream uses trust bundle \"{trust}\""),
        (_, 0) => writeln!(text, "none of {reached} would break"),
        (_, breaks) => writeln!(text, "{breaks} of {reached} would break"),
    };
    if unreachable > 0 {
        let _ = writeln!(text, "{unreachable} could not be reached far enough to say");
    }
    text
}
