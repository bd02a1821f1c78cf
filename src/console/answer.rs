//! The answers of the console and their header fields.

use std::time::Duration;

use askama::Template;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, LOCATION, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode, Version};
use http_strict::cookies;

use crate::admin::{AnswerBody, whole_body};

/// Fields of every answer. Nothing is loaded from elsewhere, no markup carries a script or a style, and no other site can
/// frame a page or read it. The Referrer-Policy keeps the Origin of our own forms.
const FIELDS: [(HeaderName, &str); 6] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    // After a logout the browser's way back must show nothing.
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

pub(super) type Answer = Response<AnswerBody>;

/// An answer with a body of this type.
pub(super) fn answer(status: StatusCode, content_type: &'static str, body: AnswerBody) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in FIELDS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// A page.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Answer {
    match template.render() {
        Ok(html) => answer(status, "text/html; charset=utf-8", whole_body(html)),
        Err(error) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("a fault of our own: {error}"),
        ),
    }
}

/// A text, for what is no page.
pub(super) fn text(status: StatusCode, words: &str) -> Answer {
    let body = whole_body(format!("{words}\n"));
    answer(status, "text/plain; charset=utf-8", body)
}

/// Sends the browser to another page with a GET. `to` is a path of ours, or a URL of a provider that the configuration
/// names; never of a request.
pub(super) fn redirect(to: &str) -> Answer {
    let mut answer = answer(
        // If the reader loads the next page again, the POST is not repeated.
        StatusCode::SEE_OTHER,
        "text/plain; charset=utf-8",
        whole_body(""),
    );
    if let Ok(to) = HeaderValue::from_str(to) {
        answer.headers_mut().insert(LOCATION, to);
    }
    answer
}

/// For a connection whose handshake no longer tells who is there. A browser makes a new one and asks again (RFC 9110,
/// 15.5.20).
pub(super) fn connect_again(version: Version) -> Answer {
    let words = "a reload has changed who may connect: connect again";
    let mut answer = text(StatusCode::MISDIRECTED_REQUEST, words);
    // HTTP/2 has no such field.
    if version != Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(CONNECTION, close);
    }
    answer
}

/// The cookie with the session's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cookie {
    /// Of a console without TLS.
    Plain,
    /// Of one with TLS. By the prefix of its name, a browser takes it from nobody but this very host, over TLS.
    Secure,
}

impl Cookie {
    fn name(self) -> &'static str {
        match self {
            // Without TLS not every browser takes the prefix or `Secure`.
            Self::Plain => "drawbridge_console",
            Self::Secure => "__Host-drawbridge_console",
        }
    }

    fn attributes(self) -> &'static str {
        match self {
            Self::Plain => "Path=/; HttpOnly; SameSite=Strict",
            Self::Secure => "Path=/; HttpOnly; SameSite=Strict; Secure",
        }
    }

    /// Of a login that goes on at a provider.
    fn login_name(self) -> &'static str {
        match self {
            Self::Plain => "drawbridge_console_login",
            Self::Secure => "__Host-drawbridge_console_login",
        }
    }

    /// Gives the browser what it must bring back from the provider, for so long.
    pub(super) fn set_login(self, answer: &mut Answer, value: &str, life: Duration) {
        let seconds = life.as_secs();
        // Lax: with Strict it would not come along when the provider sends the browser back.
        let attributes = self.attributes().replace("Strict", "Lax");
        let name = self.login_name();
        set_cookie(
            answer,
            &format!("{name}={value}; {attributes}; Max-Age={seconds}"),
        );
    }

    /// What the browser brought back.
    pub(super) fn find_login(self, headers: &HeaderMap) -> Option<&str> {
        find_cookie(headers, self.login_name())
    }

    /// Gives the browser its session.
    pub(super) fn set(self, answer: &mut Answer, id: &str) {
        set_cookie(
            answer,
            &format!("{}={id}; {}", self.name(), self.attributes()),
        );
    }

    /// Takes it away.
    pub(super) fn clear(self, answer: &mut Answer) {
        // With all attributes: a browser refuses a cookie with the prefix without them.
        let (name, attributes) = (self.name(), self.attributes());
        set_cookie(answer, &format!("{name}=; {attributes}; Max-Age=0"));
    }

    /// The session's id in a request.
    pub(super) fn find(self, headers: &HeaderMap) -> Option<&str> {
        find_cookie(headers, self.name())
    }
}

fn find_cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    // HTTP/2 lets a browser split this field (RFC 9113, 8.2.3).
    let fields = headers.get_all(http::header::COOKIE).iter();
    let mut cookies = fields.flat_map(|field| cookies(field.as_bytes()));
    let (_, value) = cookies.find(|(known, _)| *known == name.as_bytes())?;
    std::str::from_utf8(value).ok()
}

fn set_cookie(answer: &mut Answer, cookie: &str) {
    // Our ids are hexadecimal digits.
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
}
