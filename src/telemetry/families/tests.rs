//! The registry against the conventions of its formats, and the document that is made from it.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::*;

const HEAD: &str = "\
# Metrics

What `/metrics` of the [admin API](ingress.md#the-admin-api) shows, in Prometheus's text format, or in OpenMetrics where
the scraper's `Accept` asks for `application/openmetrics-text; version=1.0.0`. Only OpenMetrics has exemplars: the buckets
of latencies then name the id of a request that fell into them, at most one a second. `drawbridge events` and the access
log know it by that id.

Counters begin at 0 in each process. Every label is a name of the configuration, a rule's id, a task or a code, so that no
client can add time series. Rows of removed routes and rules stay until the restart, and each table has a most: 2,000
pairs of listener and route for histograms, 20,000 rows of each other table, 50,000 of rules by route. What finds no room
is counted in `drawbridge_metrics_uncounted_total`. A histogram appears with its first value.

[questions.md](questions.md) has the questions of every day with an answer each; `packaging/grafana` and
`packaging/prometheus` hold dashboards, alerts and recording rules.

This file is generated from the registry that `/metrics` is written from:
`UPDATE_DOCS=1 cargo test --workspace --lib telemetry::families`.
";

fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for group in GROUPS {
        let title = group.title;
        let _ = write!(
            page,
            "\n## {title}\n\n| Name | Type | Labels | Meaning |\n|---|---|---|---|\n"
        );
        for family in group.families {
            let labels: Vec<_> = family.labels.iter().map(|l| format!("`{l}`")).collect();
            let (name, kind) = (family.name, family.kind.name());
            let labels = labels.join(", ");
            let _ = writeln!(page, "| `{name}` | {kind} | {labels} | {} |", family.help);
        }
    }
    page
}

#[test]
fn the_document_is_current() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let wanted = markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(file, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/metrics.md is stale: UPDATE_DOCS=1 cargo test --workspace --lib telemetry::families"
    );
}

#[test]
fn names_follow_prometheus() {
    let mut names = BTreeSet::new();
    for family in all() {
        let name = family.name;
        let own = name.starts_with("drawbridge_") || name.starts_with("process_");
        assert!(own, "{name}");
        let base = name.strip_suffix("_total").unwrap_or(name);
        let is_counter = family.kind == MetricKind::Counter;
        assert_eq!(is_counter, name.ends_with("_total"), "{name}");
        if let Some(unit) = family.unit.suffix() {
            assert!(base.ends_with(&format!("_{unit}")), "{name}: {unit}");
        }
        // OpenMetrics names a counter without its suffix, and no two families may have one name.
        assert!(names.insert(base), "{name}");
        assert!(!family.help.contains(['"', '\\', '\n', '|']), "{name}");
        assert!(family.help.ends_with('.'), "{name}");
    }
}

#[test]
fn labels_are_what_nobody_outside_chooses() {
    const BOUNDED: &[&str] = &[
        "action",
        "code_class",
        "difference",
        "exposure",
        "family",
        "group",
        "id",
        "cause",
        "identity",
        "kind",
        "limit",
        "listener",
        "name",
        "openssl",
        "outcome",
        "owner",
        "part",
        "policy",
        "reason",
        "route",
        "rule_id",
        "server",
        "signal",
        "task",
        "unit",
        "upstream",
        "version",
        "what",
    ];
    for family in all() {
        for label in family.labels {
            assert!(BOUNDED.contains(label), "{}: {label}", family.name);
        }
    }
}
