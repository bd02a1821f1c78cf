//! From a blocked request to an exclusion that its own tests accept.

use std::sync::Arc;
use std::time::SystemTime;

use waf::{EngineMode, Problems, RuleSet};

use super::probes::Question;
use super::*;
use crate::recorded::Request;

/// Scores like the CRS: two rules for SQL, one for scripts, and an evaluation.
const RULES: &str = r#"
SecRule ARGS "@rx (?i)'\s*or\b|union" "id:942100,phase:2,pass,log,t:none,tag:'attack-sqli',setvar:tx.score=+5"
SecRule ARGS "@rx --" "id:942440,phase:2,pass,log,t:none,severity:WARNING,tag:'attack-sqli',setvar:tx.score=+3"
SecRule ARGS "@rx (?i)<script" "id:941100,phase:2,pass,log,t:none,tag:'attack-xss',setvar:tx.score=+5"
SecRule TX:score "@ge 5" "id:949110,phase:2,deny,status:403,log,tag:'anomaly-evaluation'"
"#;

fn compile(mode: EngineMode, text: &str) -> Result<Arc<RuleSet>, String> {
    compile_rules(RULES, mode, text)
}

fn compile_rules(rules_text: &str, mode: EngineMode, text: &str) -> Result<Arc<RuleSet>, String> {
    let rules = RuleSet::builder().engine(mode).front_door();
    let rules = rules
        .text("exclusions.conf", text)
        .text("rules.conf", rules_text);
    rules
        .build()
        .map_err(|Problems(found)| format!("{found:?}"))
}

fn json(body: &str) -> Request {
    let raw = format!(
        "POST /notes HTTP/1.1\r\nHost: api.test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Request::from_file(raw.into_bytes())
}

fn get(target: &str) -> Request {
    let raw = format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n\r\n");
    Request::from_file(raw.into_bytes())
}

#[test]
fn an_exclusion_covers_what_is_needed_and_no_more() {
    let event = get("/notes?note=it's%20'%20or%20so%20--%20x&q=1");
    let found = propose(&event, None, &[], &compile).unwrap();
    assert_eq!(found.stopped_by, 949_110);
    let (candidate, proof) = &found.candidates[0];
    // Rule 942440 alone does not reach the threshold, so it stays.
    assert_eq!(
        candidate.controls,
        ["ruleRemoveTargetById=942100;ARGS:note"]
    );
    assert!(candidate.is_portable);
    assert!(proof.holds(), "{proof:?}");
    assert!(
        proof.beside.tried > 4 && proof.in_place.len() == 2,
        "{proof:?}"
    );
    let opened = proof.in_place.iter();
    let opened: Vec<_> = opened
        .map(|o| (o.class, o.is_own, o.tally.extent()))
        .collect();
    assert_eq!(
        opened,
        [
            (Class::Sqli, true, Extent::All),
            (Class::Xss, false, Extent::Nothing)
        ]
    );
    // The rule as a whole opens the arguments beside.
    let (widest, proof) = found.candidates.last().unwrap();
    assert_eq!((widest.kind, proof.holds()), (Kind::Rule, false));
    assert_eq!(found.recommended(), Some(0));
}

#[test]
fn numbered_names_become_patterns() {
    let event = json(r#"{"items":[{"note":"a"},{"note":"' or b"}],"q":"x"}"#);
    let found = propose(&event, None, &[], &compile).unwrap();
    let kinds: Vec<(Kind, bool)> = found
        .candidates
        .iter()
        .map(|(c, p)| (c.kind, p.holds()))
        .collect();
    assert_eq!(kinds[..2], [(Kind::Argument, true), (Kind::Numbered, true)]);
    let (numbered, _) = &found.candidates[1];
    let expected = r"ruleRemoveTargetById=942100;ARGS:/^json\.items\.\d+\.note$/";
    assert_eq!(numbered.controls, [expected]);
    assert_eq!(
        (numbered.is_portable, found.recommended()),
        (false, Some(1))
    );
}

#[test]
fn recorded_requests_tell_what_else_passes() {
    let recorded = [
        ("same".to_owned(), get("/notes?note='+or+2")),
        ("beside".to_owned(), get("/notes?q='+or+2")),
        ("harmless".to_owned(), get("/notes?q=1")),
    ];
    let found = propose(&get("/notes?note='+or+1"), None, &recorded, &compile).unwrap();
    let judged = &found.candidates[0].1.recorded;
    assert_eq!(
        (judged.total, &judged.intended[..]),
        (3, &["same".to_owned()][..])
    );
    assert!(judged.unintended.is_empty());
    // Without the rule as a whole, an attack in another argument passes too.
    let (widest, proof) = found.candidates.last().unwrap();
    assert_eq!(
        (widest.kind, &proof.recorded.unintended[..]),
        (Kind::Rule, &["beside".to_owned()][..])
    );
}

#[test]
fn names_that_a_client_chose_are_names_and_nothing_else() {
    for name in [
        "a,b",
        "a'b",
        "a\"b",
        "a b",
        "a%b",
        "a\\b",
        "a|b",
        "a;b",
        "a:b",
        "a/b",
        "/a/",
        "/^.*$/",
        "^a$",
        "a.b",
        "a\nb",
        "ä",
        "a[]",
        "{a}",
        "\u{1}",
        "!a",
        "&a",
        "%{tx.score}",
        "*",
        "a,ctl:ruleRemoveById=1-999999",
        "a\"\nSecRuleEngine Off",
    ] {
        let encoded: String = name.bytes().map(|b| format!("%{b:02X}")).collect();
        let event = get(&format!("/notes?{encoded}='+or+1&q=1"));
        let found = propose(&event, None, &[], &compile);
        let found = found.unwrap_or_else(|error| panic!("{name:?}: {error}"));
        let (candidate, proof) = &found.candidates[0];
        assert!(
            proof.holds(),
            "{name:?}: {:?} {proof:?}",
            candidate.controls
        );
        assert!(proof.beside.tried > 4, "{name:?}");
        // It is read again as it was written.
        let purpose = Purpose {
            owner: name.to_owned(),
            reason: name.to_owned(),
            until: Day::parse("2999-01-01").unwrap(),
        };
        let written = found.written(0, 80_001, &purpose, name).unwrap();
        let rules = compile(EngineMode::On, &written.seclang).unwrap();
        let entries = parse(std::path::Path::new("x.conf"), &written.seclang).0;
        assert_eq!(
            (entries.len(), rules.engine()),
            (1, EngineMode::On),
            "{name:?}"
        );
        let tests = ftw::parse(std::path::Path::new("x.yaml"), &written.tests).unwrap();
        assert!(tests.unwrap().tests.len() > 3, "{name:?}");
    }
}

/// What is opened of the classes that the rules are not for.
fn beyond(proof: &Proof) -> Vec<(Class, Extent)> {
    let others = proof.in_place.iter().filter(|opened| !opened.is_own);
    let opened = others.map(|opened| (opened.class, opened.tally.extent()));
    opened
        .filter(|(_, extent)| *extent > Extent::Nothing)
        .collect()
}

const EVALUATION: &str = r#"
SecRule TX:score "@ge 5" "id:949110,phase:2,deny,status:403,log,tag:'anomaly-evaluation'"
"#;

#[test]
fn what_opens_a_class_that_its_rules_are_not_for_does_not_hold() {
    // One rule for SQL is all that stops scripts.
    let rules = format!(
        r#"
SecRule ARGS "@rx (?i)union|[<>]" "id:942100,phase:2,pass,log,t:none,tag:'attack-sqli',setvar:tx.score=+5"
SecRule ARGS "@rx [|$]" "id:932100,phase:2,pass,log,t:none,tag:'attack-rce',setvar:tx.score=+5"
{EVALUATION}"#
    );
    let compile = |mode, text: &str| compile_rules(&rules, mode, text);
    let found = propose(&get("/notes?note=reunion"), None, &[], &compile).unwrap();
    let (_, proof) = &found.candidates[0];
    assert!(proof.passes && proof.beside.passing.is_empty() && proof.beside.tried > 0);
    let opened = beyond(proof);
    assert!(opened.contains(&(Class::Xss, Extent::All)), "{opened:?}");
    assert!(
        !opened.iter().any(|(class, _)| *class == Class::Rce),
        "{opened:?}"
    );
    assert_eq!((proof.holds(), found.recommended()), (false, None));
}

#[test]
fn what_opens_a_part_of_another_class_says_so() {
    let rules = format!(
        r#"
SecRule ARGS "@contains /etc/passwd" "id:930120,phase:2,pass,log,t:none,tag:'attack-lfi',setvar:tx.score=+5"
SecRule ARGS "@rx [|&$]" "id:932100,phase:2,pass,log,t:none,tag:'attack-rce',setvar:tx.score=+5"
{EVALUATION}"#
    );
    let compile = |mode, text: &str| compile_rules(&rules, mode, text);
    let found = propose(&get("/notes?note=/etc/passwd"), None, &[], &compile).unwrap();
    let (_, proof) = &found.candidates[0];
    assert_eq!(beyond(proof), [(Class::Rce, Extent::Part)]);
    let opened = proof
        .in_place
        .iter()
        .find(|o| o.class == Class::Rce)
        .unwrap();
    let attack = ("ARGS:note".to_owned(), "; cat /etc/passwd".to_owned());
    assert_eq!(opened.tally.passing, [attack]);
    assert!(proof.holds());
    // A test of what is stopped is none of what passes.
    let shown = found.shown_stopped(0);
    assert!(
        shown
            .iter()
            .any(|(probe, _)| probe.question == Question::InPlace(Class::Rce))
    );
    assert!(
        shown
            .iter()
            .all(|(probe, _)| probe.attack() != "; cat /etc/passwd")
    );
}

#[test]
fn of_two_ways_the_one_that_opens_less_comes_first() {
    // Without either of the first two the request passes, and the second one is tried first. Some scripts are stopped by it alone.
    let rules = format!(
        r#"
SecRule ARGS "@rx (?i)union" "id:942100,phase:2,pass,log,t:none,severity:WARNING,tag:'attack-sqli',setvar:tx.score=+3"
SecRule ARGS "@rx (?i)select|onerror" "id:942200,phase:2,pass,log,t:none,severity:CRITICAL,tag:'attack-sqli',setvar:tx.score=+4"
SecRule ARGS "@rx onerror" "id:941100,phase:2,pass,log,t:none,tag:'attack-xss',setvar:tx.score=+1"
SecRule ARGS "@rx (?i)<script" "id:941110,phase:2,pass,log,t:none,tag:'attack-xss',setvar:tx.score=+5"
{EVALUATION}"#
    );
    let compile = |mode, text: &str| compile_rules(&rules, mode, text);
    let event = get("/notes?note=select+a+union");
    let found = propose(&event, None, &[], &compile).unwrap();
    let narrow: Vec<_> = found
        .candidates
        .iter()
        .filter(|(candidate, _)| candidate.kind == Kind::Argument)
        .map(|(candidate, proof)| (candidate.rules[0], proof.opens_beyond()))
        .collect();
    assert_eq!(
        narrow,
        [(942_100, Extent::Nothing), (942_200, Extent::Part)]
    );
    assert_eq!(found.recommended(), Some(0));
}

#[test]
fn a_place_in_which_nothing_can_be_tried_proves_nothing() {
    let rules = format!(
        r#"
SecRule XML:/* "@contains union" "id:942100,phase:2,pass,log,t:none,tag:'attack-sqli',setvar:tx.score=+5"
{EVALUATION}"#
    );
    let compile = |mode, text: &str| compile_rules(&rules, mode, text);
    let event = |body: &str| {
        let length = body.len();
        let head = "POST /notes HTTP/1.1\r\nHost: api.test\r\nContent-Type: text/xml";
        let raw = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}");
        propose(&Request::from_file(raw.into_bytes()), None, &[], &compile).unwrap()
    };
    let found = event("<a>a union</a>");
    assert_eq!(found.recommended(), Some(0), "{:?}", found.candidates);
    // A comment could hold what looks like an element.
    let found = event("<a>a union<!-- b --></a>");
    let (_, proof) = &found.candidates[0];
    assert_eq!(
        (&proof.untried[..], proof.holds()),
        (&["XML:/*".to_owned()][..], false)
    );
}

#[test]
fn nothing_is_proposed_where_nothing_helps() {
    let propose = |target: &str, only| propose(&get(target), only, &[], &compile).unwrap_err();
    assert!(matches!(propose("/notes?q=1", None), ProposeError::Passes));
    // Evaluation is never excluded, also if it is asked for.
    for only in [949_110, 941_100] {
        let error = propose("/notes?q='+or+1", Some(only));
        assert!(
            matches!(error, ProposeError::NoCandidate { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn what_is_written_passes_its_own_tests_until_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exclusions.conf");
    std::fs::write(&path, "# what was there").unwrap();
    let found = propose(&get("/notes?note='+or+1"), None, &[], &compile).unwrap();
    let purpose = Purpose {
        owner: "notes team".to_owned(),
        reason: "prose".to_owned(),
        until: Day::parse("2999-01-01").unwrap(),
    };
    let written = found.written(0, 80_001, &purpose, "event.http").unwrap();
    written.append_to(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.starts_with("# what was there\n\n# exclusion 80001\n"),
        "{text}"
    );

    let problems = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let rules = RuleSet::builder()
            .engine(EngineMode::DetectionOnly)
            .front_door();
        let rules = rules.file(&path).text("rules.conf", RULES).build().unwrap();
        check(&path, &rules, true, SystemTime::now())
    };
    assert_eq!(problems(&text), []);
    for (broken, expected) in [
        (
            text.replace("ARGS:note", "ARGS:other"),
            "/notes?note='+or+1 passes",
        ),
        (
            text.replace(";ARGS:note", ";ARGS"),
            "an argument beside it is stopped",
        ),
        (
            text.replace("TargetById=942100;ARGS:note", "ById=900000-999999"),
            "is stopped",
        ),
        (
            text.replace("/notes", "/notes/")
                .replace("@streq /notes/", "@beginsWith /notes"),
            "another path",
        ),
    ] {
        let found = problems(&broken);
        assert!(
            found
                .iter()
                .any(|p| p.is_error() && p.message.contains(expected)),
            "{found:?}"
        );
        assert_eq!(found[0].location.line, 3);
    }
    let ended = problems(
        &text
            .replace("2999", "2020")
            .replace("ARGS:note", "ARGS:other"),
    );
    assert!(
        ended.len() == 1 && ended[0].message.contains("no longer holds"),
        "{ended:?}"
    );
}
