//! A route that is ready to run.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::policy_settings::Policy;
use crate::identity::RouteIdentity;
use crate::limits::Limit;
use crate::route::{Claim, PathRegex, Stream};
use crate::transform::{Cors, ErrorPages, FieldChanges, Rewrite, RouteAnswer, SecurityHeaders};
use crate::upstream::Upstream;

/// A part of the public surface, and where its requests go.
#[derive(Debug)]
pub struct Route {
    /// Its `name`, in logs, metrics and exposures.
    pub name: String,
    /// The hosts, paths, methods and listeners that it takes.
    pub claim: Claim,
    /// What the whole path must match beside; other paths of the claim do not exist.
    pub path_regex: Option<PathRegex>,
    /// Where its requests go.
    pub target: RouteTarget,
    /// What the gateway is asked for, if not for what the client asked for.
    pub rewrite: Option<Rewrite>,
    /// What inspects its requests.
    pub policy: Arc<Policy>,
    /// The kind of stream it carries; None for requests and answers that may be held.
    pub stream: Option<Stream>,
    /// `client_certificate = "required"`: requests without a verified one are refused, even if the listener
    /// lets the client in.
    pub client_certificate: bool,
    /// Who may call, by listener; on one that is not here nobody is asked.
    pub identity: BTreeMap<String, Arc<RouteIdentity>>,
    /// `encoded_slashes = "pass"`: `%2f` in a path is let through unchanged.
    pub pass_encoded_slashes: bool,
    /// The limits that its requests ask, beside those of the listener and the policy.
    pub rate_limits: Vec<Arc<Limit>>,
    /// What pages of other origins may read of its answers; None leaves that to the gateway.
    pub cors: Option<Arc<Cors>>,
    /// What it changes in the fields that its gateway gets, after the listener's changes.
    pub request_fields: FieldChanges,
    /// What it changes in the fields that its clients get, after the listener's changes.
    pub response_fields: FieldChanges,
    /// What it tells browsers, in place of the listener's.
    pub security_headers: Option<Arc<SecurityHeaders>>,
    /// What its refusals look like, where the listener's pages do not decide.
    pub error_pages: Option<Arc<ErrorPages>>,
}

/// Where the requests of a route go.
#[derive(Debug, Clone)]
pub enum RouteTarget {
    /// To a gateway.
    Upstream(Arc<Upstream>),
    /// Nowhere: the front door answers.
    Answer(RouteAnswer),
}

impl Route {
    /// The upstream, if it has one.
    #[must_use]
    pub fn upstream(&self) -> Option<&Arc<Upstream>> {
        match &self.target {
            RouteTarget::Upstream(upstream) => Some(upstream),
            RouteTarget::Answer(_) => None,
        }
    }
}

impl RouteTarget {
    /// What the front door itself answers, in words; None if a gateway answers.
    #[must_use]
    pub fn own_answer(&self) -> Option<String> {
        match self {
            Self::Upstream(_) => None,
            Self::Answer(answer) => Some(answer.to_string()),
        }
    }

    /// Whether both do the same. Upstreams are compared by name.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Upstream(one), Self::Upstream(other)) => one.name == other.name,
            (Self::Answer(one), Self::Answer(other)) => one == other,
            _ => false,
        }
    }
}
