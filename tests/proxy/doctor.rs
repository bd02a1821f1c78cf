//! `drawbridge doctor upstream`: each way in which an upstream is not taken, and what mends it.

use std::path::Path;
use std::process::{Command, Output};

use dev_pki::{Authority, Issued, KeyKind, LeafOptions};
use openssl::ssl::SslVersion;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::front::{RULES, Setup};
use support::pki::{self, CORP, OLD, ServerTls};
use support::ports;
use support::upstream::{Behaviour, Upstream};

const NAME: &str = "orders.corp.test";

/// Runs the program beside the folder's configuration.
pub async fn drawbridge(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
    command.args(args).current_dir(folder);
    tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap()
}

pub fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

fn leaf(ca: &Authority, options: LeafOptions) -> Issued {
    ca.leaf(&[NAME], &options).unwrap()
}

/// A server, the code, words of the reason, words of the fix.
type Case = (ServerTls, &'static str, &'static str, &'static str);

fn cases() -> Vec<Case> {
    let new = ServerTls::new;
    let wants_ours = |newest| ServerTls {
        newest,
        client_ca: Some(CORP.clone()),
        ..new(pki::leaf(&CORP, NAME))
    };
    let future = LeafOptions {
        starts_in_days: 3,
        ..LeafOptions::default()
    };
    let weak = LeafOptions {
        key: KeyKind::Rsa1024,
        ..LeafOptions::default()
    };
    let address = LeafOptions {
        common_name: Some(NAME.to_owned()),
        addresses: vec![[127, 0, 0, 1].into()],
        ..LeafOptions::default()
    };
    let old = ServerTls {
        newest: Some(SslVersion::TLS1_1),
        ..new(pki::leaf(&CORP, NAME))
    };
    vec![
        (
            new(pki::leaf(&OLD, NAME)),
            "untrusted",
            "issuer \"CN=Old Corp CA\"",
            "[trust.onprem]",
        ),
        (
            new(pki::incomplete(&CORP, NAME)),
            "missing_intermediate",
            "Corp Issuing CA",
            "send its whole chain",
        ),
        (
            new(pki::leaf(&CORP, "billing.corp.test")),
            "name_mismatch",
            "it names \"billing.corp.test\"",
            "server_name",
        ),
        (
            new(pki::common_name(&CORP, NAME)),
            "common_name_only",
            "no subjectAltName",
            "DNS:orders.corp.test",
        ),
        (
            new(CORP.leaf(&[], &address).unwrap()),
            "address_only",
            "IP:127.0.0.1",
            "DNS:orders.corp.test",
        ),
        (
            new(pki::expired(&CORP, NAME)),
            "expired",
            "expired at 20",
            "replace",
        ),
        (
            new(leaf(&CORP, future)),
            "not_yet_valid",
            "not valid before 20",
            "clocks",
        ),
        (
            new(leaf(&CORP, weak)),
            "weak_certificate",
            "too weak",
            "RSA 2048",
        ),
        (
            wants_ours(None),
            "client_certificate",
            "client certificate",
            "client_certificate =",
        ),
        (
            wants_ours(Some(SslVersion::TLS1_2)),
            "client_certificate",
            "client certificate",
            "client_certificate =",
        ),
        (old, "tls_version", "TLS 1.2 is the least", "TLS 1.2 or 1.3"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_has_one_cause_and_one_fix() {
    for (tls, code, words, fix) in cases() {
        let upstream = Upstream::start(tls, Behaviour::Echo).await;
        let folder = Setup::to(&upstream).write(RULES);
        let args = ["doctor", "upstream", "orders", "--output", "json"];
        let output = drawbridge(&folder, &args).await;
        assert_eq!(output.status.code(), Some(1), "{code}: {output:?}");
        let report = json(&output);
        let server = &report["servers"][0];
        let failure = &server["failure"];
        assert_eq!(failure["code"], code, "{report:#}");
        let text = |key: &str| failure[key].as_str().unwrap().to_owned();
        assert!(text("reason").contains(words), "{code}: {report:#}");
        assert!(text("fix").contains(fix), "{code}: {report:#}");
        assert!(
            !server["chain"].as_array().unwrap().is_empty(),
            "{code}: {report:#}"
        );

        let args = ["doctor", "upstream", "orders"];
        let output = drawbridge(&folder, &args).await;
        assert_eq!(output.status.code(), Some(1), "{code}: {output:?}");
        let human = String::from_utf8(output.stdout).unwrap();
        for wanted in [&format!("cause    {code}: "), "fix      ", "chain 0  "] {
            assert!(human.contains(wanted), "{human}");
        }
        assert_eq!(upstream.requests(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_taken_shows_all_of_it() {
    let issuing = CORP.intermediate("Corp Issuing CA", 10).unwrap();
    let tls = ServerTls::new(pki::leaf(&issuing, NAME));
    let upstream = Upstream::start(tls, Behaviour::Echo).await;
    let folder = Setup::to(&upstream).write(RULES);
    let output = drawbridge(&folder, &["doctor", "upstream", "orders"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let human = String::from_utf8(output.stdout).unwrap();
    for wanted in [
        "dns      127.0.0.1",
        "tcp      connected",
        "tls      TLSv1.3, TLS_",
        "X25519MLKEM768",
        "chain 0  CN=orders.corp.test",
        "issuer CN=Corp Issuing CA",
        "names  orders.corp.test",
        "key    EC P-256",
        "chain 1  CN=Corp Issuing CA",
        "days left)",
        "ok       ",
    ] {
        assert!(human.contains(wanted), "{wanted}: {human}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_before_tls() {
    let address = ports::free();
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain_address = plain.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut tcp, _)) = plain.accept().await {
            let _ = tcp.read(&mut [0; 512]).await;
            let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let folder = Setup::servers(&[address, plain_address]).write(RULES);
    let args = ["doctor", "upstream", "orders", "--output", "json"];
    let output = drawbridge(&folder, &args).await;
    assert_eq!(output.status.code(), Some(1));
    let report = json(&output);
    for (index, code) in ["refused", "protocol"].into_iter().enumerate() {
        assert_eq!(
            report["servers"][index]["failure"]["code"], code,
            "{report:#}"
        );
    }
    let output = drawbridge(&folder, &["doctor", "upstream", "order"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there are: orders"));
}

/// The one that sends its chain gives away what the other should send.
#[tokio::test(flavor = "multi_thread")]
async fn servers_of_an_upstream_are_compared() {
    let unnamed = CORP.intermediate("Corp G2", 10).unwrap();
    let whole = Upstream::start(ServerTls::new(pki::leaf(&unnamed, NAME)), Behaviour::Echo).await;
    let mut issued = pki::leaf(&unnamed, NAME);
    issued.chain_pem = openssl::x509::X509::from_pem(&issued.chain_pem)
        .unwrap()
        .to_pem()
        .unwrap();
    let cut = Upstream::start(ServerTls::new(issued), Behaviour::Echo).await;
    let folder = Setup::servers(&[whole.address, cut.address]).write(RULES);
    let args = ["doctor", "upstream", "orders", "--output", "json"];
    let report = json(&drawbridge(&folder, &args).await);
    assert_eq!(report["servers"][0]["ok"], true, "{report:#}");
    assert_eq!(
        report["servers"][1]["failure"]["code"], "missing_intermediate",
        "{report:#}"
    );
}
