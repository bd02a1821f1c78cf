//! `admin` and `admin_token_file`, as they are written.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::document::Document;
use super::malformed::Malformed;
use super::reader::{Given, Item};
use super::source::{At, Placed};
use crate::config::model::AdminAddress;
use crate::unix_socket::MOST_PATH;

/// The admin address, and who may use it.
#[derive(Debug)]
pub(crate) struct WrittenAdmin<'s> {
    pub(crate) at: At<'s>,
    /// The address as it is written.
    pub(crate) text: &'s str,
    /// None where it is faulty.
    pub(crate) address: Option<AdminAddress>,
    /// `admin_token_file`
    pub(crate) token_file: Given<Placed<'s, &'s str>>,
}

pub(crate) fn parse<'s>(document: &Document<'s, '_>) -> Given<WrittenAdmin<'s>> {
    let address = document.item("admin");
    let token = document.item("admin_token_file");
    let Some(item) = address else {
        if let Some(token) = token {
            let message = "\"admin_token_file\" is for an \"admin\" address, and there is none";
            token.diagnostics().error(token.at, message);
        }
        return Given::Absent;
    };
    let address = parse_address(&item);
    let token_file = match token {
        Some(token) => token.string().into(),
        None => Given::Absent,
    };
    if let (Some(AdminAddress::Tcp(_)), Given::Absent) = (&address, &token_file) {
        let message = "an \"admin\" address that is no unix socket needs \"admin_token_file\"";
        let help = "admin_token_file = \"FILE\" with one line of 16 or more random characters, or admin = \"unix:FILE.sock\"";
        let diagnostics = item.diagnostics();
        diagnostics.error_with_help(item.at, message, Some(help));
        return Given::Faulty;
    }
    Given::Value(WrittenAdmin {
        at: item.at,
        text: item.raw_string().unwrap_or_default(),
        address,
        token_file,
    })
}

fn parse_address(item: &Item<'_, '_>) -> Option<AdminAddress> {
    let text = item.string()?;
    let Some(path) = unix_path(text.value) else {
        return item.parse(parse_tcp).map(AdminAddress::Tcp);
    };
    // sockaddr_un holds 108 bytes, the last of them zero. `bind_private` first binds a name that ends with a point and
    // the process id of up to seven digits.
    let path = text.at.resolve(path);
    if path.as_os_str().len() > MOST_PATH {
        return item.fail("the path of a unix socket is at most 99 bytes long");
    }
    Some(AdminAddress::Unix(path))
}

fn parse_tcp(text: &str) -> Result<SocketAddr, Malformed> {
    let address: SocketAddr = text.parse().map_err(|_| {
        format!(
            "\"{text}\" is no \"admin\" address: write \"127.0.0.1:9900\" or \"unix:FILE.sock\""
        )
    })?;
    // `::ffff:127.0.0.1` is the loopback address of IPv4, written for IPv6.
    match address.ip().to_canonical().is_loopback() {
        true => Ok(address),
        false => Err(format!(
            "\"{text}\" can be reached from other machines: the \"admin\" address must be a loopback address or a unix socket"
        ).into()),
    }
}

/// The path of `unix:PATH`, or of a bare path that ends with `.sock`.
fn unix_path(text: &str) -> Option<&str> {
    match text.strip_prefix("unix:") {
        Some(path) => Some(path).filter(|path| !path.is_empty()),
        None => text.ends_with(".sock").then_some(text),
    }
}

impl AdminAddress {
    /// Reads the address as it is typed for `--admin`; a path starts from the working directory.
    ///
    /// # Errors
    /// What is wrong with it, in words for the user.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match unix_path(text) {
            Some(path) => Ok(Self::Unix(PathBuf::from(path))),
            None => parse_tcp(text).map(Self::Tcp),
        }
    }
}
