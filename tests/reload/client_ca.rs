//! Who must show a certificate is decided for each name, and a reload that moves the demand lets nobody past it.

use dev_pki::LeafOptions;
use tokio::io::AsyncWriteExt;

use crate::world::World;
use support::client::{self, Tls, read_answer};
use support::pki::PUBLIC;

const FRONT: &str = "chain = \"front.pem\", key = \"front.key\"";
const PARTNER: &str = "chain = \"partner.pem\", key = \"partner.key\"";
const OWN: &str = ", client_ca = { trust = \"onprem\" }";

/// A front door with a second certificate, for `partner.test`.
async fn world(certificates: &[(&str, &str)], listener: &str) -> World {
    let world = World::start().await;
    issue(&world, "front", &["api.test", "more.api.test"]);
    issue(&world, "partner", &["partner.test", "more.partner.test"]);
    let fewer = format!("allow_fewer_names = true\n{listener}");
    let (status, said) = write(&world, certificates, &fewer).await;
    assert_eq!(status, 200, "{said}");
    world
}

/// Writes a listener with these certificates and reloads.
async fn write(
    world: &World,
    certificates: &[(&str, &str)],
    listener: &str,
) -> (u16, serde_json::Value) {
    let entries: Vec<String> = certificates
        .iter()
        .map(|(files, own)| format!("{{ {files}{own} }}"))
        .collect();
    let text = world.setup.text();
    let text = text.replace(&format!("{{ {FRONT} }}"), &entries.join(", "));
    let text = text.replace("[log]", &format!("{listener}\n[log]"));
    let text = text.replace("\"api.test\"", "\"api.test\", \"partner.test\"");
    world.write("drawbridge.toml", text);
    world.reload().await
}

async fn status_on(stream: &mut Tls, host: &str) -> Option<u16> {
    let request = format!("GET /orders/1 HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let answer = read_answer(stream, &mut Vec::new(), false).await;
    answer.map(|answer| answer.status)
}

async fn status_without_certificate(world: &World, host: &str) -> Option<u16> {
    let stream = client::connect(world.front.address, Some(host), b"").await;
    status_on(&mut stream.ok()?, host).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demand_that_moves_to_another_name_holds_on_open_connections() {
    let before = [(FRONT, ""), (PARTNER, OWN)];
    for (certificates, listener, expected) in [
        // To the other certificate.
        ([(FRONT, OWN), (PARTNER, "")], "", 421),
        // To the listener.
        (
            [(FRONT, ""), (PARTNER, "")],
            "client_ca = { trust = \"onprem\" }",
            421,
        ),
        // The entries keep their client CAs and exchange their files.
        ([(PARTNER, ""), (FRONT, OWN)], "", 421),
        // What does not concern the name leaves its connections alone.
        ([(FRONT, ""), (PARTNER, "")], "", 200),
        ([(PARTNER, OWN), (FRONT, "")], "", 200),
    ] {
        let world = world(&before, "").await;
        let stream = client::connect(world.front.address, Some("api.test"), b"").await;
        let mut stream = stream.unwrap();
        assert_eq!(status_on(&mut stream, "api.test").await, Some(200));
        let (status, said) = write(&world, &certificates, listener).await;
        assert_eq!(status, 200, "{said}");
        let status = status_on(&mut stream, "api.test").await;
        assert_eq!(status, Some(expected), "{certificates:?} {listener}");
    }
}

/// Under `sni = "any"` a connection may ask for each host, so one of another name must not keep the door open.
#[tokio::test(flavor = "multi_thread")]
async fn a_demand_on_one_name_holds_on_connections_of_any_name() {
    let world = world(&[(FRONT, ""), (PARTNER, "")], "sni = \"any\"").await;
    let stream = client::connect(world.front.address, Some("api.test"), b"").await;
    let mut stream = stream.unwrap();
    assert_eq!(status_on(&mut stream, "partner.test").await, Some(200));
    let (status, said) = write(&world, &[(FRONT, ""), (PARTNER, OWN)], "").await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(status_on(&mut stream, "api.test").await, Some(200));
    assert_eq!(status_on(&mut stream, "partner.test").await, Some(421));
}

/// The certificates that run bring their client CAs along, which may be weaker than what the name must ask for now.
#[tokio::test(flavor = "multi_thread")]
async fn running_certificates_do_not_stay_where_they_ask_for_less() {
    const ASKS: &str = "client_ca = { trust = \"onprem\" }";
    const WEAK: &str = ", client_ca = { trust = \"onprem\", mode = \"optional\" }";
    for (before, after, listener) in [
        // The listener demands what one of its certificates only wishes for.
        (
            [(FRONT, ""), (PARTNER, WEAK)],
            [(FRONT, ""), (PARTNER, "")],
            ASKS,
        ),
        // The demand moves from one certificate to the other.
        (
            [(FRONT, ""), (PARTNER, OWN)],
            [(FRONT, OWN), (PARTNER, "")],
            "",
        ),
        (
            [(FRONT, ""), (PARTNER, OWN)],
            [(PARTNER, ""), (FRONT, OWN)],
            "",
        ),
        (
            [(PARTNER, ""), (FRONT, OWN)],
            [(PARTNER, OWN), (FRONT, "")],
            "",
        ),
    ] {
        for breakage in BREAKAGES {
            let world = world(&before, "").await;
            let (status, said) = breakage.write(&world, after, listener).await;
            assert_eq!(status, 422, "{said}");
            let unit = &said["refused"][0]["unit"];
            let what = format!("{breakage:?} {after:?}: {said}");
            assert_eq!(unit, "configuration", "{what}");
            for (files, own) in before {
                let host = match files {
                    FRONT => "api.test",
                    _ => "partner.test",
                };
                let status = status_without_certificate(&world, host).await;
                let expected = (own != OWN).then_some(200);
                assert_eq!(status, expected, "all is as it was: {host}");
            }
        }
    }
}

/// What asks for the same clients may stay, however its entries are ordered.
#[tokio::test(flavor = "multi_thread")]
async fn running_certificates_stay_where_they_ask_for_the_same_clients() {
    let before = [(FRONT, ""), (PARTNER, OWN)];
    for after in [before, [(PARTNER, OWN), (FRONT, "")]] {
        for breakage in BREAKAGES {
            let world = world(&before, "").await;
            let (status, said) = breakage.write(&world, after, "").await;
            assert_eq!(status, 422, "{said}");
            let unit = &said["refused"][0]["unit"];
            assert_eq!(unit, "listener public", "{breakage:?} {after:?}: {said}");
            let status = status_without_certificate(&world, "api.test").await;
            assert_eq!(status, Some(200));
            let status = status_without_certificate(&world, "partner.test").await;
            assert_eq!(status, None);
        }
    }
}

/// Why the new certificates are not taken.
#[derive(Debug, Clone, Copy)]
enum Breakage {
    /// These files are replaced by others, which cannot be read.
    Unreadable(&'static str),
    /// The certificate of these files loses a name.
    FewerNames(&'static str),
}

const BREAKAGES: [Breakage; 4] = [
    Breakage::Unreadable(FRONT),
    Breakage::Unreadable(PARTNER),
    Breakage::FewerNames("front"),
    Breakage::FewerNames("partner"),
];

impl Breakage {
    async fn write(
        self,
        world: &World,
        mut certificates: [(&'static str, &'static str); 2],
        listener: &str,
    ) -> (u16, serde_json::Value) {
        match self {
            Self::Unreadable(broken) => {
                world.write("late.pem", "nothing");
                world.write("late.key", "nothing");
                for (files, _) in &mut certificates {
                    if *files == broken {
                        *files = "chain = \"late.pem\", key = \"late.key\"";
                    }
                }
            }
            Self::FewerNames("front") => issue(world, "front", &["api.test"]),
            Self::FewerNames(name) => issue(world, name, &["partner.test"]),
        }
        write(world, &certificates, listener).await
    }
}

fn issue(world: &World, name: &str, names: &[&str]) {
    let issued = PUBLIC.leaf(names, &LeafOptions::default()).unwrap();
    world.write(&format!("{name}.pem"), &issued.chain_pem);
    world.write(&format!("{name}.key"), &issued.key_pem);
}
