//! `drawbridge rules` as a user runs it.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const RULES: &str = r#"
SecRuleEngine On
SecRequestBodyAccess On
SecRule REQUEST_HEADERS:X-Trusted "@streq yes" "id:1,phase:1,pass,nolog,ctl:ruleRemoveTargetById=2;ARGS:free"
SecRule ARGS "@rx un(?:i)on" "id:2,phase:2,pass,log,capture,t:none,t:lowercase,severity:CRITICAL,\
    msg:'SQL',logdata:'%{TX.0} in %{MATCHED_VAR_NAME}',tag:'attack-sqli',tag:'paranoia-level/1',setvar:tx.score=+5"
SecRule TX:score "@ge 5" "id:3,phase:2,deny,status:403,log,msg:'Score %{TX.score}'"
SecRule RESPONSE_STATUS "@streq 500" "id:4,phase:3,deny,status:502,log,msg:'Broken'"
"#;

const TESTS: &str = r#"
rule_id: 2
tests:
- test_id: 1
  stages:
  - input: {uri: "/?q=UNION", headers: {Host: localhost}}
    output: {status: 403, log: {expect_ids: [2, 3], match_regex: "union in ARGS:q"}}
- test_id: 2
  desc: a test that cannot pass
  stages:
  - input: {uri: "/?q=harmless", headers: {Host: localhost}}
    output: {log: {expect_ids: [2]}}
"#;

const OVERRIDES: &str = "test_overrides:
- {rule_id: 2, test_ids: [2], reason: it is harmless, output: {log: {no_expect_ids: [2]}}}
";

/// A folder of its own, removed at the end.
pub(super) struct Folder(pub(super) TempDir);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let folder = Self(tempfile::Builder::new().prefix(name).tempdir().unwrap());
        folder.write("rules.conf", RULES);
        folder.write("tests.yaml", TESTS);
        folder.write("overrides.yaml", OVERRIDES);
        folder
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    pub(super) fn run(&self, arguments: &str) -> (i32, String, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(env!("CARGO_BIN_EXE_drawbridge"))
            .current_dir(&self.0)
            .arg("rules")
            .args(arguments.split(' '))
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    pub(super) fn json(&self, arguments: &str) -> Value {
        let (_, out, err) = self.run(arguments);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}\n{out}\n{err}"))
    }
}

#[test]
fn check_names_every_problem() {
    let folder = Folder::new("check");
    assert_eq!(folder.run("check rules.conf").0, 0);
    folder.write(
        "bad.conf",
        "SecRul x\nSecRule ARGS \"@nosuch\" \"id:9,phase:1\"\n",
    );
    let (code, _, err) = folder.run("check rules.conf bad.conf");
    assert_eq!(code, 1);
    for place in ["bad.conf:1:1: ", "bad.conf:2:"] {
        assert!(err.contains(place), "{err}");
    }
    let report = folder.json("check --output json bad.conf");
    assert_eq!(report["errors"], 2);
    assert_eq!(folder.run("check").0, 2);
}

#[test]
fn one_rule_is_told_in_the_singular() {
    let folder = Folder::new("singular");
    folder.write(
        "one.conf",
        "SecRule ARGS \"@streq a\" \"id:9,phase:2,pass\"\n",
    );
    assert_eq!(folder.run("check one.conf").1, "1 rule: ok\n");
    let (_, out, _) = folder.run("list --rules one.conf");
    assert!(out.ends_with("\n1 rule\n"), "{out}");
}

#[test]
fn list_shows_rules_and_what_changes_them() {
    let folder = Folder::new("list");
    folder.write(
        "exclusions.conf",
        "SecRuleUpdateTargetById 2 \"!ARGS:free\"\nSecRuleRemoveById 4\n",
    );
    let rules = folder.json("list --output json --rules rules.conf --rules exclusions.conf");
    let rule = rules
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["id"] == 2)
        .unwrap();
    assert_eq!(rule["phase"], 2);
    assert_eq!(rule["severity"], "CRITICAL");
    assert_eq!(rule["paranoia_level"], 1);
    assert_eq!(rule["line"], 5);
    let by = rule["changed_by"][0].as_str().unwrap();
    assert!(by.contains("exclusions.conf:1"), "{by}");
    let rules = rules.as_array().unwrap();
    let rule = rules.iter().find(|r| r["id"] == 4).unwrap();
    assert_eq!((&rule["phase"], &rule["line"]), (&3.into(), &8.into()));
    let by = rule["removed_by"].as_str().unwrap();
    assert!(by.ends_with("exclusions.conf:2"), "{by}");
    let (_, out, _) = folder.run("list --rules rules.conf --rules exclusions.conf");
    assert!(out.ends_with("\n3 rules, 1 removed\n"), "{out}");

    folder.write("request", "GET /?q=a+union HTTP/1.1\nHost: localhost\n\n");
    let arguments = "explain --rules rules.conf --rules exclusions.conf request";
    let (_, out, _) = folder.run(arguments);
    for text in [
        "  4  by exclusions.conf:2",
        "  2 changed  by exclusions.conf:1",
        "    operator  @rx un(?:i)on",
    ] {
        assert!(out.contains(text), "{text}: {out}");
    }
}

#[test]
fn test_counts_and_says_why() {
    let folder = Folder::new("test");
    let (code, out, err) = folder.run("test --rules rules.conf tests.yaml");
    assert_eq!(code, 1, "{err}");
    assert!(out.ends_with("\n1 passed, 1 failed\n"), "{out}");
    for text in [
        "2-2 FAILED",
        "a test that cannot pass",
        "GET /?q=harmless HTTP/1.1",
        "expected rule 2 to match",
    ] {
        assert!(out.contains(text), "{text}: {out}");
    }
    let (code, out, _) = folder.run("test --rules rules.conf --overrides overrides.yaml .");
    assert_eq!(code, 1, "an overrides file is no test file: {out}");
    let (code, out, _) =
        folder.run("test --rules rules.conf --overrides overrides.yaml tests.yaml");
    assert_eq!((code, out.as_str()), (0, "2 passed, 0 failed\n"));
    let report = folder.json("test --rules rules.conf --output json tests.yaml");
    assert_eq!(report["failed"], 1);
    assert_eq!(
        report["tests"][0]["stages"][0]["rule_ids"],
        serde_json::json!([2, 3])
    );
    assert_eq!(folder.run("test --rules rules.conf").0, 2);
    assert_eq!(folder.run("test --rules rules.conf nowhere").0, 1);
}

#[test]
fn explain_shows_what_matched_where_and_why() {
    let folder = Folder::new("explain");
    folder.write(
        "request",
        "GET /?q=a+UNION+b HTTP/1.1\nHost: localhost\nX-Trusted: yes\n\n",
    );
    let whole =
        folder.json("explain --rules rules.conf --vars TX:score,ARGS --output json request");
    let verdict = serde_json::json!({"action": "deny", "status": 403, "rule_id": 3, "phase": 2,
        "reason": "by rule 3 in phase 2"});
    assert_eq!(whole["verdict"], verdict);
    let found = &whole["matches"][0];
    for (key, expected) in [
        ("variable", "ARGS:q"),
        ("value", "a UNION b"),
        ("transformed", "a union b"),
        ("message", "SQL"),
        ("data", "union in ARGS:q"),
        ("severity", "CRITICAL"),
    ] {
        assert_eq!(found[key], expected, "{key}");
    }
    assert_eq!(found["span"], serde_json::json!([2, 7]));
    assert_eq!(
        found["tags"],
        serde_json::json!(["attack-sqli", "paranoia-level/1"])
    );
    assert_eq!(found["changes"][0]["after"], "5");
    assert_eq!(whole["exclusions"][0]["target"], "ARGS:free");
    assert_eq!(whole["exclusions"][0]["by_rule_id"], 1);
    assert_eq!(whole["variables"]["TX:SCORE"][0]["value"], "5");
    assert_eq!(whole["variables"]["ARGS"][0]["name"], "ARGS:q");

    let (code, out, _) = folder.run("explain --rules rules.conf request");
    assert_eq!(code, 0);
    for text in [
        "a »union« b",
        "verdict: deny 403, by rule 3",
        "ARGS:free from 2  by rule 1 at",
    ] {
        assert!(out.contains(text), "{text}: {out}");
    }
    assert_eq!(
        folder
            .run("explain --rules rules.conf --vars NOSUCH request")
            .0,
        1
    );
}

#[test]
fn explain_takes_a_response_and_what_http_forbids() {
    let folder = Folder::new("response");
    folder.write("request", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    folder.write(
        "response",
        "HTTP/1.1 500 Oops\nContent-Type: text/plain\n\nbody",
    );
    let arguments = "explain --rules rules.conf --output json --response response request";
    assert_eq!(folder.json(arguments)["verdict"]["rule_id"], 4);
    folder.write(
        "request",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    let verdict = &folder.json(arguments)["verdict"];
    assert_eq!(
        (&verdict["action"], &verdict["status"]),
        (&Value::from("refuse"), &Value::from(400))
    );
    let reason = verdict["reason"].as_str().unwrap();
    assert!(
        reason.contains("content_length_and_transfer_encoding"),
        "{reason}"
    );
}

#[test]
fn warnings_do_not_stand_before_the_answer() {
    let folder = Folder::new("quiet");
    folder.write(
        "warned.conf",
        "SecRule REQUEST_BODY \"@rx x\" \"id:1,phase:1,deny\"\n",
    );
    folder.write("request", "GET / HTTP/1.1\nHost: a\n\n");
    assert!(
        folder
            .run("check warned.conf")
            .2
            .contains("REQUEST_BODY is empty")
    );
    for verb in [
        "list --rules warned.conf",
        "explain --rules warned.conf request",
    ] {
        let (code, _, err) = folder.run(verb);
        assert_eq!((code, err.as_str()), (0, ""), "{verb}");
    }
}

#[test]
fn explain_says_what_was_not_inspected() {
    let folder = Folder::new("body");
    folder.write(
        "rules.conf",
        "SecRuleEngine On\nSecRequestBodyAccess On\nSecRequestBodyLimit 8\n\
         SecAction \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n",
    );
    let post = |body: &str| {
        let length = body.len();
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
        folder.write(
            "request",
            &format!("{head}Content-Length: {length}\r\n\r\n{body}"),
        );
        folder.json("explain --rules rules.conf --output json request")
    };
    let whole = post("{\"a\":1}");
    let body = serde_json::json!({"received": 7, "inspected": 7, "parser": "json", "reason": null});
    assert_eq!(whole["body"], body);
    let broken = post("{\"a\":");
    let reason = broken["body"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("JSON parsing error"), "{reason}");
    let (_, out, _) = folder.run("explain --rules rules.conf request");
    let line = "body: 5 of 5 bytes, read as json; not inspected: JSON parsing error";
    assert!(out.contains(line), "{out}");
    let large = post("{\"a\":1234}");
    assert_eq!(large["verdict"]["status"], 413);
    let reason = large["verdict"]["reason"].as_str().unwrap();
    let why = "by the engine in phase 2: not inspected: the body is larger than 8 bytes";
    assert!(reason.starts_with(why), "{reason}");
}
