//! `drawbridge rules top`: which rules of the running front door cost, match or block most.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use clap_complete::engine::ArgValueCompleter;
use serde::Deserialize;

use crate::cli::config_file;
use crate::cli::front_door::{FrontDoor, in_query};
use crate::cli::output::Output;
use crate::counted::counted;
use crate::review::escape::show_short;

/// Show which rules of the running front door cost, match or block most
///
/// Counted since its process started. What rules cost is known of the requests that were timed: the part
/// `cost_sample` of a policy's requests. The JSON is that of `GET /rules/top`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge rules top --by cpu
  drawbridge rules top --by blocks --route shop --most 5
  drawbridge rules top --by cpu --policy api --output json

Exit codes:
  0  done, also if nothing was counted
  1  no front door answers, or it has no such policy or route
  2  wrong usage")]
pub(super) struct Args {
    #[command(flatten)]
    front: FrontDoor,
    /// What to order the rules by
    #[arg(long, value_enum)]
    by: By,
    /// Only the rules of this policy
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(config_file::policies))]
    policy: Option<String>,
    /// Only what was counted on this route
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(config_file::routes))]
    route: Option<String>,
    /// How many rules of each policy to show
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    most: usize,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// The time that they took in timed requests
    Cpu,
    /// The requests that they matched and that they logged
    Hits,
    /// Those of them that were blocked
    Blocks,
}

impl By {
    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Hits => "hits",
            Self::Blocks => "blocks",
        }
    }
}

/// The answer of the front door.
#[derive(Debug, Deserialize)]
struct Answer {
    clock_ns: f64,
    incomplete: bool,
    policies: Vec<Policy>,
}

#[derive(Debug, Deserialize)]
struct Policy {
    policy: String,
    /// None if it is no longer configured.
    cost_sample: Option<f64>,
    timed_requests: u64,
    mean_us: f64,
    prefilter: Part,
    other: Part,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Part {
    cpu_share: f64,
    mean_us: f64,
}

#[derive(Debug, Deserialize)]
struct Rule {
    rule_id: u64,
    /// These three are None if the policy no longer has the rule.
    file: Option<String>,
    line: Option<u32>,
    message: Option<String>,
    #[serde(flatten)]
    part: Part,
    worst_us: f64,
    worst_request_id: Option<String>,
    hits: u64,
    blocks: u64,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let mut path = format!("/rules/top?by={}&most={}", args.by.name(), args.most);
    for (word, name) in [("policy", &args.policy), ("route", &args.route)] {
        if let Some(name) = name {
            // Writing to a string cannot fail.
            let _ = write!(path, "&{word}={}", in_query(name));
        }
    }
    let shown = |answer: &Answer| human(answer, args.by);
    args.front.show("GET", &path, args.output, shown)
}

fn human(answer: &Answer, by: By) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut is_timed = false;
    for policy in &answer.policies {
        is_timed |= policy.timed_requests > 0;
        write_policy(&mut out, policy, by)?;
    }
    // Before the notes on standard error, so that they stand below the table on a terminal.
    out.flush()?;
    if answer.policies.is_empty() {
        eprintln!("nothing was counted yet");
    } else if !is_timed && by == By::Cpu {
        eprintln!("no request was timed: set cost_sample in the policy, like cost_sample = 0.001");
    }
    if is_timed {
        eprintln!(
            "each run of a rule has a look at the clock in its time, {:.0} ns here",
            answer.clock_ns
        );
    }
    if answer.incomplete {
        eprintln!("there are more rules and routes than are counted: some are left out");
    }
    Ok(())
}

fn write_policy(out: &mut impl Write, policy: &Policy, by: By) -> io::Result<()> {
    let sample = policy
        .cost_sample
        .map_or("no longer configured".to_owned(), |sample| {
            format!("cost_sample {sample}")
        });
    writeln!(
        out,
        "policy {}: {} timed ({sample}), {:.1} µs each",
        policy.policy,
        counted(policy.timed_requests, "request"),
        policy.mean_us
    )?;
    writeln!(
        out,
        "{:>10} {:>6} {:>9} {:>9} {:>8} {:>8}  {:36}  {:40}  message",
        "rule", "cpu", "mean µs", "worst µs", "hits", "blocks", "worst request", "place"
    )?;
    // In the place that their time gives them, as if they were rules.
    let mut parts = vec![("prefilter", policy.prefilter), ("other", policy.other)];
    // Only rules have hits and blocks, and without a timed request there is no time to show.
    parts.retain(|_| by == By::Cpu && policy.timed_requests > 0);
    parts.sort_by(|(_, a), (_, b)| b.mean_us.total_cmp(&a.mean_us));
    let mut parts = parts.into_iter().peekable();
    for rule in &policy.rules {
        while let Some((name, part)) = parts.next_if(|(_, part)| part.mean_us > rule.part.mean_us) {
            write_part(out, name, part)?;
        }
        write_rule(out, rule)?;
    }
    for (name, part) in parts {
        write_part(out, name, part)?;
    }
    writeln!(out)
}

fn write_part(out: &mut impl Write, name: &str, part: Part) -> io::Result<()> {
    let (share, mean) = (percent(part), part.mean_us);
    writeln!(out, "{name:>10} {share:>6} {mean:>9.3}")
}

fn write_rule(out: &mut impl Write, rule: &Rule) -> io::Result<()> {
    let place = match (&rule.file, rule.line) {
        (Some(file), Some(line)) => format!("{}:{line}", show_short(file.as_bytes(), 200)),
        _ => "no longer loaded".to_owned(),
    };
    let message = rule.message.as_deref().unwrap_or_default();
    writeln!(
        out,
        "{:>10} {:>6} {:>9.3} {:>9.3} {:>8} {:>8}  {:36}  {place:40}  {}",
        rule.rule_id,
        percent(rule.part),
        rule.part.mean_us,
        rule.worst_us,
        rule.hits,
        rule.blocks,
        rule.worst_request_id.as_deref().unwrap_or("-"),
        show_short(message.as_bytes(), 120),
    )
}

fn percent(part: Part) -> String {
    format!("{:.1} %", part.cpu_share * 100.0)
}
