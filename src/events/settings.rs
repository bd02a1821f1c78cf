//! The `[events]` section of the configuration. It lies here because `events` is below `config` and cannot import it.

use std::time::Duration;

use super::age::Recipient;

/// Which requests are kept, how much of them and how long (`[events]`).
#[derive(Debug, Clone, PartialEq)]
pub struct EventSettings {
    /// The part of the requests that nothing else keeps, from 0 to 1.
    pub sample: f64,
    /// Bytes of all events.
    pub max_bytes: u64,
    /// How long an event is kept.
    pub max_age: Duration,
    /// Bytes of a body that are kept.
    pub body_bytes: usize,
    /// What is written of secrets.
    pub payload: PayloadForm,
    /// The name of this front door among those that write to one folder.
    pub replica: String,
}

/// What is written of the secrets in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayloadForm {
    /// `***` in their place, as in the audit log.
    Masked,
    /// Everything as received.
    Plain,
    /// Everything as received, for the eyes of whoever has the key.
    Sealed(Recipient),
}
