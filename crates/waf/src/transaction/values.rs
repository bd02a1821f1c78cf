//! Targets -> values: what a rule looks at in this transaction.

#![allow(
    clippy::indexing_slicing,
    reason = "indices were made with the list that they point into"
)]

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::fields;
use super::request::Item;
use super::tx::{Entry, Name};
use super::{RuleSet, Transaction};
use crate::calendar::UtcTime;
use crate::macros::Template;
use crate::rule::Removal;
use crate::variables::{Select, Slice, Target, TargetList, Value, Variable};

/// Names longer than this are kept once, not once for each rule that asks.
const LONG_NAME: usize = 128;

impl Transaction {
    /// All values of a target list, in the order ModSecurity v2 visits them: left to right, an exclusion
    /// removing only what stands before it.
    pub(super) fn collect(&mut self, rules: &RuleSet, list: &TargetList, out: &mut Vec<Value>) {
        let first = out.len();
        for target in &list.targets {
            if target.exclude {
                let mut at = first;
                out.retain(|v| {
                    at += 1;
                    at <= first || !self.is_covered(target, v)
                });
                continue;
            }
            if target.count {
                let before = out.len();
                self.select(rules, target.variable, &target.select, out);
                let count = out.len() - before;
                out.truncate(before);
                let text = self
                    .text
                    .push_number(i64::try_from(count).unwrap_or(i64::MAX));
                out.push(Value::new(
                    target.variable,
                    self.select_key(rules, &target.select),
                    text,
                ));
                continue;
            }
            self.select(rules, target.variable, &target.select, out);
        }
    }

    /// The name that a counted target shows.
    fn select_key(&mut self, rules: &RuleSet, select: &Select) -> Option<Slice> {
        match select {
            Select::Key(key) => Some(self.text.push(key)),
            Select::Slot(slot) => Some(self.text.push(rules.names.name(*slot).as_bytes())),
            Select::All | Select::Regex(_) | Select::Path(_) => None,
        }
    }

    /// Whether a `ctl:ruleRemoveTarget...` took this value from this rule.
    pub(super) fn is_taken(&self, rule: u32, value: &Value) -> bool {
        let of_rule = |r: &&Arc<Removal>| r.rules.contains(rule as usize);
        let mut removals = self.removed_targets.iter().filter(of_rule);
        removals.any(|r| r.targets.iter().any(|t| self.is_covered(t, value)))
    }

    /// Whether an exclusion means this value.
    fn is_covered(&self, target: &Target, value: &Value) -> bool {
        // The document's text and its attributes have a path and no name.
        if let (Variable::Xml, Select::Key(wanted)) = (target.variable, &target.select) {
            let body = &self.request.body;
            let is_text = body.xml_text == Some(value.text);
            // What a path selects is neither: it has a rule of its own.
            let is_selected = || body.xml_selected.iter().any(|(_, v)| *v == value.text);
            let path: &[u8] = if is_text { b"/*" } else { b"//@*" };
            return value.variable == Variable::Xml
                && **wanted == *path
                && (is_text || !is_selected());
        }
        let key = value.key.map(|k| self.text.at(k));
        target.covers(value.variable, key, self.text.at(value.text))
    }

    /// The values of one variable.
    pub(super) fn select(
        &mut self,
        rules: &RuleSet,
        variable: Variable,
        select: &Select,
        out: &mut Vec<Value>,
    ) {
        let split = self.request.query_arguments;
        match variable {
            Variable::Args => self.items(variable, select, |t| &t.request.arguments, out),
            Variable::ArgsGet => {
                self.items(variable, select, |t| &t.request.arguments[..split], out)
            }
            Variable::ArgsPost => {
                self.items(variable, select, |t| &t.request.arguments[split..], out)
            }
            Variable::ArgsNames => self.keys(variable, select, |t| &t.request.arguments, out),
            Variable::ArgsGetNames => {
                self.keys(variable, select, |t| &t.request.arguments[..split], out)
            }
            Variable::ArgsPostNames => {
                self.keys(variable, select, |t| &t.request.arguments[split..], out)
            }
            Variable::RequestHeaders => self.items(variable, select, |t| &t.request.headers, out),
            Variable::RequestHeadersNames => {
                self.keys(variable, select, |t| &t.request.headers, out)
            }
            Variable::RequestCookies => self.items(variable, select, |t| &t.request.cookies, out),
            Variable::RequestCookiesNames => {
                self.keys(variable, select, |t| &t.request.cookies, out)
            }
            Variable::ResponseHeaders => self.items(variable, select, |t| &t.response.headers, out),
            Variable::ResponseHeadersNames => {
                self.keys(variable, select, |t| &t.response.headers, out)
            }
            Variable::Files => self.items(variable, select, |t| &t.request.body.files, out),
            Variable::FilesNames => self.keys(variable, select, |t| &t.request.body.files, out),
            Variable::FilesSizes => {
                self.items(variable, select, |t| &t.request.body.file_sizes, out)
            }
            Variable::MultipartPartHeaders => {
                self.items(variable, select, |t| &t.request.body.part_headers, out)
            }
            Variable::FilesTmpNames | Variable::FilesTmpContent | Variable::Geo => {}
            Variable::Xml => self.xml(select, out),
            Variable::Tx => self.tx_values(rules, select, out),
            Variable::Env => self.environment_values(select, out),
            Variable::Ip
            | Variable::Global
            | Variable::Resource
            | Variable::Session
            | Variable::User => {
                self.persistent_values(rules, variable, select, out);
            }
            Variable::MatchedVars => self.matched_values(select, out),
            Variable::MatchedVarsNames => self.matched_names(select, out),
            Variable::Rule => self.rule_values(rules, select, out),
            scalar => {
                if let Some(text) = self.scalar(rules, scalar) {
                    let base = self.proposals.base(scalar);
                    out.push(Value::new(scalar, None, text).with_item(base, 0));
                }
            }
        }
    }

    fn items(
        &self,
        variable: Variable,
        select: &Select,
        of: impl Fn(&Self) -> &[Item],
        out: &mut Vec<Value>,
    ) {
        self.chosen(variable, select, of(self), |item| item.value, out);
    }

    /// The names of a collection, one for each value.
    fn keys(
        &self,
        variable: Variable,
        select: &Select,
        of: impl Fn(&Self) -> &[Item],
        out: &mut Vec<Value>,
    ) {
        self.chosen(variable, select, of(self), |item| item.key, out);
    }

    fn chosen(
        &self,
        variable: Variable,
        select: &Select,
        items: &[Item],
        text: impl Fn(&Item) -> Slice,
        out: &mut Vec<Value>,
    ) {
        let base = self.proposals.base(variable);
        for (index, item) in (0u32..).zip(items) {
            if matches!(select, Select::All) || select.matches(self.text.at(item.key)) {
                let value = Value::new(variable, Some(item.key), text(item));
                out.push(value.with_item(base, index));
            }
        }
    }

    /// `/*` is the text, `//@*` the attributes; all of XML is the one, then the others, then what paths select.
    fn xml(&self, select: &Select, out: &mut Vec<Value>) {
        let body = &self.request.body;
        let base = self.proposals.base(Variable::Xml);
        let text = body.xml_text.iter().map(|&text| (Part::Text, text));
        let attributes = body.xml_attributes.iter().map(|&a| (Part::Attribute, a));
        let selected = body.xml_selected.iter();
        let selected = selected.map(|&(path, value)| (Part::Selected(path), value));
        for (index, (part, text)) in (0u32..).zip(text.chain(attributes).chain(selected)) {
            let wanted = match (select, part) {
                (Select::All, _) => true,
                (Select::Path(path), part) => part == Part::Selected(*path),
                (Select::Key(path), Part::Attribute) => &**path == b"//@*",
                (Select::Key(path), Part::Text) => &**path != b"//@*",
                _ => false,
            };
            if wanted {
                out.push(Value::new(Variable::Xml, None, text).with_item(base, index));
            }
        }
    }

    fn tx_values(&mut self, rules: &RuleSet, select: &Select, out: &mut Vec<Value>) {
        let variable = Variable::Tx;
        if let Select::Slot(slot) = select {
            let text = match self.tx.entry(Name::Slot(*slot)) {
                Entry::Unset => return,
                Entry::Text(text) => text,
                Entry::Number(number) => self.text.push_number(number),
            };
            let key = Some(rules.slot_name(*slot));
            out.push(Value::new(variable, key, text));
            return;
        }
        let all: Vec<Name> = match select {
            Select::Regex(pattern) => {
                let known = pattern
                    .slots(rules.names.iter())
                    .iter()
                    .copied()
                    .map(Name::Slot);
                known.chain(self.tx.dynamic_names()).collect()
            }
            _ => self.tx.iter().map(|(name, _)| name).collect(),
        };
        for name in all {
            let key = self.tx.name_text(name, rules);
            let fits = matches!(name, Name::Slot(_)) && matches!(select, Select::Regex(_));
            if !fits && !select.matches(self.text.at(key)) {
                continue;
            }
            let text = match self.tx.entry(name) {
                Entry::Unset => continue,
                Entry::Text(text) => text,
                Entry::Number(number) => self.text.push_number(number),
            };
            out.push(Value::new(variable, Some(key), text));
        }
    }

    fn environment_values(&self, select: &Select, out: &mut Vec<Value>) {
        let chosen = self
            .environment
            .iter()
            .filter(|(name, _)| select.matches(self.text.at(*name)));
        out.extend(chosen.map(|&(key, text)| Value::new(Variable::Env, Some(key), text)));
    }

    fn persistent_values(
        &mut self,
        rules: &RuleSet,
        variable: Variable,
        select: &Select,
        out: &mut Vec<Value>,
    ) {
        let Some((_, key)) = self.opened.iter().find(|(v, _)| *v == variable) else {
            return;
        };
        for (name, value) in rules.store.variables(variable, key) {
            if select.matches(&name) {
                let key = Some(self.text.push(&name));
                let text = self.text.push(&value);
                out.push(Value::new(variable, key, text));
            }
        }
    }

    fn matched_values(&mut self, select: &Select, out: &mut Vec<Value>) {
        for index in 0..self.matching.values.len() {
            let value = self.matching.values[index];
            let name = self.push_name(value);
            if select.matches(self.text.at(name)) {
                out.push(Value::new(Variable::MatchedVars, Some(name), value.text));
            }
        }
    }

    fn matched_names(&mut self, select: &Select, out: &mut Vec<Value>) {
        for index in 0..self.matching.values.len() {
            let name = self.push_name(self.matching.values[index]);
            if select.matches(self.text.at(name)) {
                out.push(Value::new(Variable::MatchedVarsNames, Some(name), name));
            }
        }
    }

    fn rule_values(&mut self, rules: &RuleSet, select: &Select, out: &mut Vec<Value>) {
        let Some(rule) = self.matching.rule.and_then(|r| rules.rules.get(r as usize)) else {
            return;
        };
        let about = &rule.about;
        let number = |n: Option<u64>| n.map(|n| n.to_string());
        // As written, macros and all: a message that names itself must not be expanded for ever.
        let shown = |t: &Option<Template>| t.as_ref().map(|t| rules.show(t));
        let fields = [
            ("id", number(Some(rule.id))),
            ("rev", shown(&about.revision)),
            ("severity", number(about.severity.map(u64::from))),
            ("msg", shown(&about.message)),
            ("logdata", shown(&about.data)),
            ("ver", shown(&about.version)),
            ("maturity", number(about.maturity.map(u64::from))),
            ("accuracy", number(about.accuracy.map(u64::from))),
        ];
        for (name, text) in fields {
            let Some(text) = text.filter(|_| select.matches(name.as_bytes())) else {
                continue;
            };
            let key = Some(self.text.push(name.as_bytes()));
            let text = self.text.push(text.as_bytes());
            out.push(Value::new(Variable::Rule, key, text));
        }
    }

    /// `COLLECTION:name` of a value, as bytes of this transaction.
    pub(super) fn push_name(&mut self, value: Value) -> Slice {
        // What MATCHED_VARS holds already shows its own name.
        if matches!(
            value.variable,
            Variable::MatchedVars | Variable::MatchedVarsNames
        ) {
            return value.key.unwrap_or_default();
        }
        let long = value
            .key
            .filter(|k| k.len() > LONG_NAME)
            .map(|k| (value.variable, k));
        if let Some(&known) = long.and_then(|l| self.long_names.get(&l)) {
            return known;
        }
        let mut name = std::mem::take(&mut self.scratch);
        name.clear();
        value.write_name(&self.text, &mut name);
        let slice = self.text.push(&name);
        self.scratch = name;
        if let Some(long) = long {
            self.long_names.insert(long, slice);
        }
        slice
    }

    #[allow(clippy::too_many_lines)] // one arm a variable
    pub(super) fn scalar(&mut self, rules: &RuleSet, variable: Variable) -> Option<Slice> {
        let request = &self.request;
        let body = &request.body;
        // Before the response there is nothing, not an empty value.
        let answered = |slice: Slice| (!slice.is_empty()).then_some(slice);
        let flag = |set: bool| Some(rules.digit(u8::from(set)));
        let multipart = |read: fn(&crate::body::multipart::Flags) -> bool| {
            Some(rules.digit(u8::from(body.multipart.as_ref().is_some_and(read))))
        };
        match variable {
            Variable::RequestLine => Some(request.line),
            Variable::RequestMethod => Some(request.method),
            Variable::RequestProtocol => Some(request.protocol),
            Variable::RequestUri => Some(request.uri),
            Variable::RequestUriRaw => Some(request.target),
            Variable::RequestFilename => Some(request.path),
            Variable::RequestBasename => Some(request.basename),
            Variable::QueryString => request.query,
            Variable::RequestBody => body.text,
            Variable::RequestBodyLength => body.length.map(|n| self.number(n)),
            Variable::ArgsCombinedSize => {
                let size: usize = request
                    .arguments
                    .iter()
                    .map(|a| a.key.len() + a.value.len())
                    .sum();
                Some(self.number(size as u64))
            }
            Variable::FilesCombinedSize => Some(self.number(body.files_size)),
            Variable::FullRequest => Some(self.full_request()),
            Variable::FullRequestLength => Some(self.full_request_length()),
            Variable::ReqbodyError | Variable::ReqbodyProcessorError => flag(body.error.is_some()),
            Variable::ReqbodyErrorMsg | Variable::ReqbodyProcessorErrorMsg => {
                Some(body.error.unwrap_or_default())
            }
            Variable::ReqbodyProcessor => Some(
                self.controls
                    .processor
                    .map_or(Slice::EMPTY, |p| rules.processor_name(p)),
            ),
            Variable::UrlencodedError => flag(request.urlencoded_error),
            Variable::InboundDataError => flag(body.over_limit),
            Variable::OutboundDataError => flag(self.response.over_limit),
            Variable::MscPcreLimitsExceeded => flag(self.limits_hit > 0),
            Variable::MultipartStrictError => multipart(|m| m.strict_error()),
            Variable::MultipartBoundaryQuoted => multipart(|m| m.boundary_quoted),
            Variable::MultipartBoundaryWhitespace => multipart(|m| m.boundary_whitespace),
            Variable::MultipartDataBefore => multipart(|m| m.data_before),
            Variable::MultipartDataAfter => multipart(|m| m.data_after),
            Variable::MultipartHeaderFolding => multipart(|m| m.header_folding),
            Variable::MultipartLfLine => multipart(|m| m.lf_line),
            Variable::MultipartCrlfLfLines => multipart(|m| m.crlf_lf_lines()),
            Variable::MultipartMissingSemicolon => multipart(|m| m.missing_semicolon),
            Variable::MultipartInvalidQuoting => multipart(|m| m.invalid_quoting),
            Variable::MultipartInvalidPart => multipart(|m| m.invalid_part),
            Variable::MultipartInvalidHeaderFolding => multipart(|m| m.invalid_header_folding),
            Variable::MultipartFileLimitExceeded => multipart(|m| m.file_limit_exceeded),
            Variable::MultipartUnmatchedBoundary => multipart(|m| m.unmatched_boundary),
            Variable::MultipartName => Some(body.multipart_name),
            Variable::MultipartFilename => Some(body.multipart_filename),
            Variable::ResponseStatus => answered(self.response.status),
            Variable::ResponseProtocol => answered(self.response.protocol),
            Variable::StatusLine => answered(self.response.status_line),
            Variable::ResponseBody => self.response.body,
            Variable::ResponseContentType => self.whole_response_field("content-type"),
            Variable::ResponseContentLength => self.whole_response_field("content-length"),
            Variable::RemoteAddr | Variable::RemoteHost | Variable::UserAgentIp => {
                let address = self.connection.client.ip().to_canonical().to_string();
                Some(self.text.push(address.as_bytes()))
            }
            Variable::RemotePort => Some(self.number(self.connection.client.port().into())),
            Variable::ServerAddr => {
                let address = self.connection.server.ip().to_canonical().to_string();
                Some(self.text.push(address.as_bytes()))
            }
            Variable::ServerPort => Some(self.number(self.connection.server.port().into())),
            Variable::ServerName => Some(self.server_name()),
            Variable::UniqueId => {
                Some(self.text.push(self.connection.unique_id.clone().as_bytes()))
            }
            Variable::AuthType => self.credentials().map(|(scheme, _)| scheme),
            Variable::RemoteUser => self.credentials().and_then(|(_, user)| user),
            Variable::HighestSeverity => Some(self.number(self.highest_severity.into())),
            Variable::MatchedVar => self.matching.value.map(|v| v.text),
            Variable::MatchedVarName => self.matching.value.map(|v| self.push_name(v)),
            Variable::Duration => {
                let elapsed = self.started.elapsed().as_micros();
                Some(self.number(u64::try_from(elapsed).unwrap_or(u64::MAX)))
            }
            Variable::ModsecBuild => Some(self.text.push(b"020913000")),
            Variable::PathInfo => None,
            Variable::WebappId => Some(
                self.text
                    .push(self.rules.clone().settings().web_app_id.as_bytes()),
            ),
            Variable::SessionId => self.identity(Variable::Session),
            Variable::UserId => self.identity(Variable::User),
            time => self.time(time),
        }
    }

    fn number(&mut self, number: u64) -> Slice {
        self.text
            .push_number(i64::try_from(number).unwrap_or(i64::MAX))
    }

    fn identity(&self, collection: Variable) -> Option<Slice> {
        self.identities
            .iter()
            .find(|(v, _)| *v == collection)
            .map(|i| i.1)
    }

    fn server_name(&mut self) -> Slice {
        let Some(host) = self.first_field("host") else {
            return Slice::EMPTY;
        };
        let bytes = self.text.at(host);
        let end = match bytes.first() {
            Some(b'[') => memchr::memchr(b']', bytes).map_or(bytes.len(), |i| i + 1),
            _ => memchr::memchr(b':', bytes).unwrap_or(bytes.len()),
        };
        host.part(0, end)
    }

    /// The schemes of Authorization, and the users of `Basic`: of every such field, as one list.
    fn credentials(&mut self) -> Option<(Slice, Option<Slice>)> {
        let (mut schemes, mut users) = (Vec::new(), Vec::new());
        for header in fields::values(&self.text, &self.request.headers, "authorization") {
            let bytes = self.text.at(header);
            let Some(space) = memchr::memchr(b' ', bytes) else {
                continue;
            };
            let (scheme, coded) = bytes.split_at(space);
            schemes.push(scheme.to_vec());
            let mut plain = Vec::new();
            let decode = crate::transform::Transformation::Base64Decode;
            if scheme.eq_ignore_ascii_case(b"basic")
                && decode.apply(coded.trim_ascii(), &mut plain, None)
            {
                plain.truncate(memchr::memchr(b':', &plain).unwrap_or(plain.len()));
                users.push(plain);
            }
        }
        let mut joined = |all: Vec<Vec<u8>>| {
            let whole = all.join(&b", "[..]);
            (!all.is_empty()).then(|| self.text.push(&whole))
        };
        let users = joined(users);
        Some((joined(schemes)?, users))
    }

    fn full_request(&mut self) -> Slice {
        let mark = self.text.len();
        self.text.repeat(self.request.line);
        for index in 0..self.request.headers.len() {
            let Item { key, value } = self.request.headers[index];
            self.text.push(b"\r\n");
            self.text.repeat(key);
            self.text.push(b": ");
            self.text.repeat(value);
        }
        self.text.push(b"\r\n\r\n");
        if let Some(body) = self.request.body.text {
            self.text.repeat(body);
        }
        self.text.since(mark)
    }

    fn full_request_length(&mut self) -> Slice {
        let request = &self.request;
        let headers: usize = request
            .headers
            .iter()
            .map(|h| h.key.len() + h.value.len() + 4)
            .sum();
        let length = request.line.len() + 4 + headers;
        let body = request.body.received;
        self.number(length as u64 + body)
    }

    /// `TIME...`, in UTC.
    fn time(&mut self, variable: Variable) -> Option<Slice> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let clock = UtcTime::at(now);
        let number = match variable {
            Variable::Time => {
                let text = format!("{:02}:{:02}:{:02}", clock.hour, clock.minute, clock.second);
                return Some(self.text.push(text.as_bytes()));
            }
            Variable::TimeEpoch => now,
            Variable::TimeSec => clock.second,
            Variable::TimeMin => clock.minute,
            Variable::TimeHour => clock.hour,
            Variable::TimeDay => clock.day,
            // As ModSecurity: months count from 0, Sunday is 0.
            Variable::TimeMon => clock.month - 1,
            Variable::TimeWday => clock.weekday,
            Variable::TimeYear => clock.year,
            _ => return None,
        };
        Some(self.number(number))
    }
}

/// What a value of an XML document is of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Text,
    Attribute,
    Selected(u32),
}
