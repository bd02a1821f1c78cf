//! How a refusal looks: the pages of the configuration, or a short, neutral page with the request id.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use super::refusal_code::RefusalCode;
use crate::config::{Listener, Route};
use crate::transform::{ErrorPages, FieldEdit, PageFacts, PageFormat};

/// What the configuration says of the looks of refusals.
#[derive(Debug, Default)]
pub(crate) struct RefusalLook {
    /// What is changed in the header fields.
    pub edits: Vec<FieldEdit>,
    /// The listener's pages.
    listener: Option<Arc<ErrorPages>>,
    /// The route's pages.
    route: Option<Arc<ErrorPages>>,
}

/// What the look of one page depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageStyle<'p> {
    pub request_id: &'p str,
    pub accept: Option<&'p [u8]>,
    /// A HEAD request gets no body.
    pub head: bool,
    pub look: &'p RefusalLook,
}

pub(crate) struct Page {
    pub media_type: &'static str,
    pub text: String,
}

impl RefusalLook {
    /// Where no request is known: fields could have its values, so they stay as they are.
    pub(crate) fn of_listener(listener: &Listener) -> Self {
        Self {
            listener: listener.error_pages.clone(),
            ..Self::default()
        }
    }

    /// At a listener, and a route once it is known.
    pub(crate) fn new(listener: &Listener, route: Option<&Route>, edits: Vec<FieldEdit>) -> Self {
        Self {
            edits,
            listener: listener.error_pages.clone(),
            route: route.and_then(|route| route.error_pages.clone()),
        }
    }

    /// The narrowest page, of the route before the listener. A refusal that could come without any route never has the page
    /// of one: nobody may tell by it which routes there are.
    fn page(&self, format: PageFormat, status: u16, code: RefusalCode, id: &str) -> Option<String> {
        let route = self.route.as_ref().filter(|_| !code.hides_route());
        let tables = [route, self.listener.as_ref()].into_iter().flatten();
        let mut found = tables.filter_map(|pages| pages.find(format, status, code.page_reason()));
        let facts = PageFacts {
            status,
            title: reason_phrase(status),
            request_id: id,
        };
        Some(found.next()?.text(facts))
    }
}

/// The page of a refusal. One without a code has none of the configuration's.
pub(crate) fn page(status: u16, code: Option<RefusalCode>, style: PageStyle<'_>) -> Page {
    let (words, id) = (reason_phrase(status), style.request_id);
    let format = format_for(style.accept);
    let own = code.and_then(|code| style.look.page(format, status, code, id));
    // Neither form names the product: a scanner learns no version from a refusal.
    match format {
        PageFormat::Html => Page {
            media_type: "text/html; charset=utf-8",
            text: own.unwrap_or_else(|| {
                format!(
                    "<!doctype html><title>{status} {words}</title><h1>{status} {words}</h1><p>Request {id}</p>\n"
                )
            }),
        },
        PageFormat::Json => Page {
            // RFC 9457, 4.2.1: `about:blank` says no more than the status does.
            media_type: "application/problem+json",
            text: own.unwrap_or_else(|| {
                let problem = json!({
                    "type": "about:blank",
                    "title": words,
                    "status": status,
                    "request_id": id,
                });
                format!("{problem}\n")
            }),
        },
    }
}

/// The words of a status (RFC 9110, 15).
pub(crate) fn reason_phrase(status: u16) -> &'static str {
    StatusCode::from_u16(status)
        .ok()
        .and_then(|s| s.canonical_reason())
        .unwrap_or("Refused")
}

/// What the client would rather have (RFC 9110, 12.5.1): a browser names HTML; whoever takes anything is a program.
fn format_for(accept: Option<&[u8]>) -> PageFormat {
    let accept = accept.map_or(Cow::Borrowed(""), String::from_utf8_lossy);
    let (mut html, mut json) = (0, 0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let weight = parts.find_map(weight_of).unwrap_or(1000);
        let is = |known: &str| media_type.eq_ignore_ascii_case(known);
        if is("text/html") || is("application/xhtml+xml") {
            html = html.max(weight);
        } else if is("application/json") || is("application/problem+json") {
            json = json.max(weight);
        }
    }
    match html > 0 && html >= json {
        true => PageFormat::Html,
        false => PageFormat::Json,
    }
}

/// `q=0.5` in thousandths (RFC 9110, 12.4.2). One that is malformed counts as none.
fn weight_of(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|b| b.is_ascii_digit());
    match (whole, digits) {
        ("0", true) => format!("{fraction:0<3}").parse().ok(),
        ("1", true) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::{PageFor, PageText};

    fn style<'p>(accept: Option<&'p str>, look: &'p RefusalLook) -> PageStyle<'p> {
        PageStyle {
            request_id: "id-1",
            accept: accept.map(str::as_bytes),
            head: false,
            look,
        }
    }

    #[test]
    fn clients_get_what_they_would_rather_have() {
        let look = RefusalLook::default();
        for (accept, is_html) in [
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), true),
            (Some("TEXT/HTML;level=1"), true),
            (Some("text/html;q=0.5, application/json"), false),
            (
                Some("application/problem+json;q=0.4, text/html; q=0.5"),
                true,
            ),
            (Some("text/html;q=0, */*"), false),
            (Some("text/html;q=0.000"), false),
            (Some("text/htmlx"), false),
            (Some("text/html;q=7"), true),
            (Some("*/*"), false),
            (Some(""), false),
            (None, false),
        ] {
            let page = page(502, Some(RefusalCode::Upstream), style(accept, &look));
            assert_eq!(page.media_type.contains("html"), is_html, "{accept:?}");
        }
    }

    #[test]
    fn pages_of_the_program_tell_only_the_id() {
        let look = RefusalLook::default();
        let html = page(403, Some(RefusalCode::Waf), style(Some("text/html"), &look)).text;
        assert!(html.contains("<h1>403 Forbidden</h1>") && html.ends_with("<p>Request id-1</p>\n"));
        let json = page(403, Some(RefusalCode::Waf), style(None, &look)).text;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let expected = json!({"type": "about:blank", "title": "Forbidden", "status": 403, "request_id": "id-1"});
        assert_eq!(json, expected);
    }

    #[test]
    fn a_route_has_pages_only_where_it_may_be_known() {
        let pages = |name: &str, on: &str| {
            let text = PageText::parse(name, PageFormat::Html).unwrap();
            let page = vec![(PageFor::parse(on).unwrap(), text)];
            Some(Arc::new(ErrorPages::new(name, page)))
        };
        let look = RefusalLook {
            edits: Vec::new(),
            listener: pages("listener", "default"),
            route: pages("route", "default"),
        };
        for (code, status, expected) in [
            (RefusalCode::Waf, 403, "route"),
            (RefusalCode::Upstream, 502, "route"),
            (RefusalCode::NoRoute, 404, "listener"),
            (RefusalCode::ExposureOff, 404, "listener"),
            (RefusalCode::ExposureOff, 503, "listener"),
            (RefusalCode::Path("dot_segment"), 400, "listener"),
        ] {
            let page = page(status, Some(code), style(Some("text/html"), &look));
            assert_eq!(page.text, expected, "{code:?}");
        }
        // A route's table without a page for it leaves it to the listener's.
        let look = RefusalLook {
            route: pages("route", "5xx"),
            ..look
        };
        let page = page(403, Some(RefusalCode::Waf), style(Some("text/html"), &look));
        assert_eq!(page.text, "listener");
    }
}
