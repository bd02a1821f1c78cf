//! Checks the head of a gateway's answer before anything else sees it. Pingora finds the end of an answer by its
//! fields, and so does the client: if the fields contradict each other, the two can disagree (response splitting).

use std::fmt;

use http::{Version, header};
use pingora::http::ResponseHeader;

use http_strict::{HeadError, check_response, switches_to_websocket};

/// The most interim answers (1xx) of one request; servers send one or two.
pub(super) const MOST_INTERIM: usize = 32;

/// Why an answer must not be used. The upstream erred, except for [`AnswerFault::Field`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AnswerFault {
    /// HTTP forbids its head.
    Head(HeadError),
    /// It changes the protocol (101), and the request did not ask for that.
    UnaskedSwitch,
    /// It changes the protocol (101) to another than WebSocket.
    NotWebSocket,
    /// With it there are more than [`MOST_INTERIM`] interim answers.
    TooManyInterim,
    /// Pingora does not take a field as we spell it: its words. That is a bug of ours.
    Field(String),
}

/// Checks the head and gives its fields one spelling. `asked_to_switch`: the request asked for a WebSocket.
///
/// The reason for the log; the answer must not be used.
pub(super) fn check(
    response: &mut ResponseHeader,
    asked_to_switch: bool,
) -> Result<(), AnswerFault> {
    let status = response.status.as_u16();
    let fields = || response.headers.iter();
    let fields = || fields().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    let http10 = response.version < Version::HTTP_11;
    let length = check_response(status, http10, fields()).map_err(AnswerFault::Head)?;
    if status == 101 {
        if !asked_to_switch {
            return Err(AnswerFault::UnaskedSwitch);
        }
        if http10 || !switches_to_websocket(fields()) {
            return Err(AnswerFault::NotWebSocket);
        }
    }
    one_spelling(response, length)
}

/// `length` is what all Content-Length fields say.
fn one_spelling(response: &mut ResponseHeader, length: Option<u64>) -> Result<(), AnswerFault> {
    let status = response.status.as_u16();
    if response.headers.contains_key(header::TRANSFER_ENCODING) {
        // `check_response` allowed only one `chunked`, in any case.
        response
            .insert_header("Transfer-Encoding", "chunked")
            .map_err(|error| AnswerFault::Field(error.to_string()))?;
    }
    let Some(length) = length else { return Ok(()) };
    // A server must not send it here (RFC 9110, 8.6), and some clients wait for the bytes.
    if status < 200 || status == 204 {
        response.remove_header(&header::CONTENT_LENGTH);
        return Ok(());
    }
    let digits = length.to_string();
    let mut fields = response.headers.get_all(header::CONTENT_LENGTH).iter();
    let (first, more) = (fields.next(), fields.next());
    if more.is_none() && first.is_some_and(|first| first.as_bytes() == digits.as_bytes()) {
        return Ok(());
    }
    response
        .insert_header("Content-Length", digits)
        .map_err(|error| AnswerFault::Field(error.to_string()))
}

/// An early hint (103, RFC 8297) for the client has only the links: the rules of phase 3 run once, on the final answer,
/// so nothing else may pass uninspected.
#[must_use]
pub(super) fn early_hint(response: &ResponseHeader) -> Option<ResponseHeader> {
    let links = response.headers.get_all(header::LINK);
    links.iter().next()?;
    let mut hint = ResponseHeader::build(103, Some(2)).ok()?;
    for link in links {
        hint.append_header("Link", link.clone()).ok()?;
    }
    Some(hint)
}

impl fmt::Display for AnswerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(error) => f.write_str(&error.reason),
            Self::UnaskedSwitch => {
                f.write_str("it changes the protocol (101), which nobody asked for")
            }
            Self::NotWebSocket => {
                f.write_str("it changes the protocol (101), but not to websocket")
            }
            Self::TooManyInterim => {
                write!(f, "it sent more than {MOST_INTERIM} interim answers")
            }
            Self::Field(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for AnswerFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Head(error) => Some(error),
            Self::UnaskedSwitch | Self::NotWebSocket | Self::TooManyInterim | Self::Field(_) => {
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, fields: &[(&'static str, &str)]) -> ResponseHeader {
        let mut head = ResponseHeader::build(status, None).unwrap();
        for (name, value) in fields {
            head.append_header(*name, *value).unwrap();
        }
        head
    }

    #[test]
    fn lengths_become_one() {
        for (status, fields, expected) in [
            (
                200,
                &[("Content-Length", "2"), ("Content-Length", "2")][..],
                vec!["2"],
            ),
            (200, &[("Content-Length", "2, 2")], vec!["2"]),
            (200, &[("Content-Length", "02")], vec!["2"]),
            (200, &[("Content-Length", "2")], vec!["2"]),
            (204, &[("Content-Length", "0")], vec![]),
            (
                304,
                &[("Content-Length", "7"), ("Content-Length", "7")],
                vec!["7"],
            ),
            (304, &[("Content-Length", "7, 7")], vec!["7"]),
        ] {
            let mut head = head(status, fields);
            check(&mut head, false).unwrap();
            let left = head.headers.get_all("content-length").iter();
            let left: Vec<_> = left.map(|v| v.to_str().unwrap()).collect();
            assert_eq!(left, expected, "{status} {fields:?}");
        }
    }

    #[test]
    fn protocols_change_only_where_asked() {
        let websocket = [("Upgrade", "websocket"), ("Connection", "Upgrade")];
        for (fields, asked, allowed) in [
            (&websocket[..], true, true),
            (&websocket, false, false),
            (&[], true, false),
            (&[("Upgrade", "h2c")], true, false),
        ] {
            let checked = check(&mut head(101, fields), asked);
            assert_eq!(checked.is_ok(), allowed, "{fields:?}");
        }
        let mut old = head(101, &websocket);
        old.set_version(Version::HTTP_10);
        assert!(check(&mut old, true).is_err());
    }

    #[test]
    fn an_early_hint_is_its_links() {
        let hint = early_hint(&head(
            103,
            &[("Link", "</a>"), ("X-Secret", "yes"), ("Link", "</b>")],
        ))
        .unwrap();
        assert_eq!(hint.headers.len(), 2);
        assert!(early_hint(&head(103, &[("X-Secret", "yes")])).is_none());
    }
}
