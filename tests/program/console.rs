//! The console of `drawbridge demo` in a real browser. `scripts/install-browser` brings what it needs.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use support::materials::{project, skip};

use crate::demo::{Demo, Scratch, shell};

#[test]
fn three_teams_use_it_in_a_browser() {
    let folder = project().join("tests/browser");
    let browser = ["chromium", "chromium-browser"]
        .into_iter()
        .find_map(|name| {
            let found = shell(&format!("command -v {name}"));
            let path = String::from_utf8_lossy(&found.stdout).trim().to_owned();
            (!path.is_empty()).then_some(path)
        });
    let has_modules = folder.join("node_modules/playwright-core").is_dir();
    let Some(browser) = browser.filter(|_| has_modules) else {
        let why =
            "there is no Chromium, or no playwright-core: scripts/install-browser brings them";
        assert!(
            std::env::var_os("CI").is_none(),
            "CI must test the console in a browser: {why}"
        );
        return skip(why);
    };
    let dir = Scratch::new("drawbridge-console");
    let root = dir.0.path();
    let demo = Demo::start(root);
    let config = root.join("drawbridge.toml");
    let status = |request: &str| format!("{request} -s -o /dev/null -w '%{{http_code}}'");
    // The last word is the URL of `/orders/1`.
    let honest = &demo.requests[0];
    let other = |tail: &str| {
        status(&format!(
            "{}{tail}'",
            honest.replacen("https://", "'https://", 1)
        ))
    };
    let upload = format!(
        "{} -A '<script>alert(1)</script>' -H 'X-Note: <img src=x onerror=alert(1)>' -H 'Content-Type: application/json' --data '{{\"note\":\"<img src=x onerror=alert(1)>\"}}'",
        other("?x=%3Cimg/src=x+onerror=alert(1)%3E")
    );
    let settings = json!({
        "browser": browser,
        "links": {
            "security": demo.line_with("/login?code="),
            "ingress": link(&config, "ingress"),
            "viewer": link(&config, "viewer"),
            "foreign": link(&config, "ingress"),
            "certificates": link(&config, "certificates"),
        },
        "token": token(&config),
        "bundle": root.join("certs/onprem-ca.pem"),
        "honest": status(honest),
        "attack": status(&demo.requests[1]),
        "falsePositive": other("?note=the+union+select+committee"),
        "upload": upload,
        "rotate": rotate(root),
        "screenshots": std::env::var("SCREENSHOTS").ok(),
    });
    let file = root.join("settings.json");
    fs::write(&file, settings.to_string()).unwrap();
    let ran = Command::new("node")
        .arg(folder.join("console.mjs"))
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    demo.interrupt();
}

fn link(config: &Path, role: &str) -> String {
    printed(config, &["console", "login", "--role", role])
}

fn token(config: &Path) -> String {
    let verb = ["console", "token", "create", "--name", "browser"];
    printed(config, &[&verb[..], &["--role", "ingress"]].concat())
}

/// What a verb prints about this front door.
fn printed(config: &Path, verb: &[&str]) -> String {
    let made = Command::new(env!("CARGO_BIN_EXE_drawbridge"))
        .args(verb)
        .arg("--config")
        .arg(config)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

/// A command that replaces the certificate of the front door, and the CA that curl trusts, by others.
fn rotate(root: &Path) -> String {
    let program = env!("CARGO_BIN_EXE_drawbridge");
    let root = root.display();
    format!(
        "{program} certs dev --dir {root}/new --days 45 api.demo.test >/dev/null && \
         mv {root}/new/api.demo.test.key {root}/certs/public/api.key && \
         mv {root}/new/api.demo.test.pem {root}/certs/public/api.pem && \
         cp {root}/new/ca.pem {root}/certs/public-ca.pem"
    )
}
