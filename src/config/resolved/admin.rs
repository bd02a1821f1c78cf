//! `admin` and `admin_token_file`: checks the socket's folder and reads the token.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::context::{Context, problem_of};
use crate::config::model::{Admin, AdminAddress, Token};
use crate::config::written::admin::WrittenAdmin;
use crate::config::written::reader::Given;
use crate::config::written::source::Placed;
use crate::tls::readable_by_others;

/// The least bytes of a token. A shorter one could be guessed by trying.
const SHORTEST_TOKEN: usize = 16;

/// Why a file holds no token. The message never shows the file's content.
#[derive(Debug)]
pub enum TokenError {
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// It does not hold one line of enough printable characters.
    Unfit(PathBuf),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::Unfit(path) => write!(
                f,
                "{} must hold one line of at least {SHORTEST_TOKEN} printable characters",
                path.display()
            ),
        }
    }
}

impl std::error::Error for TokenError {}

/// None if it is faulty.
pub(crate) fn resolve(written: &WrittenAdmin<'_>, context: &Context<'_>) -> Option<Admin> {
    let address = written.address.clone();
    let address = address.filter(|address| has_folder(address, written, context));
    let token = match &written.token_file {
        Given::Absent => Some(None),
        Given::Faulty => None,
        Given::Value(file) => read_token(file, context).map(Some),
    };
    // Only after the token was read, so that problems of both are reported.
    let address = address?;
    if let (AdminAddress::Unix(_), Given::Value(file)) = (&address, &written.token_file) {
        let message = "the file's mode guards a unix socket; \"admin_token_file\" has no effect";
        context.diagnostics.warning(file.at, message);
    }
    Some(Admin {
        address,
        token: token?,
    })
}

fn has_folder(address: &AdminAddress, written: &WrittenAdmin<'_>, context: &Context<'_>) -> bool {
    let AdminAddress::Unix(path) = address else {
        return true;
    };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let has = folder.is_none_or(Path::is_dir);
    if !has {
        let message = format!("there is no folder for the socket \"{}\"", written.text);
        context.diagnostics.error(written.at, message);
    }
    has
}

fn read_token(file: &Placed<'_, &str>, context: &Context<'_>) -> Option<Token> {
    let path = file.at.resolve(file.value);
    match token_from(&path) {
        Ok(token) => {
            let finding = readable_by_others(&path);
            let problem = finding.map(|finding| problem_of(file.at, finding));
            context.report(problem.into_iter().collect());
            Some(token)
        }
        Err(error) => {
            context.diagnostics.error(file.at, error.to_string());
            None
        }
    }
}

/// Reads the token in a file: its one line.
///
/// # Errors
/// It cannot be read, or is no token.
pub fn token_from(path: &Path) -> Result<Token, TokenError> {
    let text = seclang::files::read_text(path)
        .map_err(|error| TokenError::Unreadable(path.to_owned(), error))?;
    // Editors and `echo` add a line feed.
    let token = text.trim();
    // Printable ASCII without spaces, so that the token goes into an Authorization field as it is.
    let fits = token.len() >= SHORTEST_TOKEN && token.bytes().all(|b| b.is_ascii_graphic());
    match fits {
        true => Ok(Token::new(token)),
        false => Err(TokenError::Unfit(path.to_owned())),
    }
}
