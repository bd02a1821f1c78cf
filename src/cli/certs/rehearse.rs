//! `drawbridge certs rehearse`: a CA roll-over before it happens.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::super::config_file::{self, ConfigFile};
use super::super::error::CommandError;
use super::super::offline::{load, wait};
use super::super::output::Output;
use crate::config::Config;
use crate::tls::TrustBundle;
use crate::upstream::diagnose::{dial, dial_trusting};
use crate::upstream::{Cause, Failure, Pool};
use seclang::diagnostic::Severity;

const EXAMPLES: &str = "\
Examples:
  drawbridge certs rehearse --trust onprem new-ca.pem
  drawbridge certs rehearse --trust onprem old-ca.pem new-ca.pem     both, while the CA changes

Exit codes:
  0  every backend was reached, and none would break
  1  one would: it is trusted with the old bundle only; or one could not be reached, so nobody knows";

/// Dial every backend of a trust bundle with the old and a new bundle
///
/// Says of each backend whether it is taken with the old bundle only, with both, with the new one
/// only, or with neither. Changes nothing and sends no request.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The trust bundle that is to change
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(config_file::trust_bundles))]
    trust: String,
    /// The files of the new bundle, which takes the old one's place
    #[arg(required = true, value_name = "NEW.pem")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
    /// How to show what was found
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

/// One backend, dialled twice.
struct Trial {
    upstream: String,
    server: String,
    old: Option<Failure>,
    new: Option<Failure>,
}

#[derive(Clone, Copy)]
struct Counts {
    breaks: usize,
    unreachable: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    OldOnly,
    Both,
    NewOnly,
    Neither,
    /// Not dialled far enough to say.
    Unreachable,
}

impl Verdict {
    fn text(self) -> &'static str {
        match self {
            Self::OldOnly => "old only",
            Self::Both => "both",
            Self::NewOnly => "new only",
            Self::Neither => "neither",
            Self::Unreachable => "unreachable",
        }
    }
}

impl Trial {
    fn verdict(&self) -> Verdict {
        match (&self.old, &self.new) {
            (None, None) => Verdict::Both,
            (Some(failure), _) | (_, Some(failure)) if is_unreachable(failure) => {
                Verdict::Unreachable
            }
            (None, Some(_)) => Verdict::OldOnly,
            (Some(_), None) => Verdict::NewOnly,
            (Some(_), Some(_)) => Verdict::Neither,
        }
    }
}

fn is_unreachable(failure: &Failure) -> bool {
    matches!(
        failure.cause,
        Cause::Dns
            | Cause::Refused
            | Cause::Unreachable
            | Cause::Timeout
            | Cause::Protocol
            | Cause::Handshake
            | Cause::Closed
            | Cause::Internal
    )
}

#[must_use]
pub fn run(args: &Args) -> ExitCode {
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
    let trials = match wait(try_all(&config, &args.trust, &candidate)) {
        Ok(trials) => trials,
        Err(error) => return CommandError::because(error).report(args.output),
    };
    let verdict = |wanted| trials.iter().filter(|t| t.verdict() == wanted).count();
    let counts = Counts {
        breaks: verdict(Verdict::OldOnly),
        unreachable: verdict(Verdict::Unreachable),
    };
    let shown = match args.output {
        Output::Human => io::stdout().write_all(human(args, &trials, counts).as_bytes()),
        Output::Json => show_json(args, &trials, counts),
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    let _ = shown;
    match counts.breaks > 0 || counts.unreachable > 0 {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// The new bundle. Where it is none, that was told, and this is the code to exit with.
fn candidate(args: &Args) -> Result<TrustBundle, ExitCode> {
    let mut findings = Vec::new();
    let bundle = TrustBundle::load(&args.trust, &args.files, &mut findings);
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

async fn try_all(config: &Config, trust: &str, candidate: &TrustBundle) -> Vec<Trial> {
    let mut trials = Vec::new();
    let upstreams = config.upstreams.values();
    for upstream in upstreams.filter(|upstream| upstream.tls.trust.name == trust) {
        let pool = Pool::new(upstream, Arc::default());
        for (server, address) in pool.locate().await {
            let (old, new) = match address {
                Ok(address) => (
                    dial(upstream, address).await.err(),
                    dial_trusting(upstream, address, candidate).await.err(),
                ),
                Err(failure) => (Some(failure.clone()), Some(failure)),
            };
            trials.push(Trial {
                upstream: upstream.name.clone(),
                server,
                old,
                new,
            });
        }
    }
    trials
}

fn human(args: &Args, trials: &[Trial], counts: Counts) -> String {
    let mut text = String::new();
    for trial in trials {
        let verdict = trial.verdict();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:<11}  {}  {}",
            verdict.text(),
            trial.upstream,
            trial.server
        );
        let failures = match verdict {
            Verdict::Unreachable => [trial.old.as_ref().or(trial.new.as_ref()), None],
            _ => [trial.old.as_ref(), trial.new.as_ref()],
        };
        for (which, failure) in ["old", "new"].into_iter().zip(failures) {
            if let Some(failure) = failure {
                let which = match verdict {
                    Verdict::Unreachable => "",
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
    let reached = trials.len() - counts.unreachable;
    let _ = match (trials.len(), counts.breaks) {
        (0, _) => writeln!(text, "no upstream uses trust bundle \"{}\"", args.trust),
        (_, 0) => writeln!(text, "none of {reached} would break"),
        (_, breaks) => writeln!(text, "{breaks} of {reached} would break"),
    };
    if counts.unreachable > 0 {
        let _ = writeln!(
            text,
            "{} could not be reached far enough to say",
            counts.unreachable
        );
    }
    text
}

fn show_json(args: &Args, trials: &[Trial], counts: Counts) -> io::Result<()> {
    let told = |failure: &Option<Failure>| {
        let failure = failure.as_ref();
        failure.map(|f| json!({ "code": f.cause.code(), "reason": f.words }))
    };
    let backends: Vec<_> = trials
        .iter()
        .map(|trial| {
            json!({
                "upstream": trial.upstream,
                "server": trial.server,
                "verdict": trial.verdict().text(),
                "old": told(&trial.old),
                "new": told(&trial.new),
            })
        })
        .collect();
    let report = json!({
        "trust": args.trust,
        "would_break": counts.breaks,
        "unreachable": counts.unreachable,
        "backends": backends,
    });
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &report)?;
    writeln!(out)
}
