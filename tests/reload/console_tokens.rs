//! Tokens of the console: who they let in, within which bounds, and how they end.

use std::fs;

use serde_json::Value;

use crate::console::{Console, Page};
use crate::exclusions::run;
use crate::world::until;

impl Console {
    /// A new token, made on the command line.
    async fn token(&self, role: &str, name: &str, more: &str) -> String {
        let verb = format!("console token create --role {role} --name {name} {more}");
        let (code, out) = run(&self.world, verb.trim(), &[]).await;
        assert_eq!(code, 0, "{out}");
        out.trim().to_owned()
    }

    /// A request of the API with a token.
    async fn api(&self, method: &str, path: &str, token: &str, body: &str) -> Page {
        let fields = format!(
            "Host: {}\r\nAuthorization: Bearer {token}\r\n",
            self.address
        );
        self.send(method, &format!("/api{path}"), &fields, body)
            .await
    }

    fn audit(&self) -> String {
        fs::read_to_string(self.world.path("state/console-audit.jsonl")).unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_logs_in_until_it_is_revoked() {
    let console = Console::start("read-only").await;
    let token = console.token("ingress", "alice", "").await;
    assert!(
        token.starts_with("drawbridge_") && token.len() > 64,
        "{token}"
    );
    let form = format!("token={token}");
    let entered = console.post("/login", "", &form).await;
    assert_eq!(entered.status, 303, "{}", entered.body);
    let cookie = entered.cookie();
    assert!(!cookie.contains(&token));
    let page = console.get("/exposure", &cookie).await;
    assert!(page.body.contains("Switch off"), "{}", page.body);

    let (_, listed) = run(&console.world, "console token list", &[]).await;
    for shown in ["alice", "ingress", "last used 2", "by unix:uid="] {
        assert!(listed.contains(shown), "{shown}: {listed}");
    }
    assert!(!listed.contains(&token));
    let taken = "console token create --role viewer --name alice";
    let (code, said) = run(&console.world, taken, &[]).await;
    assert_eq!(code, 1, "{said}");

    let (code, _) = run(&console.world, "console token revoke alice", &[]).await;
    assert_eq!(code, 0);
    assert_eq!(
        console.get("/", &cookie).await.status,
        303,
        "its sessions end"
    );
    assert_eq!(console.post("/login", "", &form).await.status, 403);
    assert_eq!(console.api("GET", "/status", &token, "").await.status, 401);
    let (code, said) = run(&console.world, "console token revoke alice", &[]).await;
    assert_eq!(code, 1, "{said}");
    until("the audit has both", async || {
        let audit = console.audit();
        audit.contains("token alice") && audit.contains("This token is unknown")
    })
    .await;
    let file = console.world.path("state/console-tokens.json");
    for kept in [console.audit(), fs::read_to_string(file).unwrap()] {
        assert!(!kept.contains(&token["drawbridge_".len()..]), "{kept}");
    }
}

const ROLES: [&str; 4] = ["ingress", "security", "certificates", "viewer"];

#[tokio::test(flavor = "multi_thread")]
async fn the_api_takes_tokens_within_the_bounds_of_their_roles() {
    let console = Console::start("read-only").await;
    let exclude =
        "{\"request_id\":\"x\",\"owner\":\"a\",\"reason\":\"b\",\"until\":\"2999-01-01\"}";
    let write = exclude.replace("}", ",\"write\":true}");
    // Path, body, and what each role gets.
    let posts = [
        (
            "/exposures/public/on",
            "{\"reason\":\"x\"}",
            [200, 403, 403, 403],
        ),
        ("/reload", "", [200, 200, 200, 403]),
        // There is no such event.
        ("/rules/exclude", exclude, [403, 404, 403, 403]),
        ("/rules/exclude", &write, [403, 403, 403, 403]),
        ("/rules/explain", "", [403, 200, 403, 403]),
        (
            "/console/login",
            "{\"role\":\"ingress\"}",
            [403, 403, 403, 403],
        ),
        ("/console/tokens", "{}", [403, 403, 403, 403]),
        ("/console/tokens/viewer/revoke", "", [403, 403, 403, 403]),
        ("/nothing", "", [403, 403, 403, 403]),
        ("/status", "", [403, 403, 403, 403]),
    ];
    for (at, role) in ROLES.into_iter().enumerate() {
        let token = console.token(role, role, "--expires 90d").await;
        for path in [
            "/status",
            "/events/list",
            "/exposures/audit",
            "/metrics",
            "/livez",
        ] {
            let answer = console.api("GET", path, &token, "").await;
            assert_eq!(answer.status, 200, "{role} {path}: {}", answer.body);
        }
        for (path, status) in [("/console/tokens", 403), ("/nothing", 404)] {
            let answer = console.api("GET", path, &token, "").await;
            assert_eq!(answer.status, status, "{role} {path}: {}", answer.body);
        }
        for (path, body, expected) in posts {
            let answer = console.api("POST", path, &token, body).await;
            assert_eq!(
                answer.status, expected[at],
                "{role} {path}: {}",
                answer.body
            );
            let words: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(words["error"].is_string(), expected[at] >= 400, "{words}");
        }
        assert_eq!(console.api("PUT", "/reload", &token, "").await.status, 405);
    }
    until("the audit has the switch", async || {
        console.audit().contains("POST /exposures/public/on")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_good_token_counts_for_the_api() {
    let console = Console::start("read-only").await;
    let token = console.token("ingress", "ci", "").await;
    let cookie = console.log_in("ingress").await;
    let host = format!("Host: {}\r\n", console.address);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let own = format!("Origin: http://{}\r\n", console.address);
    for (fields, status) in [
        (format!("{host}{bearer}"), 200),
        (format!("{host}Authorization: bearer {token}\r\n"), 200),
        (format!("{host}{bearer}{bearer}"), 401),
        // A page must not use the login of whoever reads it.
        (format!("{host}Cookie: {cookie}\r\n{own}"), 403),
        (format!("{host}Cookie: {cookie}\r\n"), 401),
        (format!("{host}{bearer}{own}"), 403),
        (
            format!("{host}{bearer}Sec-Fetch-Site: same-origin\r\n"),
            403,
        ),
        (format!("Host: evil.example\r\n{bearer}"), 421),
        (host.clone(), 401),
        (format!("{host}Authorization: Basic {token}\r\n"), 401),
        (format!("{host}Authorization: Bearer {token}0\r\n"), 401),
    ] {
        let path = "/api/exposures/public/on";
        let answer = console.send("POST", path, &fields, "").await;
        assert_eq!(answer.status, status, "{fields}: {}", answer.body);
    }
    // The page's own paths know no token.
    let page = console
        .send("GET", "/status", &format!("{host}{bearer}"), "")
        .await;
    assert_eq!(page.status, 303);
    // Nine wrong ones more, and further ones are no longer recorded.
    for _ in 0..9 {
        assert_eq!(console.api("GET", "/status", "x", "").await.status, 401);
    }
    for _ in 0..3 {
        assert_eq!(console.api("GET", "/status", "x", "").await.status, 429);
        let wrong = console.post("/login", "", "token=x").await;
        assert_eq!(wrong.status, 429);
    }
    // Whoever else comes from there is not kept out.
    assert_eq!(console.api("GET", "/status", &token, "").await.status, 200);
    let form = format!("token={token}");
    assert_eq!(console.post("/login", "", &form).await.status, 303);
    let refused = console.audit().matches("\"refused\"").count();
    assert!(refused <= 10, "{refused}");
}
