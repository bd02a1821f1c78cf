//! What routes answer themselves, and what routes and listeners change in header fields, as it is written.

use bytes::Bytes;

use super::reader::{Given, Item, Section};
use super::source::{At, Placed};
use crate::config::section_kind::SectionKind;
use crate::route::PathRegex;
use crate::transform::{
    FieldChanges, FieldName, FixedAnswer, Message, Redirect, RedirectStatus, Rewrite, Template, Use,
};

/// More are most likely a mistake, and each costs every request.
const MOST_FIELDS: usize = 64;
const MOST_VALUE: usize = 8 * 1024;

/// What a route or a listener changes in requests and answers.
#[derive(Debug)]
pub(crate) struct WrittenFields<'s> {
    pub(crate) request: Given<Placed<'s, FieldChanges>>,
    pub(crate) response: Given<Placed<'s, FieldChanges>>,
    /// The name of a `[security_headers.NAME]` table.
    pub(crate) security_headers: Given<Placed<'s, &'s str>>,
    /// The name of an `[error_pages.NAME]` table.
    pub(crate) error_pages: Given<Placed<'s, &'s str>>,
}

/// The keys of [`WrittenFields`].
pub(crate) const FIELD_KEYS: [&str; 4] = [
    "request_headers",
    "response_headers",
    "security_headers",
    "error_pages",
];

pub(crate) fn parse_fields<'s>(section: &Section<'s, '_>) -> WrittenFields<'s> {
    WrittenFields {
        request: section.optional("request_headers", |item| {
            parse_changes(item, Message::Request)
        }),
        response: section.optional("response_headers", |item| {
            parse_changes(item, Message::Answer)
        }),
        security_headers: section.optional("security_headers", Item::string),
        error_pages: section.optional("error_pages", Item::string),
    }
}

/// `redirect = { to = "https://www.example.com{path}", status = 308 }`
pub(crate) fn parse_redirect<'s>(item: &Item<'s, '_>) -> Option<Placed<'s, Redirect>> {
    let section = item.section(SectionKind::Redirect, "\"redirect\"")?;
    let status = section.optional("status", parse_status);
    let to = section.required("to", "to = \"https://www.example.com{path}\"");
    section.finish();
    let status = status.or(RedirectStatus::Permanent);
    let to = to?;
    // Read with any status, so that one run reports both.
    let parsed =
        to.parse(|text| Redirect::parse(text, status.unwrap_or(RedirectStatus::Permanent)));
    status?;
    Some(Placed {
        value: parsed?,
        at: to.at,
    })
}

fn parse_status(item: &Item<'_, '_>) -> Option<RedirectStatus> {
    let number = item.integer(301..=308)?;
    let found = RedirectStatus::ALL
        .iter()
        .find(|(known, _)| *known == number);
    match found {
        Some((_, status)) => Some(*status),
        None => item.fail("\"status\" of a redirect must be 301, 302, 303, 307 or 308"),
    }
}

/// `respond = { status = 200, body = "ok", headers = { Content-Type = "text/plain" } }`
pub(crate) fn parse_respond<'s>(item: &Item<'s, '_>) -> Option<Placed<'s, FixedAnswer>> {
    let section = item.section(SectionKind::Respond, "\"respond\"")?;
    let status = section.optional("status", |item| item.integer(200..=599));
    let body = section.optional("body", |item| Some((parse_body(item)?, item.clone())));
    let headers = section.optional("headers", |item| {
        parse_values(item, "headers", Message::Answer)
    });
    section.finish();
    let status = u16::try_from(status.or(200)?).unwrap_or(200);
    let body = match body.unless_faulty()? {
        Some((body, item)) if !FixedAnswer::takes_body(status) && !body.is_empty() => {
            return item.fail(format!("an answer with status {status} has no body"));
        }
        Some((body, _)) => body,
        None => Bytes::new(),
    };
    let fields = FieldChanges {
        set: headers.or_else(Vec::new)?,
        ..FieldChanges::default()
    };
    Some(Placed {
        value: FixedAnswer {
            status,
            body,
            fields,
        },
        at: item.at,
    })
}

fn parse_body(item: &Item<'_, '_>) -> Option<Bytes> {
    let text = item.string()?.value;
    match text.len() <= FixedAnswer::MAX_BODY {
        true => Some(Bytes::copy_from_slice(text.as_bytes())),
        false => item.fail(format!(
            "\"body\" must be at most {} bytes",
            FixedAnswer::MAX_BODY
        )),
    }
}

/// `rewrite = { path = "/v2/{below}", query = "{query}" }`
pub(crate) fn parse_rewrite<'s>(item: &Item<'s, '_>) -> Option<Placed<'s, Rewrite>> {
    let section = item.section(SectionKind::Rewrite, "\"rewrite\"")?;
    let path = section.optional("path", |item| item.parse(Rewrite::parse_path));
    let query = section.optional("query", |item| item.parse(Rewrite::parse_query));
    section.finish();
    let (path, query) = (path.unless_faulty()?, query.unless_faulty()?);
    if path.is_none() && query.is_none() {
        return item.fail("\"rewrite\" changes nothing: write { path = \"/v2/{below}\" }");
    }
    Some(Placed {
        value: Rewrite::new(path, query),
        at: item.at,
    })
}

/// `path_regex = "/orders/(?<id>[0-9]+)"`
pub(crate) fn parse_path_regex<'s>(item: &Item<'s, '_>) -> Option<Placed<'s, PathRegex>> {
    let value = item.parse(PathRegex::parse)?;
    Some(Placed { value, at: item.at })
}

/// `{ set = { X-Env = "prod" }, add = { Via = "1.1 front" }, remove = ["X-Debug"] }`
fn parse_changes<'s>(item: &Item<'s, '_>, message: Message) -> Option<Placed<'s, FieldChanges>> {
    let kind = match message {
        Message::Request => SectionKind::RequestHeaders,
        Message::Answer => SectionKind::ResponseHeaders,
    };
    let section = item.section(kind, item.what())?;
    let set = section.optional("set", |item| parse_values(item, "set", message));
    let add = section.optional("add", |item| parse_values(item, "add", message));
    let remove = section.optional("remove", |item| {
        let names = item.list().into_iter();
        // All entries are read before a faulty one ends this, so that one run reports every problem.
        let names: Vec<_> = names
            .map(|entry| entry.parse(|text| FieldName::parse(text, message)))
            .collect();
        names.into_iter().collect::<Option<Vec<_>>>()
    });
    section.finish();
    let value = FieldChanges {
        set: set.or_else(Vec::new)?,
        add: add.or_else(Vec::new)?,
        remove: remove.or_else(Vec::new)?,
    };
    if value.templates().count() + value.remove.len() > MOST_FIELDS {
        return item.fail(format!(
            "{} changes more than {MOST_FIELDS} fields",
            item.what()
        ));
    }
    Some(Placed { value, at: item.at })
}

/// Values of header fields, by the fields' names.
fn parse_values(
    item: &Item<'_, '_>,
    key: &str,
    message: Message,
) -> Option<Vec<(FieldName, Template)>> {
    let section = item.section(SectionKind::Names, format!("\"{key}\""))?;
    let entries = section.entries().map(|(name, item)| {
        let field = match FieldName::parse(name.value, message) {
            Ok(field) => Some(field),
            Err(error) => {
                section.diagnostics.error(name.at, error.to_string());
                None
            }
        };
        let value = parse_value(&item);
        Some((field?, value?))
    });
    let entries: Vec<_> = entries.collect();
    entries.into_iter().collect()
}

fn parse_value(item: &Item<'_, '_>) -> Option<Template> {
    let text = item.string()?.value;
    // Blanks around a value are no part of it (RFC 9110, 5.5).
    if text.trim() != text || text.is_empty() || text.len() > MOST_VALUE {
        return item.fail(format!(
            "{} must have 1 to {MOST_VALUE} characters and no blank at an end",
            item.what()
        ));
    }
    item.parse(|text| Template::parse(text, Use::Field))
}

/// Reports variables that nothing at this listener can have: only routes know them.
pub(crate) fn check_listener_fields(fields: &WrittenFields<'_>, section: &Section<'_, '_>) {
    for changes in [&fields.request, &fields.response] {
        let Given::Value(changes) = changes else {
            continue;
        };
        let mut named = changes.value.templates().flat_map(Template::groups);
        if let Some(group) = named.next() {
            let message = format!(
                "{{path.{group}}} is a group of a route's \"path_regex\", and this is a listener"
            );
            section.diagnostics.error(changes.at, message);
        }
    }
}

/// Reports groups that the route's expression does not have.
pub(crate) fn check_groups<'t>(
    templates: impl Iterator<Item = (At<'t>, &'t Template)>,
    regex: Option<&PathRegex>,
    section: &Section<'_, '_>,
) {
    let known: Vec<&str> = regex.into_iter().flat_map(PathRegex::groups).collect();
    for (at, template) in templates {
        for group in template.groups().filter(|group| !known.contains(group)) {
            let message = match regex {
                Some(_) => {
                    format!("\"path_regex\" has no group {group}, which {{path.{group}}} names")
                }
                None => format!("{{path.{group}}} needs a \"path_regex\" with a group {group}"),
            };
            let help = format!("path_regex = \"/orders/(?<{group}>[^/]+)\"");
            section.diagnostics.error_with_help(at, message, Some(help));
        }
    }
}
