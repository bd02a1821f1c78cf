//! Finding the running front door: what every verb that speaks to it has in common.

use std::path::PathBuf;

use serde_json::Value;

use super::config_file;
use crate::admin::client::{self, Answer};
use crate::config::{self, Admin, AdminAddress};

#[derive(Debug, Clone, clap::Args)]
#[group(id = "front", multiple = false)]
pub struct Where {
    /// The configuration that the front door runs from; it says where the admin address is [default:
    /// $DRAWBRIDGE_CONFIG, ./drawbridge.toml or /etc/drawbridge/drawbridge.toml, the first that is there]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The front door's admin address, like 127.0.0.1:9900 or unix:/run/drawbridge/admin.sock
    #[arg(long, value_name = "ADDRESS", value_parser = AdminAddress::parse)]
    pub admin: Option<AdminAddress>,
}

/// How to reach the front door.
#[derive(Debug, Clone, clap::Args)]
pub struct Front {
    #[command(flatten)]
    pub at: Where,
    /// The file with the admin token; needed with --admin and a TCP address
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
}

impl Front {
    /// Asks it. `method` is `GET` or `POST`.
    ///
    /// # Errors
    /// Where it is cannot be learned, or it does not answer; in words for the user.
    pub fn call(&self, method: &str, path: &str, body: &[u8]) -> Result<Answer, String> {
        let admin = self.locate()?;
        client::call(&admin.address, admin.token.as_ref(), method, path, body)
            .map_err(|error| format!("no front door answers at {}: {error}", admin.address))
    }

    /// Like [`Front::call`], for the body of an answer that says yes.
    ///
    /// # Errors
    /// No front door answers, or it refuses; in words for the user.
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        let answer = self.call(method, path, body)?;
        match answer.is_ok() {
            true => Ok(answer.body),
            false => Err(self.refusal(&answer)),
        }
    }

    /// What the front door said where it refused, in the words of the command line.
    #[must_use]
    pub fn refusal(&self, answer: &Answer) -> String {
        match (answer.status, &self.admin_token_file) {
            (401, None) => {
                return "the front door wants its admin token: name the file with --admin-token-file FILE, or its configuration with --config FILE".to_owned();
            }
            (401, Some(file)) => {
                return format!(
                    "{} does not hold the front door's admin token",
                    file.display()
                );
            }
            _ => {}
        }
        let told: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let told = told.and_then(|told| Some(told.get("error")?.as_str()?.to_owned()));
        told.unwrap_or_else(|| format!("the front door answered {}", answer.status))
    }

    /// # Errors
    /// Why it cannot be learned; in words for the user.
    pub fn locate(&self) -> Result<Admin, String> {
        let token = match &self.admin_token_file {
            Some(file) => Some(config::token_from(file).map_err(|e| e.to_string())?),
            None => None,
        };
        if let Some(address) = &self.at.admin {
            return Ok(Admin {
                address: address.clone(),
                token,
            });
        }
        let file = config_file::find(self.at.config.as_deref())?;
        match config::admin_of(&file) {
            Ok(Some(admin)) => Ok(Admin {
                token: token.or(admin.token),
                ..admin
            }),
            Ok(None) => config::installed_admin().ok_or_else(|| {
                format!(
                    "{} has no \"admin\" address: write admin = \"unix:admin.sock\"",
                    file.display()
                )
            }),
            Err(found) => Err(found.iter().map(|d| d.render(false)).collect()),
        }
    }
}

/// Says that an answer could not be read.
#[must_use]
pub fn not_ours(error: &serde_json::Error) -> String {
    format!("what answers is no front door of this version: {error}")
}
