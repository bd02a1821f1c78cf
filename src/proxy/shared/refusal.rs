//! What a client gets instead of an answer: a page with the request id. The reason goes only to the log, so that an
//! attacker learns nothing about rules or routes.

use std::time::SystemTime;

use bytes::Bytes;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::date::get_cached_date;

use super::field_edits::edit_answer;
use super::page::{Page, PageStyle, page, reason_phrase};
use super::refusal_code::RefusalCode;
use crate::config::{Exposure, OffAnswer};
use crate::exposure::Setting;
use crate::limits::LimitFields;
use crate::route::path;
use waf::{Interruption, InterruptionKind};

/// Why a request is not answered by its upstream, and what the client receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub status: u16,
    pub code: RefusalCode,
    /// Only for the log.
    pub reason: Option<String>,
    pub kind: RefusalKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RefusalKind {
    Page,
    /// With this value of Allow.
    MethodNotAllowed(String),
    /// With this value of Retry-After, in seconds.
    RetryAfter(u32),
    /// With these of Retry-After, in seconds, and of the fields that say how a limit stands.
    Limited {
        retry_after: u64,
        fields: Box<LimitFields>,
    },
    /// With this value of WWW-Authenticate.
    Challenge(String),
    /// With this value of Location.
    Redirect(Vec<u8>),
    /// The public keys of our tokens, and for how many seconds they may be kept.
    KeySet {
        set: String,
        max_age: u64,
    },
    /// Closes the connection without an answer.
    Drop,
}

impl Refusal {
    #[must_use]
    pub(crate) fn page(status: u16, code: RefusalCode) -> Self {
        Self {
            status,
            code,
            reason: None,
            kind: RefusalKind::Page,
        }
    }

    /// The memory for held bodies is used up.
    #[must_use]
    pub(crate) fn out_of_memory() -> Self {
        Self::page(503, RefusalCode::BodyMemory)
            .because("held bodies have used up their memory")
            .with(RefusalKind::RetryAfter(1))
    }

    /// The rules of the route's policy were refused and no older ones are there: nothing passes uninspected.
    #[must_use]
    pub(crate) fn policy_not_live(policy: &str) -> Self {
        Self::page(503, RefusalCode::PolicyNotLive)
            .because(format!("the rules of policy {policy} were refused"))
            .with(RefusalKind::RetryAfter(1))
    }

    #[must_use]
    pub(crate) fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Notes that the client left or read nothing before it had the answer.
    #[must_use]
    pub(crate) fn not_taken(mut self) -> Self {
        const WORDS: &str = "the client did not take the answer";
        self.reason = Some(match self.reason {
            Some(reason) => format!("{reason}; {WORDS}"),
            None => WORDS.to_owned(),
        });
        self
    }

    #[must_use]
    pub(crate) fn with(mut self, kind: RefusalKind) -> Self {
        self.kind = kind;
        self
    }
}

impl Refusal {
    /// The refusal of a path without a route. A path that no route could have gets 400, so that the answer does not
    /// depend on which routes exist.
    #[must_use]
    pub(crate) fn no_route(path: &[u8]) -> Self {
        match path::check(path, true) {
            Ok(()) => Self::page(404, RefusalCode::NoRoute),
            Err(fault) => Self::page(400, RefusalCode::Path(fault.code)).because(fault.reason),
        }
    }

    /// The answer of an exposure that is off.
    #[must_use]
    pub(crate) fn switched_off(exposure: &Exposure, setting: &Setting, path: &[u8]) -> Self {
        let refusal = match exposure.off {
            OffAnswer::Unavailable => {
                let page = Self::page(503, RefusalCode::ExposureOff);
                match setting.until.map(seconds_until) {
                    Some(seconds) => page.with(RefusalKind::RetryAfter(seconds)),
                    // Nobody knows when it will be on again.
                    None => page,
                }
            }
            OffAnswer::NotFound => Self {
                // Only the log has another code: a client must not learn that there is something that is off.
                code: RefusalCode::ExposureOff,
                ..Self::no_route(path)
            },
            OffAnswer::Close => Self::page(503, RefusalCode::ExposureOff).with(RefusalKind::Drop),
        };
        let by = format!(
            "exposure {} was switched off by {}",
            exposure.name, setting.by
        );
        refusal.because(match &setting.reason {
            Some(reason) => format!("{by}: {reason}"),
            None => by,
        })
    }
}

/// Rounded up, so that a client that comes back then is not too early.
fn seconds_until(time: SystemTime) -> u32 {
    let left = time.duration_since(SystemTime::now());
    let seconds = left.map_or(0, |left| left.as_secs());
    u32::try_from(seconds).unwrap_or(u32::MAX - 1) + 1
}

impl From<Interruption> for Refusal {
    fn from(interruption: Interruption) -> Self {
        let kind = match interruption.kind {
            InterruptionKind::Deny => RefusalKind::Page,
            InterruptionKind::Drop => RefusalKind::Drop,
            InterruptionKind::Redirect(location) => RefusalKind::Redirect(location),
        };
        let reason = match interruption.rule_id {
            0 => format!("stopped in phase {}", interruption.phase as u8),
            id => format!("rule {id} in phase {}", interruption.phase as u8),
        };
        // A rule may name any number; a status that is not final becomes 403.
        let status = match interruption.status {
            status @ 200..=599 => status,
            _ => 403,
        };
        Self::page(status, RefusalCode::Waf)
            .because(reason)
            .with(kind)
    }
}

/// Sends the whole answer, or closes the connection for [`RefusalKind::Drop`].
///
/// # Errors
/// The client is gone.
pub(crate) async fn answer(
    session: &mut ServerSession,
    refusal: &Refusal,
    style: PageStyle<'_>,
) -> Result<()> {
    if refusal.kind == RefusalKind::Drop {
        session.shutdown().await;
        return Ok(());
    }
    let page = match &refusal.kind {
        RefusalKind::KeySet { set, .. } => Page {
            media_type: "application/jwk-set+json",
            text: set.clone(),
        },
        _ => page(refusal.status, Some(refusal.code), style),
    };
    let mut header = ResponseHeader::build(refusal.status, Some(8))?;
    header.insert_header("Content-Type", page.media_type)?;
    header.insert_header("Content-Length", page.text.len().to_string())?;
    // A cache must not serve a refusal to another client.
    header.insert_header("Cache-Control", "no-store")?;
    header.insert_header("X-Request-Id", style.request_id)?;
    match &refusal.kind {
        RefusalKind::MethodNotAllowed(allow) => header.insert_header("Allow", allow.as_str())?,
        RefusalKind::KeySet { max_age, .. } => {
            header.insert_header("Cache-Control", format!("public, max-age={max_age}"))?;
        }
        RefusalKind::RetryAfter(seconds) => {
            header.insert_header("Retry-After", seconds.to_string())?;
        }
        RefusalKind::Limited {
            retry_after,
            fields,
        } => {
            header.insert_header("Retry-After", retry_after.to_string())?;
            add_limit_fields(&mut header, fields)?;
        }
        RefusalKind::Challenge(challenge) => {
            header.insert_header("WWW-Authenticate", challenge.as_str())?;
        }
        RefusalKind::Redirect(location) => {
            let location: Vec<u8> = location
                .iter()
                .copied()
                // A rule may put text of the request into the location; a line break would begin another field.
                .filter(|b| *b >= 0x20 && *b != 0x7f)
                .collect();
            header.insert_header("Location", location)?;
        }
        RefusalKind::Page | RefusalKind::Drop => {}
    }
    edit_answer(&style.look.edits, &mut header)?;
    session.write_response_header(Box::new(header)).await?;
    if !style.head {
        session
            .write_response_body(Bytes::from(page.text), true)
            .await?;
    }
    session.finish_body().await
}

/// Adds the fields that say how a limit stands, to those that a gateway may have sent of its own.
///
/// # Errors
/// Pingora does not take them.
pub(crate) fn add_limit_fields(header: &mut ResponseHeader, fields: &LimitFields) -> Result<()> {
    header.append_header("RateLimit-Policy", fields.policy.as_str())?;
    header.append_header("RateLimit", fields.standing.as_str())?;
    Ok(())
}

/// The same as bytes, for a connection for which there is no pingora session.
#[must_use]
pub(crate) fn bare(
    status: u16,
    code: Option<RefusalCode>,
    style: PageStyle<'_>,
    location: Option<&[u8]>,
) -> Vec<u8> {
    let page = page(status, code, style);
    let mut out = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         X-Request-Id: {}\r\nConnection: close\r\n",
        reason_phrase(status),
        page.media_type,
        page.text.len(),
        style.request_id
    )
    .into_bytes();
    // Required of a server with a clock (RFC 9110, section 6.6.1).
    out.extend_from_slice(b"Date: ");
    out.extend_from_slice(get_cached_date().as_bytes());
    out.extend_from_slice(b"\r\n");
    if let Some(location) = location {
        out.extend_from_slice(b"Location: ");
        // A line break would begin another field, and this text comes from the client.
        out.extend(location.iter().filter(|b| **b > 0x20 && **b < 0x7f));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    if !style.head {
        out.extend_from_slice(page.text.as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::shared::page::RefusalLook;
    use waf::Phase;

    #[test]
    fn a_bare_answer_is_whole() {
        let style = PageStyle {
            request_id: "id-1",
            accept: Some(b"text/html"),
            head: false,
            look: &RefusalLook::default(),
        };
        let html = bare(403, Some(RefusalCode::Waf), style, None);
        let html = String::from_utf8(html).unwrap();
        assert!(html.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{html}");
        let date = html.lines().find_map(|line| line.strip_prefix("Date: "));
        assert!(date.is_some_and(|date| date.ends_with(" GMT")), "{html}");
        assert!(html.ends_with("<p>Request id-1</p>\n"), "{html}");
    }

    #[test]
    fn a_location_cannot_split_the_answer() {
        let style = PageStyle {
            request_id: "id",
            accept: None,
            head: true,
            look: &RefusalLook::default(),
        };
        let answer = bare(308, None, style, Some(b"https://a/\r\nSet-Cookie: x"));
        assert!(!answer.windows(12).any(|w| w == b"\r\nSet-Cookie"));
    }

    #[test]
    fn interruptions_become_refusals() {
        let refusal = Refusal::from(Interruption {
            kind: InterruptionKind::Deny,
            status: 0,
            rule_id: 949_110,
            phase: Phase::RequestBody,
        });
        assert_eq!((refusal.status, refusal.code), (403, RefusalCode::Waf));
        assert_eq!(refusal.reason.as_deref(), Some("rule 949110 in phase 2"));
    }
}
