//! Where a redirect leads.

use std::fmt;

use super::template::{Facts, Template, TemplateError, Use, Variable};
use crate::route::normalize_host;

/// What a route with `redirect` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    to: Template,
    host: RedirectHost,
    /// The port after `{host}`, with its colon, or nothing.
    port: String,
    status: RedirectStatus,
}

/// The host that a redirect leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedirectHost {
    /// The one that was asked: only a path is written.
    Same,
    /// The one that was asked, as `{host}`.
    Asked,
    /// This one, in its normal form.
    Named(String),
}

/// The status of a redirect (RFC 9110, 15.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectStatus {
    /// 301
    MovedPermanently,
    /// 302
    Found,
    /// 303
    SeeOther,
    /// 307
    Temporary,
    /// 308
    Permanent,
}

/// Why a text is no place to redirect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedirectError {
    /// It is no template.
    Template(TemplateError),
    /// It begins neither with `/` nor with `https://`.
    Start,
    /// What stands before the path is no host.
    Host(String),
    /// The host is not over where it should be.
    OpenHost,
}

/// Why a request is not redirected. The client erred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectFault {
    /// It names no host, and the redirect needs one.
    NoHost,
    /// Its path would lead to another host.
    OtherHost,
}

const SCHEME: &str = "https://";

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Template(error) => error.fmt(f),
            Self::Start => f.write_str(
                "a redirect leads to a path or to https: write \"/new{path}\" or \"https://HOST{path}\"",
            ),
            Self::Host(host) => write!(f, "\"{host}\" is no host to redirect to"),
            Self::OpenHost => f.write_str(
                "after the host of a redirect stands \"/\", \"?\", {path} or nothing, so that no path can change the host",
            ),
        }
    }
}

impl std::error::Error for RedirectError {}

impl fmt::Display for RedirectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHost => "the request names no host to redirect to",
            Self::OtherHost => "the path would redirect to another host",
        })
    }
}

impl std::error::Error for RedirectFault {}

impl From<TemplateError> for RedirectError {
    fn from(error: TemplateError) -> Self {
        Self::Template(error)
    }
}

impl RedirectStatus {
    /// All, with their numbers.
    pub const ALL: [(i64, Self); 5] = [
        (301, Self::MovedPermanently),
        (302, Self::Found),
        (303, Self::SeeOther),
        (307, Self::Temporary),
        (308, Self::Permanent),
    ];

    /// The number.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::MovedPermanently => 301,
            Self::Found => 302,
            Self::SeeOther => 303,
            Self::Temporary => 307,
            Self::Permanent => 308,
        }
    }
}

impl Redirect {
    /// # Errors
    /// It leads nowhere, or not surely to the host that is written.
    pub fn parse(to: &str, status: RedirectStatus) -> Result<Self, RedirectError> {
        let template = Template::parse(to, Use::Url)?;
        let (host, port) = target_of(&template)?;
        Ok(Self {
            to: template,
            host,
            port,
            status,
        })
    }

    /// The host that it leads to.
    #[must_use]
    pub fn host(&self) -> &RedirectHost {
        &self.host
    }

    /// As it is written.
    #[must_use]
    pub fn to(&self) -> &Template {
        &self.to
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status.number()
    }

    /// The value of `Location`. Without a query, no `?` stands at its end.
    ///
    /// # Errors
    /// The request has no host, or its path would lead to another host.
    pub fn location(&self, facts: &impl Facts) -> Result<Vec<u8>, RedirectFault> {
        let mut location = self.to.url(facts);
        if location.last() == Some(&b'?') {
            location.pop();
        }
        let authority = match &self.host {
            // `//` would begin a host (RFC 3986, 4.2).
            RedirectHost::Same if location.starts_with(b"//") => {
                return Err(RedirectFault::OtherHost);
            }
            RedirectHost::Same => return Ok(location),
            RedirectHost::Asked => {
                let host = facts.text(&Variable::Host).ok_or(RedirectFault::NoHost)?;
                [&host, self.port.as_bytes()].concat()
            }
            RedirectHost::Named(_) => written_authority(&self.to).into(),
        };
        let rest = location.strip_prefix(SCHEME.as_bytes());
        let rest = rest.and_then(|rest| rest.strip_prefix(&*authority));
        // `*`, the target of OPTIONS, would continue the host.
        match rest.map(<[u8]>::first) {
            Some(None | Some(b'/' | b'?')) => Ok(location),
            _ => Err(RedirectFault::OtherHost),
        }
    }
}

/// The host that is written, and the port behind `{host}`.
fn target_of(to: &Template) -> Result<(RedirectHost, String), RedirectError> {
    let start = to.first_literal();
    if start.starts_with('/') {
        return match start.starts_with("//") {
            true => Err(RedirectError::Start),
            false => Ok((RedirectHost::Same, String::new())),
        };
    }
    if !start.starts_with(SCHEME) {
        return Err(RedirectError::Start);
    }
    if start == SCHEME {
        return asked_host(to);
    }
    let authority = written_authority(to);
    let ends = start.len() > SCHEME.len() + authority.len();
    if !ends && !matches!(to.first_variable(), None | Some(Variable::Path)) {
        return Err(RedirectError::OpenHost);
    }
    match normalize_host(authority.as_bytes()) {
        Some(host) => Ok((RedirectHost::Named(host), String::new())),
        None => Err(RedirectError::Host(authority.to_owned())),
    }
}

/// `https://{host}`, with a port or none.
fn asked_host(to: &Template) -> Result<(RedirectHost, String), RedirectError> {
    if to.first_variable() != Some(&Variable::Host) {
        return Err(RedirectError::Start);
    }
    let after = to.text_after_first_variable();
    let port = until_path(after);
    let digits = port.strip_prefix(':').map(str::parse::<u16>);
    if !port.is_empty() && !matches!(digits, Some(Ok(1..))) {
        return Err(RedirectError::OpenHost);
    }
    let ends = after.len() > port.len();
    if !ends && !matches!(to.variables().nth(1), None | Some(Variable::Path)) {
        return Err(RedirectError::OpenHost);
    }
    Ok((RedirectHost::Asked, port.to_owned()))
}

fn written_authority(to: &Template) -> &str {
    until_path(to.first_literal().strip_prefix(SCHEME).unwrap_or_default())
}

fn until_path(text: &str) -> &str {
    text.split(['/', '?']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
