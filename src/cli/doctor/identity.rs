//! `drawbridge doctor identity`: whether the front door can use what an issuer publishes.
//!
//! It fetches with the client and the settings of the front door, so that its verdict is the front door's.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap_complete::engine::ArgValueCompleter;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::cli::config_file::{self, ConfigFile};
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::cli::offline::{block_on, load};
use crate::cli::output::{Output, print_json};
use crate::counted::counted;
use crate::hex::hex;
use crate::identity::issuer::{Answered, Endpoint, Introspector, IssuerError, Live, Said, Source};
use crate::identity::{Denied, Keys, Provider};
use crate::outbound::Client;
use crate::randomness;

/// Fetch what an issuer of tokens publishes
///
/// Fetches the discovery document, the keys and the list of denied tokens of an [identity.NAME] table, and
/// asks its introspection endpoint about a token that nobody has, as the front door would: the same names, trust bundle and proxy. If something cannot be used, shows the
/// cause and how to fix it. Also compares the issuer's clock with this one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge doctor identity corp
  drawbridge doctor identity corp --config /etc/drawbridge/drawbridge.toml --output json

Exit codes:
  0  everything can be used
  1  something cannot; the cause has the same code as in metrics, or `clock`
  2  wrong usage")]
pub(super) struct Args {
    /// The name of an [identity.NAME] table
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(config_file::identities))]
    name: String,
    #[command(flatten)]
    config: ConfigFile,
    /// How to show what was found
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

/// One thing that was fetched, or read from a file.
struct Check {
    what: &'static str,
    /// None for a file.
    url: Option<String>,
    /// What came, in words.
    found: Option<String>,
    failure: Option<Failure>,
}

struct Failure {
    code: &'static str,
    reason: String,
    fix: &'static str,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let checks = match examine(args) {
        Ok(checks) => checks,
        Err(error) => return error.report(args.output),
    };
    let is_ok = checks.iter().all(|check| check.failure.is_none());
    let shown = match args.output {
        Output::Human => checks.iter().try_for_each(show),
        Output::Json => print_json(&json!({
            "identity": args.name,
            "ok": is_ok,
            "checks": checks.iter().map(report).collect::<Vec<_>>(),
        })),
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    let _ = shown;
    exit::success_if(is_ok)
}

fn examine(args: &Args) -> Result<Vec<Check>, CommandError> {
    let config = load(&args.config)?;
    let provider = config.identity.get(&args.name).ok_or_else(|| {
        let known: Vec<_> = config.identity.keys().map(String::as_str).collect();
        CommandError::Problem(format!(
            "there is no identity {:?}; there are: {}",
            args.name,
            known.join(", ")
        ))
    })?;
    if provider.certificate().is_some() {
        return Err(CommandError::Problem(format!(
            "identity {name:?} is client certificates, and nothing is fetched for it: drawbridge identity check {name} --certificate FILE",
            name = args.name
        )));
    }
    Ok(block_on(check(provider))?)
}

async fn check(provider: &Provider) -> Vec<Check> {
    let client = Client::new(Handle::current());
    let mut checks = Vec::new();
    let skew = Duration::from_secs(provider.expected.clock_skew);
    match &provider.keys {
        Keys::Fetched(live) => {
            checks.push(
                fetch(live, &client, skew, || {
                    let skipped = live.current().map_or(0, |kept| kept.value.skipped.len());
                    let keys = counted(provider.known_keys().len(), "key");
                    format!("{keys} that can be used, {skipped} that cannot")
                })
                .await,
            );
        }
        Keys::Given(_) | Keys::None => checks.push(Check {
            what: "keys",
            url: None,
            found: Some(format!(
                "{} of files",
                counted(provider.known_keys().len(), "key")
            )),
            failure: None,
        }),
    }
    if let Denied::Fetched(live) = &provider.denied {
        checks.push(
            fetch(live, &client, skew, || {
                let count = live.current().map_or(0, |kept| kept.value.len());
                counted(count, "line")
            })
            .await,
        );
    }
    if let Some(issuer) = &provider.introspector {
        checks.push(ask(issuer, &client).await);
    }
    checks
}

/// Asks about a token that nobody has: an issuer that takes it takes anything.
async fn ask(issuer: &Introspector, client: &Client) -> Check {
    let url = issuer.endpoint().at().destination().url().to_string();
    let made_up = randomness::random::<16>().unwrap_or_default();
    let said = issuer.ask_once(client, &hex(&made_up)).await;
    let is_inactive = matches!(said, Ok(Said::Refused(_)));
    Check {
        what: "introspection",
        found: is_inactive.then(|| "a token that nobody has does not hold".to_owned()),
        failure: match said {
            Ok(Said::Refused(_)) => None,
            Ok(Said::Good(_)) => {
                let why = "it says that a token holds that was made up just now";
                let url = url.clone();
                Some(failure(&IssuerError::Introspection { url, why }))
            }
            Err(error) => Some(failure(&error)),
        },
        url: Some(url),
    }
}

async fn fetch<S: Source>(
    live: &Live<S>,
    client: &Client,
    skew: Duration,
    found: impl FnOnce() -> String,
) -> Check {
    let fetched = live.fetch_once(client).await;
    Check {
        what: S::WHAT,
        url: Some(live.source().destination().url().to_string()),
        found: fetched.is_ok().then(found),
        failure: match &fetched {
            Ok(answered) => other_clock(answered, skew, SystemTime::now()),
            Err(error) => Some(failure(error)),
        },
    }
}

fn failure(error: &IssuerError) -> Failure {
    Failure {
        code: error.code(),
        reason: error.to_string(),
        fix: error.fix(),
    }
}

/// Whether the clocks differ by more than tokens may.
fn other_clock(answered: &Answered, skew: Duration, now: SystemTime) -> Option<Failure> {
    let theirs = answered.date?;
    let (apart, word) = match theirs.duration_since(now) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    // The field has whole seconds, and the answer took its time.
    (apart > skew + Duration::from_secs(2)).then(|| Failure {
        code: "clock",
        reason: format!(
            "the issuer's clock is {} s {word} ours, and \"clock_skew\" is {} s",
            apart.as_secs(),
            skew.as_secs()
        ),
        fix: "correct the clock that is wrong: tokens would be refused as expired or not yet valid",
    })
}

fn show(check: &Check) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let url = check.url.as_deref().unwrap_or("from files");
    writeln!(out, "{}  {url}", check.what)?;
    if let Some(found) = &check.found {
        writeln!(out, "  found    {found}")?;
    }
    match &check.failure {
        None => writeln!(out, "  ok       the front door would use it"),
        Some(failure) => {
            writeln!(out, "  cause    {}: {}", failure.code, failure.reason)?;
            writeln!(out, "  fix      {}", failure.fix)
        }
    }
}

fn report(check: &Check) -> Value {
    let failure = check.failure.as_ref();
    json!({
        "what": check.what,
        "url": check.url,
        "found": check.found,
        "ok": failure.is_none(),
        "failure": failure.map(|failure| json!({
            "code": failure.code,
            "reason": failure.reason,
            "fix": failure.fix,
        })),
    })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_clock_that_differs_by_more_than_tokens_may_is_a_cause() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let skew = Duration::from_secs(30);
        for (theirs, said) in [
            (None, None),
            (Some(1_000_020), None),
            (Some(999_970), None),
            (Some(1_000_400), Some("400 s ahead of")),
            (Some(999_000), Some("1000 s behind")),
        ] {
            let answered = Answered {
                date: theirs.map(|theirs| UNIX_EPOCH + Duration::from_secs(theirs)),
                fresh: None,
            };
            let found = other_clock(&answered, skew, now).map(|failure| failure.reason);
            let fits = match (&found, said) {
                (Some(found), Some(said)) => found.contains(said),
                (None, None) => true,
                _ => false,
            };
            assert!(fits, "{theirs:?}: {found:?}");
        }
    }
}
