//! The keys that sign tokens for gateways: made, published, rotated with overlap, kept through restarts and damage. A gateway
//! with another library than ours takes every token through a rotation.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::doctor::{self, drawbridge as run};
use crate::front::{Front, RULES, Setup, logged};
use crate::requests::echo;
use crate::tokens::Issuer;
use support::client::{Answer, raw};
use support::materials::{project, skip, tool};
use support::pki::PUBLIC;
use support::upstream::Upstream;

const PATH: &str = "/.well-known/drawbridge/jwks.json";

fn setup(upstream: &Upstream, signing: &str) -> Setup {
    Setup {
        top: "state_dir = \"state\"\nadmin = \"unix:admin.sock\"".to_owned(),
        listener: format!("jwks_path = \"{PATH}\""),
        route: "paths = [\"/orders/\"]\nmethods = [\"GET\"]\nidentity = \"corp\"\nforward_identity = \"signed\"\n"
            .to_owned(),
        more: format!(
            "{}[signing]\nissuer = \"https://door.test\"\njwks_file = \"door.json\"\n{signing}\n",
            Issuer::table("")
        ),
        ..Setup::to(upstream)
    }
}

async fn start(setup: &Setup, issuer: &Issuer) -> Front {
    let folder = setup.write(RULES);
    issuer.publish(&folder);
    Front::start_in(folder).await
}

async fn ask(front: &Front, request: &str, fields: &str) -> Answer {
    let request = format!("{request} HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n");
    raw(front.address, request.as_bytes()).await.unwrap()
}

/// The token that the gateway gets.
async fn forwarded(front: &Front, issuer: &Issuer) -> String {
    let fields = format!("Authorization: Bearer {}\r\n", issuer.token(json!({})));
    let answer = ask(front, "GET /orders/1", &fields).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let headers = answer.json()["headers"].as_array().unwrap().clone();
    let lines = headers.iter().filter_map(Value::as_str);
    let tokens: Vec<_> = lines
        .filter_map(|line| {
            let (name, value) = line.split_once(": Bearer ")?;
            name.eq_ignore_ascii_case("authorization").then_some(value)
        })
        .collect();
    let [token] = tokens.as_slice() else {
        panic!("{headers:?}")
    };
    (*token).to_owned()
}

fn kids(set: &Value) -> BTreeSet<String> {
    let keys = set["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

async fn published(front: &Front) -> BTreeSet<String> {
    let answer = ask(front, &format!("GET {PATH}"), "").await;
    assert_eq!(answer.status, 200);
    kids(&answer.json())
}

async fn keys(folder: &Path, verb: &str) -> (Option<i32>, Value) {
    let output = run(folder, &["identity", "keys", verb, "--output", "json"]).await;
    (output.status.code(), doctor::json(&output))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_shows_the_keys_and_no_gateway_sees_the_request() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let front = start(&setup(&upstream, ""), &issuer).await;
    let answer = ask(&front, &format!("GET {PATH}?v=1"), "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("application/jwk-set+json")
    );
    let cached = answer.headers.iter();
    let cached = cached.filter(|(name, _)| name.eq_ignore_ascii_case("cache-control"));
    let cached: Vec<_> = cached.map(|(_, value)| value.as_str()).collect();
    assert_eq!(cached, ["public, max-age=3600"]);
    let file = std::fs::read(front.folder.join("door.json")).unwrap();
    assert_eq!(answer.body, file);
    assert!(!answer.text().contains("\"d\""), "{}", answer.text());
    for (request, status, body) in [
        (format!("HEAD {PATH}"), 200, false),
        (format!("POST {PATH}"), 405, true),
        (format!("GET {PATH}/"), 404, true),
        (
            "GET /.well-known/drawbridge/%6awks.json".to_owned(),
            404,
            true,
        ),
        ("GET /orders/1".to_owned(), 401, true),
    ] {
        let fields = "Content-Length: 0\r\nConnection: close\r\n";
        let answer = ask(&front, &request, fields).await;
        assert_eq!(
            (answer.status, !answer.body.is_empty()),
            (status, body),
            "{request}"
        );
    }
    let line = front.line(|line| line["path"] == PATH).await;
    assert_eq!(line["status"], 200, "{line}");
    assert!(line["upstream"].is_null(), "{line}");
}

/// A gateway of another library, in a process of its own.
struct Gateway {
    program: Child,
    tokens: ChildStdin,
    verdicts: BufReader<ChildStdout>,
}

impl Gateway {
    /// None if jose is not installed; the test is skipped then.
    fn start(front: &Front) -> Option<Self> {
        let folder = project().join("tests/provider");
        if !tool("node") {
            return None;
        }
        if !folder.join("node_modules/jose").is_dir() {
            let why = "there is no jose: scripts/install-provider brings it";
            assert!(std::env::var_os("CI").is_none(), "CI must have it: {why}");
            skip(why);
            return None;
        }
        let ca = front.folder.join("public-ca.pem");
        std::fs::write(&ca, PUBLIC.certificate_pem().unwrap()).unwrap();
        let mut program = Command::new("node")
            .arg(folder.join("gateway.mjs"))
            .args([&front.address.port().to_string(), PATH])
            .arg(ca)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Some(Self {
            tokens: program.stdin.take().unwrap(),
            verdicts: BufReader::new(program.stdout.take().unwrap()),
            program,
        })
    }

    fn judge(&mut self, token: &str) -> String {
        tokio::task::block_in_place(|| {
            writeln!(self.tokens, "{token}").unwrap();
            let mut line = String::new();
            assert_ne!(self.verdicts.read_line(&mut line).unwrap(), 0, "it ended");
            line.trim().to_owned()
        })
    }

    /// The id of the key of a token that is taken.
    fn kid(&mut self, token: &str) -> String {
        let verdict = self.judge(token);
        let kid = verdict.strip_prefix("taken anna ");
        kid.unwrap_or_else(|| panic!("{verdict}: {token}"))
            .to_owned()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_library_takes_every_token_through_a_rotation() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let front = start(&setup(&upstream, "overlap = \"4s\""), &issuer).await;
    let Some(mut gateway) = Gateway::start(&front) else {
        return;
    };
    let before = forwarded(&front, &issuer).await;
    let old = gateway.kid(&before);
    let (code, said) = keys(&front.folder, "rotate").await;
    assert_eq!(
        (code, said["keys"][1]["state"].as_str()),
        (Some(0), Some("next")),
        "{said}"
    );
    assert!(said["next_rotation"].is_string(), "{said}");
    // Published before it signs.
    let new = said["keys"][1]["kid"].as_str().unwrap().to_owned();
    assert_eq!(
        published(&front).await,
        BTreeSet::from([old.clone(), new.clone()])
    );
    let file = std::fs::read(front.folder.join("door.json")).unwrap();
    assert_eq!(kids(&serde_json::from_slice(&file).unwrap()).len(), 2);
    let during = forwarded(&front, &issuer).await;
    assert_eq!(gateway.kid(&during), old);
    // One key at most waits.
    assert_eq!(keys(&front.folder, "rotate").await.0, Some(1));

    let mut last = old.clone();
    for _ in 0..200 {
        let token = forwarded(&front, &issuer).await;
        last = gateway.kid(&token);
        if last == new {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(last, new);
    // What was signed before holds to its own end.
    assert_eq!(
        (gateway.kid(&before), gateway.kid(&during)),
        (old.clone(), old)
    );
    // Not its last character, of which four bits say nothing.
    let (claims, signature) = before.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{claims}.{first}{}", &signature[1..]);
    assert!(gateway.judge(&forged).starts_with("refused"));
    let (_, said) = keys(&front.folder, "list").await;
    let states: Vec<_> = said["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["state"])
        .collect();
    assert_eq!(states, ["previous", "signs"], "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_follow_each_other_by_age_and_outlive_a_restart() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let setup = setup(
        &upstream,
        "rotate = \"4s\"\noverlap = \"2s\"\nalgorithm = \"EdDSA\"",
    );
    let mut front = start(&setup, &issuer).await;
    let first = published(&front).await;
    let mut both = BTreeSet::new();
    for _ in 0..100 {
        both = published(&front).await;
        if both.len() > 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(both.len() > 1 && both.is_superset(&first), "{both:?}");
    front.stopped().await;

    let folder = front.folder.clone();
    let again = Front::start_in(folder).await;
    assert!(published(&again).await.is_superset(&both));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_leaves_the_keys_in_use_and_starts_no_front_door() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let front = start(&setup(&upstream, "overlap = \"2s\""), &issuer).await;
    let before = published(&front).await;
    let file = front.folder.join("state/identity-key.pem");
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, &good[..good.len() - 40]).unwrap();
    logged("the keys of [signing] cannot be followed").await;
    assert_eq!(published(&front).await, before);
    forwarded(&front, &issuer).await;
    assert_eq!(keys(&front.folder, "rotate").await.0, Some(1));
    let checked = run(&front.folder, &["check"]).await;
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(1), "{said}");
    assert!(
        said.contains("holds no keys to sign with: it ends within a key"),
        "{said}"
    );

    // A file of another process, as during a hand-over, is followed.
    let other = identity::Signer::generate(identity::SigningAlgorithm::Es256).unwrap();
    let mut text = String::from_utf8(good).unwrap();
    text += &format!("Signs-From: {}\n", u64::MAX - 1);
    text += &String::from_utf8(other.to_pem().unwrap()).unwrap();
    std::fs::write(&file, text).unwrap();
    let mut followed = false;
    for _ in 0..100 {
        followed = published(&front).await.contains(other.id());
        if followed {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(followed);
}

/// What a full disk does: nothing can be written beside the file.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_written_is_not_used() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let front = start(&setup(&upstream, "overlap = \"2s\""), &issuer).await;
    let before = published(&front).await;
    // A folder in the place of the new file: root may write where modes forbid it, but not this.
    std::fs::create_dir(front.folder.join("state/identity-key.pem.new")).unwrap();
    let (code, said) = keys(&front.folder, "rotate").await;
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(published(&front).await, before);
    std::fs::remove_dir(front.folder.join("state/identity-key.pem.new")).unwrap();
    assert_eq!(keys(&front.folder, "rotate").await.0, Some(0));
    assert_eq!(published(&front).await.len(), 2);
}

#[test]
fn mistakes_are_reported_together() {
    let setup = Setup {
        servers: vec!["127.0.0.1:1".parse().unwrap()],
        listener: "jwks_path = \"/a/../b\"".to_owned(),
        route: "paths = [\"/\"]".to_owned(),
        more: "[signing]\nissuer = \"https://door.test\"\nkeys = [\"k.pem\"]\nrotate = \"1h\"\noverlap = \"1s\"\nalgorithm = \"RS256\"\n"
            .to_owned(),
        ..Setup::default()
    };
    let folder = setup.write(RULES);
    let found = drawbridge::config::load(&folder.join("drawbridge.toml")).unwrap_err();
    let found: String = found.iter().map(|d| d.render(false)).collect();
    for words in [
        "is no plain path",
        "\"rotate\" is for keys in the state_dir",
        "\"overlap\" is for keys in the state_dir",
        "algorithm",
    ] {
        assert!(found.contains(words), "{words}: {found}");
    }
    let text = Setup {
        listener: format!("jwks_path = \"{PATH}\""),
        more: String::new(),
        ..setup
    };
    std::fs::write(folder.join("drawbridge.toml"), text.text()).unwrap();
    let found = drawbridge::config::load(&folder.join("drawbridge.toml")).unwrap_err();
    let found: String = found.iter().map(|d| d.render(false)).collect();
    assert!(
        found.contains("\"jwks_path\" needs a [signing] table"),
        "{found}"
    );
    std::fs::remove_dir_all(folder).unwrap();
}
