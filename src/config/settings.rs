//! From the document to the [`Config`]: what stands alone, and the order in which the rest is read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::files::Document;
use super::inputs::Inputs;
use super::model::{Config, Log, LogSink, Policy};
use super::reader::{At, Item, Report};
use super::suggest::did_you_mean;
use super::{admin, exposures, listeners, policies, routes, service, upstreams};
use waf::AuditEngine;

const BODY_MEMORY: usize = 256 << 20;
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// What was declared under a name. The value is None where it is faulty, which was told already.
#[derive(Debug)]
pub(super) struct Names<'s, T> {
    /// Like `upstream`, for messages.
    word: &'static str,
    entries: BTreeMap<&'s str, Entry<'s, T>>,
    /// A name was asked for that is not here: it may be meant for an unused one.
    missed: bool,
}

#[derive(Debug)]
struct Entry<'s, T> {
    at: At<'s>,
    value: Option<Arc<T>>,
    /// It is refused alone, and there is no last good one.
    refused: bool,
    used: bool,
}

/// None where something is faulty; what it is was reported.
pub(super) fn resolve(document: &Document<'_, '_>, report: &Report) -> Option<Config> {
    let mut trust = upstreams::read_trust(document);
    let mut upstreams = upstreams::read_upstreams(document, &mut trust);
    let log = read_log(document);
    let (mut policies, rule_sets) = policies::read(document, log.audit != LogSink::Off);
    let mut listeners = listeners::read(document, &mut trust);
    let (drafts, routes) = routes::read(document, &mut listeners, &mut upstreams, &mut policies);
    let state_dir = document.item("state_dir");
    let state_dir = match state_dir {
        Some(item) => exposures::read_state_dir(&item),
        None => service::state_dir(),
    };
    let exposures = exposures::read(document, &drafts, &mut listeners.names, state_dir.is_some());
    let admin = admin::read(document);
    let body_memory = read_limits(document);
    let shutdown_timeout = document.item("shutdown_timeout");
    let shutdown_timeout = shutdown_timeout.and_then(|item| item.duration());
    document.finish();
    warn_unholdable(&policies, body_memory, report);
    warn_unaudited(&policies, &log, report);

    trust.warn_unused(report);
    upstreams.warn_unused(report);
    policies.warn_unused(report);
    listeners.names.warn_unused(report);

    Some(Config {
        source: PathBuf::new(),
        inputs: Inputs::default(),
        certificates: report.certificates.take(),
        rule_sets,
        listeners: listeners.names.into_values()?.into_values().collect(),
        upstreams: upstreams.into_values()?,
        trust: trust.into_values()?,
        policies: policies.into_values()?,
        routes: routes?,
        exposures: exposures?,
        state_dir,
        log,
        admin: match admin {
            Some(admin) => Some(admin?),
            None => service::admin(),
        },
        body_memory,
        collections: Arc::clone(&report.kept.collections),
        shutdown_timeout: shutdown_timeout.unwrap_or(SHUTDOWN_TIMEOUT),
    })
}

impl<'s, T> Names<'s, T> {
    pub fn new(word: &'static str) -> Self {
        Self {
            word,
            entries: BTreeMap::new(),
            missed: false,
        }
    }

    pub fn insert(&mut self, name: &'s str, at: At<'s>, value: Option<T>) {
        self.insert_shared(name, at, value.map(Arc::new));
    }

    pub fn insert_shared(&mut self, name: &'s str, at: At<'s>, value: Option<Arc<T>>) {
        let entry = Entry {
            at,
            value,
            refused: false,
            used: false,
        };
        self.entries.insert(name, entry);
    }

    /// One that was refused and of which there is no last good version: the rest goes on without it.
    pub fn insert_refused(&mut self, name: &'s str, at: At<'s>) {
        let entry = Entry {
            at,
            value: None,
            refused: true,
            used: false,
        };
        self.entries.insert(name, entry);
    }

    /// Whether this names one that was refused; who needs it is refused too.
    pub fn names_refused(&self, item: &Item<'_, '_>) -> bool {
        let entry = item.raw_string().and_then(|name| self.entries.get(name));
        entry.is_some_and(|entry| entry.refused)
    }

    /// The one that is named by this string, and whether the name exists at all. Reports it if not.
    pub fn lookup(&mut self, item: &Item<'_, '_>, report: &Report) -> Option<Arc<T>> {
        let name = item.string()?;
        if let Some(entry) = self.entries.get_mut(name.value) {
            entry.used = true;
            return entry.value.clone();
        }
        self.missed = true;
        let help = did_you_mean(name.value, self.entries.keys().copied());
        let message = format!("there is no {} \"{}\"", self.word, name.value);
        report.error_with_help(name.at, message, help);
        None
    }

    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    pub fn mark_used(&mut self, name: &str) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.used = true;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'s str, At<'s>, Option<&Arc<T>>)> {
        let entries = self.entries.iter();
        entries.map(|(name, entry)| (*name, entry.at, entry.value.as_ref()))
    }

    fn warn_unused(&self, report: &Report) {
        if self.missed || report.has_broken_files() {
            return;
        }
        for (name, entry) in self.entries.iter().filter(|(_, entry)| !entry.used) {
            let message = format!("nothing uses {} \"{name}\"", self.word);
            report.warning(entry.at, message);
        }
    }

    fn into_values(self) -> Option<BTreeMap<String, Arc<T>>> {
        let entries = self.entries.into_iter();
        let entries = entries.filter(|(_, entry)| !entry.refused);
        entries
            .map(|(name, entry)| Some((name.to_owned(), entry.value?)))
            .collect()
    }
}

/// A body that may never be held is never let through.
fn warn_unholdable(policies: &Names<'_, Policy>, body_memory: usize, report: &Report) {
    for (name, at, policy) in policies.iter() {
        let limit = policy.map_or(0, |policy| policy.request_body_limit);
        if limit > body_memory {
            let message = format!(
                "policy \"{name}\" allows bodies of {limit} bytes, but [limits] body_memory is {body_memory} for all"
            );
            report.warning(at, message);
        }
    }
}

/// Records that the rules ask for and nothing writes.
fn warn_unaudited(policies: &Names<'_, Policy>, log: &Log, report: &Report) {
    if log.audit != LogSink::Off {
        return;
    }
    for (name, at, policy) in policies.iter() {
        let rules = policy.and_then(|policy| policy.rules.live());
        let engine = match rules.map(|rules| rules.audit_engine()) {
            None | Some(AuditEngine::Off) => continue,
            Some(AuditEngine::On) => "On",
            Some(AuditEngine::RelevantOnly) => "RelevantOnly",
        };
        let message = format!(
            "the rules of policy \"{name}\" say SecAuditEngine {engine}, but nothing is recorded: [log] audit is off"
        );
        report.warning(at, message);
    }
}

fn read_log(document: &Document<'_, '_>) -> Log {
    let mut log = Log {
        access: LogSink::Stdout,
        audit: LogSink::Off,
    };
    let Some(section) = document.item("log").and_then(|item| item.section("[log]")) else {
        return log;
    };
    if let Some(sink) = section.item("access").and_then(|item| read_sink(&item)) {
        log.access = sink;
    }
    if let Some(sink) = section.item("audit").and_then(|item| read_sink(&item)) {
        log.audit = sink;
    }
    section.finish();
    log
}

fn read_sink(item: &Item<'_, '_>) -> Option<LogSink> {
    let text = item.string()?;
    let path = match text.value {
        "stdout" => return Some(LogSink::Stdout),
        "off" => return Some(LogSink::Off),
        "" => {
            return item.fail(format!(
                "{} must be \"stdout\", \"off\" or a file",
                item.what()
            ));
        }
        path => text.at.resolve(path),
    };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        let help = did_you_mean(text.value, ["stdout", "off"]);
        let message = format!("there is no folder for the file \"{}\"", text.value);
        item.report().error_with_help(item.at, message, help);
        return None;
    }
    Some(LogSink::File(path))
}

fn read_limits(document: &Document<'_, '_>) -> usize {
    let Some(section) = document
        .item("limits")
        .and_then(|item| item.section("[limits]"))
    else {
        return BODY_MEMORY;
    };
    let body_memory = section
        .item("body_memory")
        .and_then(|item| item.size(1 << 20));
    section.finish();
    body_memory.unwrap_or(BODY_MEMORY)
}
