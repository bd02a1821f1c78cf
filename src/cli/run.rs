//! `drawbridge run`: serves from a configuration file.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::config_file::ConfigFile;
use super::error::CommandError;
use super::output::{Output, wants_colour};
use crate::config::{self, Loaded};
use crate::proxy::{BoundAddresses, Opening, Program, open};
use crate::supervision::log_panics;
use crate::telemetry::{Metrics, Stderr};
use seclang::diagnostic::Diagnostic;

/// How long the process waits at its end for stderr to take the last lines. A stalled reader must not keep it alive.
const STDERR_TIMEOUT: Duration = Duration::from_secs(1);

/// Serve from a configuration file
///
/// Refuses to start if `check` finds an error. Follows its files: a valid change is applied, and for an
/// invalid one the last good version stays in use.
///
/// SIGTERM or Ctrl-C ends it when the requests in flight are answered or `shutdown_timeout` has passed; a
/// second Ctrl-C ends it at once. SIGHUP reads all files now; SIGUSR1 opens the log files again; SIGUSR2
/// starts this command again with `--upgrade`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) config: ConfigFile,
    /// Take over from the front door that runs with the same `state_dir`: it hands over its sockets,
    /// drains and ends, and no connection is lost. If none runs, or if anything fails, exit 1 and
    /// nothing changes
    #[arg(long)]
    pub(super) upgrade: bool,
}

pub(super) fn run(args: &Args) -> ExitCode {
    // First, because the problems of the configuration go through the same queue.
    log_to_stderr();
    let path = match args.config.find() {
        Ok(path) => path,
        Err(error) => return CommandError::because(error).report(Output::Human),
    };
    let loaded = match config::load(&path) {
        Ok(loaded) => loaded,
        Err(found) => {
            // The lines are only queued, and the queue's thread ends with the process.
            show(&found);
            Stderr::flush(STDERR_TIMEOUT);
            return ExitCode::FAILURE;
        }
    };
    show(&loaded.warnings);
    let opening = Opening {
        upgrade: args.upgrade,
        program: Program::this("--upgrade"),
    };
    run_loaded(loaded, opening, |bound, _| {
        for (listener, addresses) in &bound.0 {
            for address in addresses {
                tracing::info!("listener {listener} on {address}");
            }
        }
    })
}

/// Serves this configuration until SIGTERM or Ctrl-C. Calls `ready` when every listener accepts.
fn run_loaded(
    loaded: Loaded,
    opening: Opening,
    ready: impl FnOnce(&BoundAddresses, &Arc<Metrics>),
) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let served = match runtime {
        Ok(runtime) => {
            let served = runtime.block_on(async {
                let stop = stop_signal()?;
                open(loaded.config, opening, ready, stop)
                    .await
                    .map_err(io::Error::other)
            });
            // Tasks that outlast the drain, such as a blocked read of a file, must not delay the exit.
            runtime.shutdown_background();
            served
        }
        Err(error) => Err(error),
    };
    let code = match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    };
    Stderr::flush(STDERR_TIMEOUT);
    code
}

/// Logs to stderr what `RUST_LOG` selects. The lines of rules have the target `waf`.
fn log_to_stderr() {
    // Pingora logs every failed request as an error; the access log has a line for each already.
    let standard = || EnvFilter::new("info,pingora_core=off,pingora_proxy=off");
    let chosen =
        std::env::var_os(EnvFilter::DEFAULT_ENV).map(|_| EnvFilter::try_from_default_env());
    let (filter, faulty) = match chosen {
        None => (standard(), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (standard(), Some(error)),
    };
    // Before the subscriber, so that no line is written by the thread that logs it.
    Stderr::start();
    // Fails if a subscriber exists, which then stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Stderr)
        .with_ansi(wants_colour(&io::stderr()))
        // The subscriber would write its own errors to stderr, and panic if stderr is closed.
        .log_internal_errors(false)
        .try_init();
    log_panics();
    // Only now there is a subscriber that shows it.
    if let Some(error) = faulty {
        tracing::warn!("RUST_LOG is invalid and ignored: {error}");
    }
}

fn show(found: &[Diagnostic]) {
    let colour = wants_colour(&io::stderr());
    for diagnostic in found {
        // Writing to this queue cannot fail.
        let _ = Stderr.write_all(diagnostic.render(colour).as_bytes());
    }
}

/// Completes when a signal asks the process to end. Installs the handlers at once.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    // Installed before the front door opens: a signal during the start would end the process at once otherwise.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // The first signal starts the drain; somebody who presses Ctrl-C again does not want to wait for it.
        tokio::spawn(async move {
            if interrupt.recv().await.is_some() {
                tracing::warn!("interrupted while closing: requests in flight are cut off");
                Stderr::flush(STDERR_TIMEOUT);
                std::process::exit(1);
            }
        });
    })
}
