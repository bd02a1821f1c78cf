//! One exchange: a request to a destination, and its whole answer.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HOST, HeaderValue, LOCATION,
    PROXY_AUTHORIZATION, USER_AGENT,
};
use http::{HeaderMap, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::runtime::Handle;

use super::body;
use super::broken::{broken, is_gone};
use super::destination::Destination;
use super::dial::{Deadline, dial};
use super::error::{Fault, FetchError, Step};
use super::kept::Kept;
use super::message::{Request, Response};
use super::url::Scheme;

/// The most characters of a place that an answer points to.
const MOST_LOCATION: usize = 200;

/// Sends requests. All of its work is done on one runtime.
#[derive(Debug, Clone)]
pub struct Client {
    runtime: Handle,
}

impl Client {
    /// On this runtime, which serves no requests of clients.
    #[must_use]
    pub fn new(runtime: Handle) -> Self {
        Self { runtime }
    }

    /// Sends the request and waits for the whole answer. If this future is dropped, the exchange ends.
    ///
    /// # Errors
    /// There is no answer with a status of 2xx.
    pub async fn send(
        &self,
        to: &Arc<Destination>,
        request: Request,
    ) -> Result<Response, FetchError> {
        let there = Arc::clone(to);
        let task = async move { exchange(&there, request).await };
        // Not on the caller's runtime, whose threads may serve requests.
        let mut task = AbortOnDrop(self.runtime.spawn(task));
        let done = (&mut task.0).await;
        // Only a panic ends the task before its time.
        let done = done.unwrap_or_else(|error| Err(Fault::Internal(error.to_string())));
        done.map_err(|fault| FetchError {
            url: to.url.to_string(),
            fault,
        })
    }

    /// The same for a thread of its own, which is no thread of a runtime.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn send_blocking(
        &self,
        to: &Arc<Destination>,
        request: Request,
    ) -> Result<Response, FetchError> {
        self.runtime.block_on(self.send(to, request))
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn exchange(to: &Destination, request: Request) -> Result<Response, Fault> {
    let limits = &to.settings.limits;
    let deadline = Deadline::after(limits.whole);
    let is_repeatable = request.is_repeatable();
    let mut request = assemble(to, request)?;
    let kept = deadline.within(Step::Head, None, Kept::take(&to.kept));
    if let Some(mut kept) = kept.await? {
        // hyper gives back only what was not sent at all; a safe request may be sent twice anyway.
        let again = is_repeatable.then(|| request.clone());
        let answer = kept.send(request);
        match deadline.within(Step::Head, None, answer).await? {
            Ok(answer) => return finish(to, kept, answer, deadline).await,
            Err(mut error) => match error.take_message().or(again) {
                // The server had closed it: nothing was sent, or nothing that may not be sent again.
                Some(unsent) if is_gone(error.error()) => request = unsent,
                _ => return Err(broken(error.error(), limits)),
            },
        }
    }
    let dialled = dial(to, deadline).await?;
    let mut fresh = Kept::begin(dialled, limits).await?;
    let answer = deadline
        .within(Step::Head, None, fresh.send(request))
        .await?;
    let answer = answer.map_err(|error| broken(error.error(), limits))?;
    finish(to, fresh, answer, deadline).await
}

/// Reads the answer, keeps the connection, and judges the status.
async fn finish(
    to: &Destination,
    connection: Kept,
    answer: http::Response<Incoming>,
    deadline: Deadline,
) -> Result<Response, Fault> {
    let (head, body) = answer.into_parts();
    // Judged before the body is read: what is refused is not worth the bytes.
    if let Some(to) = elsewhere(head.status, &head.headers) {
        let status = head.status.as_u16();
        return Err(Fault::Redirect { status, to });
    }
    // Unpacking could make a small body large, so the limit would mean nothing.
    if let Some(coding) = head.headers.get(CONTENT_ENCODING)
        && !coding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        let words = "it has a content coding, and none was asked for";
        return Err(Fault::Malformed(words.to_owned()));
    }
    let body = body::collect(body, &to.settings.limits);
    let body = deadline.within(Step::Body, None, body).await??;
    // Before the status is judged: after a 503 the connection is as good as before.
    connection.keep(&to.kept);
    let response = Response {
        status: head.status,
        fields: head.headers,
        body,
    };
    match response.status.is_success() {
        true => Ok(response),
        false => Err(Fault::Status(Box::new(response))),
    }
}

fn assemble(to: &Destination, request: Request) -> Result<http::Request<Full<Bytes>>, Fault> {
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|error| Fault::Internal(error.to_string()))
    };
    let mut fields = request.fields;
    // After the caller's fields, so that none of them names another host.
    fields.insert(HOST, value(&to.url.authority())?);
    let agent = concat!("drawbridge/", env!("CARGO_PKG_VERSION"));
    fields.insert(USER_AGENT, HeaderValue::from_static(agent));
    fields.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if !request.method.is_safe() {
        // hyper leaves it out where there is no body, and some servers then refuse a POST (RFC 9110, 8.6).
        fields.insert(CONTENT_LENGTH, HeaderValue::from(request.body.len()));
    }
    let target = match (&to.settings.proxy, to.url.scheme) {
        // A proxy gets the whole URL (RFC 9112, 3.2.2).
        (Some(proxy), Scheme::Http) => {
            if let Some(authorization) = proxy.authorization() {
                let mut authorization = value(&authorization)?;
                authorization.set_sensitive(true);
                fields.insert(PROXY_AUTHORIZATION, authorization);
            }
            format!("http://{}{}", to.url.authority(), to.url.target)
        }
        // Through a tunnel, the credentials of the proxy would reach the server.
        _ => to.url.target.clone(),
    };
    let mut assembled = http::Request::builder()
        .method(request.method)
        .uri(target)
        .body(Full::new(request.body))
        .map_err(|error| Fault::Internal(error.to_string()))?;
    *assembled.headers_mut() = fields;
    Ok(assembled)
}

/// Where it points, if its status is a redirect.
fn elsewhere(status: StatusCode, fields: &HeaderMap) -> Option<String> {
    let location = fields.get(LOCATION).filter(|_| status.is_redirection())?;
    Some(shown_location(location.as_bytes()))
}

/// Without query, fragment and user, and bounded: the server chose it.
fn shown_location(location: &[u8]) -> String {
    // It goes into logs, and the server may have put anything into it.
    let text = location.escape_ascii().to_string();
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let text = text.get(..end).unwrap_or_default();
    let shown = match text.split_once("//") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}//{host}{path}")
        }
        None => text.to_owned(),
    };
    shown.chars().take(MOST_LOCATION).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_without_what_may_be_secret() {
        for (location, shown) in [
            ("https://a.test/b?token=c#d", "https://a.test/b"),
            ("https://me:secret@a.test/b", "https://a.test/b"),
            ("//me@a.test", "//a.test"),
            ("/login?next=x", "/login"),
            ("/a\tb\u{7f}", "/a\\tb\\x7f"),
        ] {
            assert_eq!(shown_location(location.as_bytes()), shown);
        }
        assert_eq!(shown_location(&[b'a'; 5000]).len(), MOST_LOCATION);
    }
}
