//! Which content codings gateways are asked for.

use crate::front::{Front, RULES, Setup, wait};
use crate::requests::echo;
use support::client::raw;

/// As the CRS does it.
const SKIPS: &str = "SecRule RESPONSE_HEADERS:Content-Encoding \"@pm gzip br\" \"id:950010,phase:4,pass,nolog,skipAfter:END\"\n\
                     SecRule RESPONSE_BODY \"@contains secret\" \"id:950011,phase:4,deny\"\nSecMarker END\n";

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_read_no_compressed_answers_get_none() {
    let upstream = echo().await;
    for (access, policy, expected) in [
        ("On", "", "identity"),
        ("On", "response_encoding = \"identity\"", "identity"),
        ("On", "response_encoding = \"client\"", "gzip, br"),
        ("Off", "", "gzip, br"),
        ("Off", "response_encoding = \"identity\"", "identity"),
    ] {
        let setup = Setup {
            policy: policy.to_owned(),
            ..Setup::to(&upstream)
        };
        let rules = format!("SecResponseBodyAccess {access}\n{RULES}{SKIPS}");
        let front = Front::start_with(&setup, &rules).await;
        let request =
            "GET /orders/ HTTP/1.1\r\nHost: api.test\r\nAccept-Encoding: gzip, br\r\n\r\n";
        let answer = raw(front.address, request.as_bytes()).await.unwrap();
        let sent: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
        let fields = sent["headers"].as_array().unwrap().iter();
        let fields: Vec<_> = fields
            .filter_map(|field| field.as_str()?.split_once(": "))
            .filter(|(name, _)| name.eq_ignore_ascii_case("accept-encoding"))
            .collect();
        let values: Vec<_> = fields.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [expected], "{access} {policy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_log_is_written_though_no_rule_asks_for_it() {
    let upstream = echo().await;
    let text = |setup: &Setup| {
        setup
            .text()
            .replace("[log]", "[log]\naudit = \"audit.log\"")
    };
    let setup = Setup::to(&upstream);
    let folder = setup.write(RULES);
    std::fs::write(folder.join("drawbridge.toml"), text(&setup)).unwrap();
    let front = Front::start_in(folder.clone()).await;
    let ask = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n\r\n");
    let fine = raw(front.address, ask("/orders/?a=fine").as_bytes())
        .await
        .unwrap();
    assert_eq!(fine.status, 200);
    let attack = raw(front.address, ask("/orders/?a=attack").as_bytes())
        .await
        .unwrap();
    assert_eq!(attack.status, 403);
    let written = || std::fs::read_to_string(folder.join("audit.log")).unwrap_or_default();
    let found = wait(|| written().contains('\n').then_some(())).await;
    assert!(found.is_some(), "no record is written");
    let record: serde_json::Value =
        serde_json::from_str(written().lines().next().unwrap()).unwrap();
    let messages = &record["transaction"]["messages"];
    assert_eq!(messages[0]["details"]["ruleId"], "1", "{record}");
    assert_eq!(written().lines().count(), 1, "what is fine is not recorded");
}
