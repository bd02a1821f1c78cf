//! The recipes of docs/identity-cookbook.md: their tables load, their tokens pass, and what the page says of others is true.

use std::fmt::Write as _;

use openssl::ssl::SslVersion;
use openssl::x509::X509;
use serde_json::{Value, json};
use toml::Table;

use crate::front::{Front, RULES, Setup};
use crate::issuer::{Issuer, Key};
use crate::mtls;
use crate::requests::echo;
use crate::tokens::now;
use support::client::{Answer, raw};
use support::pki::{self, CORP};
use support::upstream::Upstream;

const PAGE: &str = include_str!("../../docs/identity-cookbook.md");

/// The fenced blocks of this language below a heading.
fn blocks(heading: &str, language: &str) -> Vec<&'static str> {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let fence = format!("```{language}\n");
    let blocks = section.split(&fence).skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

/// The lines of a table, each value on its own.
fn lines(table: &Table) -> String {
    table.iter().fold(String::new(), |mut lines, (key, value)| {
        writeln!(lines, "{key} = {value}").unwrap();
        lines
    })
}

/// A front door with the tables of a recipe.
fn setup(upstream: &Upstream, recipe: &str, change: impl FnOnce(&mut Table)) -> Setup {
    let recipe: Table = recipe.parse().unwrap();
    let (name, identity) = recipe["identity"]
        .as_table()
        .unwrap()
        .iter()
        .next()
        .unwrap();
    let mut identity = identity.as_table().unwrap().clone();
    change(&mut identity);
    let mut route = recipe["routes"][0].as_table().unwrap().clone();
    assert_eq!(route.remove("name").unwrap().as_str(), Some("orders"));
    let table = |of: &str, name: &str| {
        let table = recipe.get(of)?.get(name)?.as_table();
        table.map(lines)
    };
    let partners = table("trust", "partners");
    let partners = partners.map(|lines| format!("[trust.partners]\n{lines}"));
    Setup {
        listener: table("listeners", "public").unwrap_or_default(),
        route: format!("paths = [\"/\"]\n{}", lines(&route)),
        more: format!(
            "{}[identity.{name}]\n{}",
            partners.unwrap_or_default(),
            lines(&identity)
        ),
        ..Setup::to(upstream)
    }
}

/// The fields of identity that the gateway got.
fn got(answer: &Answer) -> Vec<String> {
    let headers = answer.json()["headers"].as_array().unwrap().clone();
    let lines = headers
        .iter()
        .map(|line| line.as_str().unwrap().to_lowercase());
    let mut own: Vec<_> = lines
        .filter(|line| {
            ["x-user: ", "x-client: ", "x-roles: ", "x-partner: "]
                .iter()
                .any(|name| line.starts_with(name))
        })
        .collect();
    own.sort();
    own
}

/// What an issuer's recipe promises: the token on the page passes, and changed ones do not.
async fn issuer_recipe(heading: &str, fields: &[&str], others: &[(Value, u16, &str)]) {
    let (upstream, key) = (echo().await, Key::new());
    let issuer = Issuer::start(&[&key]).await;
    let setup = setup(&upstream, blocks(heading, "toml")[0], |identity| {
        // What stands for the provider here: its address, its CA and its kind of key.
        identity.insert("issuer".to_owned(), issuer.url().into());
        identity.insert("trust".to_owned(), "onprem".into());
        identity.insert("algorithms".to_owned(), vec!["ES256"].into());
    });
    let front = Front::start_in(setup.write(RULES)).await;
    let token = |change: &Value| {
        let mut claims: Value = serde_json::from_str(blocks(heading, "json")[0]).unwrap();
        claims["iss"] = json!(issuer.url());
        claims["exp"] = json!(now() + 300);
        let claims = claims.as_object_mut().unwrap();
        claims.extend(change.as_object().unwrap().clone());
        key.0.sign("JWT", claims).unwrap()
    };
    let ask = async |change: &Value| {
        let request = format!(
            "GET /orders/1 HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {}\r\n\r\n",
            token(change)
        );
        raw(front.address, request.as_bytes()).await.unwrap()
    };
    let answer = ask(&json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(got(&answer), fields);
    for (change, status, reason) in others {
        let answer = ask(change).await;
        assert_eq!(answer.status, *status, "{change}");
        let id = answer.header("x-request-id").unwrap().to_owned();
        let line = front.line_of(&id).await;
        assert_eq!(line["identity"]["reason"], *reason, "{change}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keycloak() {
    let fields = [
        "x-client: shop",
        "x-roles: clerk offline_access",
        "x-user: 5d2b7a0e-5d5f-4a53-8a1c-1f6f0a4f2c11",
    ];
    let others = [
        (json!({ "aud": "account" }), 401, "audience"),
        (
            json!({ "iss": "http://sso.corp.example/realms/prod" }),
            401,
            "issuer",
        ),
        (json!({ "scope": "profile" }), 403, "insufficient_scope"),
        (
            json!({ "realm_access": { "roles": ["offline_access"] } }),
            403,
            "insufficient_scope",
        ),
    ];
    issuer_recipe("Keycloak behind a private CA", &fields, &others).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entra_id() {
    let fields = [
        "x-client: 0f6c3c52-0c5c-4ad6-8a6e-3f0a4a0c8b77",
        "x-roles: clerk",
        "x-user: 9b6d1f8c-9f4f-4d0c-9b55-9f0a8a1d9e21",
    ];
    let others = [
        (
            json!({ "iss": "https://sts.windows.net/TENANT-ID/" }),
            401,
            "issuer",
        ),
        (
            json!({ "aud": "00000003-0000-0000-c000-000000000000" }),
            401,
            "audience",
        ),
        (
            json!({ "roles": null, "scp": "orders.read" }),
            403,
            "insufficient_scope",
        ),
        (json!({ "tid": "another" }), 403, "insufficient_scope"),
    ];
    issuer_recipe("Entra ID", &fields, &others).await;
}

const PARTNER: &str = "A partner with client certificates";

fn write(setup: &Setup) -> std::path::PathBuf {
    let folder = setup.write(RULES);
    let ca = std::fs::read(folder.join("corp-ca.pem")).unwrap();
    std::fs::write(folder.join("partners-ca.pem"), ca).unwrap();
    std::fs::write(folder.join("denied-partners.txt"), "shop-8\n").unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_by_certificate_alone() {
    let upstream = echo().await;
    let setup = setup(&upstream, blocks(PARTNER, "toml")[0], |_| {});
    let front = Front::start_in(write(&setup)).await;
    for (name, status, reason) in [
        (Some("shop-7"), 200, Value::Null),
        (Some("shop-8"), 403, json!("denied")),
        (Some("shop-9"), 403, json!("insufficient_scope")),
        (None, 403, json!("certificate_missing")),
    ] {
        let client = name.map(|name| pki::client(&CORP, name));
        let (version, target) = (SslVersion::TLS1_3, "/orders/1");
        let answer = mtls::ask(front.address, "api.test", client.as_ref(), version, target).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, status, "{name:?}");
        if status == 200 {
            assert_eq!(got(&answer), ["x-partner: shop-7"]);
            continue;
        }
        let line = front.line_of(answer.header("x-request-id").unwrap()).await;
        assert_eq!(line["identity"]["reason"], reason, "{name:?}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_by_token_and_certificate() {
    let (upstream, key) = (echo().await, Key::new());
    let setup = setup(&upstream, blocks(PARTNER, "toml")[1], |_| {});
    let folder = write(&setup);
    std::fs::write(folder.join("partner-keys.json"), key.0.public_set()).unwrap();
    let front = Front::start_in(folder).await;
    let (own, other) = (pki::client(&CORP, "shop-7"), pki::client(&CORP, "shop-9"));
    let certificate = X509::from_pem(&own.chain_pem).unwrap();
    let thumbprint = openssl::sha::sha256(&certificate.to_der().unwrap());
    let bound = json!({ "x5t#S256": identity::thumbprint_text(&thumbprint) });
    for (client, cnf, status, reason) in [
        (&own, Some(&bound), 200, Value::Null),
        (&other, Some(&bound), 401, json!("binding")),
        (&own, None, 401, json!("binding_missing")),
    ] {
        let mut claims = json!({
            "iss": "https://login.partner.example", "aud": "https://api.example.com",
            "sub": "shop-7", "scope": "orders.read", "exp": now() + 300,
        });
        if let Some(cnf) = cnf {
            claims["cnf"] = cnf.clone();
        }
        let token = key.0.sign("at+jwt", claims.as_object().unwrap()).unwrap();
        let target = format!("/orders/1 HTTP/1.1\r\nAuthorization: Bearer {token}\r\nX-Rest:");
        let version = SslVersion::TLS1_3;
        let answer = mtls::ask(front.address, "api.test", Some(client), version, &target).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, status, "{reason}");
        if status != 200 {
            let line = front.line_of(answer.header("x-request-id").unwrap()).await;
            assert_eq!(line["identity"]["reason"], reason, "{line}");
        }
    }
}
