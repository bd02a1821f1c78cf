//! What the verbs share that read a configuration and do not serve from it.

use std::future::Future;
use std::io;

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
