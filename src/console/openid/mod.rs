//! Logins by OpenID Connect: the authorization code flow with PKCE (RFC 6749, RFC 7636, RFC 9700).
//!
//! Invariants: a login ends only in the browser in which it began; a code is redeemed only with the issuer that it is for
//! (RFC 9207); nothing but a verified ID token for this client, with the nonce of this login, says who it is; nothing of a
//! request says where the browser goes; whoever has no role gets no session. All of it is asked outside of the threads that
//! serve clients, some logins at a time, and a provider that does not answer keeps no other login out.

mod attempt;
mod exchange;
mod metadata;

use std::sync::Arc;
use std::time::{Duration, Instant};

use identity::{KeySet, Reason};
use openssl::error::ErrorStack;
use openssl::sha::sha256;
use tokio::sync::{Mutex, Semaphore};

use attempt::Attempts;
pub(super) use attempt::LIFE;
use exchange::Flaw;
use metadata::Metadata;

use super::sessions::Identity;
use crate::admin::Fields;
use crate::config::ConsoleOpenId;
use crate::outbound::{Client, Request};

/// Logins that wait for the provider at once.
const MOST_AT_ONCE: usize = 8;
/// How long what a provider says of itself, and its keys, are used.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// How long a failure is not tried again.
const PAUSE: Duration = Duration::from_secs(5);
/// In bytes. Codes of providers have a tenth of it.
const LONGEST_CODE: usize = 2048;

/// What logs people in with their provider.
#[derive(Debug)]
pub(super) struct OpenId {
    client: Client,
    attempts: Attempts,
    places: Semaphore,
    provider: Mutex<Option<Provider>>,
}

/// What is known of a provider.
#[derive(Debug)]
struct Provider {
    settings: Arc<ConsoleOpenId>,
    asked: Instant,
    metadata: Result<Arc<Metadata>, String>,
    keys: Option<(Instant, Arc<KeySet>)>,
}

/// Why a login does not succeed.
#[derive(Debug)]
pub(super) enum OpenIdError {
    /// The provider is down, or not as it must be.
    Provider(String),
    /// Too many logins wait for it.
    Busy,
    /// What the browser brought, or what the provider says of it, is not good.
    Refused(String),
    /// Somebody is known, but has no role.
    NoRole(String),
    /// There is no randomness.
    Random(ErrorStack),
}

/// Where a login goes on.
pub(super) struct Departure {
    /// The provider's page.
    pub(super) url: String,
    /// What the browser must bring back.
    pub(super) cookie: String,
}

impl OpenId {
    pub(super) fn new(client: Client) -> Result<Self, ErrorStack> {
        Ok(Self {
            client,
            attempts: Attempts::new()?,
            places: Semaphore::new(MOST_AT_ONCE),
            provider: Mutex::default(),
        })
    }

    /// Begins a login.
    pub(super) async fn depart(
        &self,
        settings: &Arc<ConsoleOpenId>,
    ) -> Result<Departure, OpenIdError> {
        let metadata = self.metadata(settings).await?;
        let (attempt, cookie) = self.attempts.begin().map_err(OpenIdError::Random)?;
        let challenge = identity::thumbprint_text(&sha256(attempt.verifier.as_bytes()));
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs([
            ("response_type", "code"),
            ("client_id", &settings.client_id),
            ("redirect_uri", &settings.redirect),
            ("scope", &settings.scopes),
            ("state", &attempt.state),
            ("nonce", &attempt.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let there = &metadata.authorization;
        let joint = if there.contains('?') { '&' } else { '?' };
        Ok(Departure {
            url: format!("{there}{joint}{}", query.finish()),
            cookie,
        })
    }

    /// Ends a login that came back with this query and this cookie.
    pub(super) async fn arrive(
        &self,
        settings: &Arc<ConsoleOpenId>,
        query: &Fields<'_>,
        cookie: Option<&str>,
    ) -> Result<Identity, OpenIdError> {
        let refuse = |words: &str| OpenIdError::Refused(words.to_owned());
        let attempt = self.attempts.find(cookie.unwrap_or_default());
        let Some(attempt) = attempt.map_err(OpenIdError::Random)? else {
            return Err(refuse(
                "This login did not begin in this browser, or its time is over.",
            ));
        };
        // Before anything else of the query is believed, an error included.
        if !attempt.has_state(query.value("state")) {
            return Err(refuse("This answer is not for the login of this browser."));
        }
        if !self.attempts.use_up(&attempt) {
            return Err(refuse("This login came back before."));
        }
        let metadata = self.metadata(settings).await?;
        let issuer = query.given("iss");
        if issuer.is_some_and(|issuer| issuer != settings.issuer)
            || (metadata.names_issuer && issuer.is_none())
        {
            return Err(refuse(
                "This answer is not from the provider of this console.",
            ));
        }
        if let Some(error) = query.given("error") {
            let words = exchange::code_words(error);
            return Err(OpenIdError::Refused(format!("The provider says: {words}.")));
        }
        let code = query
            .given("code")
            .filter(|code| code.len() <= LONGEST_CODE);
        let code = code.ok_or_else(|| refuse("The provider gave no code."))?;
        let Ok(_place) = self.places.try_acquire() else {
            return Err(OpenIdError::Busy);
        };
        let token = exchange::redeem(&self.client, settings, &metadata, code, &attempt).await?;
        let verify = |keys: &KeySet| exchange::verify(&token, settings, keys, &attempt);
        let mut claims = verify(&*self.keys(settings, false).await?);
        // The provider may have new keys.
        if let Err(Flaw::Token(Reason::KeyUnknown)) = claims {
            claims = verify(&*self.keys(settings, true).await?);
        }
        let claims = claims.map_err(|flaw| {
            OpenIdError::Refused(format!("The ID token is not good: {}.", flaw.words()))
        })?;
        exchange::identity_of(settings, &claims)
    }

    async fn metadata(&self, settings: &Arc<ConsoleOpenId>) -> Result<Arc<Metadata>, OpenIdError> {
        // One asks; the others wait for the same answer.
        let mut provider = self.provider.lock().await;
        let known = provider.as_ref().filter(|known| {
            let life = if known.metadata.is_ok() { FRESH } else { PAUSE };
            known.settings == *settings && known.asked.elapsed() < life
        });
        if let Some(known) = known {
            return known.metadata.clone().map_err(OpenIdError::Provider);
        }
        let found = self.client.send(&settings.discovery, Request::get()).await;
        let found = found
            .map_err(|error| format!("{error}; {}", error.fault.fix()))
            .and_then(|answer| Metadata::parse(&answer.body, settings).map(Arc::new));
        if let Err(why) = &found {
            tracing::warn!(target: "console", issuer = settings.issuer, "nobody can log in with the provider: {why}");
        }
        *provider = Some(Provider {
            settings: Arc::clone(settings),
            asked: Instant::now(),
            metadata: found.clone(),
            keys: None,
        });
        found.map_err(OpenIdError::Provider)
    }

    /// Its keys; with `anew` those that it has now, unless they were asked for a moment ago.
    async fn keys(
        &self,
        settings: &Arc<ConsoleOpenId>,
        anew: bool,
    ) -> Result<Arc<KeySet>, OpenIdError> {
        let metadata = self.metadata(settings).await?;
        let mut provider = self.provider.lock().await;
        // A reload may have come in between.
        let known = provider
            .as_mut()
            .filter(|known| known.settings == *settings);
        let Some(provider) = known else {
            return Err(OpenIdError::Busy);
        };
        let life = if anew { PAUSE } else { FRESH };
        if let Some((asked, keys)) = &provider.keys
            && asked.elapsed() < life
        {
            return Ok(Arc::clone(keys));
        }
        let answer = self.client.send(&metadata.keys, Request::get()).await;
        let keys = answer
            .map_err(|error| format!("{error}; {}", error.fault.fix()))
            .and_then(|answer| {
                let parsed = KeySet::parse(&answer.body);
                let parsed = parsed.map_err(|error| format!("its keys cannot be used: {error}"));
                parsed.map(|parsed| Arc::new(parsed.keys))
            });
        let keys = keys.map_err(OpenIdError::Provider)?;
        provider.keys = Some((Instant::now(), Arc::clone(&keys)));
        Ok(keys)
    }
}
