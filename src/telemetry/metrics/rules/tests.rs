use super::*;
use waf::RuleTime;

const SHOP: PolicyOnRoute<'_> = PolicyOnRoute {
    policy: "default",
    route: "shop",
};
const API: PolicyOnRoute<'_> = PolicyOnRoute {
    policy: "default",
    route: "api",
};

fn micros(us: u64) -> Duration {
    Duration::from_micros(us)
}

/// Rules and their times in microseconds.
fn times(rules: &[(u64, u64)]) -> RuleTimes {
    let rules = rules.iter().map(|&(rule_id, us)| RuleTime {
        rule_id,
        time: micros(us),
    });
    RuleTimes {
        prefilter: micros(3),
        rules: rules.collect(),
    }
}

fn rule(report: &RuleReport, id: u64) -> &ReportedRule {
    report.rules.iter().find(|rule| rule.rule_id == id).unwrap()
}

#[test]
fn hits_and_blocks_count_by_policy_and_by_route() {
    let table = RuleTable::default();
    table.matched(SHOP, &[1, 2], true);
    table.matched(SHOP, &[1], false);
    table.matched(API, &[1], true);
    table.matched(API, &[], true);
    let counts = |route, id| {
        let report = table.report("default", route).unwrap();
        (rule(&report, id).hits, rule(&report, id).blocks)
    };
    assert_eq!(counts(None, 1), (3, 2));
    assert_eq!(counts(None, 2), (1, 1));
    assert_eq!(counts(Some("shop"), 1), (2, 1));
    assert_eq!(counts(Some("api"), 1), (1, 1));
    assert_eq!(table.report("default", Some("else")), None);
    assert_eq!(table.report("else", None), None);
    assert_eq!(table.policies(), ["default"]);
}

#[test]
fn times_add_up_and_what_is_neither_rule_nor_prefilter_is_left() {
    let table = RuleTable::default();
    table.timed(SHOP, "a", micros(20), &times(&[(1, 5), (2, 7)]));
    table.timed(API, "b", micros(30), &times(&[(1, 6)]));
    let report = table.report("default", None).unwrap();
    assert_eq!((report.timed, report.time), (2, micros(50)));
    assert_eq!(report.prefilter, micros(6));
    assert_eq!(report.other(), micros(50 - 6 - 18));
    let first = rule(&report, 1);
    assert_eq!(
        (first.runs, first.time, first.most),
        (2, micros(11), micros(6))
    );
    let dearest: Vec<u64> = report.dearest(9).iter().map(|rule| rule.rule_id).collect();
    assert_eq!(dearest, [1, 2]);
    let report = table.report("default", Some("api")).unwrap();
    assert_eq!((report.timed, rule(&report, 1).time), (1, micros(6)));
}

#[test]
fn the_dearest_request_of_a_rule_is_known() {
    let table = RuleTable::default();
    let timed = |at, id, rules| table.timed(at, id, micros(99), &times(rules));
    assert_eq!(timed(SHOP, "a", &[(1, 5), (2, 5)]), [1, 2]);
    assert_eq!(timed(SHOP, "b", &[(1, 5), (2, 6)]), [2]);
    assert_eq!(timed(API, "c", &[(1, 4), (2, 6)]), [0; 0]);
    let worst = |route, id| {
        let report = table.report("default", route).unwrap();
        rule(&report, id).worst.clone()
    };
    assert_eq!(worst(None, 1).as_deref(), Some("a"));
    assert_eq!(worst(None, 2).as_deref(), Some("b"));
    assert_eq!(worst(Some("shop"), 2).as_deref(), Some("b"));
    assert_eq!(worst(Some("api"), 2), None, "it was on another route");
}

#[test]
fn only_the_dearest_rules_have_a_dearest_request() {
    let table = RuleTable::default();
    let count = u64::try_from(DEAREST).unwrap();
    let first: Vec<_> = (1..=count).map(|id| (id, 100)).collect();
    table.timed(SHOP, "a", micros(9999), &times(&first));
    assert_eq!(
        table.timed(SHOP, "b", micros(99), &times(&[(1000, 5)])),
        [0; 0]
    );
    let report = table.report("default", None).unwrap();
    assert_eq!(rule(&report, 1000).worst, None);
    assert_eq!(rule(&report, 1000).most, micros(5));
    assert_eq!(
        table.timed(SHOP, "c", micros(999), &times(&[(1000, 500)])),
        [1000]
    );
}

#[test]
fn rows_have_a_most_and_those_that_are_there_go_on() {
    let table = RuleTable::default();
    let ids: Vec<u64> = (0..MOST_ROWS as u64 + 10).collect();
    table.matched(SHOP, &ids, false);
    assert!(table.is_full());
    table.timed(SHOP, "a", micros(9), &times(&[(3, 1), (u64::MAX, 1)]));
    table.matched(SHOP, &[3], true);
    // One row is for the policy itself.
    let report = table.report("default", None).unwrap();
    assert_eq!(report.rules.len(), MOST_ROWS - 1);
    assert_eq!((rule(&report, 3).hits, rule(&report, 3).blocks), (2, 1));
    assert_eq!(rule(&report, 3).runs, 1);
    let other = PolicyOnRoute {
        policy: "other",
        ..SHOP
    };
    table.matched(other, &[1], false);
    table.timed(other, "b", micros(9), &times(&[(1, 1)]));
    assert_eq!(table.report("other", None), None);
    assert_eq!(table.policies(), ["default"]);
}

#[test]
fn where_routes_have_no_room_policies_still_count() {
    let table = RuleTable::default();
    for route in 0..MOST_ROUTE_ROWS {
        let at = PolicyOnRoute {
            policy: "default",
            route: &route.to_string(),
        };
        table.matched(at, &[1], false);
    }
    table.matched(SHOP, &[2], false);
    table.matched(SHOP, &[2], false);
    assert!(table.is_full());
    let report = table.report("default", None).unwrap();
    assert_eq!(rule(&report, 1).hits, MOST_ROUTE_ROWS as u64);
    assert_eq!(rule(&report, 2).hits, 2);
    assert_eq!(table.report("default", Some("shop")), None);
}
