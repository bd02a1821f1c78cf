//! The command line: one file for each verb.
//!
//! Results go to standard output, problems to standard error; with `--output json` both are one JSON object on standard
//! output. The exit codes are in `exit`. Scripts depend on all of this.
//!
//! The documentation comments of commands and their arguments are the text of `--help` and of the man pages.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use clap_complete::env::{CompleteEnv, Shells};
use serde_json::json;

mod certs;
mod check;
mod config_file;
mod console;
mod demo;
mod diff;
mod doctor;
mod error;
mod events;
mod exit;
mod expose;
mod front_door;
mod headers;
mod healthcheck;
mod identity;
mod init;
mod limits;
mod offline;
mod output;
mod reload;
mod routes;
pub mod rules;
mod run;
mod status;
mod version;

use self::error::{CommandError, shown_or_reported};
use self::output::Output;

const EXAMPLES: &str = "\
Examples:
  drawbridge init                                    a configuration to begin with
  drawbridge demo                                    a front door, two gateways and curl lines to try
  drawbridge check                                   every problem of ./drawbridge.toml and its files at once
  drawbridge run --config drawbridge.toml            serve
  drawbridge status                                  the state of the running front door
  drawbridge reload                                  make it read its files now
  drawbridge doctor upstream orders                  why the proxy does not use it, and how to fix it
  drawbridge certs list                              every certificate, and how long it is valid
  drawbridge expose off public                       switch it off, without a reload
  drawbridge routes show orders                      who may call it, and what its gateway learns of the caller
  drawbridge events list --since 2h                  what was blocked, and what would have been
  drawbridge diff old.toml drawbridge.toml           what becomes reachable
  drawbridge rules test --rules 'rules/*.conf' tests run rule tests (FTW format)

Exit codes:
  0  done as asked
  1  a problem was found, or the front door could not start; starting it again will not help
  2  wrong usage";

/// A public front door for private APIs: TLS in, a WAF, private-CA TLS out.
#[derive(Debug, Parser)]
#[command(name = "drawbridge", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve from a configuration file.
    Run(run::Args),
    /// Report every problem of a configuration, its rules and its certificates.
    Check(check::Args),
    /// Write a configuration to begin with, which is safe and passes `check`.
    Init(init::Args),
    /// Say what becomes reachable from one configuration to another.
    Diff(diff::Args),
    /// Show what is exposed, and switch it off and on.
    Expose(expose::Args),
    /// Try it: a front door and two on-premises gateways on this machine.
    Demo(demo::Args),
    /// Make the running front door read its files now, and say what it applied.
    Reload(reload::Args),
    /// Show the state of the running front door.
    Status(status::Args),
    /// Ask the running front door whether it is ready; for HEALTHCHECK and probes.
    Healthcheck(healthcheck::Args),
    /// Find out why the proxy does not use an upstream, and how to fix it.
    Doctor(doctor::Args),
    /// List certificates, rehearse a new CA, make certificates for development.
    Certs(certs::Args),
    /// Say which header fields are dropped from whom, and why.
    Headers(headers::Args),
    /// Show what tokens must be and why one is refused; make tokens to try gateways with.
    Identity(identity::Args),
    /// Show what routes do: who may call what, what inspects it, and what the gateway learns of the caller.
    Routes(routes::Args),
    /// Show who is near a limit, and suggest limits from recorded requests.
    Limits(limits::Args),
    /// Show the requests that were kept: blocked ones, those that would have been, and a sample.
    Events(events::Args),
    /// Log in to the web console of the running front door.
    Console(console::Args),
    /// Check, list, test and explain rules; replay requests through them.
    Rules(rules::Args),
    /// Show the version of this binary and of what is compiled into it.
    Version(version::Args),
    /// Print a completion script for a shell.
    Completions {
        /// The shell to complete in.
        shell: Shell,
    },
    /// Print a man page: of drawbridge, or of a verb.
    Man {
        /// The verb, like `run` or `rules test`.
        verb: Vec<String>,
        /// Write the pages of all verbs to this folder instead.
        #[arg(long, value_name = "FOLDER", conflicts_with = "verb")]
        to: Option<PathBuf>,
    },
}

/// Runs the verb that the command line names.
#[must_use]
pub fn main() -> ExitCode {
    // If a shell asks for the completion of a word, this answers and exits.
    CompleteEnv::with_factory(Cli::command).complete();
    let verb = match Cli::try_parse() {
        Ok(Cli { verb }) => verb,
        Err(error) => return refuse_usage(&error),
    };
    match verb {
        Verb::Run(args) => run::run(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Init(args) => init::run(&args),
        Verb::Diff(args) => diff::run(&args),
        Verb::Expose(args) => expose::run(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Reload(args) => reload::run(&args),
        Verb::Status(args) => status::run(&args),
        Verb::Healthcheck(args) => healthcheck::run(&args),
        Verb::Doctor(args) => doctor::run(&args),
        Verb::Certs(args) => certs::run(&args),
        Verb::Headers(args) => headers::run(&args),
        Verb::Identity(args) => identity::run(&args),
        Verb::Routes(args) => routes::run(&args),
        Verb::Limits(args) => limits::run(&args),
        Verb::Events(args) => events::run(&args),
        Verb::Console(args) => console::run(&args),
        Verb::Rules(args) => rules::run(&args),
        Verb::Version(args) => version::run(&args),
        Verb::Completions { shell } => match completions(shell) {
            Ok(script) => print(&script),
            Err(error) => CommandError::from(error).report(Output::Human),
        },
        Verb::Man { verb, to: None } => match man(&verb) {
            Ok(page) => print(&page),
            Err(error) => CommandError::from(error).report(Output::Human),
        },
        Verb::Man { to: Some(to), .. } => {
            let written = clap_mangen::generate_to(Cli::command(), to);
            shown_or_reported(written, Output::Human)
        }
    }
}

/// Reports wrong usage in the form that was asked for; `--help` and `--version` are not errors.
fn refuse_usage(error: &clap::Error) -> ExitCode {
    // clap could not parse the command line, so the form of output is looked up by hand.
    // `args` would panic where an argument is no UTF-8.
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> = words.collect();
    let asks_json = words
        .iter()
        .any(|word| word == "--output=json" || word == "--json")
        || words.windows(2).any(|pair| pair == ["--output", "json"]);
    // `--help` and `--version` come as errors as well; their text goes to standard output.
    if !(error.use_stderr() && asks_json) {
        error.exit()
    }
    let problem = error.to_string();
    // The key of the JSON says already that this is an error.
    let problem = problem.trim_start_matches("error: ").trim();
    print(
        format!(
            "{:#}\n",
            json!({ "ok": false, "error": problem, "problems": [] })
        )
        .as_bytes(),
    );
    ExitCode::from(exit::USAGE)
}

/// A script that calls this program for each completion, so that the names in the configuration are completed too.
fn completions(shell: Shell) -> io::Result<Vec<u8>> {
    let shells = Shells::builtins();
    let shell = shell.to_string();
    let completer = shells
        .completer(&shell)
        .ok_or_else(|| io::Error::other(format!("there is no completion for {shell}")))?;
    let mut script = Vec::new();
    completer.write_registration(
        "COMPLETE",
        "drawbridge",
        "drawbridge",
        "drawbridge",
        &mut script,
    )?;
    Ok(script)
}

fn man(verb: &[String]) -> io::Result<Vec<u8>> {
    let mut command = Cli::command();
    // clap sets the full names of subcommands only here.
    command.build();
    for word in verb {
        let found = command.find_subcommand(word).cloned();
        command = found.ok_or_else(|| io::Error::other(format!("there is no verb {word:?}")))?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}

fn print(bytes: &[u8]) -> ExitCode {
    shown_or_reported(io::stdout().write_all(bytes), Output::Human)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn verbs_are_completed_and_documented() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(completions(shell).unwrap()).unwrap();
            assert!(script.contains("COMPLETE"), "{shell}");
        }
        let page = |verb: &[String]| String::from_utf8(man(verb).unwrap()).unwrap();
        for word in ["demo", "check", "Exit codes"] {
            assert!(page(&[]).contains(word), "{word}");
        }
        let demo = page(&["demo".to_owned()]);
        assert!(
            demo.contains("drawbridge\\-demo") && demo.contains("bind"),
            "{demo}"
        );
        assert!(man(&["dance".to_owned()]).is_err());
    }

    #[test]
    fn every_verb_gets_a_page() {
        let folder = tempfile::tempdir().unwrap();
        clap_mangen::generate_to(Cli::command(), &folder).unwrap();
        for verb in ["", "-events-top", "-rules-exclude", "-man"] {
            let page = folder.path().join(format!("drawbridge{verb}.1"));
            assert!(page.is_file(), "{}", page.display());
        }
    }
}
