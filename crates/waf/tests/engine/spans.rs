//! Where in its value a match found something, as its record says.

use std::sync::Arc;

use waf::{MatchedRule, RuleSet, Transaction};

use super::harness::{Exchange, builder, load, play, run};

/// What was found, by rule.
fn found(t: &Transaction) -> Vec<(u64, Option<String>)> {
    let part = |m: &MatchedRule| {
        let bytes = m.transformed.get(m.span.clone()?).unwrap();
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let matched = t.matched_rules().iter();
    matched.map(|m| (m.rule_id, part(m))).collect()
}

#[test]
fn a_match_says_where_in_the_transformed_value() {
    let rules = r#"
        SecRule ARGS:a "@rx UNION\s" "id:1,phase:1,pass,log,t:none,t:urlDecodeUni,t:uppercase"
        SecRule ARGS:a "@pm select union" "id:2,phase:1,pass,log"
        SecRule ARGS:a "!@rx ^\d+$" "id:3,phase:1,pass,log"
        SecRule ARGS:b "@rx ." "id:4,phase:1,pass,log,chain"
          SecRule ARGS:a "@contains x" "t:none"
        SecRule ARGS:b "@endsWith %{tx.end}" "id:5,phase:1,pass,log,setvar:tx.end=never"
        SecRule &ARGS "@eq 2" "id:6,phase:1,pass,log"
        SecRule ARGS:b "@rx l.w" "id:7,phase:1,pass,log,multiMatch,t:uppercase,t:lowercase"
        SecAction "id:8,phase:1,pass,log"
        SecRule ARGS:b "!@within a b" "id:9,phase:1,pass,log"
    "#;
    let t = run(
        &format!("SecAction \"id:100,phase:1,pass,nolog,setvar:tx.end=ow\"\n{rules}"),
        "GET /?a=x+uni%256fn+1&b=low",
    );
    let expected = [
        (1, Some("UNION ")),
        (3, None),
        (4, Some("x")),
        // The rule has changed what it compares with.
        (5, None),
        (6, Some("2")),
        (7, Some("low")),
        (7, Some("low")),
        (8, None),
        (9, None),
    ];
    let expected = expected.map(|(id, text)| (id, text.map(str::to_owned)));
    assert_eq!(found(&t), expected);
}

#[test]
fn what_lies_beyond_the_recorded_bytes_has_no_place() {
    let rules = "SecRule ARGS \"@rx x+\" \"id:1,phase:1,pass,log\"";
    for (before, place) in [(2047, Some(2047..2048)), (2048, None), (100_000, None)] {
        let target = format!("GET /?a={}x", "a".repeat(before));
        let t = run(rules, &target);
        assert_eq!(t.matched_rules()[0].span, place, "{before}");
    }
}

#[test]
fn a_span_shows_no_more_than_the_mask_of_a_secret() {
    let rules = RuleSet::builder().text(
        "t.conf",
        r#"
        SecRuleEngine On
        SecRule QUERY_STRING "@rx ter2$" "id:2,phase:1,pass,log"
        SecRule QUERY_STRING "@rx b=2" "id:3,phase:1,pass,log"
        SecRule ARGS:password "@rx n" "id:4,phase:1,pass,log"
        SecRule QUERY_STRING "@rx 2&password=h" "id:5,phase:1,pass,log"
        SecRule ARGS:note "@rx 34" "id:6,phase:1,pass,log"
        SecRule ARGS:note "@rx ." "id:7,phase:5,pass,nolog,sanitiseMatched"
    "#,
    );
    let rules: Arc<RuleSet> = rules.build().unwrap();
    let request = Exchange::parse("GET /?token=abcdef&note=1234567&b=2&password=hunter2");
    let t = play(&rules, &request);
    let expected = [
        (2, "***"),
        (3, "b=2"),
        (4, "***"),
        (5, "2&password=***"),
        (6, "***"),
    ];
    let expected = expected.map(|(id, text)| (id, Some(text.to_owned())));
    assert_eq!(found(&t), expected);
    let unmasked = load(builder("SecRule ARGS \"@rx n\" \"id:4,phase:1,pass,log\""));
    let t = play(&unmasked, &request);
    assert_eq!(t.matched_rules()[0].span, Some(2..3));
}
