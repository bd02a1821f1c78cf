//! Many servers behind one upstream: who gets a request, who is well, and what when nobody is.

mod caps;
mod health;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use drawbridge::config;
use drawbridge::upstream::{Availability, Cause, Failure, Pool, Pools};
use seclang::diagnostic::{Diagnostic, Severity};
use tokio::net::TcpListener;

use crate::front::{Front, RULES, Setup, capture_logs, logged, wait};
use support::client::{Answer, get, raw};
use support::pki::{self, CORP, ServerTls};
use support::upstream::{Behaviour, Steering, Upstream};

/// A server that does as it is told, and how to tell it.
async fn steered() -> (Upstream, Arc<Steering>) {
    let steering = Steering::new();
    let tls = ServerTls::new(pki::leaf(&CORP, "orders.corp.test"));
    let server = Upstream::start(tls, Behaviour::Steered(Arc::clone(&steering))).await;
    (server, steering)
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// The route `/u/` to an upstream `u` of these keys.
fn upstream_u(keys: &str) -> String {
    format!(
        r#"[[routes]]
name = "u"
hosts = ["api.test"]
paths = ["/u/"]
listeners = ["public"]
upstream = "u"
policy = "default"
[upstreams.u]
tls = {{ server_name = "orders.corp.test", trust = "onprem" }}
{keys}
"#
    )
}

/// A configuration with the route `/u/` to an upstream `u` of these keys.
fn setup(keys: &str) -> Setup {
    Setup {
        more: upstream_u(keys),
        ..Setup::servers(&["127.0.0.1:1".parse().unwrap()])
    }
}

async fn front(keys: &str) -> Front {
    Front::start(&setup(keys)).await
}

/// A folder with the configuration of an upstream, which is loaded and not run.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(setup("").write(RULES))
    }

    fn load(&self, keys: &str) -> Result<config::Loaded, Vec<Diagnostic>> {
        let file = self.0.join("drawbridge.toml");
        std::fs::write(&file, setup(keys).text()).unwrap();
        config::load(&file)
    }

    fn pools(&self, keys: &str) -> Pools {
        self.pools_after(keys, &Pools::default())
    }

    fn pools_after(&self, keys: &str, running: &Pools) -> Pools {
        // A runner that gives each test a process of its own starts with no log.
        capture_logs();
        let loaded = self.load(keys).unwrap_or_else(|found| panic!("{found:#?}"));
        Pools::new(&loaded.config.upstreams, running)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn pools(keys: &str) -> Pools {
    Folder::new().pools(keys)
}

async fn until(pool: &Pool, index: usize, wanted: Availability) {
    let is = || (pool.servers()[index].availability() == wanted).then_some(());
    let found = wait(is).await;
    assert!(found.is_some(), "{:?}", pool.servers()[index]);
}

fn refused() -> Failure {
    Failure::new(Cause::Refused, "connection refused")
}

async fn line(front: &Front, answer: &Answer) -> serde_json::Value {
    front.line_of(answer.header("x-request-id").unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_are_kept_over_a_hundred_requests() {
    let ((one, a), (two, b)) = (steered().await, steered().await);
    let keys = format!(
        "servers = [\"{}\", {{ address = \"{}\", weight = 3 }}]",
        one.address, two.address
    );
    let front = front(&keys).await;
    for _ in 0..100 {
        assert_eq!(get(front.address, "/u/").await.status, 200);
    }
    assert_eq!((a.asked(), b.asked()), (25, 75));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slow_server_gets_no_more_while_the_other_is_idle() {
    let ((one, a), (two, b)) = (steered().await, steered().await);
    let keys = format!(
        "servers = [\"{}\", \"{}\"]\nbalance = \"least_connections\"",
        one.address, two.address
    );
    let front = front(&keys).await;
    let held = a.hold.write().await;
    let slow = tokio::spawn(get_owned(front.address));
    wait(|| (a.asked() == 1).then_some(())).await.unwrap();
    for _ in 0..10 {
        assert_eq!(get(front.address, "/u/").await.status, 200);
    }
    assert_eq!((a.asked(), b.asked()), (1, 10));
    drop(held);
    assert_eq!(slow.await.unwrap().status, 200);
}

async fn get_owned(address: SocketAddr) -> Answer {
    get(address, "/u/").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_requests_is_left_alone() {
    let closed = nobody().await;
    let (good, steering) = steered().await;
    let keys = format!(
        "servers = [\"{closed}\", \"{}\"]\nattempts = 1\neject = {{ failures = 2, for = \"1h\" }}",
        good.address
    );
    let front = front(&keys).await;
    let mut statuses = Vec::new();
    for _ in 0..24 {
        statuses.push(get(front.address, "/u/").await.status);
    }
    assert_eq!(
        statuses.iter().filter(|s| **s == 502).count(),
        2,
        "{statuses:?}"
    );
    assert_eq!(steering.asked(), 22);
    logged(&format!(
        "upstream u {closed} is taken out for 3600 s: 2 requests in a row failed, the last: connection refused"
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ejected_come_back_on_probation_and_the_last_stays() {
    let keys = "servers = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n\
        eject = { failures = 3, for = \"100ms\", server_errors = true }";
    let pools = pools(keys);
    let pool = pools.get("u").unwrap();
    let servers = pool.servers();
    for _ in 0..2 {
        pool.failed(&servers[0], &refused());
    }
    pool.answered(&servers[0], 404);
    for _ in 0..2 {
        pool.failed(&servers[0], &refused());
    }
    assert_eq!(pool.metrics.ejections.value(), 0, "an answer between them");
    pool.answered(&servers[0], 500);
    assert_eq!(pool.metrics.ejections.value(), 1);
    until(pool, 0, Availability::Usable).await;
    // Once it was out, one failure is enough.
    pool.failed(&servers[0], &refused());
    assert_eq!(pool.metrics.ejections.value(), 2);
    until(pool, 0, Availability::Usable).await;
    pool.answered(&servers[0], 200);
    logged("upstream u 127.0.0.1:1 answers again").await;
    pool.failed(&servers[0], &refused());
    assert_eq!(pool.metrics.ejections.value(), 2);

    let lone = self::pools("servers = [\"127.0.0.1:3\"]\neject = { failures = 1 }");
    let pool = lone.get("u").unwrap();
    for _ in 0..5 {
        pool.failed(&pool.servers()[0], &refused());
    }
    assert_eq!(pool.servers()[0].availability(), Availability::Usable);
    assert_eq!(pool.metrics.ejections.value(), 0);
    assert!(pool.choose(&[], None).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_keeps_a_client_with_its_server() {
    let ((one, a), (two, b)) = (steered().await, steered().await);
    let keys = format!(
        "servers = [\"{}\", \"{}\"]\naffinity = {{ cookie = \"route\" }}",
        one.address, two.address
    );
    let front = front(&keys).await;
    let answer = get(front.address, "/u/").await;
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; HttpOnly; Secure; SameSite=Lax");
    assert!(
        pair.starts_with("route=") && !pair.contains("127"),
        "{pair}"
    );
    for _ in 0..10 {
        let request = format!("GET /u/ HTTP/1.1\r\nHost: api.test\r\nCookie: a=b; {pair}\r\n\r\n");
        let answer = raw(front.address, request.as_bytes()).await.unwrap();
        assert_eq!((answer.status, answer.header("set-cookie")), (200, None));
    }
    assert_eq!((a.asked(), b.asked()), (11, 0));
    let unknown = "0".repeat(32);
    for _ in 0..4 {
        let request =
            format!("GET /u/ HTTP/1.1\r\nHost: api.test\r\nCookie: route={unknown}\r\n\r\n");
        let answer = raw(front.address, request.as_bytes()).await.unwrap();
        assert!(answer.header("set-cookie").is_some(), "{answer:?}");
    }
    assert!(b.asked() >= 2, "an unknown id is no id: {}", b.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_kept_with_a_server_that_is_out() {
    let keys = "servers = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n\
        affinity = { cookie = \"route\" }\neject = { failures = 1, for = \"1h\" }";
    let pools = pools(keys);
    let pool = pools.get("u").unwrap();
    let servers = pool.servers();
    let pinned = servers[0].token.as_deref();
    for _ in 0..3 {
        let lease = pool.choose(&[], pinned).unwrap();
        assert_eq!(lease.server().name, "127.0.0.1:1");
    }
    pool.failed(&servers[0], &refused());
    let lease = pool.choose(&[], pinned).unwrap();
    assert_eq!(lease.server().name, "127.0.0.1:2");
    assert!(pool.set_cookie(lease.server(), pinned).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_all_of_its_addresses() {
    let (server, _) = steered().await;
    let port = server.address.port();
    let front = front(&format!(
        "servers = [\"localhost:{port}\"]\ndns_refresh = \"100ms\""
    ))
    .await;
    // Where localhost has an IPv6 address too, nobody listens there, and the next is tried.
    for _ in 0..5 {
        assert_eq!(get(front.address, "/u/").await.status, 200);
    }
    let line = front.line(|line| line["route"] == "u").await;
    let expected = format!("localhost:{port} (127.0.0.1)");
    assert_eq!(line["upstream"]["server"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_keeps_what_is_known_of_an_address() {
    let pools = pools(
        "servers = [\"localhost:1\", \"127.0.0.1:2\"]\neject = { failures = 1, for = \"1h\" }",
    );
    let pool = pools.get("u").unwrap();
    assert_eq!(pool.servers().len(), 1, "not resolved yet");
    pool.resolve().await;
    let before = pool.servers();
    assert!(before.len() >= 2);
    pool.failed(&before[0], &refused());
    pool.resolve().await;
    assert!(Arc::ptr_eq(&before[0], &pool.servers()[0]));
    assert_eq!(pool.servers()[0].availability(), Availability::Ejected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_without_an_address_is_said() {
    let front = front("servers = [\"gateway.invalid:443\"]").await;
    let answer = get(front.address, "/u/").await;
    assert_eq!(answer.status, 502);
    let line = line(&front, &answer).await;
    assert_eq!(line["error"], "dns", "{line}");
    logged("upstream u: the name gateway.invalid does not resolve").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_not_sent_goes_to_another_server() {
    let (good, steering) = steered().await;
    let tls = ServerTls::new(pki::leaf(&CORP, "orders.corp.test"));
    // Takes the request and closes.
    let bad = Upstream::start(tls, Behaviour::Raw(Vec::new())).await;
    let keys = format!(
        "servers = [{{ address = \"{}\", weight = 2 }}, \"{}\"]\nattempts = 2",
        bad.address, good.address
    );
    let front = front(&keys).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(get(front.address, "/u/").await.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502, 502]);
    assert_eq!((bad.requests(), steering.asked()), (2, 1));
    let post = b"POST /u/ HTTP/1.1\r\nHost: api.test\r\nContent-Length: 2\r\n\r\nhi";
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(raw(front.address, post).await.unwrap().status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502, 502]);
    assert_eq!((bad.requests(), steering.asked()), (4, 2));

    // Nothing was sent, so a POST may go to the next.
    let keys = format!("servers = [\"{}\", \"{}\"]", nobody().await, good.address);
    let front = self::front(&keys).await;
    for _ in 0..4 {
        assert_eq!(raw(front.address, post).await.unwrap().status, 200);
    }
    let once = format!(
        "servers = [\"{}\", \"{}\"]\nattempts = 1",
        nobody().await,
        good.address
    );
    let front = self::front(&once).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(get(front.address, "/u/").await.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 502, 502]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_outlives_a_reload() {
    let folder = Folder::new();
    let keys =
        "servers = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\neject = { failures = 1, for = \"1h\" }";
    let old = folder.pools(keys);
    old.start();
    let known = old.get("u").unwrap();
    known.failed(&known.servers()[0], &refused());
    let same = folder.pools_after(keys, &old);
    assert!(Arc::ptr_eq(known, same.get("u").unwrap()));
    assert_eq!(
        same.get("u").unwrap().servers()[0].availability(),
        Availability::Ejected
    );

    let other = folder.pools_after(&keys.replace("1h", "2h"), &old);
    let changed = other.get("u").unwrap();
    assert_eq!(changed.servers()[0].availability(), Availability::Usable);
    assert_eq!(
        changed.metrics.ejections.value(),
        1,
        "counters never go back"
    );

    // The same words, another CA behind them.
    std::fs::copy(folder.0.join("old-ca.pem"), folder.0.join("corp-ca.pem")).unwrap();
    let rotated = folder.pools_after(keys, &old);
    assert!(!Arc::ptr_eq(known, rotated.get("u").unwrap()));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let folder = Folder::new();
    std::fs::write(folder.0.join("short.key"), "secret\n").unwrap();
    for (keys, expected) in [
        (
            "servers = [\"a:1\", { address = \"b:1\", weight = 0 }, { adress = \"c:1\" }]",
            &[
                "1:47: \"weight\" must be 1 to 1000",
                "1:52: a server has no \"address\"",
                "1:54: unknown key \"adress\" in a server",
            ][..],
        ),
        (
            "servers = [\"a:1\"]\nbalance = \"random\"",
            &["2:11: \"balance\" must be \"round_robin\" or \"least_connections\""],
        ),
        (
            "servers = [\"a:1\"]\nhealth = { path = \"healthz\", status = [200, 99], interval = \"1s\", timeout = \"2s\" }",
            &[
                "2:19: \"healthz\" is no path: it begins with a slash and has no spaces",
                "2:45: an entry of \"status\" must be 200 to 599",
                "2:77: \"timeout\" must not be longer than \"interval\": a check would begin before the last has ended",
            ],
        ),
        (
            "servers = [\"a:1\"]\neject = { failures = 0, for = 30, server_errors = \"yes\" }",
            &[
                "2:22: \"failures\" must be 1 to 1000",
                "2:31: \"for\" must be a string with a unit, like \"10s\" or \"500ms\"",
                "2:51: \"server_errors\" must be true or false, not a string",
            ],
        ),
        (
            "servers = [\"a:1\"]\nmax_pending = 5\naffinity = { cookie = \"a b\", key_file = \"short.key\" }",
            &[
                "2:15: \"max_pending\" needs \"max_connections\" beside it",
                "3:23: \"a b\" is no cookie name: letters, digits, \"-\" and \"_\", 64 at most",
                "3:41: FOLDER/short.key holds 6 bytes; a key has at least 16; create one with: openssl rand -hex 32",
            ],
        ),
        (
            "servers = [\"a:1\"]\nmax_connections = 5\npending_timeout = \"1s\"",
            &["3:19: \"pending_timeout\" needs \"max_pending\" beside it"],
        ),
    ] {
        let found = folder.load(keys).unwrap_err();
        // Lines are counted from the first one of the keys.
        let text = setup(keys).text();
        let before = text.split_once(keys).unwrap().0.matches('\n').count();
        let errors = found.iter().filter(|d| d.severity == Severity::Error);
        let told = errors.map(|diagnostic| {
            let text = diagnostic
                .to_string()
                .replace(folder.0.to_str().unwrap(), "FOLDER");
            let text = text
                .strip_prefix("FOLDER/drawbridge.toml:")
                .unwrap_or(&text);
            let text = text.replacen(" error:", "", 1);
            let (line, rest) = text.split_once(':').unwrap();
            let line: usize = line.parse().unwrap();
            format!("{}:{rest}", line - before)
        });
        let told: Vec<String> = told.collect();
        assert_eq!(told, expected, "{keys}");
    }
}
