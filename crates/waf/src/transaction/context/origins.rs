//! Where bytes of the transaction came from, so that text made from a secret is known to be secret.
//!
//! Most transactions record no match. So this only takes notes; [`Secrets`](crate::transaction::matches) reads them
//! when a record is written.

use std::ops::Range;

use crate::variables::{Slice, Value};

/// Something that may hold a secret.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// A value that matched, and as it was received.
    Matched { value: Value, received: Slice },
    /// Bytes put together from pieces.
    Joined { pieces: Range<usize>, whole: Slice },
}

/// Notes of origins. The pieces of templates that are being expanded stand at the end of `pieces`.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    notes: Vec<Origin>,
    pieces: Vec<Slice>,
}

impl Origins {
    /// A value matched.
    #[inline]
    pub(crate) fn note_match(&mut self, value: Value, received: Slice) {
        self.notes.push(Origin::Matched { value, received });
    }

    /// Where pieces that are pushed next begin.
    #[inline]
    pub(crate) fn mark(&self) -> usize {
        self.pieces.len()
    }

    #[inline]
    pub(crate) fn push_piece(&mut self, piece: Slice) {
        self.pieces.push(piece);
    }

    #[inline]
    pub(crate) fn pieces_since(&self, mark: usize) -> &[Slice] {
        self.pieces.get(mark..).unwrap_or_default()
    }

    /// The pieces since `mark` became `whole`.
    pub(crate) fn note_join(&mut self, mark: usize, whole: Slice) {
        let pieces = mark..self.pieces.len();
        self.notes.push(Origin::Joined { pieces, whole });
    }

    /// Forgets the pieces since `mark`.
    pub(crate) fn drop_pieces(&mut self, mark: usize) {
        self.pieces.truncate(mark);
    }

    pub(crate) fn take_pieces(&mut self, mark: usize) -> Vec<Slice> {
        self.pieces.split_off(mark)
    }

    /// The pieces that a [`Origin::Joined`] is made of.
    pub(crate) fn pieces(&self, range: Range<usize>) -> &[Slice] {
        self.pieces.get(range).unwrap_or_default()
    }

    /// The note at this place, in the order they were made.
    pub(crate) fn note(&self, at: usize) -> Option<Origin> {
        self.notes.get(at).cloned()
    }

    pub(crate) fn clear(&mut self) {
        self.notes.clear();
        self.pieces.clear();
    }

    /// Bytes that the longer list has room for.
    pub(crate) fn capacity(&self) -> usize {
        let notes = self.notes.capacity() * size_of::<Origin>();
        notes.max(self.pieces.capacity() * size_of::<Slice>())
    }
}
