//! What is written of the switches: the state as it is, and who made it so.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::switchboard::{Setting, Settings};
use crate::telemetry::{parse_rfc3339, rfc3339};

const STATE: &str = "exposures.json";
const AUDIT: &str = "exposure-audit.jsonl";
const VERSION: u32 = 1;
/// Far more than any number of exposures needs.
const MOST_BYTES: u64 = 4 << 20;

/// Something of the switches cannot be kept or read.
#[derive(Debug)]
pub struct KeepError {
    pub path: PathBuf,
    pub why: String,
}

impl fmt::Display for KeepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

impl std::error::Error for KeepError {}

/// The files in `state_dir`; without one, nothing is kept.
#[derive(Debug)]
pub(super) struct Keeper {
    folder: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptState {
    version: u32,
    exposures: BTreeMap<String, KeptSetting>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptSetting {
    on: bool,
    since: String,
    until: Option<String>,
    by: String,
    reason: Option<String>,
}

impl Keeper {
    /// Makes the folder where it is missing, and reads what was kept there.
    pub fn open(folder: Option<&Path>) -> Result<(Self, Settings), KeepError> {
        let Some(folder) = folder else {
            return Ok((Self { folder: None }, Settings::new()));
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed(folder, "cannot make the folder"))?;
        let folder = Some(folder.to_owned());
        let keeper = Self { folder };
        let settings = keeper.kept()?;
        Ok((keeper, settings))
    }

    /// What is kept now.
    pub fn kept(&self) -> Result<Settings, KeepError> {
        let Some(folder) = &self.folder else {
            return Ok(Settings::new());
        };
        let path = folder.join(STATE);
        match read(&path) {
            Ok(bytes) => understand(&bytes).map_err(|why| KeepError {
                why: format!(
                    "it is not known which exposures are off: {why}. Mend the file, or remove it to have all of them on"
                ),
                path,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Settings::new()),
            Err(error) => Err(failed(&path, "cannot read it")(error)),
        }
    }

    /// Replaces the state in one step.
    pub fn keep(&mut self, settings: &Settings) -> Result<(), KeepError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let state = KeptState {
            version: VERSION,
            exposures: settings
                .iter()
                .map(|(name, setting)| (name.clone(), KeptSetting::from(setting.as_ref())))
                .collect(),
        };
        let path = folder.join(STATE);
        let write = || {
            let new = folder.join(format!("{STATE}.new"));
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            serde_json::to_writer_pretty(&mut file, &state)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            // Only then the new name survives a power failure.
            File::open(folder)?.sync_all()
        };
        write().map_err(failed(&path, "cannot keep the switches"))
    }

    /// Appends to the audit. Opened anew each time, so that it can be rotated.
    pub fn note(&mut self, exposure: &str, setting: &Setting) -> Result<(), KeepError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let line = serde_json::json!({
            "time": rfc3339(SystemTime::now()),
            "exposure": exposure,
            "action": if setting.on { "on" } else { "off" },
            "by": setting.by,
            "reason": setting.reason,
            "until": setting.until.map(rfc3339),
        });
        let path = folder.join(AUDIT);
        let append = || {
            let mut file = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&path)?;
            // In one write: lines of several writers do not mix.
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_data()
        };
        append().map_err(failed(&path, "cannot write the audit"))
    }
}

impl From<&Setting> for KeptSetting {
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

impl TryFrom<KeptSetting> for Setting {
    type Error = String;

    fn try_from(kept: KeptSetting) -> Result<Self, String> {
        let time = |text: String| {
            parse_rfc3339(&text).ok_or_else(|| format!("{text:?} is no time of RFC 3339"))
        };
        Ok(Self {
            on: kept.on,
            since: time(kept.since)?,
            until: kept.until.map(time).transpose()?,
            by: kept.by,
            reason: kept.reason,
        })
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn understand(bytes: &[u8]) -> Result<Settings, String> {
    let state: KeptState = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if state.version != VERSION {
        return Err(format!("its version is {}, not {VERSION}", state.version));
    }
    let settings = state.exposures.into_iter();
    settings
        .map(|(name, kept)| Ok((name, Arc::new(Setting::try_from(kept)?))))
        .collect()
}

fn failed(path: &Path, what: &'static str) -> impl Fn(io::Error) -> KeepError {
    move |error| KeepError {
        path: path.to_owned(),
        why: format!("{what}: {error}"),
    }
}
