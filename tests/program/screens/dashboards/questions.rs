//! The dashboard of docs/questions.md.

use drawbridge::telemetry::families as f;

use super::{Dashboard, Panel, panel};
use crate::screens::expression::{PANEL, quantile, rate, value};

pub fn dashboard() -> Dashboard {
    Dashboard {
        file: "questions",
        title: "Drawbridge: the five questions",
        panels: [attacks(), gateways()].into_iter().flatten().collect(),
    }
}

/// Who attacks, and whom the rules hit beside them.
fn attacks() -> Vec<Panel> {
    let share = rate(
        &f::WAF_ROUTE_RULE_MATCHES,
        "",
        &["policy", "route", "rule_id"],
        PANEL,
    )
    .with(
        "/ on (route) group_left ()",
        rate(&f::LISTENER_REQUESTS, "", &["route"], PANEL).within("({} > 0)"),
    )
    .within("topk(10, {})");
    vec![
panel(
                "Who attacks",
                "reqps",
                [
                    (
                        rate(&f::WAF_REQUESTS, "action=\"block\"", &["policy"], PANEL),
                        "blocked by {{policy}}",
                    ),
                    (
                        rate(&f::WAF_ROUTE_RULE_BLOCKS, "", &["route"], PANEL),
                        "rules that matched blocked requests, {{route}}",
                    ),
                    (
                        rate(&f::TLS_HANDSHAKE_FAILURES, "", &[], PANEL),
                        "failed handshakes",
                    ),
                ],
            )
            .described(
                "How much, where and since when. Metrics hold no addresses of clients; this names them: drawbridge events top --by client --verdict block --since 1h",
            ),
panel(
                "Which rule hits honest clients on which route",
                "percentunit",
                [(share, "{{rule_id}} on {{route}}")],
            )
            .described(
                "The part of a route's requests that a rule matches. Attacks are a small part of a route's requests, so a rule with a large part hits honest clients. Then: drawbridge events top --by argument --rule ID --route ROUTE",
            ),
    ]
}

/// What is slow, fails or ends.
fn gateways() -> Vec<Panel> {
    let by_route = ["listener", "route"];
    vec![
panel(
                "Which API is slow, and where",
                "s",
                [
                    (
                        quantile(0.95, &f::REQUEST_DURATION, &by_route, PANEL),
                        "{{route}}: whole request",
                    ),
                    (
                        quantile(0.95, &f::WAF_DURATION, &by_route, PANEL),
                        "{{route}}: rules",
                    ),
                    (
                        quantile(0.95, &f::UPSTREAM_DURATION, &by_route, PANEL),
                        "{{route}}: gateway",
                    ),
                ],
            )
            .described(
                "The 95th percentile. What is neither in the rules nor at the gateway is the door: bodies that arrive slowly, queues, slow clients.",
            ),
panel(
                "Which gateway fails, and why",
                "reqps",
                [
                    (
                        rate(&f::UPSTREAM_FAILURES, "", &["upstream", "reason"], PANEL)
                            .within("{} > 0"),
                        "{{upstream}}: {{reason}}",
                    ),
                    (
                        rate(&f::UPSTREAM_REFUSED, "", &["upstream", "reason"], PANEL)
                            .within("{} > 0"),
                        "{{upstream}}: {{reason}}",
                    ),
                ],
            )
            .described("This dials each as the front door would, and says how to repair it: drawbridge doctor upstream --all"),
panel(
                "Which certificate ends when",
                "s",
                [(
                    value(&f::CERTIFICATE_NOT_AFTER, "").within("sort({} - time())"),
                    "{{kind}} {{name}}",
                )],
            )
            .into_table()
            .described("The time that is left. The same with the files: drawbridge certs list"),
    ]
}
