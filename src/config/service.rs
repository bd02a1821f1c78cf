//! What a service manager made for this process: systemd names the folders of `StateDirectory=` and
//! `RuntimeDirectory=` in the environment (systemd.exec(5)). They stand in for keys that nobody wrote.

use std::path::{Path, PathBuf};

use super::model::{Admin, AdminAddress};

const STATE: &str = "STATE_DIRECTORY";
const RUNTIME: &str = "RUNTIME_DIRECTORY";
/// In the runtime folder.
const SOCKET: &str = "admin.sock";
/// Where the packaged unit's admin socket is, for verbs that are typed outside of the unit.
const INSTALLED: &str = "/run/drawbridge/admin.sock";

/// The `state_dir` of a configuration that has none.
pub(super) fn state_dir() -> Option<PathBuf> {
    folder(STATE)
}

/// The `admin` address of a configuration that has none.
pub(super) fn admin() -> Option<Admin> {
    folder(RUNTIME).map(|folder| local(folder.join(SOCKET)))
}

/// The admin address of a packaged front door that runs; None where its socket is not there.
#[must_use]
pub fn installed_admin() -> Option<Admin> {
    let socket = Path::new(INSTALLED);
    socket.exists().then(|| local(socket.to_owned()))
}

fn local(socket: PathBuf) -> Admin {
    Admin {
        address: AdminAddress::Unix(socket),
        token: None,
    }
}

/// The first of the folders, which are absolute and parted by colons.
fn folder(variable: &str) -> Option<PathBuf> {
    let folders = std::env::var_os(variable)?;
    let first = std::env::split_paths(&folders).next()?;
    (first.is_absolute() && first.is_dir()).then_some(first)
}
