//! `drawbridge routes show`: what a route demands of callers, and which names nobody can forge.

use serde_json::{Value, json};

use crate::doctor::{self, drawbridge};
use crate::front::{Front, RULES, Setup};
use crate::requests::echo;
use crate::tokens::Issuer;
use support::client::raw;

#[tokio::test(flavor = "multi_thread")]
async fn a_route_is_shown_as_it_works() {
    let (upstream, issuer) = (echo().await, Issuer::new());
    let table = "headers = { X-User = \"sub\", X-Roles = \"scope\" }\n\
        [identity.other]\nissuer = \"https://other.test\"\naudiences = [\"a\"]\njwks = \"file:idp.json\"\ntoken = \"header:X-Auth-Token\"";
    let setup = Setup {
        listener: "identity = \"corp\"\nrequire = { scope = [\"orders.read\"] }".to_owned(),
        route: "paths = [\"/orders/\"]\nmethods = [\"GET\"]\nforward_identity = \"claims\"\n"
            .to_owned(),
        more: Issuer::table(table),
        ..Setup::to(&upstream)
    };
    let folder = setup.write(RULES);
    issuer.publish(&folder);
    let front = Front::start_in(folder).await;
    let shown = drawbridge(
        &front.folder,
        &["routes", "show", "orders", "--output", "json"],
    )
    .await;
    let report = doctor::json(&shown);
    let route = &report["route"];
    assert_eq!(route["methods"], json!(["GET"]));
    assert_eq!(route["upstream"], "orders");
    assert_eq!(route["mode"], "block");
    let identity = &route["listeners"][0]["identity"];
    assert_eq!(identity["said_by"], "listener");
    assert_eq!(identity["identities"], json!(["corp"]));
    assert_eq!(identity["require"], json!({ "scope": ["orders.read"] }));
    assert_eq!(identity["forward"], "claims");
    assert_eq!(
        route["tokens"],
        json!([{ "identity": "corp", "place": "Authorization: Bearer", "forwarded": false }])
    );

    // What the table says of each name is what happens to it.
    let token = issuer.token(json!({}));
    for field in route["fields"].as_array().unwrap() {
        let name = field["name"].as_str().unwrap();
        let twin = name.replace('-', "_").to_uppercase();
        let request = format!(
            "GET /orders/ HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {token}\r\n{name}: forged\r\n{twin}: forged\r\n\r\n"
        );
        let answer = raw(front.address, request.as_bytes()).await.unwrap();
        let echoed: Value = answer.json();
        let headers = echoed["headers"].to_string().to_lowercase();
        let is_own = field["removed"] == "every spelling but its own";
        assert_eq!(
            headers.matches("forged").count(),
            usize::from(is_own),
            "{headers}"
        );
        let is_set = headers.contains(&format!("\"{}: ", name.to_lowercase()));
        assert_eq!(is_set, is_own || field["set"] == true, "{field} {headers}");
    }
    let named = |name: &str| {
        let mut fields = route["fields"].as_array().unwrap().iter();
        fields.find(|field| field["name"] == name).unwrap().clone()
    };
    assert_eq!(named("X-User")["set"], true);
    assert_eq!(named("Client-Cert")["set"], false);

    let text = async |args: &[&str]| {
        let output = drawbridge(&front.folder, args).await;
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, out) = text(&["routes", "show", "orders"]).await;
    assert_eq!(code, Some(0));
    for part in [
        "  identity  corp, required, as the listener says\n",
        "  require   scope: all of orders.read\n",
        "every spelling: sub of corp; the gateway gets ours\n",
        "every spelling but its own: the token of other\n",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (code, out) = text(&["routes", "show"]).await;
    assert_eq!(code, Some(0));
    assert!(
        out.starts_with("orders  GET  ") && out.contains("identity corp\n"),
        "{out}"
    );
    let (code, out) = text(&["routes", "show", "nowhere"]).await;
    assert_eq!(code, Some(1));
    assert!(out.contains("there are: orders"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_route_changes_is_shown() {
    let upstream = echo().await;
    let front = Front::start(&Setup {
        listener: "rate_limits = [\"slow\"]".to_owned(),
        route: "paths = [\"/orders/\"]\npath_regex = '/orders/(?<id>[0-9]+)'\nrewrite = { path = \"/v2/{path.id}\" }\n\
                cors = \"app\"\nrate_limits = [\"fast\"]\nsecurity_headers = \"strict\"\n\
                request_headers = { set = { X-Id = \"{path.id}\" }, remove = [\"X-Debug\"] }\n\
                response_headers = { add = { X-B = \"b\" } }\n"
            .to_owned(),
        more: "[limits.slow]\nrate = \"1000/s\"\n[limits.fast]\nrate = \"2000/s\"\n[cors.app]\norigins = [\"https://a.test\"]\n\
               [security_headers.strict]\nframe = \"deny\"\n\
               [[routes]]\nname = \"old\"\nhosts = [\"api.test\"]\npaths = [\"/old/\"]\nlisteners = [\"public\"]\n\
               policy = \"default\"\nredirect = { to = \"/orders/{below}\", status = 301 }\n"
            .to_owned(),
        ..Setup::to(&upstream)
    })
    .await;
    let shown = async |args: &[&str]| {
        let output = drawbridge(&front.folder, &[&["routes", "show"], args].concat()).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = shown(&["orders"]).await;
    for line in [
        "matching  /orders/(?<id>[0-9]+): other paths do not exist",
        "asked for /v2/{path.id}?{query}",
        "cors      app (https://a.test); preflights are answered here",
        "limits    fast",
        "request   set X-Id, remove X-Debug",
        "response  add X-B",
        "browsers  are told by strict (X-Content-Type-Options, X-Frame-Options)",
        "  limits    slow",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
    let json: Value = serde_json::from_str(&shown(&["orders", "--output", "json"]).await).unwrap();
    let route = &json["route"];
    assert_eq!(route["rewrite"], "/v2/{path.id}?{query}");
    assert_eq!(route["cors"], "app (https://a.test)");
    assert_eq!(route["rate_limits"], json!(["fast"]));
    assert_eq!(route["listeners"][0]["rate_limits"], json!(["slow"]));
    assert_eq!(route["request_headers"], "set X-Id, remove X-Debug");
    assert_eq!(route["security_headers"], "strict");
    let text = shown(&["old"]).await;
    assert!(
        text.contains("answer    redirect 301 to /orders/{below}\n"),
        "{text}"
    );
}
