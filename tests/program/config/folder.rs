//! A folder with a configuration, and what is said when it is loaded.

use std::fs;
use std::path::PathBuf;

use dev_pki::{Authority, LeafOptions};
use drawbridge::config::{self, Loaded};
use seclang::diagnostic::{Diagnostic, Severity};
use tempfile::TempDir;

/// A folder with the certificates that the sample names; removed at the end.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(folder.path("certs/public")).unwrap();
        let public = Authority::new("Demo Public CA", 30).unwrap();
        let api = public
            .leaf(&["api.demo.test"], &LeafOptions::default())
            .unwrap();
        api.write(
            &folder.path("certs/public/api.pem"),
            &folder.path("certs/public/api.key"),
        )
        .unwrap();
        let onprem = Authority::new("Demo On-Premises CA", 30).unwrap();
        folder.write("certs/onprem-ca.pem", onprem.certificate_pem().unwrap());
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Without what is said of routes that nobody owns: a test of its own has that.
    pub fn load(&self, text: &str) -> Result<Loaded, Vec<Diagnostic>> {
        let owned = |d: &Diagnostic| !d.message.contains("has no owner");
        match self.load_with_owners(text) {
            Ok(mut loaded) => {
                loaded.warnings.retain(owned);
                Ok(loaded)
            }
            Err(mut found) => {
                found.retain(owned);
                Err(found)
            }
        }
    }

    pub fn load_with_owners(&self, text: &str) -> Result<Loaded, Vec<Diagnostic>> {
        self.write("drawbridge.toml", text);
        config::load(&self.path("drawbridge.toml"))
    }

    /// `error line:column: message` of everything told, without the folder's path.
    pub fn diagnostics(&self, text: &str) -> Vec<String> {
        self.show(self.load(text))
    }

    pub fn diagnostics_with_owners(&self, text: &str) -> Vec<String> {
        self.show(self.load_with_owners(text))
    }

    fn show(&self, loaded: Result<Loaded, Vec<Diagnostic>>) -> Vec<String> {
        let diagnostics = match loaded {
            Ok(loaded) => loaded.warnings,
            Err(diagnostics) => diagnostics,
        };
        let prefix = format!("{}/", self.0.path().display());
        let show = |d: &Diagnostic| {
            let word = match d.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            let file = match d.location.path == self.path("drawbridge.toml") {
                true => String::new(),
                false => format!("{}:", d.location.path.display()),
            };
            let (line, column) = (d.location.line, d.location.column);
            format!("{word} {file}{line}:{column}: {}", d.message).replace(&prefix, "")
        };
        diagnostics.iter().map(show).collect()
    }
}
