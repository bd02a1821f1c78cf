//! `[otlp]`: the collector, and who it may be.

use std::net::SocketAddr;
use std::sync::Arc;

use super::context::Context;
use super::destination;
use super::events;
use super::names::Declared;
use crate::config::written::diagnostics::Diagnostics;
use crate::config::written::otlp::WrittenOtlp;
use crate::config::written::reader::Given;
use crate::config::written::settings::{WrittenLog, WrittenSink};
use crate::outbound::Limits;
use crate::telemetry::otlp::{Authorization, OtlpSettings};
use crate::tls::TrustBundle;

/// A collector answers with little.
const MOST_ANSWER: usize = 64 << 10;

/// Some(None) if nothing is sent; None if the section is faulty.
#[expect(clippy::option_option, reason = "the outer one is for `?`")]
pub(crate) fn resolve(
    written: &Given<WrittenOtlp<'_>>,
    dns_servers: &[SocketAddr],
    trust: &mut Declared<'_, TrustBundle>,
    context: &mut Context<'_>,
) -> Option<Option<Arc<OtlpSettings>>> {
    let written = match written {
        Given::Absent => return Some(None),
        Given::Faulty => return None,
        Given::Value(written) => written,
    };
    let limits = Limits {
        body_bytes: MOST_ANSWER,
        ..Limits::default()
    };
    let base = destination::resolve(&written.destination, limits, dns_servers, trust, context);
    let authorization = match &written.authorization {
        Given::Absent => Some(None),
        Given::Faulty => None,
        Given::Value(file) => destination::resolve_secret(file, context).map(Some),
    };
    // Only after both were read, so that problems of both are reported.
    let (base, authorization) = (base?, authorization?);
    let signal = |name: &str| {
        // OTLP has one base URL, which may have a path, and one path below it for each signal.
        let path = base.url().path().trim_end_matches('/');
        let signal = base.with_path(&format!("{path}/v1/{name}"));
        signal.map(Arc::new)
    };
    let (Ok(traces), Ok(logs)) = (signal("traces"), signal("logs")) else {
        let message = "\"url\" is too long";
        context.diagnostics.error(written.destination.at, message);
        return None;
    };
    Some(Some(Arc::new(OtlpSettings {
        traces: written.traces.then_some(traces),
        logs,
        authorization: authorization.map(Authorization),
        sample: written.sample,
        continues: written.continues,
        service: written.service.clone(),
        host: events::machine(),
    })))
}

/// Reports logs that go to a collector which is not there.
pub(crate) fn check_logs(
    log: &WrittenLog<'_>,
    otlp: &Given<WrittenOtlp<'_>>,
    diagnostics: &Diagnostics,
) {
    for sink in [&log.access, &log.audit] {
        // A faulty table is there, and has its own error.
        if let (WrittenSink::Otlp(at), Given::Absent) = (sink, otlp) {
            let message = "\"otlp\" is the collector of [otlp], and there is no such table";
            let help = Some("[otlp] with url = \"https://collector.example:4318\"");
            diagnostics.error_with_help(*at, message, help);
        }
    }
}
