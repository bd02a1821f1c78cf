//! `crs = { ... }` of a policy: variables that the CRS's own setup file documents.
//!
//! Unknown names are errors: the rules would silently ignore a misspelled threshold.

use std::ops::RangeInclusive;

use super::reader::{Item, Number};
use crate::config::section_kind::SectionKind;
use seclang::suggest::did_you_mean;

/// What the CRS documents in `crs-setup.conf` (4.x and 3.3), and one short name of our own.
pub(crate) const CRS_VARIABLES: &[&str] = &[
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

/// Sets every level that is not given by its own name. CRS 4 has three levels; in CRS 3 this is the only one.
const PARANOIA_LEVEL: &str = "paranoia_level";
const PARANOIA_LEVELS: [&str; 3] = [
    "blocking_paranoia_level",
    "detection_paranoia_level",
    "executing_paranoia_level",
];

/// The `tx.*` variables that `crs = { ... }` of this owner sets.
pub(crate) fn parse(owner: &str, item: &Item<'_, '_>) -> Option<Vec<(String, String)>> {
    let section = item.section(SectionKind::Names, format!("\"crs\" of {owner}"))?;
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut whole = true;
    for (key, item) in section.entries() {
        if !CRS_VARIABLES.contains(&key.value) {
            let help = did_you_mean(key.value, CRS_VARIABLES.iter().copied());
            let message = format!("the CRS documents no variable \"{}\"", key.value);
            section.diagnostics.error_with_help(key.at, message, help);
            whole = false;
            continue;
        }
        match parse_value(key.value, &item) {
            Some(value) => variables.push((key.value.to_owned(), value)),
            None => whole = false,
        }
    }
    expand_levels(&mut variables);
    // Sorted, so that another order in the file is the same recipe and compiles no other rule set.
    variables.sort();
    whole.then_some(variables)
}

/// Adds the levels that `paranoia_level` sets.
pub(crate) fn expand_levels(variables: &mut Vec<(String, String)>) {
    let level = variables.iter().find(|(name, _)| name == PARANOIA_LEVEL);
    let Some((_, level)) = level.cloned() else {
        return;
    };
    for name in PARANOIA_LEVELS {
        if !variables.iter().any(|(known, _)| known == name) {
            variables.push((name.to_owned(), level.clone()));
        }
    }
}

/// A variable of the command line, like `paranoia_level=2`.
///
/// # Errors
/// In words: the CRS documents no such variable, or it takes another value.
pub(crate) fn parse_assignment(text: &str) -> Result<(String, String), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err("write NAME=VALUE, like paranoia_level=2".to_owned());
    };
    if !CRS_VARIABLES.contains(&name) {
        let help = did_you_mean(name, CRS_VARIABLES.iter().copied());
        let help = help.map(|help| format!("; {help}")).unwrap_or_default();
        return Err(format!("the CRS documents no variable \"{name}\"{help}"));
    }
    let range = range_of(name);
    let fits = |value: &str| value.parse().is_ok_and(|number| range.contains(&number));
    match range == ANY || fits(value) {
        true => Ok((name.to_owned(), value.to_owned())),
        false => Err(format!(
            "\"{name}\" must be a whole number from {} to {}",
            range.start(),
            range.end()
        )),
    }
}

/// The range of a variable without limits, whose value may also be a text.
const ANY: RangeInclusive<i64> = 0..=i64::MAX;

/// The numbers that a variable may have.
fn range_of(name: &str) -> RangeInclusive<i64> {
    match name {
        _ if name.ends_with("paranoia_level") => 1..=4,
        "sampling_percentage" => 0..=100,
        // A threshold of 0 would block every request.
        _ if name.ends_with("_score_threshold") => 1..=i64::MAX,
        _ => ANY,
    }
}

fn parse_value(name: &str, item: &Item<'_, '_>) -> Option<String> {
    let range = range_of(name);
    // A variable with limits must be a number, since the CRS compares it as one.
    let bounded = range != ANY;
    match item.raw_string() {
        Some(text) if !bounded => Some(text.to_owned()),
        None if item.number() == Number::NotOne && !bounded => {
            item.wrong("a whole number or a string")
        }
        _ => item.integer(range).map(|number| number.to_string()),
    }
}
