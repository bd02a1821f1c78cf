//! What verbs share that read a configuration and do not serve from it.

use std::future::Future;
use std::io;

use super::config_file::ConfigFile;
use super::error::CommandError;
use crate::config::{self, Config};

/// Reads the configuration. Warnings are for `check`.
///
/// # Errors
/// There is none, or it cannot be run.
pub(super) fn load(file: &ConfigFile) -> Result<Config, CommandError> {
    match config::load(&file.find().map_err(CommandError::because)?) {
        Ok(loaded) => Ok(loaded.config),
        Err(found) => Err(CommandError::Diagnostics(found)),
    }
}

/// Runs something that dials.
///
/// # Errors
/// There is no runtime to be had.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(future);
    // A name that is still being looked up does not hold the exit up.
    runtime.shutdown_background();
    Ok(done)
}
