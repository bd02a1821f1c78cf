//! `drawbridge init` and what follows it, with the real binary: check, run, healthcheck, reload.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dev_pki::Authority;
use serde_json::Value;
use support::{materials, ports};

const START: Duration = Duration::from_secs(60);

#[test]
fn what_init_writes_serves() {
    let made = tempfile::tempdir().unwrap();
    let folder = made.path();
    let said = good(&drawbridge(folder, &["init"]));
    assert!(said.contains("drawbridge.toml"), "{said}");
    passes_check(folder, "drawbridge.toml");
    let mode = |file: &str| {
        fs::metadata(folder.join(file))
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!(mode("certs/public/localhost.key") & 0o777, 0o600);
    assert_eq!(mode("state") & 0o777, 0o700);

    let again = drawbridge(folder, &["init"]);
    assert_eq!(again.status.code(), Some(1));
    let told = text(&again.stderr);
    assert!(told.contains("exists already"), "{told}");

    let at = ports::free();
    let file = folder.join("drawbridge.toml");
    let written = fs::read_to_string(&file).unwrap();
    fs::write(&file, written.replace("127.0.0.1:8443", &at.to_string())).unwrap();
    let _running = Running::start(folder);
    let ask = |path: &str| {
        let curl = Command::new("curl")
            .args([
                "-sS",
                "--noproxy",
                "*",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
            ])
            .args(["--cacert", "certs/dev-ca.pem", "--connect-to"])
            .arg(format!("localhost:443:{at}"))
            .arg(format!("https://localhost{path}"))
            .current_dir(folder)
            .output();
        good(&curl.unwrap())
    };
    assert_eq!(ask("/"), "404");
    let said = good(&drawbridge(folder, &["reload"]));
    assert!(said.starts_with("reloaded"), "{said}");
    assert!(good(&drawbridge(folder, &["status"])).contains(": ready\n"));

    // The example is one that works where its CA is there.
    let ca = Authority::new("CA", 30).unwrap().certificate_pem().unwrap();
    fs::write(folder.join("certs/onprem-ca.pem"), ca).unwrap();
    use_example(folder);
    assert_eq!(
        good(&drawbridge(folder, &["check"])),
        "drawbridge.toml: ok\n"
    );
    let said = good(&drawbridge(folder, &["reload"]));
    assert!(said.starts_with("reloaded"), "{said}");
    // The gateway is not there, but the route is.
    assert_eq!(ask("/orders/1"), "502");
    assert_eq!(ask("/else"), "404");
}

#[test]
fn init_takes_a_core_rule_set() {
    let Some(crs) = materials::crs() else { return };
    let crs = crs.canonicalize().unwrap();
    let made = tempfile::tempdir().unwrap();
    let folder = made.path();
    let wrong = drawbridge(folder, &["init", "--crs", "none", "--output", "json"]);
    assert_eq!(wrong.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&wrong.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert_eq!(
        fs::read_dir(folder).unwrap().count(),
        0,
        "nothing is written"
    );

    let crs = crs.to_str().unwrap();
    let written = drawbridge(
        folder,
        &["init", "--dir", "a/b", "--crs", crs, "--output", "json"],
    );
    let report: Value = serde_json::from_str(&good(&written)).unwrap();
    assert_eq!(report["config"], "a/b/drawbridge.toml");
    let file = ["--config", "a/b/drawbridge.toml"];
    passes_check(folder, file[1]);
    let list = good(&drawbridge(folder, &["rules", "list", file[0], file[1]]));
    assert!(list.contains("949110"), "{list}");
}

#[test]
fn a_service_has_its_folders_outside_of_its_configuration() {
    let made = tempfile::tempdir().unwrap();
    let output = drawbridge(made.path(), &["init", "--system", "--output", "json"]);
    // The package brings the folder of the log; scripts/package-test has both.
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for problem in report["problems"].as_array().into_iter().flatten() {
        let message = problem["message"].as_str().unwrap();
        let is_expected = message.contains("/var/log/drawbridge/");
        assert!(is_expected || problem["severity"] == "warning", "{problem}");
    }
    let written = fs::read_to_string(made.path().join("drawbridge.toml")).unwrap();
    let table: toml::Table = written.parse().unwrap();
    assert_eq!(table["state_dir"].as_str(), Some("/var/lib/drawbridge"));
    assert!(!table.contains_key("admin"), "the unit has it");
    assert!(!made.path().join("state").exists());
}

/// Warns only that nothing is exposed yet.
fn passes_check(folder: &Path, file: &str) {
    let output = drawbridge(folder, &["check", "--config", file]);
    assert!(output.status.success(), "{output:?}");
    let told = text(&output.stderr);
    let warnings: Vec<&str> = told.lines().filter(|l| l.contains("warning")).collect();
    let expected = [
        "nothing uses listener \"public\"",
        "nothing uses policy \"default\"",
    ];
    assert_eq!(warnings.len(), expected.len(), "{told}");
    for (warning, expected) in warnings.iter().zip(expected) {
        assert!(warning.ends_with(expected), "{told}");
    }
}

/// Takes the # from each key, as a person would.
fn use_example(folder: &Path) {
    let file = folder.join("conf.d/orders.toml");
    let text = fs::read_to_string(&file).unwrap();
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') => key,
        _ => line,
    });
    let used: Vec<&str> = lines.collect();
    let used = used.join("\n");
    // A gateway that refuses at once, in place of one that is far away.
    let used = used.replace(
        "\"10.20.0.11:8443\", \"10.20.0.12:8443\"",
        "\"127.0.0.1:1\"",
    );
    fs::write(file, used).unwrap();
}

struct Running(Child);

impl Running {
    /// Starts it and waits until it is healthy.
    fn start(folder: &Path) -> Self {
        let mut command = command(folder, &["run"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut running = Self(child.unwrap());
        let began = Instant::now();
        while !drawbridge(folder, &["healthcheck"]).status.success() {
            assert!(began.elapsed() < START, "it does not become ready");
            assert!(running.0.try_wait().unwrap().is_none(), "it ended");
            sleep(Duration::from_millis(20));
        }
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn drawbridge(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("DRAWBRIDGE_CONFIG");
    command
}

/// What it said, after it ended well.
fn good(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
