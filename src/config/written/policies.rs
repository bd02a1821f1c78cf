//! `[policies.*]`, as they are written: which rules, in which mode, with which settings.

mod promotion;
mod shadow;

use std::time::Duration;

use super::crs_variables;
use super::diagnostics::Problem;
use super::document::{Document, Named};
use super::limits;
use super::reader::{Given, Item, Section};
use super::source::{At, Placed};
use crate::config::model::{OnExpiry, OnUninspected, PolicyMode};
use crate::config::section_kind::SectionKind;
use seclang::suggest::did_you_mean;
use waf::UnparsedBodies;

pub(crate) use promotion::promote;
pub use promotion::{Promotion, PromotionError};
pub(crate) use shadow::WrittenShadow;

/// The name of the compiled-in rules.
const BASELINE: &str = "@baseline";

/// `[policies.NAME]`
#[derive(Debug)]
pub(crate) struct WrittenPolicy<'s> {
    pub(crate) name: &'s str,
    pub(crate) at: At<'s>,
    pub(crate) mode: Option<Placed<'s, PolicyMode>>,
    /// `None` if there are none, which was reported unless the mode is off.
    pub(crate) rules: Option<WrittenRules<'s>>,
    /// Files of exclusions.
    pub(crate) exclusions: Vec<Placed<'s, &'s str>>,
    pub(crate) on_expiry: Option<OnExpiry>,
    /// Names and values of `tx.*` variables, sorted.
    pub(crate) variables: Option<Vec<(String, String)>>,
    pub(crate) request_body_limit: Given<usize>,
    pub(crate) on_uninspected: Option<OnUninspected>,
    pub(crate) unparsed_bodies: Option<UnparsedBodies>,
    pub(crate) waf_budget: Given<Duration>,
    pub(crate) shadow: Given<WrittenShadow<'s>>,
    /// `response_encoding`: whether gateways are asked for answers without a content coding.
    pub(crate) asks_for_identity: Given<Placed<'s, bool>>,
    /// The part of the requests whose rules are timed.
    pub(crate) cost_sample: Option<f64>,
    /// Names of limits.
    pub(crate) rate_limits: Vec<Placed<'s, &'s str>>,
}

/// `rules = ["FILE", "FOLDER/*.conf", "@baseline"]`
#[derive(Debug)]
pub(crate) struct WrittenRules<'s> {
    pub(crate) sources: Vec<Placed<'s, RulePattern<'s>>>,
    /// Problems that are not reported yet. At a reload they refuse the policy alone, like a missing file.
    pub(crate) problems: Vec<Problem>,
    /// Every entry is in `sources`, and there is one.
    pub(crate) is_whole: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RulePattern<'s> {
    Baseline,
    /// A file or a pattern.
    Files(&'s str),
}

pub(crate) fn parse<'s>(document: &Document<'s, '_>) -> Vec<WrittenPolicy<'s>> {
    let named = document.named("policies", SectionKind::Policy, "policy");
    named.iter().map(parse_policy).collect()
}

fn parse_policy<'s>(Named { name, at, section }: &Named<'s, '_>) -> WrittenPolicy<'s> {
    let modes = [
        ("block", PolicyMode::Block),
        ("detect", PolicyMode::Detect),
        ("off", PolicyMode::Off),
    ];
    let mode = section.required("mode", "mode = \"block\", \"detect\" or \"off\"");
    let mode = mode.and_then(|item| placed(&item, item.choice(&modes)));
    let rules = section.item("rules");
    let exclusions = section.item("exclusions");
    let on_expiry = section.optional("on_expiry", |item| {
        item.choice(&[("remove", OnExpiry::Remove), ("warn", OnExpiry::Warn)])
    });
    let variables = section.optional("crs", |item| {
        crs_variables::parse(&format!("policy \"{name}\""), item)
    });
    let limit = section.optional("request_body_limit", |item| item.size(1));
    let on_uninspected = section.optional("on_uninspected", |item| {
        item.choice(&[
            ("block", OnUninspected::Block),
            ("detect", OnUninspected::Detect),
        ])
    });
    let unparsed_bodies = section.optional("unparsed_bodies", |item| {
        item.choice(&[
            ("inspect", UnparsedBodies::Inspect),
            ("block", UnparsedBodies::Block),
            ("pass", UnparsedBodies::Pass),
        ])
    });
    let waf_budget = section.optional("waf_budget_ms", |item| item.integer(1..=60_000));
    let asks_for_identity = section.optional("response_encoding", |item| {
        placed(item, item.choice(&[("identity", true), ("client", false)]))
    });
    let shadow = section.optional("shadow", |item| shadow::parse(name, item));
    let cost_sample = section.optional("cost_sample", Item::fraction);
    let rate_limits = limits::parse_names(section);
    section.finish();
    // In mode `off` nothing inspects, so that nobody needs to name rules only to switch them off.
    if rules.is_none() && mode.map(|mode| mode.value) != Some(PolicyMode::Off) {
        report_no_rules(section);
    }
    WrittenPolicy {
        name,
        at: *at,
        mode,
        rules: rules.map(|item| parse_rules(&item)),
        exclusions: exclusions
            .map(|item| parse_exclusions(&item))
            .unwrap_or_default(),
        on_expiry: on_expiry.or(OnExpiry::Remove),
        variables: variables.or(Vec::new()),
        request_body_limit: limit,
        // What was not inspected passes only if somebody says so.
        on_uninspected: on_uninspected.or(OnUninspected::Block),
        unparsed_bodies: unparsed_bodies.or(UnparsedBodies::Inspect),
        waf_budget: waf_budget.map(|ms| Duration::from_millis(ms.unsigned_abs())),
        shadow,
        asks_for_identity,
        cost_sample: cost_sample.or(0.0),
        rate_limits,
    }
}

fn report_no_rules(section: &Section<'_, '_>) {
    let message = format!("{} has no \"rules\"", section.what);
    let help = "rules = [\"@baseline\"], or the files of the CRS";
    let diagnostics = section.diagnostics;
    diagnostics.error_with_help(section.at, message, Some(help));
}

fn placed<'s, T>(item: &Item<'s, '_>, value: Option<T>) -> Option<Placed<'s, T>> {
    let at = item.at;
    value.map(|value| Placed { value, at })
}

fn parse_rules<'s>(item: &Item<'s, '_>) -> WrittenRules<'s> {
    // Captured, because at the start they are errors, but at a reload they only refuse this policy.
    let (sources, problems) = item.diagnostics().capture(|| {
        let entries = item.strings().into_iter();
        entries
            .map(|entry| parse_pattern(entry, item))
            .collect::<Vec<_>>()
    });
    WrittenRules {
        is_whole: !sources.is_empty() && sources.iter().all(Option::is_some),
        sources: sources.into_iter().flatten().collect(),
        problems,
    }
}

/// Names of files. A pattern would not say which file a new exclusion belongs into.
fn parse_exclusions<'s>(item: &Item<'s, '_>) -> Vec<Placed<'s, &'s str>> {
    // Not `list`: unlike an empty list of rules, one of exclusions harms nobody.
    let files = item.array().unwrap_or_default();
    let mut files: Vec<_> = files.iter().filter_map(Item::string).collect();
    files.retain(|file| {
        let is_name = !file.value.contains(['*', '?']) && !file.value.starts_with('@');
        if !is_name {
            let message = format!("\"{}\" is not the name of a file", file.value);
            item.diagnostics().error(file.at, message);
        }
        is_name
    });
    files
}

fn parse_pattern<'s>(
    Placed { value, at }: Placed<'s, &'s str>,
    item: &Item<'s, '_>,
) -> Option<Placed<'s, RulePattern<'s>>> {
    let pattern = match value {
        BASELINE => RulePattern::Baseline,
        // A misspelled name must not become a pattern that matches no file.
        name if name.starts_with('@') => {
            let help = did_you_mean(name, [BASELINE]);
            let message = format!("there are no compiled-in rules \"{name}\"");
            item.diagnostics().error_with_help(at, message, help);
            return None;
        }
        files => RulePattern::Files(files),
    };
    Some(Placed { value: pattern, at })
}
