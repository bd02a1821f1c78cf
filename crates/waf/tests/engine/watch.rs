//! What a tool learns of exclusions: which there are, which held, and what they prevented.

use std::sync::Arc;

use waf::{Exclusion, ExclusionKind, RuleSet, Transaction};

use super::harness::{builder, ids, load};

const RULES: &str = "SecRule ARGS|ARGS_NAMES \"@rx x\" \"id:101,phase:2,pass,msg:'First',tag:'attack-sqli'\"\n\
    SecRule ARGS|REQUEST_COOKIES \"@contains x\" \"id:102,phase:2,pass,msg:'Second',tag:'attack-xss'\"\n\
    SecRule ARGS:a \"@rx x\" \"id:103,phase:2,pass,chain\"\nSecRule ARGS:b \"@rx x\" \"t:none\"\n\
    SecAction \"id:104,phase:2,pass\"\n";

fn watched(rules: &Arc<RuleSet>, target: &str, without: &[usize]) -> Transaction {
    let client = "192.0.2.7:40000".parse().unwrap();
    let mut t = Transaction::new(Arc::clone(rules), client, client, "unique-1");
    let line = format!("GET {target} HTTP/1.1");
    t.request_line(line.as_bytes(), b"GET", target.as_bytes(), b"HTTP/1.1");
    t.watch(without);
    assert!(t.request_headers_done().is_none() && t.request_body(b"").is_none());
    t.finish();
    t
}

/// `RULE VARIABLE` of each use.
fn uses(t: &Transaction) -> Vec<String> {
    let uses = t.watched().unwrap().uses.iter();
    let shown = uses.map(|found| {
        let variable = found.variable.as_deref().unwrap_or(b"-");
        format!("{} {}", found.rule_id, String::from_utf8_lossy(variable))
    });
    shown.collect()
}

fn exclusions(text: &str) -> Vec<Exclusion> {
    load(builder(text)).exclusions().to_vec()
}

#[test]
fn what_directives_exclude_can_be_excluded_by_each_transaction() {
    for directive in [
        "SecRuleRemoveById 101",
        "SecRuleRemoveById 101-103",
        "SecRuleRemoveByTag attack-xss",
        "SecRuleRemoveByMsg ^First",
        "SecRuleUpdateTargetById 101 \"!ARGS:a\"",
        "SecRuleUpdateTargetById 101-102 \"!ARGS:/^b/,!ARGS_NAMES\"",
        "SecRuleUpdateTargetByTag attack \"!ARGS\"",
        "SecRuleUpdateTargetById 103 \"!ARGS:a\"",
        "SecRuleUpdateTargetById 101 \"REQUEST_FILENAME|!ARGS\"",
        "SecRuleUpdateTargetById 101 \"REQUEST_FILENAME\" \"ARGS\"",
    ] {
        let text = format!("{RULES}{directive}\n");
        let (at_load, at_run_time) = (load(builder(&text)), load(builder(&text).exclusions_run()));
        for target in ["/x?a=x&b=x&x=1", "/?a=x", "/?bcd=x"] {
            let by = |rules| ids(&watched(rules, target, &[]));
            assert_eq!(by(&at_run_time), by(&at_load), "{directive}: {target}");
        }
    }
}

#[test]
fn a_transaction_without_an_exclusion_says_what_that_prevented() {
    for (exclusion, target, kept, expected) in [
        (
            "SecRuleRemoveById 101",
            "/?a=x&b=1",
            Some(true),
            vec!["101 ARGS:a"],
        ),
        // Whether the filter is sure that nothing would match is its own affair.
        ("SecRuleRemoveById 101", "/?a=y", None, vec![]),
        ("SecRuleRemoveById 104", "/", Some(true), vec!["104 -"]),
        // Only values that it excludes count.
        (
            "SecRuleUpdateTargetById 101-102 \"!ARGS:a\"",
            "/?a=x&b=x",
            Some(true),
            vec!["101 ARGS:a", "102 ARGS:a"],
        ),
        (
            "SecRuleUpdateTargetById 101 \"!ARGS:a\"",
            "/?b=x",
            Some(false),
            vec![],
        ),
        // Of a chain, what its first rule looks at; and only if the whole chain matches.
        (
            "SecRuleRemoveById 103",
            "/?a=x&b=x",
            Some(true),
            vec!["103 ARGS:a"],
        ),
        ("SecRuleRemoveById 103", "/?a=x&b=y", Some(true), vec![]),
        (
            "SecRule REQUEST_FILENAME \"@streq /p\" \"id:1,phase:1,pass,nolog,ctl:ruleRemoveTargetById=101;ARGS:a\"",
            "/p?a=x",
            Some(true),
            vec!["101 ARGS:a"],
        ),
        (
            "SecRule REQUEST_FILENAME \"@streq /p\" \"id:1,phase:1,pass,nolog,ctl:ruleRemoveByTag=sqli\"",
            "/p?xx=1",
            Some(true),
            vec!["101 ARGS_NAMES:xx"],
        ),
        (
            "SecRule REQUEST_FILENAME \"@streq /p\" \"id:1,phase:1,pass,nolog,ctl:ruleRemoveById=101\"",
            "/q?a=x",
            Some(false),
            vec![],
        ),
    ] {
        let rules = load(builder(&format!("{RULES}{exclusion}\n")).exclusions_run());
        let as_is = watched(&rules, target, &[]);
        let seen = as_is.watched().unwrap();
        // What was kept back may not match; what was not surely does not.
        assert!(uses(&as_is).is_empty(), "{exclusion}: {seen:?}");
        if let Some(kept) = kept.filter(|kept| !expected.is_empty() || !kept) {
            assert_eq!(!seen.kept_back.is_empty(), kept, "{exclusion}: {target}");
        }
        let without = watched(&rules, target, &[0]);
        assert_eq!(uses(&without), expected, "{exclusion}: {target}");
    }
}

#[test]
fn exclusions_that_cover_each_other_are_both_credited() {
    let text = format!(
        "{RULES}SecRuleRemoveById 101\nSecAction \"id:1,phase:1,pass,nolog,ctl:ruleRemoveTargetById=101;ARGS:a\"\n"
    );
    let rules = load(builder(&text).exclusions_run());
    assert_eq!(uses(&watched(&rules, "/?a=x", &[0])), [""; 0]);
    let both = watched(&rules, "/?a=x", &[0, 1]);
    assert_eq!(uses(&both), ["101 ARGS:a", "101 ARGS:a"]);
    let by: Vec<usize> = both
        .watched()
        .unwrap()
        .uses
        .iter()
        .map(|u| u.exclusion)
        .collect();
    assert_eq!(by, [0, 1]);
}

#[test]
fn an_ordinary_transaction_names_the_exclusions_that_held() {
    let text = format!(
        "SecRule ARGS:q \"@rx x\" \"id:1,phase:1,pass,nolog,ctl:ruleRemoveById=101,ctl:ruleRemoveTargetById=102;ARGS:q\"\n\
         SecRule ARGS \"@rx y\" \"id:900150,phase:1,pass,nolog,ctl:ruleRemoveById=102\"\n{RULES}"
    );
    let rules = load(builder(&text));
    for (target, expected) in [
        ("/?q=x&q=xx", vec![0, 1]),
        ("/?q=z", vec![]),
        ("/?q=y", vec![]),
    ] {
        let client = "192.0.2.7:40000".parse().unwrap();
        let mut t = Transaction::new(Arc::clone(&rules), client, client, "unique-1");
        let line = format!("GET {target} HTTP/1.1");
        t.request_line(line.as_bytes(), b"GET", target.as_bytes(), b"HTTP/1.1");
        t.request_headers_done();
        assert_eq!(t.exclusions().collect::<Vec<_>>(), expected, "{target}");
        assert!(t.watched().is_none());
    }
}

#[test]
fn a_watched_transaction_knows_which_rules_matched_and_ran() {
    let rules = load(builder(RULES));
    let t = watched(&rules, "/?a=x", &[]);
    let seen = t.watched().unwrap();
    let names: Vec<u64> = rules.summaries().map(|rule| rule.id).collect();
    let matched: Vec<u64> = seen.matched.iter().map(|&place| names[place]).collect();
    assert_eq!(matched, [101, 102, 104]);
    assert!(seen.time.len() == 4, "{:?}", seen.time);
}

#[test]
fn exclusions_are_listed_with_what_they_concern() {
    let found = exclusions(&format!(
        "SecRule REQUEST_METHOD \"@streq POST\" \"id:1,phase:1,pass,nolog,t:lowercase,chain\"\n\
         SecRule REQUEST_FILENAME \"@beginsWith /p\" \"t:none,ctl:ruleRemoveTargetByTag=attack;ARGS_NAMES:n,chain\"\n\
         SecRule ARGS:z \"@rx z\" \"t:none\"\n\
         SecAction \"id:2,phase:1,pass,nolog,ctl:ruleEngine=Off\"\n\
         SecAction \"id:9001000,phase:1,pass,nolog,ctl:ruleRemoveById=101\"\n\
         {RULES}SecRuleRemoveByMsg Second\nSecRuleUpdateActionById 103 \"log\"\nSecRuleRemoveById 7\n"
    ));
    let [by_msg, actions, idle, target, engine] = found.as_slice() else {
        panic!("{found:#?}")
    };
    assert_eq!(
        (by_msg.kind, &by_msg.rules[..]),
        (ExclusionKind::Rules, &[102][..])
    );
    assert_eq!(by_msg.written, "SecRuleRemoveByMsg Second");
    assert_eq!(
        (actions.kind, &actions.rules[..]),
        (ExclusionKind::Actions, &[103][..])
    );
    assert!(idle.rules.is_empty() && idle.by.is_none());
    assert_eq!(engine.kind, ExclusionKind::Engine);
    assert_eq!(
        (&target.rules[..], &target.concerned[..]),
        (&[101, 102][..], &[101][..])
    );
    assert_eq!(target.targets[0].to_string(), "ARGS_NAMES:n");
    let by = target.by.as_ref().unwrap();
    assert_eq!((by.id, by.conditions.len(), by.later_conditions), (1, 2, 1));
    assert_eq!(by.conditions[0].transformations, ["lowercase"]);
    assert_eq!((target.at.line, target.at.text.is_empty()), (2, false));
}

#[test]
fn one_exclusion_is_within_another() {
    let on = |path: &str, control: &str| {
        format!(
            "SecRule REQUEST_FILENAME \"{path}\" \"id:ID,phase:1,pass,nolog,t:none,ctl:{control}\"\n"
        )
    };
    let narrow = on("@streq /a/b", "ruleRemoveTargetById=101;ARGS:n");
    for (wide, is_within) in [
        (on("@streq /a/b", "ruleRemoveTargetById=101;ARGS:N"), true),
        (
            on("@beginsWith /a/", "ruleRemoveTargetById=101-102;ARGS"),
            true,
        ),
        (
            on("@streq /a/b", "ruleRemoveTargetById=101;ARGS:/^n$/"),
            true,
        ),
        (on("@streq /a/b", "ruleRemoveByTag=sqli"), true),
        (
            "SecAction \"id:ID,phase:1,pass,nolog,ctl:ruleRemoveById=101\"\n".to_owned(),
            true,
        ),
        (on("@streq /a/c", "ruleRemoveById=101"), false),
        (on("!@streq /a/b", "ruleRemoveById=101"), false),
        (on("@streq /a/b", "ruleRemoveById=102"), false),
        (on("@streq /a/b", "ruleRemoveTargetById=101;ARGS:m"), false),
        (
            on("@streq /a/b", "ruleRemoveTargetById=101;ARGS_NAMES:n"),
            false,
        ),
        (
            "SecAction \"id:ID,phase:2,pass,nolog,ctl:ruleRemoveById=101\"\n".to_owned(),
            false,
        ),
    ] {
        let text = narrow.replace("ID", "1") + &wide.replace("ID", "2") + RULES;
        let found = exclusions(&text);
        assert_eq!(found[0].is_within(&found[1]), is_within, "{wide}");
    }
    let directive = exclusions(&(narrow.replace("ID", "1") + RULES + "SecRuleRemoveById 101\n"));
    // Directives come first.
    assert!(directive[1].is_within(&directive[0]) && !directive[0].is_within(&directive[1]));
}
