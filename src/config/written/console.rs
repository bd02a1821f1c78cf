//! `[console]`, as it is written.

use std::net::SocketAddr;
use std::time::Duration;

use super::console_openid::{self, Reached, WrittenOpenId};
use super::document::Document;
use super::malformed::Malformed;
use super::reader::{Given, Item, Section};
use super::trust::{CertificateFiles, WrittenClientCa, parse_certificate, parse_client_ca_of};
use crate::config::model::{ClientRoles, ConsoleSettings};
use crate::config::section_kind::SectionKind;
use crate::role::Role;
use crate::tls::ClientName;

const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);
const SESSION_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// `[console]`
#[derive(Debug)]
pub(crate) struct WrittenConsole<'s> {
    pub(crate) settings: ConsoleSettings,
    /// None without certificates.
    pub(crate) tls: Option<WrittenConsoleTls<'s>>,
    pub(crate) openid: Given<WrittenOpenId<'s>>,
}

/// What the console says of TLS.
#[derive(Debug)]
pub(crate) struct WrittenConsoleTls<'s> {
    /// `None` for an entry that is not usable, which was reported.
    pub(crate) certificates: Vec<Option<CertificateFiles<'s>>>,
    pub(crate) client_ca: Given<WrittenClientCa<'s>>,
    pub(crate) client_roles: ClientRoles,
}

pub(crate) fn parse<'s>(document: &Document<'s, '_>) -> Given<WrittenConsole<'s>> {
    let Some(item) = document.item("console") else {
        return Given::Absent;
    };
    let Some(section) = item.section(SectionKind::Console, "[console]") else {
        return Given::Faulty;
    };
    let help = "bind = \"127.0.0.1:9901\"";
    let bind = section.required("bind", help);
    let hosts = section.optional("hosts", |item| parse_hosts(item));
    let no_hosts = Vec::new();
    let files = section.optional("files", |item| {
        item.choice(&[("read-only", false), ("write", true)])
    });
    let session_idle = section.optional("session_idle", Item::duration);
    let session_max = section.optional("session_max", Item::duration);
    let tls = parse_tls(&section);
    let openid = section.item("openid");
    section.finish();
    // Faulty certificates count too: their own error is enough.
    let has_tls = !matches!(tls, Given::Absent);
    let bind = bind.and_then(|item| item.parse(|text| parse_bind(text, has_tls)));
    let openid = match openid {
        None => Given::Absent,
        Some(item) => {
            let hosts = hosts.as_ref().or(&no_hosts).map_or(&[][..], |hosts| hosts);
            let reached = Reached {
                bind,
                hosts,
                has_tls,
            };
            console_openid::parse(&item, &reached).into()
        }
    };
    let whole = move || {
        Some(WrittenConsole {
            settings: ConsoleSettings {
                bind: bind?,
                has_tls,
                hosts: hosts.or(Vec::new())?,
                writes_files: files.or(false)?,
                session_idle: session_idle.or(SESSION_IDLE)?,
                session_max: session_max.or(SESSION_MAX)?,
            },
            tls: tls.unless_faulty()?,
            openid,
        })
    };
    whole().into()
}

/// Without TLS nobody outside this machine may reach it but through a tunnel.
fn parse_bind(text: &str, has_tls: bool) -> Result<SocketAddr, Malformed> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| format!("\"{text}\" is no address with a port: write \"127.0.0.1:9901\""))?;
    match has_tls || address.ip().to_canonical().is_loopback() {
        true => Ok(address),
        false => Err(format!(
            "\"{text}\" can be reached from other machines, and the console has no TLS: write \"certificates\" in [console], or a loopback address"
        )
        .into()),
    }
}

fn parse_tls<'s>(console: &Section<'s, '_>) -> Given<WrittenConsoleTls<'s>> {
    let certificates = console.item("certificates");
    // Looked up in any case, so that without certificates they get the better message below.
    let client_ca = console.item("client_ca");
    let client_roles = console.item("client_roles");
    let Some(certificates) = certificates else {
        for item in [&client_ca, &client_roles].into_iter().flatten() {
            let message = format!("{} needs \"certificates\" in [console]", item.what());
            item.diagnostics().error(item.at, message);
        }
        return Given::Absent;
    };
    if let (Some(roles), None) = (&client_roles, &client_ca) {
        let message = "\"client_roles\" needs a \"client_ca\", which verifies the certificates";
        roles.diagnostics().error(roles.at, message);
    }
    let entries = certificates.list();
    let roles = client_roles.map(|item| parse_client_roles(&item));
    let whole = || {
        Some(WrittenConsoleTls {
            certificates: entries
                .iter()
                .map(|entry| parse_certificate(entry, SectionKind::ConsoleCertificate))
                .collect(),
            client_ca: match &client_ca {
                Some(item) => parse_client_ca_of(item, SectionKind::ConsoleClientCa).into(),
                None => Given::Absent,
            },
            client_roles: roles.unwrap_or(Some(ClientRoles::default()))?,
        })
    };
    whole().into()
}

/// `{ security = ["dns:alice.example.com"], ... }`
fn parse_client_roles(item: &Item<'_, '_>) -> Option<ClientRoles> {
    let section = item.section(SectionKind::ClientRoles, "\"client_roles\"")?;
    let mut roles: Vec<(ClientName, Role)> = Vec::new();
    let mut whole = true;
    for role in Role::ALL {
        let Some(names) = section.item(role.name()) else {
            continue;
        };
        for entry in names.list() {
            match entry.parse(str::parse::<ClientName>) {
                // Of two roles nobody could say which one is meant.
                Some(name) if roles.iter().any(|(known, _)| *known == name) => {
                    whole = false;
                    let message = "this certificate has a role already";
                    entry.diagnostics().error(entry.at, message);
                }
                Some(name) => roles.push((name, role)),
                None => whole = false,
            }
        }
    }
    section.finish();
    whole.then(|| ClientRoles::new(roles))
}

fn parse_hosts(item: &Item<'_, '_>) -> Option<Vec<String>> {
    let hosts = item.strings().into_iter();
    let hosts = hosts.map(|host| host.value.to_ascii_lowercase());
    let hosts: Vec<String> = hosts.collect();
    // Without a port, which no check of a Host field looks at.
    let is_name = |host: &String| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
        !host.is_empty() && host.bytes().all(fits)
    };
    match hosts.iter().find(|host| !is_name(host)) {
        Some(host) => item.fail(format!("\"{host}\" is no host name")),
        None => Some(hosts),
    }
}
