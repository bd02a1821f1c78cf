//! The setting of one switch, and what follows from it at a given time.
//!
//! This is the lowest file of the room: pure values, no disk and no locks. A setting is never changed; a new one
//! takes its place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// The value of [`Setting::by`] for a switch that reverted because its time ended.
const TIMER: &str = "timer";

/// How a switch was set, by whom and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Whether the exposure is on until `until`.
    pub on: bool,
    /// When the switch was set.
    pub since: SystemTime,
    /// From this time on the switch has the opposite position; None: it stays.
    pub until: Option<SystemTime>,
    /// Who set it, such as `unix:uid=1000 (alice)` or `timer`.
    pub by: String,
    /// Why, in the words of whoever set it.
    pub reason: Option<String>,
}

/// Settings by the name of their exposure. An exposure without a setting is on.
pub(super) type Settings = BTreeMap<String, Arc<Setting>>;

impl Setting {
    pub(super) fn is_on(&self, now: SystemTime) -> bool {
        // An expired setting means its opposite, even before the timer has replaced it: the time holds to the second,
        // and also if the timer or the disk fails.
        self.on != self.is_expired(now)
    }

    pub(super) fn is_expired(&self, now: SystemTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// The setting that takes this one's place when its time has ended.
    pub(super) fn reverted(&self) -> Self {
        Self {
            on: !self.on,
            // Since the time that was set, not since now: the process may have been down at that time.
            since: self.until.unwrap_or(self.since),
            until: None,
            by: TIMER.to_owned(),
            reason: Some(format!("the time set by {} has ended", self.by)),
        }
    }

    /// Whether this makes more reachable than `before` did, now or when its time ends.
    pub(super) fn exposes_more_than(&self, before: Option<&Self>) -> bool {
        match before {
            // Also if the exposure is on already: without an end, or with a later one, it is on for longer.
            _ if self.on => true,
            Some(before) if !before.on => match (self.until, before.until) {
                (Some(until), Some(earlier)) => until < earlier,
                (Some(_), None) => true,
                (None, _) => false,
            },
            _ => false,
        }
    }

    /// Whether this is how an exposure is that nobody has switched: on, without an end.
    pub(super) fn is_default(&self) -> bool {
        self.on && self.until.is_none()
    }
}

/// `on` or `off`, as messages, the audit and the API show it.
pub(super) fn position(on: bool) -> &'static str {
    match on {
        true => "on",
        false => "off",
    }
}
