//! The second step: what the written configuration means.
//!
//! Looks up every name, reads every certificate and rule file, and reports the problems that only this can show. If a
//! file is broken while a configuration runs, it asks the last step ([`last_good`](super::last_good)) for a
//! replacement.

pub(crate) mod admin;
mod callers;
mod client_identity;
mod console;
pub(crate) mod context;
mod destination;
mod events;
mod exchanges;
pub(crate) mod exclusions;
mod exposures;
pub(crate) mod identity;
mod issuers;
mod limits;
mod listeners;
mod log;
mod looks;
mod materials;
mod names;
mod otlp;
pub(crate) mod policies;
mod routes;
pub(crate) mod service;
mod upstreams;

use std::path::PathBuf;
use std::sync::Arc;

use super::inputs::{Contents, Inputs};
use super::model::{Admin, Config, LogSink, Policy};
use super::written::WrittenConfig;
use super::written::diagnostics::Diagnostics;
use super::written::reader::Given;
use super::written::source::Placed;
use crate::identity::OwnFields;
use context::Context;
use names::Declared;

/// None if something is faulty, which was reported. The caller fills in the source and the inputs.
pub(crate) fn resolve(written: &WrittenConfig<'_>, context: &mut Context<'_>) -> Option<Config> {
    let diagnostics = context.diagnostics;
    // Each section is resolved before those that name it.
    let mut trust = materials::resolve_trust(&written.trust, context);
    let mut upstreams = upstreams::resolve(
        &written.upstreams,
        &written.dns_servers,
        &mut trust,
        context,
    );
    let log = log::resolve(&written.log, &mut trust, context);
    otlp::check_logs(&written.log, &written.otlp, diagnostics);
    let otlp = otlp::resolve(&written.otlp, &written.dns_servers, &mut trust, context);
    let audited = log.audit != LogSink::Off;
    let mut limits = limits::resolve(&written.limits, context);
    let (mut policies, rule_sets) =
        policies::resolve(&written.policies, audited, &mut limits, context);
    let mut looks = looks::resolve(written, context);
    let mut sections = listeners::Sections {
        trust: &mut trust,
        limits: &mut limits,
        looks: &mut looks,
    };
    let mut listeners = listeners::resolve(&written.listeners, &mut sections, context);
    let state_dir = resolve_state_dir(&written.state_dir, context);
    let mut providers =
        identity::resolve(&written.identity, &written.dns_servers, &mut trust, context);
    let signing = identity::resolve_signing(&written.signing, state_dir.as_deref(), context);
    identity::check_jwks_paths(&written.listeners, &signing, diagnostics);
    client_identity::resolve(
        &written.client_identity,
        &mut trust,
        &mut providers,
        context,
    );
    let mut exchanges = exchanges::resolve(
        &written.exchanges,
        &written.dns_servers,
        &mut trust,
        context,
    );
    let mut lookup = callers::Lookup {
        providers: &mut providers,
        exchanges: &mut exchanges,
        // A faulty one was reported, and is not missed as well.
        has_signing: !matches!(signing, Given::Absent),
        diagnostics,
    };
    let mut cors = Declared::new("cors table");
    for written in &written.cors {
        cors.declare(written.name, written.at, written.cors.clone().map(Arc::new));
    }
    let targets = routes::Targets {
        callers: callers::defaults(&written.listeners, &listeners, &mut lookup),
        lookup,
        listeners: &mut listeners,
        upstreams: &mut upstreams,
        policies: &mut policies,
        limits: &mut limits,
        cors: &mut cors,
        looks: &mut looks,
    };
    let (found, routes) = routes::resolve(&written.routes, targets, context);
    routes::check_redirects(&written.routes, &written.redirect_hosts, diagnostics);
    // A faulty one was reported, and is not missed as well.
    let has_state_dir = state_dir.is_some() || matches!(written.state_dir, Given::Faulty);
    let events = events::resolve(&written.events, has_state_dir, diagnostics);
    let has_state_dir = state_dir.is_some();
    let exposures = exposures::resolve(
        &written.exposures,
        &found,
        &mut listeners,
        has_state_dir,
        diagnostics,
    );
    let admin = resolve_admin(written, context);
    let console_tls = console::resolve_tls(&written.console, &mut trust, context);
    let console_openid =
        console::resolve_openid(&written.console, &written.dns_servers, &mut trust, context);
    warn_unholdable(&policies, written.body_memory, diagnostics);
    log::warn_unaudited(&policies, &log, diagnostics);

    // Only now every name was looked up, so what is still unused is unused.
    trust.warn_unused(diagnostics);
    upstreams.warn_unused(diagnostics);
    policies.warn_unused(diagnostics);
    listeners.warn_unused(diagnostics);
    providers.warn_unused(diagnostics);
    exchanges.warn_unused(diagnostics);
    limits.warn_unused(diagnostics);
    cors.warn_unused(diagnostics);
    looks.warn_unused(diagnostics);

    let identity = providers.into_values();
    let identity_fields = identity.iter().flat_map(|found| found.values());
    let identity_fields = OwnFields::of(identity_fields);
    let fields = written.routes.iter().map(|route| &route.fields);
    let fields = fields.chain(written.listeners.iter().map(|listener| &listener.fields));
    routes::check_identity_fields(fields, &identity_fields, diagnostics);

    // No `?` before this point: every section is resolved, so that one run reports every problem.
    Some(Config {
        source: PathBuf::new(),
        inputs: Inputs::default(),
        contents: Contents::new(),
        certificates: std::mem::take(&mut context.certificates),
        rule_sets,
        listeners: listeners.into_values()?.into_values().collect(),
        upstreams: upstreams.into_values()?,
        trust: trust.into_values()?,
        policies: policies.into_values()?,
        limits: limits.into_values()?,
        identity_fields,
        identity: identity?,
        signing: signing.unless_faulty()?,
        exchanges: exchanges.into_values()?,
        error_pages: looks.into_pages()?,
        routes: routes?,
        exposures: exposures?,
        state_dir,
        events: events?,
        log,
        otlp: otlp?,
        admin: admin.unless_faulty()?,
        console: written
            .console
            .as_ref()
            .map(|console| console.settings.clone())
            .unless_faulty()?,
        console_tls: console_tls.ok()?,
        console_openid: console_openid?,
        body_memory: written.body_memory,
        collections: Arc::clone(&context.last_good.collections),
        shutdown_timeout: written.shutdown_timeout,
    })
}

/// The folder that is written, or the one that the service manager provides.
pub(crate) fn resolve_state_dir(
    written: &Given<Placed<'_, &str>>,
    context: &Context<'_>,
) -> Option<PathBuf> {
    match written {
        Given::Value(folder) => exposures::resolve_state_dir(folder, context),
        Given::Faulty => None,
        Given::Absent => service::state_dir(),
    }
}

/// The admin address that is written, or the one that the service manager provides.
fn resolve_admin(written: &WrittenConfig<'_>, context: &Context<'_>) -> Given<Admin> {
    match &written.admin {
        Given::Value(written) => admin::resolve(written, context).into(),
        Given::Faulty => Given::Faulty,
        Given::Absent => service::admin().map_or(Given::Absent, Given::Value),
    }
}

/// Warns if a policy allows larger bodies than the memory for all bodies can hold.
fn warn_unholdable(policies: &Declared<'_, Policy>, body_memory: usize, diagnostics: &Diagnostics) {
    for (name, at, policy) in policies.iter() {
        let limit = policy.map_or(0, |policy| policy.request_body_limit);
        if limit > body_memory {
            let message = format!(
                "policy \"{name}\" allows bodies of {limit} bytes, but [limits] body_memory is {body_memory} for all"
            );
            diagnostics.warning(at, message);
        }
    }
}
