//! Variables with one value each.
//!
//! A variable without a value is None: then a rule does not run for it, not even with a negated operator.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::inputs::{Item, fields};
use super::Context;
use crate::calendar::UtcTime;
use crate::ruleset::RuleSet;
use crate::transform::Transformation;
use crate::variables::{Slice, Variable};

impl Context {
    /// The value of a variable that is no collection; None if it has none now.
    pub(crate) fn scalar(&mut self, rules: &RuleSet, variable: Variable) -> Option<Slice> {
        let (request, body) = (self.inputs.request(), self.inputs.body());
        match variable {
            Variable::RequestLine => Some(request.line()),
            Variable::RequestMethod => Some(request.method()),
            Variable::RequestProtocol => Some(request.protocol()),
            Variable::RequestUri => Some(request.uri()),
            Variable::RequestUriRaw => Some(request.target()),
            Variable::RequestFilename => Some(request.path()),
            Variable::RequestBasename => Some(request.basename()),
            Variable::QueryString => request.query(),
            Variable::RequestBody => body.text(),
            Variable::RequestBodyLength => body.length().map(|n| self.number(n)),
            Variable::ArgsCombinedSize => {
                let size = self.inputs.arguments().combined_size();
                Some(self.number(size as u64))
            }
            Variable::FilesCombinedSize => Some(self.number(body.multipart().files_size())),
            Variable::FullRequest => Some(self.full_request()),
            Variable::FullRequestLength => Some(self.full_request_length()),
            Variable::ReqbodyErrorMsg | Variable::ReqbodyProcessorErrorMsg => {
                Some(body.error().unwrap_or_default())
            }
            Variable::ReqbodyProcessor => {
                let processor = self.state.controls().processor();
                Some(processor.map_or(Slice::EMPTY, |p| rules.processor_name(p)))
            }
            Variable::MultipartName => Some(body.multipart().name()),
            Variable::MultipartFilename => Some(body.multipart().filename()),
            Variable::ServerName => Some(self.server_name()),
            Variable::AuthType => self.credentials().map(|(scheme, _)| scheme),
            Variable::RemoteUser => self.credentials().and_then(|(_, user)| user),
            Variable::HighestSeverity => Some(self.number(self.state.highest_severity().into())),
            Variable::MatchedVar => self.state.matching().value().map(|v| v.text),
            Variable::MatchedVarName => {
                let value = self.state.matching().value();
                value.map(|v| self.push_name(v))
            }
            Variable::Duration => {
                let elapsed = self.started.elapsed().as_micros();
                Some(self.number(u64::try_from(elapsed).unwrap_or(u64::MAX)))
            }
            // ModSecurity 2.9.13: rules compare this number to learn which features they may use.
            Variable::ModsecBuild => Some(self.text.push(b"020913000")),
            // No file of ours is behind a path, so nothing of it is left over.
            Variable::PathInfo => None,
            Variable::WebappId => Some(self.text.push(rules.settings().web_app_id.as_bytes())),
            Variable::SessionId => self.state.collections().identity(Variable::Session),
            Variable::UserId => self.state.collections().identity(Variable::User),
            other => match self.flag(other) {
                Some(set) => Some(rules.digit(u8::from(set))),
                None => self.of_response(other),
            },
        }
    }

    /// A variable that is 0 or 1; None for every other.
    fn flag(&self, variable: Variable) -> Option<bool> {
        let body = self.inputs.body();
        match variable {
            Variable::ReqbodyError | Variable::ReqbodyProcessorError => {
                Some(body.error().is_some())
            }
            Variable::UrlencodedError => Some(self.inputs.arguments().invalid_encoding()),
            Variable::InboundDataError => Some(body.is_over_limit()),
            Variable::OutboundDataError => Some(self.inputs.response().is_over_limit()),
            Variable::MscPcreLimitsExceeded => Some(self.state.limits_hit() > 0),
            other => body.multipart().flag(other),
        }
    }

    /// Variables of the response. Before it arrives they have no value, which is not the same as an empty one.
    fn of_response(&mut self, variable: Variable) -> Option<Slice> {
        // Every answer has these, so an empty one says that there is none yet.
        let answered = |slice: Slice| (!slice.is_empty()).then_some(slice);
        let response = self.inputs.response();
        match variable {
            Variable::ResponseStatus => answered(response.status()),
            Variable::ResponseProtocol => answered(response.protocol()),
            Variable::StatusLine => answered(response.status_line()),
            Variable::ResponseBody => response.body(),
            Variable::ResponseContentType => response.whole_field(&mut self.text, "content-type"),
            Variable::ResponseContentLength => {
                response.whole_field(&mut self.text, "content-length")
            }
            other => self.of_connection(other),
        }
    }

    fn of_connection(&mut self, variable: Variable) -> Option<Slice> {
        let connection = self.inputs.connection();
        match variable {
            Variable::RemoteAddr | Variable::RemoteHost | Variable::UserAgentIp => {
                let address = connection.client_address();
                Some(self.address(address))
            }
            Variable::RemotePort => Some(self.number(connection.client().port().into())),
            Variable::ServerAddr => {
                let address = connection.server_address();
                Some(self.address(address))
            }
            Variable::ServerPort => Some(self.number(connection.server().port().into())),
            Variable::UniqueId => Some(self.text.push(connection.unique_id().as_bytes())),
            time => self.time(time),
        }
    }

    fn number(&mut self, number: u64) -> Slice {
        self.text
            .push_number(i64::try_from(number).unwrap_or(i64::MAX))
    }

    fn server_name(&mut self) -> Slice {
        let Some(host) = self.inputs.request().first_field(&self.text, "host") else {
            return Slice::EMPTY;
        };
        let bytes = self.text.at(host);
        let end = match bytes.first() {
            // An IPv6 address has colons; the port follows its bracket (RFC 3986, 3.2.2).
            Some(b'[') => memchr::memchr(b']', bytes).map_or(bytes.len(), |i| i + 1),
            _ => memchr::memchr(b':', bytes).unwrap_or(bytes.len()),
        };
        host.part(0, end)
    }

    /// The schemes of Authorization, and the users of `Basic` (RFC 7617). All such fields are read: the upstream may
    /// use any of them.
    fn credentials(&mut self) -> Option<(Slice, Option<Slice>)> {
        let headers = self.inputs.request().headers();
        let (mut schemes, mut users) = (Vec::new(), Vec::new());
        for header in fields::values(&self.text, headers, "authorization") {
            let bytes = self.text.at(header);
            let Some(space) = memchr::memchr(b' ', bytes) else {
                continue;
            };
            let (scheme, coded) = bytes.split_at(space);
            schemes.push(scheme.to_vec());
            let mut plain = Vec::new();
            let decode = Transformation::Base64Decode;
            if scheme.eq_ignore_ascii_case(b"basic")
                && decode.apply(coded.trim_ascii(), &mut plain, None)
            {
                // A user's name has no colon (RFC 7617, 2).
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

    fn address(&mut self, address: IpAddr) -> Slice {
        let IpAddr::V4(address) = address else {
            return self.text.push(address.to_string().as_bytes());
        };
        // Rules look at it in every request, and the standard library's way costs four times as much.
        let mark = self.text.len();
        let [first, rest @ ..] = address.octets();
        self.text.push_number(first.into());
        for octet in rest {
            self.text.push(b".");
            self.text.push_number(octet.into());
        }
        self.text.since(mark)
    }

    fn full_request(&mut self) -> Slice {
        let mark = self.text.len();
        let request = self.inputs.request();
        self.text.repeat(request.line());
        for &Item { key, value } in request.headers() {
            self.text.push(b"\r\n");
            self.text.repeat(key);
            self.text.push(b": ");
            self.text.repeat(value);
        }
        self.text.push(b"\r\n\r\n");
        if let Some(body) = self.inputs.body().text() {
            self.text.repeat(body);
        }
        self.text.since(mark)
    }

    fn full_request_length(&mut self) -> Slice {
        let request = self.inputs.request();
        let headers = request.headers().iter();
        // As `full_request` writes them, with `: ` and CRLF.
        let headers: usize = headers.map(|h| h.key.len() + h.value.len() + 4).sum();
        let length = request.line().len() + 4 + headers;
        self.number(length as u64 + self.inputs.body().received())
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
