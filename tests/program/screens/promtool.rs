//! Prometheus's own tool on the rules: they are valid, and each alert fires for the time series that it is about.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use support::materials;

use super::alerts;

#[test]
fn each_alert_fires() {
    if !materials::tool("promtool") {
        return;
    }
    let made = tempfile::tempdir().unwrap();
    let folder = made.path();
    fs::write(folder.join("rules.yaml"), alerts::yaml()).unwrap();
    promtool(folder, &["check", "rules", "rules.yaml"]);
    let mut tests = "rule_files: [rules.yaml]\nevaluation_interval: 10m\ntests:\n".to_owned();
    for alert in alerts::alerts() {
        tests += "  - interval: 1m\n    input_series:\n";
        for (series, values) in &alert.example {
            let _ = writeln!(
                tests,
                "      - series: {}\n        values: {}",
                json!(series),
                json!(values)
            );
        }
        let fires = |state: &str| {
            let name = alert.name;
            json!(format!(
                "count(ALERTS{{alertname=\"{name}\",alertstate=\"{state}\"}})"
            ))
        };
        let _ = writeln!(
            tests,
            "    promql_expr_test:\n      - expr: {}\n        eval_time: 660m\n        exp_samples: [{{ labels: \"{{}}\", value: 1 }}]",
            fires("firing")
        );
    }
    fs::write(folder.join("tests.yaml"), tests).unwrap();
    promtool(folder, &["test", "rules", "tests.yaml"]);
}

fn promtool(folder: &Path, arguments: &[&str]) {
    let ran = Command::new("promtool")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (said(&ran.stdout), said(&ran.stderr));
    assert!(ran.status.success(), "{arguments:?}: {out}{err}");
}
