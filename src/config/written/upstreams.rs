//! `[upstreams.*]`, as they are written.

use std::net::IpAddr;
use std::time::Duration;

use super::balancing::{self, WrittenBalancing};
use super::document::{Document, Named};
use super::malformed::Malformed;
use super::reader::{Given, Item};
use super::source::{At, Placed};
use super::trust::{CertificateFiles, parse_certificate};
use crate::config::model::{ConnectionAuth, Server};
use crate::config::section_kind::SectionKind;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const ATTEMPTS: usize = 3;

/// `[upstreams.NAME]`. A part that is `None` is missing or faulty, which was reported.
#[derive(Debug)]
pub(crate) struct WrittenUpstream<'s> {
    pub(crate) name: &'s str,
    pub(crate) at: At<'s>,
    pub(crate) servers: Option<Vec<Server>>,
    pub(crate) tls: Option<WrittenUpstreamTls<'s>>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) write_timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) attempts: Option<usize>,
    pub(crate) connection_auth: Option<ConnectionAuth>,
    pub(crate) balancing: WrittenBalancing<'s>,
}

/// `tls = { server_name = "NAME", trust = "NAME", client_certificate = { ... } }`
#[derive(Debug)]
pub(crate) struct WrittenUpstreamTls<'s> {
    pub(crate) server_name: Option<String>,
    pub(crate) trust: Option<Placed<'s, &'s str>>,
    pub(crate) client_certificate: Given<CertificateFiles<'s>>,
}

pub(crate) fn parse<'s>(document: &Document<'s, '_>) -> Vec<WrittenUpstream<'s>> {
    let named = document.named("upstreams", SectionKind::Upstream, "upstream");
    named.iter().map(parse_upstream).collect()
}

fn parse_upstream<'s>(Named { name, at, section }: &Named<'s, '_>) -> WrittenUpstream<'s> {
    let timeout = |key, default| section.optional(key, Item::duration).or(default);
    let servers = section.required("servers", "servers = [\"host:port\"]");
    let servers = servers.and_then(|item| balancing::parse_servers(&item));
    let help = "tls = { server_name = \"gw.corp.example\", trust = \"NAME\" }; upstreams are always dialled with verified TLS";
    let tls = section.required("tls", help);
    let tls = tls.and_then(|item| parse_tls(name, &item));
    let connect_timeout = timeout("connect_timeout", CONNECT_TIMEOUT);
    let read_timeout = timeout("read_timeout", READ_TIMEOUT);
    let write_timeout = timeout("write_timeout", WRITE_TIMEOUT);
    let idle_timeout = timeout("idle_timeout", IDLE_TIMEOUT);
    let attempts = section.optional("attempts", |item| {
        let attempts = item.integer(1..=16)?;
        usize::try_from(attempts).ok()
    });
    let connection_auth = section.optional("connection_auth", |item| {
        item.choice(&[
            ("pin", ConnectionAuth::Pin),
            ("refuse", ConnectionAuth::Refuse),
        ])
    });
    let balancing = balancing::parse(name, section);
    section.finish();
    WrittenUpstream {
        name,
        at: *at,
        servers,
        tls,
        connect_timeout,
        read_timeout,
        write_timeout,
        idle_timeout,
        attempts: attempts.or(ATTEMPTS),
        connection_auth: connection_auth.or(ConnectionAuth::Pin),
        balancing,
    }
}

fn parse_tls<'s>(upstream: &str, item: &Item<'s, '_>) -> Option<WrittenUpstreamTls<'s>> {
    let what = format!("\"tls\" of upstream \"{upstream}\"");
    let section = item.section(SectionKind::UpstreamTls, what)?;
    let help = "server_name = the name in the gateway's certificate; it is sent as SNI and always verified";
    let server_name = section.required("server_name", help);
    let server_name = server_name.and_then(|item| item.parse(parse_server_name));
    let trust = section.required("trust", "trust = the name of a [trust.NAME] table");
    let tls = WrittenUpstreamTls {
        server_name,
        trust: trust.and_then(|item| item.string()),
        client_certificate: section.optional("client_certificate", |item| {
            parse_certificate(item, SectionKind::ClientCertificate)
        }),
    };
    section.finish();
    Some(tls)
}

fn parse_server_name(text: &str) -> Result<String, Malformed> {
    if text.is_empty() {
        return Err(
            "\"server_name\" must not be empty: without a name nothing could be verified".into(),
        );
    }
    // SNI carries no addresses (RFC 6066, 3), so a server with several certificates could not choose.
    if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Err(format!(
            "\"server_name\" is an address, \"{text}\": give the gateway's certificate a DNS name and write that name; \"servers\" may be addresses"
        ).into());
    }
    match crate::route::normalize_host(text.as_bytes()) {
        // `normalize_host` accepts a port, which no certificate has.
        Some(name) if !text.contains(':') => Ok(name),
        _ => Err(format!("\"server_name\" is no host name: \"{text}\"").into()),
    }
}
