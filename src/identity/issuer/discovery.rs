//! The discovery document of an issuer (OpenID Connect Discovery 1.0, 4; RFC 8414).

use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;

use super::answered::Answered;
use super::error::{IssuerError, shown};
use crate::outbound::{Client, Destination, DestinationError, Fault, Request};

/// Where an issuer's document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveryAt {
    openid: Arc<Destination>,
    /// Asked where the other place has nothing.
    oauth: Arc<Destination>,
}

/// What an issuer says about itself. Endpoints are as it wrote them: [`Discovery::endpoint`] judges them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Discovery {
    /// Itself; compared exactly.
    pub issuer: String,
    /// Its key set.
    pub jwks_uri: Option<String>,
    /// Where people log in.
    pub authorization_endpoint: Option<String>,
    /// Where codes become tokens.
    pub token_endpoint: Option<String>,
    /// Where it says whether a token still holds (RFC 7662).
    pub introspection_endpoint: Option<String>,
    /// Where people log out.
    pub end_session_endpoint: Option<String>,
    /// Whether answers of the authorization endpoint name the issuer (RFC 9207).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
    /// Where the document was.
    #[serde(skip)]
    pub url: String,
    /// About the answer that brought it.
    #[serde(skip)]
    pub answered: Answered,
}

impl DiscoveryAt {
    /// The places of the issuer at this destination, which is its URL.
    ///
    /// # Errors
    /// Its URL has no room for them.
    pub fn of(issuer: &Destination) -> Result<Self, DestinationError> {
        let path = issuer.url().path().trim_end_matches('/');
        let at = |path: String| Ok(Arc::new(issuer.with_path(&path)?));
        Ok(Self {
            openid: at(format!("{path}/.well-known/openid-configuration"))?,
            // RFC 8414, 3: between the host and the path.
            oauth: at(format!("/.well-known/oauth-authorization-server{path}"))?,
        })
    }

    /// The first place.
    #[must_use]
    pub fn destination(&self) -> &Arc<Destination> {
        &self.openid
    }
}

/// Fetches the document of this issuer.
///
/// # Errors
/// There is none, or it is another issuer's.
pub async fn discover(
    client: &Client,
    at: &DiscoveryAt,
    issuer: &str,
) -> Result<Discovery, IssuerError> {
    let ask = |to| client.send(to, Request::get().accepting("application/json"));
    let (url, answer) = match ask(&at.openid).await {
        Ok(answer) => (at.openid.url(), answer),
        Err(error) => match &error.fault {
            Fault::Status(answer) if answer.status == StatusCode::NOT_FOUND => {
                // Its fault is shown, because most issuers have the first place.
                let answer = ask(&at.oauth).await.map_err(|_| error)?;
                (at.oauth.url(), answer)
            }
            _ => return Err(error.into()),
        },
    };
    let url = url.to_string();
    let mut found = match Discovery::parse(&answer.body) {
        Ok(found) => found,
        Err(why) => return Err(IssuerError::Document { url, why }),
    };
    // OpenID Connect Discovery 1.0, 4.3: else one issuer could speak for another.
    if found.issuer != issuer {
        return Err(IssuerError::OtherIssuer {
            url,
            found: shown(&found.issuer),
            expected: issuer.to_owned(),
        });
    }
    found.url = url;
    found.answered = Answered::of(&answer);
    Ok(found)
}

impl Discovery {
    /// Reads a document. Whose it is, is not checked.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|error| shown(&error.to_string()))
    }

    /// An endpoint of the document, under the settings of the issuer's own destination.
    ///
    /// # Errors
    /// It is missing, or no URL that we ask.
    pub fn endpoint(
        &self,
        member: &'static str,
        url: Option<&String>,
        base: &Destination,
    ) -> Result<Arc<Destination>, IssuerError> {
        let url = url.ok_or_else(|| IssuerError::Document {
            url: self.url.clone(),
            why: format!("it has no \"{member}\""),
        })?;
        let to = base.other(url).map_err(|error| IssuerError::Endpoint {
            member,
            // A query may hold a secret.
            found: shown(url.split(['?', '#']).next().unwrap_or_default()),
            why: error.to_string(),
        })?;
        Ok(Arc::new(to))
    }
}
