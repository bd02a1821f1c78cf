//! What the console says of gateways and files before anything is changed: doctor, rehearsal, and the files against what
//! is live.

use std::fs;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::console::Console;
use crate::exclusions::run;
use crate::world::until;
use support::pki::{CORP, OLD, PUBLIC, leaf};

/// A form's field.
fn encoded(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_why_a_gateway_would_not_be_used() {
    let console = Console::start("read-only").await;
    let cookie = console.log_in("ingress").await;
    let page = console.get("/upstreams", &cookie).await;
    assert!(page.body.contains("Dial the servers of"), "{}", page.body);
    let action = page.body.split("action=\"/upstreams/").nth(1).unwrap();
    let name = action.split('/').next().unwrap().to_owned();
    let path = format!("/upstreams/{name}/doctor");
    let page = console.post(&path, &cookie, "").await;
    assert_eq!(page.status, 200, "{}", page.body);
    for shown in ["The proxy would use it", "CN=orders.corp.test", "connected"] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    // The gateway's CA is no longer trusted: the cause, and what to do.
    console
        .world
        .write("onprem-ca.pem", OLD.certificate_pem().unwrap());
    let ca = fs::read_to_string(console.world.path("drawbridge.toml")).unwrap();
    let file = ca
        .split("ca = [\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    console.world.write(file, OLD.certificate_pem().unwrap());
    let (status, said) = console.world.reload().await;
    assert_eq!(status, 200, "{said}");
    let page = console.post(&path, &cookie, "").await;
    for shown in ["untrusted", "What to do"] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    let nothing = console.post("/upstreams/nothing/doctor", &cookie, "").await;
    assert_eq!(nothing.status, 404);
    let viewer = console.log_in("viewer").await;
    assert_eq!(console.post(&path, &viewer, "").await.status, 403);
    assert!(
        !console
            .get("/upstreams", &viewer)
            .await
            .body
            .contains("<button>Dial")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_whose_browser_leaves_is_in_the_audit() {
    let console = Console::start("read-only").await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let (dialled, mut dials) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        while let Ok((gateway, _)) = silent.accept().await {
            let _ = dialled.send(());
            let mut released = released.clone();
            tokio::spawn(async move {
                let _ = released.wait_for(|released| *released).await;
                drop(gateway);
            });
        }
    });
    let more = format!(
        "{}\n[upstreams.silent]\nservers = [\"{}\"]\ntls = {{ server_name = \"orders.corp.test\", trust = \"onprem\" }}\n",
        console.world.setup.text(),
        address
    );
    console.world.write("drawbridge.toml", more);
    let (status, said) = console.world.reload().await;
    assert_eq!(status, 200, "{said}");
    let (_, token) = run(
        &console.world,
        "console token create --role ingress --name ci",
        &[],
    )
    .await;
    let cookie = console.log_in("ingress").await;
    let bearer = format!(
        "Host: {}\r\nAuthorization: Bearer {}\r\n",
        console.address,
        token.trim()
    );
    let page = console.fields(&cookie);
    for (path, fields, audited) in [
        (
            "/upstreams/silent/doctor",
            page,
            "servers of upstream silent",
        ),
        ("/api/doctor/silent", bearer, "POST /doctor/silent"),
    ] {
        let mut browser = TcpStream::connect(console.address).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nContent-Length: 0\r\n{fields}\r\n");
        browser.write_all(head.as_bytes()).await.unwrap();
        dials.recv().await.unwrap();
        // It leaves while the gateway makes it wait.
        drop(browser);
        tokio::time::sleep(Duration::from_millis(200)).await;
        release.send_replace(true);
        until("the audit has it", async || {
            let audit = fs::read_to_string(console.world.path("state/console-audit.jsonl"));
            audit.unwrap_or_default().contains(audited)
        })
        .await;
        release.send_replace(false);
        while dials.try_recv().is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_says_what_a_reload_would_and_writes_nothing() {
    let console = Console::start("read-only").await;
    let cookie = console.log_in("certificates").await;
    let before = console.world.serial().await;
    let form = console.get("/certificates/rehearsal", &cookie).await;
    for shown in ["trust onprem", "listener public"] {
        assert!(form.body.contains(shown), "{shown}: {}", form.body);
    }
    let pem = |pem: Vec<u8>| String::from_utf8(pem).unwrap();
    let names = crate::world::NAMES;
    let whole = PUBLIC
        .leaf(names, &dev_pki::LeafOptions::default())
        .unwrap();
    let expired = dev_pki::LeafOptions {
        starts_in_days: -20,
        ends_in_days: -10,
        ..dev_pki::LeafOptions::default()
    };
    let expired = PUBLIC.leaf(names, &expired).unwrap();
    let both = pem(CORP.certificate_pem().unwrap()) + &pem(OLD.certificate_pem().unwrap());
    for (target, pem, shown) in [
        ("trust onprem", both, "No gateway would break"),
        (
            "trust onprem",
            pem(OLD.certificate_pem().unwrap()),
            "1 of 1 gateways would break",
        ),
        (
            "trust onprem",
            pem(leaf(&CORP, "a.test").chain_pem),
            "is no CA certificate",
        ),
        ("trust onprem", "<b>nothing".to_owned(), "It cannot be used"),
        (
            "listener public",
            pem(whole.chain_pem),
            "A reload would take it",
        ),
        ("listener public", pem(expired.chain_pem), "expired on"),
        (
            "listener public",
            pem(leaf(&PUBLIC, "api.test").chain_pem),
            "no longer covers",
        ),
        (
            "listener public",
            "-----BEGIN CERTIFICATE-----\n".to_owned(),
            "It cannot be used",
        ),
    ] {
        let form = format!("target={}&pem={}", encoded(target), encoded(&pem));
        let page = console
            .post("/certificates/rehearsal", &cookie, &form)
            .await;
        assert_eq!(page.status, 200, "{target}: {}", page.body);
        assert!(page.body.contains(shown), "{target} {shown}: {}", page.body);
        assert!(!page.body.contains("<b>"), "{}", page.body);
    }
    // What the configuration allows, a reload would take.
    let text = console.world.setup.text();
    let lenient = text.replace("[log]\n", "allow_fewer_names = true\n[log]\n");
    assert_ne!(lenient, text);
    console.world.write("drawbridge.toml", lenient);
    let (status, said) = console.world.reload().await;
    assert_eq!(status, 200, "{said}");
    let one = encoded(&pem(leaf(&PUBLIC, "api.test").chain_pem));
    let form = format!("target=listener+public&pem={one}");
    let page = console
        .post("/certificates/rehearsal", &cookie, &form)
        .await;
    assert!(
        page.body.contains("A reload would take it"),
        "{}",
        page.body
    );
    assert!(page.body.contains("<noscript>"), "{}", page.body);
    for (target, status) in [
        ("trust other", 404),
        ("listener other", 404),
        ("other", 400),
    ] {
        let form = format!("target={}&pem=x", encoded(target));
        let page = console
            .post("/certificates/rehearsal", &cookie, &form)
            .await;
        assert_eq!(page.status, status, "{target}: {}", page.body);
    }
    until("the audit has what failed, too", async || {
        let audit = fs::read_to_string(console.world.path("state/console-audit.jsonl"));
        let audit = audit.unwrap_or_default();
        ["rehearse trust other", "rehearse listener other"]
            .iter()
            .all(|action| audit.contains(action))
    })
    .await;
    assert_eq!(console.world.serial().await, before);
    let viewer = console.log_in("viewer").await;
    for (method, path) in [
        ("GET", "/certificates/rehearsal"),
        ("POST", "/certificates/rehearsal"),
    ] {
        let fields = console.fields(&viewer);
        assert_eq!(console.send(method, path, &fields, "").await.status, 403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_are_shown_against_what_is_live() {
    let console = Console::start("read-only").await;
    let cookie = console.log_in("viewer").await;
    let page = console.get("/configuration/diff", &cookie).await;
    for shown in [
        "Nothing changes in what is reachable",
        "The files say what is live",
    ] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    // What cannot be taken live is not live, whoever looks at the files.
    let text = console.world.setup.text();
    console
        .world
        .write("drawbridge.toml", format!("{text}\nfoo = 1\n"));
    let page = console.get("/configuration/diff", &cookie).await;
    assert!(
        page.body.contains("A reload would take nothing"),
        "{}",
        page.body
    );
    assert!(page.body.contains("foo"), "{}", page.body);
    assert_eq!(console.world.status_of("/orders/1").await, 200);
    console.world.write("front.key", "nothing");
    console.world.write("drawbridge.toml", &text);
    let page = console.get("/configuration/diff", &cookie).await;
    for shown in ["What would be refused", "listener public"] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
}
