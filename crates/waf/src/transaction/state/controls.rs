//! Settings that `ctl` and `sanitise...` change, for this transaction only.

use crate::rule::{Control, PartsChange, Processor};
use crate::settings::{AuditEngine, Settings};
use crate::variables::{Slice, Variable};

/// Settings that rules can change while they run. They begin as the rule set's.
#[derive(Debug)]
pub(crate) struct Controls {
    request_body_access: bool,
    response_body_access: bool,
    processor: Option<Processor>,
    force_request_body: bool,
    request_body_limit: usize,
    response_body_limit: usize,
    audit_engine: AuditEngine,
    audit_parts: String,
    masked: Vec<(Variable, Slice)>,
}

impl Controls {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            request_body_access: settings.request_body_access,
            response_body_access: settings.response_body_access,
            // Known when the head was read.
            processor: None,
            force_request_body: false,
            request_body_limit: settings.request_body_limit,
            response_body_limit: settings.response_body_limit,
            audit_engine: settings.audit.engine,
            audit_parts: settings.audit.parts.clone(),
            masked: Vec::new(),
        }
    }

    pub(crate) fn request_body_access(&self) -> bool {
        self.request_body_access
    }

    pub(crate) fn response_body_access(&self) -> bool {
        self.response_body_access
    }

    /// The parser of the request's body; None if there is none.
    pub(crate) fn processor(&self) -> Option<Processor> {
        self.processor
    }

    pub(crate) fn set_processor(&mut self, processor: Option<Processor>) {
        self.processor = processor;
    }

    /// Whether a body that no processor reads becomes `REQUEST_BODY`.
    pub(crate) fn force_request_body(&self) -> bool {
        self.force_request_body
    }

    /// Bytes.
    pub(crate) fn request_body_limit(&self) -> usize {
        self.request_body_limit
    }

    /// Bytes.
    pub(crate) fn response_body_limit(&self) -> usize {
        self.response_body_limit
    }

    pub(crate) fn audit_engine(&self) -> AuditEngine {
        self.audit_engine
    }

    /// Whether the audit record shall have this part.
    pub(crate) fn asks_for(&self, part: char) -> bool {
        self.audit_parts.contains(part)
    }

    /// Variables, and names if they have some, whose values are masked.
    pub(crate) fn masked(&self) -> &[(Variable, Slice)] {
        &self.masked
    }

    /// Whether an argument is among them.
    pub(crate) fn masks_arguments(&self) -> bool {
        let is_argument = |variable: &Variable| {
            matches!(
                variable,
                Variable::Args | Variable::ArgsGet | Variable::ArgsPost
            )
        };
        self.masked
            .iter()
            .any(|(variable, _)| is_argument(variable))
    }

    pub(crate) fn mask(&mut self, variable: Variable, name: Slice) {
        self.masked.push((variable, name));
    }

    /// Applies `ctl` to a setting; its other options concern no setting.
    pub(crate) fn apply(&mut self, control: &Control) {
        match control {
            Control::RequestBodyAccess(on) => self.request_body_access = *on,
            Control::ResponseBodyAccess(on) => self.response_body_access = *on,
            Control::RequestBodyProcessor(processor) => self.processor = Some(*processor),
            Control::ForceRequestBodyVariable(on) => self.force_request_body = *on,
            Control::RequestBodyLimit(bytes) => self.request_body_limit = *bytes,
            Control::ResponseBodyLimit(bytes) => self.response_body_limit = *bytes,
            Control::AuditEngine(engine) => self.audit_engine = *engine,
            Control::AuditLogParts(change) => change_parts(&mut self.audit_parts, change),
            Control::RuleEngine(_) | Control::RemoveRules(_) | Control::RemoveTargets(_) => {}
        }
    }
}

fn change_parts(parts: &mut String, change: &PartsChange) {
    match change {
        PartsChange::Replace(all) => parts.clone_from(all),
        PartsChange::Add(more) => {
            // A part is written once, however often it is added.
            let new: String = more.chars().filter(|c| !parts.contains(*c)).collect();
            parts.push_str(&new);
        }
        PartsChange::Remove(less) => parts.retain(|c| !less.contains(c)),
    }
}
