//! Where a request is in a distributed trace: W3C Trace Context, level 1.
//!
//! Invariant: a context that somebody sent is taken whole and only if it is valid, so nothing a stranger wrote reaches a
//! gateway or a collector but hexadecimal digits and a `tracestate` of the form that the recommendation allows.

use std::fmt;

use uuid::Uuid;

use crate::hex::hex;
use crate::randomness;

/// The most members of a `tracestate` (W3C Trace Context, 3.3.1.1).
const MOST_MEMBERS: usize = 32;
/// The most bytes of a `tracestate` that we hand on; longer ones are left out (3.3.1.5 demands 512 at least).
const MOST_STATE: usize = 512;

/// Names a trace. Never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// Names a span of a trace. Never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

/// The context that a request came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Its trace.
    pub trace: TraceId,
    /// The span that is the parent of ours.
    pub parent: SpanId,
    /// Whether whoever sent it records the trace.
    pub sampled: bool,
    /// What vendors say about it; empty if nothing valid.
    pub state: String,
}

/// The context of a request here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// Its trace.
    pub trace: TraceId,
    /// Our span for the whole request.
    pub span: SpanId,
    /// The span that ours is a part of; None if the trace begins here.
    pub parent: Option<SpanId>,
    /// Whether the trace is recorded in any case.
    pub sampled: bool,
    /// What goes on of the `tracestate`.
    pub state: String,
}

impl TraceContext {
    /// A trace that begins here. So much of them (0 to 1) is sampled.
    #[must_use]
    pub fn begin(sample: f64) -> Self {
        let trace = TraceId::random();
        Self {
            trace,
            span: SpanId::random(),
            parent: None,
            sampled: trace.is_sampled(sample),
            state: String::new(),
        }
    }

    /// A part of the trace that the request came with. If `believed`, its sender decides whether it is sampled.
    #[must_use]
    pub fn go_on(incoming: Incoming, believed: bool, sample: f64) -> Self {
        Self {
            trace: incoming.trace,
            span: SpanId::random(),
            parent: Some(incoming.parent),
            sampled: match believed {
                true => incoming.sampled,
                // A stranger could otherwise have every request recorded.
                false => incoming.trace.is_sampled(sample),
            },
            state: incoming.state,
        }
    }

    /// The `traceparent` for what this span causes.
    #[must_use]
    pub fn traceparent(&self, span: SpanId) -> String {
        // Flags that we do not know must not go on (3.2.2).
        let flags = u8::from(self.sampled);
        format!("00-{}-{span}-{flags:02x}", self.trace)
    }
}

impl Incoming {
    /// From the values of the fields `traceparent` and `tracestate`. None unless there is exactly one valid
    /// `traceparent`: then a new trace begins (W3C Trace Context, 4.3).
    pub fn parse<'v>(
        mut parents: impl Iterator<Item = &'v [u8]>,
        states: impl Iterator<Item = &'v [u8]>,
    ) -> Option<Self> {
        let parent = parents.next()?;
        if parents.next().is_some() {
            return None;
        }
        let parent = Self::of_parent(parent)?;
        // A wrong `tracestate` must not cost the trace (3.3).
        let state = state(states).unwrap_or_default();
        Some(Self { state, ..parent })
    }

    fn of_parent(value: &[u8]) -> Option<Self> {
        const VERSION_0: usize = 55;
        let text = std::str::from_utf8(value).ok()?;
        let fits = match (text.get(..2)?, text.len()) {
            ("00", length) => length == VERSION_0,
            // No version may be this one (3.2.2).
            ("ff", _) => false,
            // A later version may add parts, each after a dash.
            (_, VERSION_0) => true,
            (_, VERSION_0..=256) => text.as_bytes().get(VERSION_0) == Some(&b'-'),
            _ => false,
        };
        let mut parts = text.get(..VERSION_0).filter(|_| fits)?.split('-');
        let [_version] = from_hex(parts.next()?)?;
        let trace = from_hex(parts.next()?)?;
        let parent = from_hex(parts.next()?)?;
        let [flags] = from_hex(parts.next()?)?;
        let whole = parts.next().is_none() && trace != [0; 16] && parent != [0; 8];
        whole.then_some(Self {
            trace: TraceId(trace),
            parent: SpanId(parent),
            sampled: flags & 1 == 1,
            state: String::new(),
        })
    }
}

/// Lower case only (3.2.2).
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    // Not `from_str_radix`, which takes upper case and a sign too.
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// The fields as one list. None if a member is invalid, a key is there twice, or it is too long: a part of it would say
/// something else than all of it.
fn state<'v>(values: impl Iterator<Item = &'v [u8]>) -> Option<String> {
    let mut keys: Vec<&str> = Vec::new();
    let mut state = String::new();
    for value in values {
        let text = std::str::from_utf8(value).ok()?;
        for member in text
            .split(',')
            .map(|member| member.trim_matches([' ', '\t']))
        {
            // Empty members are allowed (3.3.1.1).
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            if !is_key(key) || !is_value(value) || keys.contains(&key) {
                return None;
            }
            keys.push(key);
            if !state.is_empty() {
                state.push(',');
            }
            state += member;
            if keys.len() > MOST_MEMBERS || state.len() > MOST_STATE {
                return None;
            }
        }
    }
    Some(state)
}

/// `vendor` or `tenant@vendor` (3.3.1.3.1).
fn is_key(key: &str) -> bool {
    let part = |part: &str, most: usize, digit_first: bool| {
        let first = part.bytes().next();
        let begins =
            first.is_some_and(|b| b.is_ascii_lowercase() || digit_first && b.is_ascii_digit());
        let fits = |b: u8| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'*' | b'/')
        };
        begins && part.len() <= most && part.bytes().all(fits)
    };
    match key.split_once('@') {
        Some((tenant, vendor)) => part(tenant, 241, true) && part(vendor, 14, false),
        None => part(key, 256, false),
    }
}

/// Printable ASCII without `,` and `=` (3.3.1.3.2).
fn is_value(value: &str) -> bool {
    let fits = |b: u8| matches!(b, b' '..=b'~') && b != b',' && b != b'=';
    (1..=256).contains(&value.len()) && !value.ends_with(' ') && value.bytes().all(fits)
}

impl TraceId {
    fn random() -> Self {
        Self(random())
    }

    /// By the part of the id that is random in any case, so that all who ask for the same share agree.
    fn is_sampled(self, share: f64) -> bool {
        let [.., a, b, c, d, e, f, g] = self.0;
        let number = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
        // 56 bits; the division is exact enough for a share.
        #[allow(clippy::cast_precision_loss)]
        let place = number as f64 / (1_u64 << 56) as f64;
        place < share
    }
}

impl SpanId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(random())
    }
}

/// Ids need to differ, not to be secret.
fn random<const N: usize>() -> [u8; N] {
    let random = randomness::random().or_else(|| {
        // The end of such an id differs from all others of this process.
        Uuid::now_v7().as_bytes().last_chunk().copied()
    });
    match random {
        Some(bytes) if bytes != [0; N] => bytes,
        // Zero is no id.
        _ => [1; N],
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn parse(parents: &[&str], states: &[&str]) -> Option<Incoming> {
        Incoming::parse(
            parents.iter().map(|p| p.as_bytes()),
            states.iter().map(|s| s.as_bytes()),
        )
    }

    #[test]
    fn a_valid_context_is_taken() {
        let ok = format!("00-{TRACE}-{SPAN}-01");
        let found = parse(&[&ok], &["a=1, b@c=2", "", "d=x y"]).unwrap();
        assert_eq!(found.trace.to_string(), TRACE);
        assert_eq!(found.parent.to_string(), SPAN);
        assert!(found.sampled);
        assert_eq!(found.state, "a=1,b@c=2,d=x y");
        let context = TraceContext::go_on(found, true, 0.0);
        let sent = context.traceparent(context.span);
        assert_eq!(sent, format!("00-{TRACE}-{}-01", context.span));
        for (parent, sampled) in [
            (format!("00-{TRACE}-{SPAN}-00"), false),
            (format!("00-{TRACE}-{SPAN}-fe"), false),
            (format!("00-{TRACE}-{SPAN}-ff"), true),
            (format!("01-{TRACE}-{SPAN}-01"), true),
            (format!("cc-{TRACE}-{SPAN}-01-what-comes"), true),
        ] {
            let found = parse(&[&parent], &[]);
            assert_eq!(found.map(|found| found.sampled), Some(sampled), "{parent}");
        }
    }

    #[test]
    fn a_context_that_is_not_valid_begins_nothing() {
        let long = format!("01-{TRACE}-{SPAN}-01-{}", "a".repeat(4096));
        for parent in [
            "",
            "00",
            "00-",
            &format!("ff-{TRACE}-{SPAN}-01"),
            &format!("00-{TRACE}-{SPAN}-01-more"),
            &format!("00-{TRACE}-{SPAN}-01-"),
            &format!("01-{TRACE}-{SPAN}-01x"),
            &format!("00-{TRACE}-{SPAN}-1"),
            &format!("00-{TRACE}-{SPAN}-0x"),
            &format!("0-{TRACE}-{SPAN}-011"),
            &format!("00-{}-{SPAN}-01", TRACE.to_ascii_uppercase()),
            &format!("00-{}-{SPAN}-01", "0".repeat(32)),
            &format!("00-{TRACE}-{}-01", "0".repeat(16)),
            &format!("00_{TRACE}_{SPAN}_01"),
            &format!("00-{TRACE}{SPAN}--01"),
            &format!(" 00-{TRACE}-{SPAN}-01"),
            &format!("00-{TRACE}-{SPAN}-01 "),
            &format!("00-{}\u{e9}-{SPAN}-01", &TRACE[2..]),
            &long,
        ] {
            assert_eq!(parse(&[parent], &[]), None, "{parent:?}");
        }
        let ok = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(parse(&[&ok, &ok], &[]), None, "two of them");
        let bytes: [&[u8]; 1] = [b"00-\xff\xfe"];
        assert_eq!(Incoming::parse(bytes.into_iter(), std::iter::empty()), None);
    }

    #[test]
    fn a_state_that_is_not_valid_is_left_out() {
        let ok = format!("00-{TRACE}-{SPAN}-01");
        let many: Vec<String> = (0..33).map(|n| format!("k{n}=v")).collect();
        let long = format!("a={}", "v".repeat(257));
        let longer = (0..3).map(|n| format!("k{n}={}", "v".repeat(200)));
        let longer: Vec<String> = longer.collect();
        for state in [
            "a",
            "=v",
            "a=",
            "A=1",
            "1=1",
            "a=1,a=2",
            "a=b=c",
            "a=\u{e9}",
            "a=1\r\nx: y",
            "a@=1",
            "@a=1",
            "a@1=1",
            "t@abcdefghijklmno=1",
            &long,
            &many.join(","),
            &longer.join(","),
        ] {
            let found = parse(&[&ok], &[state]).unwrap();
            assert_eq!(found.state, "", "{state:?}");
        }
    }

    #[test]
    fn a_share_is_sampled_and_a_believed_sender_decides() {
        let sampled = |share| {
            (0..10_000)
                .filter(|_| TraceContext::begin(share).sampled)
                .count()
        };
        assert_eq!((sampled(0.0), sampled(1.0)), (0, 10_000));
        assert!((2_000..3_000).contains(&sampled(0.25)));
        let ok = format!("00-{TRACE}-{SPAN}-00");
        let incoming = || parse(&[&ok], &[]).unwrap();
        assert!(!TraceContext::go_on(incoming(), true, 1.0).sampled);
        assert!(TraceContext::go_on(incoming(), false, 1.0).sampled);
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| SpanId::random()).collect();
        assert_eq!(ids.len(), 1000);
    }
}
