//! A number with its noun.

use std::fmt::Display;

/// `1 rule`, `2 rules`
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        for (count, text) in [(0, "0 rules"), (1, "1 rule"), (2, "2 rules")] {
            assert_eq!(counted(count, "rule"), text);
        }
    }
}
