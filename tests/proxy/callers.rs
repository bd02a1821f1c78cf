//! Client certificates as callers beside tokens, and what listeners say for their routes.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use dev_pki::Issued;
use openssl::ssl::SslVersion;
use serde_json::{Value, json};

use crate::front::{Front, RULES, Setup};
use crate::mtls;
use crate::requests::echo;
use crate::tokens::Issuer;
use support::client::{Answer, raw};
use support::pki::{self, CORP};
use support::upstream::Upstream;

const PATHS: &str = "paths = [\"/orders/\"]\nmethods = [\"GET\", \"POST\"]\n";

/// A listener that takes the certificates of `partners`, the issuer `corp` and these tables.
fn setup(upstream: &Upstream, route: &str, partner: &str, more: &str) -> Setup {
    let partners = mtls::setup(upstream, ", mode = \"optional\"");
    Setup {
        top: "state_dir = \"state\"".to_owned(),
        route: format!("{PATHS}{route}"),
        more: format!(
            "{}{}[identity.partner]\nclient_ca = \"partners\"\n{partner}\n{more}",
            partners.more,
            Issuer::table("token = \"header:X-Token\"\nclaims = { company = \"sub\" }"),
        ),
        ..partners
    }
}

async fn start(setup: &Setup, issuer: &Issuer, rules: &str) -> Front {
    let folder = setup.write(rules);
    issuer.publish(&folder);
    Front::start_in(folder).await
}

/// A request of this client with these fields.
async fn ask(address: SocketAddr, client: Option<&Issued>, fields: &str) -> Answer {
    let target = format!("/orders/1 HTTP/1.1\r\n{fields}X-Rest:");
    let answer = mtls::ask(address, "api.test", client, SslVersion::TLS1_3, &target).await;
    answer.unwrap()
}

fn fingerprint(client: &Issued) -> String {
    let certificate = openssl::x509::X509::from_pem(&client.chain_pem).unwrap();
    let sha256 = openssl::sha::sha256(&certificate.to_der().unwrap());
    sha256.iter().map(|byte| format!("{byte:02x}")).collect()
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
async fn one_rule_serves_tokens_and_certificates() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let route = "identity = [\"corp\", \"partner\"]\nrequire = { company = [\"anna\", \"A Partner\"] }\nforward_identity = \"claims\"\n";
    let partner = "subject = \"cn\"\nclaims = { company = \"cn\" }\nheaders = { X-Company = \"company\", X-Identity-Subject = \"sub\" }";
    let setup = setup(&upstream, route, partner, "");
    let front = start(&setup, &issuer, RULES).await;
    let (own, other) = (
        pki::client(&CORP, "A Partner"),
        pki::client(&CORP, "Partner"),
    );
    let token = |claims: Value| format!("X-Token: {}\r\n", issuer.token(claims));
    for (what, client, fields, status, reason) in [
        ("a certificate", Some(&own), String::new(), 200, Value::Null),
        ("a token", None, token(json!({})), 200, Value::Null),
        ("both", Some(&other), token(json!({})), 200, Value::Null),
        ("nothing", None, String::new(), 401, json!("missing")),
        (
            "another certificate",
            Some(&other),
            String::new(),
            403,
            json!("insufficient_scope"),
        ),
        (
            "a bad token beside a good certificate",
            Some(&own),
            token(json!({ "exp": 1 })),
            401,
            json!("expired"),
        ),
    ] {
        let answer = ask(front.address, client, &fields).await;
        assert_eq!(answer.status, status, "{what}");
        let id = match status {
            200 => got(&answer, "x-request-id").remove(0),
            _ => answer.header("x-request-id").unwrap().to_owned(),
        };
        let line = front.line_of(&id).await;
        assert_eq!(line["identity"]["reason"], reason, "{what}: {line}");
        let has_challenge = answer.header("www-authenticate").is_some();
        assert_eq!(has_challenge, status == 401, "{what}");
    }
    let answer = ask(front.address, Some(&own), "X-Company: forged\r\n").await;
    assert_eq!(got(&answer, "x-company"), ["A%20Partner"]);
    assert_eq!(got(&answer, "x-identity-subject"), ["A Partner"]);
    assert_eq!(got(&answer, "client-cert").len(), 1, "RFC 9440");
    let line = front.line_of(&got(&answer, "x-request-id")[0]).await;
    assert_eq!(
        line["identity"],
        json!({ "name": "partner", "issuer": "CN=Corp CA 2026", "subject": "A Partner", "token_id": fingerprint(&own) })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_for_certificates_alone_is_403_without_one() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let route = "identity = \"partner\"\nforward_identity = \"signed\"\n";
    let more = "[signing]\nissuer = \"https://door.test\"\nclaims = [\"cn\"]\n";
    let setup = setup(&upstream, route, "denied = \"denied.txt\"", more);
    let rules = r#"
SecRule IDENTITY:cn "@streq mallory" "id:1,phase:1,deny,status:406,log,msg:'mallory'"
SecRule IDENTITY:provider "!@streq partner" "id:2,phase:1,deny,status:407,log,msg:'nobody'"
"#;
    let folder = setup.write(rules);
    issuer.publish(&folder);
    let denied = pki::client(&CORP, "denied");
    std::fs::write(folder.join("denied.txt"), fingerprint(&denied)).unwrap();
    let front = Front::start_in(folder).await;
    let (own, mallory) = (pki::client(&CORP, "own"), pki::client(&CORP, "mallory"));
    let token = format!("X-Token: {}\r\n", issuer.token(json!({})));
    for (client, fields, status, reason) in [
        (None, "", 403, json!("certificate_missing")),
        (None, token.as_str(), 403, json!("certificate_missing")),
        (Some(&denied), "", 403, json!("denied")),
        (Some(&mallory), "", 406, Value::Null),
    ] {
        let answer = ask(front.address, client, fields).await;
        assert_eq!(answer.status, status, "{reason}");
        let line = front.line_of(answer.header("x-request-id").unwrap()).await;
        assert_eq!(line["identity"]["reason"], reason, "{line}");
    }
    let answer = ask(front.address, Some(&own), "").await;
    let signed = got(&answer, "authorization").remove(0);
    let payload = signed.split('.').nth(1).unwrap();
    let padded = format!("{payload}{}", "=".repeat((4 - payload.len() % 4) % 4));
    let claims = openssl::base64::decode_block(&padded.replace('-', "+").replace('_', "/"));
    let claims: Value = serde_json::from_slice(&claims.unwrap()).unwrap();
    assert_eq!(
        (&claims["sub"], &claims["idp"], &claims["cn"]),
        (&json!("CN=own"), &json!("CN=Corp CA 2026"), &json!(["own"]))
    );
    assert!(claims["cnf"]["x5t#S256"].is_string(), "{claims}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_speaks_for_routes_that_say_nothing() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let route = |name: &str, keys: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\nhosts = [\"api.test\"]\npaths = [\"/{name}/\"]\nlisteners = [\"public\"]\nupstream = \"orders\"\npolicy = \"default\"\n{keys}\n"
        )
    };
    let more = [
        Issuer::table(""),
        route("open", "identity = \"none\""),
        route(
            "optional",
            "identity = \"corp\"\nidentity_mode = \"optional\"",
        ),
        route("write", "require = { scope = [\"none.such\"] }"),
    ];
    let setup = Setup {
        listener: "identity = \"corp\"\nrequire = { scope = [\"orders.read\"] }\nforward_identity = \"claims\"\n".to_owned(),
        more: more.concat(),
        ..Setup::to(&upstream)
    };
    let front = start(&setup, &issuer, RULES).await;
    let (good, other) = (
        issuer.token(json!({})),
        issuer.token(json!({ "scope": "other" })),
    );
    for (path, token, status) in [
        ("/orders/", None, 401),
        ("/orders/", Some(&good), 200),
        ("/orders/", Some(&other), 403),
        ("/open/", None, 200),
        ("/optional/", None, 200),
        ("/optional/", Some(&other), 200),
        ("/write/", Some(&good), 403),
        ("/write/", None, 401),
    ] {
        let field = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let field = field.unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\nHost: api.test\r\n{field}\r\n");
        let answer = raw(front.address, request.as_bytes()).await.unwrap();
        assert_eq!(answer.status, status, "{path} {}", token.is_some());
        if (path, status) == ("/orders/", 200) {
            assert_eq!(got(&answer, "x-identity-subject"), ["anna"]);
        }
        if (path, status) == ("/optional/", 200) && token.is_some() {
            assert_eq!(got(&answer, "authorization").len(), 1, "as it came");
        }
    }
}

#[test]
fn a_verb_judges_certificates() {
    let setup = Setup {
        servers: vec!["127.0.0.1:1".parse().unwrap()],
        listener: "client_ca = { trust = \"partners\" }".to_owned(),
        route: format!("{PATHS}identity = \"partner\"\n"),
        more: "[trust.partners]\nca = [\"corp-ca.pem\"]\n[identity.partner]\nclient_ca = \"partners\"\nsubject = \"dns\"\n".to_owned(),
        ..Setup::default()
    };
    let folder = setup.write(RULES);
    let check = |file: &Path, issued: Issued| {
        std::fs::write(file, &issued.chain_pem).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
        let words = ["identity", "check", "partner", "--output", "json"];
        command.args(words).arg("--certificate").arg(file);
        command.arg("--config").arg(folder.join("drawbridge.toml"));
        let output = command.output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), said)
    };
    let file = folder.join("client-under-test.pem");
    let (code, said) = check(&file, pki::client(&CORP, "a.partner.test"));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said["certificate"]["claims"]["sub"], "a.partner.test");
    assert_eq!(
        said["certificate"]["claims"]["san"],
        json!(["DNS:a.partner.test"])
    );
    let (code, said) = check(&file, pki::client(&pki::OLD, "a.partner.test"));
    assert_eq!(
        (code, &said["certificate"]["reason"]),
        (Some(1), &json!("certificate_untrusted"))
    );
    let (code, said) = check(&file, pki::common_name(&CORP, "a"));
    assert_eq!(code, Some(1), "a server's certificate: {said}");
    std::fs::remove_dir_all(folder).unwrap();
}

/// Each mistake is reported where it is, and all at once.
#[test]
fn mistakes_are_reported_together() {
    let setup = Setup {
        servers: vec!["127.0.0.1:1".parse().unwrap()],
        listener: "identity = \"corpo\"".to_owned(),
        route: format!("{PATHS}identity = \"partner\"\nforward_identity = \"signed\"\n"),
        more: "[trust.partners]\nca = [\"corp-ca.pem\"]\n[identity.partner]\nclient_ca = \"partners\"\nissuer = \"x\"\nsubject = \"name\"\n\
            [identity.twin]\nclient_ca = \"partners\"\n[identity.none]\nclient_ca = \"nobody\"\ndenied = \"https://list.test/\"\n\
            [listeners.plain]\nbind = [\"127.0.0.1:0\"]\nredirect_to_https = \"public\"\nidentity = \"twin\"\n\
            [listeners.inner]\nbind = [\"127.0.0.1:0\"]\ncertificates = [{ chain = \"front.pem\", key = \"front.key\" }]\nrequire = { a = [\"b\"] }\n\
            [[routes]]\nname = \"twin\"\nhosts = [\"api.test\"]\npaths = [\"/twin/\"]\nlisteners = [\"public\"]\nupstream = \"orders\"\npolicy = \"default\"\nidentity = \"twin\"\n\
            [[routes]]\nname = \"idle\"\nhosts = [\"api.test\"]\npaths = [\"/idle/\"]\nlisteners = [\"inner\"]\nupstream = \"orders\"\npolicy = \"default\"\nidentity_mode = \"optional\"\n".to_owned(),
        ..Setup::default()
    };
    let folder = setup.write(RULES);
    let found = drawbridge::config::load(&folder.join("drawbridge.toml")).unwrap_err();
    let found: String = found.iter().map(|problem| problem.render(false)).collect();
    for part in [
        "there is no identity \"corpo\"",
        "unknown key \"issuer\"",
        "\"subject\" must be",
        "identity \"partner\" has the same client_ca",
        "\"denied\" of client certificates is a file, not a URL",
        "no identity can be called \"none\"",
        "there is no trust \"nobody\"",
        "\"identity\" is for listeners with certificates",
        "\"require\" has an effect only beside \"identity\"",
        "\"identity_mode\" has an effect only beside \"identity\"",
        "needs a [signing] table",
        "no listener here asks for them",
    ] {
        assert!(found.contains(part), "{part}\n{found}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}
