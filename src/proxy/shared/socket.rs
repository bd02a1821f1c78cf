//! Sets what the kernel does for us with a client's connection.

use std::io;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::TcpStream;

/// How long a connection is silent before its other side is asked whether it is still there, how often,
/// and how many times: a host that is gone is noticed within two minutes.
pub(crate) const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
pub(crate) const KEEPALIVE_PROBES: u32 = 6;

/// Sends small answers at once, notices a host that vanished, and disconnects a client that acknowledges nothing for
/// `stalled` while there is something to acknowledge. Only the kernel knows the latter: our writes fill a buffer of
/// megabytes, which a slow client empties in steps of many seconds. So every write has this deadline, and every
/// acknowledgement extends it.
///
/// # Errors
/// The connection is gone.
pub(crate) fn prepare(tcp: &TcpStream, stalled: Duration) -> io::Result<()> {
    const LONGEST: u32 = i32::MAX.unsigned_abs();
    // We join writes ourselves; Nagle's algorithm would delay the last part of an answer.
    tcp.set_nodelay(true)?;
    sockopt::set_socket_keepalive(tcp, true)?;
    sockopt::set_tcp_keepidle(tcp, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(tcp, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(tcp, KEEPALIVE_PROBES)?;
    let milliseconds = u32::try_from(stalled.as_millis()).unwrap_or(LONGEST);
    // 0 would mean the system's default of many minutes.
    sockopt::set_tcp_user_timeout(tcp, milliseconds.clamp(1, LONGEST))?;
    Ok(())
}
