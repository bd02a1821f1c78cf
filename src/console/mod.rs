//! The web console: what the three teams would rather look at than read as JSON.
//!
//! Pages are made on the server from what the admin API answers, so both say the same; a small script only shows what is
//! live. Invariants: nothing is shown without a login; only a POST from our own pages, by a role that may do it, changes
//! something, and the audit has who it was; what a client ever sent is escaped, with its control characters visible; a
//! slow or hostile browser costs the listeners nothing.

mod answer;
mod api;
mod audit;
mod feed;
mod form;
mod guard;
mod history;
mod login;
mod pages;
mod role;
mod routes;
mod server;
mod sessions;
mod state;

pub use login::add_console_routes;
pub use role::{NoRole, Role};
pub use server::{Console, ConsoleSources};
pub use sessions::Sessions;
