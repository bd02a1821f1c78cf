//! Actions of one rule link: from words to what they do.
//!
//! Source: ModSecurity v2 Reference Manual, "Actions". An action that is refused or unknown is an error: a rule that
//! silently does less than it says gives false safety.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use crate::macros::Template;
use crate::rule::{AllowScope, Change, Effect, Place, SEVERITIES};
use crate::transform::Transformation;
use crate::variables::Variable;
use seclang::{ActionSyntax, Spanned};

use super::action_names::{HANDLED, REFUSED};
use super::rule_draft::Draft;
use super::{Report, Shared, suggest};

/// The actions of one link, with defaults merged in.
#[derive(Default)]
pub(super) struct Actions {
    pub transformations: Vec<Transformation>,
    pub disruptive: Option<Decision>,
    pub status: Option<u16>,
    pub log: Option<bool>,
    pub audit_log: Option<bool>,
    pub multi_match: bool,
    pub capture: bool,
    pub skip: Option<u32>,
    pub skip_after: Option<String>,
    pub message: Option<Template>,
    pub data: Option<Template>,
    pub severity: Option<u8>,
    pub tags: Vec<Template>,
    pub version: Option<Template>,
    pub revision: Option<Template>,
    pub maturity: Option<u8>,
    pub accuracy: Option<u8>,
    pub effects: Vec<Effect>,
}

pub(super) enum Decision {
    /// As the default says.
    Block,
    Pass,
    Deny,
    Drop,
    Redirect(Template),
    Allow(AllowScope),
}

/// Reads actions, with all drafts at hand for those that name other rules.
pub(super) struct Reader<'a, 'r, 's> {
    pub shared: &'a mut Shared,
    pub drafts: &'a [Draft],
    /// The rule whose actions these are.
    pub id: u64,
    /// The place of the link in its chain.
    pub link: usize,
    /// Index in the rule set of each draft; None if it was removed.
    pub indexes: &'a [Option<usize>],
    pub report: &'r mut Report<'s>,
}

impl Reader<'_, '_, '_> {
    pub(super) fn read(&mut self, list: &[ActionSyntax], into: &mut Actions) {
        for action in list {
            self.read_one(action, into);
        }
    }

    fn read_one(&mut self, action: &ActionSyntax, into: &mut Actions) {
        let name = action.name.node.to_ascii_lowercase();
        if !self.exists(&name, action) {
            return;
        }
        match name.as_str() {
            // Read elsewhere: by the first pass, and `xmlns` together with the targets.
            "id" | "phase" | "chain" | "xmlns" => {}
            "t" => self.transformation(action, into),
            "pass" => into.disruptive = Some(Decision::Pass),
            "block" => into.disruptive = Some(Decision::Block),
            "deny" => into.disruptive = Some(Decision::Deny),
            "drop" => into.disruptive = Some(Decision::Drop),
            // A faulty argument is reported and changes nothing, here and below.
            "allow" => into.disruptive = self.allow(action).or(into.disruptive.take()),
            "redirect" => {
                if let Some(to) = self.template(action) {
                    into.disruptive = Some(Decision::Redirect(to));
                }
            }
            "status" => into.status = self.number(action, 100, 599).or(into.status),
            // As in ModSecurity, `log` implies `auditlog`, and `nolog` implies `noauditlog`; later words override.
            "log" => (into.log, into.audit_log) = (Some(true), Some(true)),
            "nolog" => (into.log, into.audit_log) = (Some(false), Some(false)),
            "auditlog" => into.audit_log = Some(true),
            "noauditlog" => into.audit_log = Some(false),
            "multimatch" => into.multi_match = true,
            "capture" => into.capture = true,
            "skip" => into.skip = self.number(action, 1, u32::MAX).or(into.skip),
            "skipafter" => {
                into.skip_after = self.argument(action).map(|a| a.node.trim().to_owned());
            }
            "msg" => into.message = self.template(action),
            "logdata" => into.data = self.template(action),
            "severity" => into.severity = self.severity(action),
            // Tags add up; of every other word the last one counts.
            "tag" => into.tags.extend(self.template(action)),
            "ver" => into.version = self.template(action),
            "rev" => into.revision = self.template(action),
            "maturity" => into.maturity = self.number(action, 0, 9).or(into.maturity),
            "accuracy" => into.accuracy = self.number(action, 0, 9).or(into.accuracy),
            _ => {
                if let Some(effect) = self.effect(&name, action) {
                    into.effects.push(effect);
                }
            }
        }
    }

    /// Whether the action exists; reports one that is refused or unknown.
    fn exists(&mut self, name: &str, action: &ActionSyntax) -> bool {
        if HANDLED.iter().any(|n| n.eq_ignore_ascii_case(name)) {
            return true;
        }
        let span = action.name.span;
        match find(REFUSED, name) {
            Some((_, why)) => {
                let message = format!("action `{name}` is refused: {why}");
                self.report.error(span, message);
            }
            None => {
                let message = format!("unknown action `{}`", action.name.node);
                self.report.unknown(span, message, suggest::action(name));
            }
        }
        false
    }

    fn effect(&mut self, name: &str, action: &ActionSyntax) -> Option<Effect> {
        match name {
            "setvar" => self.set_variable(action),
            "expirevar" => self.expire(action),
            "deprecatevar" => self.deprecate(action),
            "initcol" => {
                let (collection, key) = self.assignment(action)?;
                let collection = self.persistent(&collection)?;
                Some(Effect::OpenCollection {
                    collection,
                    key: self.text(&key)?,
                })
            }
            "setuid" | "setsid" | "setrsc" => {
                let collection = match name {
                    "setuid" => Variable::User,
                    "setsid" => Variable::Session,
                    _ => Variable::Resource,
                };
                Some(Effect::SetId {
                    collection,
                    key: self.template(action)?,
                })
            }
            "setenv" => {
                let (name, value) = self.assignment(action)?;
                Some(Effect::SetEnvironment {
                    name: self.text(&name)?,
                    value: self.text(&value)?,
                })
            }
            "ctl" => self.control(action).map(Effect::Control),
            "sanitisearg" | "sanitizearg" => {
                Some(Effect::Mask(Variable::Args, self.template(action)?))
            }
            "sanitiserequestheader" | "sanitizerequestheader" => Some(Effect::Mask(
                Variable::RequestHeaders,
                self.template(action)?,
            )),
            "sanitiseresponseheader" | "sanitizeresponseheader" => Some(Effect::Mask(
                Variable::ResponseHeaders,
                self.template(action)?,
            )),
            // The whole value, also where the rule asks for the matched bytes only: too much is masked rather than too
            // little.
            "sanitisematched"
            | "sanitizematched"
            | "sanitisematchedbytes"
            | "sanitizematchedbytes" => Some(Effect::MaskMatched),
            _ => None,
        }
    }

    fn transformation(&mut self, action: &ActionSyntax, into: &mut Actions) {
        let Some(argument) = self.argument(action) else {
            return;
        };
        let name = argument.node.trim();
        if name.eq_ignore_ascii_case("none") {
            // `t:none` also drops what `SecDefaultAction` added.
            into.transformations.clear();
            return;
        }
        match Transformation::from_name(name) {
            Some(t) => into.transformations.push(t),
            None => {
                let message = format!("unknown transformation `{name}`");
                let help = suggest::transformation(name);
                self.report.unknown(argument.span, message, help);
            }
        }
    }

    fn allow(&mut self, action: &ActionSyntax) -> Option<Decision> {
        let scope = match action
            .argument
            .as_ref()
            .map(|a| a.node.trim().to_ascii_lowercase())
            .as_deref()
        {
            None | Some("") => AllowScope::Transaction,
            Some("phase") => AllowScope::Phase,
            Some("request") => AllowScope::Request,
            Some(_) => {
                self.report
                    .error(action.span, "allow, allow:phase or allow:request");
                return None;
            }
        };
        Some(Decision::Allow(scope))
    }

    fn severity(&mut self, action: &ActionSyntax) -> Option<u8> {
        let argument = self.argument(action)?;
        let word = argument.node.trim();
        // The manual allows names and numbers; the CRS writes names.
        let level = SEVERITIES
            .iter()
            .position(|n| n.eq_ignore_ascii_case(word))
            .or_else(|| word.parse().ok().filter(|&n: &usize| n < SEVERITIES.len()));
        if level.is_none() {
            let names = SEVERITIES.join(", ");
            self.report.error(
                argument.span,
                format!("a severity is 0 to 7 or one of {names}"),
            );
        }
        level.and_then(|l| u8::try_from(l).ok())
    }

    fn set_variable(&mut self, action: &ActionSyntax) -> Option<Effect> {
        let argument = self.argument(action)?;
        let text = argument.node.trim();
        let (negated, text) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (target, value) = match text.split_once('=') {
            Some((target, value)) => (target, Some(value)),
            None => (text, None),
        };
        let place = self.place(target.trim(), &argument)?;
        let change = match value {
            _ if negated => Change::Remove,
            // `setvar:tx.name` sets the variable to 1.
            None => Change::Set(self.text_at("1", &argument)?),
            Some(value) => match value.as_bytes().first() {
                Some(b'+') => Change::Add(self.text_at(&value[1..], &argument)?),
                Some(b'-') => Change::Subtract(self.text_at(&value[1..], &argument)?),
                _ => Change::Set(self.text_at(value, &argument)?),
            },
        };
        Some(Effect::SetVariable { place, change })
    }

    fn place(&mut self, target: &str, at: &Spanned<String>) -> Option<Place> {
        let Some((collection, name)) = target.split_once(['.', ':']) else {
            self.report.error_with_help(
                at.span,
                format!("`{target}` names no variable of a collection"),
                "write COLLECTION.NAME, for example tx.score",
            );
            return None;
        };
        match Variable::from_name(collection.trim()) {
            // A name without macros gets a slot, so that no transaction looks it up by text.
            Some(Variable::Tx) if !name.contains("%{") => {
                Some(Place::Slot(self.shared.names.intern(name)))
            }
            Some(Variable::Tx) => Some(Place::Named(self.text_at(name, at)?)),
            Some(
                v @ (Variable::Ip
                | Variable::Global
                | Variable::Resource
                | Variable::Session
                | Variable::User),
            ) => Some(Place::Collection(v, self.text_at(name, at)?)),
            Some(Variable::Env) => Some(Place::Collection(Variable::Env, self.text_at(name, at)?)),
            _ => {
                self.report.error(
                    at.span,
                    format!("`{collection}` cannot be written; TX, IP, GLOBAL, RESOURCE, SESSION, USER and ENV can"),
                );
                None
            }
        }
    }

    fn expire(&mut self, action: &ActionSyntax) -> Option<Effect> {
        let (target, seconds) = self.assignment(action)?;
        let (collection, name) = self.collection_name(&target)?;
        let name = self.text(&Spanned {
            node: name,
            span: target.span,
        })?;
        Some(Effect::ExpireVariable {
            collection,
            name,
            seconds: self.text(&seconds)?,
        })
    }

    fn deprecate(&mut self, action: &ActionSyntax) -> Option<Effect> {
        let (target, rate) = self.assignment(action)?;
        let (collection, name) = self.collection_name(&target)?;
        let parsed = rate.node.split_once('/').and_then(|(amount, seconds)| {
            Some((amount.trim().parse().ok()?, seconds.trim().parse().ok()?))
        });
        // The counter is lowered once in each period, which therefore cannot be 0.
        let Some((amount, seconds)) = parsed.filter(|&(_, s): &(i64, u64)| s > 0) else {
            self.report.error(
                rate.span,
                "deprecatevar takes COLLECTION.NAME=AMOUNT/SECONDS",
            );
            return None;
        };
        let name = self.text(&Spanned {
            node: name,
            span: target.span,
        })?;
        Some(Effect::DeprecateVariable {
            collection,
            name,
            amount,
            seconds,
        })
    }

    fn collection_name(&mut self, target: &Spanned<String>) -> Option<(Variable, String)> {
        let Some((collection, name)) = target.node.split_once(['.', ':']) else {
            self.report.error(target.span, "COLLECTION.NAME is needed");
            return None;
        };
        let collection = Spanned {
            node: collection.to_owned(),
            span: target.span,
        };
        Some((self.persistent(&collection)?, name.to_owned()))
    }

    fn persistent(&mut self, name: &Spanned<String>) -> Option<Variable> {
        let variable = Variable::from_name(name.node.trim()).filter(|v| {
            matches!(
                v,
                Variable::Ip
                    | Variable::Global
                    | Variable::Resource
                    | Variable::Session
                    | Variable::User
            )
        });
        if variable.is_none() {
            self.report.error(
                name.span,
                format!("`{}` is no persistent collection; those are IP, GLOBAL, RESOURCE, SESSION, USER", name.node),
            );
        }
        variable
    }

    pub(super) fn refuse<T>(&mut self, at: &Spanned<String>, why: &str) -> Option<T> {
        self.report.error(at.span, why);
        None
    }

    fn argument(&mut self, action: &ActionSyntax) -> Option<Spanned<String>> {
        if action.argument.is_none() {
            self.report.error(
                action.span,
                format!("`{}` needs an argument", action.name.node),
            );
        }
        action.argument.clone()
    }

    /// `NAME=VALUE`
    pub(super) fn assignment(
        &mut self,
        action: &ActionSyntax,
    ) -> Option<(Spanned<String>, Spanned<String>)> {
        let argument = self.argument(action)?;
        let Some((name, value)) = argument.node.split_once('=') else {
            self.report.error(
                argument.span,
                format!("`{}` takes NAME=VALUE", action.name.node),
            );
            return None;
        };
        let spanned = |text: &str| Spanned {
            node: text.to_owned(),
            span: argument.span,
        };
        Some((spanned(name), spanned(value)))
    }

    fn template(&mut self, action: &ActionSyntax) -> Option<Template> {
        let argument = self.argument(action)?;
        self.text(&argument)
    }

    fn text(&mut self, text: &Spanned<String>) -> Option<Template> {
        self.text_at(&text.node, text)
    }

    fn text_at(&mut self, text: &str, at: &Spanned<String>) -> Option<Template> {
        // What cannot be resolved is empty at run time, so that a misspelled name would go unnoticed.
        match self.shared.template(text) {
            Ok(template) => Some(template),
            Err((_, name)) => {
                let message = format!("%{{{name}}}: there is no such variable");
                self.report
                    .unknown(at.span, message, suggest::macro_name(&name));
                None
            }
        }
    }

    fn number<T: TryFrom<u64> + Into<u64> + Copy>(
        &mut self,
        action: &ActionSyntax,
        low: T,
        high: T,
    ) -> Option<T> {
        let argument = self.argument(action)?;
        let (low, high): (u64, u64) = (low.into(), high.into());
        let number = argument
            .node
            .trim()
            .parse::<u64>()
            .ok()
            .filter(|n| (low..=high).contains(n));
        if number.is_none() {
            self.report.error(
                argument.span,
                format!("`{}` takes a number from {low} to {high}", action.name.node),
            );
        }
        number.and_then(|n| T::try_from(n).ok())
    }
}

pub(super) fn find(
    table: &'static [(&'static str, &'static str)],
    name: &str,
) -> Option<&'static (&'static str, &'static str)> {
    table.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))
}
