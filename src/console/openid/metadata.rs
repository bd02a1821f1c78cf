//! What a provider says of itself (OpenID Connect Discovery 1.0, RFC 8414), as far as a login needs it.

use std::sync::Arc;

use serde::Deserialize;

use crate::config::ConsoleOpenId;
use crate::outbound::{Destination, Scheme, Url};

/// A provider's endpoints.
#[derive(Debug)]
pub(super) struct Metadata {
    /// Where the browser goes. It may have a query.
    pub(super) authorization: String,
    pub(super) token: Arc<Destination>,
    pub(super) keys: Arc<Destination>,
    /// Whether each answer names the issuer (RFC 9207).
    pub(super) names_issuer: bool,
    /// Whether a client shows its secret in Authorization, and not in the form.
    pub(super) takes_basic: bool,
}

#[derive(Debug, Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    code_challenge_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl Metadata {
    /// # Errors
    /// Why it is not used, in words.
    pub(super) fn parse(document: &[u8], settings: &ConsoleOpenId) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(document)
            .map_err(|error| format!("its discovery document is not as it must be: {error}"))?;
        // Another issuer's document would send codes to that one (RFC 8414, 3.3).
        if document.issuer != settings.issuer {
            return Err("its discovery document is of another issuer".to_owned());
        }
        let lacks = |list: &Option<Vec<String>>, word: &str| {
            list.as_ref()
                .is_some_and(|list| !list.iter().any(|known| known == word))
        };
        if lacks(&document.code_challenge_methods_supported, "S256") {
            return Err("it does not support PKCE with S256".to_owned());
        }
        let at = |name: &str, url: &str| {
            let there = settings.discovery.other(url);
            there
                .map(Arc::new)
                .map_err(|error| format!("its {name} {error}"))
        };
        let browser: Url = document
            .authorization_endpoint
            .parse()
            .map_err(|error| format!("its authorization_endpoint {error}"))?;
        if browser.scheme() == Scheme::Http && !settings.discovery.settings().allow_http {
            return Err("its authorization_endpoint must be \"https://\"".to_owned());
        }
        Ok(Self {
            token: at("token_endpoint", &document.token_endpoint)?,
            keys: at("jwks_uri", &document.jwks_uri)?,
            names_issuer: document.authorization_response_iss_parameter_supported,
            takes_basic: !lacks(
                &document.token_endpoint_auth_methods_supported,
                "client_secret_basic",
            ),
            authorization: document.authorization_endpoint,
        })
    }
}
