//! `[security_headers.NAME]`, as it is written.

use super::document::{Document, Named};
use super::reader::{Given, Item, Section};
use super::source::At;
use crate::config::section_kind::SectionKind;
use crate::transform::{CSP_DIRECTIVES, CspError, Hsts, SecurityField, SecurityHeaders, check_csp};
use seclang::suggest::did_you_mean;

const MOST_VALUE: usize = 8 * 1024;
const MOST_DAYS: i64 = 3650;
/// What browsers' lists ask of a host (hstspreload.org).
const PRELOAD_DAYS: u32 = 365;

const FRAME: [(&str, &str); 2] = [("deny", "DENY"), ("same-origin", "SAMEORIGIN")];
const REFERRER: [(&str, &str); 8] = [
    ("no-referrer", "no-referrer"),
    ("no-referrer-when-downgrade", "no-referrer-when-downgrade"),
    ("origin", "origin"),
    ("origin-when-cross-origin", "origin-when-cross-origin"),
    ("same-origin", "same-origin"),
    ("strict-origin", "strict-origin"),
    (
        "strict-origin-when-cross-origin",
        "strict-origin-when-cross-origin",
    ),
    ("unsafe-url", "unsafe-url"),
];
const OPENER: [(&str, &str); 4] = [
    ("same-origin", "same-origin"),
    ("same-origin-allow-popups", "same-origin-allow-popups"),
    ("noopener-allow-popups", "noopener-allow-popups"),
    ("unsafe-none", "unsafe-none"),
];
const EMBEDDER: [(&str, &str); 3] = [
    ("require-corp", "require-corp"),
    ("credentialless", "credentialless"),
    ("unsafe-none", "unsafe-none"),
];
const RESOURCE: [(&str, &str); 3] = [
    ("same-origin", "same-origin"),
    ("same-site", "same-site"),
    ("cross-origin", "cross-origin"),
];

/// `[security_headers.NAME]`
#[derive(Debug)]
pub(crate) struct WrittenSecurityHeaders<'s> {
    pub(crate) name: &'s str,
    pub(crate) at: At<'s>,
    /// None if a part of it is faulty, which was reported.
    pub(crate) set: Option<SecurityHeaders>,
}

pub(crate) fn parse<'s>(document: &Document<'s, '_>) -> Vec<WrittenSecurityHeaders<'s>> {
    let named = document.named(
        "security_headers",
        SectionKind::SecurityHeaders,
        "set of security headers",
    );
    named.iter().map(parse_set).collect()
}

fn parse_set<'s>(Named { name, at, section }: &Named<'s, '_>) -> WrittenSecurityHeaders<'s> {
    let replace = section.optional("replace", Item::boolean);
    let fields = parse_fields(section);
    section.finish();
    let set = || {
        Some(SecurityHeaders {
            name: (*name).to_owned(),
            replace: replace.or(true)?,
            fields: fields?,
        })
    };
    WrittenSecurityHeaders {
        name,
        at: *at,
        set: set(),
    }
}

fn parse_fields(section: &Section<'_, '_>) -> Option<Vec<(SecurityField, String)>> {
    let choice = |key, choices: &'static [(&'static str, &'static str)]| {
        section.optional(key, |item| item.choice(choices).map(str::to_owned))
    };
    let nosniff = section.optional("nosniff", Item::boolean);
    let nosniff = match nosniff.or(true) {
        Some(true) => Given::Value("nosniff".to_owned()),
        Some(false) => Given::Absent,
        None => Given::Faulty,
    };
    let fields = [
        (SecurityField::Hsts, section.optional("hsts", parse_hsts)),
        (SecurityField::Csp, section.optional("csp", parse_csp)),
        (
            SecurityField::CspReportOnly,
            section.optional("csp_report_only", parse_csp),
        ),
        (SecurityField::Nosniff, nosniff),
        (SecurityField::Frame, choice("frame", &FRAME)),
        (SecurityField::Referrer, choice("referrer", &REFERRER)),
        (
            SecurityField::Permissions,
            section.optional("permissions", parse_value),
        ),
        (SecurityField::Opener, choice("opener", &OPENER)),
        (SecurityField::Embedder, choice("embedder", &EMBEDDER)),
        (SecurityField::Resource, choice("resource", &RESOURCE)),
    ];
    let given = fields.into_iter().filter_map(|(field, value)| match value {
        Given::Absent => None,
        Given::Value(value) => Some(Some((field, value))),
        Given::Faulty => Some(None),
    });
    given.collect()
}

/// `{ days = 365, subdomains = true, preload = false }`
fn parse_hsts(item: &Item<'_, '_>) -> Option<String> {
    let section = item.section(SectionKind::Hsts, "\"hsts\"")?;
    let days = section.required("days", "days = 365");
    let days = days.and_then(|item| item.integer(0..=MOST_DAYS));
    let subdomains = section.optional("subdomains", Item::boolean);
    let preload = section.optional("preload", Item::boolean);
    section.finish();
    let hsts = Hsts {
        days: u32::try_from(days?).unwrap_or(u32::MAX),
        subdomains: subdomains.or(false)?,
        preload: preload.or(false)?,
    };
    if hsts.preload && !(hsts.subdomains && hsts.days >= PRELOAD_DAYS) {
        return item.fail(format!(
            "\"preload\" needs subdomains = true and {PRELOAD_DAYS} days or more: no browser lists the host otherwise"
        ));
    }
    Some(hsts.value())
}

fn parse_csp(item: &Item<'_, '_>) -> Option<String> {
    let value = parse_value(item)?;
    match check_csp(&value) {
        Ok(()) => Some(value),
        Err(error) => {
            let help = match &error {
                CspError::Unknown(name) => did_you_mean(name, CSP_DIRECTIVES),
                CspError::Twice(_) => None,
            };
            let diagnostics = item.diagnostics();
            diagnostics.error_with_help(item.at, error.to_string(), help);
            None
        }
    }
}

/// The value of a header field.
fn parse_value(item: &Item<'_, '_>) -> Option<String> {
    let text = item.string()?.value;
    let fits = text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
    if !fits || text.trim() != text || text.is_empty() || text.len() > MOST_VALUE {
        return item.fail(format!(
            "{} must have 1 to {MOST_VALUE} printable characters of ASCII and no blank at an end",
            item.what()
        ));
    }
    Some(text.to_owned())
}
