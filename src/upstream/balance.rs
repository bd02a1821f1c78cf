//! Chooses whose turn it is, without I/O.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::{Balance, ServerState};

/// One of the candidates; None if there are none. The caller holds a lock, so that nobody chooses at the same time.
pub(super) fn choose(
    balance: Balance,
    candidates: &[Arc<ServerState>],
) -> Option<Arc<ServerState>> {
    match balance {
        Balance::RoundRobin => in_turn(candidates.iter()),
        Balance::LeastConnections => {
            let least = candidates.iter().min_by(|a, b| by_load(a, b))?;
            // Among equals, in turn.
            let equal = candidates.iter();
            in_turn(equal.filter(|server| by_load(server, least) == Ordering::Equal))
        }
    }
}

/// Requests in flight for each unit of weight.
fn by_load(a: &ServerState, b: &ServerState) -> Ordering {
    let load =
        // Cross-multiplied, because a division would round. In u128 nothing overflows.
        |one: &ServerState, other: &ServerState| one.in_flight() as u128 * u128::from(other.weight);
    load(a, b).cmp(&load(b, a))
}

/// Smooth weighted round robin (as in nginx): each server gains its weight as credit; the one with the most credit is
/// chosen and pays what all gained. Over a round each is chosen as often as its weight says, and its turns are spread
/// over the round.
fn in_turn<'s>(candidates: impl Iterator<Item = &'s Arc<ServerState>>) -> Option<Arc<ServerState>> {
    let mut total = 0;
    let mut best: Option<(&Arc<ServerState>, i64)> = None;
    for server in candidates {
        let weight = i64::from(server.weight);
        total += weight;
        // Relaxed, because the caller's lock orders these changes.
        let credit = server.credit.fetch_add(weight, Relaxed) + weight;
        if best.is_none_or(|(_, most)| credit > most) {
            best = Some((server, credit));
        }
    }
    let (chosen, _) = best?;
    chosen.credit.fetch_sub(total, Relaxed);
    Some(Arc::clone(chosen))
}

#[cfg(test)]
mod tests {
    use super::super::server::Lease;
    use super::*;

    fn servers(weights: &[u32]) -> Vec<Arc<ServerState>> {
        let server = |(n, weight): (u16, &u32)| {
            let address = ([127, 0, 0, 1], n + 1).into();
            Arc::new(ServerState::new("u", n.to_string(), address, *weight, None))
        };
        (0..).zip(weights).map(server).collect()
    }

    fn order(balance: Balance, servers: &[Arc<ServerState>], turns: usize) -> String {
        let turn = |_| choose(balance, servers).unwrap().name.clone();
        (0..turns).map(turn).collect()
    }

    #[test]
    fn turns_are_smooth_and_weighted() {
        for (weights, expected) in [
            (&[1, 1][..], "0101"),
            (&[5, 1, 1], "0010200"),
            (&[1, 3], "1011"),
            (&[7], "000"),
        ] {
            let servers = servers(weights);
            let turns = order(Balance::RoundRobin, &servers, expected.len());
            assert_eq!(turns, expected, "{weights:?}");
        }
        assert!(choose(Balance::RoundRobin, &[]).is_none());
    }

    #[test]
    fn the_least_busy_for_its_weight_is_next() {
        let servers = servers(&[1, 2]);
        assert_eq!(order(Balance::LeastConnections, &servers, 3), "101");
        let busy = Lease::new(Arc::clone(&servers[1]));
        assert_eq!(order(Balance::LeastConnections, &servers, 3), "000");
        let also = Lease::new(Arc::clone(&servers[0]));
        assert_eq!(order(Balance::LeastConnections, &servers, 3), "111");
        drop((busy, also));
        assert_eq!(servers[0].in_flight() + servers[1].in_flight(), 0);
    }
}
