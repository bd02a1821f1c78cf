//! Ports for programs that cannot be given a socket, and ports where nobody listens.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range from which systems choose: the port of a client, or of a listener that asks for any, is never one of these.
/// While a port of that range waits for its program, another test may get it, or a client that knocks may meet itself.
const FIRST: u16 = 10_000;
const COUNT: u32 = 20_000;
/// The ports of tests that begin after each other do not meet.
const EACH: u32 = 31;

/// An address of this machine where nobody listens. Each call gives another one.
///
/// # Panics
/// There is none.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(EACH);
    let bind = |_| {
        let at = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = FIRST + u16::try_from(at).ok()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        listener.local_addr().ok()
    };
    let mut found = (0..COUNT).filter_map(bind);
    found.next().expect("a port is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_gives_another_port_outside_of_the_system_s_range() {
        let (one, two) = (free(), free());
        assert_ne!(one, two);
        assert!(
            [one, two]
                .iter()
                .all(|at| (10_000..30_000).contains(&at.port()))
        );
        TcpListener::bind(one).unwrap();
    }
}
