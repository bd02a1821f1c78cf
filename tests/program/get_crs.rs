//! `scripts/get-crs` against a repository on this machine.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use support::materials::project;

/// A repository in the layout of the Core Rule Set's, and its commit.
struct Repository {
    folder: TempDir,
    commit: String,
}

#[test]
fn the_content_is_checked_and_put_where_tests_look() {
    let repository = Repository::make();
    let to = repository.folder.path().join("crs");
    // A wrong digest is refused, and its message has the right one.
    let refused = repository.get(&to, "0000");
    assert_eq!(refused.status.code(), Some(1));
    assert!(!to.exists(), "nothing is kept");
    let message = String::from_utf8(refused.stderr).unwrap();
    let digest = message.split("has the digest ").nth(1).unwrap();
    let digest = digest.split(',').next().unwrap();

    let taken = repository.get(&to, digest);
    assert!(taken.status.success(), "{taken:?}");
    let said = String::from_utf8(taken.stdout).unwrap();
    assert!(said.contains(&to.display().to_string()), "{said}");
    for file in [
        "rules/one.conf",
        "regression/920/1.yaml",
        "crs-setup.conf.example",
        "LICENSE",
    ] {
        assert!(to.join(file).is_file(), "{file}");
    }

    let again = repository.get(&to, digest);
    assert_eq!(
        again.status.code(),
        Some(1),
        "what is there is not replaced"
    );
}

#[test]
fn changed_content_and_an_unknown_commit_are_refused() {
    let mut repository = Repository::make();
    let to = repository.folder.path().join("crs");
    let message = String::from_utf8(repository.get(&to, "0000").stderr).unwrap();
    let digest = message.split("has the digest ").nth(1).unwrap();
    let digest = digest.split(',').next().unwrap().to_owned();
    fs::write(
        repository.folder.path().join("upstream/rules/one.conf"),
        "SecRuleEngine Off\n",
    )
    .unwrap();
    let changed = commit(&repository.folder.path().join("upstream"), "changed");
    let unknown = "0123456789012345678901234567890123456789".to_owned();
    for commit in [changed, unknown] {
        repository.commit = commit;
        assert_eq!(repository.get(&to, &digest).status.code(), Some(1));
    }
    assert!(!to.exists());
}

impl Repository {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = folder.path().join("upstream");
        for (file, text) in [
            ("rules/one.conf", "SecRuleEngine On\n"),
            ("tests/regression/tests/920/1.yaml", "rule_id: 1\n"),
            ("crs-setup.conf.example", "# none\n"),
            ("LICENSE", "Apache\n"),
            ("README.md", "not needed\n"),
        ] {
            let file = upstream.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        git(&upstream, &["init", "-q"]);
        // A commit is asked for by its id, as the real server allows.
        git(
            &upstream,
            &["config", "uploadpack.allowAnySHA1InWant", "true"],
        );
        let commit = commit(&upstream, "first");
        Self { folder, commit }
    }

    fn get(&self, to: &Path, digest: &str) -> Output {
        let url = format!("file://{}", self.folder.path().join("upstream").display());
        Command::new(project().join("scripts/get-crs"))
            .args(["--from", &url, "--to"])
            .arg(to)
            .env("CRS_COMMIT", &self.commit)
            .env("CRS_DIGEST", digest)
            .output()
            .unwrap()
    }
}

fn commit(repository: &Path, message: &str) -> String {
    git(repository, &["add", "-A"]);
    let identity = ["-c", "user.name=test", "-c", "user.email=test@example.test"];
    let rest = ["commit", "-q", "-m", message];
    git(repository, &[&identity[..], &rest[..]].concat());
    git(repository, &["rev-parse", "HEAD"]).trim().to_owned()
}

fn git(repository: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(repository)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
