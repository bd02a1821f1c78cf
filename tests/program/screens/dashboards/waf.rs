//! The security team's dashboard.

use drawbridge::telemetry::families as f;

use super::{Dashboard, Panel, panel};
use crate::screens::expression::{Expression, PANEL, quantile, rate, value};

pub fn dashboard() -> Dashboard {
    Dashboard {
        file: "waf",
        title: "Drawbridge: the WAF",
        panels: [verdicts(), rules(), inspection(), changes()]
            .into_iter()
            .flatten()
            .collect(),
    }
}

/// What the rules said.
fn verdicts() -> Vec<Panel> {
    vec![
        panel(
            "What the rules said",
            "reqps",
            [(
                rate(&f::WAF_REQUESTS, "", &["policy", "action"], PANEL),
                "{{policy}} {{action}}",
            )],
        ),
        panel(
            "All policies",
            "reqps",
            [
                (rate(&f::WAF_BLOCKED, "", &[], PANEL), "blocked"),
                (
                    rate(&f::WAF_MATCHED, "", &[], PANEL),
                    "matched, not blocked",
                ),
                (
                    rate(&f::WAF_UNINSPECTED, "", &[], PANEL),
                    "not wholly inspected",
                ),
            ],
        ),
    ]
}

/// Which rules said it.
fn rules() -> Vec<Panel> {
    let top = |expression: Expression| expression.within("topk(10, {})");
    vec![
        panel(
            "Rules that match",
            "reqps",
            [(
                top(rate(
                    &f::WAF_RULE_MATCHES,
                    "",
                    &["policy", "rule_id"],
                    PANEL,
                )),
                "{{policy}} {{rule_id}}",
            )],
        ),
        panel(
            "Rules of blocked requests",
            "reqps",
            [(
                top(rate(&f::WAF_RULE_BLOCKS, "", &["policy", "rule_id"], PANEL)),
                "{{policy}} {{rule_id}}",
            )],
        ),
        panel(
            "Rules of blocked requests by route",
            "reqps",
            [(
                top(rate(
                    &f::WAF_ROUTE_RULE_BLOCKS,
                    "",
                    &["route", "rule_id"],
                    PANEL,
                )),
                "{{rule_id}} on {{route}}",
            )],
        ),
        panel(
            "Rules that match by route",
            "reqps",
            [(
                top(rate(
                    &f::WAF_ROUTE_RULE_MATCHES,
                    "",
                    &["route", "rule_id"],
                    PANEL,
                )),
                "{{rule_id}} on {{route}}",
            )],
        ),
    ]
}

/// What was inspected, and what that cost.
fn inspection() -> Vec<Panel> {
    vec![
        panel(
            "Bodies that were not inspected",
            "reqps",
            [(
                rate(&f::WAF_NOT_INSPECTED, "", &["part", "reason"], PANEL),
                "{{part}}: {{reason}}",
            )],
        ),
        panel(
            "Time in the rules by route",
            "s",
            [
                (
                    quantile(0.5, &f::WAF_DURATION, &["route"], PANEL),
                    "{{route}} 50 %",
                ),
                (
                    quantile(0.99, &f::WAF_DURATION, &["route"], PANEL),
                    "{{route}} 99 %",
                ),
            ],
        ),
        panel(
            "What rules cost, a timed request",
            "s",
            [(
                rate(&f::WAF_RULE_CPU, "", &["policy", "rule_id"], PANEL)
                    .with(
                        "/ on (policy) group_left ()",
                        rate(&f::WAF_TIMED_REQUESTS, "", &["policy"], PANEL).within("({} > 0)"),
                    )
                    .within("topk(10, {})"),
                "{{policy}} {{rule_id}}",
            )],
        ),
    ]
}

/// What changes what rules say, and what is kept.
fn changes() -> Vec<Panel> {
    let top = |expression: Expression| expression.within("topk(10, {})");
    vec![
        panel(
            "What shadows would change",
            "reqps",
            [
                (
                    rate(&f::SHADOW_REQUESTS, "", &["policy", "outcome"], PANEL),
                    "{{policy}} {{outcome}}",
                ),
                (
                    rate(&f::SHADOW_DROPPED, "", &["reason"], PANEL),
                    "not seen: {{reason}}",
                ),
            ],
        ),
        panel(
            "Rules that differ in shadows",
            "reqps",
            [(
                top(rate(
                    &f::SHADOW_RULE_DIFFERENCES,
                    "",
                    &["policy", "rule_id", "difference"],
                    PANEL,
                )),
                "{{policy}} {{rule_id}} {{difference}}",
            )],
        ),
        panel(
            "Exclusions in use",
            "reqps",
            [(
                rate(&f::EXCLUSION_HITS, "", &["policy", "id", "owner"], PANEL),
                "{{policy}} {{id}} {{owner}}",
            )],
        ),
        panel(
            "When exclusions end",
            "s",
            [(
                value(&f::EXCLUSION_END, "").within("sort({} - time())"),
                "{{policy}} {{id}} {{owner}}",
            )],
        )
        .into_table(),
        panel(
            "Events",
            "reqps",
            [
                (rate(&f::EVENTS_KEPT, "", &[], PANEL), "kept"),
                (
                    rate(&f::EVENTS_DROPPED, "", &["reason"], PANEL),
                    "dropped: {{reason}}",
                ),
            ],
        ),
    ]
}
