//! What Drawbridge is installed from: the Debian package, the tarball and the SBOM, made from the binary under test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use support::materials::{self, project, skip};

/// The most that `systemd-analyze security` may say of the unit, on its scale from 0 to 10.
const EXPOSURE: f64 = 2.0;

#[test]
fn the_unit_is_confined() {
    if !materials::tool("systemd-analyze") {
        return;
    }
    let unit = project().join("packaging/drawbridge.service");
    let arguments = ["security", "--offline=yes", "--no-pager"];
    let output = run(Command::new("systemd-analyze").args(arguments).arg(unit));
    let said = text(&output.stdout);
    let last = said.lines().last().unwrap_or_default();
    let level = last.split("drawbridge.service: ").nth(1);
    let level = level.and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok());
    assert!(level.is_some_and(|level| level < EXPOSURE), "{said}");
}

#[test]
fn the_apparmor_profile_is_parsed() {
    if !materials::tool("apparmor_parser") {
        return;
    }
    let profile = project().join("packaging/apparmor/drawbridge");
    let mut parser = Command::new("apparmor_parser");
    // A user's path may lack the folders of the system's daemons.
    parser.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    let quietly = ["--skip-kernel-load", "--skip-cache", "--stdout"];
    let output = run(parser.args(quietly).arg(profile));
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn the_packages_hold_what_they_say() {
    let made = Made::packages("0.1.0");
    let tarball = made.file(".tar.gz");
    let digest = run(Command::new("sha256sum")
        .arg(&tarball)
        .current_dir(made.folder()));
    let noted = fs::read(made.folder().join(format!("{tarball}.sha256"))).unwrap();
    assert_eq!(text(&digest.stdout), text(&noted));
    let list = run(Command::new("tar")
        .args(["--list", "--file", &tarball])
        .current_dir(made.folder()));
    let list = text(&list.stdout);
    for end in [
        "/bin/drawbridge\n",
        "/share/man/man1/drawbridge-rules-exclude.1.gz\n",
        "/share/doc/drawbridge/docs/reference.md\n",
        "/share/doc/drawbridge/drawbridge.cdx.json\n",
        "/lib/drawbridge.service\n",
        "/LICENSE\n",
    ] {
        assert!(list.contains(end), "{end}: {list}");
    }
    let again = Made::packages("0.1.0");
    let same = |name: &str| {
        let read = |made: &Made| fs::read(made.folder().join(name)).unwrap();
        assert!(read(&made) == read(&again), "{name} differs");
    };
    made.names().iter().for_each(|name| same(name));
}

#[test]
fn the_sbom_names_all_that_is_compiled_in() {
    let output = run(&mut Command::new(project().join("scripts/sbom")));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let sbom: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&sbom["bomFormat"], &sbom["specVersion"]),
        (&"CycloneDX".into(), &"1.5".into())
    );
    let of = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
    let components = sbom["components"].as_array().unwrap();
    let names: BTreeSet<String> = components.iter().map(|c| of(c, "name")).collect();
    for name in ["openssl", "pingora", "drawbridge-waf", "libmimalloc-sys"] {
        assert!(names.contains(name), "{name}");
    }
    assert!(!names.contains("tempfile"), "tests alone use it");
    let root = &sbom["metadata"]["component"];
    let known = components.iter().chain([root]).map(|c| of(c, "bom-ref"));
    let known: BTreeSet<String> = known.collect();
    assert_eq!(known.len(), components.len() + 1, "each is named once");
    for entry in sbom["dependencies"].as_array().unwrap() {
        for used in entry["dependsOn"].as_array().unwrap() {
            assert!(known.contains(used.as_str().unwrap()), "{used}");
        }
    }
    for component in components {
        let expression = &component["licenses"][0]["expression"];
        assert!(expression.is_string(), "{component}");
        let is_ours = component["name"]
            .as_str()
            .unwrap()
            .starts_with("drawbridge-");
        let is_hashed = component["hashes"][0]["content"].is_string();
        let is_crate = of(component, "purl").starts_with("pkg:cargo/");
        assert!(is_ours || is_hashed || !is_crate, "{component}");
    }
}

#[test]
fn the_debian_package_is_clean() {
    if !(materials::tool("dpkg-deb") && materials::tool("lintian")) {
        return;
    }
    let made = Made::packages("0.1.0");
    let package = made.file(".deb");
    let mut lintian = Command::new("lintian");
    lintian.args(["--fail-on", "error,warning", "--allow-root"]);
    let output = run(lintian.arg(&package).current_dir(made.folder()));
    assert!(output.status.success(), "{output:?}");
}

/// A system of its own: an overlay of a debootstrap'ed one that `PACKAGE_ROOT` names, else of this machine.
#[test]
fn the_debian_package_is_installed_upgraded_and_purged() {
    for tool in ["dpkg-deb", "unshare", "ip", "curl", "chroot"] {
        if !materials::tool(tool) {
            return;
        }
    }
    if !is_root() {
        return skip("installing a package needs root");
    }
    if let Err(why) = can_isolate() {
        return skip(&format!(
            "no namespaces or no overlay file system here: {why}"
        ));
    }
    let (old, new) = (Made::packages("0.1.0"), Made::packages("0.1.0+next"));
    let output = run(Command::new(project().join("scripts/package-test"))
        .arg(old.folder().join(old.file(".deb")))
        .arg(new.folder().join(new.file(".deb"))));
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(said.ends_with("all of it holds\n"), "{said}");
}

fn is_root() -> bool {
    text(&run(Command::new("id").arg("-u")).stdout).trim() == "0"
}

/// Whether this machine lets a test mount an overlay in namespaces of its own.
fn can_isolate() -> Result<(), String> {
    let script = "set -e; d=$(mktemp -d); mount -t tmpfs none $d; mkdir $d/u $d/w $d/r; \
                  mount -t overlay none -o lowerdir=/,upperdir=$d/u,workdir=$d/w $d/r; umount $d/r $d; rmdir $d";
    let namespaces = ["--mount", "--pid", "--net", "--fork", "sh", "-c", script];
    let output = run(Command::new("unshare").args(namespaces));
    match output.status.success() {
        true => Ok(()),
        false => Err(text(&output.stderr)),
    }
}

/// A folder of packages.
struct Made(TempDir);

impl Made {
    fn packages(version: &str) -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        let output = run(Command::new(project().join("scripts/packages"))
            .args(["--binary", env!("CARGO_BIN_EXE_drawbridge")])
            .args(["--version", version, "--to"])
            .arg(made.folder())
            // The binary under test is large; how small it gets is nothing to test.
            .env("DEB_COMPRESSION", "gzip"));
        assert!(output.status.success(), "{}", text(&output.stderr));
        made
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    fn file(&self, end: &str) -> String {
        let names = self.names();
        names.into_iter().find(|name| name.ends_with(end)).unwrap()
    }
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
