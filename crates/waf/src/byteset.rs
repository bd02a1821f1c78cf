//! A set of byte values, as a 256-bit mask.

#![allow(clippy::indexing_slicing, reason = "a byte indexes a table of 256")]

/// Which of the 256 byte values are in the set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    /// No byte.
    pub const EMPTY: Self = Self([0; 4]);
    /// Every byte.
    pub const ALL: Self = Self([u64::MAX; 4]);

    /// The bytes of a string.
    #[must_use]
    pub const fn of(bytes: &[u8]) -> Self {
        let mut set = Self::EMPTY;
        let mut i = 0;
        while i < bytes.len() {
            set = set.with(bytes[i]);
            i += 1;
        }
        set
    }

    /// An ASCII letter in both cases; any other byte alone.
    #[must_use]
    pub const fn either_case(byte: u8) -> Self {
        Self::EMPTY
            .with(byte.to_ascii_lowercase())
            .with(byte.to_ascii_uppercase())
    }

    /// The bytes of a value of any length.
    #[must_use]
    pub fn all_of(value: &[u8]) -> Self {
        if value.len() < 64 {
            let mut set = Self::EMPTY;
            value.iter().for_each(|&b| set.insert(b));
            return set;
        }
        // For longer values a store a byte is cheaper, however often it occurs.
        let mut seen = [0u8; 256];
        for &byte in value {
            seen[usize::from(byte)] = 1;
        }
        let mut words = [0u64; 4];
        for (word, seen) in words.iter_mut().zip(seen.chunks_exact(64)) {
            // From the end, because what comes later is shifted in below it.
            for eight in seen
                .rchunks_exact(8)
                .filter_map(|eight| eight.first_chunk())
            {
                // The product's highest byte has a bit for each of the eight bytes, which are 0 or 1.
                let bits = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
                *word = *word << 8 | bits;
            }
        }
        Self(words)
    }

    /// `first..=last`.
    #[must_use]
    pub const fn range(first: u8, last: u8) -> Self {
        let mut set = Self::EMPTY;
        // Wider than a byte: a `u8` would begin again after 255, and the loop would not end.
        let mut b = first as u16;
        while b <= last as u16 {
            set = set.with((b & 0xff) as u8);
            b += 1;
        }
        set
    }

    /// The set and this byte.
    #[must_use]
    pub const fn with(mut self, byte: u8) -> Self {
        self.0[(byte >> 6) as usize] |= 1 << (byte & 63);
        self
    }

    /// Adds a byte.
    #[inline]
    pub fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    /// Whether the byte is in the set.
    #[must_use]
    #[inline]
    pub const fn contains(&self, byte: u8) -> bool {
        self.0[(byte >> 6) as usize] & (1 << (byte & 63)) != 0
    }

    /// Whether any byte is in both sets.
    #[must_use]
    #[inline]
    pub const fn intersects(&self, other: &Self) -> bool {
        (self.0[0] & other.0[0])
            | (self.0[1] & other.0[1])
            | (self.0[2] & other.0[2])
            | (self.0[3] & other.0[3])
            != 0
    }

    /// In their order.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        let words = [0u8, 64, 128, 192].into_iter().zip(self.0);
        words.flat_map(|(first, mut word)| {
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros();
                // Takes the lowest bit out. An empty word has 64 trailing zeros, which ends the walk.
                word &= word.wrapping_sub(1);
                // Below 64.
                u8::try_from(bit)
                    .ok()
                    .filter(|&bit| bit < 64)
                    .map(|bit| first + bit)
            })
        })
    }

    /// The bytes that are in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self([
            self.0[0] | other.0[0],
            self.0[1] | other.0[1],
            self.0[2] | other.0[2],
            self.0[3] | other.0[3],
        ])
    }

    /// The bytes that are in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self([
            self.0[0] & other.0[0],
            self.0[1] & other.0[1],
            self.0[2] & other.0[2],
            self.0[3] & other.0[3],
        ])
    }

    /// The bytes that are not in the set.
    #[must_use]
    pub const fn complement(self) -> Self {
        Self([!self.0[0], !self.0[1], !self.0[2], !self.0[3]])
    }

    /// Whether no byte is in the set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0[0] | self.0[1] | self.0[2] | self.0[3] == 0
    }

    /// How many bytes are in the set.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.0[0].count_ones()
            + self.0[1].count_ones()
            + self.0[2].count_ones()
            + self.0[3].count_ones()
    }
}

impl std::fmt::Debug for ByteSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set()
            .entries(self.iter().map(|b| b.escape_ascii().to_string()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_in() {
        let set = ByteSet::of(b"a\xff\0").union(ByteSet::range(b'0', b'9'));
        let held: Vec<u8> = (0..=255).filter(|&b| set.contains(b)).collect();
        assert_eq!(held, b"\x000123456789a\xff");
        assert_eq!(set.len(), 13);
        assert!(set.intersects(&ByteSet::of(b"5")) && !set.intersects(&ByteSet::of(b"b")));
        assert_eq!(ByteSet::range(0, 255), ByteSet::ALL);
        assert!(set.intersection(set.complement()).is_empty());
    }
}
