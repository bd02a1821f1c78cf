//! The names of ModSecurity v2's reference manual and their state here. It is made from the tables that the engine
//! itself uses, so that document and engine cannot disagree.

use super::compile::{action_names, settings};
use super::operators::catalogue::{self, State as OperatorState};
use super::transform::Transformation;
use super::variables::{self, Variable};

/// The manual's chapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `SecRule` and its like.
    Directive,
    /// `ARGS` and its like.
    Variable,
    /// `@rx` and its like.
    Operator,
    /// `t:lowercase` and its like.
    Transformation,
    /// `deny` and its like.
    Action,
    /// An option of the action `ctl`.
    Control,
}

/// The state of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It works as the manual says, except for what [`Entry::differs`] names.
    Done,
    /// It loads without an effect: why.
    WithoutEffect(&'static str),
    /// An error at load: why.
    Refused(&'static str),
}

/// One name of the manual.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The chapter.
    pub kind: Kind,
    /// As the manual spells it.
    pub name: &'static str,
    /// Its state.
    pub state: State,
    /// Where it differs from ModSecurity v2; empty if it does not.
    pub differs: &'static str,
}

impl Kind {
    /// Every chapter, in the order of the manual.
    pub const ALL: [Self; 6] = [
        Self::Directive,
        Self::Variable,
        Self::Operator,
        Self::Transformation,
        Self::Action,
        Self::Control,
    ];

    /// The chapter's title.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Directive => "Directives",
            Self::Variable => "Variables",
            Self::Operator => "Operators",
            Self::Transformation => "Transformations",
            Self::Action => "Actions",
            Self::Control => "Options of `ctl`",
        }
    }

    /// Every name of the chapter, by name.
    #[must_use]
    pub fn entries(self) -> Vec<Entry> {
        let mut states: Vec<(&'static str, State)> = match self {
            Self::Directive => directives().collect(),
            Self::Variable => variables(),
            Self::Operator => operators().collect(),
            Self::Transformation => Transformation::all()
                .map(|t| (t.name(), State::Done))
                // `t:none` is no step, so the table of steps does not have it.
                .chain([("none", State::Done)])
                .collect(),
            Self::Action => done_and_refused(action_names::HANDLED, action_names::REFUSED),
            Self::Control => {
                done_and_refused(action_names::CONTROLS, action_names::REFUSED_CONTROLS)
            }
        };
        states.sort_by_key(|(name, _)| name.to_ascii_lowercase());
        let entry = |(name, state)| Entry {
            kind: self,
            name,
            state,
            differs: differs(self, name),
        };
        states.into_iter().map(entry).collect()
    }
}

fn directives() -> impl Iterator<Item = (&'static str, State)> {
    let find = |table: &'static [(&'static str, &'static str)], name: &str| {
        let entry = table.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        entry.map(|e| e.1)
    };
    seclang::directive_names().map(move |name| {
        let refused = find(settings::REFUSED, name).map(State::Refused);
        let idle = || find(settings::WITHOUT_EFFECT, name).map(State::WithoutEffect);
        (name, refused.or_else(idle).unwrap_or(State::Done))
    })
}

fn variables() -> Vec<(&'static str, State)> {
    let done = Variable::ALL.iter().map(|variable| {
        let state = variable.why_empty().map(State::WithoutEffect);
        (variable.name(), state.unwrap_or(State::Done))
    });
    let refused = variables::REFUSED
        .iter()
        .map(|&(n, w)| (n, State::Refused(w)));
    done.chain(refused).collect()
}

fn operators() -> impl Iterator<Item = (&'static str, State)> {
    catalogue::OPERATORS.iter().map(|entry| {
        let state = match entry.state {
            OperatorState::Done => State::Done,
            OperatorState::Inert(why) => State::WithoutEffect(why),
            OperatorState::Refused(why) => State::Refused(why),
        };
        (entry.name, state)
    })
}

fn done_and_refused(
    done: &[&'static str],
    refused: &[(&'static str, &'static str)],
) -> Vec<(&'static str, State)> {
    let done = done.iter().map(|&name| (name, State::Done));
    let refused = refused
        .iter()
        .map(|&(name, why)| (name, State::Refused(why)));
    done.chain(refused).collect()
}

fn differs(kind: Kind, name: &str) -> &'static str {
    let note = DIFFERENCES
        .iter()
        .find(|(k, n, _)| *k == kind && n.eq_ignore_ascii_case(name));
    note.map_or("", |n| n.2)
}

/// Differences from ModSecurity v2, by name.
pub const DIFFERENCES: &[(Kind, &str, &str)] = {
    use Kind::{Action, Control, Directive, Operator, Transformation, Variable};
    &[
        (
            Directive,
            "SecAuditLog",
            "read, not followed: records go where the configuration's `log.audit` says",
        ),
        (
            Directive,
            "SecAuditLogFormat",
            "`JSON` and `Native` are ModSecurity v3's JSON; `ECS` is the Elastic Common Schema",
        ),
        (
            Directive,
            "SecAuditEngine",
            "where it is not said and the configuration's `log.audit` is set: `RelevantOnly`, as ModSecurity's recommended configuration",
        ),
        (
            Directive,
            "SecAuditLogParts",
            "D and G are empty; I leaves files out; secrets are masked in every part",
        ),
        (Directive, "SecCookieV0Separator", "only `;`"),
        (
            Directive,
            "SecDefaultAction",
            "`block` in it is an error: it must name another disruptive action",
        ),
        (
            Directive,
            "SecRequestBodyLimit",
            "a policy's own limit wins",
        ),
        (
            Directive,
            "SecRequestBodyLimitAction",
            "where it is not said, the policy's `on_uninspected` decides",
        ),
        (
            Directive,
            "SecResponseBodyLimitAction",
            "where it is not said, the policy's `on_uninspected` decides",
        ),
        (
            Directive,
            "SecRuleEngine",
            "a policy's mode wins, with a warning where they differ",
        ),
        (
            Directive,
            "SecRequestBodyJsonDepthLimit",
            "the default is 512",
        ),
        (
            Variable,
            "ARGS",
            "JSON: names begin with `json.`, a list's items are numbered",
        ),
        (Variable, "DURATION", "microseconds"),
        (
            Variable,
            "IDENTITY",
            "not in ModSecurity: the claims of the caller's verified token by name, such as `IDENTITY:sub`; a list has a value for each element",
        ),
        (Variable, "MODSEC_BUILD", "that of ModSecurity 2.9.13"),
        (
            Variable,
            "MSC_PCRE_LIMITS_EXCEEDED",
            "set when an operator gave up at a limit of its own",
        ),
        (
            Variable,
            "MULTIPART_STRICT_ERROR",
            "where no rule asks for it, the policy's `on_uninspected` decides on bodies that can be read in two ways",
        ),
        (
            Variable,
            "REMOTE_HOST",
            "the address: no DNS lookups on the request path",
        ),
        (
            Variable,
            "REMOTE_USER",
            "the user of `Authorization: Basic`, not verified",
        ),
        (
            Variable,
            "RESPONSE_BODY",
            "gzip, deflate and br are decoded, up to a bound",
        ),
        (Variable, "TIME", "UTC, as all `TIME...`"),
        (
            Variable,
            "XML",
            "`/*`, `//@*`, and paths of names, `*` and `//` that end at an element, `text()` or an attribute; entities are never expanded",
        ),
        (
            Operator,
            "rx",
            "a linear-time automaton; patterns with look-around run under a step limit that is counted when hit",
        ),
        (
            Operator,
            "rxGlobal",
            "ModSecurity v3's; captures go as far as TX.9, and those of a pattern with macros are the first occurrence's",
        ),
        (Operator, "detectSQLi", "libinjection's algorithm in Rust"),
        (Operator, "detectXSS", "libinjection's algorithm in Rust"),
        (Transformation, "cmdLine", "does not stop at a NUL"),
        (Transformation, "base64DecodeExt", "does not stop at a NUL"),
        (Transformation, "sqlHexDecode", "does not stop at a NUL"),
        (Action, "drop", "closes the connection without an answer"),
        (
            Action,
            "expirevar",
            "variables live in memory, as all persistent collections",
        ),
        (
            Action,
            "initcol",
            "collections live in memory, bounded, one for all policies; a restart empties them",
        ),
        (Action, "sanitiseMatchedBytes", "masks the whole value"),
        (
            Action,
            "setenv",
            "sets `ENV` for later rules; no process inherits it",
        ),
        (
            Control,
            "forceRequestBodyVariable",
            "as v2: only where no processor reads the body",
        ),
        (
            Control,
            "ruleRemoveTargetById",
            "a name in slashes is a regular expression",
        ),
        (
            Control,
            "ruleRemoveTargetByMsg",
            "a name in slashes is a regular expression",
        ),
        (
            Control,
            "ruleRemoveTargetByTag",
            "a name in slashes is a regular expression",
        ),
    ]
};
