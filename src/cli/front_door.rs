//! Finds the running front door and sends it requests: what all verbs share that talk to it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::config_file::{self, NoConfiguration};
use super::error::{CommandError, shown_or_reported};
use super::output::{Output, print_json};
use crate::admin::client::{self, Answer};
use crate::config::{self, Admin, AdminAddress, TokenError};
use seclang::diagnostic::Diagnostic;

/// Where the running front door's admin API is.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "front", multiple = false)]
pub(super) struct Location {
    /// The configuration that the front door runs from; it names the admin address [default:
    /// $DRAWBRIDGE_CONFIG, ./drawbridge.toml or /etc/drawbridge/drawbridge.toml, the first that exists]
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The front door's admin address, like 127.0.0.1:9900 or unix:/run/drawbridge/admin.sock
    #[arg(long, value_name = "ADDRESS", value_parser = AdminAddress::parse)]
    pub(super) admin: Option<AdminAddress>,
}

/// The running front door, as the command line names it.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct FrontDoor {
    #[command(flatten)]
    pub(super) at: Location,
    /// The file with the admin token; needed with --admin and a TCP address
    #[arg(long, value_name = "FILE")]
    pub(super) admin_token_file: Option<PathBuf>,
}

/// Why the running front door gave no answer, or not the one that was asked for.
#[derive(Debug)]
pub(super) enum FrontDoorError {
    /// Nothing names a configuration or an admin address.
    NoConfiguration(NoConfiguration),
    /// The admin settings of the configuration are invalid.
    Configuration(Vec<Diagnostic>),
    /// The configuration has no admin address.
    NoAdminAddress(PathBuf),
    /// The file of `--admin-token-file` holds no token.
    TokenFile(TokenError),
    /// Nobody answers at the admin address.
    Unreachable {
        /// The admin address.
        address: AdminAddress,
        /// What the system says.
        source: io::Error,
    },
    /// The front door wants a token, and none was given.
    TokenMissing,
    /// The front door does not accept the token in this file.
    TokenRejected(PathBuf),
    /// The front door refuses the request.
    Refused {
        /// The status of its answer.
        status: u16,
        /// What it says.
        message: Option<String>,
    },
    /// The answer is not what a front door of this version sends.
    InvalidAnswer(serde_json::Error),
}

impl fmt::Display for FrontDoorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConfiguration(error) => error.fmt(f),
            Self::Configuration(found) => {
                // Without colours, because the text may become a string in JSON.
                let texts = found.iter().map(|diagnostic| diagnostic.render(false));
                f.write_str(&texts.collect::<String>())
            }
            Self::NoAdminAddress(file) => write!(
                f,
                "{} has no \"admin\" address: write admin = \"unix:admin.sock\"",
                file.display()
            ),
            Self::TokenFile(error) => error.fmt(f),
            Self::Unreachable { address, source }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                write!(
                    f,
                    "this user may not connect to {address}: only the front door's own user and root may"
                )
            }
            Self::Unreachable { address, source } => {
                write!(f, "no front door answers at {address}: {source}")
            }
            Self::TokenMissing => f.write_str(
                "the front door wants its admin token: name the file with --admin-token-file FILE, or its configuration with --config FILE",
            ),
            Self::TokenRejected(file) => write!(
                f,
                "{} does not hold the front door's admin token",
                file.display()
            ),
            Self::Refused {
                message: Some(message),
                ..
            } => f.write_str(message),
            Self::Refused { status, .. } => write!(f, "the front door answered {status}"),
            Self::InvalidAnswer(error) => write!(
                f,
                "the answer is not that of a front door of this version: {error}"
            ),
        }
    }
}

impl std::error::Error for FrontDoorError {}

impl From<FrontDoorError> for CommandError {
    fn from(error: FrontDoorError) -> Self {
        Self::because(error)
    }
}

/// A name in the query of a request. Names have only characters that a query may have. With any other it is no name, and
/// must not add to the request.
pub(super) fn in_query(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.replace(|c| !fits(c), "?")
}

impl FrontDoor {
    /// Sends a request. `method` is `GET` or `POST`.
    ///
    /// # Errors
    /// The front door cannot be found, or it does not answer.
    pub(super) fn call(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Answer, FrontDoorError> {
        let (Admin { address, token }, _) = self.locate()?;
        client::call(&address, token.as_ref(), method, path, body)
            .map_err(|source| FrontDoorError::Unreachable { address, source })
    }

    /// Asks for what everybody may see, without a token: whatever listens at the address learns no secret.
    ///
    /// # Errors
    /// The front door cannot be found, or it does not answer.
    pub(super) fn probe(&self, path: &str) -> Result<Answer, FrontDoorError> {
        let (Admin { address, .. }, _) = self.locate()?;
        client::call(&address, None, "GET", path, &[])
            .map_err(|source| FrontDoorError::Unreachable { address, source })
    }

    /// Sends a request and returns the body of a successful answer.
    ///
    /// # Errors
    /// The front door cannot be found, does not answer, or refuses.
    pub(super) fn request(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, FrontDoorError> {
        let answer = self.call(method, path, body)?;
        match answer.is_ok() {
            true => Ok(answer.body),
            false => Err(self.refusal(&answer)),
        }
    }

    /// Sends a request without a body and reads the JSON of a successful answer.
    ///
    /// # Errors
    /// The front door cannot be found, does not answer, refuses, or answers something else.
    pub(super) fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
    ) -> Result<T, FrontDoorError> {
        let body = self.request(method, path, &[])?;
        serde_json::from_slice(&body).map_err(FrontDoorError::InvalidAnswer)
    }

    /// Sends a request without a body and shows what it answers: as it is with `ok`, or as `human` shows it.
    pub(super) fn show<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        output: Output,
        human: impl FnOnce(&T) -> io::Result<()>,
    ) -> ExitCode {
        let answer = self.ask::<Value>(method, path).and_then(|answer| {
            // Read in either case: what no front door of this version sends is an error.
            let known = T::deserialize(&answer).map_err(FrontDoorError::InvalidAnswer)?;
            Ok((answer, known))
        });
        let (mut answer, known) = match answer {
            Ok(answer) => answer,
            Err(error) => return CommandError::from(error).report(output),
        };
        let shown = match output {
            Output::Human => human(&known),
            Output::Json => {
                if let Value::Object(answer) = &mut answer {
                    // The admin API says it by its status; scripts find it in the output of every verb.
                    answer.insert("ok".to_owned(), json!(true));
                }
                print_json(&answer)
            }
        };
        shown_or_reported(shown, output)
    }

    /// The error for an answer that is not a success.
    pub(super) fn refusal(&self, answer: &Answer) -> FrontDoorError {
        // A 401 is about the token, and the user needs to know which file to name rather than the header field.
        if answer.status == 401 {
            let token_file = self.locate().ok().and_then(|(_, file)| file);
            return token_file.map_or(FrontDoorError::TokenMissing, FrontDoorError::TokenRejected);
        }
        // Not every refusal is ours: something else may listen at that address, and answer with another body.
        let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
        FrontDoorError::Refused {
            status: answer.status,
            message: body.and_then(|body| Some(body.get("error")?.as_str()?.to_owned())),
        }
    }

    /// The front door's address with the token to send, and the file that the token comes from.
    fn locate(&self) -> Result<(Admin, Option<PathBuf>), FrontDoorError> {
        let token_file = self.admin_token_file.clone();
        let token = token_file.as_deref().map(config::token_from).transpose();
        let token = token.map_err(FrontDoorError::TokenFile)?;
        // The machine of whoever names the address may have no configuration.
        if let Some(address) = self.at.admin.clone() {
            return Ok((Admin { address, token }, token_file));
        }
        let file = config_file::find(self.at.config.as_deref());
        let file = file.map_err(FrontDoorError::NoConfiguration)?;
        let configured = configured_admin(&file)?;
        // A token on the command line wins over that of the configuration, which may be newer than the process.
        let token_file = token_file.or(configured.token.is_some().then_some(file));
        let admin = Admin {
            token: token.or(configured.token),
            address: configured.address,
        };
        Ok((admin, token_file))
    }
}

/// The admin settings of a configuration, or those of an installed service.
fn configured_admin(file: &Path) -> Result<Admin, FrontDoorError> {
    let admin = config::admin_of(file).map_err(FrontDoorError::Configuration)?;
    admin
        // Outside of the unit systemd's variables are not set, so the packaged socket is tried.
        .or_else(config::installed_admin)
        .ok_or_else(|| FrontDoorError::NoAdminAddress(file.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever may not connect would otherwise look for a front door that does not run.
    #[test]
    fn a_user_without_the_right_is_told_so() {
        let unreachable = |kind: io::ErrorKind| FrontDoorError::Unreachable {
            address: AdminAddress::Unix("/run/drawbridge/admin.sock".into()),
            source: kind.into(),
        };
        let denied = unreachable(io::ErrorKind::PermissionDenied).to_string();
        assert!(denied.starts_with("this user may not connect"), "{denied}");
        let absent = unreachable(io::ErrorKind::NotFound).to_string();
        assert!(absent.starts_with("no front door answers"), "{absent}");
    }
}
