//! What verbs share that read a configuration and do not serve from it.

use std::future::Future;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use super::check::wants_colour;
use crate::config::{self, Config};

/// Reads the configuration; where it cannot be run, says why on stderr. Warnings are for `check`.
///
/// # Errors
/// The code to exit with.
pub(super) fn load(path: &Path) -> Result<Config, ExitCode> {
    config::load(path)
        .map(|loaded| loaded.config)
        .map_err(|found| {
            let colour = wants_colour();
            for problem in found.iter().filter(|problem| problem.is_error()) {
                eprint!("{}", problem.render(colour));
            }
            ExitCode::FAILURE
        })
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
