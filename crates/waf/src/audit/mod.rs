//! The audit record of one transaction, as data.
//!
//! [`Transaction::audit_record`](super::Transaction::audit_record) makes it, and `SecAuditLogParts` chooses its parts.
//! Secrets are masked and texts bounded before they are stored in it. [`Record::line`] writes it as the JSON of
//! ModSecurity v3 or as ECS.
//!
//! Source of the parts: ModSecurity v2 Reference Manual, `SecAuditLogParts`.

mod ecs;
pub(crate) mod marks;
mod markup;
pub(crate) mod mask;
mod modsecurity;
pub(crate) mod secret_names;

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use super::calendar::UtcTime;
use super::outcome::Inspection;
use super::settings::{AuditFormat, EngineMode};

pub(crate) use marks::Marks;

/// Bytes of a request or response body that a record carries.
pub(crate) const MOST_BODY: usize = 64 * 1024;
/// Bytes of a header, a URI or a value that a record carries.
pub(crate) const MOST_VALUE: usize = 2048;

/// The record of one transaction. Texts hold what was received, with `\xNN` for bytes that are not UTF-8.
#[derive(Debug, Clone)]
pub struct Record {
    /// The JSON that [`Record::line`] writes (`SecAuditLogFormat`).
    pub format: AuditFormat,
    /// When the transaction began.
    pub time: SystemTime,
    /// `UNIQUE_ID`: what [`Transaction::new`](crate::Transaction::new) was given.
    pub unique_id: String,
    /// The client's address and port.
    pub client: SocketAddr,
    /// The address and port that the client connected to.
    pub server: SocketAddr,
    /// The mode that the rules ran in (`SecRuleEngine`, `ctl:ruleEngine`).
    pub engine: EngineMode,
    /// `SecComponentSignature`
    pub components: Vec<String>,
    /// The request.
    pub request: Request,
    /// The response.
    pub response: Response,
    /// Part H; None if it was not asked for.
    pub messages: Option<Vec<Message>>,
    /// What ModSecurity's format has no field for.
    pub facts: Facts,
}

/// The request of a record.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// As received.
    pub method: String,
    /// As received, secrets masked.
    pub uri: String,
    /// `HTTP/1.1`
    pub protocol: String,
    /// The first `Host` field; None if there is none.
    pub host: Option<String>,
    /// The first `User-Agent` field; None if there is none.
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
    /// What the client calls the file.
    pub filename: String,
    /// Bytes.
    pub size: u64,
}

/// The response of a record.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// 0 if there was none.
    pub status: u16,
    /// Part F.
    pub headers: Option<Vec<(String, String)>>,
    /// Part E.
    pub body: Option<String>,
}

/// A rule that matched.
#[derive(Debug, Clone)]
pub struct Message {
    /// The rule's `id`; 0 for the engine itself.
    pub rule_id: u64,
    /// 1 to 5.
    pub phase: u8,
    /// `msg`, macros expanded.
    pub message: String,
    /// `logdata`, macros expanded.
    pub data: String,
    /// Operator and variable in words.
    pub matched: String,
    /// `COLLECTION:name` of the variable that matched.
    pub variable: String,
    /// The value that matched, as received.
    pub value: String,
    /// 0 (emergency) to 7 (debug), an index of [`SEVERITIES`](crate::SEVERITIES).
    pub severity: Option<u8>,
    /// The rule's file.
    pub file: String,
    /// The rule's line in it, from 1.
    pub line: u32,
    /// `ver`; empty if the rule has none.
    pub version: String,
    /// `rev`; empty if the rule has none.
    pub revision: String,
    /// `tag`, in order.
    pub tags: Vec<String>,
    /// `maturity`, 1 to 9; 0 if the rule has none.
    pub maturity: u8,
    /// `accuracy`, 1 to 9; 0 if the rule has none.
    pub accuracy: u8,
    /// Whether it ended the transaction.
    pub interrupting: bool,
}

/// What ModSecurity's format has no field for.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// What became of the transaction.
    pub verdict: Verdict,
    /// The policy that [`Record::of_policy`] named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What ended the transaction; rule 0 is the engine itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interruption: Option<Ending>,
    /// The anomaly scores.
    pub score: Score,
    /// How much of the request's body the rules saw.
    pub body: Inspected,
    /// How much of the response's body the rules saw.
    pub response_body: Inspected,
    /// Matches that were only counted.
    pub unrecorded_matches: u64,
    /// Operators that reached a limit.
    pub limits_hit: u32,
    /// Part K: every rule that was recorded, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched_rules: Option<Vec<u64>>,
}

/// What became of a transaction, in the words of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing matched.
    Pass,
    /// A rule matched, and the transaction was not stopped.
    Match,
    /// The transaction was stopped.
    Block,
}

/// What ended a transaction.
#[derive(Debug, Clone, Serialize)]
pub struct Ending {
    /// The rule's `id`; 0 for the engine itself.
    pub rule_id: u64,
    /// 1 to 5.
    pub phase: u8,
    /// The status that the rule asks for.
    pub status: u16,
}

/// The CRS's anomaly scores; None if no rule set keeps them.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Score {
    /// Of the request.
    pub inbound: Option<i64>,
    /// Of the response.
    pub outbound: Option<i64>,
}

/// How much of a body the rules saw, and the reason if that is not all of it.
#[derive(Debug, Clone, Serialize)]
pub struct Inspected {
    /// Bytes that were received.
    pub received: u64,
    /// Bytes that the rules saw.
    pub inspected: u64,
    /// Which parser took it apart, or `none`; only of a request's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parser: Option<&'static str>,
    /// Why the body does not count as inspected; None if it does.
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
    /// The same record with the name of the policy that the rules belong to.
    #[must_use]
    pub fn of_policy(mut self, name: &str) -> Self {
        self.facts.policy = Some(name.to_owned());
        self
    }

    /// The same record with the status that the client received; `blocked` says whether the request was refused. Both
    /// may differ from what the rules asked for.
    #[must_use]
    pub fn answered(mut self, status: u16, blocked: bool) -> Self {
        self.response.status = status;
        if blocked {
            self.facts.verdict = Verdict::Block;
        // The rules wanted to stop it, but a policy that only detects let it through.
        } else if self.facts.verdict == Verdict::Block {
            self.facts.verdict = Verdict::Match;
        }
        self
    }

    /// One JSON line with its line feed, in the format that the rules ask for.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let mut line = match self.format {
            // Documents of strings and numbers always serialise.
            AuditFormat::Json => serde_json::to_vec(&modsecurity::document(self)),
            AuditFormat::Ecs => serde_json::to_vec(&ecs::document(self)),
        }
        .unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// Bytes as text, with `\xNN` for bytes that are not UTF-8.
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
    // By an index and not by a search: a client may send hundreds of fields.
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
        // A clock before 1970 is one that nobody has set; the record is written all the same.
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
