//! `[otlp]`, as it is written.

use std::time::Duration;

use super::destination::{self, WrittenDestination};
use super::document::Document;
use super::reader::{Given, Item};
use super::source::Placed;
use crate::config::section_kind::SectionKind;
use crate::telemetry::otlp::Continue;

const SAMPLE: f64 = 0.01;
const SERVICE: &str = "drawbridge";
const TIMEOUT: Duration = Duration::from_secs(10);
const MOST_SERVICE: usize = 255;

/// What is sent to a collector.
#[derive(Debug)]
pub(crate) struct WrittenOtlp<'s> {
    pub(crate) destination: WrittenDestination<'s>,
    pub(crate) authorization: Given<Placed<'s, &'s str>>,
    pub(crate) traces: bool,
    pub(crate) sample: f64,
    pub(crate) continues: Continue,
    pub(crate) service: String,
}

pub(crate) fn parse<'s>(document: &Document<'s, '_>) -> Given<WrittenOtlp<'s>> {
    let Some(item) = document.item("otlp") else {
        return Given::Absent;
    };
    let Some(section) = item.section(SectionKind::Otlp, "[otlp]") else {
        return Given::Faulty;
    };
    let help = "url = \"https://collector.example:4318\"";
    let mut destination = destination::parse(&section, TIMEOUT, help);
    // Each signal has a path of its own below the URL, and nobody says what a query means there.
    if let Some(url) = destination.url.take_if(|url| url.value.query().is_some()) {
        let message = "\"url\" must have no \"?\": each signal has its own path below it";
        item.diagnostics().error(url.at, message);
    }
    let authorization = section.optional("authorization", Item::string);
    let traces = section.optional("traces", Item::boolean);
    let sample = section.optional("sample", Item::fraction);
    let continues = section.optional("traceparent", |item| {
        item.choice(&[
            ("never", Continue::Never),
            ("trusted", Continue::Trusted),
            ("always", Continue::Always),
        ])
    });
    let service = section.optional("service", parse_service);
    section.finish();
    let whole = || {
        Some(WrittenOtlp {
            destination,
            authorization,
            traces: traces.or(true)?,
            sample: sample.or(SAMPLE)?,
            // Unless somebody says so, no stranger chooses the trace that a request belongs to.
            continues: continues.or(Continue::Trusted)?,
            service: service.or(SERVICE.to_owned())?,
        })
    };
    whole().into()
}

fn parse_service(item: &Item<'_, '_>) -> Option<String> {
    let name = item.string()?.value;
    let fits =
        !name.is_empty() && name.len() <= MOST_SERVICE && !name.chars().any(char::is_control);
    match fits {
        true => Some(name.to_owned()),
        false => item.fail(format!(
            "{} must be a name of 1 to {MOST_SERVICE} bytes",
            item.what()
        )),
    }
}
