//! A front door with an admin socket over one upstream, and its files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dev_pki::LeafOptions;
use drawbridge::admin::client::{Answer, call};
use drawbridge::config::AdminAddress;

use crate::front::{Front, Setup, log, logged};
use support::client::{self, Tls};
use support::pki::{CORP, PUBLIC, ServerTls, leaf};
use support::upstream::{Behaviour, Upstream};

pub struct World {
    pub front: Front,
    pub setup: Setup,
    pub upstream: Upstream,
}

impl World {
    pub async fn start() -> Self {
        Self::start_with(Behaviour::Echo, "").await
    }

    /// `more`: further tables.
    pub async fn start_with(behaviour: Behaviour, more: &str) -> Self {
        Self::start_in(behaviour, "", more).await
    }

    /// `top`: further top-level keys; `more`: further tables.
    pub async fn start_in(behaviour: Behaviour, top: &str, more: &str) -> Self {
        let tls = ServerTls::new(leaf(&CORP, "orders.corp.test"));
        let upstream = Upstream::start(tls, behaviour).await;
        let setup = Setup {
            top: format!("admin = \"admin.sock\"\n{top}"),
            more: more.to_owned(),
            ..Setup::to(&upstream)
        };
        let front = Front::start(&setup).await;
        Self {
            front,
            setup,
            upstream,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.front.folder.join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        replace(&self.path(name), content.as_ref());
    }

    pub fn write_setup(&self) {
        self.write("drawbridge.toml", self.setup.text());
    }

    /// A new certificate of the listener; each has another serial number.
    pub fn rotate(&self, names: &[&str]) {
        let issued = PUBLIC.leaf(names, &LeafOptions::default()).unwrap();
        self.write("front.key", &issued.key_pem);
        self.write("front.pem", &issued.chain_pem);
    }

    pub async fn ask(&self, method: &'static str, path: &str) -> Answer {
        self.ask_with(method, path, "").await
    }

    pub async fn ask_with(&self, method: &'static str, path: &str, body: &str) -> Answer {
        let address = AdminAddress::Unix(self.path("admin.sock"));
        let (path, body) = (path.to_owned(), body.to_owned());
        let ask = move || call(&address, None, method, &path, body.as_bytes());
        tokio::task::spawn_blocking(ask).await.unwrap().unwrap()
    }

    /// Its status, and what it says.
    pub async fn reload(&self) -> (u16, serde_json::Value) {
        let answer = self.ask("POST", "/reload").await;
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    pub async fn ready(&self) -> String {
        let answer = self.ask("GET", "/readyz?verbose").await;
        assert_eq!(answer.status, 200);
        answer.text()
    }

    pub async fn status_of(&self, target: &str) -> u16 {
        client::get(self.front.address, target).await.status
    }

    pub async fn serial(&self) -> String {
        let stream = client::connect(self.front.address, Some("api.test"), b"").await;
        serial_of(&stream.unwrap())
    }
}

/// These changes are live. The answer to the reload has all of them, in this order; unless the watcher saw the files
/// first: then its lines in the log have some.
pub async fn taken(said: &serde_json::Value, changes: &[&str]) {
    if said["changed"] == serde_json::json!(changes) {
        return;
    }
    logged("reloaded (files changed): ").await;
    for change in changes {
        // The field follows the text of a line.
        let of_line = |line: &str| {
            let text = line.split(" generation=").next().unwrap_or_default();
            let all = text.split_once("): ").map_or("", |(_, all)| all);
            all.split("; ").any(|one| one == *change)
        };
        assert!(log().lines().any(of_line), "{change}: {}", log());
    }
}

pub const NAMES: &[&str] = &["api.test", "other.test", "*.wild.test"];

/// As careful tools do: written aside, renamed into place.
pub fn replace(path: &Path, content: &[u8]) {
    let aside = path.with_extension("new");
    fs::write(&aside, content).unwrap();
    fs::rename(&aside, path).unwrap();
}

/// As Kubernetes does: `..data` is a link to a folder, and is replaced by another in one step.
pub fn swap_data(mount: &Path, version: &str, files: &[(&str, &[u8])]) {
    let folder = mount.join(version);
    fs::create_dir_all(&folder).unwrap();
    for (name, content) in files {
        fs::write(folder.join(name), content).unwrap();
    }
    let aside = mount.join("..data_tmp");
    symlink(version, &aside).unwrap();
    fs::rename(&aside, mount.join("..data")).unwrap();
    for (name, _) in files {
        // There already after the first time.
        let _ = symlink(Path::new("..data").join(name), mount.join(name));
    }
}

pub fn serial_of(stream: &Tls) -> String {
    let certificate = stream.ssl().peer_certificate().unwrap();
    let serial = certificate.serial_number().to_bn().unwrap();
    serial.to_hex_str().unwrap().to_string()
}

/// Asks again and again until it is so; fails after half a minute.
pub async fn until(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !ask().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
