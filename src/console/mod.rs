//! The web console: what the three teams would rather look at than read as JSON.
//!
//! Pages are made on the server from what the admin API answers, so both say the same; a small script only shows what is
//! live. Invariants: nothing is shown without a login; only a POST from our own pages, by a role that may do it, changes
//! something, and the audit has who it was; what a client ever sent is escaped, with its control characters visible; a
//! slow or hostile browser costs the listeners nothing.

mod answer;
mod api;
mod attempts;
mod audit;
mod bearer;
mod client;
mod feed;
mod guard;
mod history;
mod login;
mod logins;
mod openid;
mod pages;
mod routes;
mod server;
mod sessions;
mod state;
mod token_routes;
mod tokens;

pub use login::add_console_routes;
pub use logins::Logins;
pub use server::{Console, ConsoleSources};
