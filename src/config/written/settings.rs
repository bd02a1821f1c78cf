//! `[log]`, `[limits]` and the keys of the top level, as they are written.

use std::time::Duration;

use super::document::Document;
use super::reader::{Given, Item};
use super::source::Placed;
use crate::config::section_kind::SectionKind;

const BODY_MEMORY: usize = 256 << 20;
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// `[log]`
#[derive(Debug)]
pub(crate) struct WrittenLog<'s> {
    pub(crate) access: WrittenSink<'s>,
    pub(crate) audit: WrittenSink<'s>,
}

/// The target of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WrittenSink<'s> {
    Stdout,
    Off,
    File(Placed<'s, &'s str>),
}

/// A faulty part gets its default, like an absent one: the error was reported, so this configuration is not used.
pub(crate) fn parse_log<'s>(document: &Document<'s, '_>) -> WrittenLog<'s> {
    let mut log = WrittenLog {
        access: WrittenSink::Stdout,
        audit: WrittenSink::Off,
    };
    let section = document.item("log");
    let Some(section) = section.and_then(|item| item.section(SectionKind::Log, "[log]")) else {
        return log;
    };
    if let Given::Value(sink) = section.optional("access", parse_sink) {
        log.access = sink;
    }
    if let Given::Value(sink) = section.optional("audit", parse_sink) {
        log.audit = sink;
    }
    section.finish();
    log
}

fn parse_sink<'s>(item: &Item<'s, '_>) -> Option<WrittenSink<'s>> {
    let text = item.string()?;
    match text.value {
        "stdout" => Some(WrittenSink::Stdout),
        "off" => Some(WrittenSink::Off),
        "" => item.fail(format!(
            "{} must be \"stdout\", \"off\" or a file",
            item.what()
        )),
        _ => Some(WrittenSink::File(text)),
    }
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
