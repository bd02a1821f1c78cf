//! The dashboards of `packaging/grafana`.

use drawbridge::telemetry::families as f;
use serde_json::{Value, json};

use super::expression::{Expression, PANEL, mean, quantile, rate, value};

pub struct Dashboard {
    /// Its name without `.json`, and a part of its uid.
    pub file: &'static str,
    title: &'static str,
    pub panels: Vec<Panel>,
}

pub struct Panel {
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    kind: &'static str,
    /// What is shown, and the legend.
    pub targets: Vec<(Expression, &'static str)>,
}

pub fn all() -> [Dashboard; 4] {
    [questions(), traffic(), waf(), upstreams()]
}

fn panel(
    title: &'static str,
    unit: &'static str,
    targets: impl Into<Vec<(Expression, &'static str)>>,
) -> Panel {
    Panel {
        title,
        description: "",
        unit,
        kind: "timeseries",
        targets: targets.into(),
    }
}

impl Panel {
    fn described(self, description: &'static str) -> Self {
        Self {
            description,
            ..self
        }
    }

    /// Only the values of now, one a row.
    fn into_table(self) -> Self {
        Self {
            kind: "table",
            ..self
        }
    }
}

fn questions() -> Dashboard {
    let by_route = ["listener", "route"];
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
    Dashboard {
        file: "questions",
        title: "Drawbridge: the five questions",
        panels: vec![
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
        ],
    }
}

fn traffic() -> Dashboard {
    let by_route = ["listener", "route"];
    let errors = rate(
        &f::LISTENER_REQUESTS,
        "code_class=\"5xx\"",
        &by_route,
        PANEL,
    )
    .with(
        "/",
        rate(&f::LISTENER_REQUESTS, "", &by_route, PANEL).within("({} > 0)"),
    );
    let latencies = |q, legend| (quantile(q, &f::REQUEST_DURATION, &by_route, PANEL), legend);
    Dashboard {
        file: "traffic",
        title: "Drawbridge: traffic",
        panels: vec![
            panel(
                "Requests by route",
                "reqps",
                [(
                    rate(&f::LISTENER_REQUESTS, "", &by_route, PANEL),
                    "{{listener}} {{route}}",
                )],
            ),
            panel(
                "Answers by class",
                "reqps",
                [(
                    rate(&f::REQUESTS, "", &["code_class"], PANEL),
                    "{{code_class}}",
                )],
            ),
            panel(
                "Part of 5xx by route",
                "percentunit",
                [(errors, "{{listener}} {{route}}")],
            ),
            panel(
                "Latency by route",
                "s",
                [
                    latencies(0.5, "{{route}} 50 %"),
                    latencies(0.95, "{{route}} 95 %"),
                    latencies(0.99, "{{route}} 99 %"),
                ],
            ),
            panel(
                "Sizes by route, mean",
                "bytes",
                [
                    (
                        mean(&f::REQUEST_BODY, &by_route, PANEL),
                        "{{route}} requests",
                    ),
                    (
                        mean(&f::RESPONSE_BODY, &by_route, PANEL),
                        "{{route}} answers",
                    ),
                ],
            ),
            panel(
                "In flight",
                "short",
                [
                    (value(&f::REQUESTS_IN_FLIGHT, ""), "requests"),
                    (value(&f::CONNECTIONS_OPEN, ""), "connections"),
                ],
            ),
            panel(
                "Connections",
                "cps",
                [
                    (rate(&f::CONNECTIONS_ACCEPTED, "", &[], PANEL), "accepted"),
                    (rate(&f::CONNECTIONS_REFUSED, "", &[], PANEL), "refused"),
                ],
            ),
            panel(
                "TLS versions and groups",
                "cps",
                [(
                    rate(&f::TLS_HANDSHAKES, "", &["version", "group"], PANEL),
                    "{{version}} {{group}}",
                )],
            ),
            panel(
                "Failed handshakes",
                "cps",
                [(
                    rate(&f::TLS_HANDSHAKE_FAILURES, "", &["reason"], PANEL),
                    "{{reason}}",
                )],
            ),
            panel(
                "What HTTP forbids",
                "reqps",
                [
                    (rate(&f::MALFORMED_HEADS, "", &[], PANEL), "malformed heads"),
                    (rate(&f::HTTP2_FLOODS, "", &[], PANEL), "HTTP/2 floods"),
                ],
            ),
            panel(
                "503 for want of resources",
                "reqps",
                [
                    (
                        rate(&f::BODY_MEMORY_REFUSALS, "", &[], PANEL),
                        "memory of bodies",
                    ),
                    (
                        rate(&f::INSPECTION_REFUSALS, "", &[], PANEL),
                        "threads of long inspections",
                    ),
                ],
            ),
            panel(
                "The process",
                "short",
                [
                    (rate(&f::PROCESS_CPU, "", &[], PANEL), "processors in use"),
                    (
                        value(&f::PROCESS_FDS, "").with("/", value(&f::PROCESS_MAX_FDS, "")),
                        "part of descriptors in use",
                    ),
                ],
            ),
            panel(
                "Memory",
                "bytes",
                [(value(&f::PROCESS_MEMORY, ""), "resident")],
            ),
            panel(
                "Versions",
                "short",
                [
                    (value(&f::BUILD_INFO, ""), "{{version}}, {{openssl}}"),
                    (
                        value(&f::PROCESS_START, "").within("time() - {}"),
                        "seconds since the start",
                    ),
                ],
            )
            .into_table(),
        ],
    }
}

fn waf() -> Dashboard {
    let top = |expression: Expression| expression.within("topk(10, {})");
    Dashboard {
        file: "waf",
        title: "Drawbridge: the WAF",
        panels: vec![
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
        ],
    }
}

fn upstreams() -> Dashboard {
    let by_upstream = |family, window| rate(family, "", &["upstream"], window);
    Dashboard {
        file: "upstreams",
        title: "Drawbridge: upstreams, certificates and changes",
        panels: vec![
            panel(
                "Answers by class",
                "reqps",
                [(
                    rate(
                        &f::UPSTREAM_REQUESTS,
                        "",
                        &["upstream", "code_class"],
                        PANEL,
                    ),
                    "{{upstream}} {{code_class}}",
                )],
            ),
            panel(
                "Latency",
                "s",
                [
                    (
                        quantile(0.5, &f::UPSTREAM_REQUEST_DURATION, &["upstream"], PANEL),
                        "{{upstream}} 50 %",
                    ),
                    (
                        quantile(0.95, &f::UPSTREAM_REQUEST_DURATION, &["upstream"], PANEL),
                        "{{upstream}} 95 %",
                    ),
                ],
            ),
            panel(
                "Failures by cause",
                "reqps",
                [(
                    rate(&f::UPSTREAM_FAILURES, "", &["upstream", "reason"], PANEL)
                        .within("{} > 0"),
                    "{{upstream}}: {{reason}}",
                )],
            ),
            panel(
                "503 of an upstream",
                "reqps",
                [(
                    rate(&f::UPSTREAM_REFUSED, "", &["upstream", "reason"], PANEL),
                    "{{upstream}}: {{reason}}",
                )],
            ),
            panel(
                "In flight",
                "short",
                [
                    (value(&f::UPSTREAM_IN_FLIGHT, ""), "{{upstream}}"),
                    (value(&f::UPSTREAM_PENDING, ""), "{{upstream}}: waiting"),
                    (value(&f::SERVER_IN_FLIGHT, ""), "{{upstream}} {{server}}"),
                ],
            ),
            panel(
                "Servers",
                "short",
                [
                    (value(&f::SERVER_UP, ""), "{{upstream}} {{server}}: up"),
                    (
                        value(&f::SERVER_EJECTED, ""),
                        "{{upstream}} {{server}}: ejected",
                    ),
                ],
            )
            .into_table(),
            panel(
                "Retries, ejections, failed health checks",
                "cps",
                [
                    (
                        by_upstream(&f::UPSTREAM_RETRIES, PANEL),
                        "{{upstream}}: retries",
                    ),
                    (
                        by_upstream(&f::UPSTREAM_EJECTIONS, PANEL),
                        "{{upstream}}: ejections",
                    ),
                    (
                        by_upstream(&f::UPSTREAM_HEALTH_FAILURES, PANEL),
                        "{{upstream}}: health checks",
                    ),
                ],
            ),
            panel(
                "Certificates: time left",
                "s",
                [(
                    value(&f::CERTIFICATE_NOT_AFTER, "").within("sort({} - time())"),
                    "{{kind}} {{name}}",
                )],
            )
            .into_table(),
            panel(
                "Exposures",
                "short",
                [(value(&f::EXPOSURE_ENABLED, ""), "{{exposure}}")],
            )
            .into_table(),
            panel(
                "Reloads",
                "short",
                [
                    (value(&f::CONFIG_GENERATION, ""), "generation"),
                    (
                        value(&f::CONFIG_LAST_RELOAD, ""),
                        "the last one took everything",
                    ),
                    (value(&f::CONFIG_REFUSED, ""), "refused: {{unit}}"),
                ],
            )
            .into_table(),
            panel(
                "Reloads a second",
                "cps",
                [
                    (rate(&f::CONFIG_RELOADS, "", &[], PANEL), "tried"),
                    (
                        rate(&f::CONFIG_RELOAD_FAILURES, "", &[], PANEL),
                        "refused something",
                    ),
                ],
            ),
            panel(
                "Lines of logs that were lost",
                "cps",
                [
                    (rate(&f::ACCESS_DROPPED, "", &[], PANEL), "access log"),
                    (rate(&f::AUDIT_DROPPED, "", &[], PANEL), "audit log"),
                    (rate(&f::DIAGNOSTICS_DROPPED, "", &[], PANEL), "diagnostics"),
                ],
            ),
            panel(
                "Writes of logs that failed",
                "cps",
                [
                    (
                        rate(&f::ACCESS_WRITE_FAILURES, "", &[], PANEL),
                        "access log",
                    ),
                    (rate(&f::AUDIT_WRITE_FAILURES, "", &[], PANEL), "audit log"),
                    (
                        rate(&f::DIAGNOSTICS_WRITE_FAILURES, "", &[], PANEL),
                        "diagnostics",
                    ),
                ],
            ),
            panel(
                "Faults of our own",
                "cps",
                [
                    (
                        rate(&f::TASK_RESTARTS, "", &["task"], PANEL),
                        "{{task}} began again",
                    ),
                    (rate(&f::PANICS, "", &[], PANEL), "panics"),
                    (
                        rate(&f::METRICS_UNCOUNTED, "", &["family"], PANEL),
                        "not counted: {{family}}",
                    ),
                ],
            ),
        ],
    }
}

impl Dashboard {
    /// As Grafana imports it.
    pub fn json(&self) -> String {
        let panels = self.panels.iter().enumerate();
        let panels = panels.map(|(index, panel)| panel.json(index));
        let dashboard = json!({
            "title": self.title,
            "uid": format!("drawbridge-{}", self.file),
            "tags": ["drawbridge"],
            "schemaVersion": 38,
            "editable": true,
            "refresh": "30s",
            "time": { "from": "now-6h", "to": "now" },
            "templating": { "list": [{
                "name": "datasource",
                "label": "Data source",
                "type": "datasource",
                "query": "prometheus",
            }] },
            "panels": panels.collect::<Vec<_>>(),
        });
        format!("{dashboard:#}\n")
    }
}

impl Panel {
    /// Two panels a row.
    fn json(&self, index: usize) -> Value {
        let source = json!({ "type": "prometheus", "uid": "${datasource}" });
        let is_table = self.kind == "table";
        let targets = self.targets.iter().zip("ABCDEFGH".chars());
        let targets = targets.map(|((expression, legend), name)| {
            json!({
                "refId": name.to_string(),
                "datasource": source,
                "expr": expression.text,
                "legendFormat": legend,
                "instant": is_table,
                "range": !is_table,
                "format": if is_table { "table" } else { "time_series" },
                "exemplar": !is_table,
            })
        });
        json!({
            "id": index + 1,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": source,
            "gridPos": { "h": 8, "w": 12, "x": index % 2 * 12, "y": index / 2 * 8 },
            "fieldConfig": { "defaults": { "unit": self.unit }, "overrides": [] },
            "options": {},
            "targets": targets.collect::<Vec<_>>(),
        })
    }
}
