//! `[events]`: needs a folder, and a name for this front door in it.

use crate::config::written::diagnostics::Diagnostics;
use crate::config::written::events::{WrittenEvents, WrittenPayload};
use crate::config::written::reader::Given;
use crate::events::{EventSettings, PayloadForm};

/// The name of a machine that has none.
const UNNAMED: &str = "drawbridge";

/// Some(None) if nothing is kept; None if the section is faulty.
#[expect(clippy::option_option, reason = "the outer one is for `?`")]
pub(crate) fn resolve(
    written: &Given<WrittenEvents<'_>>,
    has_state_dir: bool,
    diagnostics: &Diagnostics,
) -> Option<Option<EventSettings>> {
    let written = match written {
        Given::Absent => return Some(None),
        Given::Faulty => return None,
        Given::Value(written) => written,
    };
    if !has_state_dir {
        let message = "[events] keeps requests in the \"state_dir\", and there is none";
        let help = Some("state_dir = \"FOLDER\" above the first table");
        diagnostics.error_with_help(written.at, message, help);
        return None;
    }
    let payload = resolve_payload(written, diagnostics)?;
    let replica = written.replica.map(|name| name.value.to_owned());
    Some(Some(EventSettings {
        sample: written.sample,
        max_bytes: written.max_bytes as u64,
        max_age: written.max_age,
        body_bytes: written.body_bytes,
        payload,
        replica: replica.unwrap_or_else(machine),
    }))
}

fn resolve_payload(written: &WrittenEvents<'_>, diagnostics: &Diagnostics) -> Option<PayloadForm> {
    match (written.payload, &written.recipient) {
        (WrittenPayload::Sealed, Some(recipient)) => {
            Some(PayloadForm::Sealed(recipient.value.clone()))
        }
        (WrittenPayload::Sealed, None) => {
            let message = "payload = \"sealed\" needs a \"recipient\"";
            let help = Some("recipient = \"age1...\", the public key that age-keygen shows");
            diagnostics.error_with_help(written.at, message, help);
            None
        }
        (other, recipient) => {
            if let Some(recipient) = recipient {
                let message = "\"recipient\" is for payload = \"sealed\": nothing is sealed";
                diagnostics.warning(recipient.at, message);
            }
            Some(match other {
                WrittenPayload::Plain => PayloadForm::Plain,
                _ => PayloadForm::Masked,
            })
        }
    }
}

/// The name of this machine, or of the container, as a folder may have it.
pub(super) fn machine() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = name.chars().filter(|c| fits(*c)).take(64).collect();
    match name.trim_start_matches('.') {
        "" => UNNAMED.to_owned(),
        name => name.to_owned(),
    }
}
