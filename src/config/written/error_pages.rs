//! `[error_pages.NAME]`, as it is written.

use super::document::{Document, Named};
use super::reader::{Item, Section};
use super::source::{At, Placed};
use crate::config::section_kind::SectionKind;
use crate::transform::{PageFor, PageFormat, PageReason};
use seclang::suggest::did_you_mean;

/// `[error_pages.NAME]`
#[derive(Debug)]
pub(crate) struct WrittenErrorPages<'s> {
    pub(crate) name: &'s str,
    pub(crate) at: At<'s>,
    /// None if a part of it is faulty, which was reported.
    pub(crate) pages: Option<Vec<WrittenPage<'s>>>,
}

/// `404 = "FILE"`
#[derive(Debug)]
pub(crate) struct WrittenPage<'s> {
    pub(crate) format: PageFormat,
    pub(crate) on: PageFor,
    pub(crate) file: Placed<'s, &'s str>,
}

pub(crate) fn parse<'s>(document: &Document<'s, '_>) -> Vec<WrittenErrorPages<'s>> {
    let named = document.named("error_pages", SectionKind::ErrorPages, "set of error pages");
    named.iter().map(parse_pages).collect()
}

fn parse_pages<'s>(Named { name, at, section }: &Named<'s, '_>) -> WrittenErrorPages<'s> {
    let html = section.optional("html", |item| parse_files(item, PageFormat::Html));
    let json = section.optional("json", |item| parse_files(item, PageFormat::Json));
    section.finish();
    let pages = || {
        let (mut pages, json) = (html.or_else(Vec::new)?, json.or_else(Vec::new)?);
        pages.extend(json);
        if pages.is_empty() {
            let help = Some("html = { default = \"pages/error.html\" }".to_owned());
            let message = format!("error pages \"{name}\" have no page");
            section.diagnostics.error_with_help(*at, message, help);
            return None;
        }
        Some(pages)
    };
    WrittenErrorPages {
        name,
        at: *at,
        pages: pages(),
    }
}

/// `{ default = "FILE", 404 = "FILE", 5xx = "FILE", waf = "FILE" }`
fn parse_files<'s>(item: &Item<'s, '_>, format: PageFormat) -> Option<Vec<WrittenPage<'s>>> {
    let section = item.section(SectionKind::Names, item.what())?;
    let entries = section.entries().map(|(key, item)| {
        let on = parse_on(&key, &section);
        let file = item.string();
        Some(WrittenPage {
            format,
            on: on?,
            file: file?,
        })
    });
    // All entries are read before a faulty one ends this, so that one run reports every problem.
    let entries: Vec<_> = entries.collect();
    entries.into_iter().collect()
}

fn parse_on(key: &Placed<'_, &str>, section: &Section<'_, '_>) -> Option<PageFor> {
    let on = PageFor::parse(key.value);
    if on.is_none() {
        let reasons = PageReason::ALL.map(|(name, _)| name);
        let message = format!(
            "\"{}\" is no refusal: write a status from 400 to 599, 4xx, 5xx, default, or one of {}",
            key.value,
            reasons.join(", ")
        );
        let help = did_you_mean(key.value, reasons);
        section.diagnostics.error_with_help(key.at, message, help);
    }
    on
}
