//! `admin` and `admin_token_file`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::files::Document;
use super::model::{Admin, AdminAddress, Token};
use super::reader::Item;
use super::upstreams::tell;
use crate::tls::readable_by_others;

/// A shorter token can be guessed.
const SHORTEST_TOKEN: usize = 16;

/// None where there is none; `Some(None)` where it is faulty, which was reported.
pub(super) fn read(document: &Document<'_, '_>) -> Option<Option<Admin>> {
    let address = document.item("admin");
    let token = document.item("admin_token_file");
    let Some(item) = address else {
        if let Some(token) = token {
            let message = "\"admin_token_file\" is for an \"admin\" address, and there is none";
            token.report().error(token.at, message);
        }
        return None;
    };
    let found = read_address(&item);
    let secret = token.as_ref().map(read_token);
    Some(assemble(&item, found, token.as_ref(), secret))
}

fn assemble(
    item: &Item<'_, '_>,
    address: Option<AdminAddress>,
    written: Option<&Item<'_, '_>>,
    token: Option<Option<Token>>,
) -> Option<Admin> {
    let address = address?;
    match (&address, written) {
        (AdminAddress::Tcp(_), None) => {
            let message = "an \"admin\" address that is no unix socket needs \"admin_token_file\"";
            let help = "admin_token_file = \"FILE\" with one line of 16 or more random characters, or admin = \"unix:FILE.sock\"";
            item.report().error_with_help(item.at, message, Some(help));
            return None;
        }
        (AdminAddress::Unix(_), Some(written)) => {
            let message =
                "the file's mode guards a unix socket; \"admin_token_file\" has no effect";
            written.report().warning(written.at, message);
        }
        _ => {}
    }
    let token = match token {
        Some(token) => Some(token?),
        None => None,
    };
    Some(Admin { address, token })
}

fn read_address(item: &Item<'_, '_>) -> Option<AdminAddress> {
    let text = item.string()?;
    if let Some(path) = unix_path(text.value) {
        // sockaddr_un holds 108 bytes, one of them the last zero.
        let path = text.at.resolve(path);
        if path.as_os_str().len() > 100 {
            return item.fail("the path of a unix socket is at most 100 bytes long");
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        if folder.is_some_and(|folder| !folder.is_dir()) {
            let message = format!("there is no folder for the socket \"{}\"", text.value);
            return item.fail(message);
        }
        return Some(AdminAddress::Unix(path));
    }
    item.parse(parse_tcp).map(AdminAddress::Tcp)
}

fn parse_tcp(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| {
        format!(
            "\"{text}\" is no \"admin\" address: write \"127.0.0.1:9900\" or \"unix:FILE.sock\""
        )
    })?;
    match address.ip().to_canonical().is_loopback() {
        true => Ok(address),
        false => Err(format!(
            "\"{text}\" can be reached from other machines: the \"admin\" address must be a loopback address or a unix socket"
        )),
    }
}

/// The path of `unix:PATH`, or of a bare path that ends with `.sock`.
fn unix_path(text: &str) -> Option<&str> {
    match text.strip_prefix("unix:") {
        Some(path) => Some(path).filter(|path| !path.is_empty()),
        None => text.ends_with(".sock").then_some(text),
    }
}

fn read_token(item: &Item<'_, '_>) -> Option<Token> {
    let text = item.string()?;
    let path = text.at.resolve(text.value);
    match token_from(&path) {
        Ok(token) => {
            if let Some(finding) = readable_by_others(&path) {
                tell(item.report(), item.at, finding);
            }
            Some(token)
        }
        Err(why) => item.fail(why),
    }
}

/// The token in a file: its one line.
///
/// # Errors
/// Why it cannot be used, without what is in it.
pub fn token_from(path: &Path) -> Result<Token, String> {
    let text = seclang::files::read_text(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let token = text.trim();
    let fits = token.len() >= SHORTEST_TOKEN && token.bytes().all(|b| b.is_ascii_graphic());
    match fits {
        true => Ok(Token::new(token)),
        false => Err(format!(
            "{} must hold one line of at least {SHORTEST_TOKEN} printable characters",
            path.display()
        )),
    }
}

impl AdminAddress {
    /// As a person writes it for `--admin`; a path is relative to the working directory.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match unix_path(text) {
            Some(path) => Ok(Self::Unix(PathBuf::from(path))),
            None => parse_tcp(text).map(Self::Tcp),
        }
    }
}
