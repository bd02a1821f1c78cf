//! `shadow = { ... }` of a policy: other rules that see a sample of its requests and change nothing.

use super::super::crs_variables;
use super::super::reader::Item;
use super::super::source::At;
use super::{WrittenRules, parse_rules};
use crate::config::section_kind::SectionKind;

/// The part of the requests that a shadow sees.
const SAMPLE: f64 = 0.1;

#[derive(Debug)]
pub(crate) struct WrittenShadow<'s> {
    pub(crate) at: At<'s>,
    /// With None, those of the policy.
    pub(crate) rules: Option<WrittenRules<'s>>,
    /// With None, those of the policy.
    pub(crate) variables: Option<Vec<(String, String)>>,
    pub(crate) sample: f64,
}

pub(super) fn parse<'s>(policy: &str, item: &Item<'s, '_>) -> Option<WrittenShadow<'s>> {
    let owner = format!("the shadow of policy \"{policy}\"");
    let section = item.section(SectionKind::Shadow, owner.as_str())?;
    let rules = section.item("rules");
    let variables = section.optional("crs", |item| crs_variables::parse(&owner, item));
    let sample = section.optional("sample", Item::fraction);
    section.finish();
    let variables = variables.unless_faulty()?;
    if rules.is_none() && variables.is_none() {
        let message = format!("{owner} has neither \"rules\" nor \"crs\": nothing could differ");
        let help =
            "shadow = { rules = [\"crs-next/*.conf\"] }, or { crs = { paranoia_level = 2 } }";
        section
            .diagnostics
            .error_with_help(item.at, message, Some(help));
        return None;
    }
    Some(WrittenShadow {
        at: item.at,
        rules: rules.map(|item| parse_rules(&item)),
        variables,
        sample: sample.or(SAMPLE)?,
    })
}
