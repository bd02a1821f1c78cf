//! The proxy over real sockets, with real certificates and real clients.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by a panic, and its modules are its own"
)]

mod balancing;
mod bodies;
mod bundles;
mod caller_events;
mod callers;
mod certs;
mod connections_fuzz;
mod cookbook;
mod cors;
mod coverage;
mod crs;
mod crs_front;
mod dns;
mod doctor;
mod encoding;
mod events;
mod exchange;
mod exposure;
mod frames;
mod front;
mod gateway_bodies;
mod gateway_heads;
mod handshakes;
mod http2;
mod identity;
mod inspected;
mod introspection;
mod issuer;
mod issuers;
mod limits;
mod logins;
mod long;
mod looks;
mod mix;
mod mtls;
mod no_token;
mod once;
mod otlp;
mod outbound;
mod paths;
mod pressure;
mod protocol;
mod provider;
mod rate_limits;
mod reachability;
mod requests;
mod responses;
mod routes_shown;
mod signing;
mod smuggling;
mod streams;
mod tls_in;
mod tls_out;
mod tls_policy;
mod tokens;
mod transform;
mod waiting;
