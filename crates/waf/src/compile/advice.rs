//! Warnings about a rule set that loads: rules that most likely do not do what their author means.
//!
//! The Core Rule Set and its plugins are written for every server, so their rules get no such warning.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use crate::outcome::Phase;
use crate::ruleset::Facts;
use crate::settings::Settings;
use crate::variables::Variable;
use seclang::{ActionSyntax, Selector, Span, TargetSyntax};

use super::Report;
use super::program::{Program, live};
use super::rule_draft::{Draft, actions, is, is_of_crs, targets};
use super::unset::{Filled, assigned_tx};

/// Warnings of one kind that are shown; one more says that there are others.
const MOST: usize = 10;

/// The rule with which the CRS refuses every request if its set-up file is missing.
const CRS_SETUP_CHECK: u64 = 901_001;

/// The CRS's list of content types.
const CONTENT_TYPES: &str = "allowed_request_content_type";

/// Whether a setting asks the CRS to look up countries or block lists.
pub(super) fn asks_for_lookups(program: &Program, variables: &[(String, String)]) -> bool {
    let asks = |name: &str, value: &str| {
        // These are settings of CRS 3.3; version 4 has no rules that look up anything.
        let lookup = matches!(
            name,
            "high_risk_country_codes"
                | "block_suspicious_ip"
                | "block_harvester_ip"
                | "block_spammer_ip"
                | "block_search_ip"
        );
        lookup && !matches!(value.trim(), "" | "0")
    };
    let by_policy = variables.iter().any(|(name, value)| asks(name, value));
    let mut actions =
        // Only a `SecAction` is a setting: what rules with a condition set are defaults of the CRS.
        live(program).filter(|draft| draft.links.iter().all(|l| l.operator.is_none()));
    by_policy || actions.any(|draft| assignments(draft).any(|(name, value)| asks(&name, value)))
}

impl Facts {
    pub(super) fn of(program: &Program, variables: &[(String, String)]) -> Self {
        let skips = |draft: &&Draft| {
            draft.phase == Phase::ResponseBody
                && says(draft, &["skip", "skipafter"]).is_some()
                && targets(draft).any(is_content_encoding)
        };
        // The rule that compares a request's content type with the list.
        let checks_type = live(program).any(|draft| draft.id == 920_420);
        // The policy's own list is the only one, because no file may set another (`check_overrides`).
        let own = variables
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPES));
        let lists = live(program).flat_map(assignments);
        let lists = lists.filter(|(name, _)| name == CONTENT_TYPES);
        let lists = lists.map(|(_, list)| list.to_owned());
        Self {
            skips_compressed: live(program).find(skips).map(|draft| draft.id),
            content_types: match own {
                _ if !checks_type => Vec::new(),
                Some((_, list)) => vec![list.clone()],
                None => lists.collect(),
            },
        }
    }
}

pub(super) fn advise(
    program: &Program,
    settings: &Settings,
    variables: &[(String, String)],
    report: &mut Report<'_>,
) {
    check_setup(program, variables, report);
    let filled = Filled::by(program, variables);
    let mut reported = 0;
    for draft in live(program).filter(|draft| !is_of_crs(draft.id)) {
        let before = report.diagnostics.len();
        check_rule(draft, report);
        filled.check(draft, report);
        if report.diagnostics.len() == before {
            continue;
        }
        // Counts rules, not warnings: several about one rule belong together.
        reported += 1;
        if reported > MOST {
            // One line in their place says that there are more.
            report.diagnostics.truncate(before);
            let message = "more rules do not do what they say; mend those above to see the next";
            report.warning(draft.span, message);
            break;
        }
    }
    check_response_body(program, settings, report);
}

fn check_rule(draft: &Draft, report: &mut Report<'_>) {
    check_block(draft, report);
    check_late(draft, report);
    for target in targets(draft) {
        check_filled(draft, target, report);
    }
}

/// Warns about `block` without an effect: no default gives it a meaning, or the default is `pass`, and the match
/// changes nothing else.
fn check_block(draft: &Draft, report: &mut Report<'_>) {
    const DECISIONS: &[&str] = &["allow", "block", "deny", "drop", "pass", "redirect"];
    const EFFECTS: &[&str] = &[
        "ctl",
        "deprecatevar",
        "expirevar",
        "initcol",
        "setenv",
        "setrsc",
        "setsid",
        "setuid",
        "setvar",
        "skip",
        "skipafter",
    ];
    let starter = draft.links.first().map(|link| link.actions.as_slice());
    let decision = starter.and_then(|actions| last(actions, DECISIONS));
    let Some(block) = decision.filter(|action| is(action, "block")) else {
        return;
    };
    let phase = draft.phase as u8;
    let default = draft
        .defaults
        .as_ref()
        .map(|actions| last(actions, DECISIONS));
    let message = match default {
        None => format!(
            "no SecDefaultAction for phase {phase} stands before this rule, so `block` only logs"
        ),
        Some(Some(pass)) if is(pass, "pass") => {
            let at = report.locate(pass.span);
            let place = format!("{}:{}", at.path.display(), at.line);
            format!(
                "the SecDefaultAction for phase {phase} ({place}) says `pass`, so `block` only logs"
            )
        }
        // Every other decision has an effect of its own.
        Some(_) => return,
    };
    if says(draft, EFFECTS).is_none() {
        let help =
            "write `deny` to stop the request, or `pass` if a line in the log is all it is for";
        report.warning_with_help(block.span, message, help);
    }
}

fn check_late(draft: &Draft, report: &mut Report<'_>) {
    let starter = draft.links.first().map(|link| link.actions.as_slice());
    let stops = starter.and_then(|actions| last(actions, &["deny", "drop", "redirect"]));
    if let Some(action) = stops.filter(|_| draft.phase == Phase::Logging) {
        let name = &action.name.node;
        let message = format!("phase 5 comes after the answer, so `{name}` stops nothing");
        report.warning_with_help(action.span, message, "write phase:1 to phase:4, or `pass`");
    }
}

fn check_filled(draft: &Draft, target: &TargetSyntax, report: &mut Report<'_>) {
    let Some(variable) = Variable::from_name(&target.variable.node) else {
        return;
    };
    let name = variable.name();
    let span = target.variable.span;
    if let Some(why) = variable.why_empty() {
        report.warning(span, format!("nothing fills {name}: {why}"));
        return;
    }
    let (phase, filled) = (draft.phase as u8, filled_in(variable));
    if phase < filled {
        let message =
            format!("{name} is empty in phase {phase}: it is filled before phase {filled}");
        report.warning_with_help(span, message, format!("write phase:{filled}"));
    }
}

/// The first phase in which a variable can have its value.
fn filled_in(variable: Variable) -> u8 {
    use Variable as V;
    match variable {
        // `ARGS` and its like are missing on purpose: arguments of the query are there in phase 1.
        V::ArgsPost
        | V::ArgsPostNames
        | V::Files
        | V::FilesCombinedSize
        | V::FilesNames
        | V::FilesSizes
        | V::InboundDataError
        | V::MultipartBoundaryQuoted
        | V::MultipartBoundaryWhitespace
        | V::MultipartCrlfLfLines
        | V::MultipartDataAfter
        | V::MultipartDataBefore
        | V::MultipartFileLimitExceeded
        | V::MultipartFilename
        | V::MultipartHeaderFolding
        | V::MultipartInvalidHeaderFolding
        | V::MultipartInvalidPart
        | V::MultipartInvalidQuoting
        | V::MultipartLfLine
        | V::MultipartMissingSemicolon
        | V::MultipartName
        | V::MultipartPartHeaders
        | V::MultipartStrictError
        | V::MultipartUnmatchedBoundary
        | V::ReqbodyError
        | V::ReqbodyErrorMsg
        | V::ReqbodyProcessorError
        | V::ReqbodyProcessorErrorMsg
        | V::RequestBody
        | V::RequestBodyLength
        | V::Xml => 2,
        V::ResponseContentLength
        | V::ResponseContentType
        | V::ResponseHeaders
        | V::ResponseHeadersNames
        | V::ResponseProtocol
        | V::ResponseStatus
        | V::StatusLine => 3,
        V::OutboundDataError | V::ResponseBody => 4,
        _ => 1,
    }
}

fn check_response_body(program: &Program, settings: &Settings, report: &mut Report<'_>) {
    let turns_on = |action: &ActionSyntax| {
        let option = action
            .argument
            .as_ref()
            .map(|a| a.node.to_ascii_lowercase());
        is(action, "ctl") && option.is_some_and(|o| o.starts_with("responsebodyaccess=on"))
    };
    let mut actions = live(program).flat_map(actions);
    if settings.response_body_access || actions.any(turns_on) {
        return;
    }
    // In an earlier phase the variable would be empty in any case, which `check_filled` reports.
    let in_vain =
        live(program).filter(|draft| !is_of_crs(draft.id) && draft.phase >= Phase::ResponseBody);
    let bodies = in_vain.flat_map(targets).filter(|target| {
        Variable::from_name(&target.variable.node) == Some(Variable::ResponseBody)
    });
    let places: Vec<Span> = bodies.map(|target| target.variable.span).collect();
    if let Some(first) = places.first() {
        let more = match places.len() - 1 {
            0 => String::new(),
            1 => ", here and in one more place".to_owned(),
            more => format!(", here and in {more} more places"),
        };
        let message = format!("RESPONSE_BODY stays empty{more}: SecResponseBodyAccess is off");
        report.warning_with_help(*first, message, "write SecResponseBodyAccess On");
    }
}

/// The CRS refuses every request if its set-up file was not read.
fn check_setup(program: &Program, variables: &[(String, String)], report: &mut Report<'_>) {
    const VERSION: &str = "crs_setup_version";
    let Some(place) = program.drafts.iter().position(|d| d.id == CRS_SETUP_CHECK) else {
        return;
    };
    let check = &program.drafts[place];
    // Only what stands before the check counts: it runs when it is reached.
    let before = program.drafts[..place].iter();
    let before = before.filter(|draft| draft.removed_by.is_none());
    let before = before.flat_map(assignments);
    let set = before.map(|(name, _)| name).any(|name| name == VERSION);
    let by_policy = variables
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(VERSION));
    if check.removed_by.is_none() && !set && !by_policy {
        let message = "the CRS's set-up file does not come before its rules: this rule will refuse every request";
        let help = "load crs-setup.conf, a copy of crs-setup.conf.example, before the CRS's rules";
        report.warning_with_help(check.span, message, help);
    }
}

fn last<'a>(actions: &'a [ActionSyntax], names: &[&str]) -> Option<&'a ActionSyntax> {
    actions
        .iter()
        .rev()
        .find(|action| names.iter().any(|name| is(action, name)))
}

fn says<'d>(draft: &'d Draft, names: &[&str]) -> Option<&'d ActionSyntax> {
    actions(draft).find(|action| names.iter().any(|name| is(action, name)))
}

/// The `TX` variables that `setvar` sets, in lower case, and their values as written.
fn assignments(draft: &Draft) -> impl Iterator<Item = (String, &str)> {
    let written = actions(draft).filter_map(assigned_tx);
    written.filter_map(|(name, value)| Some((name, value?)))
}

fn is_content_encoding(target: &TargetSyntax) -> bool {
    let name = target.selector.as_ref().map(|selector| &selector.node);
    Variable::from_name(&target.variable.node) == Some(Variable::ResponseHeaders)
        && matches!(name, Some(Selector::Name(name)) if name.eq_ignore_ascii_case("content-encoding"))
}
