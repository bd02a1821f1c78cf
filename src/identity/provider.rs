//! One issuer, with its keys and what it must say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use identity::{
    CacheKey, Claims, Expectations, Key, KeySet, Reason, Token, TokenCache, verify_signature,
};
use tokio::runtime::Handle;

use super::certificate::{CertificateFault, CertificateRule};
use super::issuer::{Introspector, IssuerError, IssuerKeys, Known, LiveDenied, Said, Source as _};
use super::once::Once;
use crate::outbound::Client;
use crate::tls::ClientFields;

/// Verified tokens that an issuer's cache holds.
const CACHED: usize = 16 * 1024;
/// In bytes. Tokens that say nothing themselves are names, and issuers choose short ones.
const LONGEST_OPAQUE: usize = 4096;

/// An issuer whose tokens are taken.
#[derive(Debug)]
pub struct Provider {
    /// The name of its table.
    pub name: String,
    /// What a token must be.
    pub expected: Expectations,
    /// Where a client puts the token.
    pub place: TokenPlace,
    /// Whether a token must be bound to the client's certificate (RFC 8705). One that is bound is always checked.
    pub bound: bool,
    /// The claims behind the words of `require` and of rules, by these words.
    pub claims: BTreeMap<String, String>,
    /// The header fields that gateways get under `forward_identity = "claims"`, and the claim of each.
    pub fields: Vec<(String, String)>,
    /// Whether logs show a hash of the subject.
    pub hides_subject: bool,
    /// Values of `jti` and `sub` that are refused.
    pub denied: Denied,
    /// What verifies its tokens.
    pub keys: Keys,
    /// Whom to ask whether a token still holds.
    pub introspector: Option<Arc<Introspector>>,
    /// Tokens that were used, where each is taken once.
    pub once: Option<Once>,
    cache: TokenCache,
}

/// What verifies an issuer's tokens.
#[derive(Debug, Clone)]
pub enum Keys {
    /// Nothing: its files are broken and no version of them ran. No token is taken.
    None,
    /// Keys of files.
    Given(KeySet),
    /// What the issuer publishes.
    Fetched(Arc<IssuerKeys>),
}

/// Values of `jti` and `sub` that are refused.
#[derive(Debug, Clone)]
pub enum Denied {
    /// Those of a file.
    Given(BTreeSet<String>),
    /// Those that somebody publishes.
    Fetched(Arc<LiveDenied>),
}

/// Where a client puts its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenPlace {
    /// `Authorization: Bearer`
    Authorization,
    /// A field of this name, in lower case, whose whole value is the token.
    Field(String),
    /// A cookie of this name.
    Cookie(String),
    /// Nowhere: the client certificate of the connection says who is calling.
    ClientCertificate(CertificateRule),
}

/// Everything of a [`Provider`] but its cache.
#[derive(Debug)]
pub(crate) struct ProviderSettings {
    pub(crate) name: String,
    pub(crate) expected: Expectations,
    pub(crate) place: TokenPlace,
    pub(crate) bound: bool,
    pub(crate) claims: BTreeMap<String, String>,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) hides_subject: bool,
    pub(crate) denied: Denied,
    pub(crate) keys: Keys,
    pub(crate) introspector: Option<Arc<Introspector>>,
    pub(crate) once: Option<Once>,
}

impl Provider {
    pub(crate) fn new(settings: ProviderSettings) -> Self {
        Self {
            name: settings.name,
            expected: settings.expected,
            place: settings.place,
            bound: settings.bound,
            claims: settings.claims,
            fields: settings.fields,
            hides_subject: settings.hides_subject,
            denied: settings.denied,
            keys: settings.keys,
            introspector: settings.introspector,
            once: settings.once,
            cache: TokenCache::new(CACHED),
        }
    }

    /// Begins to fetch what is fetched, on this runtime, which serves no requests.
    pub fn start(&self, runtime: &Handle) {
        if let Keys::Fetched(live) = &self.keys {
            live.start(runtime);
        }
        if let Denied::Fetched(live) = &self.denied {
            live.start(runtime);
        }
        if let Some(introspector) = &self.introspector {
            introspector.start(runtime);
        }
    }

    /// Waits until everything was fetched once, well or not.
    pub async fn tried(&self) {
        if let Keys::Fetched(live) = &self.keys {
            live.tried().await;
        }
        if let Denied::Fetched(live) = &self.denied {
            live.tried().await;
        }
    }

    /// Fetches what is fetched once, for a verb that looks at it. Nothing if all is in files.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub async fn fetch_once(&self) -> Result<(), IssuerError> {
        let client = Client::new(Handle::current());
        if let Keys::Fetched(live) = &self.keys {
            live.fetch_once(&client).await?;
        }
        if let Denied::Fetched(live) = &self.denied {
            live.fetch_once(&client).await?;
        }
        Ok(())
    }

    /// The keys that it has now.
    #[must_use]
    pub fn known_keys(&self) -> Vec<Key> {
        match &self.keys {
            Keys::None => Vec::new(),
            Keys::Given(keys) => keys.keys().to_vec(),
            Keys::Fetched(live) => live
                .current()
                .map_or_else(Vec::new, |kept| kept.value.keys.keys().to_vec()),
        }
    }

    /// Whether it takes no token at all without keys.
    #[must_use]
    pub fn needs_keys(&self) -> bool {
        let asks = self.introspector.as_ref();
        let is_opaque = asks.is_some_and(|issuer| issuer.endpoint().takes_opaque);
        // Nobody wrote down where there are any.
        let has_none = matches!(&self.keys, Keys::Given(keys) if keys.keys().is_empty());
        !(is_opaque && has_none)
    }

    /// What it demands and by which keys, as text for comparison. Never a secret.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self {
            expected,
            place,
            bound,
            claims,
            fields,
            denied,
            keys,
            introspector,
            once,
            ..
        } = self;
        // Not what was fetched, which changes without a reload.
        let keys = match keys {
            Keys::None => "no keys".to_owned(),
            Keys::Given(keys) => format!("{keys:?}"),
            Keys::Fetched(live) => live.source().describe(),
        };
        let denied = match denied {
            Denied::Given(denied) => format!("{denied:?}"),
            Denied::Fetched(live) => live.source().describe(),
        };
        let asks = introspector.as_ref().map(|to| to.endpoint().describe());
        let once = once.as_ref().map(|once| once.most);
        format!(
            "{expected:?} {place:?} {bound} {claims:?} {fields:?} {denied} {keys} {asks:?} {once:?}"
        )
    }

    /// Which client certificates stand for its callers; None of an issuer of tokens.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateRule> {
        match &self.place {
            TokenPlace::ClientCertificate(rule) => Some(rule),
            _ => None,
        }
    }

    /// The claims of a certificate that is not denied and valid now. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why it names no caller.
    pub fn judge_certificate(
        &self,
        rule: &CertificateRule,
        fields: &ClientFields,
        sha256: &[u8; 32],
        now: u64,
    ) -> Result<Claims, CertificateFault> {
        let claims = rule.claims(fields, sha256)?;
        // The handshake looked at the time too, but a connection may outlive the certificate.
        let checked = self.check_again(&claims, None, now);
        checked.map_err(CertificateFault::Refused)?;
        Ok(claims)
    }

    /// What the cache knows of a token's signature.
    pub(super) fn cached(&self, key: &CacheKey) -> Option<Result<Arc<Claims>, Reason>> {
        self.cache.find(key, self.generation()?)
    }

    /// Which keys count now; None if none do.
    fn generation(&self) -> Option<u64> {
        match &self.keys {
            Keys::None => None,
            // New files make a new provider, with an empty cache.
            Keys::Given(_) => Some(1),
            Keys::Fetched(live) => Some(live.current()?.generation),
        }
    }

    /// Verifies a token that is not cached.
    pub(super) fn verify(
        &self,
        key: CacheKey,
        token: Token<'_>,
        now: u64,
    ) -> Result<Arc<Claims>, Reason> {
        // First, because it is cheap: most tokens that are refused are old.
        self.expected.check(&token, now)?;
        let (generation, verified) = self.verify_signature(&token)?;
        let outcome = verified.map(|()| Arc::new(token.into_claims()));
        // The others cost little, and most of them depend on more than the token.
        if !matches!(outcome, Err(reason) if reason != Reason::Signature) {
            self.cache.keep(key, generation, outcome.clone());
        }
        outcome
    }

    /// Also says which keys those were.
    fn verify_signature(&self, token: &Token<'_>) -> Result<(u64, Result<(), Reason>), Reason> {
        match &self.keys {
            Keys::None => Err(Reason::KeysUnavailable),
            Keys::Given(keys) => Ok((1, verify_signature(token, keys))),
            Keys::Fetched(live) => {
                let kept = live.current().ok_or(Reason::KeysUnavailable)?;
                Ok((kept.generation, verify_signature(token, &kept.value.keys)))
            }
        }
    }

    /// What this provider makes of a token, without a request and without the cache.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn judge(&self, text: &[u8], now: u64) -> Result<Claims, Reason> {
        let token = Token::parse(text)?;
        self.expected.check(&token, now)?;
        self.verify_signature(&token)?.1?;
        let claims = token.into_claims();
        self.check_denied(&claims)?;
        Ok(claims)
    }

    /// The same, and asks the issuer where it is to be asked.
    ///
    /// # Errors
    /// Why it is refused, or why the issuer cannot be asked.
    pub async fn judge_asking(
        &self,
        text: &[u8],
        now: u64,
    ) -> Result<Result<Claims, Reason>, IssuerError> {
        let judged = self.judge(text, now);
        let Some(introspector) = &self.introspector else {
            return Ok(judged);
        };
        let is_alone = match &judged {
            Ok(_) => false,
            Err(Reason::Malformed) if self.takes_opaque(text) => true,
            Err(_) => return Ok(judged),
        };
        let client = Client::new(Handle::current());
        // Either form is ASCII.
        let text = String::from_utf8_lossy(text).into_owned();
        Ok(match introspector.ask_once(&client, &text).await? {
            Said::Refused(_) => Err(Reason::Inactive),
            Said::Good(answer) => {
                self.expected
                    .check_answer(&answer, is_alone, now)
                    .and_then(|()| match is_alone {
                        true => self.check_denied(&answer).map(|()| Claims::clone(&answer)),
                        false => judged,
                    })
            }
        })
    }

    /// Whether it takes tokens that say nothing themselves, and this may be one (RFC 6750, 2.1).
    pub(super) fn takes_opaque(&self, token: &[u8]) -> bool {
        let takes = self
            .introspector
            .as_ref()
            .is_some_and(|to| to.endpoint().takes_opaque);
        let end = token.iter().rposition(|byte| *byte != b'=');
        let name = end.and_then(|end| token.get(..=end)).unwrap_or_default();
        let fits = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(b);
        takes && token.len() <= LONGEST_OPAQUE && !name.is_empty() && name.iter().all(fits)
    }

    /// The claims of a token that says nothing itself, as its issuer knows them.
    pub(super) fn judge_opaque(&self, key: &CacheKey, now: u64) -> Result<Arc<Claims>, Reason> {
        let answer = self.answer(key)?.ok_or(Reason::Inactive)?;
        self.expected.check_answer(&answer, true, now)?;
        Ok(answer)
    }

    /// Whether the issuer says that a verified token still holds, where it is to be asked.
    pub(super) fn check_active(
        &self,
        key: &CacheKey,
        client: Option<&[u8; 32]>,
        now: u64,
    ) -> Result<(), Reason> {
        let Some(answer) = self.answer(key)? else {
            return Ok(());
        };
        self.expected.check_answer(&answer, false, now)?;
        answer.check_binding(client, false)
    }

    /// None if nobody is to be asked.
    fn answer(&self, key: &CacheKey) -> Result<Option<Arc<Claims>>, Reason> {
        let Some(introspector) = &self.introspector else {
            return Ok(None);
        };
        match introspector.known(key) {
            Known::Good(claims) => Ok(Some(claims)),
            Known::Refused(_) => Err(Reason::Inactive),
            Known::Nothing => Err(Reason::IntrospectionUnavailable),
        }
    }

    /// Takes a token that is good for the request, which uses it up where each is taken once.
    ///
    /// # Errors
    /// It is used up, or cannot be.
    pub fn use_up(&self, claims: &Claims, now: u64) -> Result<(), Reason> {
        match &self.once {
            Some(once) => once.take(claims, self.expected.clock_skew, now),
            None => Ok(()),
        }
    }

    fn check_denied(&self, claims: &Claims) -> Result<(), Reason> {
        let mut ids = claims.id().into_iter().chain(claims.subject());
        let denies = match &self.denied {
            Denied::Given(denied) => ids.any(|id| denied.contains(id)),
            Denied::Fetched(live) => {
                let kept = live.current().ok_or(Reason::DeniedUnavailable)?;
                ids.any(|id| kept.value.contains(id))
            }
        };
        match denies {
            true => Err(Reason::Denied),
            false => Ok(()),
        }
    }

    /// What must hold at each request, also for a token that was verified before.
    pub(super) fn check_again(
        &self,
        claims: &Claims,
        client: Option<&[u8; 32]>,
        now: u64,
    ) -> Result<(), Reason> {
        claims.check_times(now, self.expected.clock_skew)?;
        self.check_denied(claims)?;
        claims.check_binding(client, self.bound)
    }

    /// The words of a claim by the name that `require` and rules have for it.
    #[must_use]
    pub fn words<'c>(&self, claims: &'c Claims, name: &str) -> Vec<&'c str> {
        claims.words(self.path_of(claims, name))
    }

    pub(super) fn path_of<'n>(&'n self, claims: &Claims, name: &'n str) -> &'n str {
        match self.claims.get(name) {
            Some(path) => path,
            // Entra ID calls it `scp`, and writes it like `scope`.
            None if name == "scope" && claims.find("scope").is_none() => "scp",
            None => name,
        }
    }
}
