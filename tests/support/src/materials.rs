//! Where the rule sets and vectors are that are not part of the project.
//!
//! `CRS_DIR` and `CRS33_DIR` name one, `SHARED_DIR` the folder of all; else `../shared` beside the project is tried. A test
//! that needs what is not there says so and passes, but in CI it fails.

use std::env;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The CRS, version 4: `rules/`, `regression/` and `crs-setup.conf.example`.
#[must_use]
pub fn crs() -> Option<PathBuf> {
    find("CRS_DIR", "crs")
}

/// The CRS, version 3.3.
#[must_use]
pub fn crs33() -> Option<PathBuf> {
    find("CRS33_DIR", "crs-3.3")
}

/// A folder of the shared materials by its name, such as `seclang-vectors`.
#[must_use]
pub fn shared(folder: &str) -> Option<PathBuf> {
    find("", folder)
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

fn find(variable: &str, folder: &str) -> Option<PathBuf> {
    let named = env::var_os(variable).map(PathBuf::from);
    let shared = env::var_os("SHARED_DIR").map(|dir| Path::new(&dir).join(folder));
    let beside = project().join("../shared").join(folder);
    let mut places = named.into_iter().chain(shared).chain([beside]);
    let found = places.find(|dir| dir.is_dir());
    if found.is_none() {
        let name = if variable.is_empty() {
            "SHARED_DIR"
        } else {
            variable
        };
        assert!(
            env::var_os("CI").is_none(),
            "CI must have {folder}: set {name}"
        );
        say(&format!("skipped: there is no {folder}; set {name}"));
    }
    found
}
