//! Reports the state of the service to systemd (`Type=notify` or `notify-reload`, sd_notify(3)). Without
//! `NOTIFY_SOCKET` this does nothing.
//!
//! A failure is only logged: the front door serves without a service manager too.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// How long a message may wait for a service manager whose socket buffer is full.
const PATIENCE: Duration = Duration::from_secs(1);

/// The service is ready.
pub fn ready() {
    notify("READY=1");
}

/// A reload began; [`ready`] reports its end.
pub fn reloading() {
    // `Type=notify-reload` needs the time beside RELOADING=1: systemd matches it with the reload that it asked for.
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
}

/// Another process is the main process of the service from now on. This one must send nothing more.
pub fn succeeded_by(pid: u32) {
    notify(&format!("MAINPID={pid}"));
}

/// The service is draining.
pub fn stopping() {
    notify("STOPPING=1");
}

fn notify(state: &str) {
    let Some(to) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(to.as_encoded_bytes(), state) {
        tracing::warn!("cannot notify systemd of {state:?}: {error}");
    }
}

fn send(to: &[u8], state: &str) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let address = match to.strip_prefix(b"@") {
        // `@` marks a socket in the abstract namespace, as a service manager in a container may use.
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(to))?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not block us.
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}
