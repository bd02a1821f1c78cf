//! Who a client says that it is, and where it says that it comes from, is for trusted proxies to say.

use std::process::Command;

use serde_json::Value;

use crate::front::{Front, Setup};
use crate::requests::echo;
use support::client::{Http2, h2_request, raw};

const FIELDS: [&str; 30] = [
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-User",
    "X-Forwarded-Groups",
    "X-Forwarded-Client-Cert",
    "X-Forwarded",
    "Forwarded",
    "X-Real-IP",
    "X-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-Cluster-Client-IP",
    "Remote-User",
    "X-Remote-User",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-SSL-Client-Verify",
    "SSL-Client-S-DN",
    "X-Client-Cert",
    "X-ARR-ClientCert",
    "X-MS-Client-Principal-Name",
    "X-Envoy-Original-Path",
    "X-Auth-Request-Email",
    "X-WEBAUTH-USER",
    "X-Original-Host",
];

/// The lines of the gateway's head that hold this value.
fn with_value(echo: &Value, value: &str) -> Vec<String> {
    let headers = echo["headers"].as_array().unwrap().iter();
    let headers = headers.map(|line| line.as_str().unwrap().to_owned());
    headers.filter(|line| line.contains(value)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_passes_no_identity_in_any_spelling() {
    let upstream = echo().await;
    let front = Front::start(&Setup::to(&upstream)).await;
    let spellings = FIELDS.iter().flat_map(|name| {
        let dashed = [(*name).to_owned(), name.to_uppercase(), name.to_lowercase()];
        let others = ["_", ".", "~", "!"].map(|separator| name.replace('-', separator));
        dashed.into_iter().chain(others)
    });
    let twins = [
        "Content_Length",
        "Transfer_Encoding",
        "Transfer.Encoding",
        "Content_Type",
        "Proxy",
    ];
    let names: Vec<String> = spellings.chain(twins.map(str::to_owned)).collect();
    let mut h2 = Http2::connect(front.address, "api.test").await;
    for few in names.chunks(40) {
        let fields: Vec<String> = few
            .iter()
            .map(|name| format!("{name}: forged\r\n"))
            .collect();
        let request = format!(
            "GET /orders/ HTTP/1.1\r\nHost: api.test\r\nX-Mine: forged\r\n{}\r\n",
            fields.concat()
        );
        let over_h1 = raw(front.address, request.as_bytes()).await.unwrap().json();
        assert_eq!(with_value(&over_h1, "forged"), ["X-Mine: forged"]);
        let request = h2_request("GET", "https://api.test/orders/").header("x-mine", "forged");
        let request = few
            .iter()
            .fold(request, |request, name| request.header(name, "forged"));
        let over_h2 = h2.request(request.body(()).unwrap(), None).await.json();
        assert_eq!(with_value(&over_h2, "forged").len(), 1, "{over_h2}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxys_fields_are_kept_as_they_are_spelled() {
    let upstream = echo().await;
    let setup = Setup {
        listener: "trusted_proxies = [\"127.0.0.0/8\"]".to_owned(),
        ..Setup::to(&upstream)
    };
    let front = Front::start(&setup).await;
    let request = "GET /orders/ HTTP/1.1\r\nHost: api.test\r\nX-Forwarded-Port: 8443-kept\r\n\
        X_Forwarded_Port: 1-twin\r\nRemote-User: kept\r\nREMOTE_USER: twin\r\nX-Real-IP: kept\r\n\
        Content_Length: twin\r\nClient-Cert: twin\r\n\r\n";
    let echo = raw(front.address, request.as_bytes()).await.unwrap().json();
    let kept = [
        "X-Forwarded-Port: 8443-kept",
        "Remote-User: kept",
        "X-Real-IP: kept",
    ];
    assert_eq!(with_value(&echo, "kept"), kept);
    assert_eq!(with_value(&echo, "twin"), Vec::<String>::new());
}

#[test]
fn a_verb_shows_the_table() {
    let headers = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drawbridge"));
        let output = command.arg("headers").args(arguments).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let all: Value = serde_json::from_str(&headers(&["--output", "json"])).unwrap();
    assert!(all["fields"].as_array().unwrap().len() > 100);
    let names = [
        "x_forwarded_user",
        "content_length",
        "Accept",
        "--output",
        "json",
    ];
    let some: Value = serde_json::from_str(&headers(&names)).unwrap();
    assert_eq!(some["fields"][0]["rule"], "x-forwarded-*");
    assert_eq!(some["fields"][0]["dropped"], "unless_trusted");
    assert_eq!(some["fields"][1]["dropped"], "always");
    assert_eq!(some["fields"][2]["rule"], Value::Null);
    let human = headers(&["X-Real-IP"]);
    assert!(
        human.contains("dropped from all but trusted proxies"),
        "{human}"
    );
}
