//! The web console: who gets in, who may do what, and that what clients sent is shown as text.

use std::fs;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::exclusions::{ATTACKS, NOTE, prepare};
use crate::front::wait;
use crate::world::{World, until};
use support::client;
use support::ports;
use support::upstream::Behaviour;

pub(crate) struct Console {
    pub(crate) world: World,
    pub(crate) address: SocketAddr,
}

/// An answer of the console.
pub(crate) struct Page {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) raw: String,
    pub(crate) body: String,
}

/// A session of this role, as the value of the Cookie field.
pub(crate) type Cookie = String;

impl Console {
    pub(crate) async fn start(files: &str) -> Self {
        Self::start_with(&format!("files = \"{files}\"")).await
    }

    /// `keys`: further keys of `[console]`, and tables after it.
    pub(crate) async fn start_with(keys: &str) -> Self {
        let address = ports::free();
        let more = format!(
            "[events]\nsample = 1.0\npayload = \"plain\"\n\
             [console]\nbind = \"{address}\"\n{keys}\n\
             [exposures.public]\nroutes = [\"orders\"]\nlisteners = [\"public\"]\nowner = \"ingress\""
        );
        let mut world = World::start_in(Behaviour::Echo, "state_dir = \"state\"", &more).await;
        prepare(&mut world).await;
        let console = Self { world, address };
        until("the console answers", async || {
            TcpStream::connect(address).await.is_ok()
        })
        .await;
        console
    }

    /// `fields`: of the head, each with its line end.
    pub(crate) async fn send(&self, method: &str, path: &str, fields: &str, body: &str) -> Page {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Page {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_ascii_lowercase(),
            raw: head.to_owned(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn fields(&self, cookie: &str) -> String {
        let address = self.address;
        format!("Host: {address}\r\nOrigin: http://{address}\r\nCookie: {cookie}\r\n")
    }

    pub(crate) async fn get(&self, path: &str, cookie: &str) -> Page {
        self.send("GET", path, &self.fields(cookie), "").await
    }

    pub(crate) async fn post(&self, path: &str, cookie: &str, body: &str) -> Page {
        self.send("POST", path, &self.fields(cookie), body).await
    }

    async fn link(&self, role: &str) -> String {
        let url = self.url(role).await;
        let prefix = format!("http://{}", self.address);
        url.strip_prefix(&prefix).unwrap().to_owned()
    }

    /// A whole link.
    pub(crate) async fn url(&self, role: &str) -> String {
        let body = format!("{{\"role\":\"{role}\"}}");
        let answer = self.world.ask_with("POST", "/console/login", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        answer["url"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn log_in(&self, role: &str) -> Cookie {
        let link = self.link(role).await;
        let code = link.split_once('=').unwrap().1;
        let page = self.post("/login", "", &format!("code={code}")).await;
        assert_eq!(page.status, 303, "{}", page.head);
        page.cookie()
    }

    /// The id of the newest kept request with this target.
    pub(crate) async fn event(&self, target: &str) -> String {
        let state = self.world.path("state");
        let found = wait(|| {
            let found = drawbridge::events::find(&state, 0, |event| event.path == target).unwrap();
            found
                .events
                .last()
                .map(|place| place.summary.request_id.clone())
        });
        found.await.expect("the event")
    }
}

impl Page {
    pub(crate) fn cookie(&self) -> Cookie {
        let field = self.head.split("set-cookie: ").nth(1).expect("a cookie");
        field.split(';').next().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_logs_in_once_and_its_session_ends_with_logout() {
    let console = Console::start("read-only").await;
    let home = console.get("/", "").await;
    assert_eq!(home.status, 303);
    assert!(home.head.contains("location: /login"), "{}", home.head);

    let link = console.link("viewer").await;
    // Programs look at links before people do, and use nothing up.
    for _ in 0..2 {
        let form = console.get(&link, "").await;
        assert!(form.body.contains("logs you in once"), "{}", form.body);
    }
    let code = format!("code={}", link.split_once('=').unwrap().1);
    let entered = console.post("/login", "", &code).await;
    for attribute in ["httponly", "samesite=strict", "path=/"] {
        assert!(entered.head.contains(attribute), "{}", entered.head);
    }
    assert_eq!(console.post("/login", "", &code).await.status, 403);
    let cookie = entered.cookie();
    assert!(!cookie.contains(&code["code=".len()..]));
    assert_eq!(console.get("/", &cookie).await.status, 200);
    for wrong in ["drawbridge_console=", "drawbridge_console=00", &code] {
        assert_eq!(console.get("/", wrong).await.status, 303, "{wrong}");
    }
    assert_eq!(console.post("/logout", &cookie, "").await.status, 303);
    assert_eq!(console.get("/", &cookie).await.status, 303);
    let answer = console
        .world
        .ask_with("POST", "/console/login", "{\"role\":\"root\"}")
        .await;
    assert_eq!(answer.status, 400, "{}", answer.text());
}

const ROLES: [&str; 4] = ["ingress", "security", "certificates", "viewer"];

#[tokio::test(flavor = "multi_thread")]
async fn every_role_gets_the_pages_and_only_its_own_actions() {
    let console = Console::start("read-only").await;
    console.world.status_of(NOTE).await;
    let event = console.event(NOTE).await;
    let pages = [
        "/",
        "/?span=7d",
        "/live",
        "/events",
        "/events?rule=1&since=2h",
        "/rules",
        "/rules?by=cpu",
        "/rules/lint?policy=default",
        "/exposure",
        "/certificates",
        "/upstreams",
        "/configuration",
        &format!("/events/{event}"),
    ];
    let propose = format!("/events/{event}/exclusions");
    let write = format!("/events/{event}/exclusions/write");
    let purpose = "owner=a&reason=b&until=2999-01-01";
    // Path, form, and what each role gets.
    let actions = [
        ("/exposure/public/on", "reason=x", [303, 403, 403, 403]),
        ("/exposure/nothing/on", "reason=x", [404, 403, 403, 403]),
        (
            "/exposure/public/sideways",
            "reason=x",
            [404, 403, 403, 403],
        ),
        (propose.as_str(), purpose, [403, 200, 403, 403]),
        // The configuration says read-only.
        (write.as_str(), purpose, [403, 403, 403, 403]),
        ("/reload", "", [200, 200, 200, 403]),
    ];
    for (at, role) in ROLES.into_iter().enumerate() {
        let cookie = console.log_in(role).await;
        for path in pages {
            let page = console.get(path, &cookie).await;
            assert_eq!(page.status, 200, "{role} {path}: {}", page.body);
            assert!(
                page.head.contains("default-src 'none'"),
                "{path}: {}",
                page.head
            );
            assert!(
                page.body.len() < 100_000 && !page.body.contains(" style="),
                "{path}"
            );
            assert_eq!(
                console.get(path, "").await.status,
                303,
                "{path} without a login"
            );
        }
        for (path, form, expected) in actions {
            let page = console.post(path, &cookie, form).await;
            assert_eq!(page.status, expected[at], "{role} {path}: {}", page.body);
            // A GET changes nothing and is no way around.
            assert_ne!(
                console.get(path, &cookie).await.status,
                303,
                "{role} GET {path}"
            );
            assert_eq!(
                console.post(path, "", form).await.status,
                303,
                "{path} without a login"
            );
        }
        assert_eq!(console.get("/nothing", &cookie).await.status, 404);
        assert_eq!(
            console
                .get(&format!("/events/{event}x"), &cookie)
                .await
                .status,
            404
        );
        let method = console
            .send("DELETE", "/", &console.fields(&cookie), "")
            .await;
        assert_eq!(method.status, 405);
    }
    let exclusions = fs::read_to_string(console.world.path("exclusions.conf"));
    assert!(
        exclusions.unwrap_or_default().is_empty(),
        "nothing was written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_names_a_command_that_there_is() {
    let console = Console::start("read-only").await;
    let cookie = console.log_in("viewer").await;
    let mut named = 0;
    for path in [
        "/",
        "/live",
        "/events",
        "/rules",
        "/rules/lint?policy=default",
        "/exposure",
        "/certificates",
        "/upstreams",
        "/configuration",
    ] {
        let page = console.get(path, &cookie).await;
        let Some((_, footer)) = page.body.split_once("<footer>") else {
            continue;
        };
        let command = footer.split("<code>drawbridge ").nth(1).unwrap();
        let command = command.split('<').next().unwrap();
        let (code, said) = crate::exclusions::run(&console.world, command, &["--help"]).await;
        // A verb that does not exist is wrong usage.
        assert_eq!(code, 0, "{path}: {command}: {said}");
        named += 1;
    }
    assert_eq!(named, 8, "all but Live");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_site_changes_anything() {
    let console = Console::start("write").await;
    let cookie = console.log_in("ingress").await;
    let host = format!("Host: {}\r\nCookie: {cookie}\r\n", console.address);
    let own = format!("Origin: http://{}\r\n", console.address);
    for (fields, status) in [
        (host.clone(), 403),
        (format!("{host}Origin: null\r\n"), 403),
        (format!("{host}Origin: http://evil.example\r\n"), 403),
        (format!("{host}{own}Sec-Fetch-Site: cross-site\r\n"), 403),
        (format!("{host}{own}Sec-Fetch-Site: same-site\r\n"), 403),
        (
            format!("Host: evil.example\r\nCookie: {cookie}\r\nOrigin: http://evil.example\r\n"),
            421,
        ),
        (format!("{host}{host}{own}"), 400),
        (format!("{host}{own}Sec-Fetch-Site: same-origin\r\n"), 303),
    ] {
        let page = console
            .send("POST", "/exposure/public/off", &fields, "reason=x")
            .await;
        assert_eq!(page.status, status, "{fields}: {}", page.body);
        let is_off = console.world.status_of("/orders/1").await == 503;
        assert_eq!(is_off, status == 303, "{fields}");
    }
    // The same session can be read from elsewhere no more than changed.
    let rebound = format!("Host: evil.example:1\r\nCookie: {cookie}\r\n");
    assert_eq!(
        console.send("GET", "/events", &rebound, "").await.status,
        421
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_is_shown_before_it_is_made_and_audited() {
    let console = Console::start("read-only").await;
    let cookie = console.log_in("ingress").await;
    let asked = console.get("/exposure/public/off", &cookie).await;
    assert!(
        asked.body.contains("drawbridge expose off public"),
        "{}",
        asked.body
    );
    assert_eq!(console.world.status_of("/orders/1").await, 200);
    let form = "reason=an+incident&for=2h";
    assert_eq!(
        console
            .post("/exposure/public/off", &cookie, form)
            .await
            .status,
        303
    );
    assert_eq!(console.world.status_of("/orders/1").await, 503);
    let home = console.get("/", &cookie).await;
    assert!(
        home.body.contains("public is off until then"),
        "{}",
        home.body
    );
    let page = console.get("/exposure", &cookie).await;
    for shown in ["an incident", "console:ingress by unix:uid=", "Switch on"] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    let wrong = console
        .post("/exposure/public/on", &cookie, "reason=x&for=soon")
        .await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.body.contains("is not a duration"), "{}", wrong.body);
    until("the audit of the console has it", async || {
        let audit = fs::read_to_string(console.world.path("state/console-audit.jsonl"));
        let audit = audit.unwrap_or_default();
        audit.contains("switch exposure public off") && audit.contains("is not a duration")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_positive_becomes_a_proven_exclusion_and_passes() {
    let console = Console::start("write").await;
    assert_eq!(console.world.status_of(NOTE).await, 403);
    let event = console.event(NOTE).await;
    let cookie = console.log_in("security").await;
    let page = console.get(&format!("/events/{event}"), &cookie).await;
    for shown in ["ARGS:note", "<mark>", "Search an exclusion"] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    let purpose = "owner=notes+team&reason=prose&until=2999-01-01";
    let proposed = console
        .post(&format!("/events/{event}/exclusions"), &cookie, purpose)
        .await;
    for shown in [
        "one argument",
        "ctl:ruleRemoveTargetById",
        "Write it and reload",
        "of 9 pass",
    ] {
        if shown != "of 9 pass" {
            assert!(proposed.body.contains(shown), "{shown}: {}", proposed.body);
        }
    }
    assert_eq!(
        console.world.status_of(NOTE).await,
        403,
        "nothing is written yet"
    );
    until("the audit has the search", async || {
        let audit = fs::read_to_string(console.world.path("state/console-audit.jsonl"));
        let audit = audit.unwrap_or_default();
        audit.contains("search exclusions for request") && audit.contains("a proposal holds")
    })
    .await;
    let written = format!("/events/{event}/exclusions/write");
    let written = console
        .post(&written, &cookie, &format!("{purpose}&pick=1"))
        .await;
    assert!(written.body.contains("it was applied"), "{}", written.body);
    assert_eq!(console.world.status_of(NOTE).await, 200);
    for attack in ATTACKS {
        assert_eq!(console.world.status_of(attack).await, 403, "{attack}");
    }
    let rules = console.get("/rules", &cookie).await;
    assert!(rules.body.contains("notes team"), "{}", rules.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_sent_is_shown_as_text() {
    let console = Console::start("read-only").await;
    let evil = "<script>alert(1)</script>";
    let mut stream = client::connect(console.world.front.address, Some("api.test"), b"")
        .await
        .unwrap();
    let body = format!("{{\"note\":\"{evil}\\u001b\"}}");
    let target = "/orders/%3Cscript%3E?q=<img/src=x>&r=%1b%0d";
    let request = format!(
        "POST {target} HTTP/1.1\r\nHost: api.test\r\nUser-Agent: {evil}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(
        answer.starts_with(b"HTTP/1.1 403"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let event = console.event(target).await;
    let cookie = console.log_in("viewer").await;
    let filters = format!("/events?route={}&client=%3Cb%3E", "%3Cscript%3E");
    for path in [
        "/events",
        &format!("/events/{event}"),
        &filters,
        "/live?route=%3Cscript%3E",
    ] {
        let page = console.get(path, &cookie).await;
        // The page's own script has a source.
        let foreign = page.body.contains("<script>") || page.body.contains("<img");
        assert!(
            !foreign && !page.body.contains('\u{1b}'),
            "{path}: {}",
            page.body
        );
    }
    let page = console.get(&format!("/events/{event}"), &cookie).await;
    assert!(
        page.body.contains("&#60;script&#62;alert(1)")
            || page.body.contains("&lt;script&gt;alert(1)"),
        "{}",
        page.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_stream_as_they_come() {
    let console = Console::start("read-only").await;
    let cookie = console.log_in("viewer").await;
    let mut stream = BufReader::new(TcpStream::connect(console.address).await.unwrap());
    let head = format!(
        "GET /live/stream HTTP/1.1\r\n{}\r\n",
        console.fields(&cookie)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut line = String::new();
    while !line.starts_with(": alive") {
        line.clear();
        assert_ne!(stream.read_line(&mut line).await.unwrap(), 0);
    }
    console.world.status_of("/orders/1?live=yes").await;
    while !line.starts_with("data: ") {
        line.clear();
        assert_ne!(stream.read_line(&mut line).await.unwrap(), 0);
    }
    let row: Value = serde_json::from_str(&line["data: ".len()..]).unwrap();
    assert_eq!(row["request"], "GET /orders/1?live=yes");
    assert_eq!(row["verdict"], "pass");
    // Streams are few, and the ninth is refused rather than the listeners slowed down.
    let mut more = Vec::new();
    let mut refused = false;
    for _ in 0..9 {
        let mut stream = BufReader::new(TcpStream::connect(console.address).await.unwrap());
        stream.write_all(head.as_bytes()).await.unwrap();
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        refused |= line.contains("503");
        more.push(stream);
    }
    assert!(refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_serves_many_requests() {
    let console = Console::start("read-only").await;
    let mut stream = BufReader::new(TcpStream::connect(console.address).await.unwrap());
    for _ in 0..3 {
        let head = format!(
            "GET /assets/style.css HTTP/1.1\r\nHost: {}\r\n\r\n",
            console.address
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        assert!(body.starts_with(b":root"));
    }
    // A stranger's body is bounded before it is held.
    let long = "a".repeat(70_000);
    let page = console.post("/login", "", &format!("code={long}")).await;
    assert_eq!(page.status, 413);
    let (_, out) =
        crate::exclusions::run(&console.world, "console login --role security", &[]).await;
    assert!(out.starts_with("http://127.0.0.1:"), "{out}");
}
