//! The files of the switches in `state_dir`: their present state, and an audit of who switched what.
//!
//! Invariants: the state file is replaced in one step and is on the disk before [`StateStore::save`] returns; the audit
//! only grows, by whole lines; a state file that we cannot read is an error, because then nobody knows what is off.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::setting::{Setting, Settings, position};
use crate::replace_file::{Access, replace_file};
use crate::time::{parse_rfc3339, rfc3339};

const STATE: &str = "exposures.json";
const AUDIT: &str = "exposure-audit.jsonl";
/// The format of the state file. Another version is an error, since guessing could switch an exposure on.
const VERSION: u32 = 1;
/// The most audit lines that wait for the disk: far more than anybody switches while a disk is full. Later lines are
/// lost; the log of the process still has these switches.
const MAX_DEFERRED_LINES: usize = 1000;

/// Why the state or the audit of the switches cannot be read or written.
#[derive(Debug)]
pub enum StoreError {
    /// `state_dir` does not exist and cannot be created.
    CreateFolder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The state file exists and cannot be read.
    ReadState {
        /// The state file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The state file has content that we never write.
    InvalidState {
        /// The state file.
        path: PathBuf,
        /// What is wrong with its content.
        source: StateError,
    },
    /// The new state cannot be written; the file still has the state before.
    WriteState {
        /// The state file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The audit cannot be appended to; no line was added.
    WriteAudit {
        /// The audit file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// What is wrong with the content of a state file.
#[derive(Debug)]
pub enum StateError {
    /// It is not the JSON that we write.
    Syntax(serde_json::Error),
    /// Another version of Drawbridge wrote it.
    Version(u32),
    /// A time is not in the form of RFC 3339.
    Time(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateFolder { path, source } => {
                write!(f, "{}: cannot create the folder: {source}", path.display())
            }
            Self::ReadState { path, source } => {
                write!(f, "{}: cannot read the file: {source}", path.display())
            }
            Self::InvalidState { path, source } => write!(
                f,
                "{}: cannot tell which exposures are off: {source}. Repair the file, or remove it to switch all exposures on",
                path.display()
            ),
            Self::WriteState { path, source } => {
                write!(f, "{}: cannot save the switches: {source}", path.display())
            }
            Self::WriteAudit { path, source } => {
                write!(f, "{}: cannot write the audit: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            Self::InvalidState { source, .. } => source,
            Self::CreateFolder { source, .. }
            | Self::ReadState { source, .. }
            | Self::WriteState { source, .. }
            | Self::WriteAudit { source, .. } => source,
        })
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => error.fmt(f),
            Self::Version(version) => write!(f, "its version is {version}, not {VERSION}"),
            Self::Time(text) => write!(f, "{text:?} is not a time in the form of RFC 3339"),
        }
    }
}

impl std::error::Error for StateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Syntax(error) => Some(error),
            Self::Version(_) | Self::Time(_) => None,
        }
    }
}

/// The files in `state_dir`. Without that folder nothing is stored, and every method succeeds.
#[derive(Debug, Default)]
pub(super) struct StateStore {
    folder: Option<PathBuf>,
    /// Audit lines that could not be written yet.
    deferred: Vec<String>,
}

/// The state file's content.
#[derive(Debug, Serialize, Deserialize)]
struct StateFile {
    version: u32,
    exposures: BTreeMap<String, StateEntry>,
}

/// One switch in the state file.
#[derive(Debug, Serialize, Deserialize)]
struct StateEntry {
    on: bool,
    since: String,
    until: Option<String>,
    by: String,
    reason: Option<String>,
}

impl StateStore {
    /// Creates the folder if it is missing, and reads the state that is stored there.
    pub(super) fn open(folder: Option<&Path>) -> Result<(Self, Settings), StoreError> {
        let Some(folder) = folder else {
            return Ok((Self::default(), Settings::new()));
        };
        DirBuilder::new()
            .recursive(true)
            // The audit says who did what, so only the owner of the process may read it.
            .mode(0o700)
            .create(folder)
            .map_err(|source| StoreError::CreateFolder {
                path: folder.to_owned(),
                source,
            })?;
        let store = Self {
            folder: Some(folder.to_owned()),
            deferred: Vec::new(),
        };
        let settings = store.load()?;
        Ok((store, settings))
    }

    /// The state that is on the disk now.
    pub(super) fn load(&self) -> Result<Settings, StoreError> {
        let Some(folder) = &self.folder else {
            return Ok(Settings::new());
        };
        let path = folder.join(STATE);
        match seclang::files::read(&path) {
            Ok(bytes) => parse(&bytes).map_err(|source| StoreError::InvalidState { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Settings::new()),
            Err(source) => Err(StoreError::ReadState { path, source }),
        }
    }

    /// Replaces the state file in one step.
    pub(super) fn save(&mut self, settings: &Settings) -> Result<(), StoreError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let path = folder.join(STATE);
        let aside = folder.join(format!("{STATE}.new"));
        let replaced = serialize(settings)
            .and_then(|state| replace_file(&path, &aside, Access::Private, &state));
        replaced.map_err(|source| StoreError::WriteState { path, source })
    }

    /// Whether the state file has exactly these settings.
    pub(super) fn is_saved(&self, settings: &Settings) -> bool {
        let Some(folder) = &self.folder else {
            return true;
        };
        match seclang::files::read(&folder.join(STATE)) {
            // Compares bytes, not meaning: if the file holds anything else, it must be replaced.
            Ok(bytes) => serialize(settings).is_ok_and(|wanted| wanted == bytes),
            Err(error) => error.kind() == io::ErrorKind::NotFound && settings.is_empty(),
        }
    }

    /// Appends the deferred lines and one for this switch to the audit. Opens the file each time, so that it can be
    /// rotated.
    ///
    /// # Errors
    /// No line was added. The deferred lines stay deferred; [`StateStore::defer_audit`] adds this one to them.
    pub(super) fn append_audit(
        &mut self,
        exposure: &str,
        setting: &Setting,
    ) -> Result<(), StoreError> {
        // The deferred lines first, so that the audit is in the order of the switches.
        let lines = self.deferred.concat() + &audit_line(exposure, setting);
        self.write_audit(&lines)
    }

    /// Keeps the line of a switch in memory until the audit can be written.
    pub(super) fn defer_audit(&mut self, exposure: &str, setting: &Setting) {
        if self.deferred.len() < MAX_DEFERRED_LINES {
            self.deferred.push(audit_line(exposure, setting));
        }
    }

    /// Appends the deferred lines to the audit.
    ///
    /// # Errors
    /// No line was added; all of them stay deferred.
    pub(super) fn write_deferred_audit(&mut self) -> Result<(), StoreError> {
        match self.deferred.is_empty() {
            true => Ok(()),
            false => self.write_audit(&self.deferred.concat()),
        }
    }

    /// `lines` begin with the deferred ones.
    fn write_audit(&mut self, lines: &str) -> Result<(), StoreError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let path = folder.join(AUDIT);
        append(&path, lines).map_err(|source| StoreError::WriteAudit { path, source })?;
        self.deferred.clear();
        Ok(())
    }
}

/// The most bytes of the audit that are read for a look at it.
const RECENT: u64 = 64 * 1024;

/// The last lines of the audit, the newest first; none if nobody has switched anything. Blocks on the disk.
///
/// # Errors
/// The file cannot be read.
pub fn recent_audit(state_dir: &Path, most: usize) -> io::Result<Vec<serde_json::Value>> {
    let mut file = match File::open(state_dir.join(AUDIT)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(RECENT)))?;
    let mut bytes = Vec::new();
    file.take(RECENT).read_to_end(&mut bytes)?;
    let lines = bytes.split(|&byte| byte == b'\n').rev();
    // The first line may be cut off, and then it is no JSON.
    let lines = lines.filter_map(|line| serde_json::from_slice(line).ok());
    Ok(lines.take(most).collect())
}

/// The content of the state file for these settings.
fn serialize(settings: &Settings) -> io::Result<Vec<u8>> {
    let state = StateFile {
        version: VERSION,
        exposures: settings
            .iter()
            .map(|(name, setting)| (name.clone(), StateEntry::from(setting.as_ref())))
            .collect(),
    };
    let mut bytes = serde_json::to_vec_pretty(&state)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn audit_line(exposure: &str, setting: &Setting) -> String {
    let line = serde_json::json!({
        "time": rfc3339(SystemTime::now()),
        "exposure": exposure,
        "action": position(setting.on),
        "by": setting.by,
        "reason": setting.reason,
        "until": setting.until.map(rfc3339),
    });
    format!("{line}\n")
}

/// Appends all of the lines or none, and starts a new line after one that was cut off.
fn append(path: &Path, lines: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        // If a FIFO has this name, opening it must not wait for a reader.
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    // The last byte and the length, which a failure restores, exist only in a regular file.
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let before = metadata.len();
    let mut last = [b'\n'];
    if before > 0 {
        file.read_exact_at(&mut last, before - 1)?;
    }
    // A crash or a full disk may have cut off the last line. The new line must not become a part of it.
    let separator = if last == [b'\n'] { "" } else { "\n" };
    // One write with O_APPEND, so that the lines of several processes do not mix during a hand-over.
    let written = file
        .write_all(format!("{separator}{lines}").as_bytes())
        .and_then(|()| file.sync_data());
    written.inspect_err(|_| {
        // If this fails too, the next append starts a new line after the cut one.
        let _ = file.set_len(before);
    })
}

impl From<&Setting> for StateEntry {
    fn from(setting: &Setting) -> Self {
        Self {
            on: setting.on,
            since: rfc3339(setting.since),
            until: setting.until.map(rfc3339),
            by: setting.by.clone(),
            reason: setting.reason.clone(),
        }
    }
}

impl TryFrom<StateEntry> for Setting {
    type Error = StateError;

    fn try_from(entry: StateEntry) -> Result<Self, StateError> {
        let time = |text: String| parse_rfc3339(&text).ok_or(StateError::Time(text));
        Ok(Self {
            on: entry.on,
            since: time(entry.since)?,
            until: entry.until.map(time).transpose()?,
            by: entry.by,
            reason: entry.reason,
        })
    }
}

fn parse(bytes: &[u8]) -> Result<Settings, StateError> {
    let state: StateFile = serde_json::from_slice(bytes).map_err(StateError::Syntax)?;
    // A newer version may mean something else by the same keys.
    if state.version != VERSION {
        return Err(StateError::Version(state.version));
    }
    let entries = state.exposures.into_iter();
    entries
        .map(|(name, entry)| Ok((name, Arc::new(Setting::try_from(entry)?))))
        .collect()
}
