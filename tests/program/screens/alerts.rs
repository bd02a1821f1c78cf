//! The rules of `packaging/prometheus`: what is recorded, and what wakes somebody.

use std::fmt::Write;

use drawbridge::telemetry::families as f;
use serde_json::json;

use super::expression::{Expression, FIVE_MINUTES, Window, quantile, rate, value};

pub struct Alert {
    pub name: &'static str,
    pub expression: Expression,
    /// How long it must be so.
    pub duration: &'static str,
    severity: &'static str,
    summary: &'static str,
    /// Time series that make it fire, in promtool's notation: a sample each minute, of eleven hours.
    pub example: Vec<(&'static str, &'static str)>,
}

const DAY: Window = Window("1d");

/// Names of what is recorded: the labels that are kept, the metric, what was done with it.
pub fn recorded() -> Vec<(&'static str, Expression)> {
    let by_route = ["listener", "route"];
    let p95 = |family, by: &[&str]| quantile(0.95, family, by, FIVE_MINUTES);
    vec![
        (
            "route:drawbridge_listener_requests:rate5m",
            rate(
                &f::LISTENER_REQUESTS,
                "",
                &["listener", "route", "code_class"],
                FIVE_MINUTES,
            ),
        ),
        ("route:drawbridge_errors:ratio5m", errors()),
        (
            "route:drawbridge_request_duration_seconds:p95_5m",
            p95(&f::REQUEST_DURATION, &by_route),
        ),
        (
            "route:drawbridge_waf_duration_seconds:p95_5m",
            p95(&f::WAF_DURATION, &by_route),
        ),
        (
            "route:drawbridge_upstream_duration_seconds:p95_5m",
            p95(&f::UPSTREAM_DURATION, &by_route),
        ),
        (
            "upstream:drawbridge_request_duration_seconds:p95_5m",
            p95(&f::UPSTREAM_REQUEST_DURATION, &["upstream"]),
        ),
        (
            "policy:drawbridge_waf_requests:rate5m",
            rate(&f::WAF_REQUESTS, "", &["policy", "action"], FIVE_MINUTES),
        ),
    ]
}

fn errors() -> Expression {
    let by = ["listener", "route"];
    rate(
        &f::LISTENER_REQUESTS,
        "code_class=\"5xx\"",
        &by,
        FIVE_MINUTES,
    )
    .with(
        "/",
        rate(&f::LISTENER_REQUESTS, "", &by, FIVE_MINUTES).within("({} > 0)"),
    )
}

pub fn alerts() -> Vec<Alert> {
    let some = |family, by: &[&str]| rate(family, "", by, FIVE_MINUTES).within("{} > 0");
    let left = |days: u32| {
        let around = format!("{{}} - time() < {days} * 86400");
        value(&f::CERTIFICATE_NOT_AFTER, "").within(&around)
    };
    let alert = |name, duration, severity, expression, summary, example| Alert {
        name,
        expression,
        duration,
        severity,
        summary,
        example,
    };
    vec![
        alert(
            "DrawbridgeAbsent",
            "5m",
            "critical",
            value(&f::BUILD_INFO, "").within("absent({})"),
            "No front door is scraped.",
            vec![("unrelated", "1x700")],
        ),
        alert(
            "DrawbridgeErrors",
            "5m",
            "critical",
            errors().within("{} > 0.05"),
            "{{ $value | humanizePercentage }} of the requests to route {{ $labels.route }} of listener {{ $labels.listener }} end with 5xx.",
            vec![(
                "drawbridge_listener_requests_total{listener=\"public\",route=\"orders\",code_class=\"5xx\"}",
                "0+60x700",
            )],
        ),
        alert(
            "DrawbridgeSlow",
            "10m",
            "warning",
            quantile(
                0.95,
                &f::REQUEST_DURATION,
                &["listener", "route"],
                FIVE_MINUTES,
            )
            .within("{} > 5"),
            "One request in 20 to route {{ $labels.route }} takes longer than {{ $value | humanizeDuration }}: the panel 'Which API is slow, and where' shows where.",
            vec![
                (
                    "drawbridge_listener_request_duration_seconds_bucket{listener=\"public\",route=\"orders\",le=\"30.0\"}",
                    "0x700",
                ),
                (
                    "drawbridge_listener_request_duration_seconds_bucket{listener=\"public\",route=\"orders\",le=\"+Inf\"}",
                    "0+60x700",
                ),
            ],
        ),
        alert(
            "DrawbridgeUpstreamFails",
            "5m",
            "critical",
            some(&f::UPSTREAM_FAILURES, &["upstream", "reason"]),
            "Upstream {{ $labels.upstream }} fails: {{ $labels.reason }}. Ask: drawbridge doctor upstream {{ $labels.upstream }}",
            vec![(
                "drawbridge_upstream_failures_total{upstream=\"orders\",reason=\"untrusted\"}",
                "0+1x700",
            )],
        ),
        alert(
            "DrawbridgeUpstreamRefuses",
            "5m",
            "critical",
            some(&f::UPSTREAM_REFUSED, &["upstream", "reason"]),
            "Upstream {{ $labels.upstream }} takes no more requests: {{ $labels.reason }}.",
            vec![(
                "drawbridge_upstream_refused_total{upstream=\"orders\",reason=\"no_server\"}",
                "0+1x700",
            )],
        ),
        alert(
            "DrawbridgeServerDown",
            "2m",
            "warning",
            value(&f::SERVER_UP, "").within("{} == 0"),
            "Server {{ $labels.server }} of upstream {{ $labels.upstream }} fails its health checks.",
            vec![(
                "drawbridge_upstream_server_up{upstream=\"orders\",server=\"10.0.0.1:443\"}",
                "0x700",
            )],
        ),
        alert(
            "DrawbridgeCertificateEnds",
            "1h",
            "warning",
            left(14),
            "{{ $labels.kind }} certificate {{ $labels.name }} ends in {{ $value | humanizeDuration }}. Ask: drawbridge certs list",
            vec![(
                "drawbridge_certificate_not_after_timestamp_seconds{kind=\"listener\",name=\"public\"}",
                "864000x700",
            )],
        ),
        alert(
            "DrawbridgeCertificateEndsSoon",
            "15m",
            "critical",
            left(3),
            "{{ $labels.kind }} certificate {{ $labels.name }} ends in {{ $value | humanizeDuration }}.",
            vec![(
                "drawbridge_certificate_not_after_timestamp_seconds{kind=\"listener\",name=\"public\"}",
                "86400x700",
            )],
        ),
        alert(
            "DrawbridgeReloadRefused",
            "10m",
            "warning",
            value(&f::CONFIG_LAST_RELOAD, "").within("{} == 0"),
            "The last reload refused something; last good versions serve. Ask: drawbridge status",
            vec![("drawbridge_config_last_reload_successful", "0x700")],
        ),
        alert(
            "DrawbridgeNotInspected",
            "10m",
            "warning",
            rate(
                &f::WAF_NOT_INSPECTED,
                "reason=~\"partly|not_understood\"",
                &["part", "reason"],
                FIVE_MINUTES,
            )
            .within("{} > 0"),
            "The rules do not see all of each {{ $labels.part }}: {{ $labels.reason }}. Ask: drawbridge events list --verdict uninspected",
            vec![(
                "drawbridge_waf_not_inspected_total{part=\"request\",reason=\"partly\"}",
                "0+1x700",
            )],
        ),
        alert(
            "DrawbridgeAttack",
            "10m",
            "warning",
            rate(&f::WAF_BLOCKED, "", &[], FIVE_MINUTES)
                .with("> 1 and", rate(&f::WAF_BLOCKED, "", &[], FIVE_MINUTES))
                .with("> 5 *", rate(&f::WAF_BLOCKED, "", &[], DAY)),
            "{{ $value | humanize }} requests a second are blocked, more than five times the day's mean. Ask: drawbridge events top --by client --verdict block --since 1h",
            vec![("drawbridge_waf_blocked_total", "0x600 0+600x100")],
        ),
        alert(
            "DrawbridgeRuleHitsManyRequests",
            "30m",
            "warning",
            rate(
                &f::WAF_ROUTE_RULE_BLOCKS,
                "",
                &["policy", "route", "rule_id"],
                FIVE_MINUTES,
            )
            .with(
                "/ on (route) group_left ()",
                rate(&f::LISTENER_REQUESTS, "", &["route"], FIVE_MINUTES).within("({} > 0.1)"),
            )
            .within("{} > 0.05"),
            "Rule {{ $labels.rule_id }} is in {{ $value | humanizePercentage }} of the requests to route {{ $labels.route }}, which are blocked: that many are seldom attacks. Ask: drawbridge events top --by argument --rule {{ $labels.rule_id }} --route {{ $labels.route }}",
            vec![
                (
                    "drawbridge_waf_route_rule_blocks_total{policy=\"default\",route=\"orders\",rule_id=\"942100\"}",
                    "0+6x700",
                ),
                (
                    "drawbridge_listener_requests_total{listener=\"public\",route=\"orders\",code_class=\"2xx\"}",
                    "0+60x700",
                ),
            ],
        ),
        alert(
            "DrawbridgeLinesLost",
            "5m",
            "warning",
            some(&f::ACCESS_DROPPED, &[]).with("or", some(&f::AUDIT_DROPPED, &[])),
            "The target of the access log or of the audit log does not take its lines.",
            vec![("drawbridge_audit_lines_dropped_total", "0+1x700")],
        ),
        alert(
            "DrawbridgeIssuer",
            "15m",
            "warning",
            some(&f::IDENTITY_FETCH_FAILURES, &["identity", "what", "reason"]),
            "The {{ $labels.what }} of identity {{ $labels.identity }} cannot be fetched: {{ $labels.reason }}. Ask: drawbridge doctor identity {{ $labels.identity }}",
            vec![(
                "drawbridge_identity_fetch_failures_total{identity=\"corp\",what=\"keys\",reason=\"connect\"}",
                "0+1x700",
            )],
        ),
        alert(
            "DrawbridgeIssuerKeysMissing",
            "1m",
            "critical",
            value(&f::IDENTITY_KEYS, "").within("{} == 0"),
            "Identity {{ $labels.identity }} has no key that counts, so no token of its issuer is taken.",
            vec![("drawbridge_identity_keys{identity=\"corp\"}", "0x700")],
        ),
        alert(
            "DrawbridgeSigningKeys",
            "15m",
            "warning",
            some(&f::SIGNING_FAILURES, &[]),
            "The keys that sign tokens for gateways cannot be read or replaced; the last ones stay in use. The log says why; look at the file in the state_dir, and whether its disk is full.",
            vec![("drawbridge_signing_failures_total", "0+1x700")],
        ),
        alert(
            "DrawbridgeTelemetryLost",
            "5m",
            "warning",
            some(&f::OTLP_DROPPED, &["signal", "reason"]),
            "The collector does not have all {{ $labels.signal }}: {{ $labels.reason }}. drawbridge status says why.",
            vec![(
                "drawbridge_otlp_dropped_total{signal=\"traces\",reason=\"unsent\"}",
                "0+1x700",
            )],
        ),
        alert(
            "DrawbridgeEventsLost",
            "5m",
            "warning",
            some(&f::EVENTS_DROPPED, &["reason"]),
            "Events are not kept: {{ $labels.reason }}.",
            vec![(
                "drawbridge_events_dropped_total{reason=\"disk\"}",
                "0+1x700",
            )],
        ),
        alert(
            "DrawbridgeExclusionEnds",
            "1h",
            "warning",
            value(&f::EXCLUSION_END, "").within("{} - time() < 14 * 86400"),
            "Exclusion {{ $labels.id }} of policy {{ $labels.policy }} ends in {{ $value | humanizeDuration }}; {{ $labels.owner }} owns it.",
            vec![(
                "drawbridge_exclusion_end_timestamp_seconds{policy=\"default\",id=\"80001\",owner=\"shop\"}",
                "864000x700",
            )],
        ),
        alert(
            "DrawbridgeFull",
            "5m",
            "critical",
            some(&f::BODY_MEMORY_REFUSALS, &[])
                .with("or", some(&f::INSPECTION_REFUSALS, &[]))
                .with("or", some(&f::CONNECTIONS_REFUSED, &[])),
            "Clients are turned away because a limit of connections, memory or inspection threads is reached.",
            vec![("drawbridge_connections_refused_total", "0+1x700")],
        ),
        alert(
            "DrawbridgeFault",
            "0m",
            "warning",
            some(&f::PANICS, &[]).with("or", some(&f::TASK_RESTARTS, &[])),
            "A part of the front door failed and began again: its diagnostics say why. Please report it.",
            vec![("drawbridge_panics_total", "0+1x700")],
        ),
        alert(
            "DrawbridgeUncounted",
            "5m",
            "warning",
            some(&f::METRICS_UNCOUNTED, &["family"]),
            "The table of {{ $labels.family }} is full, so that its numbers are too low until a restart.",
            vec![(
                "drawbridge_metrics_uncounted_total{family=\"drawbridge_listener_requests_total\"}",
                "0+1x700",
            )],
        ),
    ]
}

const HEAD: &str = "\
# Recording rules and alerts for Drawbridge; the thresholds are a start. Load it by `rule_files` in prometheus.yml.
# Generated from the registry of metrics: UPDATE_DOCS=1 cargo test --workspace --test program screens
";

pub fn yaml() -> String {
    let mut text = format!("{HEAD}groups:\n  - name: drawbridge-recorded\n    rules:\n");
    for (name, expression) in recorded() {
        // A JSON string is a YAML string.
        let expression = json!(expression.text);
        let _ = writeln!(text, "      - record: {name}\n        expr: {expression}");
    }
    text += "  - name: drawbridge-alerts\n    rules:\n";
    for alert in alerts() {
        let (name, duration, severity) = (alert.name, alert.duration, alert.severity);
        let (expression, summary) = (json!(alert.expression.text), json!(alert.summary));
        let _ = writeln!(
            text,
            "      - alert: {name}\n        expr: {expression}\n        for: {duration}\n        labels:\n          severity: {severity}\n        annotations:\n          summary: {summary}"
        );
    }
    text
}
