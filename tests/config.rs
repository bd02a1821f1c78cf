//! Whole configuration files: the sample that the README shows, and broken ones with everything that is
//! wrong with them, each with its place.
#![cfg(feature = "front")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use drawbridge::config::{self, ListenerKind, Loaded, PolicyMode, SniPolicy};
use drawbridge::diagnostic::{Diagnostic, Severity};
use drawbridge::route::Lookup;
use drawbridge::tls::issue::{Authority, LeafOptions};

const SAMPLE: &str = r#"
[listeners.public]
bind = ["127.0.0.1:8443"]
certificates = [{ chain = "certs/public/api.pem", key = "certs/public/api.key" }]

[listeners.plain]
bind = ["127.0.0.1:8080"]
redirect_to_https = "public"        # 308 to that listener's port, for hosts some route of it names; others 404

[log]
access = "stdout"                   # stdout | off | a file

[trust.onprem]
ca = ["certs/onprem-ca.pem"]

[upstreams.orders]
servers = ["127.0.0.1:9443"]
tls = { server_name = "orders.corp.test", trust = "onprem" }     # client_certificate = { chain = "...", key = "..." } where the gateway asks for one

[policies.default]
mode = "block"                      # block | detect | off; must be written
rules = ["@baseline"]               # compiled into the binary from rules/baseline/; or files and globs: the CRS, own rules
crs = { paranoia_level = 1, inbound_anomaly_score_threshold = 5 }   # sets the tx.* variables the CRS documents

[[routes]]
name = "orders"
hosts = ["api.demo.test"]           # exact, or "*.example.com", or "*": any Host or none
paths = ["/orders/"]                # a trailing slash is a prefix at a segment boundary; without it the path is exact
methods = ["GET", "POST"]            # left out: all but CONNECT and TRACE
listeners = ["public"]
upstream = "orders"
policy = "default"
"#;

#[test]
fn the_sample_loads_as_it_stands() {
    let folder = Folder::new();
    let Loaded { config, warnings } = folder.load(SAMPLE).unwrap();
    assert_eq!(warnings, []);
    let names: Vec<_> = config.listeners.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["plain", "public"]);
    let ListenerKind::Redirect { listener, port } = &config.listeners[0].kind else {
        panic!("not a redirect");
    };
    assert_eq!((listener.as_str(), *port), ("public", 8443));
    let ListenerKind::Tls { certificates, sni } = &config.listeners[1].kind else {
        panic!("no TLS");
    };
    assert_eq!(*sni, SniPolicy::Strict);
    assert_eq!(certificates[0].names, ["api.demo.test"]);
    let upstream = &config.upstreams["orders"];
    assert_eq!(upstream.tls.server_name, "orders.corp.test");
    assert!(Arc::ptr_eq(&upstream.tls.trust, &config.trust["onprem"]));
    assert_eq!(upstream.connect_timeout, Duration::from_secs(5));
    assert_eq!(upstream.read_timeout, Duration::from_secs(60));
    let policy = &config.policies["default"];
    assert_eq!(policy.mode, PolicyMode::Block);
    assert_eq!(policy.request_body_limit, 13_107_200);
    let found = config
        .routes
        .find("public", Some(b"api.demo.test:8443"), b"/orders/1", b"GET");
    let Lookup::Found(route) = found else {
        panic!("{found:?}");
    };
    assert_eq!(route.name, "orders");
    assert!(Arc::ptr_eq(&route.upstream, upstream));
}

/// A folder with the certificates that the sample names; removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("drawbridge-config-{}-{number}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
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
        folder.write("certs/onprem-ca.pem", &onprem.certificate_pem().unwrap());
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn load(&self, text: &str) -> Result<Loaded, Vec<Diagnostic>> {
        self.write("drawbridge.toml", text);
        config::load(&self.path("drawbridge.toml"))
    }

    /// `error line:column: message` of everything told, without the folder's path.
    fn told(&self, text: &str) -> Vec<String> {
        let diagnostics = match self.load(text) {
            Ok(loaded) => loaded.warnings,
            Err(diagnostics) => diagnostics,
        };
        let prefix = format!("{}/", self.0.display());
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

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
