//! The formats of `/metrics`: Prometheus's text format, version 0.0.4, and OpenMetrics, version 1.0.0.
//!
//! Invariants: the samples of a family follow its HELP and TYPE lines without another family in between; a family is
//! one of the registry, [`crate::telemetry::families`].

use std::fmt::{Display, Write};
use std::time::Duration;

use crate::hex::hex;
use crate::telemetry::HistogramReport;
use crate::telemetry::families::{Family, MetricKind, Unit};
use crate::telemetry::metrics::Exemplar;

/// A format of `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpositionFormat {
    /// Prometheus's own, version 0.0.4.
    Text,
    /// OpenMetrics, version 1.0.0, with exemplars.
    OpenMetrics,
}

/// Builds the text. Families are written one after the other.
#[derive(Debug)]
pub struct Exposition {
    format: ExpositionFormat,
    text: String,
    /// The latest family.
    family: Option<&'static Family>,
}

impl ExpositionFormat {
    /// What a scraper with this `Accept` field gets: OpenMetrics only if it asks for it at least as much as for text.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let ranges = || accept.split(',').map(MediaRange::parse);
        let most = |wanted: &dyn Fn(&MediaRange<'_>) -> bool| {
            let weights = ranges().filter(|range| wanted(range)).map(|r| r.weight);
            weights.fold(0.0, f64::max)
        };
        let open = most(&|range| {
            // Whoever names no version takes any.
            let version = range.version.unwrap_or("1.0.0");
            range.is("application/openmetrics-text") && version == "1.0.0"
        });
        let text = most(&|range| range.is("text/plain"));
        match open > 0.0 && open >= text {
            true => Self::OpenMetrics,
            false => Self::Text,
        }
    }

    /// The value of the Content-Type field.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// An element of an `Accept` field.
struct MediaRange<'a> {
    media_type: &'a str,
    version: Option<&'a str>,
    weight: f64,
}

impl<'a> MediaRange<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self {
            media_type: parts.next().unwrap_or_default(),
            version: None,
            weight: 1.0,
        };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name {
                "version" => range.version = Some(value.trim_matches('"')),
                // A weight that nobody can read is no wish.
                "q" => range.weight = value.parse().unwrap_or(0.0),
                _ => {}
            }
        }
        range
    }

    fn is(&self, media_type: &str) -> bool {
        self.media_type.eq_ignore_ascii_case(media_type)
    }
}

impl Exposition {
    /// An empty text.
    #[must_use]
    pub fn new(format: ExpositionFormat) -> Self {
        Self {
            format,
            text: String::new(),
            family: None,
        }
    }

    /// Begins a family.
    pub fn family(&mut self, family: &'static Family) -> &mut Self {
        let name = match self.format {
            ExpositionFormat::Text => family.name,
            // Here the suffix belongs to the samples alone.
            ExpositionFormat::OpenMetrics => without_total(family),
        };
        let (kind, help) = (family.kind.name(), family.help);
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(self.text, "# HELP {name} {help}");
        let _ = writeln!(self.text, "# TYPE {name} {kind}");
        if let (ExpositionFormat::OpenMetrics, Some(unit)) = (self.format, family.unit.suffix()) {
            let _ = writeln!(self.text, "# UNIT {name} {unit}");
        }
        self.family = Some(family);
        self
    }

    /// Writes a sample of the latest family, with the values of its labels in their order.
    pub fn sample(&mut self, labels: &[&str], value: impl Display) -> &mut Self {
        let family = self.family;
        self.begin_sample("", labels, None);
        // A gauge and a counter differ only in their TYPE line.
        debug_assert!(family.is_some_and(|family| family.kind != MetricKind::Histogram));
        let _ = writeln!(self.text, " {value}");
        self
    }

    /// Writes the samples of a histogram of the latest family.
    pub fn histogram(&mut self, labels: &[&str], report: &HistogramReport) -> &mut Self {
        for (bound, count, exemplar) in &report.buckets {
            self.begin_sample("_bucket", labels, Some(bound));
            let _ = write!(self.text, " {count}");
            // The older format has no place for it.
            if let (ExpositionFormat::OpenMetrics, Some(exemplar)) = (self.format, exemplar) {
                self.exemplar(exemplar);
            }
            self.text.push('\n');
        }
        let is_time = self.family.is_some_and(|f| f.unit == Unit::Seconds);
        self.begin_sample("_sum", labels, None);
        let _ = match is_time {
            true => writeln!(
                self.text,
                " {}",
                Duration::from_nanos(report.sum).as_secs_f64()
            ),
            false => writeln!(self.text, " {}", report.sum),
        };
        // Not counted apart: scrapers expect the same number in the last bucket.
        let count = report.buckets.last().map_or(0, |(_, count, _)| *count);
        self.begin_sample("_count", labels, None);
        let _ = writeln!(self.text, " {count}");
        self
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        let at = Duration::from_millis(exemplar.at).as_secs_f64();
        let (id, value) = (exemplar.request_id, exemplar.value.as_secs_f64());
        let _ = write!(self.text, " # {{request_id=\"{id}\"");
        if let Some(trace) = exemplar.trace {
            // By this name, dashboards find the trace.
            let _ = write!(self.text, ",trace_id=\"{}\"", hex(&trace));
        }
        let _ = write!(self.text, "}} {value} {at:.3}");
    }

    fn begin_sample(&mut self, suffix: &str, labels: &[&str], bound: Option<&str>) {
        let Some(family) = self.family else { return };
        debug_assert_eq!(labels.len(), family.labels.len(), "{}", family.name);
        self.text.push_str(family.name);
        self.text.push_str(suffix);
        let named = family.labels.iter().zip(labels);
        let named = named.map(|(name, value)| (*name, *value));
        let mut open = '{';
        for (name, value) in named.chain(bound.map(|bound| ("le", bound))) {
            let _ = write!(self.text, "{open}{name}=\"{}\"", escaped(value));
            open = ',';
        }
        if open == ',' {
            self.text.push('}');
        }
    }

    /// The whole text.
    #[must_use]
    pub fn into_text(mut self) -> String {
        if self.format == ExpositionFormat::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

fn without_total(family: &Family) -> &'static str {
    let name = family.name;
    match family.kind {
        MetricKind::Counter => name.strip_suffix("_total").unwrap_or(name),
        MetricKind::Gauge | MetricKind::Histogram => name,
    }
}

/// The formats escape exactly these three characters in a label value.
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
    use std::time::SystemTime;

    use super::*;
    use crate::telemetry::LatencyHistogram;
    use crate::telemetry::families::{REQUESTS, UPSTREAM_REQUEST_DURATION};

    const ID: &str = "0199f3a0-0000-7000-8000-00000000abcd";

    fn written(format: ExpositionFormat) -> String {
        let mut text = Exposition::new(format);
        let latencies = LatencyHistogram::default();
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1500);
        latencies.observe(Duration::from_micros(1500), ID, None, at);
        latencies.observe(Duration::from_micros(3000), ID, Some([0xab; 16]), at);
        text.family(&REQUESTS)
            .sample(&["2xx"], 3)
            .sample(&["q\"\\\n"], 0.5);
        text.family(&UPSTREAM_REQUEST_DURATION)
            .histogram(&["orders"], &latencies.report().unwrap());
        text.into_text()
    }

    #[test]
    fn the_text_format_has_no_exemplars() {
        let text = written(ExpositionFormat::Text);
        let begin = format!(
            "# HELP drawbridge_requests_total {}\n# TYPE drawbridge_requests_total counter\n\
             drawbridge_requests_total{{code_class=\"2xx\"}} 3\n\
             drawbridge_requests_total{{code_class=\"q\\\"\\\\\\n\"}} 0.5\n",
            REQUESTS.help
        );
        assert!(text.starts_with(&begin), "{text}");
        let name = "drawbridge_upstream_request_duration_seconds";
        for line in [
            format!("# TYPE {name} histogram\n"),
            format!("{name}_bucket{{upstream=\"orders\",le=\"0.001\"}} 0\n"),
            format!("{name}_bucket{{upstream=\"orders\",le=\"0.0025\"}} 1\n"),
            format!("{name}_bucket{{upstream=\"orders\",le=\"+Inf\"}} 2\n"),
            format!("{name}_sum{{upstream=\"orders\"}} 0.0045\n"),
            format!("{name}_count{{upstream=\"orders\"}} 2\n"),
        ] {
            assert!(text.contains(&line), "{line}: {text}");
        }
        assert!(!text.contains("UNIT") && !text.contains("EOF") && !text.contains(ID));
    }

    #[test]
    fn openmetrics_has_units_exemplars_and_an_end() {
        let text = written(ExpositionFormat::OpenMetrics);
        let name = "drawbridge_upstream_request_duration_seconds";
        for line in [
            "# TYPE drawbridge_requests counter\n".to_owned(),
            "drawbridge_requests_total{code_class=\"2xx\"} 3\n".to_owned(),
            format!("# UNIT {name} seconds\n"),
            format!("{name}_bucket{{upstream=\"orders\",le=\"0.001\"}} 0\n"),
            format!(
                "{name}_bucket{{upstream=\"orders\",le=\"0.0025\"}} 1 # {{request_id=\"{ID}\"}} 0.0015 1.500\n"
            ),
            format!(
                "{name}_bucket{{upstream=\"orders\",le=\"0.005\"}} 2 # {{request_id=\"{ID}\",trace_id=\"{}\"}} 0.003 1.500\n",
                "ab".repeat(16)
            ),
        ] {
            assert!(text.contains(&line), "{line}: {text}");
        }
        assert_eq!(text.matches(ID).count(), 2);
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_scraper_gets_the_format_that_it_prefers() {
        use ExpositionFormat::{OpenMetrics, Text};
        // The second and third are Prometheus's, of versions 2 and 3.
        for (accept, expected) in [
            ("", Text),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;q=0.4,*/*;q=0.2",
                OpenMetrics,
            ),
            (
                "Application/OpenMetrics-Text; version=\"1.0.0\"",
                OpenMetrics,
            ),
            ("application/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text;version=0.0.1", Text),
            ("application/openmetrics-text;q=0", Text),
            ("application/openmetrics-text;q=0.3, text/plain;q=0.4", Text),
            ("*/*", Text),
            ("text/html", Text),
        ] {
            assert_eq!(ExpositionFormat::accepted(accept), expected, "{accept}");
        }
    }
}
