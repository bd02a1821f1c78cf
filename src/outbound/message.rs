//! What is asked, and what came back.

use std::fmt;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, InvalidHeaderValue};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use openssl::base64::encode_block;

/// A request without its URL, which the [`Destination`](super::Destination) has.
#[derive(Clone)]
pub struct Request {
    pub(super) method: Method,
    pub(super) fields: HeaderMap,
    pub(super) body: Bytes,
    may_repeat: bool,
}

/// A whole answer.
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub fields: HeaderMap,
    /// Its body; at most as long as the destination's limit.
    pub body: Bytes,
}

impl fmt::Debug for Request {
    /// Without fields and body, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Response {
    /// Without fields and body: they may hold tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Request {
    /// A GET.
    #[must_use]
    pub fn get() -> Self {
        Self::new(Method::GET, Bytes::new())
    }

    /// A POST of this body.
    #[must_use]
    pub fn post(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut request = Self::new(Method::POST, body.into());
        let content_type = HeaderValue::from_static(content_type);
        request.fields.insert(CONTENT_TYPE, content_type);
        request
    }

    /// A POST of a form, as the endpoints of OAuth take it.
    #[must_use]
    pub fn form<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Self {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(pairs);
        Self::post("application/x-www-form-urlencoded", form.finish())
    }

    /// Asks for this media type.
    #[must_use]
    pub fn accepting(mut self, media_type: &'static str) -> Self {
        let media_type = HeaderValue::from_static(media_type);
        self.fields.insert(ACCEPT, media_type);
        self
    }

    /// With a field that holds a secret, like Authorization. It is never shown.
    ///
    /// # Errors
    /// The value has a byte that no field may have.
    pub fn with_field(mut self, name: HeaderName, value: &str) -> Result<Self, InvalidHeaderValue> {
        let mut value = HeaderValue::from_str(value)?;
        value.set_sensitive(true);
        self.fields.insert(name, value);
        Ok(self)
    }

    /// As this client of an issuer (RFC 6749, 2.3.1).
    ///
    /// # Errors
    /// They cannot stand in a field.
    pub fn from_client(self, client: &str, secret: &str) -> Result<Self, InvalidHeaderValue> {
        let encoded =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encoded(client), encoded(secret));
        self.with_field(
            AUTHORIZATION,
            &format!("Basic {}", encode_block(pair.as_bytes())),
        )
    }

    /// A POST that only asks, so that it may be sent twice.
    #[must_use]
    pub fn that_only_asks(mut self) -> Self {
        self.may_repeat = true;
        self
    }

    fn new(method: Method, body: Bytes) -> Self {
        Self {
            method,
            fields: HeaderMap::new(),
            body,
            may_repeat: false,
        }
    }

    /// Whether it can be sent twice without harm.
    pub(super) fn is_repeatable(&self) -> bool {
        self.may_repeat || self.method.is_safe()
    }
}

impl Response {
    /// A field's value, if it is there and is text.
    #[must_use]
    pub fn field(&self, name: &HeaderName) -> Option<&str> {
        self.fields.get(name)?.to_str().ok()
    }
}
