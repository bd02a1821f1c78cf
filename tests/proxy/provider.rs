//! Tokens of an OpenID provider that is not ours, npm's oidc-provider, behind a private CA: through discovery, rotation, an
//! outage, and clocks that differ. `scripts/install-provider` brings it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use drawbridge::outbound::{Client, Destination, Request};
use serde_json::Value;

use crate::doctor::{self, drawbridge as run};
use crate::front::{Front, RULES, Setup, logged};
use crate::issuers::{becomes, settings, status};
use crate::requests::echo;
use support::materials::{project, skip, tool};
use support::pki::{self, CORP};
use support::ports;

struct Provider {
    port: u16,
    program: Child,
    commands: ChildStdin,
    done: BufReader<ChildStdout>,
    _folder: tempfile::TempDir,
}

impl Provider {
    /// None if it is not installed; the test is skipped then.
    fn start() -> Option<Self> {
        let folder = project().join("tests/provider");
        if !tool("node") {
            return None;
        }
        if !folder.join("node_modules/oidc-provider").is_dir() {
            let why = "there is no oidc-provider: scripts/install-provider brings it";
            assert!(std::env::var_os("CI").is_none(), "CI must have it: {why}");
            skip(why);
            return None;
        }
        let files = tempfile::tempdir().unwrap();
        let (chain, key) = (files.path().join("chain.pem"), files.path().join("key.pem"));
        pki::leaf(&CORP, "localhost").write(&chain, &key).unwrap();
        let port = ports::free().port();
        let mut program = Command::new("node")
            .arg(folder.join("provider.mjs"))
            .arg(port.to_string())
            .args([&chain, &key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = program.stdin.take().unwrap();
        let done = BufReader::new(program.stdout.take().unwrap());
        let mut provider = Self {
            port,
            program,
            commands,
            done,
            _folder: files,
        };
        provider.ask("start");
        Some(provider)
    }

    fn ask(&mut self, command: &str) {
        tokio::task::block_in_place(|| {
            writeln!(self.commands, "{command}").unwrap();
            let mut line = String::new();
            // It also says on standard output what a real installation should set.
            while line.trim() != format!("done {command}") {
                line.clear();
                assert_ne!(self.done.read_line(&mut line).unwrap(), 0, "it has ended");
            }
        });
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    async fn token(&self) -> String {
        let to = Destination::new(&format!("{}/token", self.url()), settings()).unwrap();
        let form = Request::form([
            ("grant_type", "client_credentials"),
            ("client_id", "shop"),
            ("client_secret", "a secret that only this test knows"),
            ("scope", "orders.read"),
        ]);
        let client = Client::new(tokio::runtime::Handle::current());
        let answer = client.send(&Arc::new(to), form).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_another_provider_are_taken_through_rotation_and_outage() {
    let Some(mut provider) = Provider::start() else {
        return;
    };
    let upstream = echo().await;
    let setup = Setup {
        route: "paths = [\"/orders/\"]\nmethods = [\"GET\"]\nidentity = \"corp\"\nrequire = { scope = [\"orders.read\"] }"
            .to_owned(),
        more: format!(
            "[identity.corp]\nissuer = \"{}\"\naudiences = [\"orders\"]\ntypes = [\"at+jwt\"]\ndiscovery = true\ntrust = \"onprem\"\njwks_refresh = \"500ms\"\njwks_max_stale = \"3s\"",
            provider.url()
        ),
        ..Setup::to(&upstream)
    };
    let front = Front::start_in(setup.write(RULES)).await;
    let doctor = || {
        run(
            &front.folder,
            &["doctor", "identity", "corp", "--output", "json"],
        )
    };
    let first = provider.token().await;
    assert_eq!(status(front.address, &first).await, 200);
    assert_eq!(doctor::json(&doctor().await)["ok"], true);

    // It signs with the new key at once.
    provider.ask("rotate");
    let second = provider.token().await;
    assert_eq!(status(front.address, &second).await, 200);
    assert_eq!(status(front.address, &first).await, 401);

    provider.ask("stop");
    logged("keys cannot be fetched, the last good ones stay in use").await;
    let said = doctor::json(&doctor().await);
    assert_eq!(said["checks"][0]["failure"]["code"], "connect", "{said}");
    becomes(front.address, &second, 503).await;
    provider.ask("start");
    becomes(front.address, &second, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_provider_with_another_clock_are_taken_within_the_skew() {
    let Some(mut provider) = Provider::start() else {
        return;
    };
    let upstream = echo().await;
    let setup = Setup {
        route: "paths = [\"/orders/\"]\nmethods = [\"GET\"]\nidentity = \"corp\"".to_owned(),
        more: format!(
            "[identity.corp]\nissuer = \"{}\"\naudiences = [\"orders\"]\ntypes = [\"at+jwt\"]\ndiscovery = true\ntrust = \"onprem\"\nclock_skew = \"5m\"",
            provider.url()
        ),
        ..Setup::to(&upstream)
    };
    let front = Front::start_in(setup.write(RULES)).await;
    let arguments = ["doctor", "identity", "corp", "--output", "json"];
    // Its tokens hold for 300 seconds.
    for (apart, expected, reason, way) in [
        (240, 200, "", ""),
        (-240, 200, "", ""),
        (720, 401, "issued_in_future", "ahead of"),
        (-900, 401, "expired", "behind"),
        (0, 200, "", ""),
    ] {
        provider.ask(&format!("clock {apart}"));
        let token = provider.token().await;
        assert_eq!(status(front.address, &token).await, expected, "{apart}");
        let said = doctor::json(&run(&front.folder, &arguments).await);
        let failure = &said["checks"][0]["failure"];
        if reason.is_empty() {
            assert_eq!(said["ok"], true, "{apart}: {said}");
            continue;
        }
        let line = front.line(|line| line["identity"]["reason"] == reason);
        assert_eq!(line.await["status"], 401);
        assert_eq!(said["checks"].as_array().unwrap().len(), 1, "{said}");
        assert_eq!(failure["code"], "clock", "{said}");
        let words = failure["reason"].as_str().unwrap();
        assert!(words.contains(way) && words.contains("300 s"), "{said}");
        let fix = failure["fix"].as_str().unwrap();
        assert!(fix.contains("correct the clock that is wrong"), "{said}");
    }
}
