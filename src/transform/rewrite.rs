//! What a gateway is asked for, where that is not what the client asked for.

use std::fmt;

use super::template::{Facts, Template, TemplateError, Use, Variable};
use crate::route::path::{self, PathRefusal};

/// Another path and query for the gateway, made after the rules have seen the client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    path: Option<Template>,
    query: Option<Template>,
}

/// Why a text is no path or query to rewrite to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RewriteError {
    /// It is no template.
    Template(TemplateError),
    /// A path begins with a slash.
    Start,
    /// A path has no `?`: the query has a key of its own.
    Query,
    /// The variable belongs to no path.
    NotInPath,
    /// What is written breaks the rules for paths.
    Path(PathRefusal),
}

impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Template(error) => error.fmt(f),
            Self::Start => f.write_str("a path begins with a slash: write \"/v2/{below}\""),
            Self::Query => f.write_str("a path has no \"?\": the query has the key \"query\""),
            Self::NotInPath => f.write_str("only {path}, {below} and {path.NAME} can be in a path"),
            Self::Path(fault) => write!(f, "no path may have {fault}"),
        }
    }
}

impl std::error::Error for RewriteError {}

impl From<TemplateError> for RewriteError {
    fn from(error: TemplateError) -> Self {
        Self::Template(error)
    }
}

impl Rewrite {
    /// What is None stays as the client wrote it.
    #[must_use]
    pub fn new(path: Option<Template>, query: Option<Template>) -> Self {
        Self { path, query }
    }

    /// A path with variables.
    ///
    /// # Errors
    /// It could be no path, or a path that no request may have.
    pub fn parse_path(text: &str) -> Result<Template, RewriteError> {
        let template = Template::parse(text, Use::Url)?;
        if !template.first_literal().starts_with('/') {
            return Err(RewriteError::Start);
        }
        if text.contains('?') {
            return Err(RewriteError::Query);
        }
        let fits = |variable: &Variable| {
            matches!(
                variable,
                Variable::Path | Variable::Below | Variable::Group(_)
            )
        };
        if !template.variables().all(fits) {
            return Err(RewriteError::NotInPath);
        }
        path::check(text.as_bytes(), true).map_err(RewriteError::Path)?;
        Ok(template)
    }

    /// A query with variables, without its `?`. Empty: the gateway gets none.
    ///
    /// # Errors
    /// It is no template.
    pub fn parse_query(text: &str) -> Result<Template, RewriteError> {
        Ok(Template::parse(text, Use::Url)?)
    }

    /// Its templates.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.path.iter().chain(&self.query)
    }

    /// The target for the gateway, in origin form (RFC 9112, 3.2.1).
    ///
    /// # Errors
    /// The made path is one that a lenient server could read as another, so that it could leave what is written.
    pub fn target(
        &self,
        facts: &impl Facts,
        pass_encoded_slashes: bool,
    ) -> Result<Vec<u8>, PathRefusal> {
        let mut target = match &self.path {
            Some(path) => path.url(facts),
            None => facts.text(&Variable::Path).unwrap_or_default().into_owned(),
        };
        path::check(&target, pass_encoded_slashes)?;
        let query = match &self.query {
            Some(query) => query.query(facts),
            None => facts
                .text(&Variable::Query)
                .unwrap_or_default()
                .into_owned(),
        };
        if !query.is_empty() {
            target.push(b'?');
            target.extend_from_slice(&query);
        }
        Ok(target)
    }
}

impl fmt::Display for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.as_ref().map_or("{path}", Template::source);
        let query = self.query.as_ref().map_or("{query}", Template::source);
        match query {
            "" => f.write_str(path),
            query => write!(f, "{path}?{query}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde_json::Value;

    use super::*;

    struct Request {
        below: &'static [u8],
        query: Option<&'static [u8]>,
    }

    impl Facts for Request {
        fn text(&self, variable: &Variable) -> Option<Cow<'_, [u8]>> {
            match variable {
                Variable::Path => Some(Cow::Owned([b"/orders/", self.below].concat())),
                Variable::Below => Some(self.below.into()),
                Variable::Group(_) => Some(Cow::Borrowed(b"a&b=c")),
                Variable::Query => self.query.map(Cow::Borrowed),
                _ => None,
            }
        }

        fn claim(&self, _name: &str) -> Option<&Value> {
            None
        }
    }

    fn rewrite(path: &str, query: Option<&str>) -> Rewrite {
        let query = query.map(|query| Rewrite::parse_query(query).unwrap());
        Rewrite::new(Some(Rewrite::parse_path(path).unwrap()), query)
    }

    #[test]
    fn gateways_get_the_path_and_query_that_are_written() {
        let request = Request {
            below: b"12/a%20b",
            query: Some(b"q=1"),
        };
        let bare = Request {
            query: None,
            ..request
        };
        for (path, query, expected, without_query) in [
            ("/v2/{below}", None, "/v2/12/a%20b?q=1", "/v2/12/a%20b"),
            (
                "/api{path}",
                Some(""),
                "/api/orders/12/a%20b",
                "/api/orders/12/a%20b",
            ),
            (
                "/x",
                Some("{query}&by=front"),
                "/x?q=1&by=front",
                "/x?by=front",
            ),
            (
                "/x",
                Some("id={path.id}&{query}"),
                "/x?id=a%26b%3Dc&q=1",
                "/x?id=a%26b%3Dc",
            ),
        ] {
            let rewrite = rewrite(path, query);
            for (request, expected) in [(&request, expected), (&bare, without_query)] {
                let target = rewrite.target(request, false).unwrap();
                assert_eq!(String::from_utf8(target).unwrap(), expected, "{rewrite}");
            }
        }
    }

    #[test]
    fn no_request_leaves_the_path_that_is_written() {
        let rewrite = rewrite("/v2/x{below}", None);
        for (below, fault) in [
            (&b"/../admin"[..], PathRefusal::DOT_SEGMENT),
            (b"/%2e%2e/admin", PathRefusal::DOT_SEGMENT),
            (b"a%2fb", PathRefusal::ENCODED_SLASH),
            (b"a%5cb", PathRefusal::BACKSLASH),
        ] {
            let request = Request { below, query: None };
            assert_eq!(rewrite.target(&request, false), Err(fault), "{below:?}");
        }
        // Written text and the request's together may be what neither is.
        let dots = Rewrite::new(
            Some(Rewrite::parse_path("/v2/.{below}/admin").unwrap()),
            None,
        );
        let request = Request {
            below: b".",
            query: None,
        };
        assert_eq!(dots.target(&request, false), Err(PathRefusal::DOT_SEGMENT));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for (text, words) in [
            ("v2/{below}", "begins with a slash"),
            ("{path}", "begins with a slash"),
            ("/v2?x=1", "has the key \"query\""),
            ("/v2/{query}", "only {path}, {below}"),
            ("/v2/{client}", "cannot be in a URL"),
            ("/v2/../{below}", "a dot segment"),
        ] {
            let error = Rewrite::parse_path(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
