//! What `Sec...` directives that are not rules say.

use std::sync::Arc;

use super::operators::rx::Pattern;
use super::transform::UnicodeMap;

/// The settings of one rule set.
#[derive(Debug, Clone)]
pub struct Settings {
    pub engine: EngineMode,
    pub request_body_access: bool,
    /// Bytes (`SecRequestBodyLimit`).
    pub request_body_limit: usize,
    /// Bytes without files; None means as `request_body_limit` (`SecRequestBodyNoFilesLimit`).
    pub request_body_no_files_limit: Option<usize>,
    /// None where the rules do not say.
    pub request_body_limit_action: Option<LimitAction>,
    pub json_depth_limit: usize,
    pub arguments_limit: usize,
    pub response_body_access: bool,
    /// Lower case.
    pub response_body_types: Vec<String>,
    pub response_body_limit: usize,
    pub response_body_limit_action: Option<LimitAction>,
    pub argument_separator: u8,
    pub cookie_version: u8,
    pub unicode_map: Option<Arc<UnicodeMap>>,
    /// Seconds a persistent collection lives after its last update.
    pub collection_timeout: u64,
    pub upload_file_limit: usize,
    pub audit: AuditSettings,
    pub component_signatures: Vec<String>,
    pub web_app_id: String,
    pub server_signature: Option<String>,
}

/// What `SecRuleEngine` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineMode {
    On,
    DetectionOnly,
    Off,
}

/// `SecAuditEngine`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditEngine {
    On,
    Off,
    RelevantOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitAction {
    Reject,
    ProcessPartial,
}

/// What a body is to the rules that no parser takes apart: it has no Content-Type, or one that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnparsedBodies {
    /// Its bytes are `REQUEST_BODY`.
    Inspect,
    /// It is refused.
    Block,
    /// It is not looked at.
    Pass,
}

/// `SecAudit...`
#[derive(Debug, Clone)]
pub struct AuditSettings {
    pub engine: AuditEngine,
    /// The letters of `SecAuditLogParts`.
    pub parts: String,
    /// `SecAuditLogRelevantStatus`, a regular expression over the status.
    pub relevant_status: Option<Arc<Pattern>>,
    /// `SecAuditLog`; read and not followed: records go where the front door's configuration says.
    pub path: Option<String>,
    pub format: AuditFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditFormat {
    /// `ModSecurity` v3's JSON.
    Json,
    /// Elastic Common Schema.
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
