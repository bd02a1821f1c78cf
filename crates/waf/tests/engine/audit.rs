//! Audit records: who gets one, what is in it, and that no secret leaves the engine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;
use waf::{RuleSet, Transaction};

const BASE: &str = r#"
SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain
SecAuditEngine RelevantOnly
SecAuditLogParts ABCEFHIJKZ
SecComponentSignature "OWASP_CRS/4.29.0"
SecRule REQUEST_HEADERS:Content-Type "@contains json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "@contains xml" "id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML"
"#;

/// A rule that matches everything, in every form that transformations and captures give it.
const NOSY: &str = r#"
SecRule REQUEST_LINE|REQUEST_URI|REQUEST_URI_RAW|QUERY_STRING|ARGS|ARGS_NAMES|REQUEST_HEADERS|REQUEST_COOKIES|FULL_REQUEST|REMOTE_USER "@rx (.*)" \
  "id:10,phase:1,pass,log,auditlog,capture,t:none,t:urlDecodeUni,t:lowercase,msg:'saw %{MATCHED_VAR}',logdata:'%{TX.1} in %{MATCHED_VAR_NAME}: %{MATCHED_VAR}',tag:'t/%{TX.0}',setvar:'tx.kept=%{TX.1}',setvar:'tx.mixed=a %{MATCHED_VAR} b'"
SecRule TX:kept|TX:mixed "@rx ...(.+)" "id:11,phase:1,pass,log,auditlog,capture,t:removeWhitespace,logdata:'%{TX.0} %{TX.1} %{tx.kept} %{tx.mixed}'"
SecRule REQUEST_BODY|ARGS|ARGS_POST|XML:/*|XML://@*|MULTIPART_PART_HEADERS|MATCHED_VARS "@rx (?s)(.+)" \
  "id:12,phase:2,pass,log,auditlog,capture,multiMatch,t:none,t:urlDecodeUni,t:compressWhitespace,logdata:'%{TX.1} %{MATCHED_VAR}'"
SecRule RESPONSE_HEADERS|RESPONSE_BODY "@rx (?s)(.+)" "id:13,phase:4,pass,log,auditlog,capture,logdata:'%{TX.1} %{MATCHED_VAR}'"
"#;

struct Exchange<'a> {
    target: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a [u8],
    answer: &'a [(&'a str, &'a str)],
    answer_body: &'a str,
}

impl Default for Exchange<'_> {
    fn default() -> Self {
        Self {
            target: "/",
            headers: &[("Host", "a.example"), ("User-Agent", "t/1")],
            body: b"",
            answer: &[("Content-Type", "text/plain")],
            answer_body: "",
        }
    }
}

fn rules(texts: &[&str]) -> Arc<RuleSet> {
    RuleSet::builder()
        .text("t.conf", texts.join("\n"))
        .build()
        .unwrap()
}

fn run(rules: &Arc<RuleSet>, exchange: &Exchange<'_>) -> Transaction {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let (client, server) = (address("192.0.2.1:4711"), address("198.51.100.2:443"));
    let mut t = Transaction::new(Arc::clone(rules), client, server, "unique-1");
    let line = format!("POST {} HTTP/1.1", exchange.target);
    t.request_line(
        line.as_bytes(),
        b"POST",
        exchange.target.as_bytes(),
        b"HTTP/1.1",
    );
    for (name, value) in exchange.headers {
        t.request_header(name.as_bytes(), value.as_bytes());
    }
    let stopped = t
        .request_headers_done()
        .or_else(|| t.request_body(exchange.body));
    if stopped.is_none() {
        let headers = exchange
            .answer
            .iter()
            .map(|(n, v)| (n.as_bytes(), v.as_bytes()));
        t.response_headers(200, b"HTTP/1.1", headers);
        t.response_body(exchange.answer_body.as_bytes(), true);
    }
    t.finish();
    t
}

fn parsed(t: &mut Transaction) -> Value {
    serde_json::from_slice(&t.audit_record().expect("a record").line()).unwrap()
}

/// Everything that leaves the engine about a transaction.
fn told(t: &mut Transaction) -> String {
    let mut all = Vec::new();
    for m in t.matched_rules() {
        all.extend_from_slice(format!("{}\n", m.operator).as_bytes());
        for piece in [
            &m.variable,
            &m.value,
            &m.transformed,
            &m.message,
            &m.data,
            &m.log_line,
            &m.version,
            &m.revision,
        ] {
            all.extend_from_slice(piece);
            all.push(b'\n');
        }
        all.extend(m.tags.iter().flatten());
    }
    if let Some(record) = t.audit_record() {
        all.extend(record.line());
        all.extend_from_slice(format!("{record:?}").as_bytes());
    }
    String::from_utf8_lossy(&all).to_ascii_lowercase()
}

#[test]
fn the_time_of_a_record_is_the_beginning_of_its_transaction() {
    let rules = rules(&[BASE, "SecAuditEngine On"]);
    let address = SocketAddr::from(([192, 0, 2, 1], 4711));
    let before = SystemTime::now();
    let mut t = Transaction::new(rules, address, address, "unique-1");
    let begun = SystemTime::now();
    t.request_line(b"GET / HTTP/1.1", b"GET", b"/", b"HTTP/1.1");
    assert_eq!(t.request_headers_done(), None);
    t.finish();
    let time = t.audit_record().expect("a record").time;
    assert!((before..=begun).contains(&time), "{time:?}");
}

#[test]
fn no_secret_leaves_the_engine() {
    let rules = rules(&[BASE, NOSY]);
    const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
    const JSON: (&str, &str) = ("Content-Type", "application/json");
    const XML: (&str, &str) = ("Content-Type", "text/xml");
    const MULTIPART: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=x");
    const HOST: (&str, &str) = ("Host", "a.example");
    fn exchange(
        headers: &'static [(&'static str, &'static str)],
        body: &'static [u8],
    ) -> Exchange<'static> {
        Exchange {
            headers,
            body,
            ..Exchange::default()
        }
    }
    let cases: Vec<(&str, Exchange<'_>)> = vec![
        ("query", Exchange { target: "/p?a=1&password=Zq7secretz&b=2", ..Exchange::default() }),
        ("query, encoded", Exchange { target: "/p?pass%77ord=Zq7secretz%26Zq7secretz&b", ..Exchange::default() }),
        ("card in query", Exchange { target: "/p?x=4111111111111111", ..Exchange::default() }),
        ("card in a name", Exchange { target: "/p?4111-1111-1111-1111=1", ..Exchange::default() }),
        ("card in the path", Exchange { target: "/4111111111111111/a", ..Exchange::default() }),
        ("authorization", exchange(&[HOST, ("Authorization", "Bearer Zq7secretz")], b"")),
        ("proxy", exchange(&[HOST, ("proxy-authorization", "Digest a=\"Zq7secretz\"")], b"")),
        ("cookie", exchange(&[HOST, ("Cookie", "a=Zq7secretz; b=%5aq7secretz")], b"")),
        ("api key", exchange(&[HOST, ("X-Api-Key", "Zq7secretz")], b"")),
        ("referer", exchange(&[HOST, ("Referer", "https://a/?token=Zq7secretz")], b"")),
        ("userinfo", exchange(&[HOST, ("Referer", "https://me:Zq7secretz@a/")], b"")),
        ("form", exchange(&[HOST, FORM], b"a=1&user[pwd]=Zq7secretz+Zq7secretz&b=2")),
        ("form, card", exchange(&[HOST, FORM], b"a=4111+1111+1111+1111")),
        ("json", exchange(&[HOST, JSON], br#"{"user":{"password":"Zq7secretz"},"api_key":["Zq7secretz"],"b":1}"#)),
        ("json in a form", exchange(&[HOST, FORM], br#"{"secret":"Zq7secretz"}"#)),
        ("card in json", exchange(&[HOST, JSON], br#"{"n":4111111111111111}"#)),
        ("xml", exchange(&[HOST, XML], b"<a><password>Zq7secretz</password><b token=\"Zq7secretz\">1</b></a>")),
        ("xml, cdata", exchange(&[HOST, XML], b"<a><password><![CDATA[Zq7secretz]]></password></a>")),
        ("xml, nested", exchange(&[HOST, XML], b"<a><m><name>pin</name><value><string>Zq7secretz</string></value></m></a>")),
        ("xml, named", exchange(&[HOST, XML], b"<a><entry key=\"pwd\">Zq7secretz</entry><add name=\"apiKey\" value=\"Zq7secretz\"/></a>")),
        ("xml, short", exchange(&[HOST, XML], b"<a><pin>Zq7</pin></a>")),
        ("xml, reference", exchange(&[HOST, XML], b"<a><password>Zq7&#115;ecretz&amp;Zq7</password></a>")),
        (
            "xml, soap",
            exchange(&[HOST, XML], b"<a><w:Password xmlns:w=\"u\" Type=\"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordText\">Zq7secretz</w:Password></a>"),
        ),
        ("json, named", exchange(&[HOST, FORM], br#"[{"name":"otp","value":"Zq7secretz"}]"#)),
        ("oauth", Exchange { target: "/cb?state=1&code=Zq7secretz&session=Zq7secretz", ..Exchange::default() }),
        ("signed", Exchange { target: "/b?sig=Zq7secretz&hmac=Zq7secretz", ..Exchange::default() }),
        ("saml", exchange(&[HOST, FORM], b"SAMLResponse=Zq7secretz%3D&assertion=Zq7secretz")),
        (
            "multipart",
            exchange(&[HOST, MULTIPART], b"--x\r\nContent-Disposition: form-data; name=\"passwd\"\r\n\r\nZq7secretz\r\n--x--\r\n"),
        ),
        (
            "response",
            Exchange {
                answer: &[("Content-Type", "text/plain"), ("Set-Cookie", "sid=Zq7secretz; Path=/")],
                answer_body: r#"{"access_token":"Zq7secretz","n":"4111111111111111"}"#,
                ..Exchange::default()
            },
        ),
    ];
    for (name, exchange) in &cases {
        let mut t = run(&rules, exchange);
        let told = told(&mut t);
        assert!(told.contains("[id \"10\"]"), "{name}: nothing is told");
        assert!(told.contains("***"), "{name}: nothing is masked");
        for secret in [
            "zq7",
            "4111111111111111",
            "1111-1111",
            "1111 1111",
            "1111+1111",
        ] {
            if let Some(at) = told.find(secret) {
                let from = at.saturating_sub(200);
                panic!(
                    "{name}: {secret} is told: ...{}",
                    &told[from..told.len().min(at + 40)]
                );
            }
        }
    }
}

#[test]
fn what_rules_name_is_masked_whenever_they_do() {
    let late = r#"
SecRule ARGS:note "@rx (.+)" "id:20,phase:2,pass,log,auditlog,capture,logdata:'%{TX.1} %{MATCHED_VAR}'"
SecRule ARGS:other "@rx (.+)" "id:21,phase:2,pass,log,auditlog,sanitiseMatched,t:lowercase,logdata:'%{MATCHED_VAR}'"
SecRule ARGS:note "@rx (.+)" "id:23,phase:2,pass,log,auditlog,tag:'fixed',tag:'t/%{MATCHED_VAR}',ver:'v/%{MATCHED_VAR}',rev:'r/%{MATCHED_VAR}'"
SecRule ARGS "@streq named" "id:24,phase:2,pass,log,auditlog"
SecAction "id:22,phase:5,pass,nolog,sanitiseArg:note,sanitiseRequestHeader:x-mine"
"#;
    let rules = rules(&[BASE, late]);
    let mut t = run(
        &rules,
        &Exchange {
            target: "/?note=Zq7one&other=Zq7two&x-Zq7one=named",
            headers: &[("Host", "a"), ("X-Mine", "Zq7three"), ("X-Zq7one", "1")],
            ..Exchange::default()
        },
    );
    let told = told(&mut t);
    for id in ["20", "21", "23", "24"] {
        assert!(told.contains(&format!("[id \"{id}\"]")), "{id}");
    }
    assert!(told.contains("[tag \"fixed\"]"), "{told}");
    assert!(!told.contains("zq7"), "{told}");
}

/// The text of a query or a form has the same bytes as an argument, perhaps percent-encoded.
#[test]
fn an_argument_that_rules_name_is_masked_in_the_text_it_was_read_from() {
    const WHOLE: &str = r#"
SecRule REQUEST_LINE|REQUEST_URI|REQUEST_URI_RAW|QUERY_STRING|FULL_REQUEST "@rx (?s)(.+)" "id:30,phase:1,pass,log,auditlog,capture,logdata:'%{TX.1} %{MATCHED_VAR}'"
SecRule REQUEST_BODY|FULL_REQUEST "@rx (?s)(.+)" "id:31,phase:2,pass,log,auditlog,t:lowercase,capture,logdata:'%{TX.1}'"
"#;
    for phase in [1, 5] {
        let action = format!("SecAction \"id:29,phase:{phase},pass,nolog,sanitiseArg:note\"");
        for value in ["Zq7one", "Zq7+%6F%6Ee", "Zq7%zz;one", "a&note=Zq7one"] {
            for name in ["note", "n%6fte", "NOTE"] {
                let pair = format!("{name}={value}");
                let rules = rules(&[BASE, &action, WHOLE]);
                let mut t = run(
                    &rules,
                    &Exchange {
                        target: &format!("/?plain=shown1&{pair}&after=shown2"),
                        headers: &[
                            ("Host", "a"),
                            ("Content-Type", "application/x-www-form-urlencoded"),
                        ],
                        body: format!("plain=shown3&{pair}&after=shown4").as_bytes(),
                        ..Exchange::default()
                    },
                );
                let told = told(&mut t);
                for shown in ["shown1", "shown2", "shown3", "shown4"] {
                    assert!(told.contains(shown), "{phase} {pair}: {shown}: {told}");
                }
                assert!(!told.contains("zq7"), "{phase} {pair}: {told}");
            }
        }
    }
}

#[test]
fn masking_can_be_turned_off() {
    let rules = RuleSet::builder()
        .text("t.conf", [BASE, NOSY].join("\n"))
        .unmasked()
        .build()
        .unwrap();
    let mut t = run(
        &rules,
        &Exchange {
            target: "/?password=Zq7secretz",
            ..Exchange::default()
        },
    );
    assert!(told(&mut t).contains("zq7secretz"));
}

#[test]
fn what_is_no_secret_is_told() {
    let rules = rules(&[BASE, NOSY]);
    let mut t = run(
        &rules,
        &Exchange {
            target: "/?q=' or 1=1--&password=x",
            ..Exchange::default()
        },
    );
    let told = told(&mut t);
    assert!(told.contains("' or 1=1--"), "{told}");
    assert!(told.contains("args:password: ***"), "{told}");
}

#[test]
fn who_gets_a_record() {
    let base = "SecRuleEngine On\nSecAuditLogRelevantStatus ^2\n";
    let quiet = "SecAction \"id:1,phase:1,pass,nolog\"";
    let loud = "SecAction \"id:1,phase:1,pass,log\"";
    for (text, expected) in [
        (format!("SecAuditEngine On\n{quiet}"), true),
        (format!("SecAuditEngine Off\n{loud}"), false),
        (format!("SecAuditEngine RelevantOnly\n{quiet}"), false),
        (format!("SecAuditEngine RelevantOnly\n{loud}"), true),
        (format!("SecAuditEngine RelevantOnly\n{base}{quiet}"), true),
        (
            "SecAuditEngine RelevantOnly\nSecAction \"id:1,phase:1,pass,log,noauditlog\""
                .to_owned(),
            false,
        ),
        (
            "SecAuditEngine RelevantOnly\nSecAction \"id:1,phase:1,deny,nolog\"".to_owned(),
            true,
        ),
        (
            "SecAuditEngine On\nSecAction \"id:1,phase:1,pass,nolog,ctl:auditEngine=Off\""
                .to_owned(),
            false,
        ),
        (
            format!("SecRuleEngine Off\nSecAuditEngine On\n{loud}"),
            false,
        ),
    ] {
        let text = format!("SecRuleEngine On\n{text}");
        let mut t = run(&rules(&[&text]), &Exchange::default());
        assert_eq!(t.audit_record().is_some(), expected, "{text}");
    }
}

#[test]
fn parts_choose_what_is_in_a_record() {
    let body = b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"n.txt\"\r\n\r\nCONTENT\r\n--x--\r\n";
    let exchange = Exchange {
        headers: &[
            ("Host", "a"),
            ("Content-Type", "multipart/form-data; boundary=x"),
        ],
        body,
        answer_body: "hello",
        ..Exchange::default()
    };
    let all = [
        ("B", "/request/headers/Host"),
        ("C", "/request/body"),
        ("I", "/request/body"),
        ("J", "/request/files/0/filename"),
        ("E", "/response/body"),
        ("F", "/response/headers/Date"),
        ("H", "/producer/components/0"),
        ("H", "/messages/0/details/ruleId"),
        ("K", "/drawbridge/matched_rules/0"),
    ];
    for part in ["A", "B", "C", "E", "F", "H", "I", "J", "K"] {
        let text = format!(
            "SecAuditEngine On\nSecAuditLogParts A{part}Z\nSecAction \"id:30,phase:2,pass,log,msg:'m'\""
        );
        let record = parsed(&mut run(&rules(&[BASE, &text]), &exchange));
        let record = &record["transaction"];
        for (of, pointer) in all {
            let same = of == part || (pointer == "/request/body" && matches!(part, "C" | "I"));
            assert_eq!(
                record.pointer(pointer).is_some(),
                same,
                "part {part}: {pointer}"
            );
        }
        assert_eq!(record["drawbridge"]["body"]["received"], body.len());
        match part {
            "C" => assert!(
                record["request"]["body"]
                    .as_str()
                    .unwrap()
                    .contains("CONTENT")
            ),
            "I" => assert_eq!(record["request"]["body"], "a=1"),
            "J" => assert_eq!(record["request"]["files"][0]["size"], 7),
            _ => {}
        }
    }
}

#[test]
fn modsecurity_v3_json() {
    let text = r#"SecRule ARGS:q "@contains bad" "id:40,phase:2,deny,status:406,log,msg:'no',logdata:'%{MATCHED_VAR}',severity:CRITICAL,ver:'v/1',tag:'attack-x',tag:'b',setvar:tx.blocking_inbound_anomaly_score=5""#;
    let exchange = Exchange {
        target: "/p?q=bad",
        ..Exchange::default()
    };
    let record = parsed(&mut run(&rules(&[BASE, text]), &exchange));
    let t = &record["transaction"];
    for (pointer, expected) in [
        ("/client_ip", Value::from("192.0.2.1")),
        ("/client_port", 4711.into()),
        ("/host_port", 443.into()),
        ("/unique_id", "unique-1".into()),
        ("/is_interrupted", true.into()),
        ("/request/method", "POST".into()),
        ("/request/http_version", 1.1.into()),
        ("/request/uri", "/p?q=bad".into()),
        ("/request/headers/Host", "a.example".into()),
        ("/response/http_code", 406.into()),
        ("/producer/secrules_engine", "Enabled".into()),
        ("/producer/components/0", "OWASP_CRS/4.29.0".into()),
        ("/messages/0/message", "no".into()),
        ("/messages/0/details/ruleId", "40".into()),
        ("/messages/0/details/severity", "2".into()),
        ("/messages/0/details/data", "bad".into()),
        ("/messages/0/details/file", "t.conf".into()),
        ("/messages/0/details/tags/1", "b".into()),
        ("/messages/0/details/maturity", "0".into()),
        ("/drawbridge/verdict", "block".into()),
        ("/drawbridge/interruption/rule_id", 40.into()),
        ("/drawbridge/score/inbound", 5.into()),
    ] {
        assert_eq!(t.pointer(pointer), Some(&expected), "{pointer}: {t}");
    }
    assert!(t["messages"][0]["details"]["lineNumber"].is_string());
    assert!(
        t["response"]["headers"]["Date"]
            .as_str()
            .unwrap()
            .ends_with(" GMT")
    );
}

#[test]
fn ecs() {
    let text = r#"SecAuditLogFormat ECS
SecRule ARGS:q "@contains bad" "id:40,phase:2,deny,log,msg:'no',severity:CRITICAL,tag:'language-x',tag:'attack-x'""#;
    let exchange = Exchange {
        target: "/p?q=bad",
        ..Exchange::default()
    };
    let record = parsed(&mut run(&rules(&[BASE, text]), &exchange));
    for (pointer, expected) in [
        ("/event/kind", Value::from("alert")),
        ("/event/category/1", "intrusion_detection".into()),
        ("/event/action", "block".into()),
        ("/rule/id", "40".into()),
        ("/rule/name", "no".into()),
        ("/rule/category", "attack-x".into()),
        ("/rule/ruleset", "OWASP_CRS/4.29.0".into()),
        ("/source/ip", "192.0.2.1".into()),
        ("/url/path", "/p".into()),
        ("/url/query", "q=bad".into()),
        ("/url/domain", "a.example".into()),
        ("/http/request/method", "POST".into()),
        ("/http/response/status_code", 403.into()),
        ("/user_agent/original", "t/1".into()),
        ("/drawbridge/verdict", "block".into()),
        ("/drawbridge/messages/0/rule_id", 40.into()),
    ] {
        assert_eq!(
            record.pointer(pointer),
            Some(&expected),
            "{pointer}: {record}"
        );
    }
}

#[test]
fn payloads_are_bounded_and_coverage_is_told() {
    let body = [b"a=".as_slice(), &b"x".repeat(10 << 20)].concat();
    let headers = [
        ("Host", "a"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let exchange = Exchange {
        headers: &headers,
        body: &body,
        ..Exchange::default()
    };
    for limit in [
        "",
        "SecRequestBodyLimit 1000\nSecRequestBodyLimitAction ProcessPartial",
    ] {
        let mut t = run(&rules(&[BASE, NOSY, limit]), &exchange);
        let record = parsed(&mut t);
        let line = t.audit_record().unwrap().line();
        assert!(line.len() < 400_000, "{} bytes", line.len());
        let told = &record["transaction"]["drawbridge"]["body"];
        assert_eq!(told["received"], body.len());
        match limit {
            "" => assert!(
                told["inspected"] == body.len() && told["reason"].is_null(),
                "{told}"
            ),
            _ => assert!(
                told["inspected"] == 1000 && told["reason"].is_string(),
                "{told}"
            ),
        }
    }
}
