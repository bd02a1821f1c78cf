//! What the verbs share that read a configuration and do not serve from it.

use std::future::Future;
use std::io;
use std::path::PathBuf;

use super::config_file::ConfigFile;
use super::error::CommandError;
use crate::config::{self, Config};

/// Loads the configuration. Only `check` shows its warnings.
///
/// # Errors
/// There is no configuration, or it has errors.
pub(super) fn load(file: &ConfigFile) -> Result<Config, CommandError> {
    match config::load(&file.find().map_err(CommandError::because)?) {
        Ok(loaded) => Ok(loaded.config),
        Err(found) => Err(CommandError::Diagnostics(found)),
    }
}

/// The folder whose events the configuration means.
///
/// # Errors
/// There is no configuration, or it has no `state_dir`.
pub(super) fn state_dir(file: &ConfigFile) -> Result<PathBuf, CommandError> {
    let path = file.find().map_err(CommandError::because)?;
    // Nothing else is loaded: events must be found while rules or certificates are broken.
    let found = config::state_dir_of(&path).map_err(CommandError::Diagnostics)?;
    found.ok_or_else(|| {
        let path = path.display();
        CommandError::Problem(format!(
            "{path}: there is no \"state_dir\", so no request is kept"
        ))
    })
}

/// Runs a future that dials, on a runtime of its own.
///
/// # Errors
/// The runtime cannot be started.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(future);
    // A DNS lookup that is still running must not delay the exit.
    runtime.shutdown_background();
    Ok(done)
}
