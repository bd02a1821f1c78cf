//! Sets of rules of one filter, with a bit for each rule.
//!
//! Bits are below the number of words times 64: the filter holds no more rules. A fixed size keeps rows on the stack. Most of
//! what is done to a value is done to rows, so a filter's rows are no wider than its rules need.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

/// Words of the widest [`Row`].
pub(crate) const WORDS: usize = 8;

/// Some rules of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row<const N: usize = WORDS>(pub(super) [u64; N]);

impl<const N: usize> Default for Row<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Row<N> {
    /// The same rules in a row of another width, which holds all of them.
    #[inline]
    pub(crate) fn resized<const M: usize>(&self) -> Row<M> {
        let mut row = Row::default();
        for (word, own) in row.0.iter_mut().zip(&self.0) {
            *word = *own;
        }
        row
    }

    pub(crate) fn insert(&mut self, bit: u16) {
        self.0[usize::from(bit) / 64] |= 1 << (bit % 64);
    }

    #[inline]
    pub(crate) fn contains(&self, bit: u16) -> bool {
        self.0[usize::from(bit) / 64] & (1 << (bit % 64)) != 0
    }

    pub(crate) fn remove(&mut self, bit: u16) {
        self.0[usize::from(bit) / 64] &= !(1 << (bit % 64));
    }

    /// The lowest bit.
    #[inline]
    pub(crate) fn first(&self) -> Option<u16> {
        let word = self.0.iter().position(|&w| w != 0)?;
        // At most 8 words of 64 bits: below 512.
        #[allow(clippy::cast_possible_truncation)]
        let bit = (word * 64) as u16 + self.0[word].trailing_zeros() as u16;
        Some(bit)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().fold(0, |all, word| all | word) == 0
    }

    #[inline]
    pub(crate) fn union(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    pub(crate) fn intersects(&self, other: &Self) -> bool {
        !self.and(other).is_empty()
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] & other.0[i]))
    }

    pub(crate) fn without(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] & !other.0[i]))
    }

    /// In their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> {
        let mut rest = *self;
        let mut word = 0;
        std::iter::from_fn(move || {
            while *rest.0.get(word)? == 0 {
                word += 1;
            }
            let bits = &mut rest.0[word];
            let bit = bits.trailing_zeros();
            *bits &= bits.wrapping_sub(1);
            // At most 8 words of 64 bits: below 512.
            #[allow(clippy::cast_possible_truncation)]
            Some((word * 64) as u16 + bit as u16)
        })
    }
}
