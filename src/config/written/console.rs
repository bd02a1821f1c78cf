//! `[console]`, as it is written. It names no file, so this is also what it means.

use std::net::SocketAddr;
use std::time::Duration;

use super::document::Document;
use super::malformed::Malformed;
use super::reader::{Given, Item};
use crate::config::model::ConsoleSettings;
use crate::config::section_kind::SectionKind;

const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);
const SESSION_MAX: Duration = Duration::from_secs(12 * 60 * 60);

pub(crate) fn parse(document: &Document<'_, '_>) -> Given<ConsoleSettings> {
    let Some(item) = document.item("console") else {
        return Given::Absent;
    };
    let Some(section) = item.section(SectionKind::Console, "[console]") else {
        return Given::Faulty;
    };
    let help = "bind = \"127.0.0.1:9901\"";
    let bind = section.required("bind", help);
    let bind = bind.and_then(|item| item.parse(parse_bind));
    let hosts = section.optional("hosts", |item| parse_hosts(item));
    let files = section.optional("files", |item| {
        item.choice(&[("read-only", false), ("write", true)])
    });
    let session_idle = section.optional("session_idle", Item::duration);
    let session_max = section.optional("session_max", Item::duration);
    section.finish();
    let whole = || {
        Some(ConsoleSettings {
            bind: bind?,
            hosts: hosts.or(Vec::new())?,
            writes_files: files.or(false)?,
            session_idle: session_idle.or(SESSION_IDLE)?,
            session_max: session_max.or(SESSION_MAX)?,
        })
    };
    whole().into()
}

/// The console has no TLS of its own, so nobody outside this machine may reach it but through a tunnel.
fn parse_bind(text: &str) -> Result<SocketAddr, Malformed> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| format!("\"{text}\" is no address with a port: write \"127.0.0.1:9901\""))?;
    match address.ip().to_canonical().is_loopback() {
        true => Ok(address),
        false => Err(format!(
            "\"{text}\" can be reached from other machines, and the console has no TLS: it must be a loopback address"
        )
        .into()),
    }
}

fn parse_hosts(item: &Item<'_, '_>) -> Option<Vec<String>> {
    let hosts = item.strings().into_iter();
    let hosts = hosts.map(|host| host.value.to_ascii_lowercase());
    let hosts: Vec<String> = hosts.collect();
    let is_name = |host: &String| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
        !host.is_empty() && host.bytes().all(fits)
    };
    match hosts.iter().find(|host| !is_name(host)) {
        Some(host) => item.fail(format!("\"{host}\" is no host name")),
        None => Some(hosts),
    }
}
