//! `drawbridge doctor`: what is wrong with an upstream, and what mends it.

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
use super::offline::{load, wait};
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
  0  every server of the upstreams would be used
  1  one would not; its cause has the code that logs and metrics have";

/// Find out why an upstream is not taken, and what mends it
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Dial each server of an upstream as the proxy would
    Upstream(UpstreamArgs),
}

/// Dial each server of an upstream as the proxy would
///
/// Tells the address, TLS version, cipher, the chain that it presents, and where it is not taken
/// the cause and what mends it. Sends no request.
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

#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let Verb::Upstream(args) = &args.verb;
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
    match examined.iter().all(Examined::is_ok) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// One upstream and what each of its servers showed.
struct Examined {
    upstream: Arc<Upstream>,
    visits: Vec<Visit>,
}

impl Examined {
    fn is_ok(&self) -> bool {
        is_well(&self.visits)
    }
}

fn examine(args: &UpstreamArgs) -> Result<Vec<Examined>, CommandError> {
    let config = load(&args.config)?;
    let named: Vec<&String> = match args.all {
        true => config.upstreams.keys().collect(),
        false => args.names.iter().collect(),
    };
    let unknown = |name: &String| {
        let known: Vec<_> = config.upstreams.keys().map(String::as_str).collect();
        let known = known.join(", ");
        format!("there is no upstream {name:?}; there are: {known}")
    };
    let upstreams: Result<Vec<_>, String> = named
        .into_iter()
        .map(|name| config.upstreams.get(name).ok_or_else(|| unknown(name)))
        .collect();
    let mut examined = Vec::new();
    for upstream in upstreams? {
        examined.push(Examined {
            upstream: Arc::clone(upstream),
            visits: wait(visit(&Pool::new(upstream, Arc::default())))?,
        });
    }
    Ok(examined)
}

fn show_human(examined: &[Examined]) -> io::Result<()> {
    let texts = examined.iter().map(|e| human(&e.upstream, &e.visits));
    let text = texts.collect::<Vec<_>>().join("\n");
    io::stdout().write_all(text.as_bytes())
}

/// Nothing is known where no server was visited.
fn is_well(visits: &[Visit]) -> bool {
    !visits.is_empty() && visits.iter().all(|visit| visit.found.failure.is_none())
}

/// One server and what was found.
struct Visit {
    server: String,
    found: Examination,
}

async fn visit(pool: &Pool) -> Vec<Visit> {
    let found = examine_all(pool).await.into_iter();
    let mut visits = found
        .map(|(server, found)| Visit { server, found })
        .collect::<Vec<_>>();
    compare(&mut visits);
    visits
}

/// An issuer that one server does not send may be an intermediate that another does.
fn compare(visits: &mut [Visit]) {
    let sent: Vec<X509> = visits
        .iter()
        .filter_map(|visit| visit.found.presented.as_ref())
        .flat_map(|presented| presented.chain.iter().skip(1).cloned())
        .filter(|above| above.issued(above) != X509VerifyResult::OK)
        .collect();
    for visit in visits {
        let found = &mut visit.found;
        let (Some(failure), Some(presented)) = (&mut found.failure, &found.presented) else {
            continue;
        };
        let ([leaf], Cause::Untrusted) = (presented.chain.as_slice(), failure.cause) else {
            continue;
        };
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

fn human(upstream: &Upstream, visits: &[Visit]) -> String {
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
    for visit in visits {
        // Writing to a string cannot fail.
        let _ = write!(text, "\nserver {}\n", visit.server);
        tell(&mut text, &visit.found);
        if let Some(failure) = &visit.found.failure {
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

fn tell(text: &mut String, found: &Examination) {
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

/// One upstream's report; several stand in an array.
fn show_json(examined: &[Examined], all: bool) -> io::Result<()> {
    let report = match examined {
        [one] if !all => report(&one.upstream, &one.visits),
        several => json!({
            "ok": several.iter().all(Examined::is_ok),
            "upstreams": several.iter().map(|e| report(&e.upstream, &e.visits)).collect::<Vec<_>>(),
        }),
    };
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &report)?;
    writeln!(out)
}

fn report(upstream: &Upstream, visits: &[Visit]) -> Value {
    json!({
        "upstream": upstream.name,
        "server_name": upstream.tls.server_name,
        "trust": upstream.tls.trust.name,
        "client_certificate": upstream.tls.client_certificate.is_some(),
        "ok": is_well(visits),
        "servers": visits.iter().map(|v| to_json(upstream, v)).collect::<Vec<_>>(),
    })
}

fn to_json(upstream: &Upstream, visit: &Visit) -> Value {
    let found = &visit.found;
    let presented = found.presented.as_ref();
    let chain: Vec<CertificateFacts> = presented
        .iter()
        .flat_map(|p| p.chain.iter().map(|c| CertificateFacts::of(c)))
        .collect();
    json!({
        "server": visit.server,
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
