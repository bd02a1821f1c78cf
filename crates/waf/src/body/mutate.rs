//! Deterministic hostile inputs for the parsers' property tests.

use crate::random::Xorshift;

/// Calls `check` with `rounds` mutations of the seeds: bytes changed, spans deleted, doubled or
/// swapped between seeds, and tokens of the format dropped in.
pub(super) fn mutations(
    seeds: &[&[u8]],
    tokens: &[&[u8]],
    rounds: u64,
    mut check: impl FnMut(&[u8]),
) {
    for round in 0..rounds {
        let mut random = Xorshift::new(round + 1);
        let mut body = seeds[random.below(seeds.len())].to_vec();
        for _ in 0..=random.below(6) {
            let at = random.below(body.len() + 1);
            let end = (at + random.below(24)).min(body.len());
            match random.below(6) {
                0 if at < body.len() => body[at] = random.next().to_le_bytes()[3],
                1 => drop(body.drain(at..end)),
                2 => {
                    let span = body[at..end].to_vec();
                    body.splice(at..at, span);
                }
                3 => {
                    let other = seeds[random.below(seeds.len())];
                    let from = random.below(other.len() + 1);
                    body.splice(at..end, other[from..].iter().copied().take(40));
                }
                4 => body.truncate(at),
                _ => {
                    let token = tokens[random.below(tokens.len())];
                    body.splice(at..at, token.iter().copied());
                }
            }
        }
        check(&body);
    }
}
