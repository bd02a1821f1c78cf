//! A refused handshake leaves a line and is counted by its reason.

use std::net::SocketAddr;
use std::pin::Pin;

use dev_pki::{Issued, LeafOptions, Usage};
use drawbridge::tls::handshake::Reason;
use openssl::pkey::PKey;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::X509;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use crate::front::{Front, RULES, Setup, logged, wait};
use crate::mtls::{self, VERSIONS};
use crate::requests::echo;
use support::client::{connect, get};
use support::pki::{self, CORP, OLD};

async fn counted_and_logged(front: &Front, reason: Reason, count: u64) {
    counted(front, reason, count).await;
    logged(&format!("reason=\"{}\"", reason.code())).await;
}

async fn counted(front: &Front, reason: Reason, count: u64) {
    let counter = || front.metrics.handshake_failures.value(reason);
    let counted = wait(|| (counter() >= count).then_some(())).await;
    assert!(counted.is_some(), "{reason:?}: {} of {count}", counter());
    assert_eq!(counter(), count, "{reason:?}");
}

struct Client<'c> {
    sni: &'c str,
    shown: Option<&'c Issued>,
    versions: (SslVersion, SslVersion),
    ciphers: &'c str,
    distrusts: bool,
}

impl Client<'_> {
    const PLAIN: Client<'static> = Client {
        sni: "api.test",
        shown: None,
        versions: (SslVersion::TLS1, SslVersion::TLS1_3),
        ciphers: "DEFAULT:@SECLEVEL=0",
        distrusts: false,
    };

    async fn shake(&self, address: SocketAddr) {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
        if !self.distrusts {
            builder.set_verify(SslVerifyMode::NONE);
        }
        builder
            .set_min_proto_version(Some(self.versions.0))
            .unwrap();
        builder
            .set_max_proto_version(Some(self.versions.1))
            .unwrap();
        builder.set_cipher_list(self.ciphers).unwrap();
        if let Some(issued) = self.shown {
            let chain = X509::stack_from_pem(&issued.chain_pem).unwrap();
            let key = PKey::private_key_from_pem(&issued.key_pem).unwrap();
            builder.set_certificate(&chain[0]).unwrap();
            builder.set_private_key(&key).unwrap();
        }
        let ssl = builder.build().configure().unwrap();
        let ssl = ssl.into_ssl(self.sni).unwrap();
        let tcp = TcpStream::connect(address).await.unwrap();
        let mut stream = SslStream::new(ssl, tcp).unwrap();
        if Pin::new(&mut stream).connect().await.is_ok() {
            // TLS 1.3 tells a client late.
            let _ = stream.read(&mut [0]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_versions_ciphers_and_those_who_leave() {
    let upstream = echo().await;
    let setup = Setup {
        listener: "limits = { handshake_timeout = \"500ms\" }".to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    let address = front.address;

    assert!(connect(address, Some("stranger.test"), b"").await.is_err());
    counted_and_logged(&front, Reason::UnknownName, 1).await;
    logged("listener=\"public\" sni=stranger.test client=127.0.0.1:").await;
    assert!(connect(address, None, b"").await.is_err());
    counted_and_logged(&front, Reason::UnknownName, 2).await;

    let old = Client {
        versions: (SslVersion::TLS1, SslVersion::TLS1_1),
        ..Client::PLAIN
    };
    old.shake(address).await;
    counted_and_logged(&front, Reason::Version, 1).await;
    let weak = Client {
        versions: (SslVersion::TLS1_2, SslVersion::TLS1_2),
        ciphers: "ECDHE-ECDSA-AES128-SHA:AES128-SHA:@SECLEVEL=0",
        ..Client::PLAIN
    };
    weak.shake(address).await;
    counted_and_logged(&front, Reason::Cipher, 1).await;
    assert!(
        connect(address, Some("api.test"), b"\x03foo")
            .await
            .is_err()
    );
    counted_and_logged(&front, Reason::Alpn, 1).await;
    for (times, newest) in (1..).zip(VERSIONS) {
        let wary = Client {
            versions: (SslVersion::TLS1_2, newest),
            distrusts: true,
            ..Client::PLAIN
        };
        wary.shake(address).await;
        counted_and_logged(&front, Reason::Distrusted, times).await;
    }
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    counted_and_logged(&front, Reason::NotTls, 1).await;

    drop(TcpStream::connect(address).await.unwrap());
    counted_and_logged(&front, Reason::Closed, 1).await;
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    drop(half);
    counted_and_logged(&front, Reason::Closed, 2).await;
    let silent = TcpStream::connect(address).await.unwrap();
    // By now as many were told as may be in a second.
    counted(&front, Reason::Timeout, 1).await;
    drop(silent);
    assert_eq!(front.metrics.handshake_failures.value(Reason::Other), 0);
    assert_eq!(get(address, "/orders/1").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_clients_certificate() {
    let upstream = echo().await;
    let folder = mtls::setup(&upstream, ", crl = [\"corp.crl\"]").write(RULES);
    let revoked = pki::client(&CORP, "revoked");
    let leaf = X509::from_pem(&revoked.chain_pem).unwrap();
    let list = CORP.revocation_list(&[leaf], 2).unwrap();
    std::fs::write(folder.join("corp.crl"), list).unwrap();
    let front = Front::start_in(folder).await;
    let expired = LeafOptions {
        starts_in_days: -9,
        ends_in_days: -1,
        usage: Usage::Client,
        ..LeafOptions::default()
    };
    let expired = CORP.leaf(&["late"], &expired).unwrap();
    for (times, newest) in (1..).zip(VERSIONS) {
        for (shown, reason) in [
            (None, Reason::NoCertificate),
            (Some(&revoked), Reason::Revoked),
            (Some(&pki::client(&OLD, "stranger")), Reason::UnknownCa),
            (Some(&pki::leaf(&CORP, "server")), Reason::WrongUsage),
            (Some(&expired), Reason::Expired),
        ] {
            let client = Client {
                shown,
                versions: (SslVersion::TLS1_2, newest),
                ..Client::PLAIN
            };
            client.shake(front.address).await;
            counted_and_logged(&front, reason, times).await;
        }
    }
    logged("certificate revoked (\\\"CN=revoked\\\")").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_them_is_counted_and_not_told_one_by_one() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    for n in 0..60 {
        let name = format!("flood-{n}.test");
        assert!(connect(front.address, Some(&name), b"").await.is_err());
    }
    let counter = || front.metrics.handshake_failures.value(Reason::UnknownName);
    assert!(wait(|| (counter() == 60).then_some(())).await.is_some());
    logged("further handshakes were refused and not logged one by one").await;
}
