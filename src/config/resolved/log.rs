//! `[log]`: where lines go, and whether records that rules ask for are written.

use super::context::Context;
use super::names::Declared;
use crate::config::model::{Log, LogSink, Policy};
use crate::config::written::diagnostics::Diagnostics;
use crate::config::written::reader::Given;
use crate::config::written::settings::{self as written, Sink};
use crate::config::written::source::Placed;
use seclang::suggest::did_you_mean;
use waf::AuditEngine;

/// A sink that is absent or faulty has its default.
pub(crate) fn resolve(written: &written::Log<'_>, context: &Context<'_>) -> Log {
    let sink = |sink: Given<Placed<'_, Sink<'_>>>| resolve_sink(sink.value()?, context);
    Log {
        access: sink(written.access).unwrap_or(LogSink::Stdout),
        audit: sink(written.audit).unwrap_or(LogSink::Off),
    }
}

fn resolve_sink(
    Placed { value, at }: Placed<'_, Sink<'_>>,
    context: &Context<'_>,
) -> Option<LogSink> {
    let text = match value {
        Sink::Stdout => return Some(LogSink::Stdout),
        Sink::Off => return Some(LogSink::Off),
        Sink::File(text) => text,
    };
    let path = at.resolve(text);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        let help = did_you_mean(text, ["stdout", "off"]);
        let message = format!("there is no folder for the file \"{text}\"");
        context.diagnostics.error_with_help(at, message, help);
        return None;
    }
    Some(LogSink::File(path))
}

/// Warns of audit records that the rules ask for and nothing writes.
pub(crate) fn warn_unaudited(
    policies: &Declared<'_, Policy>,
    log: &Log,
    diagnostics: &Diagnostics,
) {
    if log.audit != LogSink::Off {
        return;
    }
    for (name, at, policy) in policies.iter() {
        let rules = policy.and_then(|policy| policy.rules.live());
        let engine = match rules.map(|rules| rules.settings().audit.engine) {
            None | Some(AuditEngine::Off) => continue,
            Some(AuditEngine::On) => "On",
            Some(AuditEngine::RelevantOnly) => "RelevantOnly",
        };
        let message = format!(
            "the rules of policy \"{name}\" say SecAuditEngine {engine}, but nothing is recorded: [log] audit is off"
        );
        diagnostics.warning(at, message);
    }
}
