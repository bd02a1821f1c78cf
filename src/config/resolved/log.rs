//! `[log]`: where lines go, and whether the audit records that rules demand are written.

use std::sync::Arc;

use super::context::{Broken, Context};
use super::names::Declared;
use crate::config::model::{Log, LogSink, Policy, Syslog};
use crate::config::written::diagnostics::Diagnostics;
use crate::config::written::settings::{WrittenLog, WrittenSink, WrittenSyslog};
use crate::config::written::source::Placed;
use crate::tls::TrustBundle;
use seclang::suggest::did_you_mean;
use waf::AuditEngine;

/// A faulty sink gets its default: the error was reported, so this configuration is not used.
pub(crate) fn resolve(
    written: &WrittenLog<'_>,
    trust: &mut Declared<'_, TrustBundle>,
    context: &Context<'_>,
) -> Log {
    let sinks = [&written.access, &written.audit];
    let has_tls = sinks.iter().any(|sink| match sink {
        WrittenSink::Syslog(syslog) => syslog.tls,
        _ => false,
    });
    let named = written.syslog_trust.as_ref();
    if let Some(named) = named.filter(|_| !has_tls) {
        let message =
            "\"syslog_trust\" is for a target \"syslog+tls://HOST:PORT\", and there is none";
        context.diagnostics.error(named.at, message.to_owned());
    }
    let bundle = named.and_then(|named| match trust.lookup(named, context.diagnostics) {
        Ok(bundle) => Some(bundle),
        Err(Broken::Faulty) => None,
        // It trusts nobody, so lines wait and are counted until the bundle is repaired and the process restarted.
        Err(Broken::Closed) => Some(Arc::new(TrustBundle::of_nobody(named.value))),
    });
    let sink = |sink| resolve_sink(sink, named.map(|_| bundle.as_ref()), context);
    Log {
        access: sink(&written.access).unwrap_or(LogSink::Stdout),
        format: written.format,
        audit: sink(&written.audit).unwrap_or(LogSink::Off),
    }
}

/// `trust` is None where none is named, and holds None where what is named was reported.
fn resolve_sink(
    written: &WrittenSink<'_>,
    trust: Option<Option<&Arc<TrustBundle>>>,
    context: &Context<'_>,
) -> Option<LogSink> {
    let Placed { value: text, at } = match written {
        WrittenSink::Stdout => return Some(LogSink::Stdout),
        WrittenSink::Off => return Some(LogSink::Off),
        WrittenSink::Otlp(_) => return Some(LogSink::Otlp),
        WrittenSink::Syslog(syslog) => return resolve_syslog(syslog, trust, context),
        WrittenSink::File(file) => file,
    };
    let path = at.resolve(text);
    // The file itself is created when the log is opened; `check` must not create it.
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        // A misspelled word looks like the name of a file.
        let help = did_you_mean(text, ["stdout", "off", "otlp"]);
        let message = format!("there is no folder for the file \"{text}\"");
        context.diagnostics.error_with_help(*at, message, help);
        return None;
    }
    Some(LogSink::File(path))
}

fn resolve_syslog(
    written: &WrittenSyslog<'_>,
    trust: Option<Option<&Arc<TrustBundle>>>,
    context: &Context<'_>,
) -> Option<LogSink> {
    let trust = match (written.tls, trust) {
        (false, _) => None,
        (true, Some(bundle)) => Some(Arc::clone(bundle?)),
        (true, None) => {
            let message = "a target with TLS needs \"syslog_trust\": the trust bundle that the receiver's certificate must come from";
            context.diagnostics.error(written.at, message.to_owned());
            return None;
        }
    };
    Some(LogSink::Syslog(Syslog {
        host: written.host.clone(),
        port: written.port,
        trust,
    }))
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
