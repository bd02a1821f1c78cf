//! `drawbridge rules lint` as a user runs it, without a front door.

use std::fs;

use regex::Regex;
use serde_json::Value;

use super::check::{Folder, GOOD};

const RULES: &str = r#"SecRule REQUEST_FILENAME "@streq /never" "id:10,phase:1,pass,nolog,ctl:ruleRemoveById=100"
SecRule ARGS "@rx union" "id:100,phase:2,deny,status:403,msg:'SQL',tag:'attack-sqli'"
SecRule TX:score "@ge 5" "id:949110,phase:2,deny,status:403"
"#;

fn folder(name: &str, rules: &str) -> Folder {
    let folder = Folder::new(name);
    let text = GOOD.replace("@baseline", "rules.conf");
    folder.write("drawbridge.toml", &text);
    folder.write("rules.conf", rules);
    fs::create_dir_all(folder.0.path().join("recorded")).unwrap();
    for number in 1..=4 {
        let request = format!("GET /a?note=union+{number} HTTP/1.1\r\nHost: api.demo.test\r\n\r\n");
        folder.write(&format!("recorded/{number}.http"), &request);
    }
    folder
}

fn lint(folder: &Folder, more: &str) -> (Option<i32>, String, String) {
    let words = ["rules", "lint"].into_iter().chain(more.split_whitespace());
    let output = folder.run(&words.collect::<Vec<_>>());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn json(folder: &Folder, more: &str) -> (Option<i32>, Value) {
    let (code, out, err) = lint(folder, &format!("--output json {more}"));
    let report = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"));
    (code, report)
}

#[test]
fn nothing_wrong_is_exit_0() {
    let folder = folder("lint-clean", RULES);
    let (code, out, err) = lint(&folder, "");
    let expected = "policy \"default\": 1 exclusion, no request was recorded, so nothing is known of their use: ok\n";
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), expected, ""));
    let (code, report) = json(&folder, "");
    assert_eq!(
        (code, &report["ok"], &report["requests"]),
        (Some(0), &true.into(), &0.into())
    );
}

#[test]
fn each_finding_has_its_place_and_what_to_do() {
    let folder = folder(
        "lint-found",
        &format!("{RULES}SecRuleRemoveById 949110 100\nSecRuleRemoveById 7\n"),
    );
    let (code, out, err) = lint(&folder, "--requests recorded");
    assert_eq!(code, Some(1), "{out}{err}");
    for text in [
        "rules.conf:4:19: error: touches-blocking: `SecRuleRemoveById 949110` takes out rule 949110, which blocks",
        "4 | SecRuleRemoveById 949110 100\n  |                   ^^^^^^\n  help: exclude the rule that is wrong about the request",
        "rules.conf:5:19: warning: fits-no-rule: `SecRuleRemoveById 7` names no rule: it does nothing",
        "rules.conf:1:72: warning: written-twice: `ctl:ruleRemoveById=100` of rule 10 does no more than `SecRuleRemoveById 100` at",
        "wider-than-used: `SecRuleRemoveById 100` was used for less than it excludes: in 4 of 4 recorded requests only for ARGS:note, only on GET api.demo.test /a",
        "    SecRule REQUEST_METHOD \"@streq GET\" \\\n",
        "ctl:ruleRemoveTargetById=100;ARGS:note",
    ] {
        assert!(err.contains(text), "{text}:\n{err}");
    }
    assert!(
        out.ends_with("4 exclusions, 4 recorded requests: 6 findings\n"),
        "{out}"
    );
    let shape =
        Regex::new(r#"(?m)^policy "\w+": \d+ exclusions, \d+ recorded requests.*: \d+ findings$"#);
    let shape = shape.unwrap();
    let documented = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md"));
    assert!(shape.is_match(&out) && shape.is_match(&documented.unwrap()));
    let (code, report) = json(&folder, "--requests recorded");
    assert_eq!((code, &report["ok"]), (Some(1), &false.into()));
    let findings = report["findings"].as_array().unwrap();
    let codes: Vec<&str> = findings
        .iter()
        .map(|f| f["code"].as_str().unwrap())
        .collect();
    assert_eq!(
        codes,
        [
            "written-twice",
            "never-applied",
            "touches-blocking",
            "never-applied",
            "wider-than-used",
            "fits-no-rule"
        ],
        "{report:#}"
    );
    assert_eq!(findings[0]["other"]["line"], 4);
    assert_eq!(
        (&findings[2]["severity"], &findings[2]["line"]),
        (&"error".into(), &4.into())
    );
    assert!(
        findings[4]["instead"][0]
            .as_str()
            .unwrap()
            .contains("id:101,phase:1")
    );
}

#[test]
fn what_cannot_run_is_exit_2() {
    let folder = folder("lint-broken", "SecRul x\n");
    for more in [
        "",
        "--policy other",
        "--requests missing",
        "--config none.toml",
        "--since soon",
    ] {
        let (code, out, _) = lint(&folder, more);
        assert_eq!(code, Some(2), "{more}: {out}");
    }
    folder.write("rules.conf", RULES);
    assert_eq!(lint(&folder, "--policy other").0, Some(2));
    assert_eq!(lint(&folder, "--requests missing").0, Some(2));
    let help = lint(&folder, "--help");
    for text in ["Examples:", "touches-blocking", "Exit codes:"] {
        assert!(help.1.contains(text), "{}", help.1);
    }
}
