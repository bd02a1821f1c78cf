//! The Prometheus text format, version 0.0.4.
//!
//! Invariant: the samples of a family follow its HELP and TYPE lines without another family in between.

use std::fmt::{Display, Write};

/// Builds the text. Families are written one after the other.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    /// The full name of the latest family, which its samples repeat.
    family: String,
}

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A number that only rises.
    Counter,
    /// A number that rises and falls.
    Gauge,
}

impl Exposition {
    /// Begins a family. `name` has the unit and `_total`, but not the prefix `drawbridge_`.
    pub fn family(&mut self, name: &'static str, kind: MetricKind, help: &str) -> &mut Self {
        self.begin(format!("drawbridge_{name}"), kind, help)
    }

    /// Begins a family that has the same name in every program.
    pub fn standard_family(
        &mut self,
        name: &'static str,
        kind: MetricKind,
        help: &str,
    ) -> &mut Self {
        self.begin(name.to_owned(), kind, help)
    }

    fn begin(&mut self, name: String, kind: MetricKind, help: &str) -> &mut Self {
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}");
        let _ = writeln!(self.text, "# TYPE {name} {kind}");
        self.family = name;
        self
    }

    /// Writes a sample of the latest family. The set of label values must be bounded, such as names of the
    /// configuration or codes: each new value is a time series that Prometheus keeps.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        self.text.push_str(&self.family);
        for (index, (name, value)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{open}{name}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
        self
    }

    /// The whole text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}

/// The format escapes exactly these three characters in a label value.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_labels_are_written_in_order() {
        let mut text = Exposition::default();
        text.family("a_total", MetricKind::Counter, "As.")
            .sample(&[], 3)
            .sample(&[("x", "1"), ("y", "q\"\\\n")], 0.5);
        assert_eq!(
            text.into_text(),
            "# HELP drawbridge_a_total As.\n# TYPE drawbridge_a_total counter\n\
             drawbridge_a_total 3\ndrawbridge_a_total{x=\"1\",y=\"q\\\"\\\\\\n\"} 0.5\n"
        );
    }
}
