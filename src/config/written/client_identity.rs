//! `[identity.NAME]` with `client_ca`: client certificates as identities, as they are written.

use super::document::Named;
use super::identity::{WrittenPlace, default_fields, parse_claims, parse_denied, parse_fields};
use super::reader::{Given, Item};
use super::source::{At, Placed};
use crate::config::section_kind::SectionKind;
use crate::identity::SubjectName;

/// `[identity.NAME]` with `client_ca`. A part that is `None` is missing or faulty, which was reported.
#[derive(Debug)]
pub(crate) struct WrittenClientIdentity<'s> {
    pub(crate) name: &'s str,
    pub(crate) at: At<'s>,
    /// The name of a `[trust.NAME]` table.
    pub(crate) trust: Option<Placed<'s, &'s str>>,
    pub(crate) subject: Option<SubjectName>,
    pub(crate) claims: Option<Vec<(String, String)>>,
    pub(crate) fields: Option<Vec<(String, String)>>,
    /// A file.
    pub(crate) denied: Given<WrittenPlace<'s>>,
    pub(crate) hides_subject: Option<bool>,
}

pub(super) fn parse<'s>(Named { name, at, section }: Named<'s, '_>) -> WrittenClientIdentity<'s> {
    let section = section.of_kind(SectionKind::ClientIdentity);
    let help = "client_ca = the name of a [trust.NAME] table that a listener has in its client_ca";
    let trust = section.required("client_ca", help);
    let identity = WrittenClientIdentity {
        name,
        at,
        trust: trust.and_then(|item| item.string()),
        subject: section
            .optional("subject", |item| {
                item.choice(&[
                    ("dn", SubjectName::Distinguished),
                    ("cn", SubjectName::Common),
                    ("dns", SubjectName::Alternative("DNS")),
                    ("uri", SubjectName::Alternative("URI")),
                    ("email", SubjectName::Alternative("email")),
                ])
            })
            .or(SubjectName::Distinguished),
        claims: section.optional("claims", parse_claims).or(Vec::new()),
        fields: section
            .optional("headers", parse_fields)
            .or_else(default_fields),
        denied: section.optional("denied", parse_denied_file),
        hides_subject: section
            .optional("log_subject", |item| {
                item.choice(&[("plain", false), ("hashed", true)])
            })
            .or(false),
    };
    section.finish();
    identity
}

fn parse_denied_file<'s>(item: &Item<'s, '_>) -> Option<WrittenPlace<'s>> {
    match parse_denied(item)? {
        WrittenPlace::Url(_) => item.fail("\"denied\" of client certificates is a file, not a URL"),
        file @ WrittenPlace::File(_) => Some(file),
    }
}
