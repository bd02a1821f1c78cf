//! A request as it may be written to a file: without credentials.

use super::place::{Place, headers};
use super::values::split_pair;
use crate::recorded::Request;

const CREDENTIALS: [&[u8]; 3] = [b"authorization", b"proxy-authorization", b"cookie"];

/// The same request without the header fields and cookies that hold credentials, and with other values in arguments
/// whose names mean secrets; what stands in the places of `kept` stays.
pub(super) fn without_credentials(request: &Request, kept: &[Place]) -> Request {
    let mut headers = headers(request);
    headers.retain(|(name, _)| keeps(kept, name) || !is_secret_header(name));
    for (name, value) in &mut headers {
        if name.eq_ignore_ascii_case(b"cookie") {
            *value = kept_cookies(kept, value);
        }
    }
    let bare = request.with(request.target(), &headers, request.body().to_vec());
    // The engine knows secrets by their names, in the form `name=value`.
    let secret = Place::arguments(&bare).into_iter().filter(|place| {
        let name = place.name().unwrap_or_default();
        // A value long enough for the engine to take it for a secret.
        !kept.contains(place) && has_secret(&[name, b"=12345"].concat())
    });
    secret.fold(bare.clone(), |request, place| {
        // Masked, not removed: rules count arguments.
        place.with(&request, b"masked").unwrap_or(request)
    })
}

fn is_secret_header(name: &[u8]) -> bool {
    // The engine masks these by their own rules, not by name.
    let is_known = CREDENTIALS.iter().any(|s| name.eq_ignore_ascii_case(s));
    is_known || has_secret(&[name, b": x=1"].concat())
}

fn keeps(kept: &[Place], name: &[u8]) -> bool {
    kept.iter().any(|place| match place {
        Place::Header(kept) => kept.eq_ignore_ascii_case(name),
        Place::Cookie(_) => name.eq_ignore_ascii_case(b"cookie"),
        _ => false,
    })
}

/// The pairs of the field `Cookie` whose cookies are kept; all if the field itself is.
fn kept_cookies(kept: &[Place], value: &[u8]) -> Vec<u8> {
    let is_kept = |pair: &&[u8]| {
        let (name, _) = split_pair(pair.trim_ascii());
        kept.iter().any(|place| match place {
            Place::Cookie(kept) => kept.eq_ignore_ascii_case(name),
            Place::Header(kept) => kept.eq_ignore_ascii_case(b"cookie"),
            _ => false,
        })
    };
    let pairs = value.split(|&b| b == b';').filter(is_kept);
    let pairs: Vec<&[u8]> = pairs.map(<[u8]>::trim_ascii).collect();
    pairs.join(&b"; "[..])
}

/// Whether the engine would mask something in this text.
fn has_secret(text: &[u8]) -> bool {
    waf::mask_secrets(text, text.len()) != text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_holds_no_credentials() {
        let body = r#"{"token":"abc","note":"x"}"#;
        let raw = format!(
            "POST /a?password=hunter2&q=1 HTTP/1.1\r\nHost: api.test\r\nContent-Type: application/json\r\n\
             Authorization: Bearer abc\r\nCookie: session=abc; theme=dark\r\nX-Api-Key: abc\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let request = Request::from_file(raw.into_bytes());
        let raw = |kept: &[Place]| {
            let bytes = without_credentials(&request, kept).to_bytes();
            String::from_utf8(bytes).unwrap()
        };
        let bare = raw(&[]);
        for secret in ["abc", "hunter2", "theme"] {
            assert!(!bare.contains(secret), "{bare}");
        }
        assert!(bare.contains(r#""note":"x""#) && bare.contains("q=1"));
        let kept = raw(&[Place::Cookie(b"theme".to_vec())]);
        assert!(kept.contains("Cookie: theme=dark\r\n"), "{kept}");
    }
}
