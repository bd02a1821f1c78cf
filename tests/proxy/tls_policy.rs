//! Profiles, groups, certificates of two kinds for one name, stapled responses.

use std::path::Path;
use std::pin::Pin;
use std::process::Command;

use dev_pki::{Authority, KeyKind, LeafOptions};
use openssl::pkey::Id;
use openssl::ssl::{
    SslConnector, SslConnectorBuilder, SslMethod, SslVerifyMode, SslVersion, StatusType,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use crate::front::{Front, RULES, Setup};
use crate::requests::echo;
use support::client::{Tls, read_answer};

/// A handshake of a client that was set up by `shape`.
async fn shake(front: &Front, shape: impl FnOnce(&mut SslConnectorBuilder)) -> Option<Tls> {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    builder.set_verify(SslVerifyMode::NONE);
    shape(&mut builder);
    let mut ssl = builder
        .build()
        .configure()
        .unwrap()
        .into_ssl("api.test")
        .unwrap();
    ssl.set_status_type(StatusType::OCSP).unwrap();
    let tcp = TcpStream::connect(front.address).await.unwrap();
    let mut stream = SslStream::new(ssl, tcp).unwrap();
    Pin::new(&mut stream).connect().await.ok()?;
    Some(stream)
}

fn only(version: SslVersion) -> impl Fn(&mut SslConnectorBuilder) {
    move |builder| {
        builder.set_min_proto_version(Some(version)).unwrap();
        builder.set_max_proto_version(Some(version)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_are_mozillas() {
    let upstream = echo().await;
    for (policy, tls12) in [
        ("", true),
        ("tls_policy = \"intermediate\"", true),
        ("tls_policy = \"modern\"", false),
    ] {
        let setup = Setup {
            listener: policy.to_owned(),
            ..Setup::to(&upstream)
        };
        let front = Front::start(&setup).await;
        let taken = shake(&front, only(SslVersion::TLS1_2)).await.is_some();
        assert_eq!(taken, tls12, "{policy}");
        assert!(shake(&front, only(SslVersion::TLS1_3)).await.is_some());
        for (cipher, taken) in [
            ("ECDHE-ECDSA-AES128-GCM-SHA256", tls12),
            ("ECDHE-ECDSA-CHACHA20-POLY1305", tls12),
            ("ECDHE-ECDSA-AES128-SHA256", false),
            ("ECDHE-ECDSA-AES128-SHA", false),
        ] {
            let shape = |builder: &mut SslConnectorBuilder| {
                only(SslVersion::TLS1_2)(builder);
                builder.set_cipher_list(cipher).unwrap();
            };
            let shaken = shake(&front, shape).await;
            assert_eq!(shaken.is_some(), taken, "{policy} {cipher}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_the_group() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    for (version, groups, expected) in [
        (
            SslVersion::TLS1_3,
            "X25519:X25519MLKEM768",
            "X25519MLKEM768",
        ),
        (SslVersion::TLS1_3, "X25519:P-256", "X25519"),
        (SslVersion::TLS1_3, "P-256", "P-256"),
        // The certificate's own curve must be among them too.
        (SslVersion::TLS1_2, "P-384:P-256", "P-384"),
        (SslVersion::TLS1_2, "X25519:P-256", "X25519"),
    ] {
        let shape = |builder: &mut SslConnectorBuilder| {
            only(version)(builder);
            builder.set_groups_list(groups).unwrap();
        };
        let mut stream = shake(&front, shape).await.unwrap();
        let path = format!("/orders/{version:?}/{expected}");
        let request = format!("GET {path} HTTP/1.1\r\nHost: api.test\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream, &mut Vec::new(), false).await;
        assert_eq!(answer.unwrap().status, 200);
        let line = front.line(|line| line["path"] == path).await;
        assert_eq!(line["tls"]["group"], expected, "{groups}: {line}");
        assert!(line["tls"]["cipher"].is_string() && line["tls"]["version"].is_string());
    }
    assert!(
        shake(&front, |b| b.set_groups_list("P-521").unwrap())
            .await
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rsa_and_ecdsa_side_by_side_each_with_its_chain() {
    let upstream = echo().await;
    let setup = Setup {
        certificates: ", { chain = \"rsa.pem\", key = \"rsa.key\" }".to_owned(),
        ..Setup::to(&upstream)
    };
    let folder = setup.write(RULES);
    let issue = |file: &str, key, issuer: &Authority| {
        let options = LeafOptions {
            key,
            ..LeafOptions::default()
        };
        let (chain, key) = (format!("{file}.pem"), format!("{file}.key"));
        issuer
            .leaf(&["api.test"], &options)
            .unwrap()
            .write(&folder.join(chain), &folder.join(key))
            .unwrap();
    };
    let root = Authority::new("Root", 10).unwrap();
    let intermediate = |name| root.intermediate(name, 10).unwrap();
    issue("front", KeyKind::EcP256, &intermediate("ECDSA CA"));
    issue("rsa", KeyKind::Rsa2048, &intermediate("RSA CA"));
    let front = Front::start_in(folder.clone()).await;
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        for (algorithms, id, issuer) in [
            ("ECDSA+SHA256:rsa_pss_rsae_sha256", Id::EC, "ECDSA CA"),
            ("ECDSA+SHA256", Id::EC, "ECDSA CA"),
            ("rsa_pss_rsae_sha256:RSA+SHA256", Id::RSA, "RSA CA"),
        ] {
            let shape = |builder: &mut SslConnectorBuilder| {
                only(version)(builder);
                builder.set_sigalgs_list(algorithms).unwrap();
            };
            let stream = shake(&front, shape).await.unwrap();
            let chain = stream.ssl().peer_cert_chain().unwrap();
            assert_eq!(chain[0].public_key().unwrap().id(), id, "{algorithms}");
            assert_eq!(chain.len(), 2);
            let sent = format!("{:?}", chain[1].subject_name());
            assert!(sent.contains(issuer), "{algorithms}: {sent}");
        }
    }
}

/// What a CA would answer, made by the tool that everybody has.
fn respond(folder: &Path, ca: &Authority, signer: &Authority, leaf: &str) {
    let pem = signer.certificate_pem().unwrap();
    std::fs::write(folder.join("signer.pem"), pem).unwrap();
    std::fs::write(folder.join("signer.key"), signer.key_pem().unwrap()).unwrap();
    std::fs::write(folder.join("ca.pem"), ca.certificate_pem().unwrap()).unwrap();
    let pem = std::fs::read(folder.join(leaf)).unwrap();
    let serial = openssl::x509::X509::from_pem(&pem).unwrap();
    let serial = serial
        .serial_number()
        .to_bn()
        .unwrap()
        .to_hex_str()
        .unwrap();
    let index = format!("V\t401231235959Z\t\t{}\tunknown\t/CN=api.test\n", &*serial);
    std::fs::write(folder.join("index.txt"), index).unwrap();
    let output = Command::new("openssl")
        .args(
            "ocsp -index index.txt -CA ca.pem -rsigner signer.pem -rkey signer.key -issuer ca.pem"
                .split(' '),
        )
        .args(["-cert", leaf, "-respout", "staple.der", "-ndays", "1"])
        .current_dir(folder)
        .output()
        .expect("openssl is installed");
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_are_stapled_from_files() {
    let upstream = echo().await;
    let setup = Setup {
        certificates: ", { chain = \"stapled.pem\", key = \"stapled.key\", ocsp = \"staple.der\" }"
            .to_owned(),
        listener: "sni = \"any\"".to_owned(),
        ..Setup::to(&upstream)
    };
    let folder = setup.write(RULES);
    let issuing = support::pki::PUBLIC
        .intermediate("Stapling CA", 10)
        .unwrap();
    let leaf = issuing
        .leaf(&["stapled.test"], &LeafOptions::default())
        .unwrap();
    leaf.write(&folder.join("stapled.pem"), &folder.join("stapled.key"))
        .unwrap();
    respond(&folder, &issuing, &issuing, "stapled.pem");
    let response = std::fs::read(folder.join("staple.der")).unwrap();
    let front = Front::start_in(folder.clone()).await;
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        for (name, stapled) in [("stapled.test", Some(&response[..])), ("api.test", None)] {
            let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
            builder.set_verify(SslVerifyMode::NONE);
            only(version)(&mut builder);
            let mut ssl = builder.build().configure().unwrap().into_ssl(name).unwrap();
            ssl.set_status_type(StatusType::OCSP).unwrap();
            let tcp = TcpStream::connect(front.address).await.unwrap();
            let mut stream = SslStream::new(ssl, tcp).unwrap();
            Pin::new(&mut stream).connect().await.unwrap();
            assert_eq!(stream.ssl().ocsp_status(), stapled, "{name}");
        }
    }
    let load = || drawbridge::config::load(&folder.join("drawbridge.toml"));
    assert!(
        load()
            .unwrap()
            .warnings
            .iter()
            .all(|w| !w.message.contains("stapled"))
    );
    respond(&folder, &issuing, &support::pki::OLD, "stapled.pem");
    let found = format!("{:?}", load().unwrap().warnings);
    assert!(found.contains("is not signed by the issuer"), "{found}");
    std::fs::write(folder.join("staple.der"), b"nothing").unwrap();
    let found = format!("{:?}", load().unwrap_err());
    assert!(found.contains("holds no OCSP response"), "{found}");
    let other = issuing
        .leaf(&["stapled.test"], &LeafOptions::default())
        .unwrap();
    other
        .write(&folder.join("stapled.pem"), &folder.join("stapled.key"))
        .unwrap();
    std::fs::write(folder.join("staple.der"), &response).unwrap();
    let found = format!("{:?}", load().unwrap_err());
    assert!(found.contains("for another certificate"), "{found}");
}
