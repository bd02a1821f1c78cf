//! The proxy over real sockets, with real certificates and real clients.
#![cfg(feature = "front")]

mod bodies;
mod bundles;
mod certs;
mod client;
mod connections_fuzz;
mod coverage;
mod doctor;
mod encoding;
mod frames;
mod front;
mod gateway;
mod gateway_bodies;
mod gateway_heads;
mod handshakes;
mod http2;
mod identity;
mod inspected;
mod limits;
mod logins;
mod long;
mod mix;
mod mtls;
mod paths;
mod pki;
mod pressure;
mod protocol;
mod reachability;
mod requests;
mod responses;
mod smuggling;
mod streams;
mod tls_in;
mod tls_out;
mod tls_policy;
mod upstream;
