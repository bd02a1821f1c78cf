//! The program that SIGUSR2 starts: the same command line, and the file that has its path by then.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// A program and its arguments.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program's file.
    pub file: PathBuf,
    /// Its arguments, without its own name.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// The command of this process, with the flag `upgrade`. Its file is looked up now: after the file was replaced,
    /// Linux reports its path as deleted. None if the system does not report it.
    #[must_use]
    pub fn this(upgrade: &str) -> Option<Self> {
        let file = std::env::current_exe().ok()?;
        let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
        if !arguments.iter().any(|argument| argument == upgrade) {
            arguments.push(upgrade.into());
        }
        Some(Self { file, arguments })
    }

    /// Starts the program, and logs if it ends before this process does.
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
        // Without a wait the ended program would stay a zombie.
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
