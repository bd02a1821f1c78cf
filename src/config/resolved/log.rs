//! `[log]`: where lines go, and whether the audit records that rules demand are written.

use super::context::Context;
use super::names::Declared;
use crate::config::model::{Log, LogSink, Policy};
use crate::config::written::diagnostics::Diagnostics;
use crate::config::written::settings::{WrittenLog, WrittenSink};
use crate::config::written::source::Placed;
use seclang::suggest::did_you_mean;
use waf::AuditEngine;

/// A faulty sink gets its default: the error was reported, so this configuration is not used.
pub(crate) fn resolve(written: &WrittenLog<'_>, context: &Context<'_>) -> Log {
    Log {
        access: resolve_sink(written.access, context).unwrap_or(LogSink::Stdout),
        audit: resolve_sink(written.audit, context).unwrap_or(LogSink::Off),
    }
}

fn resolve_sink(written: WrittenSink<'_>, context: &Context<'_>) -> Option<LogSink> {
    let Placed { value: text, at } = match written {
        WrittenSink::Stdout => return Some(LogSink::Stdout),
        WrittenSink::Off => return Some(LogSink::Off),
        WrittenSink::File(file) => file,
    };
    let path = at.resolve(text);
    // The file itself is created when the log is opened; `check` must not create it.
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        // A misspelled word looks like the name of a file.
        let help = did_you_mean(text, ["stdout", "off"]);
        let message = format!("there is no folder for the file \"{text}\"");
        context.diagnostics.error_with_help(at, message, help);
        return None;
    }
    Some(LogSink::File(path))
}

/// Warns of audit records that the rules demand and nobody writes.
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
        let engine = match rules.map(|rules| rules.audit_engine()) {
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
