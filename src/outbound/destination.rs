//! Where something is fetched from or sent to, and all that was decided about it when the configuration was read.

use std::fmt;
use std::sync::{Arc, Mutex};

use openssl::error::ErrorStack;

use super::kept::Kept;
use super::settings::Settings;
use super::url::{Scheme, Url, UrlError};
use crate::tls::dial::ExpectedServer;

/// A URL, and under what it is asked. Keeps one idle connection.
#[derive(Debug)]
pub struct Destination {
    pub(super) url: Url,
    pub(super) settings: Arc<Settings>,
    /// None without TLS.
    pub(super) expected: Option<Arc<ExpectedServer>>,
    pub(super) kept: Mutex<Option<Kept>>,
}

/// Why a URL is no destination.
#[derive(Debug)]
pub enum DestinationError {
    /// It is no URL.
    Url(UrlError),
    /// It is `http://`, which nobody allowed.
    PlainHttp,
    /// It is `https://`, and nobody wrote whom to trust.
    NoTrust,
    /// OpenSSL does not take the trust bundle.
    Trust(ErrorStack),
}

impl fmt::Display for DestinationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => error.fmt(f),
            Self::PlainHttp => f.write_str(
                "must be \"https://\": over \"http://\" anybody on the way can read and change it",
            ),
            Self::NoTrust => f.write_str("needs a trust bundle, or the system's roots"),
            Self::Trust(error) => write!(f, "has a trust bundle that cannot be used: {error}"),
        }
    }
}

impl std::error::Error for DestinationError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Url(error) => Some(error),
            Self::Trust(error) => Some(error),
            Self::PlainHttp | Self::NoTrust => None,
        }
    }
}

impl Destination {
    /// # Errors
    /// The URL or the settings do not fit.
    pub fn new(url: &str, settings: Arc<Settings>) -> Result<Self, DestinationError> {
        let url: Url = url.parse().map_err(DestinationError::Url)?;
        Self::at(url, settings)
    }

    /// # Errors
    /// The URL and the settings do not fit.
    pub fn at(url: Url, settings: Arc<Settings>) -> Result<Self, DestinationError> {
        let expected = match (url.scheme, &settings.trust) {
            (Scheme::Http, _) if settings.allow_http => None,
            (Scheme::Http, _) => return Err(DestinationError::PlainHttp),
            (Scheme::Https, None) => return Err(DestinationError::NoTrust),
            (Scheme::Https, Some(trust)) => {
                // Now, not at the first dial: a wrong bundle is an error of the configuration.
                let expected = ExpectedServer::new(&url.host, trust, Vec::new());
                Some(Arc::new(expected.map_err(DestinationError::Trust)?))
            }
        };
        Ok(Self {
            url,
            settings,
            expected,
            kept: Mutex::new(None),
        })
    }

    /// Another URL under the same settings, as an answer named it.
    ///
    /// # Errors
    /// The URL does not fit the settings.
    pub fn other(&self, url: &str) -> Result<Self, DestinationError> {
        Self::new(url, Arc::clone(&self.settings))
    }

    /// Another path (and query) of the same server.
    ///
    /// # Errors
    /// It is no path.
    pub fn with_path(&self, path: &str) -> Result<Self, DestinationError> {
        let url = self.url.with_path(path).map_err(DestinationError::Url)?;
        Ok(Self {
            url,
            settings: Arc::clone(&self.settings),
            expected: self.expected.clone(),
            // A connection of its own, since one connection has one exchange at a time.
            kept: Mutex::new(None),
        })
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What holds for it.
    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }
}

impl PartialEq for Destination {
    fn eq(&self, other: &Self) -> bool {
        // What is kept does not count, so that a reload without a change keeps the connection.
        self.url == other.url && self.settings == other.settings
    }
}

impl Eq for Destination {}
