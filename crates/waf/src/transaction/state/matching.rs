//! The rule that runs, and the values that matched last.

use crate::variables::Value;

/// What `RULE`, `MATCHED_VAR` and `MATCHED_VARS` are made of.
#[derive(Debug, Default)]
pub(crate) struct Matching {
    /// Index of the rule in the rule set.
    rule: Option<u32>,
    /// `MATCHED_VAR`, transformed.
    value: Option<Value>,
    /// `MATCHED_VARS` of this chain.
    values: Vec<Value>,
}

impl Matching {
    /// Keeps values in this buffer, which is empty.
    pub(crate) fn in_buffer(values: Vec<Value>) -> Self {
        Self {
            values,
            ..Self::default()
        }
    }

    pub(crate) fn take_buffer(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.values)
    }

    /// Index of the rule that runs.
    pub(crate) fn rule(&self) -> Option<u32> {
        self.rule
    }

    /// The value that matched last, of any rule.
    pub(crate) fn value(&self) -> Option<Value> {
        self.value
    }

    /// The values that matched in the rule that runs.
    pub(crate) fn values(&self) -> &[Value] {
        &self.values
    }

    #[inline]
    pub(crate) fn begin_rule(&mut self, rule: u32) {
        self.rule = Some(rule);
        self.values.clear();
    }

    pub(crate) fn end_phase(&mut self) {
        self.rule = None;
    }

    pub(crate) fn add(&mut self, value: Value) {
        self.value = Some(value);
        self.values.push(value);
    }
}
