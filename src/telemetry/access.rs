//! The access log: one line for each request, in the format of the configuration or for a terminal.
//!
//! The JSON keys are an interface: operators' tools depend on them. The line holds no secret of a query, because `path`
//! is masked before it is stored here.

mod combined;
mod ecs;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::AccessFormat;
use super::otlp::TraceLink;
use super::sink::Format;
use crate::time::rfc3339;
use waf::mask_secrets;

/// What the access log says of one request.
#[derive(Debug, Serialize)]
pub struct AccessRecord<'r> {
    /// When the request began.
    #[serde(serialize_with = "as_rfc3339")]
    pub time: SystemTime,
    /// The id that the client's error page and the upstream get too.
    pub request_id: &'r str,
    /// Where the request is in a trace, if it has one; shown is the trace's id.
    #[serde(rename = "trace_id", skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceLink>,
    /// The client, as trusted proxies report it; then its port is 0, because they report no port.
    pub client: SocketAddr,
    /// The listener's name.
    pub listener: &'r str,
    /// The requested host.
    pub host: Option<Cow<'r, str>>,
    /// `-` if the head is not a valid request.
    pub method: Cow<'r, str>,
    /// Path and query as received, secrets masked.
    pub path: Cow<'r, str>,
    /// The Referer field as received. Only the formats that show it mask it, because the others should not pay for that.
    #[serde(skip)]
    pub referer: Option<&'r [u8]>,
    /// The same of the User-Agent field.
    #[serde(skip)]
    pub user_agent: Option<&'r [u8]>,
    /// Like `HTTP/1.1`.
    pub protocol: &'r str,
    /// The route's name.
    pub route: Option<&'r str>,
    /// 0 if the connection was closed without an answer.
    pub status: u16,
    /// Bytes of the request's body, as received.
    pub bytes_in: u64,
    /// Bytes of the response's body, as sent.
    pub bytes_out: u64,
    /// How long it took.
    pub ms: Timing,
    /// The connection's TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFacts<'r>>,
    /// What the rules said; None if they did not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waf: Option<WafFacts>,
    /// Where it went; None if it went nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<UpstreamFacts<'r>>,
    /// A stable code that says why the answer is not the upstream's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Cow<'r, str>>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'r, str>>,
    /// Whether the request's body counts as inspected, as [`waf::Inspection`] says; true if there is no body.
    pub body_inspected: bool,
}

/// Milliseconds.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub struct Timing {
    /// From the head to the end of the answer.
    pub total: f64,
    /// In the rules.
    pub waf: f64,
    /// At the upstream.
    pub upstream: f64,
}

impl Timing {
    /// Rounds to microseconds, so that a line has no digits that mean nothing.
    #[must_use]
    pub fn new(total: Duration, waf: Duration, upstream: Duration) -> Self {
        let ms = |d: Duration| (d.as_secs_f64() * 1e6).round() / 1e3;
        Self {
            total: ms(total),
            waf: ms(waf),
            upstream: ms(upstream),
        }
    }
}

/// The connection the request came on.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct TlsFacts<'r> {
    /// Like `TLSv1.3`.
    pub version: &'r str,
    /// OpenSSL's name of the cipher suite.
    pub cipher: &'r str,
    /// The name that the client asked for.
    pub sni: Option<&'r str>,
    /// The group of the key exchange; None if there was no key exchange. A resumed session of TLS 1.2 reports the group
    /// of its first handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<&'r str>,
    /// The subject of the client's verified certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<&'r str>,
}

/// What the rules said.
#[derive(Debug, Clone, Serialize)]
pub struct WafFacts {
    /// What they decided.
    pub verdict: Verdict,
    /// The CRS's inbound anomaly score.
    pub score: u64,
    /// The rules that matched and say `log`, in order, each once.
    pub rules: Vec<u64>,
    /// The rules of the teams' exclusions that matched, each once.
    #[serde(skip)]
    pub exclusions: Vec<u64>,
    /// How much of the request's body was inspected. None if the rules were shown no body and nothing was stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyFacts>,
}

/// What the WAF decided about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing matched.
    Pass,
    /// Something matched, and nothing was stopped.
    Match,
    /// The request or its response was stopped.
    Block,
}

impl Verdict {
    /// The name in the access log and in the metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Match => "match",
            Self::Block => "block",
        }
    }
}

/// How many bytes of a body the rules saw, of how many, and why not all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BodyFacts {
    /// Bytes of the body that were received.
    pub received: u64,
    /// Bytes of it that the rules saw.
    pub inspected: u64,
    /// The parser that read it, or `none`.
    pub parser: &'static str,
    /// Why they did not see all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where the request went.
#[derive(Debug, Clone, Serialize)]
pub struct UpstreamFacts<'r> {
    /// The upstream's name.
    pub name: &'r str,
    /// The last server that was tried.
    pub server: Option<String>,
    /// How many servers were tried.
    pub attempts: usize,
}

impl AccessRecord<'_> {
    /// The line with its line feed.
    #[must_use]
    pub(super) fn line(&self, format: Format) -> Vec<u8> {
        let mut line = match format {
            // A record is strings and numbers, which always serialize.
            Format::Written(AccessFormat::Json) => {
                one_line(serde_json::to_vec(self).unwrap_or_default())
            }
            Format::Written(AccessFormat::Ecs) => one_line(ecs::line(self)),
            Format::Written(AccessFormat::Combined) => combined::line(self).into_bytes(),
            Format::Human => self.human().into_bytes(),
        };
        line.push(b'\n');
        line
    }

    /// Whether somebody may want to look at it: it was stopped, or it failed.
    pub(super) fn is_warning(&self) -> bool {
        let blocked = self
            .waf
            .as_ref()
            .is_some_and(|waf| waf.verdict == Verdict::Block);
        blocked || self.status >= 500
    }

    fn human(&self) -> String {
        let time = rfc3339(self.time);
        // The time of day with milliseconds: a terminal shows recent lines, so the date is left out.
        let clock = time.get(11..23).unwrap_or_default();
        let mut line = format!(
            "{clock} {} {} {}{} -> {} {:.1} ms",
            self.status,
            self.method,
            self.host.as_deref().unwrap_or("-"),
            self.path.escape_debug(),
            self.route.unwrap_or("-"),
            self.ms.total,
        );
        if let Some(waf) = self.waf.as_ref().filter(|waf| waf.verdict != Verdict::Pass) {
            line += &format!(
                " waf {} score {} rules {:?}",
                waf.verdict.name(),
                waf.score,
                waf.rules
            );
        }
        if let Some(reason) = self.reason.as_deref().or(self.error.as_deref()) {
            line += &format!(" ({reason})");
        }
        line += " ";
        line += self.request_id;
        // A client controls the host, the path and the method: an escape sequence in them must not reach the terminal.
        line.replace(
            |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'),
            ".",
        )
    }
}

/// JSON text with the characters escaped that JSON leaves as they are and some readers of lines take for the end of one,
/// or a terminal for a command: DEL, the C1 controls, U+2028 and U+2029.
pub(super) fn one_line(json: Vec<u8>) -> Vec<u8> {
    // The first bytes of these characters in UTF-8. Few lines have them.
    if memchr::memchr3(0x7f, 0xc2, 0xe2, &json).is_none() {
        return json;
    }
    let Ok(text) = String::from_utf8(json) else {
        // JSON is UTF-8.
        return Vec::new();
    };
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Outside of strings JSON has only ASCII, without DEL.
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                escaped += &format!("\\u{:04x}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    // A record of audit ends with its line feed, which stays.
    escaped.into_bytes()
}

/// Bytes for a text log: unchanged if they are UTF-8, otherwise with `\xNN` for every byte that is not ASCII.
#[must_use]
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.escape_ascii().to_string()),
    }
}

/// The same text with the secrets in it masked. For a query or the value of a header field.
#[must_use]
pub fn masked_text(bytes: &[u8]) -> Cow<'_, str> {
    let masked = mask_secrets(bytes, bytes.len());
    match masked == bytes {
        true => text(bytes),
        false => Cow::Owned(text(&masked).into_owned()),
    }
}

fn as_rfc3339<S: serde::Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*time))
}

#[cfg(test)]
mod tests;
