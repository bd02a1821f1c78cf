//! `drawbridge identity`: who is calling. Shows what an issuer's tokens must be and why one is refused, which header fields
//! no client may send, and makes tokens to try gateways with.

mod certificate;
mod keys;

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Subcommand;
use identity::{LONGEST_TOKEN, Reason};
use serde_json::{Map, Value, json};

use super::config_file::ConfigFile;
use super::error::{CommandError, shown_or_reported};
use super::offline::{block_on, load};
use super::output::Output;
use crate::config::Config;
use crate::identity::{Provider, own_fields};
use crate::time::seconds;

const CHECK_EXAMPLES: &str = "\
Examples:
  drawbridge identity check corp
  drawbridge identity check corp --token < token.txt
  drawbridge identity check corp --token --output json < token.txt
  drawbridge identity check partner --certificate client.pem

Exit codes:
  0  the issuer's keys can be used, and the token or certificate is taken
  1  they cannot, or the token or certificate is refused; the reason has the same code as in logs
  2  wrong usage";

const ISSUE_EXAMPLES: &str = "\
Examples:
  drawbridge identity issue --upstream orders --claim sub=anna
  drawbridge identity issue --upstream orders --claim sub=anna --claim 'roles=[\"clerk\"]'

Exit codes:
  0  the token is on standard output
  1  there is no [signing] table or no key, or no such upstream
  2  wrong usage";

const HEADERS_EXAMPLES: &str = "\
Examples:
  drawbridge identity headers
  drawbridge identity headers --output json

Exit codes:
  0  as asked
  1  the configuration cannot be used";

/// Show what tokens must be and why one is refused; make tokens to try gateways with
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the keys of an issuer, and why a token or a client certificate is refused
    Check(CheckArgs),
    /// Make a token for an upstream, as the front door would
    Issue(IssueArgs),
    /// List the header fields that say to gateways who is calling, and that no client may send
    Headers(HeadersArgs),
    /// Show and rotate the keys that sign tokens for gateways
    Keys(keys::KeysArgs),
}

/// Show the keys of an issuer, and why a token or a client certificate is refused
#[derive(Debug, clap::Args)]
#[command(after_help = CHECK_EXAMPLES)]
struct CheckArgs {
    /// The name of an [identity.NAME] table
    #[arg(value_name = "NAME",
        add = clap_complete::engine::ArgValueCompleter::new(super::config_file::identities))]
    name: String,
    /// Read a token from standard input, and check it as the front door would. What a route requires
    /// is not checked, nor is a client certificate
    #[arg(long)]
    token: bool,
    /// Check a client certificate in PEM, leaf first, as a listener and the front door would. Revocation
    /// lists are not looked at
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    certificate: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigFile,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

/// Make a token for an upstream, as the front door would
///
/// It holds for 60 seconds, and its claims are those that are given here.
#[derive(Debug, clap::Args)]
#[command(after_help = ISSUE_EXAMPLES)]
struct IssueArgs {
    /// The upstream, which the token has as its audience
    #[arg(long, value_name = "NAME",
        add = clap_complete::engine::ArgValueCompleter::new(super::config_file::upstreams))]
    upstream: String,
    /// A claim: NAME=JSON, or NAME=TEXT
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = parse_claim)]
    claims: Vec<(String, Value)>,
    #[command(flatten)]
    config: ConfigFile,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

/// List the header fields that say to gateways who is calling, and that no client may send
///
/// They are removed from every request in every spelling. `drawbridge headers` lists the others that are dropped.
#[derive(Debug, clap::Args)]
#[command(after_help = HEADERS_EXAMPLES)]
struct HeadersArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

fn parse_claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    let parsed = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
    Ok((name.to_owned(), parsed))
}

pub(super) fn run(args: &Args) -> ExitCode {
    match &args.verb {
        Verb::Check(args) => run_or_report(args.output, || check(args)),
        Verb::Issue(args) => run_or_report(args.output, || issue(args)),
        Verb::Headers(args) => run_or_report(args.output, || headers(args)),
        Verb::Keys(args) => keys::run(args),
    }
}

fn run_or_report(output: Output, act: impl FnOnce() -> Result<ExitCode, CommandError>) -> ExitCode {
    act().unwrap_or_else(|error| error.report(output))
}

fn check(args: &CheckArgs) -> Result<ExitCode, CommandError> {
    let config = load(&args.config)?;
    let provider = config.identity.get(&args.name).ok_or_else(|| {
        let known: Vec<_> = config.identity.keys().map(String::as_str).collect();
        format!(
            "there is no identity {:?}; there are: {}",
            args.name,
            known.join(", ")
        )
    })?;
    if let Some(rule) = provider.certificate() {
        return certificate::check(args, provider, rule, &config);
    }
    if args.certificate.is_some() {
        let problem = format!(
            "identity {:?} is an issuer of tokens: give --token",
            args.name
        );
        return Err(problem.into());
    }
    block_on(provider.fetch_once())?.map_err(|error| {
        format!(
            "{error}; {} (drawbridge doctor identity {} says more)",
            error.fix(),
            args.name
        )
    })?;
    let verdict = match args.token {
        false => None,
        true => Some(judge(provider)?),
    };
    let shown = match args.output {
        Output::Human => show(provider, verdict.as_ref()),
        Output::Json => writeln!(
            io::stdout().lock(),
            "{:#}",
            report(provider, verdict.as_ref())
        ),
    };
    let code = shown_or_reported(shown, args.output);
    Ok(match verdict {
        Some(Err(_)) => ExitCode::FAILURE,
        _ => code,
    })
}

/// What the front door would make of the token on standard input.
fn judge(provider: &Provider) -> Result<Result<Map<String, Value>, Reason>, CommandError> {
    let mut text = Vec::new();
    let most = LONGEST_TOKEN as u64 + 64;
    io::stdin().lock().take(most).read_to_end(&mut text)?;
    let judged = block_on(provider.judge_asking(text.trim_ascii(), now()))?;
    let claims = judged.map_err(|error| format!("{error}; {}", error.fix()))?;
    Ok(claims.map(|claims| claims.all().clone()))
}

fn show(
    provider: &Provider,
    verdict: Option<&Result<Map<String, Value>, Reason>>,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "issuer     {}", provider.expected.issuer)?;
    writeln!(out, "audiences  {}", provider.expected.audiences.join(", "))?;
    for key in provider.known_keys() {
        let algorithms: Vec<_> = key.algorithms().iter().map(|a| a.name()).collect();
        let id = key.id().unwrap_or("without a kid");
        writeln!(out, "key        {id}  {}", algorithms.join(" "))?;
    }
    match verdict {
        None => Ok(()),
        Some(Ok(claims)) => writeln!(out, "taken      {:#}", Value::Object(claims.clone())),
        Some(Err(reason)) => writeln!(out, "refused    {}: {}", reason.name(), reason.text()),
    }
}

fn report(provider: &Provider, verdict: Option<&Result<Map<String, Value>, Reason>>) -> Value {
    json!({
        "name": provider.name,
        "issuer": provider.expected.issuer,
        "audiences": provider.expected.audiences,
        "keys": keys(provider),
        "token": verdict.map(|verdict| match verdict {
            Ok(claims) => json!({ "taken": true, "claims": claims }),
            Err(reason) => json!({ "taken": false, "reason": reason.name(), "text": reason.text() }),
        }),
    })
}

fn keys(provider: &Provider) -> Vec<Value> {
    let keys = provider.known_keys();
    let keys = keys.iter().map(|key| {
        let algorithms: Vec<_> = key.algorithms().iter().map(|a| a.name()).collect();
        json!({ "kid": key.id(), "algorithms": algorithms, "thumbprint": key.thumbprint() })
    });
    keys.collect()
}

fn issue(args: &IssueArgs) -> Result<ExitCode, CommandError> {
    let config = load(&args.config)?;
    let signing = config.signing.as_ref().ok_or_else(|| {
        "there is no [signing] table, so the front door makes no tokens".to_owned()
    })?;
    if !config.upstreams.contains_key(&args.upstream) {
        let known: Vec<_> = config.upstreams.keys().map(String::as_str).collect();
        let problem = format!(
            "there is no upstream {:?}; there are: {}",
            args.upstream,
            known.join(", ")
        );
        return Err(problem.into());
    }
    let given = args.claims.iter().cloned().collect();
    let claims = signing.complete(given, &args.upstream, "try", now());
    let token = signing.sign(&claims, now())?;
    let mut out = io::stdout().lock();
    let shown = match args.output {
        Output::Human => writeln!(out, "{token}"),
        Output::Json => writeln!(out, "{:#}", json!({ "token": token, "claims": claims })),
    };
    Ok(shown_or_reported(shown, args.output))
}

fn headers(args: &HeadersArgs) -> Result<ExitCode, CommandError> {
    let config = load(&args.config)?;
    let rows = fields(&config);
    let mut out = io::stdout().lock();
    let shown = match args.output {
        Output::Json => {
            let rows = rows.iter().map(|(name, claim, identity)| {
                json!({ "name": name, "claim": claim, "identity": identity })
            });
            let rows: Vec<_> = rows.collect();
            writeln!(out, "{:#}", json!({ "fields": rows }))
        }
        Output::Human => rows.iter().try_for_each(|(name, claim, identity)| {
            writeln!(out, "{name}  from {claim} of {identity}")
        }),
    };
    Ok(shown_or_reported(shown, args.output))
}

/// Each field, its claim, and the name of the issuer's table.
fn fields(config: &Config) -> Vec<(&str, &str, &str)> {
    own_fields(config.identity.values())
        .filter_map(|field| Some((field.name, field.claim?, field.identity)))
        .collect()
}

fn now() -> u64 {
    seconds(SystemTime::now())
}
