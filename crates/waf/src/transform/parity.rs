//! `parityEven7bit`, `parityOdd7bit` and `parityZero7bit`: the eighth bit as a parity bit.

#![allow(
    clippy::indexing_slicing,
    reason = "positions were found in the same bytes"
)]

use super::table::{IDENTITY, Table};

/// The eighth bit is set if the received byte has an odd number of ones.
pub(super) const EVEN: Table = eighth_bit(Parity::Even);
/// The eighth bit is set if the received byte has an even number of ones.
pub(super) const ODD: Table = eighth_bit(Parity::Odd);
/// The eighth bit is never set.
pub(super) const ZERO: Table = eighth_bit(Parity::Zero);

enum Parity {
    Even,
    Odd,
    Zero,
}

const fn eighth_bit(parity: Parity) -> Table {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let byte = IDENTITY[i];
        let odd = byte.count_ones() % 2 == 1;
        let set = match parity {
            Parity::Even => odd,
            Parity::Odd => !odd,
            Parity::Zero => false,
        };
        table[i] = if set { byte | 0x80 } else { byte & 0x7f };
        i += 1;
    }
    table
}
