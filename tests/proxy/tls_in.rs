//! The listener's TLS: names and versions.

use std::pin::Pin;

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use crate::front::{Front, Setup, counts};
use crate::mtls::s_client;
use crate::requests::echo;
use support::client::{connect, read_answer};

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_listener_knows_its_names() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    for (sni, known) in [
        (Some("api.test"), true),
        (Some("other.test"), true),
        (Some("a.wild.test"), true),
        (Some("a.b.wild.test"), false),
        (Some("stranger.test"), false),
        (None, false),
    ] {
        let connected = connect(front.address, sni, b"").await;
        assert_eq!(connected.is_ok(), known, "{sni:?}: {:?}", connected.err());
    }
    counts(&front.metrics.tls_handshake_failures, 3).await;
    assert_eq!(front.metrics.tls_handshake_failures.value(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_name_or_none_where_the_listener_says_so() {
    let upstream = echo().await;
    let setup = Setup {
        listener: "sni = \"any\"".to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    for sni in [None, Some("other.test")] {
        let mut stream = connect(front.address, sni, b"").await.unwrap();
        let request = "GET /orders/ HTTP/1.1\r\nHost: api.test\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream, &mut Vec::new(), false)
            .await
            .unwrap();
        assert_eq!(answer.status, 200, "{sni:?}");
    }
}

/// RFC 6066, section 3; the second name is one of the same certificate, or of the same wildcard.
#[tokio::test(flavor = "multi_thread")]
async fn no_session_resumes_under_another_name() {
    let upstream = echo().await;
    let setup = Setup {
        route: "paths = [\"/orders/\"]".to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    for version in ["-tls1_2", "-tls1_3"] {
        for (name, other) in [
            ("api.test", "other.test"),
            ("api.test", "a.wild.test"),
            ("a.wild.test", "api.test"),
        ] {
            let file = front.folder.join(format!("{name}-{other}{version}"));
            let session = file.to_str().unwrap();
            let first = s_client(front.address, name, version, &["-sess_out", session]).await;
            assert!(first.contains("New, TLSv1."), "{first}");
            let crossed = s_client(front.address, other, version, &["-sess_in", session]).await;
            assert!(crossed.contains("New, TLSv1."), "{name} {other} {crossed}");
            assert!(!crossed.contains("Reused"), "{name} {other} {crossed}");
            let again = s_client(front.address, name, version, &["-sess_in", session]).await;
            assert!(again.contains("Reused, TLSv1."), "{name} {again}");
        }
    }
    // Under one wildcard it is the handshake that ends.
    let file = front.folder.join("wild");
    let session = file.to_str().unwrap();
    let first = s_client(
        front.address,
        "a.wild.test",
        "-tls1_2",
        &["-sess_out", session],
    )
    .await;
    assert!(first.contains("New, TLSv1."), "{first}");
    let crossed = s_client(
        front.address,
        "b.wild.test",
        "-tls1_2",
        &["-sess_in", session],
    )
    .await;
    assert!(!crossed.contains("HTTP/1.1"), "{crossed}");
    assert!(crossed.contains("unrecognized name"), "{crossed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_are_refused() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    for (version, taken) in [
        (SslVersion::TLS1_1, false),
        (SslVersion::TLS1_2, true),
        (SslVersion::TLS1_3, true),
    ] {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
        builder.set_verify(SslVerifyMode::NONE);
        builder.set_min_proto_version(Some(version)).unwrap();
        builder.set_max_proto_version(Some(version)).unwrap();
        builder.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
        let ssl = builder
            .build()
            .configure()
            .unwrap()
            .into_ssl("api.test")
            .unwrap();
        let tcp = TcpStream::connect(front.address).await.unwrap();
        let mut stream = SslStream::new(ssl, tcp).unwrap();
        let connected = Pin::new(&mut stream).connect().await;
        assert_eq!(connected.is_ok(), taken, "{version:?}");
    }
}
