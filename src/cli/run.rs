//! `drawbridge run`: serve from a configuration file.

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
use crate::supervision::tell_panics;
use crate::telemetry::{Metrics, Stderr};
use seclang::diagnostic::Diagnostic;

/// How long the end of the process waits for stderr.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serve from a configuration file
///
/// Refuses to start where `check` finds an error. Follows its files: what changes is checked and
/// taken live, what is wrong is refused and the last good version goes on.
///
/// SIGTERM or Ctrl-C ends it after the requests in flight have been answered or `shutdown_timeout`
/// is over; a second Ctrl-C at once. SIGHUP reads all files now; SIGUSR1 opens log files anew; SIGUSR2
/// starts this command again with `--upgrade`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub config: ConfigFile,
    /// Take over from the front door that runs with the same `state_dir`: it hands its sockets over,
    /// drains and ends, and no connection is lost. Where none runs, or anything is wrong, exit 1 and
    /// all stays as it is
    #[arg(long)]
    pub upgrade: bool,
}

#[must_use]
pub fn run(args: &Args) -> ExitCode {
    log_to_stderr();
    let path = match args.config.find() {
        Ok(path) => path,
        Err(error) => return CommandError::because(error).report(Output::Human),
    };
    let loaded = match config::load(&path) {
        Ok(loaded) => loaded,
        Err(found) => {
            show(&found);
            Stderr::flush(LAST_WORDS);
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

/// Serves a configuration that was loaded, until SIGTERM or Ctrl-C. `ready` is called once every
/// listener accepts.
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
            // What is still there after the drain does not get to hold the exit up.
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
    Stderr::flush(LAST_WORDS);
    code
}

/// Says what happens on stderr; `RUST_LOG` chooses what. The rules' own lines have the target `waf`.
pub fn log_to_stderr() {
    let standard = || EnvFilter::new("info,pingora_core=off,pingora_proxy=off");
    let chosen =
        std::env::var_os(EnvFilter::DEFAULT_ENV).map(|_| EnvFilter::try_from_default_env());
    let (filter, faulty) = match chosen {
        None => (standard(), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (standard(), Some(error)),
    };
    Stderr::start();
    // A second call keeps what the first installed.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Stderr)
        .with_ansi(wants_colour())
        // It would write them to stderr itself, and panic where that is gone.
        .log_internal_errors(false)
        .try_init();
    tell_panics();
    if let Some(error) = faulty {
        tracing::warn!("RUST_LOG is not followed: {error}");
    }
}

fn show(found: &[Diagnostic]) {
    let colour = wants_colour();
    for diagnostic in found {
        // Cannot fail.
        let _ = Stderr.write_all(diagnostic.render(colour).as_bytes());
    }
}

/// Ready when the process is asked to end. The handlers are installed at once.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tokio::spawn(async move {
            if interrupt.recv().await.is_some() {
                tracing::warn!("interrupted while closing: requests in flight are cut off");
                Stderr::flush(LAST_WORDS);
                std::process::exit(1);
            }
        });
    })
}
