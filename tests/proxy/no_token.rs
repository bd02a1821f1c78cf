//! No token and no secret of an identity is in anything that is written, wherever a client puts it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use drawbridge::admin::client::call;
use drawbridge::config::AdminAddress;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::doctor::drawbridge;
use crate::front::{Front, Setup, log, wait};
use crate::otlp::Collector;
use crate::requests::echo;
use crate::tokens::{ISSUER, Issuer};
use support::client::raw;

/// Rules that log what they see of every place.
const RULES: &str = r#"
SecAuditEngine On
SecAuditLogParts ABCEFHIJKZ
SecRule REQUEST_HEADERS|REQUEST_COOKIES|ARGS|IDENTITY "@rx ." "id:10,phase:2,pass,log,logdata:'%{MATCHED_VAR}',msg:'all of %{REQUEST_HEADERS.Authorization} %{ARGS.access_token}'"
SecRule REQUEST_URI|REQUEST_LINE|REQUEST_BODY|QUERY_STRING "@rx ." "id:11,phase:2,pass,log,logdata:'%{MATCHED_VAR}'"
SecRule RESPONSE_BODY "@rx ." "id:12,phase:4,pass,log"
SecRule ARGS:q "@streq attack" "id:1,phase:2,deny,status:403,log,msg:'an attack'"
"#;
const SECRET: &str = "client-secret-of-the-partner-0123456789";

fn setup(
    upstream: &support::upstream::Upstream,
    collector: &Collector,
    console: SocketAddr,
) -> Setup {
    let place = |name: &str, token: &str| {
        format!(
            "[identity.{name}]\nissuer = \"https://{name}.test\"\naudiences = [\"orders\"]\njwks = \"file:idp.json\"\n{token}\n"
        )
    };
    let secret = "[identity.partner]\nissuer = \"https://partner.test\"\naudiences = [\"orders\"]\nalgorithms = [\"HS256\"]\nsecret = \"partner.secret\"\n";
    Setup {
        top: "state_dir = \"state\"\nadmin = \"admin.sock\"".to_owned(),
        route: "paths = [\"/orders/\"]\nmethods = [\"GET\", \"POST\"]\nidentity = [\"corp\", \"web\", \"api\", \"partner\"]\nidentity_mode = \"optional\"\nforward_identity = \"signed\"\n".to_owned(),
        more: [
            Issuer::table(""),
            place("web", "token = \"cookie:sid\""),
            place("api", "token = \"header:X-Auth-Token\""),
            secret.to_owned(),
            "[signing]\nissuer = \"https://door.test\"\n[events]\nsample = 1\n".to_owned(),
            collector.section("sample = 1.0"),
            format!("[console]\nbind = \"{console}\"\n"),
        ]
        .concat(),
        ..Setup::to(upstream)
    }
}

/// Everything below a folder but the key that tokens are signed with.
fn all_files(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all_files(&path, all),
            false => all.push_str(&String::from_utf8_lossy(&fs::read(&path).unwrap())),
        }
    }
}

/// Sends a token in every place, and returns how many requests that were, and the tokens that gateways got.
async fn send_everywhere(front: &Front, issuer: &Issuer) -> (Vec<String>, Vec<String>) {
    let token = |iss: &str| issuer.token(json!({ "iss": iss, "nested": issuer.token(json!({})) }));
    let (corp, web, api) = (
        token(ISSUER),
        token("https://web.test"),
        token("https://api.test"),
    );
    let forged = format!("{}AAAA", &corp[..corp.len() - 4]);
    let body = format!("access_token={corp}&q=attack");
    let post = format!(
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
        body.len()
    );
    let mut signed = Vec::new();
    for (line, fields, body, status) in [
        (
            "GET /orders/?q=attack",
            format!("Authorization: Bearer {corp}\r\n"),
            "",
            403,
        ),
        (
            "GET /orders/",
            format!("Authorization: Bearer {corp}\r\n"),
            "",
            200,
        ),
        (
            "GET /orders/",
            format!("Authorization: Bearer {forged}\r\n"),
            "",
            401,
        ),
        (
            "GET /orders/?q=attack",
            format!("Cookie: a=b; sid={web}\r\n"),
            "",
            403,
        ),
        ("GET /orders/", format!("Cookie: sid={web}\r\n"), "", 200),
        (
            "GET /orders/?q=attack",
            format!("X-Auth-Token: {api}\r\n"),
            "",
            403,
        ),
        (
            "GET /orders/",
            format!("X_Auth_Token: {api}\r\nX-Auth-Token: {api}\r\n"),
            "",
            200,
        ),
        (
            &format!("GET /orders/?access_token={corp}"),
            format!("Authorization: Bearer {corp}\r\n"),
            "",
            401,
        ),
        (
            &format!("GET /orders/?q=attack&access_token={corp}"),
            String::new(),
            "",
            403,
        ),
        ("POST /orders/", post, &body, 403),
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n{body}");
        let answer = raw(front.address, request.as_bytes()).await.unwrap();
        assert_eq!(answer.status, status, "{line} {fields}");
        if status == 200 {
            let headers = answer.json()["headers"].as_array().unwrap().clone();
            let headers = headers.iter().map(|line| line.as_str().unwrap().to_owned());
            signed.extend(headers.filter_map(|line| {
                let (name, value) = line.split_once(": Bearer ")?;
                name.eq_ignore_ascii_case("authorization")
                    .then(|| value.to_owned())
            }));
        }
    }
    assert_eq!(signed.len(), 3);
    (vec![corp, forged, web, api], signed)
}

fn free_address() -> SocketAddr {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap()
}

/// The console's pages, as its most powerful role sees them.
async fn pages(folder: &Path, console: SocketAddr) -> String {
    let admin = AdminAddress::Unix(folder.join("admin.sock"));
    let body = b"{\"role\":\"security\"}";
    let login = move || call(&admin, None, "POST", "/console/login", body).unwrap();
    let login = tokio::task::spawn_blocking(login).await.unwrap();
    let login: Value = serde_json::from_slice(&login.body).unwrap();
    let url = login["url"].as_str().unwrap_or_else(|| panic!("{login}"));
    let form = format!("code={}", url.split_once("code=").unwrap().1);
    let entered = page(console, "POST", "/login", "", &form).await;
    let mut fields = entered.lines().filter_map(|line| line.split_once(": "));
    let cookie = fields.find(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let cookie = cookie.unwrap().1.split(';').next().unwrap();
    let mut all = String::new();
    for path in [
        "/",
        "/events",
        "/events?identity=web",
        "/rules",
        "/configuration",
        "/exposure",
        "/upstreams",
    ] {
        let shown = page(console, "GET", path, cookie, "").await;
        assert!(shown.starts_with("HTTP/1.1 200"), "{path}: {shown}");
        all += &shown;
    }
    let found = drawbridge::events::find(&folder.join("state"), 0, |_| true).unwrap();
    for place in &found.events {
        let path = format!("/events/{}", place.summary.request_id);
        let shown = page(console, "GET", &path, cookie, "").await;
        assert!(shown.contains("The request as it is kept"), "{shown}");
        all += &shown;
    }
    assert!(all.contains("web anna"), "the caller is on the pages");
    all
}

async fn page(console: SocketAddr, method: &str, path: &str, cookie: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {console}\r\nOrigin: http://{console}\r\nCookie: {cookie}\r\n\
         Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(console).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_in_anything_that_is_written() {
    for sinks in [
        "access = \"access.log\"\naudit = \"audit.log\"",
        "access = \"otlp\"\naudit = \"otlp\"",
    ] {
        let (upstream, issuer) = (echo().await, Issuer::new());
        let collector = Collector::start().await;
        let console = free_address();
        let folder = setup(&upstream, &collector, console).write(RULES);
        let file = folder.join("drawbridge.toml");
        let written = fs::read_to_string(&file).unwrap();
        fs::write(&file, written.replace("access = \"access.log\"", sinks)).unwrap();
        fs::write(folder.join("partner.secret"), SECRET).unwrap();
        issuer.publish(&folder);
        let mut front = Front::start_in(folder.clone()).await;
        let (sent, signed) = send_everywhere(&front, &issuer).await;
        match sinks.contains("otlp") {
            true => drop(collector.lines(18).await),
            false => {
                let lines = |name: &str| {
                    let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
                    text.lines().count()
                };
                let both =
                    wait(|| (lines("access.log") == 10 && lines("audit.log") >= 8).then_some(()));
                both.await.unwrap();
            }
        }
        let checked = drawbridge(&folder, &["check"]).await;
        let list = drawbridge(&folder, &["events", "list", "--output", "json"]).await;
        let pages = pages(&folder, console).await;
        front.stopped().await;
        let mut all = format!("{}{}{pages}", log(), collector.everything());
        for output in [&checked, &list] {
            all += &String::from_utf8_lossy(&output.stdout);
            all += &String::from_utf8_lossy(&output.stderr);
        }
        let found = drawbridge::events::find(&folder.join("state"), 0, |_| true).unwrap();
        assert_eq!(found.events.len(), 10);
        for place in &found.events {
            for verb in ["show", "export"] {
                let shown = drawbridge(&folder, &["events", verb, &place.summary.request_id]).await;
                all += &String::from_utf8_lossy(&shown.stdout);
            }
        }
        all_files(&folder.join("state"), &mut all);
        for name in ["access.log", "audit.log"] {
            all += &fs::read_to_string(folder.join(name)).unwrap_or_default();
        }
        // What is searched is there at all.
        for part in ["an attack", "orders", "https://web.test"] {
            assert!(all.contains(part), "{part}");
        }
        assert!(!all.contains(SECRET));
        for token in sent.iter().chain(&signed) {
            for part in token.split('.').skip(1) {
                let at = all.find(part);
                let around = at.map(|at| &all[at.saturating_sub(200)..at + part.len()]);
                assert_eq!(around, None, "{sinks}");
            }
        }
    }
}
