//! `drawbridge doctor`: why the proxy would not use an upstream, could not send to a collector or could not fetch an issuer's
//! keys, and how to fix it.
//!
//! It dials with the code and the settings of the proxy, so that its verdict is the proxy's.

mod collector;
mod identity;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::config_file::{self, ConfigFile};
use super::error::CommandError;
use super::offline::{block_on, load};
use super::output::Output;
use crate::config::Upstream;
use crate::tls::CertificateFacts;
use crate::upstream::diagnose::Examination;
use crate::upstream::examined::{ServerReport, UpstreamReport};

const EXAMPLES: &str = "\
Examples:
  drawbridge doctor upstream orders billing
  drawbridge doctor upstream --all
  drawbridge doctor upstream orders --config /etc/drawbridge/drawbridge.toml --output json

Exit codes:
  0  the proxy would use every server of the upstreams
  1  it would not use one; the cause has the same code as in logs and metrics";

/// Find out why the proxy does not use an upstream, a collector or an issuer, and how to fix it
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Dial each server of an upstream as the proxy would
    Upstream(UpstreamArgs),
    /// Send an empty batch to the collector of `[otlp]`
    Collector(collector::Args),
    /// Fetch what an issuer of tokens publishes
    Identity(identity::Args),
}

/// Dial each server of an upstream as the proxy would
///
/// Shows the address, TLS version, cipher and the certificate chain that the server presents; if the
/// proxy would not use the server, also the cause and how to fix it. Sends no request.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct UpstreamArgs {
    /// The upstreams' names in the configuration, one or several
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all",
        add = ArgValueCompleter::new(config_file::upstreams))]
    names: Vec<String>,
    /// Every upstream of the configuration
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    config: ConfigFile,
    /// How to show what was found
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let args = match &args.verb {
        Verb::Upstream(args) => args,
        Verb::Collector(args) => return collector::run(args),
        Verb::Identity(args) => return identity::run(args),
    };
    let examined = match examine(args) {
        Ok(examined) => examined,
        Err(failure) => return failure.report(args.output),
    };
    let shown = match args.output {
        Output::Human => show_human(&examined),
        Output::Json => show_json(&examined, args.all),
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    let _ = shown;
    match examined.iter().all(UpstreamReport::is_ok) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn examine(args: &UpstreamArgs) -> Result<Vec<UpstreamReport>, CommandError> {
    let config = load(&args.config)?;
    let named: Vec<&String> = match args.all {
        true => config.upstreams.keys().collect(),
        false => args.names.iter().collect(),
    };
    let unknown = |name: &String| {
        let known: Vec<_> = config.upstreams.keys().map(String::as_str).collect();
        let known = known.join(", ");
        CommandError::Problem(format!("there is no upstream {name:?}; there are: {known}"))
    };
    let upstreams: Result<Vec<_>, CommandError> = named
        .into_iter()
        .map(|name| config.upstreams.get(name).ok_or_else(|| unknown(name)))
        .collect();
    let mut examined = Vec::new();
    for upstream in upstreams? {
        examined.push(block_on(UpstreamReport::of(upstream))?);
    }
    Ok(examined)
}

fn show_human(examined: &[UpstreamReport]) -> io::Result<()> {
    let texts = examined.iter().map(|e| human(&e.upstream, &e.servers));
    let text = texts.collect::<Vec<_>>().join("\n");
    io::stdout().write_all(text.as_bytes())
}

fn human(upstream: &Upstream, servers: &[ServerReport]) -> String {
    let mut text = format!(
        "upstream {}: server name {}, trust bundle {}, {}\n",
        upstream.name,
        upstream.tls.server_name,
        upstream.tls.trust.name,
        match upstream.tls.client_certificate {
            Some(_) => "with a client certificate",
            None => "no client certificate",
        }
    );
    for server in servers {
        // Writing to a string cannot fail.
        let _ = write!(text, "\nserver {}\n", server.server);
        describe(&mut text, &server.found);
        if let Some(failure) = &server.found.failure {
            let _ = writeln!(
                text,
                "  cause    {}: {}",
                failure.cause.code(),
                failure.words
            );
            let _ = writeln!(text, "  fix      {}", failure.cause.fix(upstream));
        } else {
            text += "  ok       the proxy would use it\n";
        }
    }
    text
}

fn describe(text: &mut String, found: &Examination) {
    let Some(address) = found.address else {
        *text += "  dns      failed\n";
        return;
    };
    let _ = writeln!(text, "  dns      {}", address.ip());
    let tcp = if found.connected {
        "connected"
    } else {
        "failed"
    };
    let _ = writeln!(text, "  tcp      {tcp}, port {}", address.port());
    let Some(presented) = &found.presented else {
        if found.connected {
            *text += "  tls      failed\n";
        }
        return;
    };
    let facts = [
        Some(presented.version),
        presented.cipher,
        presented.group.as_deref(),
    ];
    let facts: Vec<&str> = facts.into_iter().flatten().collect();
    let _ = writeln!(text, "  tls      {}", facts.join(", "));
    for (depth, certificate) in presented.chain.iter().enumerate() {
        let facts = CertificateFacts::of(certificate);
        let names = facts.names.join(", ");
        let _ = writeln!(text, "  chain {depth}  {}", facts.subject);
        let _ = writeln!(text, "           issuer {}", facts.issuer);
        if depth == 0 {
            let _ = writeln!(text, "           names  {names}");
        }
        let _ = writeln!(text, "           key    {}", facts.key);
        let _ = writeln!(
            text,
            "           valid  {} to {} ({})",
            facts.not_before,
            facts.not_after,
            facts.days_text()
        );
    }
}

/// One upstream's report, or an array of several.
fn show_json(examined: &[UpstreamReport], all: bool) -> io::Result<()> {
    let report = match examined {
        // Whoever names one upstream gets one object; `--all` always gives the list, however many there are.
        [one] if !all => one.to_json(),
        several => json!({
            "ok": several.iter().all(UpstreamReport::is_ok),
            "upstreams": several.iter().map(UpstreamReport::to_json).collect::<Vec<_>>(),
        }),
    };
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &report)?;
    writeln!(out)
}
