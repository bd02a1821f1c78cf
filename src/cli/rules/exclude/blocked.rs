//! The request that was blocked: an event that a front door kept, a file, or standard input.

use std::path::Path;

use super::super::explain;
use crate::cli::config_file::ConfigFile;
use crate::cli::error::CommandError;
use crate::cli::events::event_of;
use crate::events::Event;
use crate::recorded::{Framing, Request};
use uuid::Uuid;

/// The tests of an exclusion hold the request a dozen times.
const MOST_BYTES: usize = 1024 * 1024;

/// A blocked request, and what is known of it.
pub(super) struct Blocked {
    pub(super) request: Request,
    /// How the exclusion's comments name it.
    pub(super) name: String,
    /// The policy that blocked it.
    pub(super) policy: Option<String>,
    /// What its record lacks.
    pub(super) notes: Vec<String>,
}

impl Blocked {
    /// # Errors
    /// It cannot be read, is not whole, or no rule sees it.
    pub(super) fn read(named: &Path, config: &ConfigFile) -> Result<Self, CommandError> {
        let name = named.display().to_string();
        let is_id = Uuid::parse_str(&name).is_ok() && !named.exists();
        let blocked = match is_id {
            true => Self::of_event(event_of(config, &name)?, name),
            false => Self::of_file(explain::read(named)?, name),
        };
        blocked.map_err(CommandError::Problem)
    }

    fn of_event(event: Event, name: String) -> Result<Self, String> {
        let payload = &event.details.payload;
        let why = payload.why_not_judged();
        // Masked secrets are rarely what is blocked, and an exclusion that needs them is not found.
        let is_partial =
            payload.is_sealed || payload.body_left_out.is_some() || payload.body_cut > 0;
        match why {
            Some(why) if is_partial => Err(format!("{name}: {why}")),
            why => Ok(Self {
                name: name.clone(),
                policy: event.summary.policy.clone(),
                request: checked(Request::from_event(event), &name)?,
                notes: why.into_iter().collect(),
            }),
        }
    }

    fn of_file(bytes: Vec<u8>, name: String) -> Result<Self, String> {
        Ok(Self {
            request: checked(Request::from_file(bytes), &name)?,
            name,
            policy: None,
            notes: Vec::new(),
        })
    }
}

/// The request if rules can judge it.
fn checked(request: Request, name: &str) -> Result<Request, String> {
    let why = match (request.refusal(), request.framing()) {
        (Some(why), _) => format!("no rule sees this request: {why}"),
        (None, Framing::Whole) if request.bytes() > MOST_BYTES => format!(
            "the request has {} bytes; its exclusion's tests would hold it a dozen times, so at most {MOST_BYTES} are taken",
            request.bytes()
        ),
        (None, Framing::Whole) => return Ok(request),
        (None, _) => request.notes().join("; "),
    };
    Err(format!("{name}: {why}"))
}
