//! "Did you mean": the SecLang name that an unknown one most likely stands for.

use seclang::directive_names;

use super::action_names::{CONTROLS, HANDLED};
use crate::suggest::{Known, meant};
use crate::transform::Transformation;
use crate::variables::Variable;

const VARIABLE_WORDS: Known = &[
    ("body", "REQUEST_BODY"),
    ("client_ip", "REMOTE_ADDR"),
    ("cookies", "REQUEST_COOKIES"),
    ("headers", "REQUEST_HEADERS"),
    ("host", "REQUEST_HEADERS:Host"),
    ("http_method", "REQUEST_METHOD"),
    ("method", "REQUEST_METHOD"),
    ("params", "ARGS"),
    ("path", "REQUEST_FILENAME"),
    ("query", "QUERY_STRING"),
    ("remote_ip", "REMOTE_ADDR"),
    ("request_cookie", "REQUEST_COOKIES"),
    ("request_path", "REQUEST_FILENAME"),
    ("status", "RESPONSE_STATUS"),
    ("uri", "REQUEST_URI"),
    ("url", "REQUEST_URI"),
    ("user_agent", "REQUEST_HEADERS:User-Agent"),
];

const ACTION_WORDS: Known = &[
    ("accept", "allow"),
    ("description", "msg"),
    ("message", "msg"),
    ("multi", "multiMatch"),
    ("reject", "deny"),
    ("set", "setvar"),
    ("transform", "t"),
];

const TRANSFORMATION_WORDS: Known = &[
    ("base64", "base64Decode"),
    ("htmldecode", "htmlEntityDecode"),
    ("lower", "lowercase"),
    ("tolower", "lowercase"),
    ("toupper", "uppercase"),
    ("upper", "uppercase"),
    ("urldecodeunicode", "urlDecodeUni"),
];

pub(super) fn variable(name: &str) -> Option<String> {
    let known = Variable::ALL.iter().map(|variable| variable.name());
    asked(meant(name, VARIABLE_WORDS, known))
}

/// The name of a macro, `COLLECTION.key` with its key.
pub(super) fn macro_name(name: &str) -> Option<String> {
    variable(name.split(['.', ':']).next().unwrap_or(name))
}

pub(super) fn action(name: &str) -> Option<String> {
    let known = HANDLED.iter().copied();
    let own = || asked(meant(name, ACTION_WORDS, known));
    // The name of a transformation without `t:`.
    let is_step = Transformation::from_name(name).is_some();
    if is_step {
        Some(format!("did you mean `t:{name}`?"))
    } else {
        own()
    }
}

pub(super) fn control(name: &str) -> Option<String> {
    asked(meant(name, &[], CONTROLS.iter().copied()))
}

pub(super) fn transformation(name: &str) -> Option<String> {
    let known = Transformation::all().map(Transformation::name);
    asked(meant(name, TRANSFORMATION_WORDS, known.chain(["none"])))
}

pub(super) fn directive(name: &str) -> Option<String> {
    asked(meant(
        name,
        &[("secengine", "SecRuleEngine")],
        directive_names(),
    ))
}

fn asked(word: Option<&str>) -> Option<String> {
    word.map(|word| format!("did you mean `{word}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_said() {
        for (suggested, expected) in [
            (variable("ARG"), "`ARGS`"),
            (variable("REQUEST_HEADER"), "`REQUEST_HEADERS`"),
            (variable("URI"), "`REQUEST_URI`"),
            (action("lgo"), "`log`"),
            (action("message"), "`msg`"),
            (action("skipafer"), "`skipAfter`"),
            (action("lowercase"), "`t:lowercase`"),
            (transformation("lowercas"), "`lowercase`"),
            (transformation("urlDecodeUnicode"), "`urlDecodeUni`"),
            (directive("SecRuleEngin"), "`SecRuleEngine`"),
            (directive("SecRul"), "`SecRule`"),
            (control("ruleRemoveByIds"), "`ruleRemoveById`"),
        ] {
            let suggested = suggested.unwrap_or_default();
            assert_eq!(suggested, format!("did you mean {expected}?"));
        }
    }
}
