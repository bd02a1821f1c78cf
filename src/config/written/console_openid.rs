//! `[console.openid]`, as it is written.

use std::net::SocketAddr;
use std::time::Duration;

use super::destination::{self, WrittenDestination};
use super::reader::{Given, Item, Section};
use super::source::Placed;
use crate::config::model::RoleClaim;
use crate::config::section_kind::SectionKind;
use crate::outbound::{Scheme, Url};
use crate::role::Role;

const TIMEOUT: Duration = Duration::from_secs(10);
const SCOPES: [&str; 2] = ["profile", "email"];
/// Where the provider sends browsers back to.
const CALLBACK: &str = "/login/openid/callback";

/// Logins by OpenID Connect.
#[derive(Debug)]
pub(crate) struct WrittenOpenId<'s> {
    /// Of the issuer.
    pub(crate) destination: WrittenDestination<'s>,
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: Given<Placed<'s, &'s str>>,
    /// The whole URL.
    pub(crate) redirect: String,
    pub(crate) scopes: String,
    pub(crate) roles: Vec<RoleClaim>,
}

/// What of `[console]` decides where browsers may be sent back to.
pub(super) struct Reached<'c> {
    pub(super) bind: Option<SocketAddr>,
    pub(super) hosts: &'c [String],
    pub(super) has_tls: bool,
}

pub(super) fn parse<'s>(item: &Item<'s, '_>, reached: &Reached<'_>) -> Option<WrittenOpenId<'s>> {
    let section = item.section(SectionKind::ConsoleOpenId, "[console.openid]")?;
    let help = "issuer = \"https://login.example.com\"";
    let mut destination = destination::parse_at(&section, "issuer", TIMEOUT, help);
    if let Some(url) = destination.url.take_if(|url| url.value.query().is_some()) {
        let message = "\"issuer\" must have no \"?\"";
        item.diagnostics().error(url.at, message);
    }
    let issuer = section.item("issuer").and_then(|item| item.raw_string());
    let client_id = section.required("client_id", "client_id = \"drawbridge\"");
    let client_id = client_id.and_then(|item| parse_word(&item));
    let client_secret = section.optional("client_secret", Item::string);
    let redirect = section.required(
        "redirect",
        "redirect = \"https://console.example.com:9901\"",
    );
    let redirect = redirect.and_then(|item| parse_redirect(&item, reached));
    let scopes = section.optional("scopes", |item| {
        let words = item.list().into_iter().map(|entry| parse_word(&entry));
        words.collect::<Option<Vec<String>>>()
    });
    let roles = section.required(
        "roles",
        "roles = { viewer = { claim = \"groups\", values = [\"staff\"] } }",
    );
    let roles = roles.and_then(|item| parse_roles(&item));
    section.finish();
    let scopes = scopes.or_else(|| SCOPES.map(str::to_owned).into())?;
    Some(WrittenOpenId {
        destination,
        issuer: issuer?.to_owned(),
        client_id: client_id?,
        client_secret,
        redirect: redirect?,
        scopes: join_scopes(scopes),
        roles: roles?,
    })
}

/// Without `openid` there is no ID token.
fn join_scopes(scopes: Vec<String>) -> String {
    let others = scopes.into_iter().filter(|scope| scope != "openid");
    let all: Vec<String> = std::iter::once("openid".to_owned()).chain(others).collect();
    all.join(" ")
}

/// What goes into a query or a form as one word.
fn parse_word(item: &Item<'_, '_>) -> Option<String> {
    let text = item.string()?.value;
    let fits = (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    match fits {
        true => Some(text.to_owned()),
        false => item.fail(format!(
            "{} must be 1 to 256 printable characters of ASCII without a blank",
            item.what()
        )),
    }
}

fn parse_redirect(item: &Item<'_, '_>, reached: &Reached<'_>) -> Option<String> {
    let text = item.string()?.value;
    let what = item.what();
    let url: Url = match text.parse() {
        Ok(url) => url,
        Err(error) => return item.fail(format!("{what} {error}")),
    };
    if url.path() != "/" || url.query().is_some() {
        return item.fail(format!(
            "{what} must be a URL without a path: the path is {CALLBACK}"
        ));
    }
    let address = url.host().parse::<std::net::IpAddr>().ok();
    let is_local = url.host() == "localhost" || address.is_some_and(|ip| ip.is_loopback());
    if url.scheme() == Scheme::Http && (reached.has_tls || !is_local) {
        return item.fail(format!(
            "{what} must be \"https://\": over \"http://\" anybody on the way can read the code of a login"
        ));
    }
    let is_bound = |ip| {
        let bind = reached.bind.map(|bind| bind.ip());
        // A faulty one has its own error.
        bind.is_none_or(|bind| bind.is_unspecified() || bind == ip)
    };
    let is_listed = reached.hosts.iter().any(|host| host == url.host());
    if !is_local && !is_listed && !address.is_some_and(is_bound) {
        return item.fail(format!(
            "{what} has a host for which the console does not answer: add \"{}\" to \"hosts\" of [console]",
            url.host()
        ));
    }
    Some(format!("{}{CALLBACK}", text.trim_end_matches('/')))
}

/// `{ security = { claim = "groups", values = ["security-team"] }, ... }`
fn parse_roles(item: &Item<'_, '_>) -> Option<Vec<RoleClaim>> {
    let section = item.section(SectionKind::OpenIdRoles, "\"roles\"")?;
    let mut roles = Vec::new();
    let mut whole = true;
    for role in Role::ALL {
        let Some(given) = section.item(role.name()) else {
            continue;
        };
        match given
            .section(SectionKind::OpenIdRole, role.name())
            .and_then(|given| parse_role(role, &given))
        {
            Some(role) => roles.push(role),
            None => whole = false,
        }
    }
    section.finish();
    if roles.is_empty() && whole {
        return item.fail("\"roles\" gives nobody a role");
    }
    whole.then_some(roles)
}

fn parse_role(role: Role, section: &Section<'_, '_>) -> Option<RoleClaim> {
    let claim = section.required("claim", "claim = \"groups\"");
    let claim = claim.and_then(|item| Some(item.string()?.value.to_owned()));
    let values = section.required("values", "values = [\"staff\"]");
    let values = values.and_then(|item| {
        let values: Vec<String> = item
            .strings()
            .into_iter()
            .map(|v| v.value.to_owned())
            .collect();
        match values.is_empty() || values.iter().any(String::is_empty) {
            true => item.fail("\"values\" must be words, and at least one"),
            false => Some(values),
        }
    });
    section.finish();
    Some(RoleClaim {
        role,
        claim: claim?,
        values: values?,
    })
}
