//! `[exposures.*]`, as they are written.

use super::document::{Document, Named};
use super::reader::Item;
use super::source::{At, Placed};
use crate::config::model::OffAnswer;
use crate::config::section_kind::SectionKind;

/// `[exposures.NAME]`. A part that is `None` is missing or faulty, which was reported.
#[derive(Debug)]
pub(crate) struct WrittenExposure<'s> {
    pub(crate) name: &'s str,
    pub(crate) at: At<'s>,
    /// Names of routes.
    pub(crate) routes: Option<Vec<Placed<'s, &'s str>>>,
    /// Names of listeners; `None` for an entry that is not a string.
    pub(crate) listeners: Option<Vec<Option<Placed<'s, &'s str>>>>,
    pub(crate) owner: Option<String>,
    pub(crate) off: Option<OffAnswer>,
}

pub(crate) fn parse<'s>(document: &Document<'s, '_>) -> Vec<WrittenExposure<'s>> {
    let named = document.named("exposures", SectionKind::Exposure, "exposure");
    named.iter().map(parse_exposure).collect()
}

fn parse_exposure<'s>(Named { name, at, section }: &Named<'s, '_>) -> WrittenExposure<'s> {
    let routes = section.required("routes", "routes = the names of [[routes]]");
    let help = "listeners = the names of [listeners.NAME] tables";
    let listeners = section.required("listeners", help);
    let owner = section.required("owner", "owner = \"the team that answers for it\"");
    let owner = owner.and_then(|item| parse_owner(&item));
    let off = section.optional("off", |item| {
        item.choice(&[
            ("503", OffAnswer::Unavailable),
            ("404", OffAnswer::NotFound),
            ("close", OffAnswer::Close),
        ])
    });
    section.finish();
    WrittenExposure {
        name,
        at: *at,
        routes: routes.map(|item| item.strings()),
        listeners: listeners.map(|item| item.list().iter().map(Item::string).collect()),
        owner,
        off: off.or(OffAnswer::Unavailable),
    }
}

fn parse_owner(item: &Item<'_, '_>) -> Option<String> {
    match item.string()?.value.trim() {
        // An empty owner would satisfy `diff`, which stops what has no owner.
        "" => item.fail("\"owner\" must not be empty"),
        owner => Some(owner.to_owned()),
    }
}
