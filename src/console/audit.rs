//! Who did what in the console: a line of the log, and of a file in the `state_dir`.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::sessions::Identity;
use crate::time::rfc3339;

const FILE: &str = "console-audit.jsonl";

/// The audit of one front door.
#[derive(Debug)]
pub(super) struct Audit {
    file: Option<PathBuf>,
}

impl Audit {
    /// Without a folder only the log has it.
    pub(super) fn new(state_dir: Option<PathBuf>) -> Self {
        Self {
            file: state_dir.map(|folder| folder.join(FILE)),
        }
    }

    /// Records an action and how it ended. Blocks on the disk.
    pub(super) fn record(&self, identity: &Identity, action: &str, outcome: &str) {
        let Identity { role, who, .. } = identity;
        // The log has it also if there is no folder, or no room on its disk.
        tracing::info!(target: "console", %role, who, action, outcome, "somebody used the console");
        self.write(&json!({
            "time": rfc3339(SystemTime::now()),
            "role": role.name(),
            "who": who,
            "action": action,
            "outcome": outcome,
        }));
    }

    /// Records what somebody tried who is not logged in. Blocks on the disk.
    pub(super) fn record_failure(&self, peer: SocketAddr, action: &str, outcome: &str) {
        tracing::warn!(target: "console", %peer, action, outcome, "somebody was refused by the console");
        self.write(&json!({
            "time": rfc3339(SystemTime::now()),
            // Not left out, so that all lines have the same fields.
            "role": null,
            "who": peer.to_string(),
            "action": action,
            "outcome": outcome,
        }));
    }

    fn write(&self, line: &Value) {
        if let Some(file) = &self.file
            && let Err(error) = append(file, &format!("{line}\n"))
        {
            let file = file.display();
            tracing::warn!(target: "console", "cannot write {file}: {error}");
        }
    }
}

fn append(path: &PathBuf, line: &str) -> io::Result<()> {
    // Opened each time, so that it can be rotated. One write, so that lines do not mix.
    let mut options = OpenOptions::new();
    let options = options.create(true).append(true).mode(0o600);
    options.open(path)?.write_all(line.as_bytes())
}
