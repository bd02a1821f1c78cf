//! The dashboards of `packaging/grafana`.

mod questions;
mod traffic;
mod upstreams;
mod waf;

use serde_json::{Value, json};

use super::expression::Expression;

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
    [
        questions::dashboard(),
        traffic::dashboard(),
        waf::dashboard(),
        upstreams::dashboard(),
    ]
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
