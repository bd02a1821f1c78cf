//! What is written of the switches: the state as it is, and who made it so.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::switchboard::{Setting, Settings};
use crate::time::{parse_rfc3339, rfc3339};

const STATE: &str = "exposures.json";
const AUDIT: &str = "exposure-audit.jsonl";
const VERSION: u32 = 1;
/// Far more than is switched while a disk is full.
const MOST_PUT_OFF: usize = 1000;

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
#[derive(Debug, Default)]
pub(super) struct Keeper {
    folder: Option<PathBuf>,
    /// Lines of the audit that could not be written.
    put_off: Vec<String>,
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
            return Ok((Self::default(), Settings::new()));
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed(folder, "cannot make the folder"))?;
        let keeper = Self {
            folder: Some(folder.to_owned()),
            put_off: Vec::new(),
        };
        let settings = keeper.kept()?;
        Ok((keeper, settings))
    }

    /// What is kept now.
    pub fn kept(&self) -> Result<Settings, KeepError> {
        let Some(folder) = &self.folder else {
            return Ok(Settings::new());
        };
        let path = folder.join(STATE);
        match seclang::files::read(&path) {
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
        let path = folder.join(STATE);
        let write = || {
            let new = folder.join(format!("{STATE}.new"));
            // What an earlier try left.
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&new)?;
            file.write_all(&written(settings)?)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            // Only then the new name survives a power failure.
            File::open(folder)?.sync_all()
        };
        write().map_err(failed(&path, "cannot keep the switches"))
    }

    /// Whether these are on the disk.
    pub fn keeps(&self, settings: &Settings) -> bool {
        let Some(folder) = &self.folder else {
            return true;
        };
        match seclang::files::read(&folder.join(STATE)) {
            Ok(bytes) => written(settings).is_ok_and(|wanted| wanted == bytes),
            Err(error) => error.kind() == io::ErrorKind::NotFound && settings.is_empty(),
        }
    }

    /// Appends to the audit, and before it what could not be appended earlier. Opened anew each time, so that it can be
    /// rotated.
    ///
    /// # Errors
    /// Nothing of it stands in the audit. What was put off still is; [`Keeper::put_off`] keeps this one as well.
    pub fn note(&mut self, exposure: &str, setting: &Setting) -> Result<(), KeepError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let mut lines = self.put_off.concat();
        lines += &line(exposure, setting);
        let path = folder.join(AUDIT);
        append(&path, &lines).map_err(failed(&path, "cannot write the audit"))?;
        self.put_off.clear();
        Ok(())
    }

    /// What was done and could not be noted is noted with the next, or by [`Keeper::note_put_off`].
    pub fn put_off(&mut self, exposure: &str, setting: &Setting) {
        if self.put_off.len() < MOST_PUT_OFF {
            self.put_off.push(line(exposure, setting));
        }
    }

    pub fn note_put_off(&mut self) -> Result<(), KeepError> {
        let Some(folder) = self.folder.as_ref().filter(|_| !self.put_off.is_empty()) else {
            return Ok(());
        };
        let path = folder.join(AUDIT);
        let appended = append(&path, &self.put_off.concat());
        appended.map_err(failed(&path, "cannot write the audit"))?;
        self.put_off.clear();
        Ok(())
    }
}

/// As they stand in the file.
fn written(settings: &Settings) -> io::Result<Vec<u8>> {
    let state = KeptState {
        version: VERSION,
        exposures: settings
            .iter()
            .map(|(name, setting)| (name.clone(), KeptSetting::from(setting.as_ref())))
            .collect(),
    };
    let mut bytes = serde_json::to_vec_pretty(&state)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Of the audit.
fn line(exposure: &str, setting: &Setting) -> String {
    let line = serde_json::json!({
        "time": rfc3339(SystemTime::now()),
        "exposure": exposure,
        "action": if setting.on { "on" } else { "off" },
        "by": setting.by,
        "reason": setting.reason,
        "until": setting.until.map(rfc3339),
    });
    format!("{line}\n")
}

/// All of the lines or nothing, and never behind half a line.
fn append(path: &Path, lines: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        // A FIFO in its place would wait for a reader.
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let before = metadata.len();
    let mut last = [b'\n'];
    if before > 0 {
        file.read_exact_at(&mut last, before - 1)?;
    }
    let separator = if last == [b'\n'] { "" } else { "\n" };
    // In one write: lines of several writers do not mix.
    let written = file
        .write_all(format!("{separator}{lines}").as_bytes())
        .and_then(|()| file.sync_data());
    written.inspect_err(|_| {
        // Where that fails as well, the next line begins behind a line feed.
        let _ = file.set_len(before);
    })
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
