//! `drawbridge certs rehearse`: tries a new CA bundle before it is used.
//!
//! A backend that cannot be reached counts as a failure, because the new bundle might break it.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::super::config_file::{self, ConfigFile};
use super::super::error::CommandError;
use super::super::exit;
use super::super::offline::{block_on, load};
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

/// A backend that was dialled with the old and with the new bundle; None if the dial succeeded.
struct RehearsedServer {
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

/// The bundles with which a backend is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TrustedWith {
    OldOnly,
    Both,
    NewOnly,
    Neither,
    /// The dial failed before the certificate could be verified.
    Unreachable,
}

impl TrustedWith {
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

impl RehearsedServer {
    fn trusted_with(&self) -> TrustedWith {
        match (&self.old, &self.new) {
            (None, None) => TrustedWith::Both,
            // Checked before the verdicts: a failure that says nothing of trust must not count as distrust.
            (Some(failure), _) | (_, Some(failure)) if is_unreachable(failure) => {
                TrustedWith::Unreachable
            }
            (None, Some(_)) => TrustedWith::OldOnly,
            (Some(_), None) => TrustedWith::NewOnly,
            (Some(_), Some(_)) => TrustedWith::Neither,
        }
    }
}

/// Whether the dial ended before the certificate was verified, or for another reason than trust.
fn is_unreachable(failure: &Failure) -> bool {
    // Every cause is named, so that a new one cannot count as a verdict about trust unnoticed.
    match failure.cause {
        Cause::Untrusted
        | Cause::MissingIntermediate
        | Cause::NameMismatch
        | Cause::CommonNameOnly
        | Cause::AddressOnly
        | Cause::Expired
        | Cause::NotYetValid
        | Cause::WeakCertificate
        | Cause::WrongUsage => false,
        Cause::Dns
        | Cause::Refused
        | Cause::Unreachable
        | Cause::Timeout
        | Cause::Handshake
        | Cause::TlsVersion
        | Cause::ClientCertificate
        | Cause::Protocol
        | Cause::Closed
        | Cause::Status
        | Cause::NoServer
        | Cause::Internal => true,
    }
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
    let servers = match block_on(dial_all(&config, &args.trust, &candidate)) {
        Ok(servers) => servers,
        Err(error) => return CommandError::because(error).report(args.output),
    };
    let verdict = |wanted| {
        servers
            .iter()
            .filter(|t| t.trusted_with() == wanted)
            .count()
    };
    let counts = Counts {
        breaks: verdict(TrustedWith::OldOnly),
        unreachable: verdict(TrustedWith::Unreachable),
    };
    let shown = match args.output {
        Output::Human => io::stdout().write_all(human(args, &servers, counts).as_bytes()),
        Output::Json => show_json(args, &servers, counts),
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    let _ = shown;
    // A rehearsal without a backend shows nothing, and most likely names the wrong bundle.
    exit::success_if(counts.breaks == 0 && counts.unreachable == 0 && !servers.is_empty())
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

async fn dial_all(config: &Config, trust: &str, candidate: &TrustBundle) -> Vec<RehearsedServer> {
    let mut servers = Vec::new();
    let upstreams = config.upstreams.values();
    for upstream in upstreams.filter(|upstream| upstream.tls.trust.name == trust) {
        // The pool of the proxy, so that the servers and their addresses are those that it would dial.
        let pool = Pool::new(upstream, Arc::default());
        for (server, address) in pool.locate().await {
            // The same address for both dials, because two lookups could lead to two different servers.
            let (old, new) = match address {
                Ok(address) => (
                    dial(upstream, address).await.err(),
                    dial_trusting(upstream, address, candidate).await.err(),
                ),
                // Without an address neither bundle could be tried.
                Err(failure) => (Some(failure.clone()), Some(failure)),
            };
            servers.push(RehearsedServer {
                upstream: upstream.name.clone(),
                server,
                old,
                new,
            });
        }
    }
    servers
}

fn human(args: &Args, servers: &[RehearsedServer], counts: Counts) -> String {
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
    let reached = servers.len() - counts.unreachable;
    let _ = match (servers.len(), counts.breaks) {
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

fn show_json(args: &Args, servers: &[RehearsedServer], counts: Counts) -> io::Result<()> {
    let failure_json = |failure: &Option<Failure>| {
        let failure = failure.as_ref();
        failure.map(|f| json!({ "code": f.cause.code(), "reason": f.words }))
    };
    let backends: Vec<_> = servers
        .iter()
        .map(|server| {
            json!({
                "upstream": server.upstream,
                "server": server.server,
                "verdict": server.trusted_with().text(),
                "old": failure_json(&server.old),
                "new": failure_json(&server.new),
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
