//! `[log]`, `[limits]` and the keys of the top level, as they are written.

use std::time::Duration;

use super::document::Document;
use super::reader::{Given, Item};
use super::section_kind::SectionKind;
use super::source::Placed;

const BODY_MEMORY: usize = 256 << 20;
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// `[log]`
#[derive(Debug)]
pub(crate) struct Log<'s> {
    pub(crate) access: Given<Placed<'s, Sink<'s>>>,
    pub(crate) audit: Given<Placed<'s, Sink<'s>>>,
}

/// Where lines of a log go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sink<'s> {
    Stdout,
    Off,
    File(&'s str),
}

/// A part that is absent or faulty has its default.
pub(crate) fn parse_log<'s>(document: &Document<'s, '_>) -> Log<'s> {
    let section = document.item("log");
    let Some(section) = section.and_then(|item| item.section(SectionKind::Log, "[log]")) else {
        return Log {
            access: Given::Absent,
            audit: Given::Absent,
        };
    };
    let log = Log {
        access: section.optional("access", parse_sink),
        audit: section.optional("audit", parse_sink),
    };
    section.finish();
    log
}

fn parse_sink<'s>(item: &Item<'s, '_>) -> Option<Placed<'s, Sink<'s>>> {
    let Placed { value, at } = item.string()?;
    let sink = match value {
        "stdout" => Sink::Stdout,
        "off" => Sink::Off,
        "" => {
            return item.fail(format!(
                "{} must be \"stdout\", \"off\" or a file",
                item.what()
            ));
        }
        file => Sink::File(file),
    };
    Some(Placed { value: sink, at })
}

pub(crate) fn parse_state_dir<'s>(document: &Document<'s, '_>) -> Given<Placed<'s, &'s str>> {
    let Some(item) = document.item("state_dir") else {
        return Given::Absent;
    };
    let folder = item.string();
    match folder {
        Some(Placed { value: "", .. }) => item.fail("\"state_dir\" must be a folder"),
        folder => folder,
    }
    .into()
}

/// `[limits] body_memory`, in bytes.
pub(crate) fn parse_body_memory(document: &Document<'_, '_>) -> usize {
    let limits = document.item("limits");
    let Some(section) = limits.and_then(|item| item.section(SectionKind::Limits, "[limits]"))
    else {
        return BODY_MEMORY;
    };
    let body_memory = section.optional("body_memory", |item| item.size(1 << 20));
    section.finish();
    body_memory.value().unwrap_or(BODY_MEMORY)
}

pub(crate) fn parse_shutdown_timeout(document: &Document<'_, '_>) -> Duration {
    let written = document.item("shutdown_timeout");
    let timeout = written.and_then(|item| item.duration());
    timeout.unwrap_or(SHUTDOWN_TIMEOUT)
}
