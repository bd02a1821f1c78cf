//! What the prefilter proposes in the running phase: for each value the rules that may match it.
//!
//! A value without a row has no proposal; every rule runs on it.

use crate::prefilter::Row;
use crate::variables::{Value, Variable};

/// What the prefilter proposes in the running phase.
#[derive(Debug, Default)]
pub(crate) struct Proposals {
    /// One row a value.
    rows: Vec<Row>,
    /// Rules that any value is proposed for.
    hot: Row,
    /// Where each variable's rows begin.
    bases: Vec<(Variable, u32)>,
    active: bool,
}

impl Proposals {
    /// Bytes that it has room for.
    pub(crate) fn capacity(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
    }

    /// Forgets the last phase. `active`: the phase has a filter.
    pub(crate) fn begin_phase(&mut self, active: bool) {
        self.rows.clear();
        self.bases.clear();
        self.hot = Row::default();
        self.active = active;
    }

    /// The rows that are added next are those of this variable's values.
    pub(crate) fn begin_variable(&mut self, variable: Variable) {
        let base = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        self.bases.push((variable, base));
    }

    /// Adds the next value's row.
    #[inline]
    pub(crate) fn push(&mut self, row: Row) {
        self.hot.union(&row);
        self.rows.push(row);
    }

    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    /// The rules that any value is proposed for; None if the phase has no filter.
    pub(crate) fn hot(&self) -> Option<Row> {
        self.active.then_some(self.hot)
    }

    #[inline]
    pub(crate) fn allows(&self, bit: u16, value: &Value) -> bool {
        self.rows
            .get(value.item as usize)
            // A value without a row was not looked at: any rule may match it.
            .is_none_or(|row| row.contains(bit))
    }

    /// Whether the value was looked at and proposed. Unlike in [`Proposals::allows`], a value without a row does not
    /// count.
    pub(crate) fn tells(&self, bit: u16, value: &Value) -> bool {
        let row = self.rows.get(value.item as usize);
        row.is_some_and(|row| row.contains(bit))
    }

    /// Where the rows of this variable's values begin.
    pub(crate) fn base(&self, variable: Variable) -> Option<u32> {
        self.bases.iter().find(|(v, _)| *v == variable).map(|b| b.1)
    }
}
