//! What redirects, fixed answers and header fields can say of a request.

use std::borrow::Cow;

use serde_json::Value;

use super::Exchange;
use crate::hex::hex;
use crate::limits::Head;
use crate::proxy::shared::page::RefusalLook;
use crate::proxy::shared::refusal_code::RefusalCode;
use crate::route::normalize_host;
use crate::transform::{Facts, FieldEdit, SecurityHeaders, TlsFact, Variable};

impl Exchange {
    /// What listener and route change in the fields that the gateway gets.
    pub(super) fn request_edits(&self) -> Vec<FieldEdit> {
        let mut edits = Vec::new();
        self.listener.request_fields.make(self, &mut edits);
        if let Some(route) = &self.route {
            route.request_fields.make(self, &mut edits);
        }
        edits
    }

    /// What the listener changes in the fields that a client gets, whoever answers.
    pub(super) fn listener_edits(&self) -> Vec<FieldEdit> {
        self.edits_with(self.listener.security_headers.as_deref())
    }

    fn edits_with(&self, headers: Option<&SecurityHeaders>) -> Vec<FieldEdit> {
        let mut edits = Vec::new();
        if let Some(headers) = headers {
            headers.change_answer(&mut edits);
        }
        self.listener.response_fields.make(self, &mut edits);
        edits
    }

    /// The listener's fields and pages, and what lets a page of another origin read the refusal: without that no page could
    /// tell it from a network that fails. Not where the route must not be noticed.
    pub(super) fn refusal_look(&self, code: RefusalCode) -> RefusalLook {
        let mut edits = self.listener_edits();
        let route = self.route.as_deref().filter(|_| !code.hides_route());
        if let Some(cors) = route.and_then(|route| route.cors.as_ref()) {
            cors.change_answer(self.received.origin(), &mut edits);
        }
        RefusalLook::new(&self.listener, route, edits)
    }

    /// What listener and route change in an answer that the route has.
    pub(super) fn answer_edits(&self) -> Vec<FieldEdit> {
        let route = self.route.as_ref();
        let headers = route.and_then(|route| route.security_headers.as_deref());
        let headers = headers.or(self.listener.security_headers.as_deref());
        let mut edits = self.edits_with(headers);
        if let Some(route) = route {
            if let Some(cors) = &route.cors {
                cors.change_answer(self.received.origin(), &mut edits);
            }
            route.response_fields.make(self, &mut edits);
        }
        edits
    }

    fn tls_fact(&self, fact: TlsFact) -> Option<Cow<'_, [u8]>> {
        let tls = self.connection.tls.as_ref()?;
        let client = tls.client.as_ref();
        Some(match fact {
            TlsFact::Version => tls.version.as_bytes().into(),
            TlsFact::Cipher => tls.cipher.as_bytes().into(),
            TlsFact::Sni => tls.sni.as_deref()?.as_bytes().into(),
            TlsFact::ClientSubject => client?.subject.as_bytes().into(),
            TlsFact::ClientSha256 => hex(&client?.sha256).into_bytes().into(),
        })
    }
}

impl Facts for Exchange {
    fn text(&self, variable: &Variable) -> Option<Cow<'_, [u8]>> {
        let route = self.route.as_deref();
        let received = &self.received;
        Some(match variable {
            Variable::Path => received.path().into(),
            Variable::Query => received.query()?.into(),
            Variable::Below => route?.claim.below(received.path()).into(),
            Variable::Host => normalize_host(received.host()?)?.into_bytes().into(),
            Variable::Group(name) => {
                let regex = route?.path_regex.as_ref()?;
                regex.group(name, received.path())?.into()
            }
            Variable::Client => self
                .client
                .ip()
                .to_canonical()
                .to_string()
                .into_bytes()
                .into(),
            Variable::RequestId => self.id.as_bytes().into(),
            Variable::Method => received.method().into(),
            Variable::Route => route?.name.as_bytes().into(),
            Variable::Listener => self.listener.name.as_bytes().into(),
            // It is no text but a value, which is asked for by itself.
            Variable::Claim(_) => return None,
            Variable::Tls(fact) => return self.tls_fact(*fact),
        })
    }

    fn claim(&self, name: &str) -> Option<&Value> {
        self.identity.caller.as_ref()?.value(name)
    }
}
