//! Drawbridge: a public front door for private APIs.
//!
//! The modules, top to bottom. A module imports only modules that stand below it:
//!
//! - [`cli`] one file for each verb
//! - [`proxy`] the only module that knows pingora's `ProxyHttp`
//! - [`console`] the web console for the three teams
//! - [`admin`] the loopback API: health, metrics, switches
//! - [`reload`] notices changed files and takes them live
//! - [`handover`] gives the listening sockets to the next process
//! - [`live`] the [`live::Snapshot`] that a request uses from its head to its end
//! - [`exposure`] the switches of what is reachable, and what a change makes reachable
//! - [`review`] what the security team asks of recorded requests
//! - [`config`] what the user wrote, and what is ready to run
//! - [`exclusion`] from a blocked request to a proven exclusion
//! - [`recorded`] a request that is given to the rules without a connection
//! - `judgement` what a rule set makes of a request, and how two differ
//! - [`upstream`] pools of servers, and the choice of a server
//! - [`limits`] limits by key, and their buckets
//! - [`transform`] what a route answers itself, and what it changes in requests and answers; pure
//! - [`identity`] who is calling: issuers, callers, what gateways learn of them
//! - [`route`] from host, path and method to a route; pure
//! - [`events`] requests that are kept: their segments, the writer, the search
//! - [`telemetry`] access log, audit log, diagnostics, counters
//! - [`outbound`] the HTTPS client for what the front door itself sends and fetches
//! - `dns` the addresses of a name
//! - [`tls`] certificates, trust bundles, x509 reasons in words
//! - [`dropped_fields`] which header fields of clients no gateway gets
//! - [`supervision`] starts long-lived tasks again after a failure
//! - `client_site` what counts as one client
//! - `randomness` random bytes for ids
//! - `counted` a number with its noun
//! - `hex` bytes as hexadecimal digits
//! - `bounded_queue` a queue to a background thread that never makes a sender wait
//! - `parallel` spreads independent work over the processors
//! - `replace_file` replaces a file in one step
//! - [`role`] the roles of the three teams, and what each may do
//! - [`time`] points in time as RFC 3339
//! - `unix_socket` unix sockets to which only their owner can connect
//!
//! The crates in `crates/` lie below all of them: `waf` (the engine), `ftw`, `http-strict` and `seclang`.

// It panics if the reader of the output hung up.
#![cfg_attr(not(test), warn(clippy::print_stdout))]

pub mod admin;
mod bounded_queue;
pub mod cli;
mod client_site;
pub mod config;
pub mod console;
mod counted;
mod dns;
pub mod dropped_fields;
pub mod events;
pub mod exclusion;
pub mod exposure;
pub mod handover;
mod hex;
pub mod identity;
mod judgement;
pub mod limits;
pub mod live;
pub mod outbound;
mod parallel;
pub mod proxy;
mod randomness;
pub mod recorded;
pub mod reload;
mod replace_file;
pub mod review;
pub mod role;
pub mod route;
pub mod supervision;
pub mod telemetry;
pub mod time;
pub mod tls;
pub mod transform;
mod unix_socket;
pub mod upstream;
