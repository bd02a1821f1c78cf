//! Which pages of other origins may read answers, by the rules of CORS (Fetch standard, 3.2).

use std::fmt;
use std::time::Duration;

use super::field::{FieldEdit, FieldName};

/// What pages of other origins may do with the answers of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// The name of its table.
    pub name: String,
    /// Whose pages.
    pub origins: Origins,
    /// Their methods; None: all that the route takes.
    pub methods: Option<Vec<String>>,
    /// The header fields that their requests may have, beside those that every page may send; in lower case.
    pub headers: Names,
    /// The header fields of answers that they may read, beside those that every page may.
    pub expose: Names,
    /// How long a browser may keep what a preflight said.
    pub max_age: Duration,
    /// Whether their requests may have cookies and the like. Never with every origin.
    pub credentials: bool,
}

/// Whose pages may read answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Everyone's.
    Any,
    /// Those of these; at least one.
    Listed(Vec<Origin>),
}

/// Names of header fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// All.
    Any,
    /// These.
    Listed(Vec<String>),
}

/// An origin, or those of all subdomains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// With `://`.
    scheme: &'static str,
    /// It has a label before the host.
    is_wildcard: bool,
    /// With the port, if it is not the scheme's.
    host: String,
}

/// Why a text is no origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginError(String);

/// What a browser asks before it sends a request.
#[derive(Debug, Clone, Copy)]
pub struct Preflight<'p> {
    /// `Origin`
    pub origin: &'p [u8],
    /// `Access-Control-Request-Method`
    pub method: &'p [u8],
}

/// Why a browser must not send its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreflightFault {
    /// The origin is not listed.
    Origin,
    /// The method is not.
    Method,
    /// This header field is not.
    Header(String),
}

impl Names {
    /// No name.
    #[must_use]
    pub fn none() -> Self {
        Self::Listed(Vec::new())
    }
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is no origin: write \"https://app.example.com\", \"https://*.example.com\" or \"*\", with a port but without a path",
            self.0
        )
    }
}

impl std::error::Error for OriginError {}

impl fmt::Display for PreflightFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin => f.write_str("the origin is not listed"),
            Self::Method => f.write_str("the method is not listed"),
            Self::Header(name) => write!(f, "the header field {name} is not listed"),
        }
    }
}

impl std::error::Error for PreflightFault {}

impl std::str::FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let wrong = || OriginError(text.to_owned());
        let (scheme, default_port, rest) = match text.strip_prefix("https://") {
            Some(rest) => ("https://", ":443", rest),
            None => {
                let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
                ("http://", ":80", rest)
            }
        };
        let (is_wildcard, host) = match rest.strip_prefix("*.") {
            Some(domain) => (true, domain),
            None => (false, rest),
        };
        let normal = crate::route::normalize_host(host.as_bytes()).ok_or_else(wrong)?;
        let port = match host.strip_prefix('[') {
            Some(v6) => v6.split_once(']').map_or("", |(_, port)| port),
            None => host.find(':').and_then(|at| host.get(at..)).unwrap_or(""),
        };
        // A browser leaves the default port out.
        let port = if port == default_port { "" } else { port };
        Ok(Self {
            scheme,
            is_wildcard,
            host: format!("{normal}{port}"),
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.is_wildcard { "*." } else { "" };
        write!(f, "{}{star}{}", self.scheme, self.host)
    }
}

impl Origin {
    fn takes(&self, origin: &[u8]) -> bool {
        let Some(host) = origin.strip_prefix(self.scheme.as_bytes()) else {
            return false;
        };
        match self.is_wildcard {
            false => host == self.host.as_bytes(),
            true => {
                let label = host.strip_suffix(self.host.as_bytes());
                let label = label.and_then(|label| label.strip_suffix(b"."));
                label.is_some_and(|label| !label.is_empty() && label.iter().all(is_host_byte))
            }
        }
    }
}

fn is_host_byte(byte: &u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.')
}

impl Cors {
    /// Changes an answer to a request of this origin. What the gateway says of CORS is taken out: the door decides.
    pub fn change_answer(&self, origin: Option<&[u8]>, edits: &mut Vec<FieldEdit>) {
        edits.extend(GATEWAYS.map(|name| FieldEdit::Remove(FieldName::known(name))));
        let Some(allowed) = self.allowed(origin, edits) else {
            return;
        };
        edits.push(allowed);
        if self.credentials {
            edits.push(set(ALLOW_CREDENTIALS, "true"));
        }
        match &self.expose {
            Names::Any => edits.push(set(EXPOSE_HEADERS, "*")),
            Names::Listed(names) if !names.is_empty() => {
                edits.push(set(EXPOSE_HEADERS, &names.join(", ")));
            }
            Names::Listed(_) => {}
        }
    }

    /// The fields of the answer to a preflight. `requested` are the names in `Access-Control-Request-Headers`.
    ///
    /// # Errors
    /// The browser must not send the request.
    pub fn answer_preflight<'p>(
        &self,
        preflight: Preflight<'_>,
        requested: impl Iterator<Item = &'p [u8]>,
    ) -> Result<Vec<FieldEdit>, PreflightFault> {
        let mut edits = Vec::new();
        let allowed = self.allowed(Some(preflight.origin), &mut edits);
        edits.push(allowed.ok_or(PreflightFault::Origin)?);
        let method = String::from_utf8_lossy(preflight.method);
        let listed = match &self.methods {
            None => method.into_owned(),
            Some(methods) if methods.iter().any(|known| *known == method) => methods.join(", "),
            Some(_) => return Err(PreflightFault::Method),
        };
        edits.push(set("Access-Control-Allow-Methods", &listed));
        match &self.headers {
            Names::Any => edits.push(set("Access-Control-Allow-Headers", "*")),
            Names::Listed(names) => {
                let is_listed = |name: &[u8]| {
                    names
                        .iter()
                        .any(|known| known.as_bytes().eq_ignore_ascii_case(name))
                };
                for name in requested {
                    if !is_listed(name) {
                        let name = name.escape_ascii().to_string();
                        return Err(PreflightFault::Header(name));
                    }
                }
                if !names.is_empty() {
                    edits.push(set("Access-Control-Allow-Headers", &names.join(", ")));
                }
            }
        }
        if self.credentials {
            edits.push(set(ALLOW_CREDENTIALS, "true"));
        }
        edits.push(set(
            "Access-Control-Max-Age",
            &self.max_age.as_secs().to_string(),
        ));
        Ok(edits)
    }

    /// The field that lets the origin read, if it may. Where that depends on the origin, a cache must know.
    fn allowed(&self, origin: Option<&[u8]>, edits: &mut Vec<FieldEdit>) -> Option<FieldEdit> {
        let listed = match &self.origins {
            Origins::Any => return Some(set(ALLOW_ORIGIN, "*")),
            Origins::Listed(listed) => listed,
        };
        edits.push(FieldEdit::Add(FieldName::known("Vary"), b"Origin".to_vec()));
        let origin = origin?;
        let found = listed.iter().any(|known| known.takes(origin));
        found.then(|| FieldEdit::Set(FieldName::known(ALLOW_ORIGIN), origin.to_vec()))
    }
}

const ALLOW_ORIGIN: &str = "Access-Control-Allow-Origin";
const ALLOW_CREDENTIALS: &str = "Access-Control-Allow-Credentials";
const EXPOSE_HEADERS: &str = "Access-Control-Expose-Headers";
/// All that a gateway could say.
const GATEWAYS: [&str; 7] = [
    ALLOW_ORIGIN,
    ALLOW_CREDENTIALS,
    EXPOSE_HEADERS,
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Private-Network",
    "Access-Control-Max-Age",
];

fn set(name: &str, value: &str) -> FieldEdit {
    FieldEdit::Set(FieldName::known(name), value.as_bytes().to_vec())
}

impl fmt::Display for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.name)?;
        match &self.origins {
            Origins::Any => f.write_str("every origin")?,
            Origins::Listed(listed) => {
                let listed: Vec<String> = listed.iter().map(ToString::to_string).collect();
                f.write_str(&listed.join(" "))?;
            }
        }
        f.write_str(if self.credentials {
            ", with credentials)"
        } else {
            ")"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str], credentials: bool) -> Cors {
        Cors {
            name: "app".to_owned(),
            origins: match origins {
                ["*"] => Origins::Any,
                listed => {
                    Origins::Listed(listed.iter().map(|text| text.parse().unwrap()).collect())
                }
            },
            methods: Some(vec!["GET".to_owned(), "PUT".to_owned()]),
            headers: Names::Listed(vec!["x-token".to_owned()]),
            expose: Names::Listed(vec!["X-Total".to_owned()]),
            max_age: Duration::from_secs(600),
            credentials,
        }
    }

    /// The value that a client gets of `Access-Control-Allow-Origin`.
    fn allowed(cors: &Cors, origin: &str) -> Option<String> {
        let mut edits = Vec::new();
        cors.change_answer(Some(origin.as_bytes()), &mut edits);
        edits.into_iter().find_map(|edit| match edit {
            FieldEdit::Set(name, value) if name.as_str() == ALLOW_ORIGIN => {
                Some(String::from_utf8(value).unwrap())
            }
            _ => None,
        })
    }

    #[test]
    fn only_listed_origins_may_read() {
        let cors = cors(
            &[
                "https://app.example.com",
                "http://localhost:3000",
                "https://*.example.net:8443",
            ],
            true,
        );
        for (origin, is_allowed) in [
            ("https://app.example.com", true),
            ("http://localhost:3000", true),
            ("https://a.example.net:8443", true),
            ("https://a.b.example.net:8443", true),
            ("http://app.example.com", false),
            ("https://app.example.com:8443", false),
            ("https://app.example.com.evil.test", false),
            ("https://evil.test/https://app.example.com", false),
            ("https://example.net:8443", false),
            ("https://.example.net:8443", false),
            ("https://evilexample.net:8443", false),
            ("https://evil.test/.example.net:8443", false),
            ("https://evil.test#.example.net:8443", false),
            ("HTTPS://APP.EXAMPLE.COM", false),
            ("null", false),
            ("", false),
        ] {
            let expected = is_allowed.then(|| origin.to_owned());
            assert_eq!(allowed(&cors, origin), expected, "{origin}");
        }
    }

    #[test]
    fn every_origin_is_never_reflected() {
        let cors = cors(&["*"], false);
        assert_eq!(allowed(&cors, "https://evil.test").as_deref(), Some("*"));
    }

    #[test]
    fn a_preflight_is_told_what_may_be_sent() {
        let cors = cors(&["https://app.example.com"], true);
        let ask = |origin: &str, method: &str, headers: &[&str]| {
            let preflight = Preflight {
                origin: origin.as_bytes(),
                method: method.as_bytes(),
            };
            cors.answer_preflight(preflight, headers.iter().map(|name| name.as_bytes()))
        };
        let origin = "https://app.example.com";
        let told = ask(origin, "PUT", &["X-Token"]).unwrap();
        for edit in [
            FieldEdit::Set(FieldName::known(ALLOW_ORIGIN), origin.into()),
            set("Access-Control-Allow-Methods", "GET, PUT"),
            set("Access-Control-Allow-Headers", "x-token"),
            set(ALLOW_CREDENTIALS, "true"),
            set("Access-Control-Max-Age", "600"),
        ] {
            assert!(told.contains(&edit), "{edit:?} in {told:?}");
        }
        assert_eq!(
            ask("https://evil.test", "PUT", &[]),
            Err(PreflightFault::Origin)
        );
        assert_eq!(ask(origin, "DELETE", &[]), Err(PreflightFault::Method));
        assert_eq!(ask(origin, "put", &[]), Err(PreflightFault::Method));
        let fault = PreflightFault::Header("X-Other".to_owned());
        assert_eq!(ask(origin, "PUT", &["x-token", "X-Other"]), Err(fault));
    }

    #[test]
    fn origins_are_read_strictly() {
        for (text, expected) in [
            (
                "https://APP.example.com:443",
                Some("https://app.example.com"),
            ),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("https://*.example.com", Some("https://*.example.com")),
            ("https://[::1]:8443", Some("https://[::1]:8443")),
            ("app.example.com", None),
            ("https://app.example.com/", None),
            ("https://*", None),
            ("https://a.*.test", None),
            ("null", None),
        ] {
            let read = text.parse::<Origin>().ok().map(|origin| origin.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}
