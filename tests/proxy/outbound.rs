//! The front door's own HTTPS client, against real servers behind a private CA: it takes what it should, and says why not.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dev_pki::{Authority, Issued, LeafOptions};
use drawbridge::outbound::{
    Client, Culprit, Destination, DestinationError, Fault, FetchError, Limits, Part, Proxy,
    ProxyCredentials, Request, Response, Settings, Step,
};
use drawbridge::tls::reason::CertificateFault;
use drawbridge::tls::{DialFault, TrustBundle};
use http::StatusCode;
use http::header::{AUTHORIZATION, RETRY_AFTER};
use openssl::ssl::SslVersion;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use support::forward_proxy::ForwardProxy;
use support::pki::{self, CORP, OLD, ServerTls};
use support::ports;
use support::upstream::{Behaviour, Upstream};

fn bundle(ca: &Authority) -> Arc<TrustBundle> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, ca.certificate_pem().unwrap()).unwrap();
    let bundle = TrustBundle::load("idp", &[file], &mut Vec::new());
    Arc::new(bundle.unwrap())
}

fn settings() -> Settings {
    Settings {
        trust: Some(bundle(&CORP)),
        allow_http: false,
        proxy: None,
        dns_servers: Vec::new(),
        limits: Limits::default(),
    }
}

/// With deadlines that a server can miss in a test.
fn hurried() -> Settings {
    let short = Duration::from_millis(300);
    Settings {
        limits: Limits {
            connect: short,
            handshake: short,
            whole: 3 * short,
            ..Limits::default()
        },
        ..settings()
    }
}

fn destination(url: &str, settings: Settings) -> Arc<Destination> {
    Arc::new(Destination::new(url, Arc::new(settings)).unwrap())
}

fn localhost(address: SocketAddr) -> String {
    format!("https://localhost:{}/keys?secret=hidden", address.port())
}

fn client() -> Client {
    Client::new(tokio::runtime::Handle::current())
}

async fn server(issued: Issued, behaviour: Behaviour) -> Upstream {
    Upstream::start(ServerTls::new(issued), behaviour).await
}

async fn good(behaviour: Behaviour) -> Upstream {
    server(pki::leaf(&CORP, "localhost"), behaviour).await
}

async fn raw(answer: &[u8]) -> Upstream {
    good(Behaviour::Raw(answer.to_vec())).await
}

async fn get(server: &Upstream, settings: Settings) -> Result<Response, FetchError> {
    let to = destination(&localhost(server.address), settings);
    client().send(&to, Request::get()).await
}

/// The error, which shows nothing that is secret.
async fn failing(server: &Upstream, settings: Settings) -> FetchError {
    let error = get(server, settings).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("hidden"), "{shown}");
    assert!(shown.contains("https://localhost:"), "{shown}");
    assert!(!error.fault.fix().is_empty());
    assert!(Fault::CODES.contains(&error.fault.code()));
    error
}

async fn untrusted(issued: Issued, expected: CertificateFault, words: &str) {
    let server = server(issued, Behaviour::Echo).await;
    let error = failing(&server, settings()).await;
    let Fault::Certificate(refusal) = &error.fault else {
        panic!("{error}");
    };
    assert_eq!(refusal.fault, expected, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(server.requests(), 0, "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_out_and_its_connection_is_kept() {
    let server = good(Behaviour::Echo).await;
    let to = destination(&localhost(server.address), settings());
    for _ in 0..3 {
        let request = Request::get().accepting("application/json");
        let answer = client().send(&to, request).await.unwrap();
        let echo: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(echo["line"], "GET /keys?secret=hidden HTTP/1.1");
        let fields = echo["headers"].to_string();
        for field in [
            format!("host: localhost:{}", server.address.port()),
            "accept-encoding: identity".to_owned(),
            "accept: application/json".to_owned(),
            format!("user-agent: drawbridge/{}", env!("CARGO_PKG_VERSION")),
        ] {
            assert!(fields.contains(&field), "{field}: {fields}");
        }
    }
    assert_eq!((server.connections(), server.requests()), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_goes_out_with_its_authorization() {
    let server = good(Behaviour::Echo).await;
    let to = destination(&localhost(server.address), settings());
    let request = Request::form([("token", "a b&c"), ("token_type_hint", "access_token")]);
    let request = request.with_field(AUTHORIZATION, "Bearer hidden").unwrap();
    assert!(!format!("{request:?}").contains("hidden"), "{request:?}");
    let answer = client().send(&to, request).await.unwrap();
    let echo: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let body = "token=a+b%26c&token_type_hint=access_token";
    assert_eq!(echo["length"], body.len());
    let digest = support::upstream::hex(&openssl::sha::sha256(body.as_bytes()));
    assert_eq!(echo["sha256"], digest);
    assert!(echo["headers"].to_string().contains("Bearer hidden"));
    assert!(Request::get().with_field(AUTHORIZATION, "a\nb").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_ca() {
    let words = "(issuer \"CN=Old Corp CA\"; trust bundle \"idp\" has \"CN=Corp CA 2026\")";
    let issued = pki::leaf(&OLD, "localhost");
    untrusted(issued, CertificateFault::Untrusted, words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate() {
    let issued = pki::expired(&CORP, "localhost");
    let words = "certificate expired at 20";
    untrusted(issued, CertificateFault::Expired, words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name() {
    let issued = pki::leaf(&CORP, "idp.test");
    let words = "does not name localhost (it names \"idp.test\")";
    untrusted(issued, CertificateFault::NameMismatch, words).await;
    let issued = pki::common_name(&CORP, "localhost");
    let words = "it has no subjectAltName";
    untrusted(issued, CertificateFault::CommonNameOnly, words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intermediate_is_missing() {
    let issued = pki::incomplete(&CORP, "localhost");
    let words = "the intermediate \"CN=Corp Issuing CA\" that signed";
    untrusted(issued, CertificateFault::MissingIntermediate, words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_a_name_of_its_own() {
    let options = LeafOptions {
        addresses: vec![IpAddr::from([127, 0, 0, 1])],
        ..LeafOptions::default()
    };
    let named = server(CORP.leaf(&[], &options).unwrap(), Behaviour::Echo).await;
    let to = destination(&format!("https://{}/", named.address), settings());
    client().send(&to, Request::get()).await.unwrap();
    let unnamed = good(Behaviour::Echo).await;
    let to = destination(&format!("https://{}/", unnamed.address), settings());
    let error = client().send(&to, Request::get()).await.unwrap_err();
    let words = "does not name 127.0.0.1 (it names \"localhost\")";
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(unnamed.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_systems_roots_do_not_have_a_private_ca() {
    let server = good(Behaviour::Echo).await;
    // A system without roots cannot be asked for them.
    let Ok(roots) = TrustBundle::system() else {
        return;
    };
    let trust = Some(Arc::new(roots));
    let settings = Settings {
        trust,
        ..settings()
    };
    let error = failing(&server, settings).await;
    let words = "the system's public roots are ";
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(error.fault.culprit(), Culprit::Configuration);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_speaks_no_tls_or_an_old_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = tcp.read(&mut [0; 4096]).await;
    });
    let to = destination(&localhost(address), settings());
    let error = client().send(&to, Request::get()).await.unwrap_err();
    let fault = error.fault;
    assert!(
        matches!(
            fault,
            Fault::Tls {
                fault: DialFault::NotTls,
                ..
            }
        ),
        "{fault}"
    );
    let old = ServerTls {
        newest: Some(SslVersion::TLS1_1),
        ..ServerTls::new(pki::leaf(&CORP, "localhost"))
    };
    let old = Upstream::start(old, Behaviour::Echo).await;
    let fault = failing(&old, settings()).await.fault;
    assert!(
        matches!(
            fault,
            Fault::Tls {
                fault: DialFault::Version,
                ..
            }
        ),
        "{fault}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let server = raw(b"HTTP/1.1 302 Found\r\nLocation: https://me:hidden@else.test/login?code=hidden#hidden\r\nContent-Length: 0\r\n\r\n").await;
    let error = failing(&server, settings()).await;
    let Fault::Redirect { status: 302, to } = &error.fault else {
        panic!("{error}");
    };
    assert_eq!(to, "https://else.test/login");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_no_success_has_its_answer() {
    let server =
        raw(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 6\r\n\r\nhidden").await;
    let error = failing(&server, settings()).await;
    assert!(error.fault.is_transient());
    let Fault::Status(answer) = &error.fault else {
        panic!("{error}");
    };
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.field(&RETRY_AFTER), Some("7"));
    assert_eq!(&answer.body[..], b"hidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_bounded_with_and_without_a_length() {
    let small = || Settings {
        limits: Limits {
            body_bytes: 10,
            ..Limits::default()
        },
        ..settings()
    };
    for (answer, fits) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"[..], true),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890", false),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", false),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n", true),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n6\r\n567890\r\n0\r\n\r\n", false),
        (b"HTTP/1.1 200 OK\r\n\r\n0123456789", true),
        (b"HTTP/1.1 200 OK\r\n\r\n01234567890", false),
    ] {
        let server = raw(answer).await;
        let shown = answer.escape_ascii();
        match (get(&server, small()).await, fits) {
            (Ok(answer), true) => assert_eq!(answer.body, "0123456789", "{shown}"),
            (Err(error), false) => assert!(
                matches!(error.fault, Fault::TooLarge { part: Part::Body, limit: 10 }),
                "{shown}: {error}"
            ),
            (other, _) => panic!("{shown}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_bounded() {
    let long = "a".repeat(Limits::default().head_bytes);
    let answer = format!("HTTP/1.1 200 OK\r\nX-Long: {long}\r\nContent-Length: 0\r\n\r\n");
    let many = "X: y\r\n".repeat(101);
    let many = format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n");
    for answer in [answer, many] {
        let server = raw(answer.as_bytes()).await;
        let fault = failing(&server, settings()).await.fault;
        assert!(
            matches!(
                fault,
                Fault::TooLarge {
                    part: Part::Head,
                    ..
                }
            ),
            "{fault}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_slow_is_given_up_at_each_step() {
    let at = async |server: &Upstream, expected: Step| {
        let fault = failing(server, hurried()).await.fault;
        let Fault::Timeout { step, .. } = fault else {
            panic!("{fault}");
        };
        assert_eq!(step, expected);
        assert!(fault.is_transient());
    };
    at(&good(Behaviour::Silent).await, Step::Head).await;
    at(&good(Behaviour::Begins(b"HTTP/1.1 200")).await, Step::Head).await;
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0";
    at(&good(Behaviour::Begins(half)).await, Step::Body).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = destination(&localhost(listener.local_addr().unwrap()), hurried());
    let fault = client().send(&to, Request::get()).await.unwrap_err().fault;
    assert!(
        matches!(
            fault,
            Fault::Timeout {
                step: Step::Handshake,
                ..
            }
        ),
        "{fault}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_closes_early() {
    for server in [
        good(Behaviour::CloseMidBody).await,
        raw(b"").await,
        raw(b"HTTP/1.1 200 OK\r\nContent-").await,
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n").await,
    ] {
        let fault = failing(&server, settings()).await.fault;
        assert!(matches!(fault, Fault::Closed(_)), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_as_agreed() {
    for answer in [
        &b"SSH-2.0-OpenSSH_9.6\r\n\r\n"[..],
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\n0",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ] {
        let fault = failing(&raw(answer).await, settings()).await.fault;
        let shown = answer.escape_ascii();
        assert!(matches!(fault, Fault::Malformed(_)), "{shown}: {fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_that_was_closed_costs_a_get_nothing() {
    let server = good(Behaviour::Once(b"")).await;
    let to = destination(&localhost(server.address), settings());
    client().send(&to, Request::get()).await.unwrap();
    client().send(&to, Request::get()).await.unwrap();
    assert_eq!((server.connections(), server.requests()), (2, 3));
    // It may have been done: only whoever sent it knows whether it may be sent again.
    let fault = client()
        .send(&to, Request::form([]))
        .await
        .unwrap_err()
        .fault;
    assert!(matches!(fault, Fault::Closed(_)), "{fault}");
    assert_eq!((server.connections(), server.requests()), (2, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_only_where_somebody_wrote_so() {
    let refused = Destination::new("http://localhost/", Arc::new(settings()));
    assert!(matches!(refused, Err(DestinationError::PlainHttp)));
    let untrusting = Settings {
        trust: None,
        allow_http: true,
        ..settings()
    };
    let refused = Destination::new("https://localhost/", Arc::new(untrusting.clone()));
    assert!(matches!(refused, Err(DestinationError::NoTrust)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let _ = tcp.read(&mut [0; 4096]).await;
        let _ = tcp
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
    });
    let to = destination(&url, untrusting);
    let answer = client().send(&to, Request::get()).await.unwrap();
    assert_eq!(answer.body, "ok");
    // What an answer names is bound to the same settings.
    assert!(to.other("https://localhost/").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens_or_the_name_is_unknown() {
    let address = ports::free();
    let to = destination(&localhost(address), settings());
    let fault = client().send(&to, Request::get()).await.unwrap_err().fault;
    assert!(matches!(fault, Fault::Connect { .. }), "{fault}");
    let nameless = Settings {
        dns_servers: vec![address],
        ..settings()
    };
    let to = destination("https://idp.invalid/", nameless);
    let error = client().send(&to, Request::get()).await.unwrap_err();
    assert!(matches!(error.fault, Fault::Dns { .. }), "{error}");
    let words = "the name idp.invalid of the server does not resolve";
    assert!(error.to_string().contains(words), "{error}");
}

fn through(proxy: &ForwardProxy, credentials: Option<&str>) -> Settings {
    let credentials = credentials.map(|text| ProxyCredentials::parse(text).unwrap());
    Settings {
        proxy: Some(Proxy::new(&proxy.url(), credentials).unwrap()),
        ..settings()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_tunnels_and_sees_nothing() {
    let server = good(Behaviour::Echo).await;
    let proxy = ForwardProxy::start(Some("Basic bWU6aGlkZGVu")).await;
    get(&server, through(&proxy, Some("me:hidden")))
        .await
        .unwrap();
    let target = format!("localhost:{}", server.address.port());
    let head = format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic bWU6aGlkZGVu\r\n\r\n"
    );
    assert_eq!(proxy.heads(), [head]);
    // The server must prove itself through a tunnel as well.
    let foreign = self::server(pki::leaf(&OLD, "localhost"), Behaviour::Echo).await;
    let fault = failing(&foreign, through(&proxy, Some("me:hidden")))
        .await
        .fault;
    assert!(matches!(fault, Fault::Certificate(_)), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_let_us_through() {
    let server = good(Behaviour::Echo).await;
    let proxy = ForwardProxy::start(Some("Basic bWU6aGlkZGVu")).await;
    for credentials in [None, Some("me:wrong")] {
        let error = failing(&server, through(&proxy, credentials)).await;
        assert!(matches!(error.fault, Fault::Proxy(_)), "{error}");
        assert!(error.to_string().contains("(407)"), "{error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
        assert_eq!(error.fault.culprit(), Culprit::Proxy);
    }
    assert_eq!(server.connections(), 0);
    let proxy = ForwardProxy::start(None).await;
    let to = destination("https://localhost:1/", through(&proxy, None));
    let error = client().send(&to, Request::get()).await.unwrap_err();
    let words = "the proxy: it answered CONNECT with 502";
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_a_proxy_gets_the_whole_url() {
    let proxy = ForwardProxy::start(Some("Basic bWU6aGlkZGVu")).await;
    let settings = Settings {
        allow_http: true,
        ..through(&proxy, Some("me:hidden"))
    };
    let to = destination("http://collector.test:4318/v1/logs", settings);
    let answer = client().send(&to, Request::get()).await.unwrap();
    assert_eq!(answer.body, "proxy");
    let head = &proxy.heads()[0];
    let line = "GET http://collector.test:4318/v1/logs HTTP/1.1\r\n";
    assert!(head.starts_with(line), "{head}");
}
