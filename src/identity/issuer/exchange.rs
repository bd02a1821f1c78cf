//! Another issuer's token for a caller's token (RFC 8693): the one that a gateway takes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::asking::{Asker, AskingBounds, Endpoint, EndpointAt, OwnClient, Said};
use super::discovery::Discovery;
use super::error::{IssuerError, shown};
use crate::outbound::Response;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// Where the issuer does not say how long its token holds (RFC 8693, 2.2.1 recommends that it does).
const UNSAID_AGE: Duration = Duration::from_secs(60);
/// How long a gateway may take to look at a token, and its clock may be ahead.
const MARGIN: Duration = Duration::from_secs(15);
/// In bytes: a gateway's head has no room for more.
const LONGEST: usize = 8 * 1024;

/// Exchanges tokens at an issuer.
pub type Exchanger = Asker<ExchangeSource>;

/// Where tokens are exchanged, as whom, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeSource {
    /// The name of its table.
    pub name: String,
    /// Where it is asked.
    pub at: EndpointAt,
    /// Who we are there.
    pub client: OwnClient,
    /// Whom the token is for; None for the name of the upstream.
    pub audience: Option<String>,
    /// The URI of what the token is for (RFC 8707).
    pub resource: Option<String>,
    /// What the token is to allow, with blanks in between.
    pub scope: Option<String>,
    /// What callers' tokens are to the issuer.
    pub subject_type: TokenType,
    /// The longest that a token is used.
    pub max_age: Duration,
    /// How much of everything.
    pub bounds: AskingBounds,
}

/// What a token is (RFC 8693, 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// An access token, whatever it looks like.
    AccessToken,
    /// An ID token of OpenID Connect.
    IdToken,
    /// A JSON Web Token.
    Jwt,
}

impl TokenType {
    /// The words in the configuration.
    pub const ALL: [(&'static str, Self); 3] = [
        ("access_token", Self::AccessToken),
        ("id_token", Self::IdToken),
        ("jwt", Self::Jwt),
    ];

    fn uri(self) -> &'static str {
        match self {
            Self::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Self::IdToken => "urn:ietf:params:oauth:token-type:id_token",
            Self::Jwt => "urn:ietf:params:oauth:token-type:jwt",
        }
    }
}

/// Which token is exchanged, and for whom.
pub struct ExchangeQuestion {
    /// The caller's token.
    pub token: String,
    /// Whom the new one is for.
    pub audience: String,
}

/// A token for a gateway. Never shown.
#[derive(Clone)]
pub struct ExchangedToken {
    /// Itself.
    pub token: Arc<str>,
    /// How long the issuer says that it holds, if it says so.
    pub holds: Option<Duration>,
}

impl fmt::Debug for ExchangedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangedToken")
            .field("holds", &self.holds)
            .finish_non_exhaustive()
    }
}

impl ExchangedToken {
    /// Reads an answer (RFC 8693, 2.2.1).
    ///
    /// # Errors
    /// Why it has no token for a gateway. Never a part of the answer but for the types in it.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        // Without serde's words, which may quote a token.
        let object: Map<String, Value> =
            serde_json::from_slice(body).map_err(|_| "it is no JSON object".to_owned())?;
        let text = |name: &str| object.get(name).and_then(Value::as_str);
        let token = text("access_token").ok_or("it has no \"access_token\"")?;
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
        if token.is_empty() || token.len() > LONGEST || !token.bytes().all(is_token) {
            return Err(format!(
                "its \"access_token\" is none that Authorization can hold, of 1 to {LONGEST} bytes"
            ));
        }
        let kind = text("token_type").ok_or("it has no \"token_type\"")?;
        if !kind.eq_ignore_ascii_case("bearer") {
            let kind = shown(kind);
            return Err(format!("its \"token_type\" is \"{kind}\", not \"Bearer\""));
        }
        let holds = match object.get("expires_in") {
            None => None,
            // Some write it as text.
            Some(value) => Some(
                value
                    .as_u64()
                    .or_else(|| value.as_str()?.parse().ok())
                    .ok_or("its \"expires_in\" is no number of seconds")?,
            ),
        };
        Ok(Self {
            token: token.into(),
            holds: holds.map(Duration::from_secs),
        })
    }
}

impl ExchangeSource {
    /// Whom a token for this upstream is for.
    #[must_use]
    pub fn audience_for<'a>(&'a self, upstream: &'a str) -> &'a str {
        self.audience.as_deref().unwrap_or(upstream)
    }

    /// Itself as text for comparison, without secrets.
    #[must_use]
    pub fn describe(&self) -> String {
        let to = self.at.destination();
        format!(
            "{} {:?} {} {:?} {:?} {:?} {:?} {:?}",
            to.url(),
            to.settings(),
            self.client.name,
            self.audience,
            self.resource,
            self.scope,
            self.subject_type,
            self.max_age
        )
    }
}

impl Endpoint for ExchangeSource {
    type Question = ExchangeQuestion;
    type Good = ExchangedToken;
    const WHAT: &'static str = "exchange";
    const MEMBER: &'static str = "token_endpoint";
    const OTHERWISE: &'static str = "requests whose callers' tokens must be exchanged get 503";

    fn name(&self) -> &str {
        &self.name
    }

    fn at(&self) -> &EndpointAt {
        &self.at
    }

    fn client(&self) -> &OwnClient {
        &self.client
    }

    fn bounds(&self) -> AskingBounds {
        self.bounds
    }

    fn named_in(document: &Discovery) -> Option<&String> {
        document.token_endpoint.as_ref()
    }

    /// RFC 8693, 2.1.
    fn form<'q>(&'q self, question: &'q ExchangeQuestion) -> Vec<(&'q str, &'q str)> {
        let mut form = vec![
            ("grant_type", GRANT),
            ("subject_token", question.token.as_str()),
            ("subject_token_type", self.subject_type.uri()),
            ("requested_token_type", TokenType::AccessToken.uri()),
            ("audience", question.audience.as_str()),
        ];
        form.extend(self.resource.as_deref().map(|uri| ("resource", uri)));
        form.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        form
    }

    fn read(&self, url: &str, answer: &Response) -> Result<Said<ExchangedToken>, IssuerError> {
        match ExchangedToken::parse(&answer.body) {
            Ok(token) => Ok(Said::Good(token)),
            Err(why) => Err(IssuerError::Exchange {
                url: url.to_owned(),
                why,
            }),
        }
    }

    /// RFC 8693, 2.2.2 and RFC 6749, 5.2: some codes are about the token, the others about us.
    fn read_failure(
        &self,
        url: &str,
        answer: &Response,
    ) -> Option<Result<Said<ExchangedToken>, IssuerError>> {
        if !matches!(answer.status.as_u16(), 400 | 403) {
            return None;
        }
        let body: Value = serde_json::from_slice(&answer.body).ok()?;
        match body.get("error")?.as_str()? {
            "invalid_request" => Some(Ok(Said::Refused("invalid_request"))),
            "invalid_grant" => Some(Ok(Said::Refused("invalid_grant"))),
            "access_denied" => Some(Ok(Said::Refused("access_denied"))),
            "invalid_client" => Some(Err(IssuerError::Client {
                url: url.to_owned(),
                status: answer.status.as_u16(),
            })),
            code => Some(Err(IssuerError::Exchange {
                url: url.to_owned(),
                why: format!("it answers \"{}\"", shown(code)),
            })),
        }
    }

    fn no_answer(url: String, why: &'static str) -> IssuerError {
        IssuerError::Exchange {
            url,
            why: why.to_owned(),
        }
    }

    fn age(&self, token: &ExchangedToken) -> Duration {
        let Some(holds) = token.holds else {
            return UNSAID_AGE.min(self.max_age);
        };
        // A short one is used as well, for the requests that wait for it.
        let margin = MARGIN.min(holds / 2);
        holds.saturating_sub(margin).min(self.max_age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_bearer_token_for_a_gateway() {
        let long = format!(
            r#"{{"access_token":"{}","token_type":"Bearer"}}"#,
            "a".repeat(LONGEST + 1)
        );
        for (body, said) in [
            (
                r#"{"access_token":"a.b-c_d~e+f/g==","token_type":"Bearer"}"#,
                None,
            ),
            (
                r#"{"access_token":"a","token_type":"bearer","expires_in":300}"#,
                None,
            ),
            (
                r#"{"access_token":"a","token_type":"Bearer","expires_in":"300"}"#,
                None,
            ),
            (
                r#"{"access_token":"a","token_type":"Bearer","expires_in":-1}"#,
                Some("expires_in"),
            ),
            (
                r#"{"access_token":"a","token_type":"Bearer","expires_in":"soon"}"#,
                Some("expires_in"),
            ),
            (
                r#"{"access_token":"a","token_type":"DPoP"}"#,
                Some("\"DPoP\", not \"Bearer\""),
            ),
            (
                r#"{"access_token":"a","token_type":"N_A"}"#,
                Some("not \"Bearer\""),
            ),
            (r#"{"access_token":"a"}"#, Some("no \"token_type\"")),
            (r#"{"token_type":"Bearer"}"#, Some("no \"access_token\"")),
            (
                r#"{"access_token":"","token_type":"Bearer"}"#,
                Some("none that Authorization"),
            ),
            (
                r#"{"access_token":"a b","token_type":"Bearer"}"#,
                Some("none that Authorization"),
            ),
            (
                r#"{"access_token":"a\r\nX: 1","token_type":"Bearer"}"#,
                Some("none that Authorization"),
            ),
            (
                r#"{"access_token":7,"token_type":"Bearer"}"#,
                Some("no \"access_token\""),
            ),
            (&long, Some("none that Authorization")),
            ("[]", Some("no JSON object")),
            ("<html>", Some("no JSON object")),
        ] {
            match (ExchangedToken::parse(body.as_bytes()), said) {
                (Ok(_), None) => {}
                (Err(why), Some(said)) => assert!(why.contains(said), "{body}: {why}"),
                (parsed, _) => panic!("{body}: {parsed:?}"),
            }
        }
    }

    #[test]
    fn the_token_is_never_shown() {
        let token = ExchangedToken::parse(br#"{"access_token":"secret","token_type":"Bearer"}"#);
        assert!(!format!("{:?}", token.unwrap()).contains("secret"));
    }
}
