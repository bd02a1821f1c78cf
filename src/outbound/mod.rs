//! The one HTTPS client of the front door's own: what it sends or fetches itself, not for a client's request.
//!
//! Invariants: a destination is trusted under a bundle that somebody wrote down, its name is verified, and every step has a
//! deadline and a bound. A redirect is an error. Nothing of the environment changes where a connection goes. Exchanges run
//! on the runtime that the client was made with, never on a thread that serves requests.

mod body;
mod broken;
mod client;
mod destination;
mod dial;
mod error;
mod kept;
mod message;
mod proxy;
mod settings;
mod url;

pub use client::Client;
pub use destination::{Destination, DestinationError};
pub use error::{Culprit, Fault, FetchError, Hop, Part, Step};
pub use message::{Request, Response};
pub use proxy::{Proxy, ProxyCredentials};
pub use settings::{Limits, Settings};
pub use url::{Scheme, Url, UrlError};
