//! The audit record: what happened to one transaction that matters, as data.
//!
//! [`Transaction::audit_record`](super::Transaction::audit_record) makes it, `SecAuditLogParts` chooses what is in it,
//! secrets are masked and payloads bounded before they get here. [`Record::line`] writes it as ModSecurity v3's JSON
//! or as ECS.

mod ecs;
pub(crate) mod marks;
mod markup;
pub mod mask;
mod modsecurity;

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use super::calendar::UtcTime;
use super::outcome::Inspection;
use super::settings::{AuditFormat, EngineMode};

pub(crate) use marks::Marks;

/// Bytes of a request or response body that a record carries.
pub const MOST_BODY: usize = 64 * 1024;
/// Bytes of a header, a URI or a value that a record carries.
pub const MOST_VALUE: usize = 2048;

/// One transaction that matters. Texts hold what was received, `\xNN` for bytes that are not UTF-8.
#[derive(Debug, Clone)]
pub struct Record {
    pub format: AuditFormat,
    pub time: SystemTime,
    pub unique_id: String,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub engine: EngineMode,
    /// `SecComponentSignature`
    pub components: Vec<String>,
    pub request: Request,
    pub response: Response,
    /// Part H; None where it was not asked for.
    pub messages: Option<Vec<Message>>,
    pub facts: Facts,
}

#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    /// As received, secrets masked.
    pub uri: String,
    /// `HTTP/1.1`
    pub protocol: String,
    pub host: Option<String>,
    pub user_agent: Option<String>,
    /// Part B.
    pub headers: Option<Vec<(String, String)>>,
    /// Part C, or part I, which leaves files out.
    pub body: Option<String>,
    /// Part J.
    pub files: Option<Vec<File>>,
}

/// A file of a multipart body.
#[derive(Debug, Clone, Serialize)]
pub struct File {
    /// The part's name.
    pub name: String,
    pub filename: String,
    /// Bytes.
    pub size: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Response {
    /// 0 where there was none.
    pub status: u16,
    /// Part F.
    pub headers: Option<Vec<(String, String)>>,
    /// Part E.
    pub body: Option<String>,
}

/// A rule that matched.
#[derive(Debug, Clone)]
pub struct Message {
    pub rule_id: u64,
    pub phase: u8,
    pub message: String,
    pub data: String,
    /// Operator and variable in words.
    pub matched: String,
    pub variable: String,
    pub value: String,
    pub severity: Option<u8>,
    pub file: String,
    pub line: u32,
    pub version: String,
    pub revision: String,
    pub tags: Vec<String>,
    pub maturity: u8,
    pub accuracy: u8,
    pub interrupting: bool,
}

/// What no other audit format has room for.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    pub verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What ended the transaction; rule 0 is the engine itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interruption: Option<Ending>,
    pub score: Score,
    pub body: Inspected,
    pub response_body: Inspected,
    /// Matches that were counted and not recorded.
    pub unrecorded_matches: u64,
    /// Operators that gave up at a limit.
    pub limits_hit: u32,
    /// Part K: every rule that was recorded, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched_rules: Option<Vec<u64>>,
}

/// The words of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Pass,
    /// Something matched, nothing was stopped.
    Match,
    Block,
}

#[derive(Debug, Clone, Serialize)]
pub struct Ending {
    pub rule_id: u64,
    pub phase: u8,
    pub status: u16,
}

/// The CRS's anomaly scores; None where no rule set keeps them.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Score {
    pub inbound: Option<i64>,
    pub outbound: Option<i64>,
}

/// Bytes of a body that the rules saw, of how many, and why not all.
#[derive(Debug, Clone, Serialize)]
pub struct Inspected {
    pub received: u64,
    pub inspected: u64,
    /// Which parser took it apart, or `none`; only of a request's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parser: Option<&'static str>,
    pub reason: Option<String>,
}

impl From<Inspection> for Inspected {
    fn from(inspection: Inspection) -> Self {
        Self {
            received: inspection.received,
            inspected: inspection.inspected,
            parser: None,
            reason: inspection.reason,
        }
    }
}

impl Record {
    /// The policy's name.
    #[must_use]
    pub fn of_policy(mut self, name: &str) -> Self {
        self.facts.policy = Some(name.to_owned());
        self
    }

    /// The front door answered this, whatever the rules said.
    #[must_use]
    pub fn answered(mut self, status: u16, blocked: bool) -> Self {
        self.response.status = status;
        if blocked {
            self.facts.verdict = Verdict::Block;
        } else if self.facts.verdict == Verdict::Block {
            self.facts.verdict = Verdict::Match;
        }
        self
    }

    /// One JSON line with its line feed, in the format that the rules ask for.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let mut line = match self.format {
            // Strings and numbers always serialize.
            AuditFormat::Json => serde_json::to_vec(&modsecurity::document(self)),
            AuditFormat::Ecs => serde_json::to_vec(&ecs::document(self)),
        }
        .unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// Bytes as text: what is not UTF-8 as `\xNN`.
pub(crate) fn text(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Headers as an object: names as sent, values of equal names joined as HTTP joins them.
fn headers<S: Serializer>(headers: &&[(String, String)], to: S) -> Result<S::Ok, S::Error> {
    let mut joined: Vec<(&str, std::borrow::Cow<'_, str>)> = Vec::with_capacity(headers.len());
    let mut places = std::collections::HashMap::new();
    for (name, value) in *headers {
        match places.entry(name.to_ascii_lowercase()) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(joined.len());
                joined.push((name, value.into()));
            }
            std::collections::hash_map::Entry::Occupied(entry) => {
                if let Some((_, all)) = joined.get_mut(*entry.get()) {
                    let all = all.to_mut();
                    all.push_str(", ");
                    all.push_str(value);
                }
            }
        }
    }
    to.collect_map(joined)
}

/// The time as `Date` writes it.
pub(crate) fn http_date(time: SystemTime) -> String {
    Moment::at(time).http_date()
}

/// A moment in UTC, in pieces.
struct Moment {
    date: UtcTime,
    millis: u32,
}

impl Moment {
    fn at(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            date: UtcTime::at(since.as_secs()),
            millis: since.subsec_millis(),
        }
    }

    fn clock(&self) -> String {
        let d = &self.date;
        format!("{:02}:{:02}:{:02}", d.hour, d.minute, d.second)
    }

    fn weekday(&self) -> &'static str {
        const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        usize::try_from(self.date.weekday)
            .ok()
            .and_then(|d| DAYS.get(d).copied())
            .unwrap_or_default()
    }

    fn month(&self) -> &'static str {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        usize::try_from(self.date.month)
            .ok()
            .and_then(|m| MONTHS.get(m.saturating_sub(1)).copied())
            .unwrap_or_default()
    }

    /// C's `asctime`.
    fn asctime(&self) -> String {
        let d = &self.date;
        let (weekday, month, clock) = (self.weekday(), self.month(), self.clock());
        format!("{weekday} {month} {:2} {clock} {}", d.day, d.year)
    }

    /// RFC 9110, section 5.6.7.
    fn http_date(&self) -> String {
        let d = &self.date;
        let (weekday, month, clock) = (self.weekday(), self.month(), self.clock());
        format!("{weekday}, {:02} {month} {} {clock} GMT", d.day, d.year)
    }

    /// RFC 3339.
    fn rfc3339(&self) -> String {
        let d = &self.date;
        let (clock, millis) = (self.clock(), self.millis);
        format!(
            "{:04}-{:02}-{:02}T{clock}.{millis:03}Z",
            d.year, d.month, d.day
        )
    }
}
