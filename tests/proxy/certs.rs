//! `drawbridge certs`: list, rehearse, dev.

use std::os::unix::fs::PermissionsExt;

use dev_pki::LeafOptions;
use serde_json::Value;

use crate::doctor::{drawbridge, json};
use crate::front::{RULES, Setup};
use support::pki::{self, CORP, OLD, ServerTls};
use support::ports;
use support::upstream::{Behaviour, Upstream};

const NAME: &str = "orders.corp.test";

fn find<'r>(report: &'r Value, kind: &str, subject: &str) -> &'r Value {
    let entries = report["certificates"].as_array().unwrap();
    let found = entries.iter().find(|entry| {
        entry["kind"] == kind && entry["subject"].as_str().unwrap().contains(subject)
    });
    found.unwrap_or_else(|| panic!("{kind} {subject}: {report:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn list_holds_every_certificate_that_matters() {
    let issuing = CORP.intermediate("Corp Issuing CA", 20).unwrap();
    let options = LeafOptions {
        ends_in_days: 6,
        ..LeafOptions::default()
    };
    let issued = issuing.leaf(&[NAME], &options).unwrap();
    let upstream = Upstream::start(ServerTls::new(issued), Behaviour::Echo).await;
    let setup = Setup {
        tls: "{ server_name = \"orders.corp.test\", trust = \"onprem\", client_certificate = \
            { chain = \"client.pem\", key = \"client.key\" } }"
            .to_owned(),
        ..Setup::to(&upstream)
    };
    let folder = setup.write(RULES);
    let output = drawbridge(&folder, &["certs", "list", "--output", "json"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = json(&output);
    for (kind, subject, days, warning) in [
        ("listener", "api.test", 89, Value::Null),
        ("ca", "Corp CA 2026", 9, 14.into()),
        ("client", "front door", 89, Value::Null),
        ("upstream", NAME, 5, 7.into()),
        ("upstream_intermediate", "Corp Issuing CA", 19, 30.into()),
    ] {
        let entry = find(&report, kind, subject);
        // Whole days: one less a second after it was made.
        let left = entry["days_left"].as_i64().unwrap();
        assert!((days..=days + 1).contains(&left), "{entry:#}");
        assert_eq!(entry["warning"], warning, "{entry:#}");
        assert_eq!(entry["key"], "EC P-256");
        let file = entry["file"].as_str();
        let wanted = match kind {
            "listener" => Some("front.pem"),
            "ca" => Some("corp-ca.pem"),
            "client" => Some("client.pem"),
            _ => None,
        };
        assert_eq!(file.is_some(), wanted.is_some(), "{entry:#}");
        assert!(
            file.unwrap_or_default()
                .ends_with(wanted.unwrap_or_default())
        );
    }
    let names = &find(&report, "listener", "api.test")["names"];
    assert_eq!(names.as_array().unwrap().len(), 3);

    let output = drawbridge(&folder, &["certs", "list"]).await;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let first = out.lines().next().unwrap();
    assert!(first.contains(" days  upstream  orders/"), "{out}");
    assert!(err.contains("ends within 7 days"), "{err}");
    for file in ["front.pem", "corp-ca.pem", "client.pem"] {
        let line = |line: &str| line.starts_with("             file    ") && line.ends_with(file);
        assert!(out.lines().any(line), "{file}: {out}");
    }

    let offline = ["certs", "list", "--offline", "--output", "json"];
    let connections = upstream.connections();
    let report = json(&drawbridge(&folder, &offline).await);
    let entries = report["certificates"].as_array().unwrap();
    assert!(entries.iter().all(|e| e["kind"] != "upstream"));
    assert_eq!(upstream.connections(), connections);
}

#[tokio::test(flavor = "multi_thread")]
async fn list_shows_what_is_presented_also_where_it_is_refused() {
    let tls = ServerTls::new(pki::expired(&CORP, NAME));
    let upstream = Upstream::start(tls, Behaviour::Echo).await;
    let folder = Setup::to(&upstream).write(RULES);
    let output = drawbridge(&folder, &["certs", "list", "--output", "json"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = json(&output);
    let entry = find(&report, "upstream", NAME);
    assert_eq!(entry["warning"], 0, "{entry:#}");
    assert_eq!(report["refused"][0]["code"], "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn rehearse_tells_each_backend() {
    let start = async |issued| Upstream::start(ServerTls::new(issued), Behaviour::Echo).await;
    let (corp, old) = (
        start(pki::leaf(&CORP, NAME)).await,
        start(pki::leaf(&OLD, NAME)).await,
    );
    let strange = start(pki::leaf(&pki::PUBLIC, NAME)).await;
    let folder = Setup::servers(&[corp.address, old.address, strange.address]).write(RULES);
    let both = [
        CORP.certificate_pem().unwrap(),
        OLD.certificate_pem().unwrap(),
    ]
    .concat();
    std::fs::write(folder.join("both.pem"), both).unwrap();
    for (candidate, verdicts, code) in [
        ("old-ca.pem", ["old only", "new only", "neither"], 1),
        ("both.pem", ["both", "new only", "neither"], 0),
        ("corp-ca.pem", ["both", "neither", "neither"], 0),
    ] {
        let args = ["certs", "rehearse", "--trust", "onprem", candidate];
        let output = drawbridge(&folder, &[&args[..], &["--output", "json"]].concat()).await;
        assert_eq!(output.status.code(), Some(code), "{candidate}: {output:?}");
        let report = json(&output);
        for (index, verdict) in verdicts.into_iter().enumerate() {
            let backend = &report["backends"][index];
            assert_eq!(backend["verdict"], verdict, "{candidate}: {report:#}");
        }
        let output = drawbridge(&folder, &args).await;
        assert_eq!(output.status.code(), Some(code));
        let human = String::from_utf8(output.stdout).unwrap();
        for (line, verdict) in human
            .lines()
            .filter(|l| l.contains("  orders  "))
            .zip(verdicts)
        {
            assert!(line.starts_with(verdict), "{human}");
        }
    }
    for wrong in [
        ["--trust", "onprems", "old-ca.pem"],
        ["--trust", "onprem", "front.key"],
        ["--trust", "onprem", "front.pem"],
    ] {
        let output = drawbridge(&folder, &[&["certs", "rehearse"], &wrong[..]].concat()).await;
        assert_eq!(output.status.code(), Some(1), "{wrong:?}");
        assert!(!output.stderr.is_empty());
    }
    assert_eq!(corp.requests() + old.requests() + strange.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rehearse_does_not_pass_what_it_could_not_reach() {
    let address = ports::free();
    let folder = Setup::servers(&[address]).write(RULES);
    let args = ["certs", "rehearse", "--trust", "onprem", "corp-ca.pem"];
    let output = drawbridge(&folder, &args).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let human = String::from_utf8(output.stdout).unwrap();
    assert!(human.starts_with("unreachable"), "{human}");

    // Nor where only one of several could not be reached, or does not speak TLS.
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain_address = plain.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        while let Ok((mut tcp, _)) = plain.accept().await {
            let _ = tcp.write_all(b"220 mail.test ESMTP\r\n").await;
        }
    });
    let good = Upstream::start(ServerTls::new(pki::leaf(&CORP, NAME)), Behaviour::Echo).await;
    for other in [address, plain_address] {
        let folder = Setup::servers(&[good.address, other]).write(RULES);
        let output = drawbridge(&folder, &args).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let human = String::from_utf8(output.stdout).unwrap();
        assert!(
            human.contains("none of 1 would break\n1 could not be reached"),
            "{human}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rehearse_does_not_pass_where_trust_was_not_the_question() {
    let leaf = || pki::leaf(&OLD, NAME);
    let old_tls = ServerTls {
        newest: Some(openssl::ssl::SslVersion::TLS1_1),
        ..ServerTls::new(leaf())
    };
    let demanding = ServerTls {
        client_ca: Some(dev_pki::Authority::new("Client CA", 10).unwrap()),
        ..ServerTls::new(leaf())
    };
    for tls in [old_tls, demanding] {
        let upstream = Upstream::start(tls, Behaviour::Echo).await;
        let folder = Setup::servers(&[upstream.address]).write(RULES);
        let args = ["certs", "rehearse", "--trust", "onprem", "old-ca.pem"];
        let output = drawbridge(&folder, &args).await;
        let human = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{human}");
        assert!(human.starts_with("unreachable"), "{human}");
    }
    let unused = Setup {
        more: "[trust.spare]\nca = [\"corp-ca.pem\"]".to_owned(),
        ..Setup::servers(&["127.0.0.1:1".parse().unwrap()])
    };
    let folder = unused.write(RULES);
    let args = ["certs", "rehearse", "--trust", "spare", "corp-ca.pem"];
    let output = drawbridge(&folder, &args).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let human = String::from_utf8(output.stdout).unwrap();
    assert_eq!(human, "no upstream uses trust bundle \"spare\"\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_hides_only_keys_in_a_folder_of_the_user() {
    let folder = Setup::default().write(RULES);
    let args = ["certs", "dev", "--dir", ".", "api.test"];
    let output = drawbridge(&folder, &args).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let ignored = std::fs::read_to_string(folder.join(".gitignore")).unwrap();
    assert_eq!(ignored, "*.key\n");
    std::fs::create_dir(folder.join("empty")).unwrap();
    let args = ["certs", "dev", "--dir", "empty", "api.test"];
    drawbridge(&folder, &args).await;
    let ignored = std::fs::read_to_string(folder.join("empty/.gitignore")).unwrap();
    assert_eq!(ignored, "*\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_makes_a_ca_and_leaves_and_overwrites_nothing() {
    let folder = Setup::default().write(RULES);
    let dev = async |names: &[&str]| {
        let args = [&["certs", "dev", "--dir", "dev"], names].concat();
        drawbridge(&folder, &args).await.status.code()
    };
    assert_eq!(dev(&["api.test", "*.wild.test"]).await, Some(0));
    let dir = folder.join("dev");
    for key in ["ca.key", "api.test.key", "_wildcard.wild.test.key"] {
        let mode = std::fs::metadata(dir.join(key))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    assert_eq!(std::fs::read(dir.join(".gitignore")).unwrap(), b"*\n");
    let read = |file: &str| std::fs::read(dir.join(file)).unwrap();
    let (ca, leaf) = (read("ca.pem"), read("api.test.pem"));

    assert_eq!(dev(&["new.test", "api.test"]).await, Some(1));
    assert!(!dir.join("new.test.pem").exists(), "all or nothing");
    assert_eq!(
        dev(&["127.0.0.1"]).await,
        Some(0),
        "one more of the same CA"
    );
    assert_eq!((read("ca.pem"), read("api.test.pem")), (ca.clone(), leaf));
    let ca = openssl::x509::X509::from_pem(&ca).unwrap();
    let added = openssl::x509::X509::from_pem(&read("127.0.0.1.pem")).unwrap();
    assert!(added.verify(&ca.public_key().unwrap()).unwrap());

    assert_eq!(dev(&["--force", "api.test"]).await, Some(0));
    assert_ne!(read("ca.pem"), ca.to_pem().unwrap());
    let anew = openssl::x509::X509::from_pem(&read("ca.pem")).unwrap();
    let name = |ca: &openssl::x509::X509| ca.subject_name().to_der().unwrap();
    assert_ne!(name(&anew), name(&ca), "their names tell them apart");
    for refused in ["../x", "a/b", "ca", "*"] {
        assert_eq!(dev(&[refused]).await, Some(2), "{refused}");
    }
}
