//! Who is calling: the issuers whose tokens are taken, and what a request proves about its caller.
//!
//! Invariant: a [`Caller`] exists only for a token whose signature, times, audience, binding and denials were checked for
//! this request. Nothing that a client writes outside of a verified token says who it is. No I/O: the configuration reads
//! the files, the proxy the requests.

mod caller;
mod demand;
mod forward;
mod provider;
mod tokens;

pub use caller::Caller;
pub use demand::{Identified, RouteIdentity, Unauthenticated};
pub use forward::{ForwardIdentity, OwnFields, Signing, field_value};
pub(crate) use provider::ProviderSettings;
pub use provider::{Provider, TokenPlace};
pub(crate) use tokens::without_cookie;
