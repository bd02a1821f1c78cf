//! `[limits.*]`: with the buckets that run, and found by their names.

use std::sync::Arc;

use super::context::Context;
use super::names::Declared;
use crate::config::written::diagnostics::Diagnostics;
use crate::config::written::limits::WrittenLimit;
use crate::config::written::source::Placed;
use crate::limits::Limit;

pub(crate) fn resolve<'s>(
    written: &[WrittenLimit<'s>],
    context: &Context<'_>,
) -> Declared<'s, Limit> {
    let mut limits = Declared::new("limit");
    for WrittenLimit { name, at, settings } in written {
        let running = context.last_good.limits.get(*name);
        let limit = settings.clone();
        let limit =
            limit.map(|settings| Arc::new(Limit::new(name, settings, running.map(AsRef::as_ref))));
        limits.declare(name, *at, limit);
    }
    limits
}

/// The limits of these names; None if one is faulty, which was reported.
pub(crate) fn named(
    names: &[Placed<'_, &str>],
    limits: &mut Declared<'_, Limit>,
    diagnostics: &Diagnostics,
) -> Option<Vec<Arc<Limit>>> {
    let found = names
        .iter()
        .map(|name| limits.lookup(name, diagnostics).ok());
    // All are looked up before the first that is missing ends this, so that one run reports every problem.
    let found: Vec<_> = found.collect();
    found.into_iter().collect()
}

/// Warns about limits of a route that nobody's caller is known on: their keys have a claim.
pub(crate) fn warn_callers(
    names: &[Placed<'_, &str>],
    limits: &Declared<'_, Limit>,
    diagnostics: &Diagnostics,
) {
    let known = |name: &&Placed<'_, &str>| {
        limits
            .value(name.value)
            .is_some_and(|limit| limit.needs_caller())
    };
    for name in names.iter().filter(known) {
        let message = format!(
            "limit \"{}\" tells callers apart, but the route asks nobody who is calling: all its requests share one bucket",
            name.value
        );
        diagnostics.warning(name.at, message);
    }
}
