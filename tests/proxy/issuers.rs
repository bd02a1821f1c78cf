//! Keys that are fetched from issuers behind a private CA: rotation under load, floods of unknown keys, outages, and issuers
//! that answer what nobody may take.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use drawbridge::identity::issuer::{KeySource, KeysAt, Live, Schedule};
use drawbridge::outbound::{Destination, Limits, Settings};
use drawbridge::tls::TrustBundle;

use crate::doctor::{self, drawbridge as run};
use crate::front::{Front, RULES, Setup, logged, wait};
use crate::issuer::{Issuer, Key, ok};
use crate::requests::echo;
use support::client::raw;
use support::forward_proxy::ForwardProxy;
use support::pki::{self, CORP};

pub async fn status(address: SocketAddr, token: &str) -> u16 {
    let request = format!(
        "GET /orders/1 HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    raw(address, request.as_bytes()).await.unwrap().status
}

/// Until this token gets this status.
pub async fn becomes(address: SocketAddr, token: &str, wanted: u16) {
    for _ in 0..500 {
        if status(address, token).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never became {wanted}: {}", status(address, token).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_by_discovery_and_an_unknown_one_is_fetched_at_once() {
    let (upstream, old, new, other) = (echo().await, Key::new(), Key::new(), Key::new());
    let issuer = Issuer::start(&[&old]).await;
    let front = issuer.front(&upstream, "").await;
    assert_eq!(status(front.address, &issuer.token(&old, "a")).await, 200);
    assert_eq!(issuer.asked_for_keys(), 1);
    // The issuer signs with a key before anybody could know it.
    issuer.publish(&[&new]);
    let tokens: Vec<String> = (0..20)
        .map(|n| issuer.token(&new, &n.to_string()))
        .collect();
    let asked = tokens.iter().map(|token| status(front.address, token));
    let statuses = futures(asked).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(issuer.asked_for_keys(), 2);
    // It was verified before, by a key that is gone.
    assert_eq!(status(front.address, &issuer.token(&old, "a")).await, 401);
    // Whatever is thrown at it, that was the one fetch.
    for n in 0..100 {
        let token = issuer.token(&other, &n.to_string());
        assert_eq!(status(front.address, &token).await, 401);
    }
    assert_eq!(issuer.asked_for_keys(), 2);
    let line = front.line(|line| line["identity"]["reason"] == "key_unknown");
    assert_eq!(line.await["status"], 401);
}

/// All at the same time.
pub async fn futures<F>(all: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future,
{
    let mut all: Vec<_> = all.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut whole = true;
        for (future, output) in &mut all {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(done) => *output = Some(done),
                    std::task::Poll::Pending => whole = false,
                }
            }
        }
        match whole {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    all.into_iter().filter_map(|(_, output)| output).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_under_load_gives_no_wrong_answer() {
    let upstream = echo().await;
    let keys = [(); 6].map(|()| Key::new());
    let stranger = Key::new();
    let issuer = Issuer::start(&[&keys[0]]).await;
    let front = issuer.front(&upstream, "jwks_refresh = \"100ms\"").await;
    let address = front.address;
    let current = Arc::new(Mutex::new(issuer.token(&keys[0], "0")));
    let forged = issuer.token(&stranger, "0");
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (current, forged, stop) = (Arc::clone(&current), forged.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut asked = 0_usize;
                while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                    let token = current.lock().unwrap().clone();
                    assert_eq!(status(address, &token).await, 200, "a wrong 401");
                    assert_eq!(status(address, &forged).await, 401, "a wrong 200");
                    asked += 1;
                }
                asked
            })
        })
        .collect();
    for pair in keys.windows(2) {
        let [old, new] = pair else { unreachable!() };
        // As issuers do: publish, wait until it was seen, sign with it, and later forget the old one.
        issuer.publish(&[old, new]);
        seen_again(&issuer).await;
        *current.lock().unwrap() = issuer.token(new, "0");
        let retired = issuer.token(old, "0");
        assert_eq!(status(address, &retired).await, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
        issuer.publish(&[new]);
        seen_again(&issuer).await;
        assert_eq!(status(address, &retired).await, 401);
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    for task in load {
        assert!(task.await.unwrap() > 0);
    }
}

/// The front door has fetched, and taken, what is published now.
async fn seen_again(issuer: &Issuer) {
    let before = issuer.asked_for_keys();
    // The second fetch that begins from here on begins only after the first was taken.
    let seen = wait(|| (issuer.asked_for_keys() >= before + 2).then_some(()));
    seen.await.unwrap();
    let seen = wait(|| (issuer.asked_for_keys() >= before + 3).then_some(()));
    seen.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_uses_the_last_good_keys_and_then_closes() {
    let (upstream, key) = (echo().await, Key::new());
    let mut issuer = Issuer::start(&[&key]).await;
    let extra = "jwks_refresh = \"100ms\"\njwks_max_stale = \"1s\"";
    let front = issuer.front(&upstream, extra).await;
    let token = issuer.token(&key, "a");
    assert_eq!(status(front.address, &token).await, 200);
    issuer.stop().await;
    logged("keys cannot be fetched, the last good ones stay in use").await;
    becomes(front.address, &token, 503).await;
    let line = front.line(|line| line["identity"]["reason"] == "keys_unavailable");
    assert_eq!(line.await["status"], 503);
    issuer.start_again().await;
    becomes(front.address, &token, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_the_issuer_down_is_closed_and_recovers() {
    let (upstream, key) = (echo().await, Key::new());
    let mut issuer = Issuer::start(&[&key]).await;
    issuer.stop().await;
    let front = issuer.front(&upstream, "jwks_refresh = \"200ms\"").await;
    let token = issuer.token(&key, "a");
    assert_eq!(status(front.address, &token).await, 503);
    issuer.start_again().await;
    becomes(front.address, &token, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_issuer_may_not_answer_is_not_taken() {
    let (upstream, key) = (echo().await, Key::new());
    let issuer = Issuer::start(&[&key]).await;
    let token = issuer.token(&key, "a");
    let elsewhere =
        b"HTTP/1.1 302 Found\r\nLocation: https://evil.test/keys\r\nContent-Length: 0\r\n\r\n";
    let huge = ok(&format!("{{\"issuer\":\"{}\"}}", "a".repeat(300 << 10)));
    let many: Vec<Value> = vec![key.public(); 200];
    let many = ok(&json!({ "keys": many }).to_string());
    let jwks = format!(
        "jwks = \"https://localhost:{}/keys\"",
        issuer.address.port()
    );
    let none = (String::new(), String::new(), None);
    for (extra, (name, jwks_uri, instead), code) in [
        (
            "",
            (format!("{}/", issuer.url()), String::new(), None),
            "issuer",
        ),
        (
            "",
            ("https://evil.test".to_owned(), String::new(), None),
            "issuer",
        ),
        (
            "",
            (String::new(), "http://localhost/keys".to_owned(), None),
            "endpoint",
        ),
        ("", (String::new(), "keys".to_owned(), None), "endpoint"),
        (
            "",
            (String::new(), String::new(), Some(elsewhere.to_vec())),
            "redirect",
        ),
        ("", (String::new(), String::new(), Some(huge)), "too_large"),
        (
            "",
            (String::new(), String::new(), Some(ok("[]"))),
            "document",
        ),
        (
            "",
            (
                String::new(),
                String::new(),
                Some(ok("{\"issuer\":1,\"issuer\":2}")),
            ),
            "document",
        ),
        (&jwks, (String::new(), String::new(), Some(many)), "keys"),
        (
            &jwks,
            (String::new(), String::new(), Some(ok("{\"keys\":[]}"))),
            "keys",
        ),
        (
            &jwks,
            (String::new(), String::new(), Some(elsewhere.to_vec())),
            "redirect",
        ),
        ("", none.clone(), ""),
        (&jwks, none.clone(), ""),
    ] {
        issuer.change(|published| {
            published.issuer = name;
            published.jwks_uri = jwks_uri;
            published.instead = instead;
        });
        let front = issuer.front(&upstream, extra).await;
        let expected = if code.is_empty() { 200 } else { 503 };
        assert_eq!(status(front.address, &token).await, expected, "{code}");
        let arguments = ["doctor", "identity", "corp", "--output", "json"];
        let output = run(&front.folder, &arguments).await;
        let said = doctor::json(&output);
        assert_eq!(output.status.success(), code.is_empty(), "{said}");
        let found = said["checks"][0]["failure"]["code"].as_str().unwrap_or("");
        assert_eq!(found, code, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_denied_tokens_is_fetched_and_closes_when_it_cannot_be() {
    let (upstream, key) = (echo().await, Key::new());
    let mut issuer = Issuer::start(&[&key]).await;
    let port = issuer.address.port();
    let extra = format!(
        "denied = \"https://localhost:{port}/denied\"\ndenied_refresh = \"100ms\"\njwks_max_stale = \"2s\""
    );
    let front = issuer.front(&upstream, &extra).await;
    let (one, two) = (issuer.token(&key, "one"), issuer.token(&key, "two"));
    assert_eq!(status(front.address, &one).await, 200);
    issuer.change(|published| published.denied = "# gone\none\n".to_owned());
    becomes(front.address, &one, 401).await;
    assert_eq!(status(front.address, &two).await, 200);
    issuer.stop().await;
    becomes(front.address, &two, 503).await;
    issuer.start_again().await;
    becomes(front.address, &two, 200).await;
    assert_eq!(status(front.address, &one).await, 401);
}

#[test]
fn keys_of_the_table_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    pki::write(folder.path());
    std::fs::write(folder.path().join("rules.conf"), RULES).unwrap();
    std::fs::write(folder.path().join("secret"), "s".repeat(40)).unwrap();
    for (keys, said) in [
        ("", "has no \"jwks\""),
        (
            "jwks = \"http://idp.test/keys\"\ntrust = \"onprem\"",
            "must be \"https://\"",
        ),
        ("jwks = \"https://idp.test/keys\"", "needs a trust bundle"),
        (
            "jwks = \"https://idp.test/keys\"\ntrust = \"nobody\"",
            "nobody",
        ),
        (
            "jwks = \"https://me@idp.test/keys\"\ntrust = \"onprem\"",
            "no user",
        ),
        (
            "jwks = \"https://idp.test/keys\"\ndiscovery = true\ntrust = \"onprem\"",
            "names them too",
        ),
        ("jwks = \"keys.json\"", "names the issuer's JWK set"),
        (
            "jwks = \"file:keys.json\"\ntrust = \"onprem\"",
            "has no effect here",
        ),
        (
            "jwks = \"file:keys.json\"\njwks_refresh = \"1h\"",
            "has no effect here",
        ),
        (
            "discovery = true\ntrust = \"onprem\"\njwks_refresh = \"1ms\"",
            "at least 100ms",
        ),
        (
            "discovery = true\ntrust = \"onprem\"\nalgorithms = [\"HS256\"]\nsecret = \"secret\"",
            "no place beside",
        ),
        (
            "discovery = true\ntrust = \"onprem\"\ndenied = \"http://idp.test/denied\"",
            "must be \"https://\"",
        ),
    ] {
        let setup = Setup {
            servers: vec!["127.0.0.1:1".parse().unwrap()],
            route: "paths = [\"/\"]\nmethods = [\"GET\"]\nidentity = \"corp\"".to_owned(),
            more: format!(
                "[identity.corp]\nissuer = \"https://idp.test\"\naudiences = [\"a\"]\n{keys}\n"
            ),
            ..Setup::default()
        };
        let file = folder.path().join("drawbridge.toml");
        std::fs::write(&file, setup.text()).unwrap();
        let found = drawbridge::config::load(&file).err().unwrap_or_default();
        let found: Vec<String> = found.iter().map(|found| found.render(false)).collect();
        assert!(found.join("\n").contains(said), "{keys}: {found:#?}");
    }
}

/// Behind the corporate CA.
pub fn settings() -> Arc<Settings> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, CORP.certificate_pem().unwrap()).unwrap();
    let trust = TrustBundle::load("idp", &[file], &mut Vec::new()).unwrap();
    Arc::new(Settings {
        trust: Some(Arc::new(trust)),
        allow_http: false,
        proxy: None,
        dns_servers: Vec::new(),
        limits: Limits::default(),
    })
}

pub fn source(issuer: &Issuer, settings: &Arc<Settings>, schedule: Schedule) -> KeySource {
    let url = format!("https://localhost:{}/keys", issuer.address.port());
    let at = Destination::new(&url, Arc::clone(settings)).unwrap();
    KeySource {
        name: "corp".to_owned(),
        issuer: issuer.url(),
        from: KeysAt::Set(Arc::new(at)),
        schedule,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_change_keeps_its_keys_over_a_reload() {
    let (one, two) = (Key::new(), Key::new());
    let (issuer, settings) = (Issuer::start(&[&one]).await, settings());
    let asked_interval = Duration::ZERO;
    let schedule = Schedule {
        asked_interval,
        ..Schedule::default()
    };
    let live = Arc::new(Live::new(source(&issuer, &settings, schedule.clone())));
    assert!(live.current().is_none());
    live.start(&tokio::runtime::Handle::current());
    live.tried().await;
    assert_eq!(live.current().unwrap().generation, 1);
    // The same keys are the same generation, so tokens that were verified stay so.
    assert!(live.renewed().await);
    assert_eq!(live.current().unwrap().generation, 1);
    issuer.publish(&[&two]);
    assert!(live.renewed().await);
    assert_eq!(live.current().unwrap().generation, 2);
    assert_eq!((live.state().fetches, live.state().asked), (3, 2));

    let same = Live::after(source(&issuer, &settings, schedule.clone()), Some(&live));
    assert!(Arc::ptr_eq(&same, &live));
    let slower = Schedule {
        most: Duration::from_secs(60),
        ..schedule.clone()
    };
    let other = Live::after(source(&issuer, &settings, slower), Some(&live));
    assert!(!Arc::ptr_eq(&other, &live));
    assert_eq!(other.current().unwrap().generation, 2);
    let elsewhere = KeySource {
        issuer: "https://else.test".to_owned(),
        ..source(&issuer, &settings, schedule)
    };
    assert!(Live::after(elsewhere, Some(&live)).current().is_none());
}

/// An issuer without OpenID Connect publishes its document elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn the_document_may_be_at_the_place_of_rfc_8414() {
    let (upstream, key) = (echo().await, Key::new());
    let issuer = Issuer::start(&[&key]).await;
    issuer.change(|published| published.is_oauth = true);
    let front = issuer.front(&upstream, "").await;
    assert_eq!(status(front.address, &issuer.token(&key, "a")).await, 200);
    issuer.change(|published| {
        let paths: Vec<&str> = published.asked.iter().map(String::as_str).collect();
        let openid = "/realms/prod/.well-known/openid-configuration";
        let oauth = "/.well-known/oauth-authorization-server/realms/prod";
        assert_eq!(paths, [openid, oauth, "/keys"]);
        // That document, too, must be of this issuer.
        published.issuer = "https://evil.test".to_owned();
    });
    let arguments = ["doctor", "identity", "corp", "--output", "json"];
    let said = doctor::json(&run(&front.folder, &arguments).await);
    assert_eq!(said["checks"][0]["failure"]["code"], "issuer", "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_through_the_proxy_that_is_written() {
    let (upstream, key) = (echo().await, Key::new());
    let issuer = Issuer::start(&[&key]).await;
    let port = issuer.address.port();
    // `door:pass`
    let proxy = ForwardProxy::start(Some("Basic ZG9vcjpwYXNz")).await;
    let extra = format!(
        "proxy = \"{}\"\nproxy_credentials = \"proxy.secret\"\ndenied = \"https://localhost:{port}/denied\"",
        proxy.url()
    );
    let folder = issuer.setup(&upstream, &extra).write(RULES);
    std::fs::write(folder.join("proxy.secret"), "door:pass\n").unwrap();
    let front = Front::start_in(folder).await;
    assert_eq!(status(front.address, &issuer.token(&key, "a")).await, 200);
    let heads = proxy.heads();
    let target = format!("CONNECT localhost:{port} HTTP/1.1");
    // The document, the keys and the list; more where a connection ended.
    assert!(heads.len() >= 3, "{heads:#?}");
    assert!(
        heads.iter().all(|head| head.starts_with(&target)),
        "{heads:#?}"
    );
    issuer.change(|published| assert_eq!(published.asked.len(), 3, "{:?}", published.asked));
    // Without the credentials nothing is reached, and doctor names the proxy.
    std::fs::write(front.folder.join("proxy.secret"), "door:other\n").unwrap();
    let arguments = ["doctor", "identity", "corp", "--output", "json"];
    let said = doctor::json(&run(&front.folder, &arguments).await);
    assert_eq!(said["checks"][0]["failure"]["code"], "proxy", "{said}");
}
