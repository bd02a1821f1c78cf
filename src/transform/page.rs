//! Pages for refusals, from files.

use std::fmt;

/// What refusals look like at a listener or a route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorPages {
    /// The name of its table.
    pub name: String,
    /// The narrowest first.
    html: Vec<(PageFor, PageText)>,
    json: Vec<(PageFor, PageText)>,
}

/// Which refusals have a page, the narrowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PageFor {
    /// Those of this reason.
    Reason(PageReason),
    /// Those with this status.
    Status(u16),
    /// Those with a status that begins with this digit, 4 or 5.
    Class(u16),
    /// All.
    Default,
}

/// Why a request was refused, as far as a page may say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PageReason {
    /// The body is larger than the policy takes.
    BodyTooLarge,
    /// A client certificate is missing.
    ClientCertificate,
    /// The exposure is off.
    ExposureOff,
    /// The caller lacks what the route requires.
    InsufficientScope,
    /// A limit has no room.
    RateLimited,
    /// There is no token that the route takes.
    Unauthenticated,
    /// The gateway failed, or takes no more.
    Upstream,
    /// The rules decided.
    Waf,
}

/// What a page is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageFormat {
    /// For browsers.
    Html,
    /// For programs: problem details (RFC 9457).
    Json,
}

/// A page with variables, as `{{status}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageText {
    format: PageFormat,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Variable(Variable),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variable {
    Status,
    Title,
    RequestId,
}

/// What a page can say of a refusal.
#[derive(Debug, Clone, Copy)]
pub struct PageFacts<'f> {
    /// The status of the answer.
    pub status: u16,
    /// The words of the status.
    pub title: &'f str,
    /// By which logs and events find the request.
    pub request_id: &'f str,
}

/// Why a text is no page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageError {
    /// The byte where it shows.
    pub at: usize,
    /// What is wrong.
    pub fault: PageFault,
}

/// What is wrong with a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageFault {
    /// There is no such variable; the text between the braces.
    Unknown(String),
    /// It would be no JSON object; why.
    NotAnObject(String),
}

/// The pages of one table may have at most this many bytes each: they are held in memory and sent whole.
pub const MAX_PAGE: usize = 64 * 1024;

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            PageFault::Unknown(name) => write!(
                f,
                "there is no variable {{{{{name}}}}}; a page has {{{{status}}}}, {{{{title}}}} and {{{{request_id}}}}"
            ),
            PageFault::NotAnObject(why) => write!(f, "the page is no JSON object: {why}"),
        }
    }
}

impl std::error::Error for PageError {}

impl PageReason {
    /// All, as configurations and access lines name them.
    pub const ALL: [(&'static str, Self); 8] = [
        ("body_too_large", Self::BodyTooLarge),
        ("client_certificate", Self::ClientCertificate),
        ("exposure_off", Self::ExposureOff),
        ("insufficient_scope", Self::InsufficientScope),
        ("rate_limited", Self::RateLimited),
        ("unauthenticated", Self::Unauthenticated),
        ("upstream", Self::Upstream),
        ("waf", Self::Waf),
    ];
}

impl PageFor {
    /// `default`, `404`, `5xx` or a reason. None if it is none of these.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((_, reason)) = PageReason::ALL.iter().find(|(name, _)| *name == text) {
            return Some(Self::Reason(*reason));
        }
        match text {
            "default" => Some(Self::Default),
            "4xx" => Some(Self::Class(4)),
            "5xx" => Some(Self::Class(5)),
            // Only digits: a sign would parse as well.
            _ if text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit()) => {
                let status = text.parse().ok()?;
                (400..=599)
                    .contains(&status)
                    .then_some(Self::Status(status))
            }
            _ => None,
        }
    }

    fn takes(self, status: u16, reason: Option<PageReason>) -> bool {
        match self {
            // What is off must look like what was never there, so a 404 has one page whatever its reason.
            Self::Reason(own) => status != 404 && reason == Some(own),
            Self::Status(own) => own == status,
            Self::Class(digit) => status / 100 == digit,
            Self::Default => true,
        }
    }
}

impl ErrorPages {
    /// In any order.
    #[must_use]
    pub fn new(name: &str, pages: Vec<(PageFor, PageText)>) -> Self {
        let is_html = |(_, text): &(PageFor, PageText)| text.format == PageFormat::Html;
        let (mut html, mut json): (Vec<_>, Vec<_>) = pages.into_iter().partition(is_html);
        html.sort_by_key(|(page, _)| *page);
        json.sort_by_key(|(page, _)| *page);
        Self {
            name: name.to_owned(),
            html,
            json,
        }
    }

    /// The narrowest page for a refusal. None: there is no page of this format for it.
    #[must_use]
    pub fn find(
        &self,
        format: PageFormat,
        status: u16,
        reason: Option<PageReason>,
    ) -> Option<&PageText> {
        let pages = match format {
            PageFormat::Html => &self.html,
            PageFormat::Json => &self.json,
        };
        let found = pages.iter().find(|(page, _)| page.takes(status, reason));
        found.map(|(_, text)| text)
    }
}

impl PageText {
    /// # Errors
    /// A variable is not known, or a page of JSON would be no object.
    pub fn parse(text: &str, format: PageFormat) -> Result<Self, PageError> {
        let mut parts = Vec::new();
        let mut from = 0;
        let mut search = 0;
        while let Some((at, name)) = next_variable(text, search) {
            let end = at + name.len() + 4;
            let variable = match name {
                "status" => Variable::Status,
                "title" => Variable::Title,
                "request_id" => Variable::RequestId,
                _ => {
                    let fault = PageFault::Unknown(name.to_owned());
                    return Err(PageError { at, fault });
                }
            };
            let literal = text.get(from..at).unwrap_or_default();
            parts.push(Part::Literal(literal.to_owned()));
            parts.push(Part::Variable(variable));
            (from, search) = (end, end);
        }
        let rest = text.get(from..).unwrap_or_default();
        parts.push(Part::Literal(rest.to_owned()));
        let page = Self { format, parts };
        if format == PageFormat::Json {
            page.check_json()?;
        }
        Ok(page)
    }

    /// The page of a refusal.
    #[must_use]
    pub fn text(&self, facts: PageFacts<'_>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Variable(Variable::Status) => out.push_str(&facts.status.to_string()),
                // Words of a status and ids that we made: nothing in them needs an escape in JSON, and the apostrophe of
                // "I'm a teapot" ends no attribute that is written with double quotes.
                Part::Variable(Variable::Title) => out.push_str(facts.title),
                Part::Variable(Variable::RequestId) => out.push_str(facts.request_id),
            }
        }
        out
    }

    fn check_json(&self) -> Result<(), PageError> {
        let sample = self.text(PageFacts {
            status: 503,
            title: "Service Unavailable",
            request_id: "id",
        });
        let parsed = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&sample);
        parsed.map(drop).map_err(|error| PageError {
            at: 0,
            fault: PageFault::NotAnObject(error.to_string()),
        })
    }
}

/// The next `{{name}}` from a byte on: where it begins, and the name. Other braces are the page's own, like those of a style
/// sheet.
fn next_variable(text: &str, mut from: usize) -> Option<(usize, &str)> {
    loop {
        let at = from + text.get(from..)?.find("{{")?;
        let inner = text.get(at + 2..)?;
        let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let (name, rest) = inner.split_at(end.unwrap_or(inner.len()));
        if !name.is_empty() && rest.starts_with("}}") {
            return Some((at, name));
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: PageFacts<'_> = PageFacts {
        status: 403,
        title: "Forbidden",
        request_id: "id-1",
    };

    fn html(text: &str) -> PageText {
        PageText::parse(text, PageFormat::Html).unwrap()
    }

    #[test]
    fn pages_have_variables_and_braces_of_their_own() {
        for (text, page) in [
            ("<h1>{{status}} {{title}}</h1>", "<h1>403 Forbidden</h1>"),
            ("a{b}{{ c }}{{{status}}}", "a{b}{{ c }}{403}"),
            ("{{request_id}}{{request_id}}", "id-1id-1"),
            ("{{", "{{"),
            ("{{status", "{{status"),
            ("ä{{status}}ä", "ä403ä"),
        ] {
            assert_eq!(html(text).text(FACTS), page, "{text}");
        }
        let error = PageText::parse("a\n{{stats}}", PageFormat::Html).unwrap_err();
        assert_eq!(error.at, 2);
        assert!(error.to_string().contains("{{stats}}"), "{error}");
    }

    #[test]
    fn a_page_of_json_is_an_object() {
        let text = r#"{"title": "{{title}}", "status": {{status}}, "id": "{{request_id}}"}"#;
        let page = PageText::parse(text, PageFormat::Json).unwrap();
        let value: serde_json::Value = serde_json::from_str(&page.text(FACTS)).unwrap();
        assert_eq!(value["status"], 403);
        for text in ["[]", "{\"status\": }", "", "{\"title\": {{title}}}"] {
            let error = PageText::parse(text, PageFormat::Json).unwrap_err();
            assert!(matches!(error.fault, PageFault::NotAnObject(_)), "{text}");
        }
    }

    #[test]
    fn the_narrowest_page_is_used() {
        let page = |on: &str| (PageFor::parse(on).unwrap(), html(on));
        let pages = ErrorPages::new(
            "p",
            ["default", "5xx", "404", "503", "exposure_off", "waf"]
                .map(page)
                .to_vec(),
        );
        for (status, reason, expected) in [
            (403, Some(PageReason::Waf), "waf"),
            (403, None, "default"),
            (503, Some(PageReason::ExposureOff), "exposure_off"),
            (503, Some(PageReason::Upstream), "503"),
            (502, Some(PageReason::Upstream), "5xx"),
            // What is off looks like what was never there.
            (404, Some(PageReason::ExposureOff), "404"),
            (404, None, "404"),
        ] {
            let found = pages.find(PageFormat::Html, status, reason).unwrap();
            assert_eq!(found.text(FACTS), expected, "{status} {reason:?}");
            assert_eq!(pages.find(PageFormat::Json, status, reason), None);
        }
    }

    #[test]
    fn only_refusals_have_pages() {
        for text in ["200", "399", "600", "+40", "3xx", "wafs", "no_route", ""] {
            assert_eq!(PageFor::parse(text), None, "{text}");
        }
    }
}
