//! Folders that the service manager created for this process. systemd names those of `StateDirectory=` and
//! `RuntimeDirectory=` in the environment (systemd.exec(5)). They are the defaults of `state_dir` and `admin`.

use std::path::{Path, PathBuf};

use crate::config::model::{Admin, AdminAddress};

const STATE: &str = "STATE_DIRECTORY";
const RUNTIME: &str = "RUNTIME_DIRECTORY";
/// The name of the admin socket in the runtime folder.
const SOCKET: &str = "admin.sock";
/// The admin socket of the packaged unit, for verbs that run outside of the unit.
const INSTALLED: &str = "/run/drawbridge/admin.sock";

/// The `state_dir` of a configuration that has none.
pub(crate) fn state_dir() -> Option<PathBuf> {
    folder(STATE)
}

/// The `admin` address of a configuration that has none.
pub(crate) fn admin() -> Option<Admin> {
    folder(RUNTIME).map(|folder| local(folder.join(SOCKET)))
}

/// The admin address of a packaged front door that runs; None if its socket does not exist.
#[must_use]
pub fn installed_admin() -> Option<Admin> {
    let socket = Path::new(INSTALLED);
    socket.exists().then(|| local(socket.to_owned()))
}

fn local(socket: PathBuf) -> Admin {
    Admin {
        address: AdminAddress::Unix(socket),
        // The mode of the socket decides who may connect.
        token: None,
    }
}

/// The first of the folders, which are absolute paths separated by colons.
fn folder(variable: &str) -> Option<PathBuf> {
    let folders = std::env::var_os(variable)?;
    let first = std::env::split_paths(&folders).next()?;
    // Outside of a unit the variable may hold anything, so a value that is no folder is ignored.
    (first.is_absolute() && first.is_dir()).then_some(first)
}
