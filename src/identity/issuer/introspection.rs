//! Whether a token still holds, as its issuer says (RFC 7662).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use identity::{Claims, Introspection};

use super::asking::{Asker, AskingBounds, Endpoint, EndpointAt, OwnClient, Said};
use super::discovery::Discovery;
use super::error::IssuerError;
use crate::outbound::Response;
use crate::time::seconds;

/// Asks an issuer whether tokens still hold.
pub type Introspector = Asker<IntrospectionSource>;

/// Where an issuer is asked, as whom, and how long its answers count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntrospectionSource {
    /// The name of its table.
    pub name: String,
    /// Where it is asked.
    pub at: EndpointAt,
    /// Who we are there.
    pub client: OwnClient,
    /// How long an answer counts that says that a token holds; never past the token's end.
    pub max_age: Duration,
    /// Beyond the token's `exp`, in seconds.
    pub clock_skew: u64,
    /// Whether tokens are taken that say nothing themselves.
    pub takes_opaque: bool,
    /// How much of everything.
    pub bounds: AskingBounds,
}

impl IntrospectionSource {
    /// Itself as text for comparison, without secrets.
    #[must_use]
    pub fn describe(&self) -> String {
        let to = self.at.destination();
        format!(
            "{} {:?} {} {:?} {}",
            to.url(),
            to.settings(),
            self.client.name,
            self.max_age,
            self.takes_opaque
        )
    }
}

impl Endpoint for IntrospectionSource {
    /// The token.
    type Question = String;
    type Good = Arc<Claims>;
    const WHAT: &'static str = "introspection";
    const MEMBER: &'static str = "introspection_endpoint";
    const OTHERWISE: &'static str = "those that need it are not taken";

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
        document.introspection_endpoint.as_ref()
    }

    fn form<'q>(&'q self, token: &'q String) -> Vec<(&'q str, &'q str)> {
        vec![("token", token), ("token_type_hint", "access_token")]
    }

    fn read(&self, url: &str, answer: &Response) -> Result<Said<Arc<Claims>>, IssuerError> {
        match Introspection::parse(&answer.body) {
            Ok(Introspection::Active(claims)) => Ok(Said::Good(Arc::new(claims))),
            Ok(Introspection::Inactive) => Ok(Said::Refused("inactive")),
            Err(why) => Err(Self::no_answer(url.to_owned(), why)),
        }
    }

    /// It answers about every token, so anything else is no answer.
    fn read_failure(
        &self,
        _url: &str,
        _answer: &Response,
    ) -> Option<Result<Said<Arc<Claims>>, IssuerError>> {
        None
    }

    fn no_answer(url: String, why: &'static str) -> IssuerError {
        IssuerError::Introspection { url, why }
    }

    fn age(&self, claims: &Arc<Claims>) -> Duration {
        let since = seconds(SystemTime::now());
        let left = claims.expires().map(|end| {
            let end = end.saturating_add(self.clock_skew);
            Duration::from_secs(end.saturating_sub(since))
        });
        left.map_or(self.max_age, |left| left.min(self.max_age))
    }
}
