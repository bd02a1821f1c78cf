//! `[events]`, as it is written.

use std::time::Duration;

use super::document::Document;
use super::reader::{Given, Item};
use super::source::{At, Placed};
use crate::config::section_kind::SectionKind;
use crate::events::Recipient;

const SAMPLE: f64 = 0.01;
const MAX_BYTES: usize = 256 << 20;
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const BODY_BYTES: usize = 64 << 10;
/// A segment is a sixteenth of it and must hold more than a request or two.
const LEAST_BYTES: usize = 1 << 20;
/// A record must fit a segment.
const MOST_BODY: usize = 8 << 20;

/// What is written of secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WrittenPayload {
    Masked,
    Plain,
    Sealed,
}

/// Which requests are kept.
#[derive(Debug)]
pub(crate) struct WrittenEvents<'s> {
    pub(crate) at: At<'s>,
    pub(crate) sample: f64,
    pub(crate) max_bytes: usize,
    pub(crate) max_age: Duration,
    pub(crate) body_bytes: usize,
    pub(crate) payload: WrittenPayload,
    pub(crate) recipient: Option<Placed<'s, Recipient>>,
    pub(crate) replica: Option<Placed<'s, &'s str>>,
}

pub(crate) fn parse<'s>(document: &Document<'s, '_>) -> Given<WrittenEvents<'s>> {
    let Some(item) = document.item("events") else {
        return Given::Absent;
    };
    let Some(section) = item.section(SectionKind::Events, "[events]") else {
        return Given::Faulty;
    };
    let sample = section.optional("sample", Item::fraction);
    let max_bytes = section.optional("max_bytes", |item| item.size(LEAST_BYTES));
    let max_age = section.optional("max_age", Item::age);
    let body_bytes = section.optional("body_bytes", |item| match item.size(0)? {
        bytes if bytes > MOST_BODY => {
            item.fail(format!("{} must be at most {MOST_BODY} bytes", item.what()))
        }
        bytes => Some(bytes),
    });
    let payload = section.optional("payload", |item| {
        item.choice(&[
            ("masked", WrittenPayload::Masked),
            ("plain", WrittenPayload::Plain),
            ("sealed", WrittenPayload::Sealed),
        ])
    });
    let recipient = section.optional("recipient", |item| {
        let parse =
            |text: &str| Recipient::parse(text).map_err(|why| format!("{} {why}", item.what()));
        let value = item.parse(parse)?;
        Some(Placed { value, at: item.at })
    });
    let replica = section.optional("replica", parse_replica);
    section.finish();
    let whole = || {
        Some(WrittenEvents {
            at: item.at,
            sample: sample.or(SAMPLE)?,
            max_bytes: max_bytes.or(MAX_BYTES)?,
            max_age: max_age.or(MAX_AGE)?,
            body_bytes: body_bytes.or(BODY_BYTES)?,
            // Secrets reach the disk only if somebody says so.
            payload: payload.or(WrittenPayload::Masked)?,
            recipient: recipient.unless_faulty()?,
            replica: replica.unless_faulty()?,
        })
    };
    whole().into()
}

/// It becomes the name of a folder.
fn parse_replica<'s>(item: &Item<'s, '_>) -> Option<Placed<'s, &'s str>> {
    let name = item.string()?;
    super::document::check_name(name.value, "replica", name.at, item.diagnostics());
    // `.` and `..` are there already, and others would be hidden.
    match name.value.starts_with('.') {
        true => item.fail(format!("{} must not begin with \".\"", item.what())),
        false => Some(name),
    }
}
