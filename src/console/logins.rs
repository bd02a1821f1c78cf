//! Who may use the console: logins by link, token and certificate.

use std::sync::Arc;

use super::sessions::Sessions;
use super::tokens::Tokens;
use crate::config::Config;

/// The logins of a front door.
#[derive(Debug)]
pub struct Logins {
    pub(super) sessions: Arc<Sessions>,
    pub(super) tokens: Arc<Tokens>,
}

impl Logins {
    /// None without a console.
    #[must_use]
    pub fn of(config: &Config) -> Option<Self> {
        let console = config.console.as_ref()?;
        let sessions = Sessions::new(console.session_idle, console.session_max);
        Some(Self {
            sessions: Arc::new(sessions),
            tokens: Arc::new(Tokens::open(config.state_dir.as_deref())),
        })
    }
}
