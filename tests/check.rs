//! `drawbridge check` as a user runs it: what it says, where, and how it exits.
#![cfg(feature = "front")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use drawbridge::tls::issue::{Authority, LeafOptions};

const GOOD: &str = r#"state_dir = "state"
[listeners.public]
bind = ["127.0.0.1:8443"]
certificates = [{ chain = "api.pem", key = "api.key" }]
[trust.onprem]
ca = ["ca.pem"]
[upstreams.orders]
servers = ["127.0.0.1:9443"]
tls = { server_name = "orders.corp.test", trust = "onprem" }
[policies.default]
mode = "detect"
rules = ["@baseline"]
[[routes]]
name = "orders"
hosts = ["api.demo.test"]
paths = ["/orders/"]
listeners = ["public"]
upstream = "orders"
policy = "default"
[exposures.public]
routes = ["orders"]
listeners = ["public"]
owner = "orders team"
"#;

#[test]
fn exit_codes_and_streams() {
    let folder = Folder::new("exit");
    folder.write("good.toml", GOOD);
    folder.write("warned.toml", &GOOD.replace("\"detect\"", "\"off\""));
    folder.write(
        "bad.toml",
        &GOOD.replace("upstream = \"orders\"", "upstream = \"order\""),
    );
    for (arguments, code, out, err) in [
        (&["--config", "good.toml"][..], 0, "good.toml: ok\n", ""),
        (
            &["--config", "warned.toml"],
            0,
            "warned.toml: ok, 1 warning\n",
            "warned.toml:11:8: warning: policy \"default\" is off: nothing is inspected\n11 | mode = \"off\"\n   |        ^^^^^\n",
        ),
        (
            &["--config", "bad.toml"],
            1,
            "bad.toml: 1 error\n",
            "bad.toml:18:12: error: there is no upstream \"order\"\n18 | upstream = \"order\"\n   |            ^^^^^^^\n  help: did you mean \"orders\"?\n",
        ),
        (
            &["--config", "none.toml"],
            1,
            "none.toml: 1 error\n",
            "none.toml:1:1: error: cannot read the configuration: there is no such file\n",
        ),
    ] {
        let output = folder.check(arguments);
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            err,
            "{arguments:?}"
        );
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            out,
            "{arguments:?}"
        );
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
    for usage in [&["--config"][..], &["--confg", "good.toml"]] {
        assert_eq!(folder.check(usage).status.code(), Some(2), "{usage:?}");
    }
}

#[test]
fn machines_read_json() {
    let folder = Folder::new("json");
    folder.write("bad.toml", &GOOD.replace("mode", "mod"));
    let output = folder.check(&["--config", "bad.toml", "--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(report["errors"], 2);
    let problem = &report["problems"][1];
    assert_eq!(problem["file"], "bad.toml");
    assert_eq!(
        (&problem["line"], &problem["column"]),
        (&11.into(), &1.into())
    );
    assert_eq!(
        problem["message"],
        "unknown key \"mod\" in policy \"default\""
    );
    assert_eq!(problem["help"], "did you mean \"mode\"?");
}

#[test]
fn the_configuration_is_found_without_being_named() {
    let folder = Folder::new("found");
    let output = folder.check(&["--output", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    let told = report["error"].as_str().unwrap();
    assert!(
        told.contains("--config") && told.contains("/etc/drawbridge/drawbridge.toml"),
        "{told}"
    );

    folder.write("other.toml", GOOD);
    folder.write("drawbridge.toml", GOOD);
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said(&folder.check(&[])), "drawbridge.toml: ok\n");
    assert_eq!(
        said(&folder.check(&["-c", "other.toml"])),
        "other.toml: ok\n"
    );
    let by_environment = folder
        .command(&["check"])
        .env("DRAWBRIDGE_CONFIG", "other.toml")
        .output()
        .unwrap();
    assert_eq!(said(&by_environment), "other.toml: ok\n");
}

/// Each verb that shows JSON shows JSON where it fails, wrong usage included, and nothing else.
#[test]
fn failures_are_json_where_json_is_asked_for() {
    let folder = Folder::new("failures");
    folder.write("broken.toml", "[listeners");
    folder.write("drawbridge.toml", GOOD);
    for (arguments, code) in [
        (&["check", "-c", "none.toml"][..], 1),
        (&["diff", "none.toml", "drawbridge.toml"], 2),
        (&["diff", "drawbridge.toml"], 2),
        (&["doctor", "upstream", "order"], 1),
        (&["doctor", "upstream", "orders", "-c", "broken.toml"], 1),
        (&["expose", "status"], 1),
        (&["expose", "off", "public"], 1),
        (&["expose", "off", "--all"], 1),
        (&["reload"], 1),
        (&["status"], 1),
        (&["certs", "list", "-c", "broken.toml"], 1),
        (&["certs", "rehearse", "--trust", "onprm", "ca.pem"], 1),
        (&["rules", "list", "--policy", "none"], 1),
        (&["rules", "list", "--route", "none"], 1),
        (&["rules", "list", "--rules", "none.conf"], 1),
        (&["rules", "explain", "none.http"], 1),
        (&["rules", "test", "none"], 1),
        (&["rules", "check", "none.conf"], 1),
        (&["rules", "list", "--nonsense"], 2),
        (&["doctor", "upstream"], 2),
    ] {
        let output = folder
            .command(arguments)
            .args(["--output", "json"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {output:?}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"));
        assert_eq!(report["ok"], false, "{arguments:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

/// What a shell gets when it asks this program for words.
#[test]
fn names_of_the_configuration_are_completed() {
    let folder = Folder::new("complete");
    folder.write("drawbridge.toml", GOOD);
    folder.write("other.toml", &GOOD.replace("orders", "billing"));
    for (words, expected) in [
        (&["doctor", "upstream", ""][..], "orders"),
        (&["doctor", "upstream", "-c", "other.toml", ""], "billing"),
        (&["expose", "off", ""], "public"),
        (&["rules", "list", "--policy", ""], "default"),
        (&["rules", "list", "--route", ""], "orders"),
        (&["certs", "rehearse", "--trust", ""], "onprem"),
        (&["rel"], "reload"),
    ] {
        let output = folder
            .command(&["--", "drawbridge"])
            .args(words)
            .env("COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", words.len().to_string())
            .env("_CLAP_IFS", "\n")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            said.lines().any(|line| line == expected),
            "{words:?}: {said}"
        );
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("drawbridge-check-{}-{name}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        let authority = Authority::new("CA", 30).unwrap();
        let leaf = authority.leaf(&["api.demo.test"], &LeafOptions::default());
        leaf.unwrap()
            .write(&folder.0.join("api.pem"), &folder.0.join("api.key"))
            .unwrap();
        fs::write(
            folder.0.join("ca.pem"),
            authority.certificate_pem().unwrap(),
        )
        .unwrap();
        folder
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }

    fn check(&self, arguments: &[&str]) -> Output {
        self.command(&["check"]).args(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
        command
            .args(arguments)
            .current_dir(&self.0)
            .env_remove("DRAWBRIDGE_CONFIG");
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
