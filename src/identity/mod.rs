//! Who is calling: the issuers whose tokens are taken, and what a request proves about its caller.
//!
//! Invariant: a [`Caller`] exists only for a token whose signature, times, audience, binding and denials were checked for
//! this request, or for a client certificate that the handshake verified under the bundle of the identity. Nothing that a
//! client writes outside of these says who it is. The configuration reads the files, the proxy the requests; [`issuer`]
//! fetches what issuers publish.

mod caller;
mod certificate;
mod demand;
mod exchanged;
mod forward;
pub mod issuer;
mod once;
mod provider;
mod renewal;
mod ring;
mod tokens;

pub use caller::{Caller, hashed_subject};
pub use certificate::{CertificateFault, CertificateRule, ShownCertificate, SubjectName};
pub use demand::{Identified, Request, RouteIdentity, Unauthenticated};
pub use exchanged::NotExchanged;
pub use forward::{
    ForwardIdentity, OwnField, OwnFields, Signing, field_text, field_value, own_fields,
};
pub use once::{Once, UsedTokens};
pub(crate) use provider::ProviderSettings;
pub use provider::{Denied, Keys, Provider, TokenPlace};
pub use ring::{KeyRing, OwnKey, RingError, RotateError, Rotation};
pub(crate) use tokens::without_cookie;
