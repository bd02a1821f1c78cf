//! The program that SIGUSR2 starts: the same command, and whatever stands in its file by then.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// What a process was started as.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program's file.
    pub file: PathBuf,
    /// Its arguments, without its own name.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// This process, asked to take over. Its file is looked up now: once it was replaced, the system
    /// only knows that it is gone. None where the system does not tell.
    #[must_use]
    pub fn this(upgrade: &str) -> Option<Self> {
        let file = std::env::current_exe().ok()?;
        let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
        if !arguments.iter().any(|argument| argument == upgrade) {
            arguments.push(upgrade.into());
        }
        Some(Self { file, arguments })
    }

    /// Starts it, and tells where it ends before this process does.
    pub fn start(&self) {
        let file = self.file.display();
        let mut child = match Command::new(&self.file).args(&self.arguments).spawn() {
            Ok(child) => child,
            Err(error) => {
                tracing::error!(target: "upgrade", "cannot start {file}: {error}");
                return;
            }
        };
        tracing::info!(target: "upgrade", pid = child.id(), "started {file}");
        // A thread that only waits.
        let waiting = std::thread::Builder::new()
            .name("successor".to_owned())
            .spawn(move || {
                if let Ok(status) = child.wait() {
                    tracing::error!(target: "upgrade", "the successor ended: {status}");
                }
            });
        if let Err(error) = waiting {
            tracing::warn!(target: "upgrade", "nobody hears of the successor's end: {error}");
        }
    }
}
