//! Which policy of a configuration is meant.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::error::ReviewError;
use crate::config::{Config, Policy};

/// The policy of this name, else that of the route, else the only one or that of the name "default".
///
/// # Errors
/// There is no such policy or route.
pub(crate) fn find_policy<'c>(
    config: &'c Config,
    policy: Option<&String>,
    route: Option<&String>,
) -> Result<&'c Arc<Policy>, ReviewError> {
    let policies = &config.policies;
    // First, so that a mistyped route is an error also where a policy is named.
    let routed = route.map(|route| policy_of(config, route)).transpose()?;
    let name = match routed.as_ref().or(policy) {
        Some(name) => name,
        // The only policy is used whatever its name, so that most users need no option.
        None if policies.len() == 1 => policies.keys().next().map_or("default", String::as_str),
        None => "default",
    };
    policies.get(name).ok_or_else(|| {
        let known: Vec<&str> = policies.keys().map(String::as_str).collect();
        ReviewError::NotFound(format!(
            "{}: there is no policy {name:?}; there is {}",
            config.source.display(),
            if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            }
        ))
    })
}

/// A policy cannot be used, since it inspects nothing.
pub(crate) fn has_no_rules(policy: &Policy) -> ReviewError {
    let name = &policy.name;
    ReviewError::Problem(format!("policy {name:?} has mode \"off\": it has no rules"))
}

/// The name of the policy that a route has.
fn policy_of(config: &Config, name: &str) -> Result<String, ReviewError> {
    let mut routes = config.routes.iter().map(|(_, route)| route);
    let found = routes.find(|route| route.name == name);
    found.map(|route| route.policy.name.clone()).ok_or_else(|| {
        let known = config.routes.iter().map(|(_, route)| route.name.as_str());
        let known = known.collect::<BTreeSet<_>>().into_iter();
        let known = known.collect::<Vec<_>>().join(", ");
        ReviewError::NotFound(format!("there is no route {name:?}; there are: {known}"))
    })
}
