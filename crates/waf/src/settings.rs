//! The values of the directives that are not rules.
//!
//! Source of the values and their defaults: ModSecurity v2 Reference Manual, "Configuration Directives". Limits that
//! the manual does not name have the defaults of ModSecurity's source.

use std::sync::Arc;

use super::operators::rx::Pattern;
use super::transform::UnicodeMap;

/// The settings of one rule set.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) engine: EngineMode,
    pub(crate) request_body_access: bool,
    /// Bytes (`SecRequestBodyLimit`).
    pub(crate) request_body_limit: usize,
    /// Bytes without files; None means as `request_body_limit` (`SecRequestBodyNoFilesLimit`).
    pub(crate) request_body_no_files_limit: Option<usize>,
    /// None if the rules do not say.
    pub(crate) request_body_limit_action: Option<LimitAction>,
    pub(crate) json_depth_limit: usize,
    pub(crate) arguments_limit: usize,
    pub(crate) response_body_access: bool,
    /// Lower case.
    pub(crate) response_body_types: Vec<String>,
    pub(crate) response_body_limit: usize,
    pub(crate) response_body_limit_action: Option<LimitAction>,
    pub(crate) argument_separator: u8,
    pub(crate) cookie_version: u8,
    pub(crate) unicode_map: Option<Arc<UnicodeMap>>,
    /// Seconds a persistent collection lives after its last update.
    pub(crate) collection_timeout: u64,
    pub(crate) upload_file_limit: usize,
    pub(crate) audit: AuditSettings,
    pub(crate) component_signatures: Vec<String>,
    pub(crate) web_app_id: String,
    pub(crate) server_signature: Option<String>,
}

/// What `SecRuleEngine` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineMode {
    /// Rules run, and disruptive actions end transactions.
    On,
    /// Rules run and log; nothing is ended.
    DetectionOnly,
    /// No rule runs.
    Off,
}

/// Which transactions are recorded (`SecAuditEngine`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditEngine {
    /// All.
    On,
    /// None.
    Off,
    /// Those that a rule logged or stopped, or whose status `SecAuditLogRelevantStatus` fits.
    RelevantOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitAction {
    Reject,
    ProcessPartial,
}

/// What the rules do with a request body that no parser can take apart: it has no Content-Type, or an unknown one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnparsedBodies {
    /// Its bytes are inspected as `REQUEST_BODY`.
    Inspect,
    /// The request is refused.
    Block,
    /// It passes uninspected.
    Pass,
}

/// `SecAudit...`
#[derive(Debug, Clone)]
pub(crate) struct AuditSettings {
    pub(crate) engine: AuditEngine,
    /// The letters of `SecAuditLogParts`.
    pub(crate) parts: String,
    /// `SecAuditLogRelevantStatus`, a regular expression over the status.
    pub(crate) relevant_status: Option<Arc<Pattern>>,
    /// `SecAuditLog`. It has no effect: records go where the front door's configuration says.
    pub(crate) path: Option<String>,
    pub(crate) format: AuditFormat,
}

/// The JSON in which audit records are written (`SecAuditLogFormat`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditFormat {
    /// The JSON of ModSecurity v3.
    Json,
    /// The Elastic Common Schema.
    Ecs,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: EngineMode::Off,
            request_body_access: false,
            request_body_limit: 13_107_200,
            request_body_no_files_limit: None,
            request_body_limit_action: None,
            json_depth_limit: 512,
            arguments_limit: 1000,
            response_body_access: false,
            response_body_types: vec!["text/plain".to_owned(), "text/html".to_owned()],
            response_body_limit: 524_288,
            response_body_limit_action: None,
            argument_separator: b'&',
            cookie_version: 0,
            unicode_map: None,
            collection_timeout: 3600,
            upload_file_limit: 100,
            audit: AuditSettings {
                engine: AuditEngine::Off,
                parts: "ABCFHZ".to_owned(),
                relevant_status: None,
                path: None,
                format: AuditFormat::Json,
            },
            component_signatures: Vec::new(),
            web_app_id: "default".to_owned(),
            server_signature: None,
        }
    }
}
