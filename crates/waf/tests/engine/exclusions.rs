//! Exclusions: at load and at run time.

use super::harness::{Exchange, build};
use super::harness::{builder, check, check_all, ids, load, play, values};

/// Three rules with tags and messages, and one in phase 2.
const RULES: &str = "SecRule ARGS \"@rx x\" \"id:101,phase:1,pass,msg:'First rule',tag:'attack/sqli',tag:'OWASP'\"\n\
    SecRule ARGS|ARGS_NAMES \"@rx x\" \"id:102,phase:1,pass,msg:'Second rule',tag:'attack/xss'\"\n\
    SecRule ARGS:a \"@rx x\" \"id:103,phase:1,pass,msg:'Third one',tag:'attack/sqli2',chain\"\n\
    SecRule ARGS:b \"@rx x\" \"t:none,tag:'link'\"\n\
    SecRule ARGS \"@rx x\" \"id:201,phase:2,pass,msg:'First of phase 2'\"\n";

#[test]
fn removal_at_load() {
    for (directive, expected) in [
        ("", "101 101 102 102 103 201 201"),
        ("SecRuleRemoveById 101", "102 102 103 201 201"),
        ("SecRuleRemoveById 101 103", "102 102 201 201"),
        ("SecRuleRemoveById 101-102 201", "103"),
        ("SecRuleRemoveById \"101-103\"", "201 201"),
        ("SecRuleRemoveByTag attack/sqli", "102 102 201 201"),
        (
            "SecRuleRemoveByTag \"^attack/sqli$\"",
            "102 102 103 201 201",
        ),
        ("SecRuleRemoveByTag \"attack/.*\"", "201 201"),
        ("SecRuleRemoveByMsg \"^First\"", "102 102 103"),
        ("SecRuleRemoveByMsg \"rule$\"", "103 201 201"),
    ] {
        check(
            directive,
            &format!("{RULES}{directive}"),
            "GET /?a=x&b=x",
            expected,
        );
    }
}

#[test]
fn targets_at_load() {
    let rules = "SecRule ARGS|REQUEST_COOKIES \"@rx x\" \"id:101,phase:1,pass,msg:'First rule',tag:'attack/sqli'\"\n\
        SecRule ARGS:a \"@rx x\" \"id:102,phase:1,pass,tag:'other',chain\"\nSecRule ARGS \"@rx x\" \"setvar:tx.n=+1\"\n";
    for (directive, first, chained) in [
        ("", vec!["ARGS:a=x", "ARGS:bcd=x", "REQUEST_COOKIES:c=x"], 2),
        (
            "SecRuleUpdateTargetById 101 !ARGS:a",
            vec!["ARGS:bcd=x", "REQUEST_COOKIES:c=x"],
            2,
        ),
        (
            "SecRuleUpdateTargetById 101 \"!ARGS:A\"",
            vec!["ARGS:bcd=x", "REQUEST_COOKIES:c=x"],
            2,
        ),
        (
            "SecRuleUpdateTargetById 101 \"!ARGS:/^b/\"",
            vec!["ARGS:a=x", "REQUEST_COOKIES:c=x"],
            2,
        ),
        (
            "SecRuleUpdateTargetById 101 \"!ARGS\"",
            vec!["REQUEST_COOKIES:c=x"],
            2,
        ),
        (
            "SecRuleUpdateTargetById 101 \"!ARGS:a,!REQUEST_COOKIES:c\"",
            vec!["ARGS:bcd=x"],
            2,
        ),
        (
            "SecRuleUpdateTargetById 101 \"!ARGS:a|!REQUEST_COOKIES\"",
            vec!["ARGS:bcd=x"],
            2,
        ),
        (
            "SecRuleUpdateTargetById 101 \"REQUEST_METHOD\"",
            vec!["ARGS:a=x", "ARGS:bcd=x", "REQUEST_COOKIES:c=x"],
            2,
        ),
        (
            "SecRuleUpdateTargetById 101 \"ARGS:a\" \"ARGS\"",
            vec!["REQUEST_COOKIES:c=x", "ARGS:a=x"],
            2,
        ),
        (
            "SecRuleUpdateTargetByTag attack \"!ARGS\"",
            vec!["REQUEST_COOKIES:c=x"],
            2,
        ),
        (
            "SecRuleUpdateTargetByMsg \"^First\" \"!ARGS\"",
            vec!["REQUEST_COOKIES:c=x"],
            2,
        ),
        (
            "SecRuleUpdateTargetById 102 \"!ARGS:a\"",
            vec!["ARGS:a=x", "ARGS:bcd=x", "REQUEST_COOKIES:c=x"],
            0,
        ),
        (
            "SecRuleUpdateTargetById 101-102 \"!ARGS:a\"",
            vec!["ARGS:bcd=x", "REQUEST_COOKIES:c=x"],
            0,
        ),
    ] {
        let rules = build(&format!("{rules}{directive}"));
        let t = play(&rules, &Exchange::parse("GET /?a=x&bcd=x\nCookie: c=x"));
        let mut seen = values(&t, 101);
        let mut first: Vec<_> = first.into_iter().map(str::to_owned).collect();
        if directive.contains("\"ARGS:a\" \"ARGS\"") {
            seen.sort();
            first.sort();
        }
        assert_eq!(seen, first, "{directive}");
        let wanted = (chained > 0).then(|| chained.to_string());
        assert_eq!(super::harness::tx(&t, "n"), wanted, "{directive}");
    }
}

#[test]
fn actions_at_load() {
    let rule = "SecDefaultAction \"phase:1,pass,log\"\nSecRule ARGS \"@streq x\" \"id:1,phase:1,pass,msg:'old',tag:'a'\"\n";
    let chain = "SecRule ARGS:a \"@rx .\" \"id:1,phase:1,pass,chain\"\nSecRule ARGS:b \"@streq x\" \"t:none\"\n";
    check_all(&[
        (
            "deny",
            &format!("{rule}SecRuleUpdateActionById 1 \"deny,status:418\""),
            "GET /?a=x",
            "1 deny:418@1",
        ),
        (
            "pass instead of deny",
            "SecRule ARGS \"@streq x\" \"id:1,phase:1,deny\"\nSecRuleUpdateActionById 1 \"pass\"",
            "GET /?a=x",
            "1",
        ),
        (
            "block is the default's",
            &format!("{rule}SecRuleUpdateActionById 1 \"block\""),
            "GET /?a=x",
            "1",
        ),
        (
            "redirect",
            &format!("{rule}SecRuleUpdateActionById 1 \"redirect:/x\""),
            "GET /?a=x",
            "1 redirect(/x):302@1",
        ),
        (
            "t: is added",
            &format!("{rule}SecRuleUpdateActionById 1 \"t:lowercase\""),
            "GET /?a=X",
            "1",
        ),
        (
            "nolog",
            &format!("{rule}SecRuleUpdateActionById 1 \"nolog,setvar:tx.x=1\""),
            "GET /?a=x",
            "x=1",
        ),
        (
            "t:none first clears",
            "SecRule ARGS \"@streq X\" \"id:1,phase:1,pass,t:lowercase\"\nSecRuleUpdateActionById 1 \"t:none\"",
            "GET /?a=X",
            "1",
        ),
        (
            "a link of a chain",
            &format!("{chain}SecRuleUpdateActionById 1:1 \"t:lowercase,setvar:tx.x=1\""),
            "GET /?a=1&b=X",
            "1 x=1",
        ),
    ]);
    let rules = build(&format!(
        "{rule}SecRuleUpdateActionById 1 \"msg:'new',tag:'b',severity:2\""
    ));
    let t = play(&rules, &Exchange::parse("GET /?a=x"));
    let m = &t.matched_rules()[0];
    assert_eq!((m.message.as_slice(), m.severity), (&b"new"[..], Some(2)));
    assert_eq!(m.tags, [b"a".to_vec(), b"b".to_vec()]);
}

#[test]
fn removal_at_run_time() {
    for (control, expected) in [
        ("ruleRemoveById=101", "102 102 103 201 201"),
        ("ruleRemoveById=101-102", "103 201 201"),
        ("ruleRemoveByTag=attack/sqli", "102 102 201 201"),
        ("ruleRemoveByTag=^attack/sqli$", "102 102 103 201 201"),
        ("ruleRemoveByMsg=^First", "102 102 103"),
        ("ruleRemoveTargetById=101;ARGS:a", "101 102 102 103 201 201"),
        ("ruleRemoveTargetById=101;args:A", "101 102 102 103 201 201"),
        ("ruleRemoveTargetById=101;ARGS", "102 102 103 201 201"),
        ("ruleRemoveTargetById=101;ARGS:/./", "102 102 103 201 201"),
        (
            "ruleRemoveTargetById=101;ARGS:/^B/",
            "101 102 102 103 201 201",
        ),
        (
            "ruleRemoveTargetById=101;ARGS:nothing",
            "101 101 102 102 103 201 201",
        ),
        (
            "ruleRemoveTargetById=101;REQUEST_COOKIES",
            "101 101 102 102 103 201 201",
        ),
        ("ruleRemoveTargetById=101-102;ARGS:a", "101 102 103 201 201"),
        (
            "ruleRemoveTargetByTag=attack/sqli;ARGS:a",
            "101 102 102 201 201",
        ),
        ("ruleRemoveTargetByMsg=^First;ARGS", "102 102 103"),
        (
            "'ruleRemoveTargetById=101;ARGS:a,ARGS:b'",
            "102 102 103 201 201",
        ),
        (
            "'ruleRemoveTargetById=101;ARGS:/^a{1,2}$/,ARGS:b'",
            "102 102 103 201 201",
        ),
        // A chain's first rule is the one with the id.
        (
            "ruleRemoveTargetById=103;ARGS:b",
            "101 101 102 102 103 201 201",
        ),
        ("ruleRemoveTargetById=103;ARGS:a", "101 101 102 102 201 201"),
    ] {
        let control = format!("ctl:{control}");
        let rules = format!("SecAction \"id:1,phase:1,pass,nolog,{control}\"\n{RULES}");
        check(&control, &rules, "GET /?a=x&b=x", expected);
    }
    check_all(&[
        (
            "only rules after it",
            "SecAction \"id:1,phase:1,pass\"\nSecAction \"id:2,phase:1,pass,ctl:ruleRemoveById=1-4\"\nSecAction \"id:3,phase:1,pass\"\nSecAction \"id:5,phase:2,pass\"",
            "GET /",
            "1 2 5",
        ),
        (
            "once for each match",
            "SecRule ARGS \"@rx .\" \"id:1,phase:1,pass,nolog,ctl:ruleRemoveTargetById=2;ARGS:a\"\nSecRule ARGS \"@rx .\" \"id:2,phase:1,pass\"",
            "GET /?a=1&b=2&c=3",
            "2 2",
        ),
    ]);
}

#[test]
fn exclusions_that_touch_nothing_are_told() {
    let rules = "SecAction \"id:7,phase:1,pass,tag:'t',msg:'m'\"\n";
    for (directive, message) in [
        (
            "SecRuleRemoveById 8",
            "2:19: SecRuleRemoveById removes nothing: no rule before it fits",
        ),
        (
            "SecRuleRemoveById 7 8",
            "2:21: SecRuleRemoveById removes nothing: no rule before it fits",
        ),
        (
            "SecRuleRemoveByTag x",
            "2:20: SecRuleRemoveByTag removes nothing: no rule before it fits",
        ),
        (
            "SecRuleRemoveByMsg x",
            "2:20: SecRuleRemoveByMsg removes nothing: no rule before it fits",
        ),
        (
            "SecRuleUpdateTargetById 8 !ARGS:x",
            "2:25: SecRuleUpdateTargetById changes nothing: no rule before it fits",
        ),
        (
            "SecRuleUpdateActionById 8 pass",
            "2:25: no rule before it has id 8",
        ),
        (
            "SecAction \"id:9,phase:1,pass,ctl:ruleRemoveById=10\"",
            "2:31: no rule fits `10`: this exclusion does nothing",
        ),
    ] {
        let rules = load(builder(&format!("{rules}{directive}")));
        let told: Vec<_> = rules
            .warnings()
            .iter()
            .map(|w| format!("{}:{}: {}", w.location.line, w.location.column, w.message))
            .collect();
        assert!(
            told.iter()
                .any(|t| t.split_once(": ").map(|t| t.1) == message.split_once(": ").map(|m| m.1)),
            "{directive}: {told:?}"
        );
    }
}

#[test]
fn the_list_tells_which_rules_are_touched() {
    let rules = load(builder(
        "SecRule ARGS \"@rx x\" \"id:1,phase:1,pass\"\nSecRule ARGS \"@rx x\" \"id:2,phase:1,pass\"\nSecRuleUpdateTargetById 2 !ARGS:x\n",
    ));
    let by: Vec<_> = rules.summaries().map(|s| (s.id, s.changed_by)).collect();
    assert_eq!(by, [(1, vec![]), (2, vec!["t.conf:3".to_owned()])]);
    assert_eq!(ids(&play(&rules, &Exchange::parse("GET /?x=x"))), [1]);
}
