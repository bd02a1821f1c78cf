//! Which events a verb is about.

use std::net::IpAddr;
use std::time::Duration;

use clap::ValueEnum;
use clap_complete::engine::ArgValueCompleter;

use crate::cli::config_file::{self, ConfigFile};
use crate::cli::error::CommandError;
use crate::cli::offline::state_dir;
use crate::config::parse_age;
use crate::events::{Found, Verdict};
use crate::review::events::EventFilter;

#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// Only those of this time until now, such as 30m, 2h or 7d
    #[arg(long, value_name = "TIME", value_parser = parse_age)]
    since: Option<Duration>,
    /// Only those of this route
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(config_file::routes))]
    route: Option<String>,
    /// Only those that this rule matched or blocked
    #[arg(long, value_name = "ID")]
    rule: Option<u64>,
    /// Only those of this client
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// Only those that were kept for this reason
    #[arg(long, value_enum)]
    verdict: Option<WantedVerdict>,
    /// Only those of this caller: `sub` of its token or certificate, also where logs show its hash
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Only those of callers of this [identity.NAME] table
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(config_file::identities))]
    identity: Option<String>,
}

/// Why a request was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WantedVerdict {
    /// The rules stopped it
    Block,
    /// The rules would have stopped it, but the policy only detects
    Detect,
    /// The shadow of the policy would have answered otherwise
    Shadow,
    /// The rules did not see all of it
    Uninspected,
    /// Of the sample: something else refused it
    Refused,
    /// Of the sample: it was let through
    Passed,
}

impl From<WantedVerdict> for Verdict {
    fn from(wanted: WantedVerdict) -> Self {
        match wanted {
            WantedVerdict::Block => Self::Block,
            WantedVerdict::Detect => Self::Detect,
            WantedVerdict::Shadow => Self::Shadow,
            WantedVerdict::Uninspected => Self::Uninspected,
            WantedVerdict::Refused => Self::Refused,
            WantedVerdict::Passed => Self::Passed,
        }
    }
}

impl Filter {
    /// The events that fit, in the folder of this configuration.
    ///
    /// # Errors
    /// There is no configuration, or the folder cannot be read.
    pub(super) fn find(&self, config: &ConfigFile) -> Result<Found, CommandError> {
        let filter = EventFilter {
            since: self.since,
            route: self.route.clone(),
            rule: self.rule,
            client: self.client,
            verdict: self.verdict.map(Verdict::from),
            subject: self.subject.clone(),
            identity: self.identity.clone(),
        };
        Ok(filter.find(&state_dir(config)?)?)
    }
}
