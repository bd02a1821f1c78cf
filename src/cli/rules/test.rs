//! `drawbridge rules test`: runs rule tests (FTW files), in process or against a server.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::progress::Progress;
use super::source::RuleSource;
use super::tls_client::TlsClient;
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::cli::output::Output;
use crate::counted::counted;
use crate::review::escape::{json_text, show, show_short};
use ftw::{self, InProcess, Overrides, Play, Report, StageResult, Target, TestFile, TestResult};

/// Run rule tests: the FTW files of the OWASP CRS and your own
///
/// In process by default: SecRuleEngine in the policy or the files decides what is blocked. With --target
/// against a server, whose log says which rules matched.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Test files, or folders of them
    #[arg(required = true, value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) source: RuleSource,
    /// Expectations that replace those of some tests, each with its reason (the CRS's format)
    #[arg(long, value_name = "FILE")]
    pub(super) overrides: Option<PathBuf>,
    /// Send the requests to this server instead; its certificate is only verified with --ca
    #[arg(long, value_name = "https://HOST:PORT", requires = "log", conflicts_with_all = ["config", "policy", "route", "rules"])]
    pub(super) target: Option<String>,
    /// The log to which the server writes the rules that match
    #[arg(long, value_name = "FILE", requires = "target")]
    pub(super) log: Option<PathBuf>,
    /// Trust only these authorities for the server's certificate
    #[arg(long, value_name = "FILE", requires = "target")]
    pub(super) ca: Option<PathBuf>,
    /// How to show the results
    #[arg(long, value_enum, default_value_t = Output::Human)]
    pub(super) output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let overrides = match args.overrides.as_deref().map(Overrides::load).transpose() {
        Ok(overrides) => overrides.unwrap_or_default(),
        Err(problem) => return CommandError::Diagnostics(vec![problem]).report(args.output),
    };
    let files = match ftw::load(&args.paths) {
        Ok(files) => files,
        Err(problems) => return CommandError::Diagnostics(problems).report(args.output),
    };
    let total = files.iter().map(|file| file.tests.len()).sum();
    // A mistyped path must not look like a success.
    if total == 0 {
        let problem = "the named files and folders have no tests".to_owned();
        return CommandError::Problem(problem).report(args.output);
    }
    let player = match player(args) {
        Ok(player) => player,
        Err(code) => return code,
    };
    let progress = Progress::new(total);
    let report = ftw::run(&*player, &files, &overrides, &|done| progress.update(done));
    progress.clear();
    let shown = match args.output {
        Output::Human => show_report(&report, &files),
        Output::Json => show_json(&report, &files),
    };
    // A reader that hung up has seen what it wanted; the exit code still counts.
    drop(shown);
    match report.failed() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn player(args: &Args) -> Result<Box<dyn Play>, ExitCode> {
    // clap refuses one without the other, so without both the rules run in process.
    let (Some(url), Some(log)) = (&args.target, &args.log) else {
        return args
            .source
            .load()
            .map(|rules| Box::new(InProcess::new(rules)) as Box<dyn Play>)
            .map_err(|failure| failure.report(args.output));
    };
    if args.ca.is_none() {
        // A test environment often has a certificate of its own, but nobody should trust a result by accident.
        eprintln!("drawbridge: the certificate of {url} is not verified (see --ca)");
    }
    let target = TlsClient::new(args.ca.as_deref())
        .map_err(|error| format!("the authorities cannot be read: {error}"))
        .and_then(|tls| Target::new(url, log, Box::new(tls)).map_err(|error| error.to_string()));
    match target {
        Ok(target) => Ok(Box::new(target)),
        Err(problem) => Err(CommandError::Problem(problem).report_as(args.output, exit::USAGE)),
    }
}

fn show_report(report: &Report, files: &[TestFile]) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    // Of those that pass the count is enough.
    for test in &report.tests {
        if !test.passed() {
            show_failure(&mut out, test, &files[test.file])?;
        }
        if test.override_unneeded() {
            writeln!(out, "{}: its override is no longer needed", test.id)?;
        }
    }
    writeln!(
        out,
        "{} passed, {} failed",
        report.passed(),
        report.failed()
    )?;
    out.flush()
}

fn show_failure(out: &mut impl Write, test: &TestResult, file: &TestFile) -> io::Result<()> {
    writeln!(out, "{} FAILED  {}", test.id, file.path.display())?;
    if !test.description.is_empty() {
        writeln!(out, "  {}", show(test.description.trim().as_bytes()))?;
    }
    let failed = test
        .stages
        .iter()
        .enumerate()
        .filter(|(_, s)| !s.failures.is_empty());
    for (number, stage) in failed {
        let request = request(file, test, number);
        if test.stages.len() > 1 {
            writeln!(out, "  stage {number}")?;
        }
        writeln!(out, "  request")?;
        for line in request.split_inclusive(|&b| b == b'\n') {
            writeln!(out, "    {}", show_short(line, 200))?;
        }
        for failure in &stage.failures {
            writeln!(out, "  {failure}")?;
        }
        show_outcome(out, stage)?;
    }
    writeln!(out)
}

fn show_outcome(out: &mut impl Write, stage: &StageResult) -> io::Result<()> {
    let outcome = &stage.outcome;
    let status = outcome
        .status
        .map_or("no answer".to_owned(), |s| format!("status {s}"));
    let note = outcome
        .note
        .as_deref()
        .map(|n| format!(" ({n})"))
        .unwrap_or_default();
    writeln!(
        out,
        "  got {status}{note}; {} matched",
        counted(outcome.ids.len(), "rule")
    )?;
    for line in &outcome.log {
        writeln!(out, "    {}", show_short(line, 400))?;
    }
    if let Some(reason) = &stage.overridden {
        writeln!(out, "  overridden: {reason}")?;
    }
    Ok(())
}

fn request<'a>(file: &'a TestFile, test: &TestResult, number: usize) -> std::borrow::Cow<'a, [u8]> {
    file.tests
        .get(test.place)
        .and_then(|test| test.stages.get(number))
        .map_or_else(Default::default, ftw::Stage::request)
}

fn show_json(report: &Report, files: &[TestFile]) -> io::Result<()> {
    let tests: Vec<Value> = report
        .tests
        .iter()
        .map(|test| json_test(test, &files[test.file]))
        .collect();
    let report = json!({
        "passed": report.passed(),
        "failed": report.failed(),
        "tests": tests,
    });
    let mut out = io::BufWriter::new(io::stdout().lock());
    serde_json::to_writer_pretty(&mut out, &report)?;
    writeln!(out)?;
    out.flush()
}

fn json_test(test: &TestResult, file: &TestFile) -> Value {
    let stages: Vec<Value> = test
        .stages
        .iter()
        .enumerate()
        .map(|(number, stage)| {
            let outcome = &stage.outcome;
            let log: Vec<String> = outcome.log.iter().map(|line| json_text(line)).collect();
            json!({
                "request": json_text(&request(file, test, number)),
                "failures": stage.failures,
                "status": outcome.status,
                "rule_ids": outcome.ids,
                "log": log,
                "note": outcome.note,
                "overridden": stage.overridden,
                "override_unneeded": stage.override_unneeded,
            })
        })
        .collect();
    json!({
        "id": test.id.to_string(),
        "file": file.path.to_string_lossy(),
        "description": test.description,
        "passed": test.passed(),
        "stages": stages,
    })
}
