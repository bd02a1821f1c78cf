//! The secrets of a transaction. They are found when a match is recorded, so that no record shows one.
//!
//! A value is secret by its name (`ARGS:password`, a cookie, `Authorization`), by a `sanitise...` action, or by its
//! text (`"token": ...`, a card number). What transformations, captures and `setvar` make of a secret is secret too.

use std::ops::Range;

use super::super::context::{Context, Origin};
use super::super::inputs::Item;
use super::super::matcher::Matcher;
use super::known_secrets::KnownSecrets;
use super::log_line::{self, RequestLine};
use super::matched_rule::MatchedRule;
use crate::audit::Marks;
use crate::audit::mask::{self, HeaderSecret};
use crate::ruleset::RuleSet;
use crate::variables::{Shape, Slice, Text, Value, Variable};

/// A shorter secret is masked in its own value only. Elsewhere the same few bytes occur by chance, and masking them
/// would make the records unreadable.
const SHORTEST: usize = 6;
/// Bytes of a value, message or data that are recorded.
pub(super) const MOST_BYTES: usize = 2048;

/// Which bytes of the transaction are known to be secret so far.
#[derive(Debug)]
pub(crate) struct Secrets {
    masks: bool,
    marks: Marks,
    /// None until it is needed.
    known: Option<KnownSecrets>,
}

impl Secrets {
    /// Without `masks` everything is shown as it is.
    pub(crate) fn new(masks: bool) -> Self {
        Self {
            masks,
            marks: Marks::default(),
            known: None,
        }
    }

    /// From now on everything is shown as it is.
    pub(crate) fn unmask(&mut self) {
        self.masks = false;
    }

    pub(crate) fn masks(&self) -> bool {
        self.masks
    }

    /// Marks the secrets in everything that matched or was joined so far.
    pub(crate) fn mark_matched(&mut self, context: &mut Context) {
        for at in 0.. {
            match context.origins().note(at) {
                None => break,
                Some(Origin::Matched { value, received }) => {
                    self.mark_value(context, value, received);
                }
                Some(Origin::Joined { pieces, whole }) => {
                    self.carry_marks(context.origins().pieces(pieces), whole);
                }
            }
        }
        context.origins_mut().clear();
    }

    /// Marks the secrets in a value that matched: as received, and as the rule saw it.
    fn mark_value(&mut self, context: &Context, value: Value, received: Slice) {
        if !self.masks {
            return;
        }
        let secrecy = secrecy(context, value.variable, value.key);
        self.mark_by_name(context.text(), received, secrecy);
        if value.variable == Variable::Xml {
            self.mark_short_xml_secrets(context, &[received, value.text]);
        }
        // A transformation moves bytes, so that marks cannot be carried over one by one: all of the result is secret.
        if secrecy != HeaderSecret::None || self.marks.covers(received) {
            if value.text != received {
                self.marks.mark(value.text);
            }
            return;
        }
        // Text in `TX` carries the marks of the pieces that it was put together from. Searching it again would add
        // nothing.
        if value.variable == Variable::Tx {
            if value.text != received && self.marks.touches(received) {
                self.marks.mark(value.text);
            }
            return;
        }
        self.mark_by_text(context, received);
        self.mark_by_text(context, value.text);
        if let Some(key) = value.key {
            self.mark_by_text(context, key);
        }
    }

    fn mark_by_name(&mut self, text: &Text, value: Slice, secrecy: HeaderSecret) {
        let (bytes, marks) = (text.at(value), &mut self.marks);
        let mut mark = |range: Range<usize>| marks.mark(value.part(range.start, range.end));
        match secrecy {
            HeaderSecret::None => {}
            HeaderSecret::Whole => mark(0..bytes.len()),
            HeaderSecret::Credentials => mark(mask::credentials(bytes)),
            HeaderSecret::Cookies => mask::cookie_values(bytes, &mut mark),
            HeaderSecret::SetCookie => mask::set_cookie_value(bytes, &mut mark),
        }
    }

    fn mark_by_text(&mut self, context: &Context, value: Slice) {
        // A name, a sign and a value take three bytes; each text is searched once.
        if value.len() < 3 || !self.marks.look_at(value) {
            return;
        }
        self.learn(context);
        let (bytes, marks) = (context.text().at(value), &mut self.marks);
        let mut mark = |range: Range<usize>| marks.mark(value.part(range.start, range.end));
        mask::secrets(bytes, &mut mark);
        if context.state().controls().masks_arguments() {
            let arguments = [Variable::ArgsGet, Variable::ArgsPost];
            let is_secret =
                |name: &[u8]| arguments.into_iter().any(|of| is_masked(context, of, name));
            mask::fields(bytes, &is_secret, &mut mark);
        }
        if let Some(known) = &self.known {
            known.find(bytes, &mut mark);
        }
    }

    /// The text of a document has lost the names of its elements. Secrets that are too short to be masked everywhere
    /// are therefore looked for in this text.
    fn mark_short_xml_secrets(&mut self, context: &Context, values: &[Slice]) {
        let text = context.text();
        let secrets = context.inputs().body().xml().secrets().iter();
        let secrets: Vec<&[u8]> = secrets
            .map(|&secret| text.at(secret))
            .filter(|secret| (1..SHORTEST).contains(&secret.len()))
            .collect();
        if secrets.is_empty() {
            return;
        }
        // It is used here alone, so it needs no version.
        let known = KnownSecrets::new((0, 0, 0), &secrets, 1);
        for &value in values {
            let (bytes, marks) = (text.at(value), &mut self.marks);
            known.find(bytes, &mut |range| {
                marks.mark(value.part(range.start, range.end));
            });
        }
    }

    /// Learns the bytes of the secrets, and again if there are more since. The sources only grow, so their lengths
    /// tell.
    fn learn(&mut self, context: &Context) {
        let inputs = context.inputs();
        let version = (
            inputs.arguments().all().len() + inputs.body().xml().secrets().len(),
            inputs.response().headers().len(),
            context.state().controls().masked().len(),
        );
        if self.known.as_ref().is_none_or(|k| k.version() != version) {
            let values = secret_values(context);
            self.known = Some(KnownSecrets::new(version, &values, SHORTEST));
        }
    }

    /// Marks what `sanitise...` named after rules had matched it; false if there was no such action.
    pub(crate) fn mark_late(
        &mut self,
        rules: &RuleSet,
        context: &mut Context,
        matcher: &Matcher,
    ) -> bool {
        if !self.masks || context.state().controls().masked().is_empty() {
            return false;
        }
        self.mark_matched(context);
        let mut named: Vec<Slice> = Vec::new();
        for (variable, items) in context.inputs().named_values() {
            let secret = |i: &&Item| secrecy(context, variable, Some(i.key)) == HeaderSecret::Whole;
            named.extend(items.iter().filter(secret).map(|i| i.value));
        }
        let masked = context.state().controls().masked().iter();
        let scalars: Vec<Variable> = masked
            .filter(|(variable, name)| name.is_empty() && variable.shape() == Shape::Scalar)
            .map(|m| m.0)
            .collect();
        for variable in scalars {
            named.extend(context.scalar(rules, variable));
        }
        for slice in named {
            self.marks.mark(slice);
        }
        // Records show values after transformations too.
        for (raw, result) in matcher.transformations() {
            if self.marks.covers(raw) {
                self.marks.mark(result);
            }
        }
        self.marks.look_again();
        true
    }

    /// Searches what a record was made from, as far as that has not been done.
    pub(super) fn mark_source(&mut self, context: &Context, record: &MatchedRule) {
        self.mark_by_text(context, record.source.received);
        self.mark_by_text(context, record.source.transformed);
    }

    /// A slice for a record: bounded, secrets masked.
    pub(crate) fn shown(&self, text: &Text, slice: Slice, most: usize) -> Vec<u8> {
        let slice = slice.part(0, most);
        let mut out = Vec::with_capacity(slice.len());
        match self.masks {
            true => self.marks.write(text, slice, &mut out),
            false => out.extend_from_slice(text.at(slice)),
        }
        out
    }

    /// The same for a slice that perhaps no rule matched, so that nobody has searched its text yet.
    pub(crate) fn shown_text(&mut self, context: &Context, slice: Slice, most: usize) -> Vec<u8> {
        let slice = slice.part(0, most);
        if self.masks {
            self.mark_by_text(context, slice);
        }
        self.shown(context.text(), slice, most)
    }

    /// A header's value for a record.
    pub(crate) fn shown_header(
        &mut self,
        context: &Context,
        variable: Variable,
        item: Item,
        most: usize,
    ) -> Vec<u8> {
        if self.masks {
            let secrecy = secrecy(context, variable, Some(item.key));
            self.mark_by_name(context.text(), item.value, secrecy);
        }
        self.shown_text(context, item.value, most)
    }

    /// An argument's value for a record.
    pub(crate) fn shown_field(&mut self, context: &Context, item: Item, most: usize) -> Vec<u8> {
        self.shown_header(context, Variable::Args, item, most)
    }

    /// The name of a header, a field or a file for a record.
    pub(crate) fn shown_name(&mut self, context: &Context, name: Slice, most: usize) -> Vec<u8> {
        let bytes = context.text().at(name.part(0, most)).to_vec();
        self.shown_bytes(context, bytes)
    }

    /// `COLLECTION:name` for a record. The collection is ours, so a client cannot hide it by sending it as a secret.
    fn shown_variable(&mut self, context: &Context, variable: Slice) -> Vec<u8> {
        let bytes = context.text().at(variable);
        let name = memchr::memchr(b':', bytes).map_or(bytes.len(), |colon| colon + 1);
        let mut shown = context.text().at(variable.part(0, name)).to_vec();
        let name = variable.part(name, name + MOST_BYTES);
        shown.extend(self.shown_name(context, name, MOST_BYTES));
        shown
    }

    /// Bytes that were put together for a record.
    fn shown_bytes(&mut self, context: &Context, bytes: Vec<u8>) -> Vec<u8> {
        if !self.masks {
            return bytes;
        }
        let bytes = mask::masked(&bytes, bytes.len());
        self.learn(context);
        self.known
            .as_ref()
            .map_or_else(|| bytes.clone(), |k| k.masked(&bytes))
    }

    /// Carries marks from pieces to the text made of them. The pieces stand in it one after another, without gaps.
    fn carry_marks(&mut self, pieces: &[Slice], whole: Slice) {
        if self.marks.is_empty() {
            return;
        }
        let mut at = 0;
        for &piece in pieces {
            let ranges: Vec<_> = self.marks.within(piece).collect();
            for range in ranges {
                self.marks
                    .mark(whole.part(at + range.start, at + range.end));
            }
            at += piece.len();
        }
    }

    /// Pieces as one text, bounded, secrets masked.
    pub(crate) fn put_together(&mut self, context: &Context, pieces: &[Slice]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let text = context.text();
        // Most messages and nearly all tags are the words of the rule.
        let is_of_rule = pieces.iter().all(|piece| text.is_literal(*piece));
        for &piece in pieces {
            // Each piece alone is bounded, and a message has as many of them as its author wrote.
            let room = MOST_BYTES.saturating_sub(bytes.len());
            bytes.extend_from_slice(&self.shown(text, piece, room));
        }
        match is_of_rule {
            true => bytes,
            false => self.shown_bytes(context, bytes),
        }
    }

    /// Where the recorded text has what the operator found.
    fn shown_span(&self, record: &MatchedRule) -> Option<Range<usize>> {
        let found = record.source.found.clone()?;
        match self.masks {
            true => {
                let shown = record.source.transformed.part(0, MOST_BYTES);
                Some(self.marks.shown_span(shown, found))
            }
            false => Some(found),
        }
    }

    /// Writes the texts of a record that hold bytes of a client, with what is known to be secret now.
    pub(crate) fn write_record(&mut self, context: &Context, record: &mut MatchedRule) {
        let text = context.text();
        let variable = record.source.variable;
        record.variable = variable.map_or_else(Vec::new, |v| self.shown_variable(context, v));
        record.value = self.shown(text, record.source.received, MOST_BYTES);
        record.transformed = self.shown(text, record.source.transformed, MOST_BYTES);
        record.span = self.shown_span(record);
        record.message = self.put_together(context, &record.source.message);
        record.data = self.put_together(context, &record.source.data);
        let tags = record.source.tags.iter();
        record.tags = tags.map(|tag| self.put_together(context, tag)).collect();
        record.version = self.put_together(context, &record.source.version);
        record.revision = self.put_together(context, &record.source.revision);
        let request = context.inputs().request();
        let host = request.first_field(text, "host");
        // Host and path go into every line of the error log, so they are searched even if no rule matched them.
        let host = host.map(|host| self.shown_text(context, host, MOST_BYTES));
        let connection = context.inputs().connection();
        let head = RequestLine {
            client: connection.client_address(),
            host: host.unwrap_or_default(),
            uri: self.shown_text(context, request.path(), MOST_BYTES),
            unique_id: connection.unique_id(),
        };
        record.log_line = log_line::write(record, &head);
    }
}

/// How much of a value its name makes secret.
fn secrecy(context: &Context, variable: Variable, key: Option<Slice>) -> HeaderSecret {
    let name = key.map(|k| context.text().at(k)).unwrap_or_default();
    if is_masked(context, variable, name) {
        return HeaderSecret::Whole;
    }
    match variable {
        Variable::RequestCookies => HeaderSecret::Whole,
        Variable::RequestHeaders | Variable::ResponseHeaders => mask::header_secret(name),
        Variable::Args
        | Variable::ArgsGet
        | Variable::ArgsPost
        | Variable::Env
        | Variable::FilesTmpContent
            if mask::is_secret_name(name) =>
        {
            HeaderSecret::Whole
        }
        _ => HeaderSecret::None,
    }
}

/// Whether a `sanitise...` action named it.
fn is_masked(context: &Context, variable: Variable, name: &[u8]) -> bool {
    let masked = |(of, wanted): &(Variable, Slice)| {
        // `sanitiseArg` names `ARGS`; the same arguments are in `ARGS_GET` and `ARGS_POST`.
        let same = *of == variable
            || (*of == Variable::Args
                && matches!(variable, Variable::ArgsGet | Variable::ArgsPost));
        same && context.text().at(*wanted).eq_ignore_ascii_case(name)
    };
    context.state().controls().masked().iter().any(masked)
}

/// The text without these secrets, wherever they stand in it. Those that are too short to be told from other text are
/// left.
#[must_use]
pub fn mask_known<S: AsRef<[u8]>>(text: &[u8], secrets: &[S]) -> Vec<u8> {
    let secrets: Vec<&[u8]> = secrets.iter().map(AsRef::as_ref).collect();
    KnownSecrets::new((0, 0, 0), &secrets, SHORTEST).masked(text)
}

/// Every value that its name makes secret.
pub(crate) fn secret_values(context: &Context) -> Vec<&[u8]> {
    let text = context.text();
    let mut values = Vec::new();
    let named = context.inputs().named_values().into_iter();
    // A claim is hidden in its own value only: many have words as values, and looking for them elsewhere would make the
    // records unreadable.
    for (variable, items) in named.filter(|(variable, _)| *variable != Variable::Identity) {
        for item in items {
            let value = text.at(item.value);
            let mut take = |range: Range<usize>| values.extend(value.get(range));
            match secrecy(context, variable, Some(item.key)) {
                HeaderSecret::None => {}
                HeaderSecret::Whole => take(0..value.len()),
                HeaderSecret::Credentials => take(mask::credentials(value)),
                HeaderSecret::Cookies => mask::cookie_values(value, &mut take),
                HeaderSecret::SetCookie => mask::set_cookie_value(value, &mut take),
            }
        }
    }
    let xml = context.inputs().body().xml().secrets().iter();
    values.extend(xml.map(|&secret| text.at(secret)));
    values
}
