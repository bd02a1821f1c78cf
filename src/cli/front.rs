//! Finding the running front door: what every verb that speaks to it has in common.

use std::path::PathBuf;

use crate::admin::client::{self, Answer};
use crate::config::{self, Admin, AdminAddress};

#[derive(Debug, Clone, clap::Args)]
#[group(id = "front", required = true, multiple = false)]
pub struct Where {
    /// The configuration the front door runs from; it says where its admin address is
    #[arg(long, value_name = "FILE")]
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

    /// # Errors
    /// Why it cannot be learned; in words for the user.
    pub fn locate(&self) -> Result<Admin, String> {
        let token = match &self.admin_token_file {
            Some(file) => Some(config::token_from(file)?),
            None => None,
        };
        if let Some(address) = &self.at.admin {
            return Ok(Admin {
                address: address.clone(),
                token,
            });
        }
        // The group lets no other case through.
        let file = self
            .at
            .config
            .as_deref()
            .unwrap_or("drawbridge.toml".as_ref());
        match config::admin_of(file) {
            Ok(Some(admin)) => Ok(Admin {
                token: token.or(admin.token),
                ..admin
            }),
            Ok(None) => Err(format!(
                "{} has no \"admin\" address: write admin = \"unix:admin.sock\"",
                file.display()
            )),
            Err(found) => Err(found.iter().map(|d| d.render(false)).collect()),
        }
    }
}
