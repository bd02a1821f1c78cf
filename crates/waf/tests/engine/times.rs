//! How long rules took: which of them have a time, and that timing changes nothing else.

use std::sync::Arc;

use waf::{RuleSet, Transaction};

use crate::harness::{Exchange, build, builder, ids, load, play, play_with, verdict};

const RULES: &str = r#"
SecAction "id:1,phase:1,pass,nolog,setvar:tx.a=%{REQUEST_METHOD}"
SecRule ARGS:q "@contains attack" "id:2,phase:2,pass,log"
SecRule ARGS:q "@contains another" "id:3,phase:2,pass,log"
SecRule ARGS:skip "@streq yes" "id:4,phase:2,pass,log,skipAfter:END"
SecRule TX:a "@streq GET" "id:5,phase:2,pass,log,chain"
  SecRule ARGS:q "@contains attack"
SecRule TX:a "@streq POST" "id:6,phase:2,pass,log"
SecMarker END
SecRule ARGS:off "@streq yes" "id:7,phase:2,pass,nolog,ctl:ruleRemoveById=8"
SecRule TX:a "@streq GET" "id:8,phase:2,pass,log"
SecRule ARGS:deny "@streq yes" "id:9,phase:2,deny,log"
SecRule RESPONSE_STATUS "@streq 200" "id:10,phase:3,pass,log"
SecRule TX:a "@streq GET" "id:11,phase:5,pass,log"
"#;

fn timed(rules: &Arc<RuleSet>, target: &str) -> Transaction {
    let exchange = Exchange::parse(&format!("GET {target}"));
    play_with(rules, &exchange, Transaction::time_rules)
}

/// The rules that have a time, in order.
fn timed_ids(t: &Transaction) -> Vec<u64> {
    let times = t.rule_times().unwrap();
    times.rules.iter().map(|rule| rule.rule_id).collect()
}

#[test]
fn each_rule_that_ran_has_a_time_and_no_other() {
    // With it, fewer of them run.
    let rules = load(builder(RULES).without_prefilter());
    for (target, expected) in [
        ("/", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11][..]),
        ("/?q=attack", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        ("/?skip=yes", &[1, 2, 3, 4, 7, 8, 9, 10, 11]),
        ("/?off=yes", &[1, 2, 3, 4, 5, 6, 7, 9, 10, 11]),
        // After an interruption only the last phase runs.
        ("/?deny=yes", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 11]),
    ] {
        assert_eq!(timed_ids(&timed(&rules, target)), expected, "{target}");
    }
}

#[test]
fn each_rule_that_matched_has_a_time_behind_the_prefilter() {
    let rules = build(RULES);
    for target in ["/", "/?q=attack+another", "/?deny=yes&q=attack"] {
        let t = timed(&rules, target);
        let its = timed_ids(&t);
        assert!(
            ids(&t).iter().all(|id| its.contains(id)),
            "{target}: {its:?}"
        );
    }
}

#[test]
fn nothing_is_measured_unless_it_is_asked_for() {
    let rules = build(RULES);
    let t = play(&rules, &Exchange::parse("GET /?q=attack"));
    assert_eq!(t.rule_times(), None);
}

#[test]
fn a_timed_transaction_decides_as_any_other() {
    let rules = build(RULES);
    for target in [
        "/",
        "/?q=attack+another",
        "/?skip=yes",
        "/?off=yes&q=attack",
        "/?deny=yes",
    ] {
        let t = play(&rules, &Exchange::parse(&format!("GET {target}")));
        let timed = timed(&rules, target);
        assert_eq!(ids(&timed), ids(&t), "{target}");
        assert_eq!(verdict(&timed), verdict(&t), "{target}");
        assert_eq!(timed.work(), t.work(), "{target}");
    }
}

/// What is decided at load costs a transaction nothing, so it has no time.
#[test]
fn a_rule_that_is_decided_at_load_has_no_time() {
    let rules = build(
        "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.level=1\"\n\
         SecRule TX:level \"@lt 2\" \"id:2,phase:2,pass,nolog,skipAfter:END\"\n\
         SecRule ARGS \"@unconditionalMatch\" \"id:3,phase:2,pass,log\"\n\
         SecMarker END\n\
         SecRule ARGS \"@unconditionalMatch\" \"id:4,phase:2,pass,log\"\n",
    );
    let t = timed(&rules, "/?a=b");
    assert_eq!(ids(&t), [4]);
    assert_eq!(timed_ids(&t), [4]);
}
