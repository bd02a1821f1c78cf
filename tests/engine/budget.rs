//! A time budget: what is not inspected when it is used up is judged as the policy says.

use std::time::Duration;

use drawbridge::waf::{EngineMode, Phase};

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
