//! ModSecurity v3's JSON (`Transaction::toJSON`), with one more object, `drawbridge`.
//!
//! Numbers that v3 writes as strings are strings, because log pipelines expect them. If no upstream answered, `Date` is
//! the time of the record: Elastic's pipeline takes its timestamp from the response headers.

use serde::Serialize;

use super::{Facts, File, Message, Moment, Record};
use crate::settings::EngineMode;

#[derive(Serialize)]
pub(super) struct Document<'r> {
    transaction: Transaction<'r>,
}

#[derive(Serialize)]
struct Transaction<'r> {
    client_ip: String,
    time_stamp: String,
    server_id: &'r str,
    client_port: u16,
    host_ip: String,
    host_port: u16,
    unique_id: &'r str,
    is_interrupted: bool,
    request: Request<'r>,
    response: Response<'r>,
    #[serde(flatten)]
    trailer: Option<Trailer<'r>>,
    drawbridge: &'r Facts,
}

#[derive(Serialize)]
struct Request<'r> {
    method: &'r str,
    http_version: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'r str>,
    uri: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Headers<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<&'r [File]>,
}

#[derive(Serialize)]
struct Response<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'r str>,
    http_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Headers<'r>>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Headers<'r>(#[serde(serialize_with = "super::headers")] &'r [(String, String)]);

#[derive(Serialize)]
struct Trailer<'r> {
    producer: Producer<'r>,
    messages: Vec<Logged<'r>>,
}

#[derive(Serialize)]
struct Producer<'r> {
    modsecurity: &'static str,
    connector: &'static str,
    secrules_engine: &'static str,
    components: &'r [String],
}

#[derive(Serialize)]
struct Logged<'r> {
    message: &'r str,
    details: Details<'r>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details<'r> {
    r#match: &'r str,
    reference: &'static str,
    rule_id: String,
    file: &'r str,
    line_number: String,
    data: &'r str,
    severity: String,
    ver: &'r str,
    rev: &'r str,
    tags: &'r [String],
    maturity: String,
    accuracy: String,
}

pub(super) fn document(record: &Record) -> Document<'_> {
    Document {
        transaction: Transaction {
            // As people know it, not as `::ffff:192.0.2.1`.
            client_ip: record.client.ip().to_canonical().to_string(),
            time_stamp: Moment::at(record.time).asctime(),
            server_id: record.request.host.as_deref().unwrap_or("-"),
            client_port: record.client.port(),
            host_ip: record.server.ip().to_canonical().to_string(),
            host_port: record.server.port(),
            unique_id: &record.unique_id,
            is_interrupted: record.facts.interruption.is_some(),
            request: request(record),
            response: Response {
                body: record.response.body.as_deref(),
                http_code: record.response.status,
                headers: record.response.headers.as_deref().map(Headers),
            },
            trailer: record.messages.as_deref().map(|m| trailer(record, m)),
            drawbridge: &record.facts,
        },
    }
}

fn request(record: &Record) -> Request<'_> {
    let request = &record.request;
    // v3 writes a number and no text.
    let version = request.protocol.rsplit('/').next();
    Request {
        method: &request.method,
        http_version: version.and_then(|v| v.parse().ok()).unwrap_or(0.0),
        hostname: request.host.as_deref(),
        uri: &request.uri,
        body: request.body.as_deref(),
        headers: request.headers.as_deref().map(Headers),
        files: request.files.as_deref(),
    }
}

fn trailer<'r>(record: &'r Record, messages: &'r [Message]) -> Trailer<'r> {
    Trailer {
        producer: Producer {
            modsecurity: "Drawbridge (ModSecurity v2 semantics)",
            connector: concat!("Drawbridge v", env!("CARGO_PKG_VERSION")),
            secrules_engine: match record.engine {
                EngineMode::On => "Enabled",
                EngineMode::DetectionOnly => "DetectionOnly",
                EngineMode::Off => "Disabled",
            },
            components: &record.components,
        },
        messages: messages.iter().map(logged).collect(),
    }
}

fn logged(message: &Message) -> Logged<'_> {
    Logged {
        message: &message.message,
        details: Details {
            r#match: &message.matched,
            // v3 writes offsets into its own buffers here, which do not exist in this engine.
            reference: "",
            rule_id: message.rule_id.to_string(),
            file: &message.file,
            line_number: message.line.to_string(),
            data: &message.data,
            // v3 writes 255 for a rule without a severity.
            severity: message.severity.unwrap_or(255).to_string(),
            ver: &message.version,
            rev: &message.revision,
            tags: &message.tags,
            maturity: message.maturity.to_string(),
            accuracy: message.accuracy.to_string(),
        },
    }
}
