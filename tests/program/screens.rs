//! The dashboards and the rules in `packaging/` are made from the registry of metrics. `UPDATE_DOCS=1` writes them anew;
//! `tests/reload/prometheus.rs` has a real Prometheus evaluate them.

mod alerts;
mod dashboards;
mod expression;
mod promtool;

use std::collections::BTreeSet;
use std::fs;

use drawbridge::telemetry::families;
use support::materials::project;

/// Holds that a file of the project is this text, or writes it.
fn hold(path: &str, wanted: &str) {
    let file = project().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, wanted).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    let how = "UPDATE_DOCS=1 cargo test --workspace --test program screens";
    assert!(found == wanted, "{path} is stale: {how}");
}

#[test]
fn the_dashboards_are_current() {
    for dashboard in dashboards::all() {
        let path = format!("packaging/grafana/{}.json", dashboard.file);
        hold(&path, &dashboard.json());
    }
}

#[test]
fn the_rules_are_current() {
    hold("packaging/prometheus/rules.yaml", &alerts::yaml());
}

/// Whoever adds a family puts it on a screen.
#[test]
fn every_family_has_a_panel() {
    let dashboards = dashboards::all();
    let shown: BTreeSet<&str> = dashboards
        .iter()
        .flat_map(|dashboard| &dashboard.panels)
        .flat_map(|panel| &panel.targets)
        .flat_map(|(expression, _)| expression.families.iter().map(|family| family.name))
        .collect();
    let registered: BTreeSet<&str> = families::all().map(|family| family.name).collect();
    assert_eq!(registered.difference(&shown).collect::<Vec<_>>(), [&""; 0]);
}
