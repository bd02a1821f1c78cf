//! The demo's folder and configuration.
//!
//! Invariants: only its owner can enter a folder that the demo creates, since it holds private keys; a configuration
//! that somebody edited is moved aside, not overwritten.

use std::fs::{self, DirBuilder};
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::network::{Addresses, BILLING, ORDERS, PUBLIC_HOST};

const LOCAL_RULES: &str = r#"# The security team's own rules. To load them, write in ../drawbridge.toml
#     rules = ["@baseline", "rules/*.conf"]
# Ids 1 to 99999 are yours. For example:
#
# SecRule REQUEST_HEADERS:X-Demo "@streq please-block" \
#     "id:1000,phase:1,deny,status:403,log,msg:'Asked to be blocked'"
#
# An exclusion: rule 100200 (SQL injection) does not look at the argument "note".
#
# SecRuleUpdateTargetById 100200 "!ARGS:note"
"#;

const EXCLUSIONS: &str = "# `drawbridge rules exclude` and the console write exclusions here, with their tests beside.\n";

/// The folder of the demo's files. A temporary folder is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    temporary: bool,
}

impl Folder {
    /// Creates the folder and what is missing in it.
    pub(super) fn open(dir: Option<&Path>) -> io::Result<Self> {
        let (root, temporary) = match dir {
            Some(dir) => (dir.to_owned(), false),
            None => (temporary_path(), true),
        };
        let with_path = |error: io::Error| name_path(&root, &error);
        make(&root).map_err(with_path)?;
        let folder = Self {
            // The printed commands must work from any working directory.
            root: root.canonicalize().map_err(with_path)?,
            temporary,
        };
        for dir in ["certs/public", "gateways", "rules"] {
            make(&folder.path(dir)).map_err(with_path)?;
        }
        for (file, text) in [
            ("rules/local.conf", LOCAL_RULES),
            ("rules/exclusions.conf", EXCLUSIONS),
        ] {
            let file = folder.path(file);
            // In the folder of an earlier demo the user may have edited it.
            if !file.exists() {
                fs::write(file, text).map_err(with_path)?;
            }
        }
        Ok(folder)
    }

    /// An absolute path below the folder.
    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    pub(super) fn is_temporary(&self) -> bool {
        self.temporary
    }

    /// Writes `drawbridge.toml`. Moves a file that the demo did not write to another name, and returns that.
    pub(super) fn write_configuration(&self, at: &Addresses) -> io::Result<Option<PathBuf>> {
        let path = self.path("drawbridge.toml");
        let with_path = |error: io::Error| name_path(&path, &error);
        let text = configuration(at);
        let moved = match fs::read_to_string(&path) {
            // Ports differ at each start. Any other difference is an edit of the user, which must not be lost.
            Ok(old) if without_ports(&old) != without_ports(&text) => {
                // Renamed and not copied: what the user edited stays the file that it was.
                let old = self.name_for_edited();
                fs::rename(&path, &old).map_err(with_path)?;
                Some(old)
            }
            // What cannot be read may be the user's, so it is not overwritten.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(with_path(error)),
            _ => None,
        };
        fs::write(&path, text).map_err(with_path)?;
        Ok(moved)
    }

    /// A name that no earlier edit has.
    fn name_for_edited(&self) -> PathBuf {
        let mut name = self.path("drawbridge.toml.old");
        let mut number = 0;
        while name.exists() {
            number += 1;
            name = self.path(&format!("drawbridge.toml.old.{number}"));
        }
        name
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            // The demo has ended, so nobody would act on an error.
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

fn name_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Creates a folder that only its owner can enter, since it holds keys.
fn make(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// A name that nobody can guess, so that no other user can create the folder first and read the keys.
fn temporary_path() -> PathBuf {
    std::env::temp_dir().join(format!("drawbridge-demo-{}", Uuid::now_v7().simple()))
}

/// The text without port numbers, which differ at each start.
fn without_ports(text: &str) -> String {
    let mut out = String::new();
    let mut after_colon = false;
    for c in text.chars() {
        if !(after_colon && c.is_ascii_digit()) {
            after_colon = c == ':';
            out.push(c);
        }
    }
    out
}

fn configuration(at: &Addresses) -> String {
    let Addresses {
        public,
        plain,
        orders,
        billing,
        console,
    } = at;
    let (orders_name, orders_host) = ORDERS;
    let (billing_name, billing_host) = BILLING;
    format!(
        r#"# `drawbridge demo` writes this file at each start. Paths are relative to this file.

admin = "unix:admin.sock"
state_dir = "state"

[listeners.public]
bind = ["{public}"]
certificates = [{{ chain = "certs/public/api.pem", key = "certs/public/api.key" }}]

[listeners.plain]
bind = ["{plain}"]
redirect_to_https = "public"

[log]
access = "stdout"

[events]
sample = 1.0

[console]
bind = "{console}"
files = "write"

[trust.onprem]
ca = ["certs/onprem-ca.pem"]

[upstreams.{orders_name}]
servers = ["{orders}"]
tls = {{ server_name = "{orders_host}", trust = "onprem" }}

[upstreams.{billing_name}]
servers = ["{billing}"]
tls = {{ server_name = "{billing_host}", trust = "onprem" }}

[policies.default]
mode = "block"
rules = ["@baseline"]
exclusions = ["rules/exclusions.conf"]
cost_sample = 1.0
crs = {{ paranoia_level = 1, inbound_anomaly_score_threshold = 5 }}

[[routes]]
name = "orders"
hosts = ["{PUBLIC_HOST}"]
paths = ["/orders/"]
methods = ["GET", "POST"]
listeners = ["public"]
upstream = "{orders_name}"
policy = "default"

[[routes]]
name = "billing-invoices"
hosts = ["{PUBLIC_HOST}"]
paths = ["/billing/invoices/"]
methods = ["GET"]
listeners = ["public"]
upstream = "{billing_name}"
policy = "default"

[exposures.public]
routes = ["orders", "billing-invoices"]
listeners = ["public"]
owner = "the demo"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(port: u16) -> Addresses {
        let at = |n| ([127, 0, 0, 1], port + n).into();
        Addresses {
            public: at(0),
            plain: at(1),
            orders: at(2),
            billing: at(3),
            console: at(4),
        }
    }

    #[test]
    fn the_configuration_is_toml_with_the_addresses() {
        let table: toml::Table = configuration(&addresses(4000)).parse().unwrap();
        let first = |path: [&str; 3]| table[path[0]][path[1]][path[2]][0].as_str().unwrap();
        assert_eq!(first(["listeners", "public", "bind"]), "127.0.0.1:4000");
        assert_eq!(first(["upstreams", "billing", "servers"]), "127.0.0.1:4003");
    }

    #[test]
    fn an_edited_configuration_gets_another_name() {
        let folder = Folder::open(None).unwrap();
        let root = folder.path("");
        assert_eq!(folder.write_configuration(&addresses(4000)).unwrap(), None);
        assert_eq!(folder.write_configuration(&addresses(5000)).unwrap(), None);
        fs::write(folder.path("drawbridge.toml"), "# mine").unwrap();
        let kept = folder.write_configuration(&addresses(5000)).unwrap();
        let kept = kept.unwrap();
        assert_eq!(fs::read_to_string(&kept).unwrap(), "# mine");
        for edit in ["# mine again", "# and again"] {
            fs::write(folder.path("drawbridge.toml"), edit).unwrap();
            let more = folder.write_configuration(&addresses(5000)).unwrap();
            assert_eq!(fs::read_to_string(more.unwrap()).unwrap(), edit);
            assert_eq!(fs::read_to_string(&kept).unwrap(), "# mine", "is kept");
        }
        drop(folder);
        assert!(!root.exists(), "a temporary folder is removed");
    }
}
