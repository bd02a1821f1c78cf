//! The registry of metrics: every family that `/metrics` writes, and nothing else has a name.
//!
//! `/metrics`, `docs/metrics.md`, the dashboards of `packaging/grafana` and the rules of `packaging/prometheus` are made
//! from it. The names are an interface: dashboards and alerts of others depend on them.
//!
//! Invariant: every label is a name of the configuration, a rule's id, a task or a code, so that nobody outside can add
//! time series.

/// A family of metrics.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// The full name, with its prefix, its unit and `_total`.
    pub name: &'static str,
    /// What its samples are.
    pub kind: MetricKind,
    /// In what it is measured.
    pub unit: Unit,
    /// The names of its labels, in the order of a sample's values.
    pub labels: &'static [&'static str],
    /// One line of plain text.
    pub help: &'static str,
}

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A number that only rises.
    Counter,
    /// A number that rises and falls.
    Gauge,
    /// Numbers of values up to each of several bounds, and their sum.
    Histogram,
}

/// The unit of a family, which its name has too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    None,
    /// Seconds; those since 1970 for a point in time.
    Seconds,
    /// Bytes.
    Bytes,
}

/// Families that belong together.
#[derive(Debug)]
pub struct FamilyGroup {
    /// The heading in the document.
    pub title: &'static str,
    /// In the order of the document.
    pub families: &'static [&'static Family],
}

impl MetricKind {
    /// As the formats and the document call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Unit {
    /// The word at the end of a name; None for a number of things.
    #[must_use]
    pub fn suffix(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Seconds => Some("seconds"),
            Self::Bytes => Some("bytes"),
        }
    }
}

/// All families, in the order of the document.
pub fn all() -> impl Iterator<Item = &'static Family> {
    let groups = GROUPS.iter();
    groups.flat_map(|group| group.families.iter().copied())
}

macro_rules! families {
    ($($title:literal { $(
        $family:ident = $name:literal, $kind:ident, $unit:ident, [$($label:literal),*], $help:literal;
    )* })*) => {
        $($(
            #[doc = $help]
            pub const $family: Family = Family {
                name: $name,
                kind: MetricKind::$kind,
                unit: Unit::$unit,
                labels: &[$($label),*],
                help: $help,
            };
        )*)*
        /// Every family.
        pub const GROUPS: &[FamilyGroup] = &[$(FamilyGroup {
            title: $title,
            families: &[$(&$family),*],
        }),*];
    };
}

families! {
    "Requests by listener and route" {
        LISTENER_REQUESTS = "drawbridge_listener_requests_total", Counter, None, ["listener", "route", "code_class"],
            "Requests by listener, route (- is none) and the class of their answer.";
        REQUEST_DURATION = "drawbridge_listener_request_duration_seconds", Histogram, Seconds, ["listener", "route"],
            "From a request's head to the end of its answer. WebSockets and server-sent events are left out.";
        WAF_DURATION = "drawbridge_listener_waf_duration_seconds", Histogram, Seconds, ["listener", "route"],
            "Time in the rules, of requests that were inspected.";
        UPSTREAM_DURATION = "drawbridge_listener_upstream_duration_seconds", Histogram, Seconds, ["listener", "route"],
            "Time at the upstream, with all attempts, of requests that went there.";
        REQUEST_BODY = "drawbridge_listener_request_body_bytes", Histogram, Bytes, ["listener", "route"],
            "Sizes of the bodies of requests, as received.";
        RESPONSE_BODY = "drawbridge_listener_response_body_bytes", Histogram, Bytes, ["listener", "route"],
            "Sizes of the bodies of answers, as sent.";
        REQUESTS = "drawbridge_requests_total", Counter, None, ["code_class"],
            "Requests of all listeners by the class of their answer; none: closed without an answer.";
        REQUESTS_IN_FLIGHT = "drawbridge_requests_in_flight", Gauge, None, [],
            "Requests that are being answered.";
        BODY_MEMORY_REFUSALS = "drawbridge_body_memory_refusals_total", Counter, None, [],
            "503 because held bodies had used up their memory.";
        INSPECTION_REFUSALS = "drawbridge_inspection_refusals_total", Counter, None, [],
            "503 because too many long inspections waited for a thread.";
    }
    "Connections" {
        CONNECTIONS_ACCEPTED = "drawbridge_connections_accepted_total", Counter, None, [],
            "Connections accepted.";
        CONNECTIONS_REFUSED = "drawbridge_connections_refused_total", Counter, None, [],
            "Connections closed at once because a limit was reached.";
        CONNECTIONS_OPEN = "drawbridge_connections_open", Gauge, None, [],
            "Connections that are open.";
        TLS_HANDSHAKES = "drawbridge_tls_handshakes_total", Counter, None, ["listener", "version", "group"],
            "Handshakes that succeeded, by TLS version and group of the key exchange; none: a session was resumed without one.";
        TLS_HANDSHAKE_FAILURES = "drawbridge_tls_handshake_failures_total", Counter, None, ["reason"],
            "Handshakes with clients that failed, by reason.";
        MALFORMED_HEADS = "drawbridge_malformed_heads_total", Counter, None, [],
            "Request heads that HTTP forbids.";
        HTTP2_FLOODS = "drawbridge_http2_floods_total", Counter, None, [],
            "HTTP/2 connections ended because of too many PING, SETTINGS, PRIORITY, WINDOW_UPDATE or unknown frames.";
    }
    "Limits" {
        LIMIT_REQUESTS = "drawbridge_limit_requests_total", Counter, None, ["limit", "outcome"],
            "Requests that asked a limit, by what it said: passed, refused, would_refuse (its action is log).";
        LIMIT_KEYS_EVICTED = "drawbridge_limit_keys_evicted_total", Counter, None, ["limit"],
            "Keys that a limit forgot before their time because max_keys were in use.";
    }
    "The WAF" {
        WAF_REQUESTS = "drawbridge_waf_requests_total", Counter, None, ["policy", "action"],
            "Inspected requests by policy and what the rules said: pass, match, block, or not_live if the policy's rules were refused.";
        WAF_RULE_MATCHES = "drawbridge_waf_rule_matches_total", Counter, None, ["policy", "rule_id"],
            "Requests that matched a logged rule, by policy and rule.";
        WAF_RULE_BLOCKS = "drawbridge_waf_rule_blocks_total", Counter, None, ["policy", "rule_id"],
            "Requests that matched a logged rule and were blocked, by policy and rule.";
        WAF_ROUTE_RULE_MATCHES = "drawbridge_waf_route_rule_matches_total", Counter, None, ["policy", "route", "rule_id"],
            "The matches by route.";
        WAF_ROUTE_RULE_BLOCKS = "drawbridge_waf_route_rule_blocks_total", Counter, None, ["policy", "route", "rule_id"],
            "The blocks by route.";
        WAF_BLOCKED = "drawbridge_waf_blocked_total", Counter, None, [],
            "Requests and responses that the rules stopped, of all policies.";
        WAF_MATCHED = "drawbridge_waf_matched_total", Counter, None, [],
            "Requests that matched a logged rule and were not stopped, of all policies.";
        WAF_UNINSPECTED = "drawbridge_waf_uninspected_total", Counter, None, [],
            "Requests whose body the rules did not see completely.";
        WAF_NOT_INSPECTED = "drawbridge_waf_not_inspected_total", Counter, None, ["part", "reason"],
            "Bodies that the rules did not see completely, by part (request, response) and reason: stream (a streaming route), policy_off, no_body_access (the rules do not ask for bodies), partly (a limit cut the body), not_understood (a parser or a rule gave up).";
        IDENTITY_CHECKS = "drawbridge_identity_checks_total", Counter, None, ["route", "outcome"],
            "Requests of routes that ask who is calling, by route and outcome: taken, anonymous (no token, and none is required), or the reason of the refusal.";
        IDENTITY_KEYS = "drawbridge_identity_keys", Gauge, None, ["identity"],
            "Keys of an issuer that count now; without one no token of it is taken.";
        IDENTITY_AGE = "drawbridge_identity_fetched_age_seconds", Gauge, Seconds, ["identity", "what"],
            "How long ago the last good keys, or list of denied tokens, of an issuer were fetched.";
        IDENTITY_FETCHES = "drawbridge_identity_fetches_total", Counter, None, ["identity", "what", "cause"],
            "Fetches of an issuer's keys and list of denied tokens, and questions about tokens (introspection, exchange), that ended, by cause: schedule, request (a token by a key that was not known, or one that is asked about).";
        IDENTITY_FETCH_FAILURES = "drawbridge_identity_fetch_failures_total", Counter, None, ["identity", "what", "reason"],
            "Those that failed, by reason: dns, connect, proxy, certificate, tls, timeout, redirect, status, too_large, malformed, closed, internal, document, issuer, endpoint, keys, denied, introspection, exchange, client.";
        SIGNING_KEYS = "drawbridge_signing_keys", Gauge, None, [],
            "Keys of our own that gateways are shown: the one that signs, the next and the previous ones.";
        SIGNING_AGE = "drawbridge_signing_key_age_seconds", Gauge, Seconds, [],
            "How long the key of the state_dir has signed that signs now.";
        SIGNING_FAILURES = "drawbridge_signing_failures_total", Counter, None, [],
            "Attempts to follow or replace the signing keys in the state_dir that failed; the last ones stay in use.";
        WAF_TIMED_REQUESTS = "drawbridge_waf_timed_requests_total", Counter, None, ["policy"],
            "Requests whose rules were timed (cost_sample), by policy.";
        WAF_RULE_CPU = "drawbridge_waf_rule_cpu_seconds_total", Counter, Seconds, ["policy", "rule_id"],
            "Time in the timed requests, by policy and rule: the 50 dearest rules, the prefilter and all other work of the engine.";
        EXCLUSION_END = "drawbridge_exclusion_end_timestamp_seconds", Gauge, Seconds, ["policy", "id", "owner"],
            "When the last day of an exclusion is over, in seconds since 1970.";
        EXCLUSION_HITS = "drawbridge_exclusion_hits_total", Counter, None, ["policy", "id", "owner"],
            "Requests in which the rule of an exclusion matched; the owner is empty for one that is written by hand.";
        SHADOW_REQUESTS = "drawbridge_shadow_requests_total", Counter, None, ["policy", "outcome"],
            "Requests that the shadow of a policy saw, by what it would change: same, other_rules, newly_blocked, newly_allowed, answered_differently, not_compared.";
        SHADOW_RULE_DIFFERENCES = "drawbridge_shadow_rule_differences_total", Counter, None, ["policy", "rule_id", "difference"],
            "Requests in which a rule makes a difference between a policy and its shadow: newly_blocked, newly_allowed, answered_differently, only_shadow, only_live.";
        SHADOW_DROPPED = "drawbridge_shadow_dropped_total", Counter, None, ["reason"],
            "Requests of the sample that no shadow saw, by reason: queue, internal.";
    }
    "Upstreams" {
        UPSTREAM_REQUESTS = "drawbridge_upstream_requests_total", Counter, None, ["upstream", "code_class"],
            "Answers of upstreams by the class of their status.";
        UPSTREAM_REQUEST_DURATION = "drawbridge_upstream_request_duration_seconds", Histogram, Seconds, ["upstream"],
            "Time at an upstream, with all attempts of a request. WebSockets and server-sent events are left out.";
        UPSTREAM_FAILURES = "drawbridge_upstream_failures_total", Counter, None, ["upstream", "reason"],
            "Failed tries to reach an upstream, by cause.";
        UPSTREAM_REFUSED = "drawbridge_upstream_refused_total", Counter, None, ["upstream", "reason"],
            "503 because an upstream takes no more requests now: upstream_full, upstream_pending_timeout, no_server, upstream_not_live.";
        UPSTREAM_IN_FLIGHT = "drawbridge_upstream_requests_in_flight", Gauge, None, ["upstream"],
            "Requests under way to an upstream, streams included.";
        UPSTREAM_PENDING = "drawbridge_upstream_requests_pending", Gauge, None, ["upstream"],
            "Requests that wait for one of max_connections.";
        UPSTREAM_RETRIES = "drawbridge_upstream_retries_total", Counter, None, ["upstream"],
            "Attempts after the first one of a request.";
        UPSTREAM_EJECTIONS = "drawbridge_upstream_ejections_total", Counter, None, ["upstream"],
            "Servers that were ejected because requests to them failed.";
        UPSTREAM_HEALTH_FAILURES = "drawbridge_upstream_health_check_failures_total", Counter, None, ["upstream"],
            "Health checks that failed.";
        SERVER_UP = "drawbridge_upstream_server_up", Gauge, None, ["upstream", "server"],
            "1 unless a server's health checks failed.";
        SERVER_EJECTED = "drawbridge_upstream_server_ejected", Gauge, None, ["upstream", "server"],
            "1 while a server is ejected because requests to it failed.";
        SERVER_IN_FLIGHT = "drawbridge_upstream_server_requests_in_flight", Gauge, None, ["upstream", "server"],
            "Requests that a server has now.";
    }
    "Certificates, exposures and the configuration" {
        CERTIFICATE_NOT_AFTER = "drawbridge_certificate_not_after_timestamp_seconds", Gauge, Seconds, ["kind", "name"],
            "When a certificate ends, in seconds since 1970.";
        EXPOSURE_ENABLED = "drawbridge_exposure_enabled", Gauge, None, ["exposure"],
            "1 where an exposure is on.";
        CONFIG_GENERATION = "drawbridge_config_generation", Gauge, None, [],
            "Counts up with every snapshot.";
        CONFIG_LAST_RELOAD = "drawbridge_config_last_reload_successful", Gauge, None, [],
            "1 if the last reload took everything.";
        CONFIG_RELOADS = "drawbridge_config_reloads_total", Counter, None, [],
            "Reloads that were tried.";
        CONFIG_RELOAD_FAILURES = "drawbridge_config_reload_failures_total", Counter, None, [],
            "Reloads that refused something.";
        CONFIG_REFUSED = "drawbridge_config_refused", Gauge, None, ["unit"],
            "1 for each unit that was refused: its last good version serves, if there is one.";
    }
    "Logs and events" {
        ACCESS_DROPPED = "drawbridge_access_lines_dropped_total", Counter, None, [],
            "Access lines that their target did not take in time.";
        ACCESS_WRITE_FAILURES = "drawbridge_access_write_failures_total", Counter, None, [],
            "Tries to write the access log that failed.";
        AUDIT_DROPPED = "drawbridge_audit_lines_dropped_total", Counter, None, [],
            "Audit records that their target did not take in time.";
        AUDIT_WRITE_FAILURES = "drawbridge_audit_write_failures_total", Counter, None, [],
            "Tries to write the audit log that failed.";
        DIAGNOSTICS_DROPPED = "drawbridge_diagnostics_lines_dropped_total", Counter, None, [],
            "Lines that stderr did not take in time.";
        DIAGNOSTICS_WRITE_FAILURES = "drawbridge_diagnostics_write_failures_total", Counter, None, [],
            "Tries to write to stderr that failed.";
        OTLP_SENT = "drawbridge_otlp_sent_total", Counter, None, ["signal"],
            "Spans (traces) and lines (logs) that the collector took.";
        OTLP_DROPPED = "drawbridge_otlp_dropped_total", Counter, None, ["signal", "reason"],
            "Spans and lines that the collector does not have, by reason: queue (too many waited), unsent (it did not take them), rejected (it took the rest of their batch).";
        OTLP_FAILURES = "drawbridge_otlp_failures_total", Counter, None, ["signal", "reason"],
            "Tries to send to the collector that failed, by reason: dns, connect, proxy, certificate, tls, timeout, redirect, status, too_large, malformed, closed, internal.";
        EVENTS_KEPT = "drawbridge_events_kept_total", Counter, None, [],
            "Requests that were kept as events.";
        EVENTS_DROPPED = "drawbridge_events_dropped_total", Counter, None, ["reason"],
            "Events that were not kept, by reason: queue (too many waited), disk (it did not take them), internal.";
    }
    "The process" {
        BUILD_INFO = "drawbridge_build_info", Gauge, None, ["version", "openssl"],
            "1; what was built, as labels.";
        PROCESS_CPU = "process_cpu_seconds_total", Counter, Seconds, [],
            "CPU time in user and system mode, in seconds.";
        PROCESS_START = "process_start_time_seconds", Gauge, Seconds, [],
            "When the process started, in seconds since 1970.";
        PROCESS_MEMORY = "process_resident_memory_bytes", Gauge, Bytes, [],
            "Memory that is in RAM.";
        PROCESS_FDS = "process_open_fds", Gauge, None, [],
            "Descriptors that are open.";
        PROCESS_MAX_FDS = "process_max_fds", Gauge, None, [],
            "Descriptors that may be open.";
        TASK_RESTARTS = "drawbridge_task_restarts_total", Counter, None, ["task"],
            "Times that a long-lived task panicked or failed and began again.";
        PANICS = "drawbridge_panics_total", Counter, None, [],
            "Panics in this process.";
        METRICS_UNCOUNTED = "drawbridge_metrics_uncounted_total", Counter, None, ["family"],
            "Counts that are missing because a table of metrics has no room for a new row, by its first family.";
    }
}

#[cfg(test)]
mod tests;
