//! `drawbridge events show`: one request, what the rules found in it, and what became of it.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use crate::cli::config_file::ConfigFile;
use crate::cli::error::{CommandError, shown_or_reported};
use crate::cli::offline;
use crate::cli::output::{Output, print_json, wants_colour};
use crate::cli::rules::{marked, write_human};
use crate::events::{Event, Match, RuleCost};
use crate::review::escape::{show, show_short};
use crate::review::events::{ShownEvent, Under, time};
use crate::time::rfc3339;

/// Bytes of a body that are shown.
const MOST_BODY: usize = 2048;

/// Show an event: the request, what matched where, the verdict, and what became of it
///
/// The matches are those of the rules that the request met: as `rules explain` shows them if its policy still has these
/// rules and the record lacks nothing, otherwise as they were recorded. With --now the request is run through the
/// policy as it is configured now.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  drawbridge events show 01970c2e-...
  drawbridge events show 01970c2e-... --now          is it still blocked?

Exit codes:
  0  shown
  1  there is no such event, or it cannot be read
  2  wrong usage")]
pub(super) struct Args {
    /// The id of the request, as the access log and `events list` show it
    #[arg(value_name = "REQUEST-ID")]
    id: String,
    #[command(flatten)]
    config: ConfigFile,
    /// Run the request through the policy as it is configured now
    #[arg(long)]
    now: bool,
    /// Show what the shadow of its policy found in it, if the request was also kept for another reason
    #[arg(long)]
    shadow: bool,
    /// How to show it
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

pub(super) fn run(args: &Args) -> ExitCode {
    let shown = match find(args) {
        Ok(shown) => shown,
        Err(error) => return error.report(args.output),
    };
    let written = match args.output {
        Output::Human => human(&shown),
        Output::Json => print_json(&shown.to_json()),
    };
    shown_or_reported(written, args.output)
}

fn find(args: &Args) -> Result<ShownEvent, CommandError> {
    let event = match args.shadow {
        true => super::read_shadow_event(&args.config, &args.id)?,
        false => super::read_event(&args.config, &args.id)?,
    };
    if args.now {
        return Ok(ShownEvent::now(event, &offline::load(&args.config)?)?);
    }
    // Compiling rules takes longer than all else, and such a record can only be shown as it is.
    let config = match event.details.payload.why_not_judged() {
        // A configuration that is broken today must not hide what was recorded.
        None => offline::load(&args.config).ok(),
        Some(_) => None,
    };
    Ok(ShownEvent::met(event, config.as_ref()))
}

fn human(ShownEvent { event, explained }: &ShownEvent) -> io::Result<()> {
    let colour = wants_colour(&io::stdout());
    let mut out = BufWriter::new(io::stdout().lock());
    write_facts(&mut out, event)?;
    write_request(&mut out, event)?;
    match explained {
        Some((under, explanation)) => {
            let which = match under {
                Under::Met => "under the rules that it met",
                Under::Now => "under the rules of now",
            };
            writeln!(out, "\n{which}")?;
            write_human(&mut out, explanation, false, colour)?;
        }
        None => write_matches(&mut out, event, colour)?,
    }
    out.flush()
}

fn write_facts(out: &mut impl Write, event: &Event) -> io::Result<()> {
    write_origin(out, event)?;
    write_verdict(out, event)?;
    write_answer(out, event)?;
    write_costs(out, &event.details.costs)?;
    match event.details.payload.why_not_judged() {
        Some(why) => writeln!(out, "note      {why}"),
        None => Ok(()),
    }
}

/// Who asked for what, and which rules the request met.
fn write_origin(out: &mut impl Write, event: &Event) -> io::Result<()> {
    let (summary, details) = (&event.summary, &event.details);
    writeln!(out, "request   {}", shown(&summary.request_id))?;
    writeln!(out, "time      {}", rfc3339(time(summary)))?;
    let identity = summary
        .identity
        .as_deref()
        .map(|subject| format!(" ({})", shown(subject)));
    writeln!(
        out,
        "client    {}{}",
        summary.client,
        identity.unwrap_or_default()
    )?;
    write_caller(out, event)?;
    writeln!(out, "listener  {}", summary.listener)?;
    if let Some(route) = &summary.route {
        let policy = summary.policy.as_deref().unwrap_or("-");
        let digest = summary
            .rules_digest
            .as_deref()
            .map(|digest| format!(", rules {digest}"));
        writeln!(
            out,
            "route     {route}, policy {policy}{}",
            digest.unwrap_or_default()
        )?;
    }
    if let Some(found) = &details.shadow {
        let rules: Vec<String> = found.rule_ids.iter().map(u64::to_string).collect();
        writeln!(
            out,
            "shadow    {}, because of {}; the policy's rules are {}",
            found.difference.replace('_', " "),
            rules.join(", "),
            shown(&found.live_rules_digest)
        )?;
    }
    Ok(())
}

/// Who called, and what the rules saw of it.
fn write_caller(out: &mut impl Write, event: &Event) -> io::Result<()> {
    if let Some(caller) = &event.summary.caller {
        write!(out, "caller    {}", shown(&caller.short()))?;
        for (word, value) in [("token", &caller.token_id), ("issuer", &caller.issuer)] {
            if let Some(value) = value {
                write!(out, ", {word} {}", shown(value))?;
            }
        }
        writeln!(out)?;
    }
    let claims = event.details.claims.iter();
    for claim in claims.clone().flat_map(|claims| &claims.kept) {
        let (name, value) = (shown(&claim.name), shown(&claim.value));
        writeln!(out, "          IDENTITY:{name} {value}")?;
    }
    for name in claims.flat_map(|claims| &claims.left_out) {
        writeln!(out, "          IDENTITY:{} is not kept", shown(name))?;
    }
    Ok(())
}

/// What was decided, and what was not looked at.
fn write_verdict(out: &mut impl Write, event: &Event) -> io::Result<()> {
    let (summary, details) = (&event.summary, &event.details);
    let verdict = summary.verdict.name();
    let blocked = details.blocked.as_ref().map(|by| {
        let who = match by.rule_id {
            0 => "the engine".to_owned(),
            id => format!("rule {id}"),
        };
        format!(": {who} in phase {}, status {}", by.phase, by.status)
    });
    writeln!(out, "verdict   {verdict}{}", blocked.unwrap_or_default())?;
    if summary.score > 0 || details.outbound_score > 0 {
        writeln!(
            out,
            "scores    inbound {}, outbound {}",
            summary.score, details.outbound_score
        )?;
    }
    if let Some(why) = &details.not_inspected {
        writeln!(out, "body      not inspected: {}", shown(why))?;
    }
    if let Some(why) = details
        .inspection
        .as_ref()
        .and_then(|body| body.reason.as_ref())
    {
        writeln!(out, "          {}", shown(why))?;
    }
    Ok(())
}

/// What the client got, where it came from, and how long it took.
fn write_answer(out: &mut impl Write, event: &Event) -> io::Result<()> {
    let (summary, details) = (&event.summary, &event.details);
    let why = details.reason.as_deref().or(details.error.as_deref());
    let why = why
        .map(|why| format!(" ({})", shown(why)))
        .unwrap_or_default();
    writeln!(out, "answer    {}{why}", summary.status)?;
    if let Some(upstream) = &details.upstream {
        let server = upstream.server.as_deref().unwrap_or("-");
        writeln!(out, "upstream  {}, server {server}", upstream.name)?;
    }
    let ms = &details.ms;
    writeln!(
        out,
        "took      {} ms, rules {} ms, upstream {} ms",
        ms.total, ms.waf, ms.upstream
    )
}

/// Bounded, and with control characters made visible.
fn shown(text: &str) -> String {
    show_short(text.as_bytes(), 200)
}

/// The rules that took longest.
fn write_costs(out: &mut impl Write, costs: &[RuleCost]) -> io::Result<()> {
    for (place, cost) in costs.iter().enumerate() {
        let word = if place == 0 { "dearest" } else { "" };
        let worst = match cost.is_worst {
            true => ", longer than in any request before",
            false => "",
        };
        writeln!(
            out,
            "{word:9} rule {} {:.3} µs{worst}",
            cost.rule_id, cost.us
        )?;
    }
    Ok(())
}

fn write_request(out: &mut impl Write, event: &Event) -> io::Result<()> {
    // What is there instead of a body is a file of age, which says nothing on a terminal.
    if event.details.payload.is_sealed {
        return Ok(());
    }
    writeln!(out)?;
    let lines = event.head.split(|byte| *byte == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    for line in lines.take_while(|line| !line.is_empty()) {
        writeln!(out, "  {}", show(line))?;
    }
    if !event.body.is_empty() {
        writeln!(out, "\n  {}", show_short(&event.body, MOST_BODY))?;
    }
    Ok(())
}

fn write_matches(out: &mut impl Write, event: &Event, colour: bool) -> io::Result<()> {
    if event.details.matches.is_empty() {
        return writeln!(out, "\nno rule matched");
    }
    writeln!(out, "\nmatched")?;
    for found in &event.details.matches {
        write_match(out, found, colour)?;
    }
    match event.details.unrecorded_matches {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more"),
    }
}

fn write_match(out: &mut impl Write, found: &Match, colour: bool) -> io::Result<()> {
    let shown = |text: &str| show_short(text.as_bytes(), 300);
    let severity = found
        .severity
        // A record on the disk may have any number here.
        .and_then(|severity| waf::SEVERITIES.get(usize::from(severity)));
    let severity = severity.copied().unwrap_or_default();
    writeln!(
        out,
        "  {} {severity:9} {}",
        found.rule_id,
        shown(&found.message)
    )?;
    writeln!(
        out,
        "    at        {}, phase {}",
        shown(&found.at),
        found.phase
    )?;
    if !found.variable.is_empty() {
        writeln!(out, "    variable  {}", shown(&found.variable))?;
    }
    let word = match &found.transformed {
        Some(_) => {
            writeln!(out, "    received  {}", shown(&found.value))?;
            "became"
        }
        None => "value",
    };
    if !found.tested().is_empty() {
        let span = found.span.map(|[start, end]| start..end);
        let value = marked(found.tested().as_bytes(), span, colour);
        writeln!(out, "    {word:9} {value}")?;
    }
    if !found.data.is_empty() {
        writeln!(out, "    data      {}", shown(&found.data))?;
    }
    Ok(())
}
