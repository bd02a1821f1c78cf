//! The first step: what the user wrote.
//!
//! Parses the text of the configuration into plain data, each value with its place, and reports every
//! problem that can be seen without reading another file. Nothing here does I/O.
//!
//! A value that is missing or faulty is `None`, or [`Given::Faulty`](reader::Given). It was reported where it was read,
//! so whatever needs it reports nothing more: one mistake gives one message.

pub(crate) mod admin;
pub(crate) mod balancing;
pub(crate) mod callers;
pub(crate) mod client_identity;
pub(crate) mod console;
pub(crate) mod console_openid;
pub(crate) mod cors;
pub(crate) mod crs_variables;
pub(crate) mod destination;
pub(crate) mod diagnostics;
pub(crate) mod document;
pub(crate) mod error_pages;
pub(crate) mod events;
pub(crate) mod exchange;
pub(crate) mod exposures;
pub(crate) mod identity;
pub(crate) mod limits;
pub(crate) mod listeners;
pub(crate) mod malformed;
pub(crate) mod otlp;
pub(crate) mod policies;
pub(crate) mod reader;
pub(crate) mod routes;
pub(crate) mod security_headers;
pub(crate) mod settings;
pub(crate) mod source;
pub(crate) mod transform;
pub(crate) mod trust;
pub(crate) mod upstreams;
pub(crate) mod values;

use std::net::SocketAddr;
use std::time::Duration;

use crate::route::HostPattern;
use document::Document;
use reader::Given;
use source::Placed;

/// Everything that is written, section by section.
#[derive(Debug)]
pub(crate) struct WrittenConfig<'s> {
    pub(crate) trust: Vec<trust::WrittenTrust<'s>>,
    /// `[dns] servers`
    pub(crate) dns_servers: Vec<SocketAddr>,
    pub(crate) upstreams: Vec<upstreams::WrittenUpstream<'s>>,
    pub(crate) limits: Vec<limits::WrittenLimit<'s>>,
    pub(crate) log: settings::WrittenLog<'s>,
    pub(crate) otlp: Given<otlp::WrittenOtlp<'s>>,
    pub(crate) policies: Vec<policies::WrittenPolicy<'s>>,
    pub(crate) listeners: Vec<listeners::WrittenListener<'s>>,
    pub(crate) identity: Vec<identity::WrittenProvider<'s>>,
    /// `[identity.NAME]` with `client_ca`
    pub(crate) client_identity: Vec<client_identity::WrittenClientIdentity<'s>>,
    pub(crate) signing: Given<identity::WrittenSigning<'s>>,
    pub(crate) exchanges: Vec<exchange::WrittenExchange<'s>>,
    pub(crate) cors: Vec<cors::WrittenCors<'s>>,
    pub(crate) error_pages: Vec<error_pages::WrittenErrorPages<'s>>,
    pub(crate) security_headers: Vec<security_headers::WrittenSecurityHeaders<'s>>,
    pub(crate) routes: Vec<routes::WrittenRoute<'s>>,
    /// The hosts beside those of routes that redirects may lead to.
    pub(crate) redirect_hosts: Vec<HostPattern>,
    pub(crate) state_dir: Given<Placed<'s, &'s str>>,
    pub(crate) events: Given<events::WrittenEvents<'s>>,
    pub(crate) exposures: Vec<exposures::WrittenExposure<'s>>,
    pub(crate) admin: Given<admin::WrittenAdmin<'s>>,
    pub(crate) console: Given<console::WrittenConsole<'s>>,
    /// Bytes.
    pub(crate) body_memory: usize,
    pub(crate) shutdown_timeout: Duration,
}

pub(crate) fn parse<'s>(document: &Document<'s, '_>) -> WrittenConfig<'s> {
    let (identity, clients) = identity::parse(document);
    let written = WrittenConfig {
        trust: trust::parse(document),
        // Faulty servers were reported, so this configuration is not used.
        dns_servers: balancing::parse_dns(document).unwrap_or_default(),
        upstreams: upstreams::parse(document),
        limits: limits::parse(document),
        log: settings::parse_log(document),
        otlp: otlp::parse(document),
        policies: policies::parse(document),
        listeners: listeners::parse(document),
        identity,
        client_identity: clients.into_iter().map(client_identity::parse).collect(),
        signing: identity::parse_signing(document),
        exchanges: exchange::parse(document),
        cors: cors::parse(document),
        error_pages: error_pages::parse(document),
        security_headers: security_headers::parse(document),
        routes: routes::parse(document),
        redirect_hosts: routes::parse_redirect_hosts(document),
        state_dir: settings::parse_state_dir(document),
        events: events::parse(document),
        exposures: exposures::parse(document),
        admin: admin::parse(document),
        console: console::parse(document),
        body_memory: settings::parse_body_memory(document),
        shutdown_timeout: settings::parse_shutdown_timeout(document),
    };
    // Last, since it reports the keys that no section has looked up.
    document.finish();
    written
}
