//! `GET /rules/top`: which rules cost, match or block most. The command line shows what this answers.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::fields::{Fields, WrongQuery};
use super::router::{Request, Response};
use super::sources::StatusSources;
use crate::config::{Config, Policy};
use crate::telemetry::{ReportedRule, RuleReport};
use seclang::suggest::did_you_mean;
use waf::RuleSummary;

/// Rules of each policy, unless the query says how many.
const MOST_SHOWN: usize = 20;

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    by: By,
    policy: Option<String>,
    route: Option<String>,
    most: Option<usize>,
}

/// What the rules are ordered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum By {
    #[default]
    Cpu,
    Hits,
    Blocks,
}

impl By {
    const ALL: [(&'static str, Self); 3] = [
        ("cpu", Self::Cpu),
        ("hits", Self::Hits),
        ("blocks", Self::Blocks),
    ];

    fn name(self) -> &'static str {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, by)| *by == self).map_or("", |(name, _)| name)
    }

    /// What the rule has most of, to be ordered by.
    fn key(self, rule: &ReportedRule) -> u128 {
        match self {
            Self::Cpu => rule.time.as_nanos(),
            Self::Hits => rule.hits.into(),
            Self::Blocks => rule.blocks.into(),
        }
    }
}

impl Wanted {
    fn parse(mut query: Fields<'_>) -> Result<Self, WrongQuery> {
        let wanted = Self {
            by: query.choice("by", By::ALL)?.unwrap_or_default(),
            policy: query.text("policy"),
            route: query.text("route"),
            most: query.number("most")?,
        };
        query.end()?;
        Ok(wanted)
    }
}

pub(super) fn top(sources: &StatusSources, request: &Request) -> Response {
    let wanted = match Wanted::parse(Fields::of(request)) {
        Ok(wanted) => wanted,
        Err(wrong) => return wrong.into(),
    };
    let snapshot = sources.live.pin();
    let rules = &sources.metrics.waf_rules;
    let counted = rules.policies();
    if let Err(why) = check_names(&wanted, &snapshot.config, &counted) {
        return Response::error(404, &why);
    }
    let names = counted
        .iter()
        .filter(|name| wanted.policy.as_ref().is_none_or(|policy| policy == *name));
    let policies = names.filter_map(|name| {
        let report = rules.report(name, wanted.route.as_deref())?;
        let policy = snapshot.config.policies.get(name).map(AsRef::as_ref);
        Some(policy_json(name, policy, &report, &wanted))
    });
    let answer = json!({
        "by": wanted.by.name(),
        "route": wanted.route,
        "clock_ns": rounded(clock_cost().as_nanos() as f64),
        "incomplete": rules.is_full(),
        "policies": policies.collect::<Vec<_>>(),
    });
    Response::json(200, &answer)
}

/// A name that is neither configured nor counted is a mistake, and an empty answer would hide it.
fn check_names(wanted: &Wanted, config: &Config, counted: &[String]) -> Result<(), String> {
    let no = |word: &str, name: &str, known: &BTreeSet<&str>| {
        let help = did_you_mean(name, known.iter().copied());
        let help = help.map(|help| format!("; {help}")).unwrap_or_default();
        format!("there is no {word} \"{name}\"{help}")
    };
    if let Some(name) = wanted.policy.as_deref() {
        // A policy that is gone has counts until the process ends, and may be the one that somebody asks about.
        let configured = config.policies.keys().map(String::as_str);
        let known: BTreeSet<&str> = configured
            .chain(counted.iter().map(String::as_str))
            .collect();
        if !known.contains(name) {
            return Err(no("policy", name, &known));
        }
    }
    if let Some(name) = wanted.route.as_deref() {
        let routes = config.routes.iter().map(|(_, route)| route.name.as_str());
        let known: BTreeSet<&str> = routes.collect();
        if !known.contains(name) {
            return Err(no("route", name, &known));
        }
    }
    Ok(())
}

fn policy_json(name: &str, policy: Option<&Policy>, report: &RuleReport, wanted: &Wanted) -> Value {
    let live = policy.and_then(|policy| policy.rules.live());
    // The place of a rule is that of the rules that run now.
    let summaries: HashMap<u64, RuleSummary> = live
        .into_iter()
        .flat_map(|rules| rules.summaries())
        .map(|rule| (rule.id, rule))
        .collect();
    let mut rules: Vec<_> = report
        .rules
        .iter()
        .filter(|rule| wanted.by.key(rule) > 0)
        .collect();
    // By id too, so that rules of the same cost do not change places between two looks.
    rules.sort_by_key(|rule| (Reverse(wanted.by.key(rule)), rule.rule_id));
    rules.truncate(wanted.most.unwrap_or(MOST_SHOWN));
    let rows = rules
        .iter()
        .map(|rule| rule_json(rule, summaries.get(&rule.rule_id), report));
    json!({
        "policy": name,
        "cost_sample": policy.map(|policy| policy.cost_sample),
        "timed_requests": report.timed,
        "mean_us": per_request(report.time, report),
        "prefilter": part_json(report.prefilter, report),
        "other": part_json(report.other(), report),
        "rules": rows.collect::<Vec<_>>(),
    })
}

fn rule_json(rule: &ReportedRule, summary: Option<&RuleSummary>, report: &RuleReport) -> Value {
    let mut row = part_json(rule.time, report);
    let more = json!({
        "rule_id": rule.rule_id,
        "file": summary.map(|rule| rule.file.to_string_lossy()),
        "line": summary.map(|rule| rule.line),
        "message": summary.map(|rule| &rule.message),
        "runs": rule.runs,
        "worst_us": rounded(micros(rule.most)),
        "worst_request_id": rule.worst.as_deref(),
        "hits": rule.hits,
        "blocks": rule.blocks,
    });
    if let (Value::Object(row), Value::Object(more)) = (&mut row, more) {
        row.extend(more);
    }
    row
}

/// The time of a rule, or of what is no rule.
fn part_json(time: Duration, report: &RuleReport) -> Value {
    let share = time.as_secs_f64() / report.time.as_secs_f64();
    json!({
        // Nothing was timed: a share of nothing is no number, and JSON has no other word for it.
        "cpu_share": if share.is_finite() { (share * 1e4).round() / 1e4 } else { 0.0 },
        "mean_us": per_request(time, report),
    })
}

/// Microseconds for each timed request.
fn per_request(time: Duration, report: &RuleReport) -> f64 {
    match report.timed {
        0 => 0.0,
        timed => rounded(micros(time) / timed as f64),
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// To nanoseconds: the clock shows no more.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

/// What a look at the clock takes on this machine. Each run of a rule has one of them in its time.
fn clock_cost() -> Duration {
    const LOOKS: u32 = 1000;
    let begun = Instant::now();
    for _ in 1..LOOKS {
        // Otherwise the compiler leaves out a look that nobody uses.
        std::hint::black_box(Instant::now());
    }
    begun.elapsed() / LOOKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_known_words_only() {
        let parse = |text: &str| {
            let wanted = Wanted::parse(Fields::parse(text.as_bytes()));
            wanted.map_err(|wrong| wrong.to_string())
        };
        assert_eq!(parse(""), Ok(Wanted::default()));
        let wanted = Wanted {
            by: By::Blocks,
            policy: Some("a".to_owned()),
            route: Some("b".to_owned()),
            most: Some(3),
        };
        assert_eq!(parse("by=blocks&policy=a&route=b&most=3"), Ok(wanted));
        for (text, said) in [
            ("by=time", "\"by\" must be cpu, hits or blocks"),
            ("most=many", "\"most\" must be a number"),
            ("polcy=a", "the query has no word \"polcy\""),
        ] {
            assert_eq!(parse(text), Err(said.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_report_without_a_timed_request_has_no_share() {
        let report = RuleReport::default();
        let part = part_json(Duration::ZERO, &report);
        assert_eq!(part, json!({ "cpu_share": 0.0, "mean_us": 0.0 }));
    }
}
