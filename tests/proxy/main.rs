//! The proxy over real sockets, with real certificates and real clients.
#![cfg(feature = "front")]

mod bodies;
mod certs;
mod client;
mod coverage;
mod doctor;
mod front;
mod identity;
mod limits;
mod logins;
mod mix;
mod mtls;
mod paths;
mod pki;
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
