//! Files change under a running front door.

use std::fs;

use dev_pki::LeafOptions;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::front::RULES;
use crate::world::{NAMES, World, serial_of, swap_data, until};
use support::client::{self, read_answer};
use support::pki::{CORP, OLD, PUBLIC};
use support::ports;

const GET: &[u8] = b"GET /orders/1 HTTP/1.1\r\nHost: api.test\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn certificates_rotate_under_old_connections() {
    let mut world = World::start().await;
    let address = world.front.address;
    let mut old = client::connect(address, Some("api.test"), b"")
        .await
        .unwrap();
    let first = serial_of(&old);
    assert_eq!(world.serial().await, first);

    world.rotate(NAMES);
    until("the renamed certificate is shown", async || {
        world.serial().await != first
    })
    .await;
    old.write_all(GET).await.unwrap();
    let answer = read_answer(&mut old, &mut Vec::new(), false).await.unwrap();
    assert_eq!(answer.status, 200);

    // The same as a mounted secret.
    let mount = world.path("secret");
    let issue = || PUBLIC.leaf(NAMES, &LeafOptions::default()).unwrap();
    let one = issue();
    swap_data(
        &mount,
        "..1",
        &[("tls.crt", &one.chain_pem), ("tls.key", &one.key_pem)],
    );
    let text = world.setup.text();
    let text = text
        .replace("front.pem", "secret/tls.crt")
        .replace("front.key", "secret/tls.key");
    world.write("drawbridge.toml", text);
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    let before = world.serial().await;
    let two = issue();
    swap_data(
        &mount,
        "..2",
        &[("tls.crt", &two.chain_pem), ("tls.key", &two.key_pem)],
    );
    until("the swapped certificate is shown", async || {
        world.serial().await != before
    })
    .await;
    assert!(world.ready().await.contains("[+]reload ok"));
    world.front.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_certificate_is_refused_until_it_is_mended() {
    let world = World::start().await;
    let first = world.serial().await;
    let other = PUBLIC.leaf(NAMES, &LeafOptions::default()).unwrap();
    world.write("front.pem", &other.chain_pem);
    until("the refusal is told", async || {
        world.ready().await.contains("the key does not fit")
    })
    .await;
    assert!(world.ready().await.contains("listener public"));
    assert_eq!(world.serial().await, first);
    let metrics = world.ask("GET", "/metrics").await.text();
    assert!(
        metrics.contains("drawbridge_config_last_reload_successful 0"),
        "{metrics}"
    );
    assert!(metrics.contains("drawbridge_config_refused{unit=\"listener public\"} 1"));

    // The good rest goes live meanwhile.
    world.write("rules.conf", RULES.replace("attack", "assault"));
    until("the new rules are live", async || {
        world.status_of("/orders/1?x=assault").await == 403
    })
    .await;
    assert_eq!(world.serial().await, first);

    world.write("front.key", &other.key_pem);
    until("the mended pair is shown", async || {
        world.serial().await != first
    })
    .await;
    until("nothing is refused", async || {
        world.ready().await.contains("[+]reload ok")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_keeps_its_names_unless_it_may_lose_some() {
    let mut world = World::start().await;
    let first = world.serial().await;
    world.rotate(&["api.test", "*.wild.test"]);
    let (status, said) = world.reload().await;
    assert_eq!(status, 422);
    let reason = said["refused"][0]["reasons"][0].as_str().unwrap();
    assert!(
        reason.contains("no longer covers \"other.test\""),
        "{reason}"
    );
    assert_eq!(world.serial().await, first);

    world.setup.listener = "allow_fewer_names = true".to_owned();
    world.write_setup();
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    assert_ne!(world.serial().await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_routes_follow_their_files() {
    let mut world = World::start().await;
    assert_eq!(world.status_of("/orders/1?x=attack").await, 403);
    world.write(
        "rules.conf",
        "SecRule ARGS \"@contains attack\" \"id:1,phase:2,dney\"",
    );
    let (status, said) = world.reload().await;
    assert_eq!(
        (status, &said["refused"][0]["unit"]),
        (422, &"policy default".into()),
        "{said}"
    );
    assert_eq!(world.status_of("/orders/1?x=attack").await, 403);

    world.write(
        "rules.conf",
        RULES
            .replace("attack", "words.data")
            .replace("@contains words", "@pmFromFile words"),
    );
    world.write("words.data", "siege\n");
    let (status, said) = world.reload().await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(world.status_of("/orders/1?x=siege").await, 403);
    world.write("words.data", "raid\n");
    until("the data file is read again", async || {
        world.status_of("/orders/1?x=raid").await == 403
    })
    .await;
    assert_eq!(world.status_of("/orders/1?x=siege").await, 200);

    assert_eq!(world.status_of("/bills/1").await, 404);
    world.setup.route = "paths = [\"/bills/\"]\nmethods = [\"GET\"]".to_owned();
    world.write_setup();
    until("the new route is there", async || {
        world.status_of("/bills/1").await == 200
    })
    .await;
    assert_eq!(world.status_of("/orders/1").await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_the_configuration_keeps_all() {
    let world = World::start().await;
    let first = world.serial().await;
    world.write(
        "drawbridge.toml",
        world.setup.text() + "\nsurprise = 1\n[oops",
    );
    world.rotate(NAMES);
    let (status, said) = world.reload().await;
    assert_eq!(
        (status, &said["refused"][0]["unit"]),
        (422, &"configuration".into()),
        "{said}"
    );
    assert_eq!(world.serial().await, first);
    assert_eq!(world.status_of("/orders/1").await, 200);
    world.write_setup();
    until("the mended file is live", async || {
        world.serial().await != first
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_authority_ends_the_trust_of_pooled_connections() {
    let world = World::start().await;
    let pem = |ca: &dev_pki::Authority| ca.certificate_pem().unwrap();
    world.write("corp-ca.pem", [pem(&CORP), pem(&OLD)].concat());
    assert_eq!(world.reload().await.0, 200);
    for _ in 0..3 {
        assert_eq!(world.status_of("/orders/1").await, 200);
    }
    let (connections, requests) = (world.upstream.connections(), world.upstream.requests());
    // The same bundle again: the pooled connection is still good.
    assert_eq!(world.reload().await.0, 200);
    assert_eq!(world.status_of("/orders/1").await, 200);
    assert_eq!(world.upstream.connections(), connections);

    world.write("corp-ca.pem", pem(&OLD));
    assert_eq!(world.reload().await.0, 200);
    assert_eq!(world.status_of("/orders/1").await, 502);
    assert_eq!(
        world.upstream.requests(),
        requests + 1,
        "one travelled before, none after"
    );

    world.write("corp-ca.pem", b"nothing");
    let (status, said) = world.reload().await;
    assert_eq!(
        (status, &said["refused"][0]["unit"]),
        (422, &"trust onprem".into()),
        "{said}"
    );
    world.write("corp-ca.pem", pem(&CORP));
    assert_eq!(world.reload().await.0, 200);
    assert_eq!(world.status_of("/orders/1").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_come_and_go() {
    let mut world = World::start().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    let route = world.setup.text();
    let more = format!(
        "[listeners.second]\nbind = [\"{address}\"]\ncertificates = [{{ chain = \"front.pem\", key = \"front.key\" }}]\n"
    );
    let text = route.replace(
        "listeners = [\"public\"]",
        "listeners = [\"public\", \"second\"]",
    ) + &more;
    world.write("drawbridge.toml", &text);
    let (status, said) = world.reload().await;
    assert_eq!(
        (status, &said["refused"][0]["unit"]),
        (422, &"listener second".into()),
        "{said}"
    );
    assert_eq!(world.status_of("/orders/1").await, 200);

    drop(free);
    assert_eq!(world.reload().await.0, 200);
    assert_eq!(client::get(address, "/orders/1").await.status, 200);
    let mut kept = client::connect(address, Some("api.test"), b"")
        .await
        .unwrap();
    let mut buffer = Vec::new();
    kept.write_all(GET).await.unwrap();
    assert_eq!(
        read_answer(&mut kept, &mut buffer, false)
            .await
            .unwrap()
            .status,
        200
    );

    // A client in the middle of a request gets its answer, and nobody new comes in.
    let (begin, rest) = GET.split_at(GET.len() / 2);
    kept.write_all(begin).await.unwrap();
    world.write_setup();
    assert_eq!(world.reload().await.0, 200);
    kept.write_all(rest).await.unwrap();
    let last = read_answer(&mut kept, &mut buffer, false).await.unwrap();
    assert_eq!(last.header("connection"), Some("close"));
    until("it is closed", async || {
        TcpStream::connect(address).await.is_err()
    })
    .await;
    assert_eq!(world.status_of("/orders/1").await, 200);
    world.front.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_listener_that_is_broken_fails_alone() {
    let world = World::start().await;
    let address = ports::free();
    let more = format!(
        "[listeners.second]\nbind = [\"{address}\"]\ncertificates = [{{ chain = \"second.pem\", key = \"second.key\" }}]\n"
    );
    let text = world.setup.text().replace(
        "listeners = [\"public\"]",
        "listeners = [\"public\", \"second\"]",
    ) + &more;
    let text = text.replace("/orders/", "/bills/");
    world.write("second.pem", "no certificate");
    world.write("second.key", "no key");
    world.write("drawbridge.toml", &text);
    let (status, said) = world.reload().await;
    assert_eq!(status, 422, "{said}");
    assert_eq!(said["refused"][0]["unit"], "listener second", "{said}");
    assert_eq!(said["refused"].as_array().unwrap().len(), 1, "{said}");
    assert_eq!(world.status_of("/bills/1").await, 200, "the rest is live");
    assert!(TcpStream::connect(address).await.is_err());

    let issued = PUBLIC.leaf(NAMES, &LeafOptions::default()).unwrap();
    world.write("second.key", &issued.key_pem);
    world.write("second.pem", &issued.chain_pem);
    until("it comes up once it is mended", async || {
        TcpStream::connect(address).await.is_ok()
    })
    .await;
    assert_eq!(client::get(address, "/bills/1").await.status, 200);

    // One that runs goes on with what it has when it is given a broken one more.
    let more = "chain = \"front.pem\", key = \"front.key\" }, { chain = \"third.pem\", key = \"third.key\" }";
    world.write("third.pem", "no certificate");
    world.write("third.key", "no key");
    let text = text.replace("chain = \"front.pem\", key = \"front.key\" }", more);
    world.write("drawbridge.toml", text.replace("/bills/", "/cases/"));
    let (status, said) = world.reload().await;
    assert_eq!(status, 422, "{said}");
    assert_eq!(said["refused"][0]["unit"], "listener public", "{said}");
    assert_eq!(world.status_of("/cases/1").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_restart_is_told() {
    let mut world = World::start().await;
    world.setup.top += "\nstate_dir = \"state\"";
    world.setup.more += "\n[events]\n";
    world.setup.route = "paths = [\"/bills/\"]".to_owned();
    world.write_setup();
    let (status, said) = world.reload().await;
    assert_eq!(
        (status, &said["refused"][0]["unit"]),
        (422, &"restart".into()),
        "{said}"
    );
    let reason = said["refused"][0]["reasons"][0].as_str().unwrap();
    assert!(
        reason.contains("another \"state_dir\" needs a restart"),
        "{reason}"
    );
    let events = said["refused"][0]["reasons"][1].as_str().unwrap();
    assert!(
        events.contains("other settings of [events] need a restart"),
        "{events}"
    );
    assert_eq!(world.status_of("/bills/1").await, 200, "the rest is live");
    assert!(!world.path("state").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_touch_changes_nothing() {
    let world = World::start().await;
    let counted = async |what: &str| {
        let status = world.ask("GET", "/status").await;
        let status: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
        status["reload"][what].as_u64().unwrap()
    };
    // The first look finds what the start has read.
    until("it looked", async || counted("unchanged").await == 1).await;
    let text = fs::read(world.path("rules.conf")).unwrap();
    world.write("rules.conf", &text);
    until("the touch was seen", async || {
        counted("unchanged").await == 2
    })
    .await;
    assert_eq!(counted("attempts").await, 0);
    world.write("rules.conf", RULES.replace("attack", "assault"));
    until("the change is live", async || {
        counted("attempts").await == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_api_tells_and_guards() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::start().await;
    let mode = fs::metadata(world.path("admin.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    for (method, path, status) in [
        ("GET", "/livez", 200),
        ("GET", "/readyz", 200),
        ("GET", "/healthz", 200),
        ("GET", "/status", 200),
        ("GET", "/reload", 405),
        ("POST", "/nothing", 404),
        ("PUT", "/reload", 405),
    ] {
        assert_eq!(
            world.ask(method, path).await.status,
            status,
            "{method} {path}"
        );
    }
    let status = world.ask("GET", "/status").await.text();
    assert!(status.contains("\"rules\":7"), "{status}");
    assert!(
        !status.contains("PRIVATE") && !status.contains("BEGIN"),
        "{status}"
    );
}
