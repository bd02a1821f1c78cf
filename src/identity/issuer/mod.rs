//! What issuers publish about themselves: their discovery documents, their keys, and lists of tokens that no longer hold.
//!
//! Invariants: everything is fetched through the one outbound client, over `https://`, bounded in bytes and in time, and off
//! the threads that serve requests. A document counts only if it names exactly the issuer that somebody configured. Whatever
//! clients send, they cause at most one fetch in [`Schedule::asked_interval`] for each source.

mod answered;
mod asking;
mod discovery;
mod error;
mod exchange;
mod introspection;
mod live;
mod source;

pub use answered::Answered;
pub use asking::{
    Asked, Asker, AskingBounds, ClientSecret, Endpoint, EndpointAt, Known, OwnClient, Said,
};
pub use discovery::{Discovery, DiscoveryAt, discover};
pub use error::IssuerError;
pub use exchange::{ExchangeQuestion, ExchangeSource, ExchangedToken, Exchanger, TokenType};
pub use introspection::{IntrospectionSource, Introspector};
pub use live::{Kept, Live, LiveState, Trouble};
pub use source::{DeniedSource, Fetched, KeySource, KeysAt, Schedule, Source, parse_denied};

/// The keys of an issuer, kept live.
pub type IssuerKeys = Live<KeySource>;
/// A list of denied tokens and subjects, kept live.
pub type LiveDenied = Live<DeniedSource>;
