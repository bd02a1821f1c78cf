//! The console over TLS: who gets in by which certificate, over which HTTP, and that a new certificate is taken live.

use std::pin::Pin;
use std::time::Duration;

use dev_pki::Issued;
use openssl::pkey::PKey;
use openssl::ssl::{SslConnector, SslMethod};
use openssl::x509::X509;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use crate::console::Console;
use crate::world::{serial_of, until};
use support::client::{Answer, Http2, Tls, h2_request, read_answer};
use support::pki::{CORP, OLD, PUBLIC, client, leaf};

const TLS: &str =
    "hosts = [\"api.test\"]\ncertificates = [{ chain = \"front.pem\", key = \"front.key\" }]";
const CLIENTS: &str = "client_ca = { trust = \"onprem\" }\nclient_roles = { security = [\"dns:alice.test\"], ingress = [\"cn:bob.test\"] }";

impl Console {
    /// A handshake that may succeed only for the client: in TLS 1.3 the server checks its certificate afterwards.
    async fn shake(&self, identity: Option<&Issued>) -> Option<Tls> {
        let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
        let store = builder.cert_store_mut();
        store.add_cert(PUBLIC.certificate().clone()).unwrap();
        if let Some(identity) = identity {
            let certificate = X509::from_pem(&identity.chain_pem).unwrap();
            let key = PKey::private_key_from_pem(&identity.key_pem).unwrap();
            builder.set_certificate(&certificate).unwrap();
            builder.set_private_key(&key).unwrap();
        }
        let ssl = builder.build().configure().unwrap();
        let tcp = TcpStream::connect(self.address).await.unwrap();
        let mut stream = SslStream::new(ssl.into_ssl("api.test").unwrap(), tcp).unwrap();
        Pin::new(&mut stream).connect().await.ok()?;
        Some(stream)
    }

    /// None where the connection ends.
    async fn over(
        stream: &mut Tls,
        method: &str,
        path: &str,
        cookie: &str,
        body: &str,
    ) -> Option<Answer> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: api.test\r\nOrigin: https://api.test\r\nCookie: {cookie}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        read_answer(stream, &mut Vec::new(), false).await
    }

    /// None where the handshake or the connection fails.
    async fn over_tls(
        &self,
        identity: Option<&Issued>,
        method: &str,
        path: &str,
        cookie: &str,
        body: &str,
    ) -> Option<Answer> {
        let mut stream = self.shake(identity).await?;
        Self::over(&mut stream, method, path, cookie, body).await
    }
}

fn cookie_of(answer: &Answer) -> String {
    let field = answer.header("set-cookie").expect("a cookie");
    field.split(';').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_certificates_it_speaks_tls_alone() {
    let console = Console::start_with(TLS).await;
    let mut plain = TcpStream::connect(console.address).await.unwrap();
    plain
        .write_all(b"GET /login HTTP/1.1\r\nHost: api.test\r\n\r\n")
        .await
        .unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said).await;
    assert!(!said.starts_with(b"HTTP/"), "{}", said.escape_ascii());

    let url = console.url("viewer").await;
    let code = url.split_once("/login?code=").unwrap();
    assert_eq!(
        code.0,
        format!("https://api.test:{}", console.address.port())
    );
    let form = format!("code={}", code.1);
    let entered = console
        .over_tls(None, "POST", "/login", "", &form)
        .await
        .unwrap();
    assert_eq!(entered.status, 303, "{}", entered.text());
    let field = entered.header("set-cookie").unwrap();
    for part in [
        "__Host-drawbridge_console=",
        "; Path=/;",
        "; Secure",
        "; HttpOnly",
    ] {
        assert!(field.contains(part), "{field}");
    }
    let cookie = cookie_of(&entered);
    let home = console.over_tls(None, "GET", "/", &cookie, "").await;
    assert_eq!(home.unwrap().status, 200);
    // A page of a neighbour host may set the plain name, and must not log anybody in with it.
    let tossed = cookie.replace("__Host-", "");
    let home = console.over_tls(None, "GET", "/", &tossed, "").await;
    assert_eq!(home.unwrap().status, 303);

    let mut h2 = Http2::connect(console.address, "api.test").await;
    let request = |path: &str| {
        let request = h2_request("GET", &format!("https://api.test{path}"));
        request.header("cookie", &cookie).body(()).unwrap()
    };
    for _ in 0..3 {
        let page = h2.request(request("/configuration"), None).await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert!(page.header("content-security-policy").is_some());
    }
    let foreign = h2_request("GET", "https://evil.test/").header("host", "api.test");
    let foreign = h2.request(foreign.body(()).unwrap(), None).await;
    assert_eq!(foreign.status, 421);
    let list = console.world.ask("GET", "/certificates").await.text();
    assert!(list.contains("[console]"), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_lets_in_and_logs_in_by_its_role() {
    let console = Console::start_with(&format!("{TLS}\n{CLIENTS}")).await;
    let alice = client(&CORP, "alice.test");
    let bob = client(&CORP, "bob.test");
    let nobody = client(&CORP, "carol.test");
    let get = async |identity, path| console.over_tls(identity, "GET", path, "", "").await;
    let foreign = client(&PUBLIC, "alice.test");
    let of_a_server = leaf(&CORP, "alice.test");
    for refused in [None, Some(&foreign), Some(&of_a_server)] {
        let answer = get(refused, "/login").await;
        assert!(answer.is_none(), "{answer:?}");
    }
    let form = get(Some(&alice), "/login").await.unwrap();
    assert!(
        form.text().contains("has the role <strong>security"),
        "{}",
        form.text()
    );
    assert_eq!(
        get(Some(&alice), "/").await.unwrap().status,
        303,
        "nobody logged in yet"
    );
    let log_in = async |identity| {
        let form = "certificate=yes";
        let answer = console
            .over_tls(Some(identity), "POST", "/login", "", form)
            .await;
        answer.unwrap()
    };
    assert_eq!(log_in(&nobody).await.status, 403);
    let cookie = cookie_of(&log_in(&alice).await);
    // The session is of no use without the certificate.
    for (identity, status) in [(&alice, 200), (&bob, 303), (&nobody, 303)] {
        let home = console
            .over_tls(Some(identity), "GET", "/", &cookie, "")
            .await;
        assert_eq!(home.unwrap().status, status);
    }
    let cookie = cookie_of(&log_in(&bob).await);
    let page = console
        .over_tls(Some(&bob), "GET", "/exposure", &cookie, "")
        .await;
    assert!(page.unwrap().text().contains("Switch off"));

    // A role that is taken away ends the session with the next connection.
    let text = console.world.setup.text().replace(
        "ingress = [\"cn:bob.test\"]",
        "ingress = [\"cn:dave.test\"]",
    );
    console.world.write("drawbridge.toml", text);
    let (status, said) = console.world.reload().await;
    assert_eq!(status, 200, "{said}");
    let page = console
        .over_tls(Some(&bob), "GET", "/exposure", &cookie, "")
        .await;
    assert_eq!(page.unwrap().status, 303);
    assert_eq!(log_in(&bob).await.status, 403);
    until("the audit has it", async || {
        let audit = std::fs::read_to_string(console.world.path("state/console-audit.jsonl"));
        audit
            .unwrap_or_default()
            .contains("certificate CN=alice.test")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reload_takes_away_is_gone_on_open_connections_too() {
    let console = Console::start_with(&format!("{TLS}\n{CLIENTS}")).await;
    let bob = client(&CORP, "bob.test");
    let mut open = console.shake(Some(&bob)).await.unwrap();
    let entered = Console::over(&mut open, "POST", "/login", "", "certificate=yes").await;
    let cookie = cookie_of(&entered.unwrap());
    let page = Console::over(&mut open, "GET", "/exposure", &cookie, "").await;
    assert_eq!(page.unwrap().status, 200);
    let mut live = console.shake(Some(&bob)).await.unwrap();
    let head = format!(
        "GET /live/stream HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n"
    );
    live.write_all(head.as_bytes()).await.unwrap();

    let text = console.world.setup.text();
    let other = text.replace("cn:bob.test", "cn:dave.test");
    console.world.write("drawbridge.toml", &other);
    let (status, said) = console.world.reload().await;
    assert_eq!(status, 200, "{said}");
    let page = Console::over(&mut open, "GET", "/exposure", &cookie, "").await;
    assert_eq!(page.unwrap().status, 303);
    let again = Console::over(&mut open, "POST", "/login", "", "certificate=yes").await;
    assert_eq!(again.unwrap().status, 403);
    // What streams to him ends with its next beat.
    let mut streamed = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(30), live.read_to_end(&mut streamed));
    assert!(ended.await.is_ok(), "{}", streamed.escape_ascii());

    // Under another client CA only a new handshake can say who is there.
    console.world.write("drawbridge.toml", &text);
    assert_eq!(console.world.reload().await.0, 200);
    let mut open = console.shake(Some(&bob)).await.unwrap();
    let page = Console::over(&mut open, "GET", "/exposure", &cookie, "").await;
    assert_eq!(page.unwrap().status, 200);
    console
        .world
        .write("staff.pem", OLD.certificate_pem().unwrap());
    let other = text.replace(
        "trust = \"onprem\" }\nclient_roles",
        "trust = \"staff\" }\nclient_roles",
    );
    assert_ne!(other, text);
    let other = format!("{other}\n[trust.staff]\nca = [\"staff.pem\"]\n");
    console.world.write("drawbridge.toml", other);
    let (status, said) = console.world.reload().await;
    assert_eq!(status, 200, "{said}");
    let page = Console::over(&mut open, "GET", "/exposure", &cookie, "")
        .await
        .unwrap();
    assert_eq!(page.status, 421);
    assert_eq!(page.header("connection"), Some("close"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_replaces_its_certificates_and_clients() {
    let console = Console::start_with(TLS).await;
    let presented = async || serial_of(&console.shake(None).await.unwrap());
    let before = presented().await;
    console.world.rotate(crate::world::NAMES);
    let (status, said) = console.world.reload().await;
    assert_eq!(status, 200, "{said}");
    let after = presented().await;
    assert_ne!(before, after);

    let chain = std::fs::read(console.world.path("front.pem")).unwrap();
    console.world.write("front.pem", "nothing");
    let (status, said) = console.world.reload().await;
    assert_eq!(status, 422, "{said}");
    assert!(said.to_string().contains("\"console\""), "{said}");
    assert_eq!(presented().await, after, "the last good one stays");
    console.world.write("front.pem", chain);

    let text = console.world.setup.text();
    console.world.write(
        "drawbridge.toml",
        text.replace(TLS, &format!("{TLS}\n{CLIENTS}")),
    );
    let (status, said) = console.world.reload().await;
    assert_eq!(status, 200, "{said}");
    let answer = console.over_tls(None, "GET", "/login", "", "").await;
    assert!(answer.is_none(), "it asks for certificates now");
    let alice = client(&CORP, "alice.test");
    let answer = console
        .over_tls(Some(&alice), "GET", "/login", "", "")
        .await;
    assert_eq!(answer.unwrap().status, 200);

    // What needs a restart is refused, and nothing falls back to plain HTTP.
    let plain = text.replace(TLS, "hosts = [\"api.test\"]");
    console.world.write("drawbridge.toml", plain);
    let (status, said) = console.world.reload().await;
    assert_eq!(status, 422, "{said}");
    assert!(said.to_string().contains("need a restart"), "{said}");
    let answer = console
        .over_tls(Some(&alice), "GET", "/login", "", "")
        .await;
    assert_eq!(answer.unwrap().status, 200);
}
