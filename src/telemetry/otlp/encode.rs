//! Records as the messages of OTLP, version 1.

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord as LogMessage, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message;

use super::record::{Attribute, LogRecord, SpanKind, SpanRecord};
use super::settings::OtlpSettings;

const NAME: &str = "drawbridge";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Severities of `logs.proto`.
const INFO: (i32, &str) = (9, "INFO");
const WARN: (i32, &str) = (13, "WARN");
/// Of `SpanFlags`: we know whether the parent is remote, and it is.
const REMOTE_PARENT: u32 = 0x300;

/// The spans of several requests.
pub(super) fn spans(requests: Vec<Vec<SpanRecord>>, settings: &OtlpSettings) -> Vec<u8> {
    let spans = requests.into_iter().flatten().map(span).collect();
    let message = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource(settings)),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    message.encode_to_vec()
}

/// Lines of logs.
pub(super) fn logs(lines: Vec<LogRecord>, settings: &OtlpSettings) -> Vec<u8> {
    let message = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource(settings)),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records: lines.into_iter().map(line).collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    message.encode_to_vec()
}

/// How many spans the collector says it did not take.
pub(super) fn rejected_spans(answer: &[u8]) -> u64 {
    // Whatever else a collector writes, its status said that it took them.
    let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
    let rejected = answer.partial_success.map_or(0, |part| part.rejected_spans);
    u64::try_from(rejected).unwrap_or(0)
}

/// The same of lines.
pub(super) fn rejected_logs(answer: &[u8]) -> u64 {
    let answer = ExportLogsServiceResponse::decode(answer).unwrap_or_default();
    let rejected = answer.partial_success;
    let rejected = rejected.map_or(0, |part| part.rejected_log_records);
    u64::try_from(rejected).unwrap_or(0)
}

fn resource(settings: &OtlpSettings) -> Resource {
    // During a hand-over two processes send from one host.
    let instance = format!("{}:{}", settings.host, std::process::id());
    let attributes = [
        ("service.name", settings.service.clone()),
        ("service.version", VERSION.to_owned()),
        ("service.instance.id", instance),
        ("host.name", settings.host.clone()),
    ];
    Resource {
        attributes: attributes
            .into_iter()
            .map(|(key, value)| attribute(key, Value::StringValue(value)))
            .collect(),
        ..Resource::default()
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: NAME.to_owned(),
        version: VERSION.to_owned(),
        ..InstrumentationScope::default()
    }
}

fn span(record: SpanRecord) -> Span {
    let remote = match (record.kind, record.parent) {
        (SpanKind::Server, Some(_)) => REMOTE_PARENT,
        _ => 0,
    };
    Span {
        trace_id: record.trace.0.to_vec(),
        span_id: record.id.0.to_vec(),
        trace_state: record.state,
        parent_span_id: record.parent.map(|id| id.0.to_vec()).unwrap_or_default(),
        flags: u32::from(record.sampled) | remote,
        name: record.name.into_owned(),
        kind: match record.kind {
            SpanKind::Internal => span::SpanKind::Internal,
            SpanKind::Server => span::SpanKind::Server,
            SpanKind::Client => span::SpanKind::Client,
        }
        .into(),
        start_time_unix_nano: record.begun,
        // The clock may have been set back in between.
        end_time_unix_nano: record.ended.max(record.begun),
        attributes: record.attributes.into_iter().map(of_record).collect(),
        // Otherwise unset: only an application may say `Ok`.
        status: record.failed.then(|| Status {
            code: StatusCode::Error.into(),
            ..Status::default()
        }),
        ..Span::default()
    }
}

fn of_record((key, value): (&'static str, Attribute)) -> KeyValue {
    let value = match value {
        Attribute::Text(text) => Value::StringValue(text.into_owned()),
        Attribute::Number(number) => Value::IntValue(number),
        Attribute::Flag(flag) => Value::BoolValue(flag),
        Attribute::Numbers(numbers) => Value::ArrayValue(ArrayValue {
            values: numbers
                .into_iter()
                .map(|number| any(Value::IntValue(number)))
                .collect(),
        }),
    };
    attribute(key, value)
}

fn line(record: LogRecord) -> LogMessage {
    let (severity, severity_text) = match record.is_warning {
        true => WARN,
        false => INFO,
    };
    let trace = record.trace;
    let body = match String::from_utf8(record.line) {
        Ok(text) => Value::StringValue(text),
        // A text of protobuf must be UTF-8; the line is worth keeping anyway.
        Err(bytes) => Value::BytesValue(bytes.into_bytes()),
    };
    LogMessage {
        time_unix_nano: record.time,
        observed_time_unix_nano: record.time,
        severity_number: severity,
        severity_text: severity_text.to_owned(),
        body: Some(any(body)),
        flags: trace.map_or(0, |trace| u32::from(trace.sampled)),
        trace_id: trace
            .map(|trace| trace.trace.0.to_vec())
            .unwrap_or_default(),
        span_id: trace.map(|trace| trace.span.0.to_vec()).unwrap_or_default(),
        event_name: format!("{NAME}.{}", record.log),
        ..LogMessage::default()
    }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(any(value)),
        ..KeyValue::default()
    }
}

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}
