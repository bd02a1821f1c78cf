//! Signals and systemd, through the binary.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::front::{RULES, Setup};
use crate::process::Process;
use crate::world::{NAMES, replace, serial_of, until};
use support::client::{self, read_answer};
use support::pki::{self, CORP, ServerTls, leaf};
use support::upstream::{Behaviour, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn signals_reload_and_drain() {
    let made = tempfile::tempdir().unwrap();
    let folder = made.path();
    pki::write(folder);
    std::fs::write(folder.join("rules.conf"), RULES).unwrap();
    let tls = ServerTls::new(leaf(&CORP, "orders.corp.test"));
    let upstream = Upstream::start(tls, Behaviour::Events(40)).await;
    let setup = Setup {
        route: "paths = [\"/orders/\"]\nmethods = [\"GET\"]\nstream = \"sse\"".to_owned(),
        ..Setup::to(&upstream)
    };
    std::fs::write(folder.join("drawbridge.toml"), setup.text()).unwrap();
    let systemd = UnixDatagram::bind(folder.join("notify")).unwrap();
    systemd
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let told = || {
        let mut buffer = [0; 512];
        let length = systemd.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let process = Process::start(folder, &[], Some(&folder.join("notify")));
    let address = process.address().await;
    assert_eq!(told(), "READY=1");

    let mut kept = client::connect(address, Some("api.test"), b"")
        .await
        .unwrap();
    let first = serial_of(&kept);
    let issued = pki::PUBLIC
        .leaf(NAMES, &dev_pki::LeafOptions::default())
        .unwrap();
    replace(&folder.join("front.key"), &issued.key_pem);
    replace(&folder.join("front.pem"), &issued.chain_pem);
    process.signal("-HUP");
    let reloading = told();
    let clock = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    assert!(
        clock.is_some_and(|n| n.parse::<u64>().is_ok_and(|n| n > 0)),
        "{reloading}"
    );
    assert_eq!(told(), "READY=1");
    until("the new certificate is shown", async || {
        let stream = client::connect(address, Some("api.test"), b"").await;
        serial_of(&stream.unwrap()) != first
    })
    .await;

    std::fs::rename(folder.join("access.log"), folder.join("access.log.1")).unwrap();
    process.signal("-USR1");
    until("the access log is there again", async || {
        folder.join("access.log").exists()
    })
    .await;

    // A stream is in flight and another connection idles.
    let mut stream = client::connect(address, Some("api.test"), b"")
        .await
        .unwrap();
    let request = b"GET /orders/1 HTTP/1.1\r\nHost: api.test\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut received = vec![0; 1];
    stream.read_exact(&mut received).await.unwrap();
    process.signal("-TERM");
    while told() != "STOPPING=1" {}
    kept.write_all(b"GET /else HTTP/1.1\r\nHost: api.test\r\n\r\n")
        .await
        .unwrap();
    let last = read_answer(&mut kept, &mut Vec::new(), false)
        .await
        .unwrap();
    assert_eq!(
        (last.status, last.header("connection")),
        (404, Some("close"))
    );
    let _ = stream.read_to_end(&mut received).await;
    let text = String::from_utf8_lossy(&received);
    assert!(text.contains("39"), "the last event came: {text}");
    assert_eq!(process.ended().await, Some(0));
}
