//! Logins to the console with a provider behind a private CA: who gets in as what, and that nothing else does.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use identity::{Signer, SigningAlgorithm};
use openssl::base64::encode_block;
use openssl::sha::sha256;
use openssl::ssl::Ssl;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_openssl::SslStream;

use crate::console::{Console, Page};
use crate::exclusions::run;
use crate::world::until;
use support::pki::{CORP, ServerTls, leaf};
use support::upstream::read_head;

const CLIENT: &str = "drawbridge";
const SECRET: &str = "of+the client";

#[derive(Default)]
struct State {
    /// The nonce and the challenge of each code.
    codes: HashMap<String, (String, String)>,
    given: usize,
    /// What the next ID tokens say, besides or instead of what is right; null leaves a claim out.
    claims: Value,
    /// Signs the next ID tokens instead.
    signer: Option<Signer>,
    down: bool,
}

struct Provider {
    issuer: String,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn fields(query: &str) -> HashMap<String, String> {
    form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let state = Arc::new(Mutex::new(State {
            claims: json!({}),
            ..State::default()
        }));
        let acceptor = ServerTls::new(leaf(&CORP, "localhost")).acceptor();
        let signer = Arc::new(Signer::generate(SigningAlgorithm::Es256).unwrap());
        let (known, name) = (Arc::clone(&state), issuer.clone());
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let ssl = Ssl::new(acceptor.context()).unwrap();
                let mut tls = SslStream::new(ssl, tcp).unwrap();
                let (state, signer, issuer) =
                    (Arc::clone(&known), Arc::clone(&signer), name.clone());
                tokio::spawn(async move {
                    if Pin::new(&mut tls).accept().await.is_err() {
                        return;
                    }
                    let mut buffer = Vec::new();
                    while let Some(head) = read_head(&mut tls, &mut buffer).await {
                        let head = String::from_utf8(head).unwrap();
                        let length = head.lines().find_map(|line| {
                            let (name, value) = line.split_once(": ")?;
                            name.eq_ignore_ascii_case("content-length").then_some(value)
                        });
                        let length = length.map_or(0, |length| length.parse().unwrap());
                        while buffer.len() < length {
                            assert!(tls.read_buf(&mut buffer).await.unwrap() > 0);
                        }
                        let body: Vec<u8> = buffer.drain(..length).collect();
                        let body = String::from_utf8(body).unwrap();
                        let (status, said) = answer(&state, &signer, &issuer, &head, &body);
                        let said = said.to_string();
                        let answer = format!(
                            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{said}",
                            said.len()
                        );
                        if tls.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self {
            issuer,
            state,
            task,
        }
    }

    /// The table of the console.
    fn section(&self) -> String {
        format!(
            "[console.openid]\nissuer = \"{}\"\nclient_id = \"{CLIENT}\"\nclient_secret = \"secret\"\n\
             redirect = \"http://localhost\"\ntrust = \"onprem\"\n\
             roles = {{ security = {{ claim = \"groups\", values = [\"sec\"] }}, ingress = {{ claim = \"groups\", values = [\"net\"] }}, viewer = {{ claim = \"groups\", values = [\"staff\"] }} }}\n",
            self.issuer
        )
    }

    /// What somebody's browser brings back after a login there.
    fn authorize(&self, url: &str) -> HashMap<String, String> {
        let asked = fields(url.split_once('?').unwrap().1);
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(asked["scope"], "openid profile email");
        assert_eq!(
            asked["redirect_uri"],
            "http://localhost/login/openid/callback"
        );
        let mut state = self.state.lock().unwrap();
        state.given += 1;
        let code = format!("code-{}", state.given);
        let of = (asked["nonce"].clone(), asked["code_challenge"].clone());
        state.codes.insert(code.clone(), of);
        HashMap::from([
            ("code".to_owned(), code),
            ("state".to_owned(), asked["state"].clone()),
            ("iss".to_owned(), self.issuer.clone()),
        ])
    }
}

fn answer(
    state: &Mutex<State>,
    signer: &Signer,
    issuer: &str,
    head: &str,
    body: &str,
) -> (u16, Value) {
    let mut state = state.lock().unwrap();
    if state.down {
        return (503, json!({}));
    }
    match head.split(' ').nth(1).unwrap() {
        "/.well-known/openid-configuration" => (
            200,
            json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/authorize?tenant=1"),
                "token_endpoint": format!("{issuer}/token"),
                "jwks_uri": format!("{issuer}/keys"),
                "authorization_response_iss_parameter_supported": true,
                "code_challenge_methods_supported": ["S256"],
            }),
        ),
        "/keys" => (200, json!({ "keys": [signer.public()] })),
        "/token" => {
            let basic = encode_block(b"drawbridge:of%2Bthe+client");
            assert!(
                head.contains(&format!("authorization: Basic {basic}")),
                "{head}"
            );
            let form = fields(body);
            let challenge = identity::thumbprint_text(&sha256(form["code_verifier"].as_bytes()));
            let Some((nonce, asked)) = state.codes.remove(&form["code"]) else {
                return (400, json!({ "error": "invalid_grant" }));
            };
            if asked != challenge {
                return (400, json!({ "error": "invalid_grant" }));
            }
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_secs();
            let mut claims = json!({
                "iss": issuer, "aud": CLIENT, "sub": "u1", "nonce": nonce, "iat": now, "exp": now + 300,
                "groups": ["sec", "staff"], "preferred_username": "anna<b>\u{1b}",
            });
            let all: &mut Map<String, Value> = claims.as_object_mut().unwrap();
            for (name, value) in state.claims.as_object().unwrap() {
                match value {
                    Value::Null => all.remove(name),
                    value => all.insert(name.clone(), value.clone()),
                };
            }
            let signer = state.signer.as_ref().unwrap_or(signer);
            let token = signer.sign("JWT", all).unwrap();
            (
                200,
                json!({ "id_token": token, "access_token": "x", "token_type": "Bearer" }),
            )
        }
        path => panic!("{path}"),
    }
}

impl Console {
    async fn with(provider: &Provider) -> Self {
        let folder = "files = \"read-only\"";
        let console = Self::start_with(folder).await;
        console.world.write("secret", format!("{SECRET}\n"));
        console.configure(&provider.section()).await;
        console
    }

    async fn configure(&self, section: &str) {
        let text = self.world.setup.text();
        let text = text.replace(
            "[exposures.public]",
            &format!("{section}[exposures.public]"),
        );
        self.world.write("drawbridge.toml", text);
        let (status, said) = self.world.reload().await;
        assert_eq!(status, 200, "{said}");
    }

    /// The provider's page, and the cookie of the login.
    async fn depart(&self) -> (String, String) {
        // Nothing of a request says where the browser goes.
        let page = self.get("/login/openid?next=https://evil.test/", "").await;
        assert_eq!(page.status, 303, "{}", page.body);
        let field = page.raw.split("location: ").nth(1).unwrap();
        let url = field.split("\r\n").next().unwrap().to_owned();
        for attribute in ["httponly", "samesite=lax", "max-age=600"] {
            assert!(page.head.contains(attribute), "{}", page.head);
        }
        (url, page.cookie())
    }

    async fn arrive(&self, query: &HashMap<String, String>, cookie: &str) -> Page {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(query);
        let path = format!("/login/openid/callback?{}", text.finish());
        // As the provider makes a browser ask for it.
        let address = self.address;
        let fields =
            format!("Host: {address}\r\nSec-Fetch-Site: cross-site\r\nCookie: {cookie}\r\n");
        self.send("GET", &path, &fields, "").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_with_a_role_logs_in_and_keeps_it_while_it_is_given() {
    let provider = Provider::start().await;
    let console = Console::with(&provider).await;
    let form = console.get("/login", "").await;
    assert!(
        form.body.contains("href=\"/login/openid\""),
        "{}",
        form.body
    );
    let (url, cookie) = console.depart().await;
    assert!(
        url.starts_with(&format!("{}/authorize?tenant=1&", provider.issuer)),
        "{url}"
    );
    let entered = console.arrive(&provider.authorize(&url), &cookie).await;
    assert_eq!(entered.status, 200, "{}", entered.body);
    assert!(
        entered.body.contains("content=\"0;url=/\""),
        "{}",
        entered.body
    );
    assert!(!entered.body.contains("<b>") && !entered.body.contains('\u{1b}'));
    let session = entered.cookie();
    assert!(entered.head.contains("samesite=strict"), "{}", entered.head);
    assert!(session != cookie && !entered.body.contains("evil"));
    let page = console.get("/rules", &session).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<span>security</span>"), "{}", page.body);
    until("the audit has who it was", async || {
        let audit = std::fs::read_to_string(console.world.path("state/console-audit.jsonl"));
        let who = format!("openid {} u1 (anna", provider.issuer);
        audit.unwrap_or_default().contains(&who)
    })
    .await;
    // Whoever has no such group any more has no session either.
    let other = provider.section().replace("\"sec\"", "\"other\"");
    console.configure(&other).await;
    assert_eq!(console.get("/rules", &session).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attack_on_a_login_is_refused() {
    let provider = Provider::start().await;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let not_good = "The ID token is not good";
    // What the ID token says, and what the page says.
    let attacks = [
        (json!({ "nonce": "another" }), not_good),
        (json!({ "nonce": null }), not_good),
        (json!({ "aud": "orders" }), not_good),
        (json!({ "aud": [CLIENT, "orders"] }), not_good),
        (json!({ "azp": "orders" }), not_good),
        (json!({ "iss": "https://evil.test" }), not_good),
        (json!({ "iat": now - 3600 }), not_good),
        (json!({ "iat": null }), not_good),
        (json!({ "exp": now - 60 }), not_good),
        (json!({ "exp": null }), not_good),
        (json!({ "sub": null }), not_good),
        (json!({ "sub": "a".repeat(256) }), not_good),
        (json!({ "groups": null }), "has no role"),
        (json!({ "groups": ["others"] }), "has no role"),
        (json!({ "groups": "no sec" }), "has no role"),
        (json!({ "groups": ["sec", "net"] }), "has several roles"),
    ];
    // After ten failures from an address nobody is told more, so each few get a front door of their own.
    for attacks in attacks.chunks(8) {
        let console = Console::with(&provider).await;
        for (claims, words) in attacks {
            let (url, cookie) = console.depart().await;
            let query = provider.authorize(&url);
            provider.state.lock().unwrap().claims = claims.clone();
            let page = console.arrive(&query, &cookie).await;
            assert_eq!(page.status, 403, "{claims}: {}", page.body);
            assert!(page.body.contains(words), "{claims}: {}", page.body);
            assert!(
                !page.head.contains("samesite=strict"),
                "{claims}: {}",
                page.head
            );
        }
    }
    let console = Console::with(&provider).await;
    provider.state.lock().unwrap().claims = json!({});
    let stranger = Signer::generate(SigningAlgorithm::Es256).unwrap();
    provider.state.lock().unwrap().signer = Some(stranger);
    let (url, cookie) = console.depart().await;
    let page = console.arrive(&provider.authorize(&url), &cookie).await;
    assert_eq!(page.status, 403, "{}", page.body);
    provider.state.lock().unwrap().signer = None;
    // A good login is never kept out by the bad ones.
    let (url, cookie) = console.depart().await;
    let page = console.arrive(&provider.authorize(&url), &cookie).await;
    assert_eq!(page.status, 200, "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_counts_once_in_the_browser_that_asked_and_from_this_provider() {
    let provider = Provider::start().await;
    let console = Console::with(&provider).await;
    let (victims, victim) = console.depart().await;
    let (attackers, attacker) = console.depart().await;
    let of_victim = provider.authorize(&victims);
    let of_attacker = provider.authorize(&attackers);
    let with = |query: &HashMap<String, String>, name: &str, value: Option<&str>| {
        let mut query = query.clone();
        query.remove(name);
        query.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        query
    };
    let evil = format!("{}.evil.test", provider.issuer);
    // The stolen state, and the login that an attacker began for the victim.
    for (what, query, cookie, words) in [
        (
            "a stolen answer",
            of_victim.clone(),
            "",
            "did not begin in this browser",
        ),
        (
            "a stolen answer",
            of_victim.clone(),
            attacker.as_str(),
            "not for the login of this browser",
        ),
        (
            "another's login",
            of_attacker.clone(),
            victim.as_str(),
            "not for the login of this browser",
        ),
        (
            "a made up cookie",
            of_victim.clone(),
            "drawbridge_console_login=0-0-0",
            "did not begin",
        ),
        (
            "no state",
            with(&of_victim, "state", None),
            victim.as_str(),
            "not for the login",
        ),
        (
            "an error of a stranger",
            with(&with(&of_victim, "state", None), "error", Some("x")),
            victim.as_str(),
            "not for the login",
        ),
    ] {
        let page = console.arrive(&query, cookie).await;
        assert_eq!(page.status, 403, "{what}: {}", page.body);
        assert!(page.body.contains(words), "{what}: {}", page.body);
    }
    // None of that used up the victim's login; that itself does.
    assert_eq!(console.arrive(&of_victim, &victim).await.status, 200);
    let page = console.arrive(&of_victim, &victim).await;
    assert!(page.body.contains("came back before"), "{}", page.body);
    // Further ones use up a login of their own each. A code of another login has another verifier.
    let stolen = of_attacker["code"].clone();
    for (name, value, words) in [
        (
            "code",
            Some(stolen.as_str()),
            "does not take the code: invalid_grant",
        ),
        (
            "code",
            Some("made-up"),
            "does not take the code: invalid_grant",
        ),
        ("code", None, "gave no code"),
        ("iss", Some(evil.as_str()), "not from the provider"),
    ] {
        let (url, cookie) = console.depart().await;
        let query = with(&provider.authorize(&url), name, value);
        let page = console.arrive(&query, &cookie).await;
        assert!([403, 429].contains(&page.status), "{name}: {}", page.body);
        assert!(
            page.status == 429 || page.body.contains(words),
            "{name}: {}",
            page.body
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_says_instead_of_a_code_is_shown_as_its_words() {
    let provider = Provider::start().await;
    let console = Console::with(&provider).await;
    for (error, shown) in [
        ("access_denied", "The provider says: access_denied"),
        ("<script>alert(1)</script>", "The provider says: an error"),
    ] {
        let (url, cookie) = console.depart().await;
        let mut query = provider.authorize(&url);
        query.insert("error".to_owned(), error.to_owned());
        let page = console.arrive(&query, &cookie).await;
        assert_eq!(page.status, 403);
        assert!(page.body.contains(shown), "{}", page.body);
        assert!(!page.body.contains("alert(1)"), "{}", page.body);
    }
    // A mix-up attacker leaves the issuer out.
    let (url, cookie) = console.depart().await;
    let mut query = provider.authorize(&url);
    query.remove("iss");
    let page = console.arrive(&query, &cookie).await;
    assert!(page.body.contains("not from the provider"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_keeps_no_other_login_out() {
    let provider = Provider::start().await;
    let console = Console::with(&provider).await;
    provider.state.lock().unwrap().down = true;
    let page = console.get("/login/openid", "").await;
    assert_eq!(page.status, 502, "{}", page.body);
    assert!(page.body.contains("Other logins work"), "{}", page.body);
    assert_eq!(console.get("/login", "").await.status, 200);
    let create = "console token create --role viewer --name me";
    let (_, token) = run(&console.world, create, &[]).await;
    let form = format!("token={}", token.trim());
    assert_eq!(console.post("/login", "", &form).await.status, 303);
    // Without the table there is no such login.
    console.configure("").await;
    assert_eq!(console.get("/login/openid", "").await.status, 404);
}
