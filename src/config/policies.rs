//! `[policies.*]`: which rules, in which mode, with which settings.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::files::{Document, Named};
use super::model::{OnUninspected, Policy, PolicyMode, PolicyRules};
use super::reader::{At, Item, Placed, Report, Section};
use super::settings::Names;
use super::suggest::did_you_mean;
use super::{baseline, glob};
use seclang::diagnostic::Diagnostic;
use waf::{EngineMode, Problems, Reads, RuleSet, UnparsedBodies};

/// Bytes; where no rule file and no key says otherwise.
const REQUEST_BODY_LIMIT: usize = 13_107_200;

/// What the CRS documents in `crs-setup.conf` (4.x and 3.3) and our short names.
const CRS_VARIABLES: &[&str] = &[
    "allow_method_override_parameter",
    "allowed_http_versions",
    "allowed_methods",
    "allowed_request_content_type",
    "allowed_request_content_type_charset",
    "arg_length",
    "arg_name_length",
    "block_harvester_ip",
    "block_search_ip",
    "block_spammer_ip",
    "block_suspicious_ip",
    "blocking_paranoia_level",
    "combined_file_sizes",
    "critical_anomaly_score",
    "crs_exclusions_cpanel",
    "crs_exclusions_dokuwiki",
    "crs_exclusions_drupal",
    "crs_exclusions_nextcloud",
    "crs_exclusions_wordpress",
    "crs_exclusions_xenforo",
    "crs_setup_version",
    "crs_skip_response_analysis",
    "crs_validate_utf8_encoding",
    "crs_xml_attr_inspect",
    "detection_paranoia_level",
    "do_reput_block",
    "dos_block_timeout",
    "dos_burst_time_slice",
    "dos_counter_threshold",
    "early_blocking",
    "enable_default_collections",
    "enforce_bodyproc_urlencoded",
    "error_anomaly_score",
    "executing_paranoia_level",
    "high_risk_country_codes",
    "inbound_anomaly_score_threshold",
    "max_file_size",
    "max_num_args",
    "notice_anomaly_score",
    "outbound_anomaly_score_threshold",
    PARANOIA_LEVEL,
    "reporting_level",
    "reput_block_duration",
    "restricted_extensions",
    "restricted_headers",
    "restricted_headers_basic",
    "restricted_headers_extended",
    "sampling_percentage",
    "static_extensions",
    "total_arg_length",
    "warning_anomaly_score",
];

/// Stands for the level of all kinds that are not given (and is CRS 3's own name).
const PARANOIA_LEVEL: &str = "paranoia_level";
const PARANOIA_LEVELS: [&str; 3] = [
    "blocking_paranoia_level",
    "detection_paranoia_level",
    "executing_paranoia_level",
];

/// Everything a rule set is made of; the same again is the same rule set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Recipe {
    mode: PolicyMode,
    on_uninspected: OnUninspected,
    /// `[log] audit` says where records go.
    audited: bool,
    unparsed_bodies: UnparsedBodies,
    /// `waf_budget_ms`
    budget: Option<Duration>,
    request_body_limit: Option<usize>,
    variables: Vec<(String, String)>,
    sources: Vec<RuleSource>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum RuleSource {
    Baseline,
    File(PathBuf),
}

/// A rule set and what it was made of.
#[derive(Debug)]
pub struct Built {
    recipe: Recipe,
    reads: Reads,
    rules: Arc<RuleSet>,
}

/// `audited`: there is a place for audit records.
pub(super) fn read<'s>(
    document: &Document<'s, '_>,
    audited: bool,
) -> (Names<'s, Policy>, Vec<Arc<Built>>) {
    let mut names = Names::new("policy");
    let mut known = HashMap::new();
    for Named { name, at, section } in document.named("policies", "policy") {
        let policy = read_policy(name, &section, audited, &mut known);
        names.insert_shared(name, at, policy);
    }
    let built = known.into_values().filter_map(Result::ok);
    (names, built.collect())
}

fn read_policy(
    name: &str,
    section: &Section<'_, '_>,
    audited: bool,
    known: &mut HashMap<Recipe, Result<Arc<Built>, Vec<Diagnostic>>>,
) -> Option<Arc<Policy>> {
    let modes = [
        ("block", PolicyMode::Block),
        ("detect", PolicyMode::Detect),
        ("off", PolicyMode::Off),
    ];
    let mode_item = section.required("mode", "mode = \"block\", \"detect\" or \"off\"");
    let mode = mode_item.as_ref().and_then(|item| item.choice(&modes));
    let rules = section.item("rules");
    let variables = match section.item("crs") {
        Some(item) => read_crs(name, &item),
        None => Some(Vec::new()),
    };
    let limit = match section.item("request_body_limit") {
        Some(item) => item.size(1).map(Some),
        None => Some(None),
    };
    let on_uninspected = match section.item("on_uninspected") {
        Some(item) => item.choice(&[
            ("block", OnUninspected::Block),
            ("detect", OnUninspected::Detect),
        ]),
        None => Some(OnUninspected::Block),
    };
    let unparsed_bodies = match section.item("unparsed_bodies") {
        Some(item) => item.choice(&[
            ("inspect", UnparsedBodies::Inspect),
            ("block", UnparsedBodies::Block),
            ("pass", UnparsedBodies::Pass),
        ]),
        None => Some(UnparsedBodies::Inspect),
    };
    let budget = match section.item("waf_budget_ms") {
        Some(item) => item.integer(1..=60_000).map(Some),
        None => Some(None),
    };
    let encoding = section.item("response_encoding");
    let asks_for_identity = match &encoding {
        Some(item) => item
            .choice(&[("identity", true), ("client", false)])
            .map(Some),
        None => Some(None),
    };
    section.finish();

    if rules.is_none() && mode != Some(PolicyMode::Off) {
        let message = format!("{} has no \"rules\"", section.what);
        let help = "rules = [\"@baseline\"], or the files of the CRS";
        section
            .report
            .error_with_help(section.at, message, Some(help));
    }
    let report = section.report;
    let mark = report.mark();
    let sources = rules.as_ref().and_then(read_sources);
    let errors = match sources {
        None if report.kept.runs => report.take_errors_since(mark),
        _ => Vec::new(),
    };
    if !errors.is_empty() {
        return keep(name, errors, report);
    }
    let (mode, limit, on_uninspected) = (mode?, limit?, on_uninspected?);
    let unparsed_bodies = unparsed_bodies?;
    let budget = budget?.map(|ms| Duration::from_millis(ms.unsigned_abs()));
    let rules = match mode {
        PolicyMode::Off => {
            if let Some(item) = &mode_item {
                let message = format!("policy \"{name}\" is off: nothing is inspected");
                section.report.warning(item.at, message);
            }
            PolicyRules::Off
        }
        PolicyMode::Block | PolicyMode::Detect => {
            let recipe = Recipe {
                mode,
                on_uninspected,
                audited,
                unparsed_bodies,
                budget,
                request_body_limit: limit,
                variables: variables.clone()?,
                sources: sources?,
            };
            if recipe.sources.is_empty() {
                say_no_rule(name, section);
                return None;
            }
            let built = known
                .entry(recipe)
                .or_insert_with_key(|recipe| build(recipe, report));
            match built {
                Ok(built) => {
                    if built.rules.summaries().next().is_none() {
                        say_no_rule(name, section);
                    }
                    PolicyRules::Live(Arc::clone(&built.rules))
                }
                Err(problems) => return keep(name, problems.clone(), report),
            }
        }
    };
    variables?;
    let asks_for_identity = asks_for_identity?;
    let skip = rules.live().and_then(skips_compressed);
    if let (Some(item), Some(false), Some(rule)) = (&encoding, asks_for_identity, skip) {
        let message = format!(
            "rules on answers do not see what a client asks for compressed: rule {rule} skips them"
        );
        section.report.warning(item.at, message);
    }
    let of_rules = rules.live().map(|rules| rules.request_body_limit());
    Some(Arc::new(Policy {
        name: name.to_owned(),
        mode,
        on_uninspected,
        request_body_limit: limit.or(of_rules).unwrap_or(REQUEST_BODY_LIMIT),
        asks_for_identity: asks_for_identity.unwrap_or(skip.is_some()),
        rules,
    }))
}

/// The rule that steps past the others where an answer is compressed, if they look at answers at all.
fn skips_compressed(rules: &Arc<RuleSet>) -> Option<u64> {
    let skip = rules.facts().skips_compressed;
    skip.filter(|_| rules.wants_response_body())
}

/// A policy that inspects nothing must say so.
fn say_no_rule(name: &str, section: &Section<'_, '_>) {
    let message = format!("policy \"{name}\" has not one rule: nothing would be inspected");
    let help = Some("mode = \"off\" where that is meant");
    section.report.error_with_help(section.at, message, help);
}

/// The policy as it runs now, whole: its mode and its limits belong to its rules. A new one lets nothing through.
fn keep(name: &str, problems: Vec<Diagnostic>, report: &Report) -> Option<Arc<Policy>> {
    if !report.kept.runs {
        problems.into_iter().for_each(|p| report.add_foreign(p));
        return None;
    }
    report.refuse(format!("policy {name}"), problems);
    let new = || {
        Arc::new(Policy {
            name: name.to_owned(),
            mode: PolicyMode::Block,
            on_uninspected: OnUninspected::Block,
            request_body_limit: 0,
            asks_for_identity: false,
            rules: PolicyRules::Refused,
        })
    };
    Some(report.kept.policy(name).unwrap_or_else(new))
}

fn build(recipe: &Recipe, report: &Report) -> Result<Arc<Built>, Vec<Diagnostic>> {
    let same = |built: &&Arc<Built>| built.recipe == *recipe && built.reads.unchanged();
    if let Some(built) = report.kept.built.iter().find(same) {
        report.inputs.borrow_mut().reads(&built.reads);
        let warnings = built.rules.warnings().iter().cloned();
        warnings.for_each(|w| report.add_foreign(w));
        return Ok(Arc::clone(built));
    }
    let mut builder = RuleSet::builder()
        .front_door()
        .block_uninspected(recipe.on_uninspected == OnUninspected::Block)
        .unparsed_bodies(recipe.unparsed_bodies)
        .budget(recipe.budget)
        .audited(recipe.audited)
        .store(Arc::clone(&report.kept.collections))
        .engine(match recipe.mode {
            PolicyMode::Block => EngineMode::On,
            PolicyMode::Detect => EngineMode::DetectionOnly,
            PolicyMode::Off => EngineMode::Off,
        });
    if let Some(limit) = recipe.request_body_limit {
        builder = builder.request_body_limit(limit);
    }
    for (name, value) in &recipe.variables {
        builder = builder.variable(name, value);
    }
    for source in &recipe.sources {
        builder = match source {
            RuleSource::File(path) => builder.file(path),
            RuleSource::Baseline => {
                let files = baseline::FILES.iter();
                files.fold(builder, |builder, (path, text)| builder.text(*path, *text))
            }
        };
    }
    let (built, reads) = builder.build_noted();
    report.inputs.borrow_mut().reads(&reads);
    let rules = built.map_err(|Problems(problems)| problems)?;
    let warnings = rules.warnings().iter().cloned();
    warnings.for_each(|w| report.add_foreign(w));
    Ok(Arc::new(Built {
        recipe: recipe.clone(),
        reads,
        rules,
    }))
}

/// The files in load order; None where one is missing.
fn read_sources(item: &Item<'_, '_>) -> Option<Vec<RuleSource>> {
    let mut sources = Vec::new();
    let patterns = item.strings();
    let mut whole = !patterns.is_empty();
    for Placed { value, at } in patterns {
        match expand(value, at, item.report()) {
            Some(found) => sources.extend(found),
            None => whole = false,
        }
    }
    whole.then_some(sources)
}

fn expand(pattern: &str, at: At<'_>, report: &Report) -> Option<Vec<RuleSource>> {
    if pattern == "@baseline" {
        return Some(vec![RuleSource::Baseline]);
    }
    if pattern.starts_with('@') {
        let help = did_you_mean(pattern, ["@baseline"]);
        let message = format!("there are no compiled-in rules \"{pattern}\"");
        report.error_with_help(at, message, help);
        return None;
    }
    if !glob::is_pattern(pattern) {
        let path = at.resolve(pattern);
        report.inputs.borrow_mut().file(&path);
        if path.is_file() {
            return Some(vec![RuleSource::File(path)]);
        }
        let message = match path.is_dir() {
            true => format!("\"{pattern}\" is a folder: write \"{pattern}/*.conf\""),
            false if path.exists() || glob::broken_link(&path).is_some() => {
                let why = glob::no_file(&path).unwrap_or_default();
                format!("cannot read the rule file \"{pattern}\": {why}")
            }
            false => format!("there is no rule file \"{pattern}\""),
        };
        report.error(at, message);
        return None;
    }
    report.inputs.borrow_mut().pattern(at.directory(), pattern);
    match glob::expand(at.directory(), pattern) {
        Ok(found) => {
            if found.is_empty() && !glob::asks_for_plugins(pattern) {
                report.warning(at, format!("\"{pattern}\" names no file"));
            }
            let unfit = found.iter().filter_map(|p| Some((p, glob::no_file(p)?)));
            let unfit: Vec<_> = unfit.collect();
            for (path, why) in &unfit {
                let message = format!("\"{pattern}\" names {}, and {why}", path.display());
                report.error(at, message);
            }
            if !unfit.is_empty() {
                return None;
            }
            Some(found.into_iter().map(RuleSource::File).collect())
        }
        Err(error) => {
            report.error(at, format!("cannot list \"{pattern}\": {error}"));
            None
        }
    }
}

/// The `tx.*` variables that `crs = { ... }` sets.
fn read_crs(policy: &str, item: &Item<'_, '_>) -> Option<Vec<(String, String)>> {
    let section = item.section(format!("\"crs\" of policy \"{policy}\""))?;
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut whole = true;
    for (key, item) in section.entries() {
        if !CRS_VARIABLES.contains(&key.value) {
            let help = did_you_mean(key.value, CRS_VARIABLES.iter().copied());
            let message = format!("the CRS documents no variable \"{}\"", key.value);
            section.report.error_with_help(key.at, message, help);
            whole = false;
            continue;
        }
        match read_crs_value(key.value, &item) {
            Some(value) => variables.push((key.value.to_owned(), value)),
            None => whole = false,
        }
    }
    let level = variables.iter().find(|(name, _)| name == PARANOIA_LEVEL);
    if let Some((_, level)) = level.cloned() {
        for name in PARANOIA_LEVELS {
            if !variables.iter().any(|(known, _)| known == name) {
                variables.push((name.to_owned(), level.clone()));
            }
        }
    }
    variables.sort();
    whole.then_some(variables)
}

fn read_crs_value(name: &str, item: &Item<'_, '_>) -> Option<String> {
    let range = match name {
        _ if name.ends_with("paranoia_level") => 1..=4,
        "sampling_percentage" => 0..=100,
        _ if name.ends_with("_score_threshold") => 1..=i64::MAX,
        _ => 0..=i64::MAX,
    };
    let bounded = range != (0..=i64::MAX);
    match item.raw_string() {
        Some(text) if !bounded => Some(text.to_owned()),
        None if item.raw_integer().is_none() && !bounded => {
            item.wrong("a whole number or a string")
        }
        _ => item.integer(range).map(|number| number.to_string()),
    }
}
