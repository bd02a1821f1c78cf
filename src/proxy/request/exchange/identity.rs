//! Who is calling: checked right after the route is known, so that a request without a good token costs least; told to the
//! gateway and to the access line.

use std::fmt::Write;
use std::sync::Arc;
use std::time::SystemTime;

use http::header::{AUTHORIZATION, COOKIE};
use identity::Reason;
use pingora::http::RequestHeader;

use super::Exchange;
use crate::config::{Route, Upstream};
use crate::identity::{
    Caller, ForwardIdentity, Identified, NotExchanged, Request, RouteIdentity, ShownCertificate,
    TokenPlace, Unauthenticated, field_value, without_cookie,
};
use crate::proxy::shared::refusal::{Refusal, RefusalKind};
use crate::proxy::shared::refusal_code::RefusalCode;
use crate::route::normalize_host;
use crate::telemetry::{Counter, IdentityFacts};
use crate::time::seconds;

/// How often a token is looked at again after a fetch. The first one may have begun before the issuer had the token's key,
/// and the issuer may then be asked about the token.
const MOST_RENEWALS: usize = 3;

/// What is known of a request's caller.
#[derive(Debug, Default)]
pub(super) struct Identity {
    pub(super) caller: Option<Caller>,
    /// What the route demands on this listener; None if nobody is asked.
    demanded: Option<Arc<RouteIdentity>>,
    /// Why the caller was refused.
    reason: Option<&'static str>,
    /// The token that the gateway gets in the place of the client's.
    token: Option<Arc<str>>,
}

impl Exchange {
    /// Finds out who is calling, and refuses whoever the route does not want.
    pub(super) async fn check_identity(&mut self, route: &Route) -> Result<(), Refusal> {
        let listener = &self.connection.listener.name;
        let Some(demanded) = route.identity.get(listener).map(Arc::clone) else {
            return Ok(());
        };
        self.identity.demanded = Some(Arc::clone(&demanded));
        let fields: Vec<_> = self.received.headers().collect();
        let request = self.proof(&fields);
        let identify = || demanded.identify(&request, seconds(self.begun_at));
        let mut fetches = demanded.fetches();
        let mut identified = identify();
        for _ in 0..MOST_RENEWALS {
            let Err(why) = &identified else {
                break;
            };
            // Also if another request's fetch ended between our look and our question.
            let renewed = demanded.renewed(why, &request).await;
            let now = demanded.fetches();
            if !renewed && now == fetches {
                break;
            }
            fetches = now;
            identified = identify();
        }
        let identified = identified.and_then(|identified| match identified {
            // After everything else, so that a token that is refused for another reason is not used up.
            Identified::Caller(caller) => {
                let used = caller
                    .provider
                    .use_up(&caller.claims, seconds(self.begun_at));
                used.map_err(Unauthenticated::Token)?;
                Ok(Identified::Caller(caller))
            }
            Identified::Anonymous => Ok(Identified::Anonymous),
        });
        let (outcome, checked) = match identified {
            Ok(Identified::Anonymous) => ("anonymous", Ok(())),
            Ok(Identified::Caller(caller)) => {
                self.identity.caller = Some(caller);
                ("taken", Ok(()))
            }
            Err(why) => (why.name(), Err(self.unauthenticated(why))),
        };
        let counts = &self.front.metrics.identity_checks;
        counts.with(&route.name, outcome, Counter::count);
        checked
    }

    /// What of the request says who is calling.
    fn proof<'r>(&'r self, fields: &'r [(&'r [u8], &'r [u8])]) -> Request<'r> {
        let target = self.received.target();
        Request {
            fields,
            query: memchr::memchr(b'?', target).and_then(|at| target.get(at + 1..)),
            shown: self.shown(),
        }
    }

    /// The client certificate of the connection.
    fn shown(&self) -> Option<ShownCertificate<'_>> {
        let tls = self.connection.tls.as_ref()?;
        Some(ShownCertificate {
            certificate: tls.client.as_ref()?,
            trust: &tls.client_ca.as_ref()?.trust.name,
        })
    }

    fn unauthenticated(&mut self, why: Unauthenticated) -> Refusal {
        let host = self.received.host().and_then(normalize_host);
        let realm = host.unwrap_or_default();
        match why {
            Unauthenticated::Token(
                reason @ (Reason::KeysUnavailable
                | Reason::DeniedUnavailable
                | Reason::IntrospectionUnavailable
                | Reason::ReplayMemoryFull),
            ) => {
                self.identity.reason = Some(reason.name());
                Refusal::page(503, RefusalCode::Unauthenticated)
                    .because(reason.text())
                    .with(RefusalKind::RetryAfter(10))
            }
            Unauthenticated::Token(reason) => {
                self.identity.reason = Some(reason.name());
                Refusal::page(401, RefusalCode::Unauthenticated)
                    .because(reason.text())
                    .with(RefusalKind::Challenge(challenge(&realm, reason)))
            }
            Unauthenticated::Certificate(fault) => {
                self.identity.reason = Some(fault.name());
                Refusal::page(403, RefusalCode::ClientCertificate).because(fault.text())
            }
            Unauthenticated::Insufficient {
                caller,
                claim,
                words,
            } => {
                let has_token = caller.provider.certificate().is_none();
                self.identity.caller = Some(caller);
                self.identity.reason = Some("insufficient_scope");
                let words = words.join(" ");
                let refusal = Refusal::page(403, RefusalCode::InsufficientScope)
                    .because(format!("the caller's {claim} lacks {words}"));
                if !has_token {
                    return refusal;
                }
                let mut challenge =
                    format!("Bearer realm=\"{realm}\", error=\"insufficient_scope\"");
                if claim == "scope" {
                    // Writing to a string cannot fail.
                    let _ = write!(challenge, ", scope=\"{words}\"");
                }
                refusal.with(RefusalKind::Challenge(challenge))
            }
        }
    }

    /// Answers with the key set for gateways where the listener publishes it. Before routes: nobody is asked who they are,
    /// and no gateway sees the request.
    pub(super) fn check_key_set(&self) -> Result<(), Refusal> {
        // Not the last known one: a listener that is gone shows nothing.
        let listener = self.snapshot.listener(&self.connection.listener.name);
        let path = listener.and_then(|listener| listener.jwks_path.as_deref());
        if path.is_none_or(|path| path.as_bytes() != self.received.path()) {
            return Ok(());
        }
        if !matches!(self.received.method(), b"GET" | b"HEAD") {
            return Err(Refusal::page(405, RefusalCode::MethodNotAllowed)
                .with(RefusalKind::MethodNotAllowed("GET, HEAD".to_owned())));
        }
        let Some(signing) = &self.snapshot.config.signing else {
            return Err(Refusal::page(503, RefusalCode::Internal)
                .because("there is no [signing] table that can be used")
                .with(RefusalKind::RetryAfter(10)));
        };
        Err(
            Refusal::page(200, RefusalCode::KeySet).with(RefusalKind::KeySet {
                set: signing.jwks(),
                max_age: signing.jwks_max_age(),
            }),
        )
    }

    /// Exchanges the caller's token for one that the gateway takes, where the route says so. After the rules, so that no
    /// issuer is asked for a request that they refuse; before the wait for a place, which would be held meanwhile.
    pub(super) async fn exchange_token(&mut self, upstream: &Upstream) -> Result<(), Refusal> {
        let Identity {
            caller, demanded, ..
        } = &self.identity;
        let exchanger = demanded.as_ref().and_then(|d| d.exchanger.as_ref());
        let (Some(caller), Some(demanded), Some(exchanger)) = (caller, demanded, exchanger) else {
            return Ok(());
        };
        let fields: Vec<_> = self.received.headers().collect();
        let own = demanded.token_of(&self.proof(&fields)).unwrap_or_default();
        match caller.exchanged(exchanger, own, &upstream.name).await {
            Ok(token) => {
                self.identity.token = Some(token);
                Ok(())
            }
            Err(why) => {
                self.identity.reason = Some(why.name());
                Err(not_exchanged(why))
            }
        }
    }

    /// Makes the token for the gateway. Late, because it holds only for a minute.
    pub(super) fn sign_identity(&mut self, upstream: &Upstream) -> Result<(), Refusal> {
        let demanded = self.identity.demanded.as_ref();
        let is_signed = demanded.is_some_and(|i| i.forward == ForwardIdentity::Signed);
        let Some(caller) = self.identity.caller.as_ref().filter(|_| is_signed) else {
            return Ok(());
        };
        let failed = |why: String| Refusal::page(500, RefusalCode::Internal).because(why);
        let signing = self.snapshot.config.signing.as_ref();
        let signing = signing.ok_or_else(|| failed("there is no [signing] table".to_owned()))?;
        let client = self
            .client()
            .map(|client| identity::thumbprint_text(&client.sha256));
        // The body and the wait for a place may have taken longer than the token holds.
        let now = seconds(SystemTime::now());
        let claims = signing.claims_for(caller, &upstream.name, &self.id, client.as_deref(), now);
        let token = signing.sign(&claims, now).map_err(failed)?;
        self.identity.token = Some(token.into());
        Ok(())
    }

    /// Writes into the gateway's head what the route says about the caller.
    pub(super) fn introduce_caller(&self, out: &mut RequestHeader) -> pingora::Result<()> {
        let demanded = self.identity.demanded.as_ref();
        let Some(demanded) = demanded.filter(|d| d.forward != ForwardIdentity::Original) else {
            return Ok(());
        };
        remove_tokens(out, demanded)?;
        let Some(caller) = &self.identity.caller else {
            return Ok(());
        };
        if let Some(token) = &self.identity.token {
            out.insert_header(AUTHORIZATION, format!("Bearer {token}"))?;
        }
        if demanded.forward == ForwardIdentity::Claims {
            for (field, claim) in &caller.provider.fields {
                if let Some(value) = caller.value(claim).and_then(field_value) {
                    out.insert_header(field.clone(), value)?;
                }
            }
        }
        Ok(())
    }

    /// What the access line says; None if the route asks for no token.
    pub(super) fn identity_facts(&self) -> Option<IdentityFacts<'_>> {
        let Identity { caller, reason, .. } = &self.identity;
        if caller.is_none() && reason.is_none() {
            return None;
        }
        let claims = caller.as_ref().map(|caller| &caller.claims);
        Some(IdentityFacts {
            name: caller.as_ref().map(|caller| caller.provider.name.as_str()),
            issuer: claims.and_then(|claims| claims.issuer()),
            subject: caller.as_ref().and_then(Caller::logged_subject),
            token_id: claims.and_then(|claims| claims.id()),
            reason: *reason,
        })
    }
}

fn not_exchanged(why: NotExchanged) -> Refusal {
    match why {
        NotExchanged::Refused(code) => Refusal::page(403, RefusalCode::TokenExchange).because(
            format!("the gateways' issuer does not take the caller's token: {code}"),
        ),
        NotExchanged::Unavailable => Refusal::page(503, RefusalCode::TokenExchange)
            .because("the gateways' issuer cannot be asked for a token")
            .with(RefusalKind::RetryAfter(10)),
    }
}

/// RFC 6750, 3. Without a token there is no error, so that a client learns only that it needs one.
fn challenge(realm: &str, reason: Reason) -> String {
    let error = match reason {
        Reason::Missing => return format!("Bearer realm=\"{realm}\""),
        Reason::Repeated => "invalid_request",
        _ => "invalid_token",
    };
    format!(
        "Bearer realm=\"{realm}\", error=\"{error}\", error_description=\"{}\"",
        reason.text()
    )
}

/// Takes the client's token out of the gateway's head.
fn remove_tokens(out: &mut RequestHeader, demanded: &RouteIdentity) -> pingora::Result<()> {
    if demanded.forward.replaces_token() {
        // The gateway must find no other token there than the new one.
        out.remove_header(&AUTHORIZATION);
    }
    for provider in &demanded.providers {
        match &provider.place {
            TokenPlace::Authorization => {
                let value = out
                    .headers
                    .get(AUTHORIZATION)
                    .map(http::HeaderValue::as_bytes);
                let scheme = value.and_then(|value| value.get(..6));
                if scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer")) {
                    out.remove_header(&AUTHORIZATION);
                }
            }
            TokenPlace::ClientCertificate(_) => {}
            TokenPlace::Field(name) => drop(out.remove_header(name.as_str())),
            TokenPlace::Cookie(name) => {
                let fields: Vec<_> = out.headers.get_all(COOKIE).iter().cloned().collect();
                out.remove_header(&COOKIE);
                for field in fields {
                    if let Some(kept) = without_cookie(field.as_bytes(), name.as_bytes()) {
                        out.append_header(COOKIE, kept)?;
                    }
                }
            }
        }
    }
    Ok(())
}
