//! One line a request.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::Format;
use crate::time::rfc3339;
use waf::mask_secrets;

/// What is told about one request.
#[derive(Debug, Serialize)]
pub struct AccessRecord<'r> {
    /// When the request began.
    #[serde(serialize_with = "as_rfc3339")]
    pub time: SystemTime,
    /// The id that the client's page and the gateway get, too.
    pub request_id: &'r str,
    /// The client, as far as trusted proxies are believed; then its port is 0.
    pub client: SocketAddr,
    /// The listener's name.
    pub listener: &'r str,
    /// The requested host.
    pub host: Option<Cow<'r, str>>,
    /// `-` if the head is no request.
    pub method: Cow<'r, str>,
    /// Path and query as received, secrets masked.
    pub path: Cow<'r, str>,
    /// Like `HTTP/1.1`.
    pub protocol: &'r str,
    /// The route's name.
    pub route: Option<&'r str>,
    /// 0 where the connection was closed without an answer.
    pub status: u16,
    /// Of the request's body, as received.
    pub bytes_in: u64,
    /// Of the response's body, as sent.
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
    /// A stable code of why the answer is not the upstream's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Cow<'r, str>>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'r, str>>,
    /// Whether the request's body counts as inspected, as [`waf::Inspection`] says; true where there is none.
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
    /// Rounds to microseconds.
    #[must_use]
    pub fn new(total: Duration, waf: Duration, upstream: Duration) -> Self {
        // Microseconds are enough for a log.
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
    /// Of the key exchange; None where there was none. A resumed session of TLS 1.2 has that of its
    /// first handshake.
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
    /// Of the request's body; none where the rules were not shown one and nothing stopped them.
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
    /// As the access line and the metrics have it.
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
    /// Bytes of the body that came.
    pub received: u64,
    /// Bytes of it that the rules saw.
    pub inspected: u64,
    /// Which parser took it apart, or `none`.
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
    pub fn line(&self, format: Format) -> Vec<u8> {
        let mut line = match format {
            // A record is strings and numbers, which always serialize.
            Format::Json => serde_json::to_vec(self).unwrap_or_default(),
            Format::Human => self.human().into_bytes(),
        };
        line.push(b'\n');
        line
    }

    fn human(&self) -> String {
        let time = rfc3339(self.time);
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
        // What a stranger sent must not steer a terminal.
        line.replace(char::is_control, ".")
    }
}

/// Bytes for a text log: as they are where they are UTF-8, else with `\xNN` for what is not ASCII.
#[must_use]
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.escape_ascii().to_string()),
    }
}

/// The same without the secrets that lie in it: a query, a header's value.
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
