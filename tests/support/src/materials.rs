//! Where the rule sets and vectors are that are not part of the project.
//!
//! `CRS_DIR` and `CRS33_DIR` name one, `SHARED_DIR` the folder of all; else `../shared` beside the project is tried, and
//! `.materials`, where `scripts/get-crs` puts rule sets. A test that needs what is not there says so and passes, but in CI
//! it fails. `scripts/test` collects what was skipped in the file that `SKIPPED_TESTS` names.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The CRS, version 4: `rules/`, `regression/` and `crs-setup.conf.example`.
#[must_use]
pub fn crs() -> Option<PathBuf> {
    find(Some("CRS_DIR"), "crs")
}

/// The CRS, version 3.3.
#[must_use]
pub fn crs33() -> Option<PathBuf> {
    find(Some("CRS33_DIR"), "crs-3.3")
}

/// A folder of the shared materials by its name, such as `seclang-vectors`.
#[must_use]
pub fn shared(folder: &str) -> Option<PathBuf> {
    find(None, folder)
}

/// The project's folder.
#[must_use]
pub fn project() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.join("../..")
}

/// Says it past the test harness, which hides what a test prints.
pub fn say(text: &str) {
    let test = std::thread::current();
    let _ = writeln!(io::stderr(), "{}: {text}", test.name().unwrap_or("a test"));
}

/// Whether this program is installed. If not, the test that asks is skipped, and fails in CI.
#[must_use]
pub fn tool(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    // A user's path may lack the folders of the system's daemons.
    let mut places = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = places.any(|folder| folder.join(name).is_file());
    if !found {
        let how = format!("there is no {name}: scripts/install-deps {name} installs it");
        assert!(env::var_os("CI").is_none(), "CI must have it: {how}");
        skip(&how);
    }
    found
}

fn find(variable: Option<&str>, folder: &str) -> Option<PathBuf> {
    let named = variable.and_then(env::var_os).map(PathBuf::from);
    let shared = env::var_os("SHARED_DIR").map(|dir| Path::new(&dir).join(folder));
    let beside = project().join("../shared").join(folder);
    let fetched = project().join(".materials").join(folder);
    let mut places = named.into_iter().chain(shared).chain([beside, fetched]);
    let found = places.find(|dir| dir.is_dir());
    if found.is_none() {
        let how = how_to_get(folder);
        assert!(env::var_os("CI").is_none(), "CI must have {folder}: {how}");
        skip(&format!("there is no {folder}: {how}"));
    }
    found
}

fn how_to_get(folder: &str) -> &'static str {
    match folder {
        "crs" => "scripts/get-crs brings it, or set CRS_DIR",
        "crs-3.3" => "scripts/get-crs --version 3.3 brings it, or set CRS33_DIR",
        _ => "set SHARED_DIR to a folder that has it",
    }
}

/// Says that this test is skipped, and why.
pub fn skip(why: &str) {
    say(&format!("skipped: {why}"));
    let Some(file) = env::var_os("SKIPPED_TESTS") else {
        return;
    };
    let test = std::thread::current();
    let line = format!("{}: {why}\n", test.name().unwrap_or("a test"));
    // One write, so that lines of tests that run side by side stay whole. What cannot be written was said above.
    if let Ok(mut file) = OpenOptions::new().append(true).create(true).open(file) {
        let _ = file.write_all(line.as_bytes());
    }
}
