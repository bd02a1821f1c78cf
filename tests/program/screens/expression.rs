//! PromQL that is built from families of the registry, so that it cannot name a metric or a label that is not there.

use drawbridge::telemetry::families::{Family, MetricKind};

/// PromQL, and the families in it.
#[derive(Clone)]
pub struct Expression {
    pub text: String,
    pub families: Vec<&'static Family>,
}

/// Over which time rates are taken.
#[derive(Clone, Copy)]
pub struct Window(pub &'static str);

/// The panel's own: Grafana replaces it by what suits the scrape interval.
pub const PANEL: Window = Window("$__rate_interval");
pub const FIVE_MINUTES: Window = Window("5m");

impl Expression {
    fn of(family: &'static Family, text: String) -> Self {
        Self {
            text,
            families: vec![family],
        }
    }

    /// This text around the expression's, which stands where `{}` is.
    pub fn within(self, around: &str) -> Self {
        Self {
            text: around.replace("{}", &self.text),
            ..self
        }
    }

    /// Both, with an operator between them.
    pub fn with(self, operator: &str, other: Self) -> Self {
        Self {
            text: format!("{} {operator} {}", self.text, other.text),
            families: [self.families, other.families].concat(),
        }
    }
}

/// A gauge as it is; `matchers` is as in `{...}`.
pub fn value(family: &'static Family, matchers: &str) -> Expression {
    assert_eq!(family.kind, MetricKind::Gauge, "{}", family.name);
    Expression::of(family, selector(family, "", matchers))
}

/// What a counter rises by in a second, in sum for these labels.
pub fn rate(family: &'static Family, matchers: &str, by: &[&str], window: Window) -> Expression {
    assert_eq!(family.kind, MetricKind::Counter, "{}", family.name);
    Expression::of(
        family,
        summed(family, &selector(family, "", matchers), by, window),
    )
}

/// A quantile of a histogram for these labels.
pub fn quantile(q: f64, family: &'static Family, by: &[&str], window: Window) -> Expression {
    assert_eq!(family.kind, MetricKind::Histogram, "{}", family.name);
    let buckets = selector(family, "_bucket", "");
    check(family, by);
    let by = [by, &["le"]].concat().join(", ");
    let window = window.0;
    let text = format!("histogram_quantile({q}, sum by ({by}) (rate({buckets}[{window}])))");
    Expression::of(family, text)
}

/// The mean of a histogram for these labels.
pub fn mean(family: &'static Family, by: &[&str], window: Window) -> Expression {
    assert_eq!(family.kind, MetricKind::Histogram, "{}", family.name);
    let part = |suffix| summed(family, &selector(family, suffix, ""), by, window);
    let text = format!("{} / {}", part("_sum"), part("_count"));
    Expression::of(family, text)
}

fn summed(family: &Family, selector: &str, by: &[&str], window: Window) -> String {
    check(family, by);
    let window = window.0;
    match by {
        [] => format!("sum(rate({selector}[{window}]))"),
        by => format!("sum by ({}) (rate({selector}[{window}]))", by.join(", ")),
    }
}

fn selector(family: &Family, suffix: &str, matchers: &str) -> String {
    for matcher in matchers.split(',').filter(|matcher| !matcher.is_empty()) {
        let end = matcher.find(['=', '!']).unwrap();
        check(family, &[&matcher[..end]]);
    }
    let name = family.name;
    match matchers {
        "" => format!("{name}{suffix}"),
        matchers => format!("{name}{suffix}{{{matchers}}}"),
    }
}

fn check(family: &Family, labels: &[&str]) {
    for label in labels {
        let known = family.labels.contains(label);
        assert!(known, "{} has no label {label}", family.name);
    }
}
