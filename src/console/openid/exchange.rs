//! From a code to who it is for: the code is redeemed, the ID token verified, and its claims give a role.

use std::time::SystemTime;

use identity::{Claims, Expectations, KeySet, Reason, Token};
use serde::Deserialize;
use serde_json::Value;

use super::OpenIdError;
use super::attempt::Attempt;
use super::metadata::Metadata;
use crate::config::ConsoleOpenId;
use crate::console::sessions::{Identity, Origin};
use crate::outbound::{Client, Fault, Request};
use crate::review::escape::show;
use crate::role::Role;
use crate::time::seconds;

/// How old an ID token may be, in seconds. It was made for this login, a moment ago.
const OLDEST: u64 = 10 * 60;
/// The longest `sub` (OpenID Connect Core, 2) and the most characters of a name that are shown.
const LONGEST_SUBJECT: usize = 255;
const LONGEST_NAME: usize = 100;
/// What people are called by, the first one that is there.
const NAMES: [&str; 3] = ["preferred_username", "email", "name"];

/// What is wrong with an ID token.
pub(super) enum Flaw {
    /// With any token.
    Token(Reason),
    /// With this one for this login.
    Login(&'static str),
}

impl Flaw {
    pub(super) fn words(&self) -> &'static str {
        match self {
            Self::Token(reason) => reason.text(),
            Self::Login(words) => words,
        }
    }
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

/// Redeems a code for an ID token, which is not verified yet.
pub(super) async fn redeem(
    client: &Client,
    settings: &ConsoleOpenId,
    metadata: &Metadata,
    code: &str,
    attempt: &Attempt,
) -> Result<String, OpenIdError> {
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &settings.redirect),
        ("client_id", &settings.client_id),
        ("code_verifier", &attempt.verifier),
    ];
    let secret = settings.secret.as_ref().map(|secret| secret.0.as_str());
    let in_form = secret.filter(|_| !metadata.takes_basic);
    form.extend(in_form.map(|secret| ("client_secret", secret)));
    let request = Request::form(form).accepting("application/json");
    let request = match secret.filter(|_| metadata.takes_basic) {
        None => request,
        Some(secret) => {
            let request = request.from_client(&settings.client_id, secret);
            request.map_err(|error| OpenIdError::Provider(error.to_string()))?
        }
    };
    let answer = match client.send(&metadata.token, request).await {
        Ok(answer) => answer,
        Err(error) => {
            return Err(match &error.fault {
                // Of a code or a client that it does not take (RFC 6749, 5.2).
                Fault::Status(answer) if matches!(answer.status.as_u16(), 400 | 401) => {
                    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                    let code = body.get("error").and_then(Value::as_str);
                    let words = code_words(code.unwrap_or_default());
                    OpenIdError::Refused(format!("The provider does not take the code: {words}."))
                }
                fault => OpenIdError::Provider(format!("{error}; {}", fault.fix())),
            });
        }
    };
    let tokens: Tokens = serde_json::from_slice(&answer.body).map_err(|_| {
        // Without serde's words, which may quote a token.
        OpenIdError::Provider("its answer to the code has no \"id_token\"".to_owned())
    })?;
    Ok(tokens.id_token)
}

/// The claims of an ID token for this login.
pub(super) fn verify(
    token: &str,
    settings: &ConsoleOpenId,
    keys: &KeySet,
    attempt: &Attempt,
) -> Result<Claims, Flaw> {
    let now = seconds(SystemTime::now());
    let expected = Expectations::new(&settings.issuer, [settings.client_id.as_str()]);
    let token = Token::parse(token.as_bytes()).map_err(Flaw::Token)?;
    let claims = identity::verify(&token, keys, &expected, now).map_err(Flaw::Token)?;
    check_for(&claims, settings, attempt).map_err(Flaw::Login)?;
    let issued = claims.find("iat").and_then(Value::as_f64);
    let issued = issued.ok_or(Flaw::Login("It does not say when it was issued"))?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds since 1970 are exact in a float"
    )]
    let is_old = issued < now.saturating_sub(OLDEST) as f64;
    if is_old {
        return Err(Flaw::Login("It was issued long ago"));
    }
    Ok(claims)
}

/// OpenID Connect Core, 3.1.3.7.
fn check_for(
    claims: &Claims,
    settings: &ConsoleOpenId,
    attempt: &Attempt,
) -> Result<(), &'static str> {
    let text = |name: &str| claims.find(name).and_then(Value::as_str);
    if text("nonce") != Some(&attempt.nonce) {
        return Err("It is not of this login");
    }
    // A token for several clients was asked for by the one that it names.
    let audiences = claims
        .find("aud")
        .and_then(Value::as_array)
        .map_or(1, Vec::len);
    let party = claims.find("azp").map(|_| text("azp").unwrap_or_default());
    match party {
        Some(party) if party != settings.client_id => return Err("Another client asked for it"),
        None if audiences > 1 => return Err("Another client asked for it"),
        _ => {}
    }
    match claims.subject() {
        Some(subject) if (1..=LONGEST_SUBJECT).contains(&subject.len()) => Ok(()),
        _ => Err("It does not say who it is for"),
    }
}

/// Who logs in, and as what. Of several roles beside `viewer` nobody could say which one is meant.
pub(super) fn identity_of(
    settings: &std::sync::Arc<ConsoleOpenId>,
    claims: &Claims,
) -> Result<Identity, OpenIdError> {
    let subject = claims.subject().unwrap_or_default();
    let names = NAMES.iter().find_map(|name| claims.find(name)?.as_str());
    let name: String = show(names.unwrap_or_default().as_bytes())
        .chars()
        .take(LONGEST_NAME)
        .collect();
    let named = match name.is_empty() {
        true => subject.to_owned(),
        false => format!("{subject} ({name})"),
    };
    let who = format!("openid {} {named}", settings.issuer);
    let given = settings.roles.iter().filter(|given| {
        given
            .values
            .iter()
            .any(|value| claims.has(&given.claim, value))
    });
    let mut roles: Vec<Role> = given.map(|given| given.role).collect();
    if roles.iter().any(|role| *role != Role::Viewer) {
        roles.retain(|role| *role != Role::Viewer);
    }
    match roles.as_slice() {
        [role] => Ok(Identity {
            role: *role,
            who,
            origin: Origin::OpenId(std::sync::Arc::clone(settings)),
        }),
        [] => Err(OpenIdError::NoRole(format!(
            "{who} has no role in this console."
        ))),
        several => {
            let several: Vec<&str> = several.iter().map(|role| role.name()).collect();
            Err(OpenIdError::NoRole(format!(
                "{who} has several roles in this console, and nobody could say which one is meant: {}.",
                several.join(", ")
            )))
        }
    }
}

/// A code of an error, if it is one; anybody may have written it.
pub(super) fn code_words(code: &str) -> &str {
    let is_code =
        (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if is_code { code } else { "an error" }
}
