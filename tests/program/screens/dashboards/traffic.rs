//! The dashboard of the ingress team: requests, connections, the process.

use drawbridge::telemetry::families as f;

use super::{Dashboard, Panel, panel};
use crate::screens::expression::{PANEL, mean, quantile, rate, value};

pub fn dashboard() -> Dashboard {
    Dashboard {
        file: "traffic",
        title: "Drawbridge: traffic",
        panels: [requests(), connections(), process()]
            .into_iter()
            .flatten()
            .collect(),
    }
}

/// What comes and how it is answered.
fn requests() -> Vec<Panel> {
    let by_route = ["listener", "route"];
    let errors = rate(
        &f::LISTENER_REQUESTS,
        "code_class=\"5xx\"",
        &by_route,
        PANEL,
    )
    .with(
        "/",
        rate(&f::LISTENER_REQUESTS, "", &by_route, PANEL).within("({} > 0)"),
    );
    let latencies = |q, legend| (quantile(q, &f::REQUEST_DURATION, &by_route, PANEL), legend);
    vec![
        panel(
            "Requests by route",
            "reqps",
            [(
                rate(&f::LISTENER_REQUESTS, "", &by_route, PANEL),
                "{{listener}} {{route}}",
            )],
        ),
        panel(
            "Answers by class",
            "reqps",
            [(
                rate(&f::REQUESTS, "", &["code_class"], PANEL),
                "{{code_class}}",
            )],
        ),
        panel(
            "Part of 5xx by route",
            "percentunit",
            [(errors, "{{listener}} {{route}}")],
        ),
        panel(
            "Latency by route",
            "s",
            [
                latencies(0.5, "{{route}} 50 %"),
                latencies(0.95, "{{route}} 95 %"),
                latencies(0.99, "{{route}} 99 %"),
            ],
        ),
        panel(
            "Sizes by route, mean",
            "bytes",
            [
                (
                    mean(&f::REQUEST_BODY, &by_route, PANEL),
                    "{{route}} requests",
                ),
                (
                    mean(&f::RESPONSE_BODY, &by_route, PANEL),
                    "{{route}} answers",
                ),
            ],
        ),
    ]
}

/// Connections, handshakes and what is no request.
fn connections() -> Vec<Panel> {
    vec![
        panel(
            "In flight",
            "short",
            [
                (value(&f::REQUESTS_IN_FLIGHT, ""), "requests"),
                (value(&f::CONNECTIONS_OPEN, ""), "connections"),
            ],
        ),
        panel(
            "Connections",
            "cps",
            [
                (rate(&f::CONNECTIONS_ACCEPTED, "", &[], PANEL), "accepted"),
                (rate(&f::CONNECTIONS_REFUSED, "", &[], PANEL), "refused"),
            ],
        ),
        panel(
            "TLS versions and groups",
            "cps",
            [(
                rate(&f::TLS_HANDSHAKES, "", &["version", "group"], PANEL),
                "{{version}} {{group}}",
            )],
        ),
        panel(
            "Failed handshakes",
            "cps",
            [(
                rate(&f::TLS_HANDSHAKE_FAILURES, "", &["reason"], PANEL),
                "{{reason}}",
            )],
        ),
        panel(
            "Limits",
            "reqps",
            [
                (
                    rate(
                        &f::LIMIT_REQUESTS,
                        "outcome!=\"passed\"",
                        &["limit", "outcome"],
                        PANEL,
                    ),
                    "{{limit}}: {{outcome}}",
                ),
                (
                    rate(&f::LIMIT_KEYS_EVICTED, "", &["limit"], PANEL),
                    "{{limit}}: keys forgotten",
                ),
            ],
        ),
        panel(
            "Callers",
            "reqps",
            [(
                rate(&f::IDENTITY_CHECKS, "", &["route", "outcome"], PANEL),
                "{{route}}: {{outcome}}",
            )],
        ),
        panel(
            "Keys of issuers",
            "short",
            [(value(&f::IDENTITY_KEYS, ""), "{{identity}}")],
        ),
        panel(
            "Age of keys and lists",
            "s",
            [(value(&f::IDENTITY_AGE, ""), "{{identity}}: {{what}}")],
        ),
        panel(
            "Keys of our own",
            "short",
            [
                (value(&f::SIGNING_KEYS, ""), "published"),
                (rate(&f::SIGNING_FAILURES, "", &[], PANEL), "failures"),
            ],
        ),
        panel(
            "Age of the key that signs",
            "s",
            [(value(&f::SIGNING_AGE, ""), "age")],
        ),
        panel(
            "Fetches from issuers",
            "cps",
            [
                (
                    rate(
                        &f::IDENTITY_FETCHES,
                        "",
                        &["identity", "what", "cause"],
                        PANEL,
                    ),
                    "{{identity}}: {{what}} by {{cause}}",
                ),
                (
                    rate(
                        &f::IDENTITY_FETCH_FAILURES,
                        "",
                        &["identity", "what", "reason"],
                        PANEL,
                    ),
                    "{{identity}}: {{what}} failed: {{reason}}",
                ),
            ],
        ),
        panel(
            "What HTTP forbids",
            "reqps",
            [
                (rate(&f::MALFORMED_HEADS, "", &[], PANEL), "malformed heads"),
                (rate(&f::HTTP2_FLOODS, "", &[], PANEL), "HTTP/2 floods"),
            ],
        ),
    ]
}

/// What the process has and needs.
fn process() -> Vec<Panel> {
    vec![
        panel(
            "503 for want of resources",
            "reqps",
            [
                (
                    rate(&f::BODY_MEMORY_REFUSALS, "", &[], PANEL),
                    "memory of bodies",
                ),
                (
                    rate(&f::INSPECTION_REFUSALS, "", &[], PANEL),
                    "threads of long inspections",
                ),
            ],
        ),
        panel(
            "The process",
            "short",
            [
                (rate(&f::PROCESS_CPU, "", &[], PANEL), "processors in use"),
                (
                    value(&f::PROCESS_FDS, "").with("/", value(&f::PROCESS_MAX_FDS, "")),
                    "part of descriptors in use",
                ),
            ],
        ),
        panel(
            "Memory",
            "bytes",
            [(value(&f::PROCESS_MEMORY, ""), "resident")],
        ),
        panel(
            "Versions",
            "short",
            [
                (value(&f::BUILD_INFO, ""), "{{version}}, {{openssl}}"),
                (
                    value(&f::PROCESS_START, "").within("time() - {}"),
                    "seconds since the start",
                ),
            ],
        )
        .into_table(),
    ]
}
