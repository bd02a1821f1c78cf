//! The changes of a reload, by name, for its line in the log and in the admin API.
//!
//! Only for people: nothing is decided by it. A change is named once, at the part that owns it; what refers to that
//! part is compared by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{Config, Listener, ListenerKind, Policy, Route, Upstream};
use crate::identity::issuer::Endpoint;
use crate::tls::reason::time_text;
use crate::tls::{CertifiedKey, ClientCas};
use crate::transform::ErrorPages;
use waf::RuleSet;

/// The most changes that a line names; the others are counted. A reload can change every route.
const MOST_NAMED: usize = 20;

/// Each change as a phrase, such as `certificate api.test of listener public (until 2026-02-26 10:00:00 UTC)` or
/// `policy default`.
#[must_use]
pub fn changes(old: &Config, new: &Config) -> Vec<String> {
    let mut changes = Vec::new();
    let listeners = |config: &Config| -> BTreeMap<String, Arc<Listener>> {
        let listeners = config.listeners.iter();
        listeners.map(|l| (l.name.clone(), Arc::clone(l))).collect()
    };
    let routes = |config: &Config| -> BTreeMap<String, Arc<Route>> {
        let routes = config.routes.iter();
        routes
            .map(|(_, r)| (r.name.clone(), Arc::clone(r)))
            .collect()
    };
    compare(
        "listener",
        &listeners(old),
        &listeners(new),
        &mut changes,
        listener,
    );
    compare(
        "trust bundle",
        &old.trust,
        &new.trust,
        &mut changes,
        |old, new, changes| push_if(changes, old != new, || format!("trust bundle {}", new.name)),
    );
    compare(
        "upstream",
        &old.upstreams,
        &new.upstreams,
        &mut changes,
        upstream,
    );
    compare(
        "policy",
        &old.policies,
        &new.policies,
        &mut changes,
        |old, new, changes| {
            push_if(changes, is_other_policy(old, new), || {
                format!("policy {}", new.name)
            });
        },
    );
    compare(
        "identity",
        &old.identity,
        &new.identity,
        &mut changes,
        |old, new, changes| {
            push_if(changes, old.describe() != new.describe(), || {
                format!("identity {}", new.name)
            });
        },
    );
    compare(
        "exchange",
        &old.exchanges,
        &new.exchanges,
        &mut changes,
        |old, new, changes| {
            // A running one goes on only if nothing changed, its secret neither.
            push_if(changes, !std::ptr::eq(old, new), || {
                format!("exchange {}", new.endpoint().name())
            });
        },
    );
    let pages = |config: &Config| -> BTreeMap<String, Arc<ErrorPages>> {
        let pages = config.error_pages.iter();
        pages.map(|p| (p.name.clone(), Arc::clone(p))).collect()
    };
    compare(
        "error pages",
        &pages(old),
        &pages(new),
        &mut changes,
        |old, new, changes| push_if(changes, old != new, || format!("error pages {}", new.name)),
    );
    compare(
        "route",
        &routes(old),
        &routes(new),
        &mut changes,
        |old, new, changes| {
            push_if(changes, is_other_route(old, new), || {
                format!("route {}", new.name)
            });
        },
    );
    changes_of_single_tables(old, new, &mut changes);
    changes
}

/// Changes of the tables that are there once.
fn changes_of_single_tables(old: &Config, new: &Config, changes: &mut Vec<String>) {
    let signing = |config: &Config| format!("{:?}", config.signing);
    push_if(changes, signing(old) != signing(new), || {
        "signing".to_owned()
    });
    // `Exposures` is generic and has no equality, but its debug text holds every field.
    let exposures = |config: &Config| format!("{:?}", config.exposures);
    push_if(changes, exposures(old) != exposures(new), || {
        "exposures".to_owned()
    });
    let others = |config: &Config| (config.body_memory, config.shutdown_timeout);
    push_if(changes, others(old) != others(new), || "limits".to_owned());
}

/// The changes in one line.
#[must_use]
pub fn text(changes: &[String]) -> String {
    let named = changes.iter().take(MOST_NAMED).map(String::as_str);
    let named: Vec<&str> = named.collect();
    match changes.len() {
        0 => "nothing changed".to_owned(),
        count if count > MOST_NAMED => {
            format!("{}; {} more", named.join("; "), count - MOST_NAMED)
        }
        _ => named.join("; "),
    }
}

fn push_if(changes: &mut Vec<String>, differs: bool, what: impl FnOnce() -> String) {
    if differs {
        changes.push(what());
    }
}

/// Adds the names that are new and those that are gone; `both` compares what exists on both sides.
fn compare<T>(
    word: &str,
    old: &BTreeMap<String, Arc<T>>,
    new: &BTreeMap<String, Arc<T>>,
    changes: &mut Vec<String>,
    both: impl Fn(&T, &T, &mut Vec<String>),
) {
    for (name, new) in new {
        match old.get(name) {
            Some(old) => both(old, new, changes),
            None => changes.push(format!("new {word} {name}")),
        }
    }
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    changes.extend(gone.map(|name| format!("{word} {name} is gone")));
}

fn listener(old: &Listener, new: &Listener, changes: &mut Vec<String>) {
    let name = &new.name;
    let plain = |l: &Listener| {
        let limits = (&l.bind, &l.limits, &l.trusted_proxies, &l.jwks_path);
        let fields = (&l.request_fields, &l.response_fields, &l.security_headers);
        // Other pages are named by themselves.
        let pages = l.error_pages.as_ref().map(|pages| &pages.name);
        format!("{limits:?} {fields:?} {pages:?}")
    };
    let mut other = plain(old) != plain(new);
    match (&old.kind, &new.kind) {
        (
            ListenerKind::Tls {
                certificates: old,
                sni: old_sni,
                settings: old_settings,
            },
            ListenerKind::Tls {
                certificates: new,
                sni,
                settings,
            },
        ) => {
            for certified in new.iter().filter(|new| !old.contains(new)) {
                changes.push(format!("{} of listener {name}", certificate(certified)));
            }
            // A replaced certificate was named above as a new one; its old version is not "gone".
            let gone = old.len() > new.len();
            push_if(changes, gone && new.iter().all(|c| old.contains(c)), || {
                format!("a certificate of listener {name} is gone")
            });
            let clients = ClientCas::new(new, *sni, settings);
            let before = ClientCas::new(old, *old_sni, old_settings);
            push_if(changes, clients.differ_from(&before), || {
                format!("client_ca of listener {name}")
            });
            other |= old_sni != sni || old_settings.policy != settings.policy;
        }
        (
            ListenerKind::Redirect {
                listener: old,
                port: old_port,
            },
            ListenerKind::Redirect { listener, port },
        ) => other |= (old, old_port) != (listener, port),
        _ => other = true,
    }
    push_if(changes, other, || format!("listener {name}"));
}

fn certificate(certified: &CertifiedKey) -> String {
    let name = certified.names.first().map_or("", String::as_str);
    let until = certified.chain.first().map(|leaf| leaf.not_after());
    let until = until.map_or_else(String::new, |until| {
        format!(" (until {})", time_text(until))
    });
    format!("certificate {name}{until}")
}

fn upstream(old: &Upstream, new: &Upstream, changes: &mut Vec<String>) {
    let name = &new.name;
    let client = |upstream: &Upstream| upstream.tls.client_certificate.clone();
    push_if(changes, client(old) != client(new), || {
        format!("client certificate of upstream {name}")
    });
    let rest = |u: &Upstream| {
        let times = (
            u.connect_timeout,
            u.read_timeout,
            u.write_timeout,
            u.idle_timeout,
        );
        let names = (u.tls.server_name.clone(), u.tls.trust.name.clone());
        (names, times, u.attempts, u.live)
    };
    let other =
        rest(old) != rest(new) || old.servers != new.servers || old.balancing != new.balancing;
    push_if(changes, other, || format!("upstream {name}"));
}

fn is_other_policy(old: &Policy, new: &Policy) -> bool {
    let rest = |policy: &Policy| {
        let limit = policy.request_body_limit;
        (policy.mode, policy.on_uninspected, limit, policy.is_live())
    };
    let same = |old: Option<&Arc<RuleSet>>, new: Option<&Arc<RuleSet>>| match (old, new) {
        // A reload keeps the compiled rules whose recipe and files are unchanged, so the same pointer means the same
        // rules.
        (Some(old), Some(new)) => Arc::ptr_eq(old, new),
        (None, None) => true,
        _ => false,
    };
    let shadow = |policy: &'_ Policy| policy.shadow.as_ref().map(|shadow| shadow.sample.to_bits());
    rest(old) != rest(new)
        || shadow(old) != shadow(new)
        || !same(old.rules.live(), new.rules.live())
        || !same(
            old.shadow.as_ref().map(|shadow| &shadow.rules),
            new.shadow.as_ref().map(|shadow| &shadow.rules),
        )
}

fn is_other_route(old: &Route, new: &Route) -> bool {
    let rest = |route: &Route| {
        let policy = route.policy.name.clone();
        let slashes = route.pass_encoded_slashes;
        let identity = route.identity.iter();
        let identity: Vec<_> = identity
            .map(|(listener, identity)| (listener.clone(), identity.describe()))
            .collect();
        (
            policy,
            route.stream,
            route.client_certificate,
            slashes,
            identity,
        )
    };
    let pages = |route: &Route| route.error_pages.as_ref().map(|pages| pages.name.clone());
    rest(old) != rest(new)
        || old.claim != new.claim
        || !old.target.is_same(&new.target)
        || old.path_regex != new.path_regex
        || old.rewrite != new.rewrite
        || old.cors != new.cors
        || old.request_fields != new.request_fields
        || old.response_fields != new.response_fields
        || old.security_headers != new.security_headers
        || pages(old) != pages(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_a_bounded_number() {
        let many: Vec<String> = (0..MOST_NAMED + 3).map(|n| format!("route r{n}")).collect();
        assert_eq!(text(&[]), "nothing changed");
        assert_eq!(text(&many[..2]), "route r0; route r1");
        assert!(text(&many).ends_with("route r19; 3 more"));
    }
}
