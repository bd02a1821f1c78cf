//! Each finding both ways: where it is right, and where it would be wrong.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use seclang::diagnostic::Severity;
use waf::{EngineMode, RuleSet, RuleSetBuilder};

use super::super::record::parse;
use super::*;
use crate::recorded::Request;

/// Scores like the CRS, and two rules of a team.
const RULES: &str = r#"
SecRule ARGS|REQUEST_HEADERS "@rx (?i)'\s*or\b|union" "id:942100,phase:2,pass,log,t:none,msg:'SQL',tag:'attack-sqli',setvar:tx.score=+5"
SecRule ARGS "@rx --" "id:942440,phase:2,pass,log,t:none,tag:'attack-sqli',setvar:tx.score=+3"
SecRule ARGS "@rx (?i)<script" "id:941100,phase:2,pass,log,t:none,tag:'attack-xss',setvar:tx.score=+5"
SecRule TX:score "@ge 5" "id:949110,phase:2,deny,status:403,log,tag:'anomaly-evaluation'"
SecAction "id:980130,phase:5,pass,nolog"
"#;

fn builder(before: &str, after: &str) -> RuleSetBuilder {
    RuleSet::builder()
        .engine(EngineMode::DetectionOnly)
        .front_door()
        .text("before.conf", before)
        .text("rules.conf", RULES)
        .text("after.conf", after)
}

fn built(builder: RuleSetBuilder) -> Arc<RuleSet> {
    builder.build().unwrap_or_else(|found| panic!("{found:?}"))
}

fn known<'k>(entries: &'k [&'k Entry]) -> Known<'k> {
    Known {
        entries,
        ends: true,
        now: SystemTime::now(),
    }
}

/// The codes of what is wrong whatever requests come.
fn fixed_codes(before: &str, after: &str) -> Vec<&'static str> {
    let found = fixed(&built(builder(before, after)), &known(&[]));
    found.iter().map(|finding| finding.code.name()).collect()
}

/// What these targets of requests show.
fn used_findings(before: &str, after: &str, targets: &[&str]) -> Vec<Finding> {
    let rules = built(builder(before, after).exclusions_run());
    let mut observed = Observed::default();
    for target in targets {
        let raw = format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n\r\n");
        observed.see(&rules, &Request::from_file(raw.into_bytes()));
    }
    let evidence = Evidence {
        requests: observed.requests,
        time: None,
    };
    used(&rules, &known(&[]), &observed, &evidence)
}

fn used_codes(before: &str, after: &str, targets: &[&str]) -> Vec<&'static str> {
    let found = used_findings(before, after, targets);
    found.iter().map(|finding| finding.code.name()).collect()
}

fn on(path: &str, control: &str) -> String {
    format!(
        "SecRule REQUEST_FILENAME \"@streq {path}\" \"id:10,phase:1,pass,nolog,t:none,ctl:{control}\"\n"
    )
}

#[test]
fn what_fits_no_rule_is_found() {
    for (before, after, expected) in [
        (on("/a", "ruleRemoveById=942999"), "", true),
        (on("/a", "ruleRemoveByTag=attack-lfi"), "", true),
        (
            on("/a", "ruleRemoveTargetById=942440;REQUEST_HEADERS:X"),
            "",
            true,
        ),
        (
            on("/a", "ruleRemoveTargetById=942100;REQUEST_HEADERS:X"),
            "",
            false,
        ),
        (
            on("/a", "ruleRemoveTargetByTag=attack-sqli;REQUEST_HEADERS"),
            "",
            false,
        ),
        (on("/a", "ruleRemoveById=942100"), "", false),
        (String::new(), "SecRuleRemoveById 942999", true),
        (String::new(), "SecRuleRemoveByMsg SQL", false),
        (
            String::new(),
            "SecRuleUpdateTargetById 941100 \"!XML:/*\"",
            true,
        ),
        (
            String::new(),
            "SecRuleUpdateTargetById 941100 \"!ARGS:a\"",
            false,
        ),
        ("SecRuleRemoveById 942100\n".to_owned(), "", true),
        // Not an exclusion.
        (
            String::new(),
            "SecRuleUpdateTargetById 941100 \"REQUEST_HEADERS\"",
            false,
        ),
    ] {
        let found = fixed_codes(&before, after);
        assert_eq!(
            found == ["fits-no-rule"],
            expected,
            "{before}{after}: {found:?}"
        );
        assert_eq!(found.is_empty(), !expected, "{before}{after}: {found:?}");
    }
}

#[test]
fn what_comes_too_late_is_found() {
    for (phase, is_before, expected) in [
        (1, true, false),
        (1, false, false),
        (2, true, false),
        (2, false, true),
    ] {
        let rule =
            format!("SecAction \"id:10,phase:{phase},pass,nolog,ctl:ruleRemoveById=941100\"\n");
        let found = match is_before {
            true => fixed_codes(&rule, ""),
            false => fixed_codes("", &rule),
        };
        assert_eq!(found == ["too-late"], expected, "phase {phase}: {found:?}");
    }
}

#[test]
fn what_holds_before_its_conditions_is_found() {
    let chain = |first: &str, last: &str| {
        format!(
            "SecRule REQUEST_METHOD \"@streq POST\" \"id:10,phase:1,pass,nolog,chain{first}\"\n\
             SecRule REQUEST_FILENAME \"@streq /a\" \"t:none{last}\"\n"
        )
    };
    let control = ",ctl:ruleRemoveById=941100";
    assert_eq!(fixed_codes(&chain(control, ""), ""), ["applies-early"]);
    assert!(fixed_codes(&chain("", control), "").is_empty());
}

#[test]
fn what_touches_blocking_is_found() {
    for (before, after, severity) in [
        (on("/a", "ruleRemoveById=949110"), "", Some(Severity::Error)),
        (
            on("/a", "ruleRemoveByTag=anomaly"),
            "",
            Some(Severity::Error),
        ),
        (
            on("/a", "ruleRemoveById=940000-949999"),
            "",
            Some(Severity::Error),
        ),
        (
            on("/a", "ruleRemoveById=980130"),
            "",
            Some(Severity::Warning),
        ),
        (on("/a", "ruleEngine=Off"), "", Some(Severity::Warning)),
        (
            on("/a", "ruleEngine=DetectionOnly"),
            "",
            Some(Severity::Warning),
        ),
        (on("/a", "ruleEngine=On"), "", None),
        (
            String::new(),
            "SecRuleRemoveById 949110",
            Some(Severity::Error),
        ),
        (
            String::new(),
            "SecRuleUpdateTargetById 949110 \"!TX:score\"",
            Some(Severity::Error),
        ),
        (
            String::new(),
            "SecRuleUpdateActionById 949110 \"status:404\"",
            Some(Severity::Warning),
        ),
        (
            String::new(),
            "SecRuleUpdateActionById 941100 \"nolog\"",
            None,
        ),
        (on("/a", "ruleRemoveById=941100"), "", None),
        // It names the rule, and takes nothing from it.
        (
            on("/a", "ruleRemoveTargetById=941100-949110;ARGS:a"),
            "",
            None,
        ),
    ] {
        let found = fixed(&built(builder(&before, after)), &known(&[]));
        let severities: Vec<Severity> = found.iter().map(|finding| finding.severity).collect();
        assert_eq!(
            severities.first().copied(),
            severity,
            "{before}{after}: {found:?}"
        );
        assert!(
            found
                .iter()
                .all(|finding| finding.code == Code::TouchesBlocking)
        );
    }
}

#[test]
fn what_two_teams_wrote_is_found_once_with_both_owners() {
    let comments = |id: u64, owner: &str, until: &str| {
        format!("# exclusion {id}\n# owner: {owner}\n# reason: prose\n# until: {until}\n")
    };
    let rule = |id: u64, control: &str| on("/a", control).replace("id:10", &format!("id:{id}"));
    let narrow = "ruleRemoveTargetById=942100;ARGS:note";
    for (first, second, until, expected) in [
        (narrow, narrow, "2999-01-01", Some((80_002, "orders"))),
        (
            "ruleRemoveTargetByTag=attack-sqli;ARGS",
            narrow,
            "2999-01-01",
            Some((80_002, "orders")),
        ),
        (
            narrow,
            "ruleRemoveTargetByTag=attack-sqli;ARGS",
            "2999-01-01",
            Some((80_001, "cart")),
        ),
        (
            narrow,
            "ruleRemoveTargetById=942100;ARGS:q",
            "2999-01-01",
            None,
        ),
        // The wider one ends before.
        ("ruleRemoveById=942100", narrow, "2999-01-02", None),
        // The second is over.
        (narrow, narrow, "2020-01-01", None),
    ] {
        let text = comments(80_001, "orders", "2999-01-01")
            + &rule(80_001, first)
            + &comments(80_002, "cart", until)
            + &rule(80_002, second);
        let (entries, problems) = parse(Path::new("before.conf"), &text);
        assert!(problems.is_empty(), "{problems:?}");
        let entries: Vec<&Entry> = entries.iter().collect();
        let found = fixed(&built(builder(&text, "")), &known(&entries));
        let said = found.first().map(|finding| {
            assert_eq!(finding.code, Code::WrittenTwice);
            let other = finding.other.as_ref().unwrap();
            let is_second = finding.owner.as_deref() == Some("cart");
            let id = if is_second { 80_002 } else { 80_001 };
            (id, other.owner.clone().unwrap())
        });
        let expected = expected.map(|(id, owner): (u64, &str)| (id, owner.to_owned()));
        assert_eq!(
            (said, found.len() <= 1),
            (expected, true),
            "{first} {second}: {found:?}"
        );
    }
    // By hand, and for all requests.
    let found = fixed(
        &built(builder(&on("/a", narrow), "SecRuleRemoveById 942100")),
        &known(&[]),
    );
    let places: Vec<&str> = found.iter().map(|finding| finding.code.name()).collect();
    assert_eq!(places, ["written-twice"], "{found:?}");
    assert!(
        found[0]
            .message
            .contains("`SecRuleRemoveById 942100` at after.conf:1"),
        "{found:?}"
    );
}

#[test]
fn what_never_applied_is_found() {
    let sql = "/a?note='+or+1";
    for (before, after, targets, expected) in [
        // Its condition never held; its condition held and it changed nothing; it changed something.
        (on("/b", "ruleRemoveById=942100"), "", &[sql][..], true),
        (on("/a", "ruleRemoveById=942100"), "", &["/a?note=1"], true),
        (on("/a", "ruleRemoveById=942100"), "", &[sql], false),
        (
            on("/a", "ruleRemoveTargetById=942100;ARGS:note"),
            "",
            &[sql],
            false,
        ),
        (
            on("/a", "ruleRemoveTargetById=942100;ARGS:q"),
            "",
            &[sql],
            true,
        ),
        (
            String::new(),
            "SecRuleRemoveById 942100",
            &["/a?note=1"],
            true,
        ),
        (String::new(), "SecRuleRemoveById 942100", &[sql], false),
        (
            String::new(),
            "SecRuleUpdateTargetById 942100 \"!ARGS:q\"",
            &[sql],
            true,
        ),
        (
            String::new(),
            "SecRuleUpdateTargetById 942100 \"!ARGS:note\"",
            &[sql],
            false,
        ),
        // Of two that do the same, each was of use.
        (
            on("/a", "ruleRemoveById=942100"),
            "SecRuleUpdateTargetById 942100 \"!ARGS:note\"",
            &[sql],
            false,
        ),
        // Nothing is known without requests, and why this one does nothing is known without.
        (on("/b", "ruleRemoveById=942100"), "", &[], false),
        (on("/a", "ruleRemoveById=942999"), "", &[sql], false),
    ] {
        let found = used_codes(&before, after, targets);
        assert_eq!(
            found == ["never-applied"],
            expected,
            "{before}{after}: {found:?}"
        );
        assert_eq!(found.is_empty(), !expected, "{before}{after}: {found:?}");
    }
    let answers = "SecRule RESPONSE_STATUS \"@streq 500\" \"id:950100,phase:3,deny,tag:'leak'\"\n";
    for control in [
        "ruleRemoveById=950100",
        "ruleRemoveByTag=attack-sqli,ctl:ruleRemoveByTag=leak",
    ] {
        let found = used_codes(&on("/a", control), answers, &[sql]);
        assert!(
            found.is_empty(),
            "there are no answers: {control}: {found:?}"
        );
        // But whether its conditions hold is known from requests.
        let found = used_codes(&on("/b", control), answers, &[sql]);
        assert_eq!(found, ["never-applied"], "{control}");
    }
    let common = builder("", "").text(
        "crs/REQUEST-999-COMMON-EXCEPTIONS-AFTER.conf",
        "SecRuleUpdateTargetById 942100 \"!ARGS:q\"",
    );
    assert_eq!(count(&built(common), &known(&[])), 0, "the CRS's own");
    let both = on("/b", "ruleRemoveById=942100,ctl:ruleRemoveById=942440");
    let found = used_findings(&both, "", &[sql, sql]);
    assert_eq!(
        found.len(),
        1,
        "one rule whose conditions never held: {found:?}"
    );
    assert!(
        found[0]
            .message
            .contains("held for none of 2 recorded requests"),
        "{found:?}"
    );
}

#[test]
fn what_only_answers_would_show_is_counted() {
    let answers = "SecRule RESPONSE_STATUS \"@streq 500\" \"id:950100,phase:3,deny\"\n";
    let after = format!(
        "{answers}SecRule RESPONSE_STATUS \"@streq 404\" \"id:11,phase:3,pass,nolog,ctl:ruleRemoveById=980130\"\n\
         SecRuleUpdateTargetById 950100 \"!RESPONSE_STATUS\"\n"
    );
    for (path, expected) in [("/a", 3), ("/b", 2)] {
        let before = on(path, "ruleRemoveById=950100");
        let rules = built(builder(&before, &after).exclusions_run());
        let mut observed = Observed::default();
        let raw = b"GET /a?note=1 HTTP/1.1\r\nHost: api.test\r\n\r\n";
        observed.see(&rules, &Request::from_file(raw.to_vec()));
        assert_eq!(unknown(&rules, &known(&[]), &observed), expected, "{path}");
    }
}

#[test]
fn what_is_wider_than_its_use_is_found_with_the_narrower_form() {
    let sql = ["/a?note='+or+1", "/a?note='+or+2", "/a?note='+or+3"];
    let numbered = ["/a?n[1]='+or+1", "/a?n[2]='+or+2", "/a?n[3]='+or+3"];
    let scripts = ["/a?note=<script", "/a?note='+or+1", "/a?note='+or+2"];
    for (before, after, targets, expected) in [
        (
            on("/a", "ruleRemoveById=942100"),
            "",
            &sql[..],
            &["ctl:ruleRemoveTargetById=942100;ARGS:note"][..],
        ),
        (
            on("/a", "ruleRemoveTargetByTag=attack-sqli;ARGS"),
            "",
            &sql,
            &["ctl:ruleRemoveTargetById=942100;ARGS:note"],
        ),
        (
            on("/a", "ruleRemoveTargetByTag=attack;ARGS:note"),
            "",
            &scripts,
            &[
                "ctl:ruleRemoveTargetById=941100;ARGS:note",
                "ctl:ruleRemoveTargetById=942100;ARGS:note",
            ],
        ),
        (
            on("/a", "ruleRemoveById=942100"),
            "",
            &numbered,
            &["ctl:ruleRemoveTargetById=942100;ARGS:/^n\\[\\d+\\]$/"],
        ),
        (
            on("/a", "ruleRemoveTargetById=942100;ARGS:note"),
            "",
            &sql,
            &[],
        ),
        (
            on("/a", "ruleRemoveTargetById=942100;ARGS:/^note$/"),
            "",
            &sql,
            &[],
        ),
        // Too few to conclude from.
        (on("/a", "ruleRemoveById=942100"), "", &sql[..2], &[]),
    ] {
        let found = used_findings(&before, after, targets);
        let instead: Vec<&str> = found
            .iter()
            .flat_map(|f| &f.instead)
            .map(String::as_str)
            .collect();
        assert_eq!(instead, expected, "{before}: {found:?}");
        assert!(
            found
                .iter()
                .all(|finding| finding.code == Code::WiderThanUsed)
        );
        // The narrower form is enough for the same requests.
        if let [control] = instead.as_slice() {
            let narrow = on("/a", control.trim_start_matches("ctl:"));
            assert!(used_codes(&narrow, "", targets).is_empty(), "{narrow}");
        }
    }
}

#[test]
fn what_holds_for_all_requests_gets_a_scope() {
    let sql = ["/a?note='+or+1", "/a?note='+or+2", "/a?note='+or+3"];
    let found = used_findings("", "SecRuleRemoveById 942100", &sql);
    let [finding] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert!(
        finding
            .message
            .contains("only for ARGS:note, only on GET api.test /a"),
        "{finding:?}"
    );
    let narrow = &finding.instead[0];
    assert!(
        narrow.contains("@streq /a") && narrow.contains("ruleRemoveTargetById=942100;ARGS:note")
    );
    assert!(used_codes(narrow, "", &sql).is_empty(), "{narrow}");
    // On many paths only the arguments are narrower.
    let paths = [
        "/a?note='+or+1",
        "/b?note='+or+2",
        "/c?note='+or+3",
        "/d?note='+or+3",
    ];
    let found = used_findings("", "SecRuleRemoveById 942100", &paths);
    assert_eq!(
        found[0].instead,
        ["SecRuleUpdateTargetById 942100 \"!ARGS:note\""]
    );
    assert!(used_codes("", &found[0].instead[0], &paths).is_empty());
}

#[test]
fn what_costs_much_and_never_matched_is_found() {
    let own = "SecRule ARGS \"@rx never\" \"id:20,phase:2,deny\"\nSecRule ARGS \"@rx .\" \"id:21,phase:2,pass\"\n";
    let rules = built(builder(own, "").exclusions_run());
    let places: Vec<u64> = rules.summaries().map(|rule| rule.id).collect();
    let place = |id: u64| places.iter().position(|known| *known == id).unwrap();
    let found = |requests: usize, dear: u64, matched: &[u64]| {
        let mut time = vec![Duration::from_millis(1); places.len()];
        time[place(dear)] = Duration::from_millis(100);
        let observed = Observed {
            requests,
            matched: matched.iter().map(|id| place(*id)).collect(),
            time,
            ..Observed::default()
        };
        let evidence = Evidence {
            requests,
            time: Some(Duration::from_secs(604_800)),
        };
        let found = used(&rules, &known(&[]), &observed, &evidence);
        found
            .iter()
            .map(|finding| finding.message.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        found(1000, 20, &[21]),
        [
            "rule 20 took 94 % of the rules' time and matched none of 1000 recorded requests of 7 days"
        ]
    );
    assert!(found(1000, 20, &[20, 21]).is_empty(), "it matched");
    assert!(found(1000, 21, &[21]).is_empty(), "what is dear matched");
    assert!(found(1000, 942_100, &[21]).is_empty(), "a rule of the CRS");
    assert!(found(50, 20, &[21]).is_empty(), "too few requests");
}
