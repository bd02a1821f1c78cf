//! A time budget: what is not inspected when it is used up is judged as the policy says.

use std::time::Duration;

use waf::{EngineMode, Phase};

use crate::harness::{Exchange, builder, load, play};

const RULES: &str = r#"SecRequestBodyAccess On
SecRule ARGS "@rx attack" "id:1,phase:2,deny,status:403"
SecAction "id:5,phase:5,log,pass,msg:'the end'""#;

fn attack() -> Exchange {
    Exchange::parse("GET /?a=attack\nHost: a\n\n")
}

#[test]
fn without_a_budget_and_within_one_the_rules_decide() {
    for budget in [None, Some(Duration::MAX)] {
        let t = play(&load(builder(RULES).budget(budget)), &attack());
        let ended = t.interruption().expect("an attack");
        assert_eq!((ended.status, ended.rule_id), (403, 1), "{budget:?}");
        assert_eq!(t.request_inspection().reason, None);
    }
}

#[test]
fn when_it_is_used_up_the_written_choice_decides() {
    // No time at all is always used up.
    let none = || builder(RULES).budget(Some(Duration::ZERO));
    let blocked = play(&load(none().block_uninspected(true)), &attack());
    let ended = blocked.interruption().expect("refused");
    assert_eq!((ended.status, ended.rule_id), (503, 0));
    // The first phase that has a rule.
    assert_eq!(ended.phase, Phase::RequestBody);

    let passed = play(&load(none().block_uninspected(false)), &attack());
    assert_eq!(passed.interruption(), None);

    let detecting = none()
        .block_uninspected(true)
        .engine(EngineMode::DetectionOnly);
    let detected = play(&load(detecting), &attack());
    assert_eq!(detected.interruption(), None);

    for t in [blocked, passed, detected] {
        let reason = t.request_inspection().reason.expect("it is told");
        assert!(reason.contains("waf_budget_ms"), "{reason}");
        assert_eq!(t.limits_hit(), 1);
        let ids: Vec<u64> = t.matched_rules().iter().map(|m| m.rule_id).collect();
        assert_eq!(ids, [5], "the last phase tells what happened");
    }
}

/// A request with this body, of which the last bytes are an attack.
fn long(content_type: &str, start: &str, unit: &str, end: &str) -> Exchange {
    let head = format!("POST /\nHost: a\nContent-Type: {content_type}\n\n");
    let body = format!("{start}{}{end}", unit.repeat((1 << 19) / unit.len()));
    Exchange::parse(&head).with_body(body)
}

/// Each ends somewhere in the middle: in its parser, in a transformation, in the search for literals or in an operator.
#[test]
fn it_is_used_up_inside_of_long_work() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let json = "SecAction \"id:9,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n";
    let xml = "SecAction \"id:9,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n";
    let rule = |operator: &str, transformations: &str| {
        format!(
            "SecRequestBodyAccess On\nSecRequestBodyNoFilesLimit 13107200\nSecArgumentsLimit 10000000\n\
             SecRule ARGS|XML:/* \"{operator}\" \"id:1,phase:2,deny,status:403,{transformations}\"\n\
             SecAction \"id:5,phase:5,log,pass,msg:'the end'\""
        )
    };
    let contains = || rule("@rx attack$", "t:none");
    let multipart = "multipart/form-data; boundary=x";
    let part = "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n";
    for (name, rules, exchange) in [
        ("form", contains(), long(FORM, "", "a=1&", "b=attack")),
        ("escapes", contains(), long(FORM, "a=", "%41", "attack")),
        (
            "json",
            json.to_owned() + &contains(),
            long("x", "[", "1,", "\"attack\"]"),
        ),
        (
            "xml",
            xml.to_owned() + &contains(),
            long("x", "<a>", "<b/>", "attack</a>"),
        ),
        (
            "multipart",
            contains(),
            long(multipart, part, "x\r\n", "attack\r\n--x--\r\n"),
        ),
        (
            "pattern",
            rule("@rx [b-d]+x$", "t:none"),
            long(FORM, "a=", "bcd", "x"),
        ),
        (
            "phrases",
            rule("@pm attack", "t:none"),
            long(FORM, "a=", "b", "attack"),
        ),
        (
            "sql",
            rule("@detectSQLi", "t:none"),
            long(FORM, "a=", "1<", "1 union select 1"),
        ),
        (
            "script",
            rule("@detectXSS", "t:none"),
            long(FORM, "a=", "<", "<script>"),
        ),
        (
            "transformation",
            rule("@streq x", "t:none,t:hexEncode,t:sha1"),
            long(FORM, "a=", "b", "c"),
        ),
        (
            "rewriting",
            rule("@streq x", "t:none,t:htmlEntityDecode"),
            long(FORM, "a=", "&lt;", "attack"),
        ),
    ] {
        let with = |looks| builder(&rules).looks(looks).block_uninspected(true);
        let t = play(&load(with(12)), &exchange);
        let ended = t.interruption().unwrap_or_else(|| panic!("{name} goes on"));
        assert_eq!((ended.status, ended.rule_id), (503, 0), "{name}");
        assert_eq!(ended.phase, Phase::RequestBody, "{name}");
        let reason = t.request_inspection().reason.expect("it is told");
        assert!(
            reason.contains("ended before it was done"),
            "{name}: {reason}"
        );
        assert_eq!(t.limits_hit(), 1, "{name}");
        let ids: Vec<u64> = t.matched_rules().iter().map(|m| m.rule_id).collect();
        assert_eq!(ids, [5], "{name}");
        let passed = play(&load(with(12).block_uninspected(false)), &exchange);
        assert_eq!(passed.interruption(), None, "{name}");

        let whole = play(&load(with(u64::MAX)), &exchange);
        let without = play(&load(builder(&rules).block_uninspected(true)), &exchange);
        assert_eq!(whole.interruption(), without.interruption(), "{name}");
        assert_eq!(
            whole.request_inspection(),
            without.request_inspection(),
            "{name}"
        );
    }
}

/// Wherever it ends, nothing half done is taken for an answer, by this transaction or by the thread's next.
#[test]
fn what_was_cut_short_is_not_kept() {
    let rules = "SecRequestBodyAccess On\n\
        SecRule ARGS \"@rx attack\" \"id:1,phase:2,deny,status:403,t:none,t:urlDecodeUni,t:lowercase\"\n\
        SecRule ARGS \"!@rx ^[a-z]*$\" \"id:2,phase:2,deny,status:403,t:none,t:removeWhitespace\"";
    let exchange = |value: &str| {
        let text = "POST /\nHost: a\nContent-Type: application/x-www-form-urlencoded\n\n";
        Exchange::parse(text).with_body(format!("long={}&a={value}", "b".repeat(100_000)))
    };
    for (number, value) in (0..40).zip(["attack%20x", "ATT%41CK", "good"].iter().cycle()) {
        let good = *value == "good";
        let value = format!("{value}{}", "n".repeat(number));
        let limited = load(builder(rules).looks(number as u64).block_uninspected(true));
        let t = play(&limited, &exchange(&value));
        let ended = t.interruption().map(|i| i.status);
        assert!(
            ended == Some(503) || ended == (!good).then_some(403),
            "{value} {ended:?}"
        );
        let t = play(&limited_by_nothing(rules), &exchange(&value));
        assert_eq!(t.interruption().is_some(), !good, "{value}");
    }
}

fn limited_by_nothing(rules: &str) -> std::sync::Arc<waf::RuleSet> {
    load(builder(rules).block_uninspected(true))
}
