//! The stable codes of refusals, for logs and counters.

use crate::transform::PageReason;
use crate::upstream::AdmissionReason;

/// Why the front door itself answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalCode {
    /// The body broke off, or HTTP forbids it.
    BodyBroken,
    /// The memory for bodies is used up.
    BodyMemory,
    BodyTooLarge,
    BodyTooSlow,
    /// A client certificate is missing, or its CA has changed.
    ClientCertificate,
    /// The client left before it had an answer of ours.
    ClientClosed,
    /// `connection_auth = "refuse"` refuses a login that is bound to the connection.
    ConnectionAuth,
    /// A page of another origin must not send the request that it asks for.
    Cors,
    /// The route's exposure is off.
    ExposureOff,
    /// What HTTP forbids, by the code of [`http_strict::HeadError`].
    Http(&'static str),
    /// The token is good, and lacks what the route requires.
    InsufficientScope,
    /// Too many inspections wait for a thread.
    InspectionBusy,
    /// We failed.
    Internal,
    /// The key set for gateways, which no gateway answers.
    KeySet,
    MethodNotAllowed,
    /// The name of the handshake is not the name that is asked for.
    Misdirected,
    NoRoute,
    /// A path that no route could have, by the code of [`crate::route::path`].
    Path(&'static str),
    /// The rules of the route's policy were refused, so nothing could inspect the request.
    PolicyNotLive,
    /// A limit has no room for it.
    RateLimited,
    /// Nothing went either way on a stream for too long.
    StreamIdle,
    /// The gateways' issuer gives no token for the caller's.
    TokenExchange,
    /// There is no token that the route takes.
    Unauthenticated,
    /// The request cannot be written as the gateway must get it.
    Unforwardable,
    /// The request cannot be redirected to the host that the route names.
    Unredirectable,
    /// The upstream failed.
    Upstream,
    /// The upstream takes no more requests.
    UpstreamAdmission(AdmissionReason),
    /// The rules decided.
    Waf,
}

impl RefusalCode {
    /// The code as logs, metrics and documents have it.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BodyBroken => "body_broken",
            Self::BodyMemory => "body_memory",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::ClientCertificate => "client_certificate",
            Self::ClientClosed => "client_closed",
            Self::ConnectionAuth => "connection_auth",
            Self::Cors => "cors",
            Self::ExposureOff => "exposure_off",
            Self::InsufficientScope => "insufficient_scope",
            Self::InspectionBusy => "inspection_busy",
            Self::Internal => "internal",
            Self::KeySet => "key_set",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Misdirected => "misdirected",
            Self::NoRoute => "no_route",
            Self::PolicyNotLive => "policy_not_live",
            Self::RateLimited => "rate_limited",
            Self::StreamIdle => "stream_idle",
            Self::TokenExchange => "token_exchange",
            Self::Unauthenticated => "unauthenticated",
            Self::Unforwardable => "unforwardable",
            Self::Unredirectable => "unredirectable",
            Self::Upstream => "upstream",
            Self::Waf => "waf",
            Self::UpstreamAdmission(reason) => reason.code(),
            Self::Http(code) | Self::Path(code) => code,
        }
    }

    /// Whether the same refusal could come without any route, so that nothing of a route may show in it.
    #[must_use]
    pub(crate) fn hides_route(self) -> bool {
        matches!(
            self,
            Self::ExposureOff | Self::Http(_) | Self::NoRoute | Self::Path(_)
        )
    }

    /// What a page may say of it.
    #[must_use]
    pub(crate) fn page_reason(self) -> Option<PageReason> {
        Some(match self {
            Self::BodyTooLarge => PageReason::BodyTooLarge,
            Self::ClientCertificate => PageReason::ClientCertificate,
            Self::ExposureOff => PageReason::ExposureOff,
            Self::InsufficientScope => PageReason::InsufficientScope,
            Self::RateLimited => PageReason::RateLimited,
            Self::Unauthenticated => PageReason::Unauthenticated,
            Self::Upstream | Self::UpstreamAdmission(_) => PageReason::Upstream,
            Self::Waf => PageReason::Waf,
            _ => return None,
        })
    }
}
