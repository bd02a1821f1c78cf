//! What a transaction found, as events have it: bounded, since a client chooses how much there is.

use std::ops::Range;

use super::draft::text;
use super::event::{Blocked, Hit, Match};
use crate::telemetry;
use waf::{Detection, Interruption, MatchedRule, Transaction};

/// Bytes of a variable's name in a summary.
const MOST_VARIABLE: usize = 128;
/// Matches in a summary.
const MOST_HITS: usize = 32;
/// Matches in a record. Each has a few kilobytes at most.
const MOST_MATCHES: usize = 128;

/// Bytes of the secrets that are looked for in other places than their own.
const MOST_SECRETS: usize = 64 * 1024;

impl From<&Interruption> for Blocked {
    fn from(found: &Interruption) -> Self {
        Self {
            rule_id: found.rule_id,
            phase: found.phase as u8,
            status: found.status,
        }
    }
}

impl From<Detection> for Blocked {
    fn from(found: Detection) -> Self {
        Self {
            rule_id: found.rule_id,
            phase: found.phase as u8,
            status: found.status,
        }
    }
}

/// The values that are secret wherever they stand.
#[must_use]
pub fn secrets(transaction: &Transaction) -> Vec<Vec<u8>> {
    transaction.secret_values(MOST_SECRETS)
}

/// The logged rules that matched, in order, for a summary.
#[must_use]
pub fn hits(transaction: &Transaction) -> Vec<Hit> {
    let logged = transaction.matched_rules().iter();
    // Silent rules only set variables, and would push what matters out of the list.
    let logged = logged.filter(|found| found.logged).take(MOST_HITS);
    let hits = logged.map(|found| Hit {
        rule_id: found.rule_id,
        variable: text(&found.variable, MOST_VARIABLE),
    });
    hits.collect()
}

/// Everything that matched, in order, and how many matches are left out.
#[must_use]
pub fn matches(transaction: &Transaction) -> (Vec<Match>, u64) {
    let matched = transaction.matched_rules();
    // Counted with those that the engine did not record: a reader sees that there were more, whoever left them out.
    let left_out = matched.len().saturating_sub(MOST_MATCHES) as u64;
    let matches = matched.iter().take(MOST_MATCHES).map(matched_rule);
    (
        matches.collect(),
        transaction.unrecorded_matches() + left_out,
    )
}

/// Its texts are bounded and masked by the engine.
fn matched_rule(found: &MatchedRule) -> Match {
    let owned = |bytes: &[u8]| telemetry::text(bytes).into_owned();
    let span = found.span.as_ref();
    Match {
        rule_id: found.rule_id,
        phase: found.phase as u8,
        variable: owned(&found.variable),
        value: owned(&found.value),
        transformed: (found.transformed != found.value).then(|| owned(&found.transformed)),
        span: span.and_then(|span| span_in_text(&found.transformed, span)),
        message: owned(&found.message),
        data: owned(&found.data),
        severity: found.severity,
        at: format!("{}:{}", found.file.display(), found.line),
    }
}

/// Where [`telemetry::text`] has these bytes, widened to whole characters.
fn span_in_text(bytes: &[u8], span: &Range<usize>) -> Option<[usize; 2]> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        let escaped = |end: usize| Some(bytes.get(..end)?.escape_ascii().count());
        return Some([escaped(span.start)?, escaped(span.end)?]);
    };
    let start = (0..=span.start)
        .rev()
        .find(|&at| text.is_char_boundary(at))?;
    let end = (span.end..=text.len()).find(|&at| text.is_char_boundary(at))?;
    Some([start, end])
}

/// The CRS's inbound anomaly score, as version 4 and version 3 call it.
#[must_use]
pub fn inbound_score(transaction: &Transaction) -> u64 {
    first_number(
        transaction,
        ["blocking_inbound_anomaly_score", "anomaly_score"],
    )
}

/// The same of the response.
#[must_use]
pub fn outbound_score(transaction: &Transaction) -> u64 {
    let names = ["blocking_outbound_anomaly_score", "outbound_anomaly_score"];
    first_number(transaction, names)
}

/// The first of these variables `tx.NAME` that is set; 0 if none is.
fn first_number(transaction: &Transaction, names: [&str; 2]) -> u64 {
    let mut names = names.into_iter();
    let value = names.find_map(|name| transaction.tx(name));
    value
        .and_then(|value| std::str::from_utf8(&value).ok()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_where_the_record_has_it() {
        for (bytes, span, expected) in [
            (&b"a union b"[..], 2..7, "union"),
            ("aéb".as_bytes(), 2..2, "é"),
            (b"\xff\nab", 1..3, "\\na"),
            (b"a\xc3\xa9\xff", 1..3, "\\xc3\\xa9"),
        ] {
            let [start, end] = span_in_text(bytes, &span).unwrap();
            assert_eq!(&telemetry::text(bytes)[start..end], expected, "{bytes:?}");
        }
        assert_eq!(span_in_text(b"a", &(0..2)), None);
    }
}
