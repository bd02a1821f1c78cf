//! `[log]`, `[limits]` and the keys of the top level, as they are written.

use std::time::Duration;

use super::document::Document;
use super::limits;
use super::reader::{Given, Item};
use super::source::{At, Placed};
use super::values::parse_server;
use crate::config::section_kind::SectionKind;
use crate::telemetry::AccessFormat;

const BODY_MEMORY: usize = 256 << 20;
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// `[log]`
#[derive(Debug)]
pub(crate) struct WrittenLog<'s> {
    pub(crate) access: WrittenSink<'s>,
    pub(crate) format: AccessFormat,
    pub(crate) audit: WrittenSink<'s>,
    /// The trust bundle of receivers with TLS.
    pub(crate) syslog_trust: Option<Placed<'s, &'s str>>,
}

/// The target of a log.
#[derive(Debug, Clone)]
pub(crate) enum WrittenSink<'s> {
    Stdout,
    Off,
    /// The collector of `[otlp]`.
    Otlp(At<'s>),
    File(Placed<'s, &'s str>),
    Syslog(WrittenSyslog<'s>),
}

/// A syslog receiver.
#[derive(Debug, Clone)]
pub(crate) struct WrittenSyslog<'s> {
    /// Where it is written.
    pub(crate) at: At<'s>,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
}

/// A faulty part gets its default, like an absent one: the error was reported, so this configuration is not used.
pub(crate) fn parse_log<'s>(document: &Document<'s, '_>) -> WrittenLog<'s> {
    let mut log = WrittenLog {
        access: WrittenSink::Stdout,
        format: AccessFormat::Json,
        audit: WrittenSink::Off,
        syslog_trust: None,
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
    let format = section.optional("format", |item| {
        item.choice(&[
            ("json", AccessFormat::Json),
            ("combined", AccessFormat::Combined),
            ("ecs", AccessFormat::Ecs),
        ])
    });
    if let Given::Value(format) = format {
        log.format = format;
    }
    if let Given::Value(trust) = section.optional("syslog_trust", Item::string) {
        log.syslog_trust = Some(trust);
    }
    section.finish();
    log
}

fn parse_sink<'s>(item: &Item<'s, '_>) -> Option<WrittenSink<'s>> {
    let text = item.string()?;
    match text.value {
        "stdout" => Some(WrittenSink::Stdout),
        "off" => Some(WrittenSink::Off),
        "otlp" => Some(WrittenSink::Otlp(text.at)),
        // As a path, this would be the folder of the configuration.
        "" => item.fail(format!(
            "{} must be \"stdout\", \"off\", \"otlp\", a file or a syslog receiver",
            item.what()
        )),
        // No file is called so, and a misspelled scheme must not make one.
        address if address.contains("://") => parse_syslog(item, text),
        _ => Some(WrittenSink::File(text)),
    }
}

fn parse_syslog<'s>(
    item: &Item<'s, '_>,
    Placed { value: text, at }: Placed<'s, &'s str>,
) -> Option<WrittenSink<'s>> {
    let (scheme, address) = text.split_once("://")?;
    let tls = match scheme {
        "syslog+tcp" => false,
        "syslog+tls" => true,
        _ => {
            return item.fail(format!(
                "\"{text}\" is no target: write \"syslog+tcp://HOST:PORT\" or \"syslog+tls://HOST:PORT\""
            ));
        }
    };
    match parse_server(address) {
        Ok(server) => Some(WrittenSink::Syslog(WrittenSyslog {
            at,
            host: server.host,
            port: server.port,
            tls,
        })),
        Err(malformed) => item.fail(malformed.to_string()),
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

/// `[limits] body_memory`, in bytes. Its other keys are names of limits, which several files may have.
pub(crate) fn parse_body_memory(document: &Document<'_, '_>) -> usize {
    let mut found: Option<(At<'_>, Option<usize>)> = None;
    for item in document
        .items("limits")
        .filter(|item| !item.is_list_of_tables())
    {
        let Some(section) = item.section(SectionKind::Limits, "[limits]") else {
            continue;
        };
        let key = section.key_at(limits::BODY_MEMORY);
        let body_memory = section.item(limits::BODY_MEMORY);
        section.finish_but_tables();
        match (body_memory, found, key) {
            (None, ..) => {}
            (Some(item), None, _) => found = Some((item.at, item.size(1 << 20))),
            (Some(item), Some((first, _)), key) => {
                let message = format!("\"body_memory\" is already set at {}", first.text());
                document.diagnostics.error(key.unwrap_or(item.at), message);
            }
        }
    }
    let body_memory = found.and_then(|(_, size)| size);
    body_memory.unwrap_or(BODY_MEMORY)
}

pub(crate) fn parse_shutdown_timeout(document: &Document<'_, '_>) -> Duration {
    let written = document.item("shutdown_timeout");
    let timeout = written.and_then(|item| item.duration());
    timeout.unwrap_or(SHUTDOWN_TIMEOUT)
}
