//! Who is calling: the issuers whose tokens are taken, and what a request proves about its caller.
//!
//! Invariant: a [`Caller`] exists only for a token whose signature, times, audience, binding and denials were checked for
//! this request. Nothing that a client writes outside of a verified token says who it is. The configuration reads the files,
//! the proxy the requests; [`issuer`] fetches what issuers publish.

mod caller;
mod demand;
mod forward;
pub mod issuer;
mod provider;
mod renewal;
mod tokens;

pub use caller::Caller;
pub use demand::{Identified, RouteIdentity, Unauthenticated};
pub use forward::{ForwardIdentity, OwnFields, Signing, field_value};
pub(crate) use provider::ProviderSettings;
pub use provider::{Denied, Keys, Provider, TokenPlace};
pub(crate) use tokens::without_cookie;
