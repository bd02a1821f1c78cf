//! What the engine decides: in which phase, with which answer, and how much of a body it saw.
//!
//! These types are the lowest of the engine: rules, settings and records use them, and they use none of those.

/// `ModSecurity`'s five processing phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The request line and the header fields are there.
    RequestHeaders = 1,
    /// The whole request body is there.
    RequestBody = 2,
    /// The response's status and header fields are there.
    ResponseHeaders = 3,
    /// The held part of the response body is there.
    ResponseBody = 4,
    /// Everything is over; nothing can be interrupted any more.
    Logging = 5,
}

/// A rule decided that the transaction ends here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interruption {
    /// What the server must do.
    pub kind: InterruptionKind,
    /// The status to answer with.
    pub status: u16,
    /// 0 if no rule but the engine itself decided (a limit, a parser error).
    pub rule_id: u64,
    /// The phase that it happened in.
    pub phase: Phase,
}

/// What the server must do instead of the request (`deny`, `drop`, `redirect`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterruptionKind {
    /// Answer with the status.
    Deny,
    /// Close the connection without an answer.
    Drop,
    /// Answer with this Location.
    Redirect(Vec<u8>),
}

/// A rule would have ended the transaction, but the rules only detect (`SecRuleEngine DetectionOnly`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detection {
    /// The rule.
    pub rule_id: u64,
    /// The status that it asks for.
    pub status: u16,
    /// The phase that it matched in.
    pub phase: Phase,
}

/// How much of a body the rules saw. This defines "inspected" wherever the word is used: a parser read the body to its
/// end in the only possible way, or the rules had its bytes as `REQUEST_BODY` or `RESPONSE_BODY`. Any other outcome has
/// a reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Bytes that were received, or held of a response.
    pub received: u64,
    /// Bytes of it that the parser read, or that the rules saw as they are.
    pub inspected: u64,
    /// The parser of the request's body; None if there was none for it.
    pub parser: Option<&'static str>,
    /// Why it does not count as inspected, in words; None if it does.
    pub reason: Option<String>,
}

impl Inspection {
    /// Whether the body counts as inspected.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.reason.is_none()
    }
}
