//! The proxy over real sockets, with real certificates and real clients.
#![cfg(feature = "front")]

mod bodies;
mod certs;
mod client;
mod coverage;
mod doctor;
mod front;
mod inspected;
mod limits;
mod mix;
mod mtls;
mod paths;
mod pki;
mod protocol;
mod requests;
mod responses;
mod smuggling;
mod streams;
mod tls_in;
mod tls_out;
mod tls_policy;
mod upstream;
