//! For which requests an exclusion holds: those of one method, path and host.
//!
//! The conditions are links of a chain in phase 1, and the last one has the `ctl`: this form has the same meaning in
//! ModSecurity v2, v3 and here. A number or a UUID in the path stands for any other one.

use super::place::split_target;
use super::target::escaped;
use super::values::percent_decoded;
use crate::recorded::Request;
use http_strict::split_port;

/// Method, path and host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    method: String,
    path: Path,
    /// None if the request names none.
    host: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Path {
    Is(String),
    Matches {
        pattern: String,
        /// The path had escapes, which some engines have decoded and others have not.
        decode: bool,
    },
}

/// `SecRule VARIABLE "OPERATOR"` and its transformations.
struct Link {
    condition: String,
    transformations: &'static str,
}

impl Scope {
    /// The scope of a request.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        Self {
            method: String::from_utf8_lossy(request.method()).into_owned(),
            path: Path::of(split_target(request).0),
            host: host_of(request),
        }
    }

    /// In words: `POST api.test /orders/17`.
    #[must_use]
    pub fn words(&self) -> String {
        let path = match &self.path {
            Path::Is(path) => path.clone(),
            Path::Matches { pattern, .. } => format!("~ ^{pattern}$"),
        };
        let host = self.host.as_deref().unwrap_or("any host");
        format!("{} {host} {path}", self.method)
    }

    fn links(&self) -> Vec<Link> {
        // `t:none` everywhere: a `SecDefaultAction` of the policy may add transformations.
        let method = Link {
            condition: format!("REQUEST_METHOD \"@streq {}\"", self.method),
            transformations: "t:none",
        };
        let path = match &self.path {
            Path::Is(path) => Link {
                condition: format!("REQUEST_FILENAME \"@streq {path}\""),
                transformations: "t:none",
            },
            Path::Matches { pattern, decode } => Link {
                condition: format!("REQUEST_FILENAME \"@rx ^{pattern}$\""),
                transformations: match decode {
                    true => "t:none,t:urlDecodeUni",
                    false => "t:none",
                },
            },
        };
        // Clients write the port or leave it out, and a host has no case.
        let host = self.host.as_ref().map(|host| Link {
            condition: format!(
                "REQUEST_HEADERS:Host \"@rx ^{}(?::[0-9]+)?$\"",
                escaped(host.as_bytes())
            ),
            transformations: "t:none,t:lowercase",
        });
        [Some(method), Some(path), host]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// The host in lower case, without its port.
fn host_of(request: &Request) -> Option<String> {
    let field = request.header(b"host")?;
    let host = match split_port(field) {
        // What follows the last colon may also be the end of an IPv6 address.
        Some((host, Some(port))) if port.iter().all(u8::is_ascii_digit) => host,
        _ => field,
    };
    let host = String::from_utf8(host.to_ascii_lowercase()).ok()?;
    (!host.is_empty()).then_some(host)
}

impl Path {
    fn of(path: &[u8]) -> Self {
        let decode = path.contains(&b'%');
        let decoded = match decode {
            true => percent_decoded(path),
            false => path.to_vec(),
        };
        let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"/-_.~:@!$&()*+=".contains(b);
        let segments: Vec<&[u8]> = decoded.split(|&b| b == b'/').collect();
        let any = segments.iter().any(|segment| any_like(segment).is_some());
        match std::str::from_utf8(&decoded) {
            // Everything else could mean something inside the quotes of a rule, so it is written as a pattern.
            Ok(text) if !decode && !any && decoded.iter().all(is_plain) => {
                Self::Is(text.to_owned())
            }
            _ => {
                let patterns = segments.iter().map(|segment| {
                    any_like(segment).map_or_else(|| escaped(segment), str::to_owned)
                });
                Self::Matches {
                    pattern: patterns.collect::<Vec<_>>().join("/"),
                    decode,
                }
            }
        }
    }
}

/// The pattern for segments like this one, if it is a number or a UUID.
fn any_like(segment: &[u8]) -> Option<&'static str> {
    if !segment.is_empty() && segment.iter().all(u8::is_ascii_digit) {
        return Some("[0-9]+");
    }
    let is_uuid = segment.len() == 36
        && segment.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    is_uuid.then_some("[0-9a-fA-F-]{36}")
}

/// The rule with these controls. `gate`: only for transactions whose id contains this.
pub(super) fn rule(
    id: u64,
    scope: Option<&Scope>,
    gate: Option<&str>,
    controls: &[String],
) -> String {
    let mut links: Vec<Link> = gate
        .map(|gate| Link {
            condition: format!("UNIQUE_ID \"@contains {gate}\""),
            transformations: "t:none",
        })
        .into_iter()
        .collect();
    links.extend(scope.into_iter().flat_map(Scope::links));
    let mut text = String::new();
    let last = links.len().saturating_sub(1);
    for (at, link) in links.iter().enumerate() {
        let indent = "    ".repeat(at);
        let mut actions = match at {
            0 => vec![format!(
                "id:{id},phase:1,pass,{},nolog",
                link.transformations
            )],
            _ => vec![link.transformations.to_owned()],
        };
        match at == last {
            // In the last link alone: the controls of an earlier one would apply before all conditions hold.
            true => actions.extend(controls.iter().map(|control| format!("ctl:{control}"))),
            false => actions.push("chain".to_owned()),
        }
        let actions = actions.join(&format!(",\\\n{indent}    "));
        text += &format!(
            "{indent}SecRule {} \\\n{indent}    \"{actions}\"\n",
            link.condition
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(line: &str) -> Scope {
        let raw = format!("{line} HTTP/1.1\r\nHost: API.test:443\r\n\r\n");
        Scope::of(&Request::from_file(raw.into_bytes()))
    }

    #[test]
    fn a_rule_is_a_chain_whose_last_link_has_the_controls() {
        let text = rule(
            80_001,
            Some(&scope("POST /notes?x=1")),
            None,
            &["ruleRemoveTargetById=942100;ARGS:note".to_owned()],
        );
        assert_eq!(
            text,
            r#"SecRule REQUEST_METHOD "@streq POST" \
    "id:80001,phase:1,pass,t:none,nolog,\
    chain"
    SecRule REQUEST_FILENAME "@streq /notes" \
        "t:none,\
        chain"
        SecRule REQUEST_HEADERS:Host "@rx ^api\.test(?::[0-9]+)?$" \
            "t:none,t:lowercase,\
            ctl:ruleRemoveTargetById=942100;ARGS:note"
"#
        );
    }

    #[test]
    fn numbers_in_a_path_stand_for_any() {
        for (line, expected) in [
            (
                "GET /orders/17/notes",
                "GET api.test ~ ^/orders/[0-9]+/notes$",
            ),
            (
                "GET /o/0199b0aa-7c1e-7f00-8000-0123456789ab",
                "GET api.test ~ ^/o/[0-9a-fA-F-]{36}$",
            ),
            ("GET /v1/notes", "GET api.test /v1/notes"),
            ("GET /a%20b", "GET api.test ~ ^/a\\x20b$"),
        ] {
            assert_eq!(scope(line).words(), expected);
        }
        assert_eq!(scope("GET /orders/17"), scope("GET /orders/18?x"));
        assert_ne!(scope("GET /orders/17"), scope("GET /orders/x"));
    }
}
