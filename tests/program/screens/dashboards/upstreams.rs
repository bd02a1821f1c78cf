//! Upstreams, certificates, changes of the configuration, and faults.

use drawbridge::telemetry::families as f;

use super::{Dashboard, Panel, panel};
use crate::screens::expression::{PANEL, quantile, rate, value};

pub fn dashboard() -> Dashboard {
    Dashboard {
        file: "upstreams",
        title: "Drawbridge: upstreams, certificates and changes",
        panels: [requests(), servers(), changes(), faults()]
            .into_iter()
            .flatten()
            .collect(),
    }
}

/// What upstreams answer.
fn requests() -> Vec<Panel> {
    vec![
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
                rate(&f::UPSTREAM_FAILURES, "", &["upstream", "reason"], PANEL).within("{} > 0"),
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
    ]
}

/// Their servers and certificates.
fn servers() -> Vec<Panel> {
    let by_upstream = |family, window| rate(family, "", &["upstream"], window);
    vec![
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
    ]
}

/// What is exposed and what reloads did.
fn changes() -> Vec<Panel> {
    vec![
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
    ]
}

/// What is lost or fails in the front door.
fn faults() -> Vec<Panel> {
    vec![
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
            "Traces and logs for the collector",
            "cps",
            [
                (
                    rate(&f::OTLP_SENT, "", &["signal"], PANEL),
                    "{{signal}} sent",
                ),
                (
                    rate(&f::OTLP_DROPPED, "", &["signal", "reason"], PANEL),
                    "{{signal}} dropped: {{reason}}",
                ),
                (
                    rate(&f::OTLP_FAILURES, "", &["signal", "reason"], PANEL),
                    "tries of {{signal}} that failed: {{reason}}",
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
    ]
}
