//! Who is calling: which tokens routes take, what callers are answered, and what gateways learn.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use identity::{Signer, SigningAlgorithm};
use serde_json::{Map, Value, json};

use crate::front::{Front, RULES, Setup};
use crate::mtls;
use crate::requests::echo;
use support::client::{Answer, Http2, h2_request, raw};
use support::pki::{self, CORP};
use support::upstream::Upstream;

pub const ISSUER: &str = "https://idp.test/realms/prod";
const ROUTE: &str = "paths = [\"/orders/\"]\nmethods = [\"GET\", \"POST\"]\nidentity = \"corp\"\n";

pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// An issuer whose key set is in the folder of the front door.
pub struct Issuer(pub Signer);

impl Issuer {
    pub fn new() -> Self {
        Self(Signer::generate(SigningAlgorithm::Es256).unwrap())
    }

    pub fn table(extra: &str) -> String {
        format!(
            "[identity.corp]\nissuer = \"{ISSUER}\"\naudiences = [\"orders\"]\njwks = \"file:idp.json\"\n{extra}\n"
        )
    }

    pub fn publish(&self, folder: &Path) {
        std::fs::write(folder.join("idp.json"), self.0.public_set()).unwrap();
    }

    /// A token with these claims beside, or in the place of, the usual ones.
    pub fn token(&self, claims: Value) -> String {
        let mut all = json!({
            "iss": ISSUER, "aud": "orders", "sub": "anna", "jti": "t-1", "exp": now() + 300,
            "scope": "orders.read orders.write", "realm_access": { "roles": ["clerk", "b c"] },
        });
        let all = all.as_object_mut().unwrap();
        let Value::Object(claims) = claims else {
            panic!()
        };
        all.extend(claims);
        all.retain(|_, value| !value.is_null());
        self.0.sign("JWT", all).unwrap()
    }
}

async fn start(
    upstream: &Upstream,
    issuer: &Issuer,
    extra: &str,
    route: &str,
    more: &str,
) -> Front {
    let setup = Setup {
        route: format!("{ROUTE}{route}"),
        more: format!("{}{more}", Issuer::table(extra)),
        ..Setup::to(upstream)
    };
    start_with(&setup, issuer).await
}

async fn start_with(setup: &Setup, issuer: &Issuer) -> Front {
    let folder = setup.write(RULES);
    issuer.publish(&folder);
    Front::start_in(folder).await
}

async fn ask(address: SocketAddr, fields: &[(&str, &str)]) -> Answer {
    ask_at(address, "/orders/1", fields).await
}

async fn ask_at(address: SocketAddr, target: &str, fields: &[(&str, &str)]) -> Answer {
    let fields: String = fields
        .iter()
        .map(|(n, v)| format!("{n}: {v}\r\n"))
        .collect();
    let request = format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n");
    raw(address, request.as_bytes()).await.unwrap()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// The values of a field that the gateway got.
fn got(answer: &Answer, name: &str) -> Vec<String> {
    let headers = answer.json()["headers"].as_array().unwrap().clone();
    let lines = headers.iter().map(|line| line.as_str().unwrap());
    let of = |line: &str| {
        let (field, value) = line.split_once(": ")?;
        field.eq_ignore_ascii_case(name).then(|| value.to_owned())
    };
    lines.filter_map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_takes_good_tokens_and_says_why_it_takes_no_others() {
    let (upstream, issuer, other) = (echo().await, Issuer::new(), Issuer::new());
    let front = start(&upstream, &issuer, "", "", "").await;
    let good = issuer.token(json!({}));
    let huge = "a".repeat(17_000);
    for (fields, reason, error) in [
        (vec![], "missing", None),
        (
            vec![("Authorization", "Basic YTpi".to_owned())],
            "missing",
            None,
        ),
        (
            vec![("Authorization", "Bearer".to_owned())],
            "malformed",
            Some("invalid_token"),
        ),
        (
            vec![("Authorization", bearer("a.b.c"))],
            "encoding",
            Some("invalid_token"),
        ),
        (
            vec![("Authorization", bearer(&huge))],
            "too_long",
            Some("invalid_token"),
        ),
        (
            vec![("Authorization", bearer(&other.token(json!({}))))],
            "key_unknown",
            Some("invalid_token"),
        ),
        (
            vec![("Authorization", bearer(&issuer.token(json!({ "exp": 1 }))))],
            "expired",
            Some("invalid_token"),
        ),
        (
            vec![(
                "Authorization",
                bearer(&issuer.token(json!({ "aud": "stock" }))),
            )],
            "audience",
            Some("invalid_token"),
        ),
        (
            vec![(
                "Authorization",
                bearer(&issuer.token(json!({ "iss": "https://idp.test/realms/dev" }))),
            )],
            "issuer",
            Some("invalid_token"),
        ),
        (
            vec![
                ("Authorization", bearer(&good)),
                ("authorization", bearer(&good)),
            ],
            "repeated",
            Some("invalid_request"),
        ),
    ] {
        let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let answer = ask(front.address, &fields).await;
        assert_eq!(answer.status, 401, "{reason}");
        let challenge = answer.header("www-authenticate").unwrap().to_owned();
        assert!(
            challenge.starts_with("Bearer realm=\"api.test\""),
            "{challenge}"
        );
        let has = error.map(|error| format!(", error=\"{error}\", error_description=\""));
        assert_eq!(challenge.contains("error="), has.is_some(), "{challenge}");
        assert!(
            has.is_none_or(|has| challenge.contains(&has)),
            "{challenge}"
        );
        let id = answer.header("x-request-id").unwrap();
        let line = front.line_of(id).await;
        assert_eq!(line["identity"]["reason"], reason, "{line}");
        assert_eq!(line["error"], "unauthenticated");
        assert_eq!(answer.json()["status"], 401, "JSON for a client of an API");
    }
    let repeated = ask_at(
        front.address,
        "/orders/?access_token=x",
        &[("Authorization", &bearer(&good))],
    )
    .await;
    assert_eq!(repeated.status, 401);
    let html = ask(front.address, &[("Accept", "text/html")]).await;
    assert!(html.text().contains("<h1>401"), "{}", html.text());
    assert_eq!(upstream.requests(), 0, "no gateway was asked");
    let mut counted = Vec::new();
    front.metrics.identity_checks.each(|route, outcome, count| {
        counted.push((route.to_owned(), outcome.to_owned(), count.value()));
    });
    assert!(
        counted.contains(&("orders".to_owned(), "expired".to_owned(), 1)),
        "{counted:?}"
    );

    // Twice: the second answer comes from the cache.
    for _ in 0..2 {
        let answer = ask(front.address, &[("Authorization", &bearer(&good))]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            got(&answer, "authorization"),
            [bearer(&good)],
            "the token goes on as it came"
        );
        let line = front.line_of(&got(&answer, "x-request-id")[0]).await;
        assert_eq!(
            line["identity"],
            json!({ "name": "corp", "issuer": ISSUER, "subject": "anna", "token_id": "t-1" })
        );
        assert!(!line.to_string().contains(good.rsplit('.').next().unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_clients_are_checked_alike() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let front = start(&upstream, &issuer, "", "", "").await;
    let mut client = Http2::connect(front.address, "api.test").await;
    let request = || h2_request("GET", "https://api.test/orders/1");
    let without = request().body(()).unwrap();
    assert_eq!(client.request(without, None).await.status, 401);
    let with = request().header("authorization", bearer(&issuer.token(json!({}))));
    assert_eq!(
        client.request(with.body(()).unwrap(), None).await.status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn demands_on_claims_are_403() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let route = "require = { scope = [\"orders.read\", \"orders.write\"], role = [\"clerk\", \"admin\"] }\n";
    let front = start(
        &upstream,
        &issuer,
        "claims = { role = \"realm_access.roles\" }",
        route,
        "",
    )
    .await;
    for (claims, status) in [
        (json!({}), 200),
        (json!({ "scope": "orders.read" }), 403),
        (
            json!({ "scope": null, "scp": "orders.write orders.read" }),
            200,
        ),
        (json!({ "scope": ["orders.read", "orders.write"] }), 200),
        (json!({ "scope": "orders.read orders.writer" }), 403),
        (json!({ "realm_access": { "roles": ["admin"] } }), 200),
        (json!({ "realm_access": { "roles": ["guest"] } }), 403),
        (json!({ "realm_access": null }), 403),
        (json!({ "realm_access": null, "role": "clerk" }), 403),
    ] {
        let answer = ask(
            front.address,
            &[("Authorization", &bearer(&issuer.token(claims.clone())))],
        )
        .await;
        assert_eq!(answer.status, status, "{claims}");
        if status == 403 {
            let challenge = answer.header("www-authenticate").unwrap();
            assert!(
                challenge.contains("error=\"insufficient_scope\""),
                "{challenge}"
            );
            let line = front.line_of(answer.header("x-request-id").unwrap()).await;
            assert_eq!(line["identity"]["reason"], "insufficient_scope");
            assert_eq!(line["identity"]["subject"], "anna");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn optional_tokens_may_be_absent_and_not_wrong() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let front = start(
        &upstream,
        &issuer,
        "token = \"cookie:session\"",
        "identity_mode = \"optional\"\nforward_identity = \"claims\"\n",
        "",
    )
    .await;
    let answer = ask(
        front.address,
        &[
            ("Cookie", "a=1"),
            ("X-Identity-Subject", "admin"),
            ("x_identity_subject", "admin"),
            ("X.IDENTITY.SUBJECT", "admin"),
        ],
    )
    .await;
    assert_eq!(answer.status, 200);
    assert!(
        !answer.text().to_ascii_lowercase().contains("admin"),
        "{}",
        answer.text()
    );
    assert_eq!(got(&answer, "cookie"), ["a=1"]);
    let with = |token: &str| format!("a=1; session={token}; b=2");
    let good = issuer.token(json!({}));
    let answer = ask(
        front.address,
        &[("Cookie", &with(&good)), ("Authorization", "Basic YTpi")],
    )
    .await;
    assert_eq!(answer.status, 200);
    assert_eq!(got(&answer, "cookie"), ["a=1; b=2"], "the token stays here");
    assert_eq!(got(&answer, "authorization"), ["Basic YTpi"]);
    assert_eq!(got(&answer, "x-identity-subject"), ["anna"]);
    let answer = ask(front.address, &[("Cookie", &with("x.y.z"))]).await;
    assert_eq!(answer.status, 401);
}

/// What a client says about itself is gone before the rules and the gateway see it.
#[tokio::test(flavor = "multi_thread")]
async fn claims_reach_the_gateway_and_nobody_can_forge_them() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let extra = "headers = { X-User = \"sub\", X-Roles = \"role\", X-Issuer = \"iss\", X-None = \"none\" }\nclaims = { role = \"realm_access.roles\" }\nlog_subject = \"hashed\"";
    let front = start(
        &upstream,
        &issuer,
        extra,
        "forward_identity = \"claims\"\n",
        "",
    )
    .await;
    let token = bearer(&issuer.token(json!({ "sub": "Anna M\u{fc}ller" })));
    let forged = [
        ("Authorization", token.as_str()),
        ("X-User", "forged"),
        ("x-user", "forged"),
        ("X_User", "forged"),
        ("X.USER", "forged"),
        ("X-Roles", "forged"),
        ("X-None", "forged"),
        ("x_none", "forged"),
        ("Connection", "X-User, X-Roles, X_User"),
    ];
    let answer = ask(front.address, &forged).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.text().contains("forged"), "{}", answer.text());
    assert_eq!(got(&answer, "x-user"), ["Anna M%C3%BCller"]);
    assert_eq!(got(&answer, "x-roles"), ["clerk b%20c"]);
    assert_eq!(got(&answer, "x-issuer"), [ISSUER]);
    assert!(got(&answer, "authorization").is_empty());
    let line = front.line_of(&got(&answer, "x-request-id")[0]).await;
    let subject = line["identity"]["subject"].as_str().unwrap();
    assert!(
        subject.starts_with("sha256:") && subject.len() == 39,
        "{subject}"
    );

    let chunked = format!(
        "POST /orders/1 HTTP/1.1\r\nHost: api.test\r\nAuthorization: {token}\r\nTrailer: X-User\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-User: forged\r\nx_roles: forged\r\n\r\n"
    );
    let answer = raw(front.address, chunked.as_bytes()).await.unwrap();
    assert!(!answer.text().contains("forged"), "{}", answer.text());
    assert_eq!(got(&answer, "x-user"), ["Anna M%C3%BCller"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_do_not_see_forged_fields() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let setup = Setup {
        route: ROUTE.to_owned(),
        more: Issuer::table("headers = { X-Early = \"sub\" }"),
        ..Setup::to(&upstream)
    };
    let front = start_with(&setup, &issuer).await;
    let token = bearer(&issuer.token(json!({})));
    for (value, status) in [("attack", 200), ("none", 200)] {
        let answer = ask(
            front.address,
            &[("Authorization", &token), ("X-Early", value)],
        )
        .await;
        assert_eq!(answer.status, status, "rule 2 denies X-Early: attack");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_know_the_caller() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let setup = Setup {
        route: format!("{ROUTE}identity_mode = \"optional\"\n"),
        more: Issuer::table("claims = { role = \"realm_access.roles\" }"),
        ..Setup::to(&upstream)
    };
    let rules = r#"
SecRule IDENTITY:sub "@streq mallory" "id:1,phase:1,deny,status:406,log,msg:'mallory'"
SecRule IDENTITY:role "@streq intern" "id:2,phase:2,deny,status:409,log,msg:'intern'"
SecRule &IDENTITY "@eq 0" "id:3,phase:1,deny,status:410,log,msg:'nobody'"
SecRule IDENTITY:scope "!@rx \borders\.read\b" "id:4,phase:1,deny,status:411,log,msg:'scope'"
"#;
    let folder = setup.write(rules);
    issuer.publish(&folder);
    let front = Front::start_in(folder).await;
    for (claims, status) in [
        (json!({}), 200),
        (json!({ "sub": "mallory" }), 406),
        (
            json!({ "realm_access": { "roles": ["clerk", "intern"] } }),
            409,
        ),
        (json!({ "role": "intern" }), 200),
        (json!({ "scope": "orders.write" }), 411),
    ] {
        let token = bearer(&issuer.token(claims.clone()));
        let answer = ask(front.address, &[("Authorization", &token)]).await;
        assert_eq!(answer.status, status, "{claims}");
    }
    assert_eq!(ask(front.address, &[]).await.status, 410);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_our_own_is_verified_by_the_gateway() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let setup = Setup {
        top: "state_dir = \"state\"".to_owned(),
        route: format!("{ROUTE}forward_identity = \"signed\"\n"),
        more: format!(
            "{}[signing]\nissuer = \"https://door.test\"\nclaims = [\"scope\", \"cnf2\"]\njwks_file = \"door.json\"\n",
            Issuer::table("token = \"header:X-Client-Token\"")
        ),
        ..Setup::to(&upstream)
    };
    let front = start_with(&setup, &issuer).await;
    let token = issuer.token(json!({}));
    let answer = ask(
        front.address,
        &[
            ("X-Client-Token", &token),
            ("X_Client_Token", "forged"),
            ("Authorization", "Bearer forged"),
        ],
    )
    .await;
    assert_eq!(answer.status, 200);
    assert!(got(&answer, "x-client-token").is_empty());
    assert!(!answer.text().contains("forged"), "{}", answer.text());
    let authorization = got(&answer, "authorization");
    let [value] = authorization.as_slice() else {
        panic!("{authorization:?}")
    };
    let ours = value.strip_prefix("Bearer ").unwrap();
    let set: Value =
        serde_json::from_slice(&std::fs::read(front.folder.join("door.json")).unwrap()).unwrap();
    let claims = verify_with_openssl(ours, &set["keys"][0]);
    assert_eq!(claims["iss"], "https://door.test");
    assert_eq!(
        (&claims["aud"], &claims["sub"], &claims["idp"]),
        (&json!("orders"), &json!("anna"), &json!(ISSUER))
    );
    assert_eq!(claims["scope"], "orders.read orders.write");
    let line = front.line(|line| line["status"] == 200).await;
    assert_eq!(claims["jti"], line["request_id"]);
    let lives = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!(lives, 60);
    verify_with_node(ours, &set["keys"][0]);

    use std::os::unix::fs::PermissionsExt;
    let key = std::fs::metadata(front.folder.join("state/identity-key.pem")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
}

/// Without the code that signs: OpenSSL's base64, numbers and ECDSA.
fn verify_with_openssl(token: &str, jwk: &Value) -> Map<String, Value> {
    use openssl::bn::BigNum;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::ecdsa::EcdsaSig;
    let decode = |text: &str| {
        let padded = format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4));
        openssl::base64::decode_block(&padded.replace('-', "+").replace('_', "/")).unwrap()
    };
    let number = |name: &str| BigNum::from_slice(&decode(jwk[name].as_str().unwrap())).unwrap();
    let group = EcGroup::from_curve_name(openssl::nid::Nid::X9_62_PRIME256V1).unwrap();
    let key =
        EcKey::from_public_key_affine_coordinates(&group, &number("x"), &number("y")).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let signature = decode(signature);
    let (r, s) = signature.split_at(32);
    let number = |bytes: &[u8]| BigNum::from_slice(bytes).unwrap();
    let signature = EcdsaSig::from_private_components(number(r), number(s)).unwrap();
    assert!(
        signature
            .verify(&openssl::sha::sha256(signed.as_bytes()), &key)
            .unwrap()
    );
    serde_json::from_slice(&decode(signed.split_once('.').unwrap().1)).unwrap()
}

/// Another implementation of JWK and JWS, where there is one.
fn verify_with_node(token: &str, jwk: &Value) {
    let script = "const c=require('crypto');const [t,k]=process.argv.slice(1);const [h,p,s]=t.split('.');\
        const key=c.createPublicKey({key:JSON.parse(k),format:'jwk'});\
        const ok=c.verify('sha256',Buffer.from(h+'.'+p),{key,dsaEncoding:'ieee-p1363'},Buffer.from(s,'base64url'));\
        const head=JSON.parse(Buffer.from(h,'base64url'));process.exit(ok&&head.alg==='ES256'&&head.kid===JSON.parse(k).kid?0:1)";
    let run = Command::new("node")
        .args(["-e", script, token, &jwk.to_string()])
        .status();
    if let Ok(status) = run {
        assert!(status.success(), "node does not verify it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_needs_its_certificate() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let partners = mtls::setup(&upstream, ", mode = \"optional\"");
    let setup = Setup {
        route: ROUTE.to_owned(),
        more: format!(
            "{}{}",
            partners.more,
            Issuer::table("token = \"header:X-Token\"")
        ),
        ..partners
    };
    let front = start_with(&setup, &issuer).await;
    let (own, other) = (pki::client(&CORP, "partner"), pki::client(&CORP, "thief"));
    let der = openssl::x509::X509::from_pem(&own.chain_pem)
        .unwrap()
        .to_der()
        .unwrap();
    let thumbprint = identity::thumbprint_text(&openssl::sha::sha256(&der));
    let bound = issuer.token(json!({ "cnf": { "x5t#S256": thumbprint } }));
    let dpop = issuer.token(json!({ "cnf": { "jkt": thumbprint } }));
    let free = issuer.token(json!({}));
    for (what, client, token, status) in [
        ("its own certificate", Some(&own), &bound, 200),
        ("another certificate", Some(&other), &bound, 401),
        ("no certificate", None, &bound, 401),
        ("a binding that is not supported", Some(&own), &dpop, 401),
        ("a token without a binding", Some(&other), &free, 200),
    ] {
        let target = format!("/orders/1 HTTP/1.1\r\nX-Token: {token}\r\nX-Rest:");
        let newest = openssl::ssl::SslVersion::TLS1_3;
        let answer = mtls::ask(front.address, "api.test", client, newest, &target).await;
        assert_eq!(answer.unwrap().status, status, "{what}");
    }
}

/// Runs the verb with this standard input; the exit code and what it printed.
fn drawbridge(folder: &Path, words: &[&str], input: &str) -> (Option<i32>, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
    command
        .args(["identity"])
        .args(words)
        .args(["--output", "json", "--config"]);
    command.arg(folder.join("drawbridge.toml"));
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The verb may end without reading.
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = serde_json::from_slice(&output.stdout);
    (
        output.status.code(),
        said.unwrap_or_else(|_| panic!("{output:?}")),
    )
}

#[test]
fn the_verbs_judge_and_issue_tokens() {
    let issuer = Issuer::new();
    let signing = Signer::generate(SigningAlgorithm::EdDsa).unwrap();
    let setup = Setup {
        servers: vec!["127.0.0.1:1".parse().unwrap()],
        route: format!("{ROUTE}forward_identity = \"signed\"\n"),
        more: format!(
            "{}[signing]\nissuer = \"https://door.test\"\nkeys = [\"signing.pem\"]\n",
            Issuer::table("headers = { X-User = \"sub\" }")
        ),
        ..Setup::default()
    };
    let folder = setup.write(RULES);
    issuer.publish(&folder);
    std::fs::write(folder.join("signing.pem"), signing.to_pem().unwrap()).unwrap();

    let (code, said) = drawbridge(&folder, &["check", "corp"], "");
    assert_eq!(
        (code, &said["keys"][0]["kid"]),
        (Some(0), &json!(issuer.0.id()))
    );
    let good = issuer.token(json!({}));
    let (code, said) = drawbridge(&folder, &["check", "corp", "--token"], &good);
    assert_eq!(
        (code, &said["token"]["claims"]["sub"]),
        (Some(0), &json!("anna"))
    );
    let old = issuer.token(json!({ "exp": 1 }));
    let (code, said) = drawbridge(&folder, &["check", "corp", "--token"], &old);
    assert_eq!(
        (code, &said["token"]["reason"]),
        (Some(1), &json!("expired"))
    );
    let (code, said) = drawbridge(&folder, &["check", "nobody"], "");
    assert_eq!((code, &said["ok"]), (Some(1), &json!(false)));

    let (_, said) = drawbridge(&folder, &["headers"], "");
    assert_eq!(
        said["fields"],
        json!([{ "name": "X-User", "claim": "sub", "identity": "corp" }])
    );

    let claims = ["--claim", "sub=anna", "--claim", "roles=[\"clerk\"]"];
    let words = [&["issue", "--upstream", "orders"], &claims[..]].concat();
    let (code, said) = drawbridge(&folder, &words, "");
    assert_eq!(
        (code, &said["claims"]["roles"][0]),
        (Some(0), &json!("clerk"))
    );
    let keys = identity::KeySet::parse(signing.public_set().as_bytes())
        .unwrap()
        .keys;
    let token = said["token"].as_str().unwrap();
    let token = identity::Token::parse(token.as_bytes()).unwrap();
    let expected = identity::Expectations::new("https://door.test", ["orders"]);
    assert!(identity::verify(&token, &keys, &expected, now()).is_ok());
    let (code, _) = drawbridge(&folder, &["issue", "--upstream", "stock"], "");
    assert_eq!(code, Some(1));
    std::fs::remove_dir_all(folder).unwrap();
}

/// Each mistake is reported where it is, and all at once.
#[test]
fn mistakes_are_reported_together() {
    let setup = Setup {
        servers: vec!["127.0.0.1:1".parse().unwrap()],
        route: "paths = [\"/\"]\nidentity = \"corpo\"\nidentity_mode = \"optional\"\nrequire = { scope = [\"a b\"] }\nforward_identity = \"signed\"\n".to_owned(),
        more: "[identity.corp]\nissuer = \"\"\naudiences = []\nalgorithms = [\"none\"]\njwks = \"idp.json\"\ntoken = \"header:X-User\"\nclock_skew = \"1h\"\nheaders = { Host = \"sub\" }\n\
            [identity.other]\nissuer = \"https://a\"\naudiences = [\"b\"]\nalgorithms = [\"HS256\"]\njwks = \"file:missing.json\"\ntoken = \"header:X-Token\"\nheaders = { x_token = \"sub\" }\n".to_owned(),
        ..Setup::default()
    };
    let folder = setup.write(RULES);
    let found = drawbridge::config::load(&folder.join("drawbridge.toml")).unwrap_err();
    let found: String = found.iter().map(|problem| problem.render(false)).collect();
    for part in [
        "there is no identity \"corpo\"",
        "identity_mode = \"optional\" takes requests without one",
        "\"a b\" is no word of a claim",
        "needs a [signing] table",
        "it must not be empty",
        "\"audiences\" must not be empty",
        "\"none\" is no algorithm",
        "names the issuer's JWK set",
        "logs do not mask a header field of this name",
        "is at most 5m",
        "must not stand in the header field \"Host\"",
        "need a \"secret\"",
        "cannot read",
        "is read from the header field \"x-token\"",
    ] {
        assert!(found.contains(part), "{part}\n{found}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}
