//! `drawbridge doctor`: why the proxy would not use an upstream, or could not send to a collector, and how to fix it.
//!
//! It dials with the code and the settings of the proxy, so that its verdict is the proxy's.

mod collector;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use clap_complete::engine::ArgValueCompleter;
use openssl::x509::{X509, X509VerifyResult};
use serde_json::{Value, json};

use super::config_file::{self, ConfigFile};
use super::error::CommandError;
use super::offline::{block_on, load};
use super::output::Output;
use crate::config::Upstream;
use crate::tls::CertificateFacts;
use crate::upstream::diagnose::{Examination, examine_all};
use crate::upstream::{Cause, Failure, Pool};

const EXAMPLES: &str = "\
Examples:
  drawbridge doctor upstream orders billing
  drawbridge doctor upstream --all
  drawbridge doctor upstream orders --config /etc/drawbridge/drawbridge.toml --output json

Exit codes:
  0  the proxy would use every server of the upstreams
  1  it would not use one; the cause has the same code as in logs and metrics";

/// Find out why the proxy does not use an upstream or a collector, and how to fix it
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

/// An upstream and what was found at each of its servers.
struct UpstreamReport {
    upstream: Arc<Upstream>,
    servers: Vec<ServerReport>,
}

impl UpstreamReport {
    fn is_ok(&self) -> bool {
        all_usable(&self.servers)
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
        examined.push(UpstreamReport {
            upstream: Arc::clone(upstream),
            servers: block_on(examine_servers(&Pool::new(upstream, Arc::default())))?,
        });
    }
    Ok(examined)
}

fn show_human(examined: &[UpstreamReport]) -> io::Result<()> {
    let texts = examined.iter().map(|e| human(&e.upstream, &e.servers));
    let text = texts.collect::<Vec<_>>().join("\n");
    io::stdout().write_all(text.as_bytes())
}

/// Whether every server is usable; false if there is none, since then nobody answers a request.
fn all_usable(servers: &[ServerReport]) -> bool {
    !servers.is_empty() && servers.iter().all(|server| server.found.failure.is_none())
}

/// A server and what was found.
struct ServerReport {
    server: String,
    found: Examination,
}

async fn examine_servers(pool: &Pool) -> Vec<ServerReport> {
    let found = examine_all(pool).await.into_iter();
    let mut servers = found
        .map(|(server, found)| ServerReport { server, found })
        .collect::<Vec<_>>();
    find_missing_intermediates(&mut servers);
    servers
}

/// If a chain is incomplete, another server of the upstream may send the missing intermediate.
fn find_missing_intermediates(servers: &mut [ServerReport]) {
    let sent: Vec<X509> = servers
        .iter()
        .filter_map(|server| server.found.presented.as_ref())
        .flat_map(|presented| presented.chain.iter().skip(1).cloned())
        // A certificate that signed itself is a root, which servers need not send.
        .filter(|above| above.issued(above) != X509VerifyResult::OK)
        .collect();
    for server in servers {
        let found = &mut server.found;
        let (Some(failure), Some(presented)) = (&mut found.failure, &found.presented) else {
            continue;
        };
        // A server that sends more than its leaf has sent an intermediate.
        let ([leaf], Cause::Untrusted) = (presented.chain.as_slice(), failure.cause) else {
            continue;
        };
        // Names may agree by chance; a signature cannot.
        let missing = sent.iter().find(|above| {
            above.issued(leaf) == X509VerifyResult::OK
                && above
                    .public_key()
                    .is_ok_and(|key| leaf.verify(&key).unwrap_or(false))
        });
        if let Some(missing) = missing {
            *failure = Failure::new(
                Cause::MissingIntermediate,
                format!(
                    "chain is incomplete: the intermediate \"{}\" is missing, which another server of this upstream sends",
                    CertificateFacts::of(missing).subject
                ),
            );
        }
    }
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
        [one] if !all => report(&one.upstream, &one.servers),
        several => json!({
            "ok": several.iter().all(UpstreamReport::is_ok),
            "upstreams": several.iter().map(|e| report(&e.upstream, &e.servers)).collect::<Vec<_>>(),
        }),
    };
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &report)?;
    writeln!(out)
}

fn report(upstream: &Upstream, servers: &[ServerReport]) -> Value {
    json!({
        "upstream": upstream.name,
        "server_name": upstream.tls.server_name,
        "trust": upstream.tls.trust.name,
        "client_certificate": upstream.tls.client_certificate.is_some(),
        "ok": all_usable(servers),
        "servers": servers.iter().map(|v| to_json(upstream, v)).collect::<Vec<_>>(),
    })
}

fn to_json(upstream: &Upstream, server: &ServerReport) -> Value {
    let found = &server.found;
    let presented = found.presented.as_ref();
    let chain: Vec<CertificateFacts> = presented
        .iter()
        .flat_map(|p| p.chain.iter().map(|c| CertificateFacts::of(c)))
        .collect();
    json!({
        "server": server.server,
        "ok": found.failure.is_none(),
        "address": found.address.map(|a| a.to_string()),
        "connected": found.connected,
        "tls": presented.map(|p| json!({
            "version": p.version,
            "cipher": p.cipher,
            "group": p.group,
        })),
        "chain": chain,
        "failure": found.failure.as_ref().map(|failure| json!({
            "code": failure.cause.code(),
            "reason": failure.words,
            "fix": failure.cause.fix(upstream),
        })),
    })
}
